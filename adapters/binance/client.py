"""One session's access to a market of Binance, or to a sandbox: listing, feed, history, gateway.

Owns what these share: the address, the governor that counts usage of the venue's limits, and the listing.
Made by `venue.py`, used by the commands through `engine.venue`.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple, cast

from adapters.binance.decode import NS_PER_MS
from adapters.binance.feed import BinanceFeed, FeedSetup, RawTradesFeed
from adapters.binance.history import read_candles, read_closed, read_rates, warmup
from adapters.binance.listing import list_instruments
from adapters.binance.markets import Market
from adapters.binance.rest import BinanceRest
from adapters.binance.settings import BinanceSettings
from adapters.transport.addresses import is_loopback
from adapters.transport.governor import Governor, Limits, Priority
from adapters.transport.health import FeedLimits
from adapters.transport.keeper import HistoryKeeper
from adapters.transport.network import NETWORK, Network
from adapters.transport.proof import VenueClock
from adapters.transport.trades import LastTrade
from engine.clock import SystemClock
from engine.errors import UsageError, VenueProtocolError
from engine.events import CandleRead, Event, FundingRead, InstrumentListed
from engine.ports import Edge
from engine.values import parse_interval
from engine.venue import Account, Gateway, Listing, SessionContext, Signer, VenueClient, VenueTime

if TYPE_CHECKING:
    from adapters.binance.gateway.keys import Signer as KeySigner

__all__ = ["BinanceClient"]

HEARD_S: Final = 2.0
"""How often the feed reports that every connection is alive: twice within the default age of a price."""

LATE: Final = Fraction(3, 4)
"""The part of the grace period after which the venue has sent every trade. USD-M collects aggregate trades
for 100 ms; the messages of a recorded hour came within 0.3 s of their trades."""

_CLOCK_TRIES: Final = 3
_CLOCK_TRIP_NS: Final = 1_000_000_000
"""The venue's clock is asked again if the answer took longer: it is that much less exact."""


class _Clock(NamedTuple):
    """The venue's clock, our clocks when it was asked and when the answer came, and how long that took."""

    time_ms: int
    sent_ns: int
    answered_ns: int
    boot_ns: int
    trip_ns: int


class BinanceClient(VenueClient):
    """See `engine.venue.VenueClient`. Made by `connect`."""

    def __init__(
        self,
        market: Market,
        base_url: str,
        limits: Limits,
        settings: BinanceSettings,
        signer: Signer | None,
        network: Network = NETWORK,
    ) -> None:
        super().__init__()
        self._market = market
        self._base_url = base_url
        self._settings = settings
        self._signer = signer
        self._network = network
        self._loopback = is_loopback(base_url)
        self._governor = Governor(limits)
        # With the reading of our clock, and how long the answer took; None: the clock is adopted.
        self._venue_time: tuple[int, int, int] | None = None
        self.health["limits"] = lambda: str(self._governor.budget())

    @classmethod
    async def connect(
        cls,
        market: Market,
        base_url: str,
        settings: BinanceSettings,
        signer: Signer | None,
        network: Network = NETWORK,
    ) -> BinanceClient:
        """See `engine.venue.Venue.connect`."""
        limits = await _limits(market, base_url, network)
        client = cls(market, base_url, limits, settings, signer, network)
        if signer is not None:
            await client._check_access(signer)
        return client

    async def listing(self, names: Sequence[str]) -> Listing:
        """See `VenueClient.listing`. Only a sandbox lists all that it has."""
        if not names and not self._loopback:
            raise UsageError(
                f"{self._market.title} lists hundreds of symbols; "
                "choose some with --instruments BTCUSDT,ETHUSDT"
            )
        async with self._rest() as rest:
            try:
                info = await rest.exchange_info([one for one in names if "/" not in one])
            except VenueProtocolError:
                info = await rest.exchange_info()  # a name does not exist: find the nearest
            else:
                found = {one.symbol for one in info.symbols}
                if any(name not in found for name in names):
                    info = await rest.exchange_info()
            hours = await rest.funding_hours() if self._market.kind == "perp" else {}
            read = await _read_clock(rest)
        chosen = list_instruments(self._market, info.symbols, names, hours)
        if self._signer is not None:
            from adapters.binance.gateway.access import check_quotes

            check_quotes(chosen)
        speed = rest.speed
        if speed is None:
            self._venue_time = read.time_ms * NS_PER_MS, read.boot_ns, read.trip_ns
        return Listing(chosen, VenueTime(read.time_ms * NS_PER_MS, read.sent_ns, read.answered_ns, speed))

    def feeds(self, context: SessionContext) -> Sequence[Edge]:
        """See `VenueClient.feeds`."""
        data, clock, name = context.config.data, context.clock, self._market.venue
        intervals = context.config.bars.intervals
        rest = self._rest()
        make = RawTradesFeed if self._counts else BinanceFeed
        feed = make(
            FeedSetup(
                market=self._market,
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
                rest=rest,
                data=data,
                intervals=intervals,
                governor=self._governor,
                limits=FeedLimits(
                    heard_s=HEARD_S,
                    window_ns=min(map(parse_interval, intervals)),
                    late_ns=int(context.config.bars.grace_ms * LATE) * NS_PER_MS,
                ),
                dials=self._network.dial,
                venue_clock=VenueClock(clock, *(self._venue_time or ())),
                tap=context.tap,
            )
        )
        self.health["feed"] = lambda: str(feed.health)
        if feed.books:
            self.health["books"] = lambda: feed.books

        async def read_market() -> None:
            # The supervisor runs the same feed again; it continues after what it has emitted.
            async with rest:
                await feed.run()

        edges = [Edge(name, read_market, note_jump=feed.note_jump)]
        if data.backfill_minutes:
            history = self._rest()
            read = partial(read_closed, history, context.instruments, intervals, self._counts)
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
        async with self._rest() as rest:
            odd = self.unusable.append
            return list(await warmup(rest, instruments, intervals, count, now_ns, self._counts, odd))

    async def candles(
        self, listed: InstrumentListed, interval_ns: int, from_ns: int, to_ns: int
    ) -> Sequence[CandleRead]:
        """See `VenueClient.candles`. The venue keeps all of its candles."""
        async with self._rest() as rest:
            return await read_candles(
                *(rest, listed, interval_ns, from_ns, to_ns),
                counts=self._counts,
                purpose="history",
                recv_ns=SystemClock().now_ns(),
                priority=Priority.HISTORY,
                odd=self.unusable.append,
            )

    async def funding_rates(
        self, listed: InstrumentListed, from_ns: int, to_ns: int
    ) -> Sequence[FundingRead]:
        """See `VenueClient.funding_rates`. Reads all pages; spot has none."""
        if self._market.kind == "spot":
            return []
        async with self._rest() as rest:
            now_ns = SystemClock().now_ns()
            return await read_rates(rest, listed, from_ns, to_ns, now_ns, self.unusable.append)

    def gateway(self, context: SessionContext, account: Account) -> Gateway:
        """See `VenueClient.gateway`."""
        from adapters.binance.gateway.dialects import SPOT, USDM
        from adapters.binance.gateway.gateway import BinanceGateway

        assert self._signer is not None, "only an armed session has a gateway"
        gateway = BinanceGateway(
            name="gateway",
            dialect=SPOT if self._market.kind == "spot" else USDM,
            base_url=self._base_url,
            network=self._settings.network,
            signer=cast("KeySigner", self._signer),  # the one that the venue loaded
            instruments=context.instruments,
            clock=context.clock,
            jitter=context.jitter,
            send=context.inputs.send,
            governor=self._governor,
            account=account,
            dial=self._network.dial,
            transports=self._network.http,
        )
        self.health["orders"] = lambda: str(gateway.health)
        return gateway

    async def _check_access(self, signer: Signer) -> None:
        from adapters.binance.gateway.access import check_access
        from adapters.binance.gateway.dialects import SPOT, USDM

        dialect = SPOT if self._market.kind == "spot" else USDM
        key = cast("KeySigner", signer)
        await check_access(self._base_url, dialect, key, self._governor, self._network.http())

    @property
    def _counts(self) -> bool:
        """Whether single trades are read, which candles count."""
        return self._settings.trades == "raw"

    def _rest(self) -> BinanceRest:
        return BinanceRest(
            self._market, self._base_url, governor=self._governor, transport=self._network.http()
        )


async def _read_clock(rest: BinanceRest) -> _Clock:
    """Return the venue's clock: of the answer that came fastest, if one takes long."""
    system = SystemClock()
    best: _Clock | None = None
    for _ in range(_CLOCK_TRIES):
        sent_ns, began_ns = system.now_ns(), system.monotonic_ns()
        answer = await rest.server_time()
        answered_ns = system.monotonic_ns()
        boot_ns = system.readings().boot_ns
        trip_ns = answered_ns - began_ns
        found = _Clock(answer.server_time, sent_ns, answered_ns, boot_ns, trip_ns)
        if best is None or found.trip_ns < best.trip_ns:
            best = found
        if best.trip_ns <= _CLOCK_TRIP_NS:
            break
    assert best is not None, "it is asked at least once"
    return best


async def _limits(market: Market, base_url: str, network: Network) -> Limits:
    """Return the venue's limits; those of a sandbox are multiplied by its speed."""
    if not is_loopback(base_url):
        return market.limits
    async with BinanceRest(market, base_url, transport=network.http()) as rest:
        await rest.server_time()
        return market.limits.at_speed(max(1.0, rest.speed or 1.0))
