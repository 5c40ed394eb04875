"""One session's access to Hyperliquid, or to a sandbox: listing, feeds, history, gateway.

Owns what these share: the address, the governor that counts usage of the venue's limits, and the listing,
which gives the asset ids of orders. Made by `venue.py`, used by the commands through
`engine.venue`.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple, cast

import msgspec

from adapters.hyperliquid.answers import SpotMeta
from adapters.hyperliquid.feed import HyperliquidFeed
from adapters.hyperliquid.history import read_candles, read_closed, read_rates, warmup
from adapters.hyperliquid.info import HyperliquidInfo
from adapters.hyperliquid.limits import LIMITS
from adapters.hyperliquid.listing import asset_ids, dex_of, list_instruments
from adapters.hyperliquid.networks import websocket_url
from adapters.hyperliquid.wire import ExchangeStatus, Meta
from adapters.transport.addresses import is_loopback
from adapters.transport.governor import Governor, Limits, Priority
from adapters.transport.health import FeedLimits
from adapters.transport.keeper import HistoryKeeper
from adapters.transport.network import NETWORK, Network
from adapters.transport.proof import VenueClock
from adapters.transport.trades import LastTrade
from engine.clock import SystemClock
from engine.config import Config, VenueConfig
from engine.errors import SafetyRefusal, UsageError
from engine.events import CandleRead, Event, FundingRead, InstrumentListed
from engine.ports import Edge
from engine.values import parse_interval
from engine.venue import Account, Gateway, Listing, SessionContext, Signer, VenueClient, VenueTime

if TYPE_CHECKING:
    from adapters.hyperliquid.gateway.keys import Signer as KeySigner

__all__ = ["HyperliquidClient"]

_NS_PER_MS = 1_000_000

HEARD_S = 2.0
"""How often the feed reports that every connection is alive: twice within the default age of a price."""

LATE = Fraction(3, 4)
"""The part of the grace period after which the venue has sent every trade: its messages are 0.3 to 0.8 s
old on arrival (recorded in 2025), and the rest of the period is left for the answer to a ping."""


_CLOCK_TRIES: Final = 3
_CLOCK_TRIP_NS: Final = 1_000_000_000
"""The venue's clock is asked again if the answer took longer: it is that much less exact."""


class _Master(msgspec.Struct, frozen=True):
    user: str


class _Role(msgspec.Struct, frozen=True):
    """The role of an address at the venue; an agent has a master."""

    role: str
    data: _Master | None = None


class _Clock(NamedTuple):
    """The venue's clock, our clocks when it was asked and when the answer came, and how long that took."""

    status: ExchangeStatus
    sent_ns: int
    answered_ns: int
    boot_ns: int
    trip_ns: int


class _Listed(msgspec.Struct, frozen=True):
    """The venue's own listings, as far as the instruments of the session need them."""

    meta: Meta
    spot: SpotMeta | None
    dexs: list[Meta]


class HyperliquidClient(VenueClient):
    """See `engine.venue.VenueClient`. Made by `connect`."""

    def __init__(
        self, base_url: str, limits: Limits, signer: Signer | None, network: Network = NETWORK
    ) -> None:
        super().__init__()
        self._base_url = base_url
        self._network = network
        self._loopback = is_loopback(base_url)
        self._governor = Governor(limits)
        self._signer = signer
        self._listed: _Listed | None = None
        # With the reading of our clock, and how long the answer took; None: the clock is adopted.
        self._venue_time: tuple[int, int, int] | None = None
        self.health["limits"] = lambda: str(self._governor.budget())

    @classmethod
    async def connect(
        cls, base_url: str, config: Config, signer: Signer | None, network: Network = NETWORK
    ) -> HyperliquidClient:
        """See `engine.venue.Venue.connect`."""
        client = cls(base_url, await _limits(base_url, network), signer, network)
        if signer is not None:
            await client._check_signer(config.venue, signer)
        return client

    async def listing(self, names: Sequence[str]) -> Listing:
        """See `VenueClient.listing`. Only a sandbox lists all that it has; real orders are for perps."""
        async with self._info() as info:
            self._listed = listed = await _read_listings(info, names)
            read = await _read_clock(info)
        status = read.status
        if not (self._loopback and status.speed):
            self._venue_time = status.time * _NS_PER_MS, read.boot_ns, read.trip_ns
        if not names:
            if not self._loopback:
                raise UsageError(
                    "the venue lists hundreds of instruments; choose some with --instruments BTC,ETH"
                )
            names = tuple(asset.name for asset in listed.meta.universe)
        chosen = list_instruments(
            listed.meta, 0, names, loopback=self._loopback, spot=listed.spot, dexs=listed.dexs
        )
        spot = [one.name for one in chosen if one.kind == "spot"]
        if spot and self._signer is not None:
            raise SafetyRefusal(
                f"real orders are for perps; {spot[0]} is a spot pair, leave it out of --instruments"
            )
        speed = status.speed if self._loopback else None
        return Listing(chosen, VenueTime(status.time * _NS_PER_MS, read.sent_ns, read.answered_ns, speed))

    def feeds(self, context: SessionContext) -> Sequence[Edge]:
        """See `VenueClient.feeds`."""
        data, clock = context.config.data, context.clock
        info = self._info()
        feed = HyperliquidFeed(
            name="hyperliquid",
            base_url=self._base_url,
            instruments=context.instruments,
            clock=clock,
            jitter=context.jitter,
            send=context.inputs.send,
            offer=context.inputs.offer,
            since_ns=clock.now_ns(),
            last_seen={
                number: LastTrade(venue_ns, tuple(int(one) for one in found))
                for number, (venue_ns, found) in context.last.items()
            },
            info=info,
            data=data,
            intervals=context.config.bars.intervals,
            governor=self._governor,
            limits=FeedLimits(
                heard_s=HEARD_S,
                window_ns=min(map(parse_interval, context.config.bars.intervals)),
                late_ns=int(context.config.bars.grace_ms * LATE) * _NS_PER_MS,
            ),
            venue_clock=VenueClock(clock, *(self._venue_time or ())),
            tap=context.tap,
            dial=self._network.dial(websocket_url(self._base_url)),
        )
        self.health["feed"] = lambda: str(feed.health)

        async def read_market() -> None:
            # The supervisor runs the same feed again; it continues after what it has emitted.
            async with info:
                await feed.run()

        edges = [Edge("hyperliquid", read_market, note_jump=feed.note_jump)]
        if data.backfill_minutes:
            history = self._info()
            intervals = context.config.bars.intervals
            read = partial(read_closed, history, context.instruments, intervals)
            keeper = HistoryKeeper(read, clock, context.inputs.send, data.backfill_minutes)
            self.health["history"] = lambda: str(keeper)

            async def keep_history() -> None:
                async with history:
                    await keeper.run()

            edges.append(Edge("history", keep_history, gives_up=False))
        return edges

    async def warm_up(
        self, instruments: Sequence[InstrumentListed], intervals: Sequence[str], count: int, now_ns: int
    ) -> list[Event]:
        """See `VenueClient.warm_up`."""
        async with self._info() as info:
            return list(await warmup(info, instruments, intervals, count, now_ns, self.unusable.append))

    async def candles(
        self, listed: InstrumentListed, interval_ns: int, from_ns: int, to_ns: int
    ) -> Sequence[CandleRead]:
        """See `VenueClient.candles`. The venue has the newest 5,000 of each interval."""
        async with self._info() as info:
            return await read_candles(
                info,
                listed,
                interval_ns,
                from_ns,
                to_ns,
                purpose="history",
                recv_ns=SystemClock().now_ns(),
                priority=Priority.HISTORY,
                odd=self.unusable.append,
            )

    async def funding_rates(
        self, listed: InstrumentListed, from_ns: int, to_ns: int
    ) -> Sequence[FundingRead]:
        """See `VenueClient.funding_rates`. Reads all pages."""
        async with self._info() as info:
            now_ns = SystemClock().now_ns()
            return await read_rates(info, listed, from_ns, to_ns, now_ns, self.unusable.append)

    def gateway(self, context: SessionContext, account: Account) -> Gateway:
        """See `VenueClient.gateway`."""
        from adapters.hyperliquid.gateway.gateway import HyperliquidGateway

        assert self._signer is not None, "only an armed session has a gateway"
        assert self._listed is not None, "the instruments are listed before orders are sent"
        gateway = HyperliquidGateway(
            name="gateway",
            base_url=self._base_url,
            venue=context.config.venue,
            signer=cast("KeySigner", self._signer),  # the one that the venue loaded
            instruments=context.instruments,
            asset_ids=asset_ids(self._listed.meta, self._listed.spot, self._listed.dexs),
            clock=context.clock,
            jitter=context.jitter,
            send=context.inputs.send,
            governor=self._governor,
            account=account,
            info=self._info(),
            dial=self._network.dial(websocket_url(self._base_url)),
            http=self._network.http(),
        )
        self.health["orders"] = lambda: str(gateway.health)
        return gateway

    def _info(self) -> HyperliquidInfo:
        return HyperliquidInfo(self._base_url, governor=self._governor, transport=self._network.http())

    async def _check_signer(self, venue: VenueConfig, signer: Signer) -> None:
        """Raise SafetyRefusal unless the key is the account's own, or that of an agent it approved."""
        account = venue.account.lower()
        if signer.address == account:
            return
        request = {"type": "userRole", "user": signer.address}
        async with self._info() as info:
            role = await info.request(request, _Role, Priority.ACCOUNT)
        if role.role != "agent" or role.data is None or role.data.user.lower() != account:
            raise SafetyRefusal(
                f"the key is that of {signer.address}, "
                f"which is neither {account} nor an agent that it approved"
            )


async def _read_clock(info: HyperliquidInfo) -> _Clock:
    """Return the venue's clock: of the answer that came fastest, if one takes long."""
    system = SystemClock()
    best: _Clock | None = None
    for _ in range(_CLOCK_TRIES):
        sent_ns, began_ns = system.now_ns(), system.monotonic_ns()
        status = await info.exchange_status()
        answered_ns = system.monotonic_ns()
        found = _Clock(status, sent_ns, answered_ns, system.readings().boot_ns, answered_ns - began_ns)
        if best is None or found.trip_ns < best.trip_ns:
            best = found
        if best.trip_ns <= _CLOCK_TRIP_NS:
            break
    assert best is not None, "it is asked at least once"
    return best


async def _read_listings(info: HyperliquidInfo, names: Sequence[str]) -> _Listed:
    """Read the listings that the names need."""
    meta = await info.meta()
    plain = {asset.name for asset in meta.universe}
    others = [name for name in names if name not in plain]
    dexs = (await info.all_perp_metas())[1:] if any(dex_of(name) for name in others) else []
    spot = await info.spot_meta() if any(not dex_of(name) for name in others) else None
    return _Listed(meta, spot, dexs)


async def _limits(base_url: str, network: Network) -> Limits:
    """Return the venue's limits; those of a sandbox are multiplied by its speed."""
    if not is_loopback(base_url):
        return LIMITS
    async with HyperliquidInfo(base_url, transport=network.http()) as info:
        return LIMITS.at_speed(max(1.0, (await info.exchange_status()).speed or 1.0))
