"""One session's access to Coinbase, or to a sandbox: listing, feed, history.

Owns what these share: the address, and the governor that counts usage of the venue's limits. Made by
`venue.py`, used by the commands through `engine.venue`.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from functools import partial
from typing import Final, NamedTuple

from adapters.coinbase.channels import venue_intervals
from adapters.coinbase.feed import CoinbaseFeed
from adapters.coinbase.history import read_candles
from adapters.coinbase.info import CoinbaseInfo
from adapters.coinbase.limits import LIMITS
from adapters.coinbase.listing import list_instruments, names_of
from adapters.coinbase.networks import websocket_url
from adapters.coinbase.rules import RULES
from adapters.transport.addresses import is_loopback
from adapters.transport.governor import Governor, Limits, Priority
from adapters.transport.health import FeedLimits
from adapters.transport.history import Odd, closed_since, last_closed
from adapters.transport.keeper import HistoryKeeper
from adapters.transport.network import NETWORK, Network
from adapters.transport.proof import VenueClock
from adapters.transport.trades import LastTrade
from engine.clock import SystemClock
from engine.errors import UsageError
from engine.events import CandleRead, Event, InstrumentListed
from engine.ports import Edge
from engine.values import parse_interval
from engine.venue import Listing, SessionContext, VenueClient, VenueTime

__all__ = ["CoinbaseClient"]

HEARD_S: Final = 2.0
"""How often the feed reports that every connection is alive: twice within the default age of a price."""

LATE: Final = Fraction(3, 4)
"""The part of the grace period after which the venue has sent every trade; the rest is left for the answer to
a ping."""

_NS_PER_MS: Final = 1_000_000


class _Clock(NamedTuple):
    """The venue's clock, our clocks when it was asked and answered, and how inexact it is."""

    venue_ns: int
    sent_ns: int
    answered_ns: int
    boot_ns: int
    trip_ns: int


class CoinbaseClient(VenueClient):
    """See `engine.venue.VenueClient`. Made by `connect`."""

    def __init__(self, base_url: str, limits: Limits, network: Network = NETWORK) -> None:
        super().__init__()
        self._base_url = base_url
        self._network = network
        self._loopback = is_loopback(base_url)
        self._governor = Governor(limits)
        self._clock: _Clock | None = None  # None: the engine adopts the venue's clock
        self.health["limits"] = lambda: str(self._governor.budget())

    @classmethod
    async def connect(cls, base_url: str, network: Network = NETWORK) -> CoinbaseClient:
        """See `engine.venue.Venue.connect`."""
        limits = LIMITS
        if is_loopback(base_url):
            async with CoinbaseInfo(base_url, transport=network.http()) as info:
                await info.time_ms()
                limits = LIMITS.at_speed(max(1.0, info.sandbox_speed or 1.0))
        return cls(base_url, limits, network)

    async def listing(self, names: Sequence[str]) -> Listing:
        """See `VenueClient.listing`. Only a sandbox lists all that it has."""
        async with self._info() as info:
            products = await info.products()
            read = await _read_clock(info)
            # A sandbox at the speed of real time does not name its speed.
            speed = (info.sandbox_speed or 1.0) if self._loopback else None
        if not names:
            if not self._loopback:
                raise UsageError(
                    "coinbase lists hundreds of products; choose some with --instruments BTC-USD,ETH-USD"
                )
            names = names_of(products)
        if speed is None:
            self._clock = read
        time = VenueTime(read.venue_ns, read.sent_ns, read.answered_ns, speed)
        return Listing(list_instruments(products, names, 0), time)

    def feeds(self, context: SessionContext) -> Sequence[Edge]:
        """See `VenueClient.feeds`."""
        data, clock, intervals = context.config.data, context.clock, context.config.bars.intervals
        info, read = self._info(), self._clock
        known = () if read is None else (read.venue_ns, read.boot_ns, read.trip_ns)
        feed = CoinbaseFeed(
            name="coinbase",
            base_url=self._base_url,
            instruments=context.instruments,
            clock=clock,
            jitter=context.jitter,
            send=context.inputs.send,
            offer=context.inputs.offer,
            since_ns=clock.now_ns(),
            info=info,
            last_seen={
                number: LastTrade(venue_ns, tuple(int(one) for one in found))
                for number, (venue_ns, found) in context.last.items()
            },
            data=data,
            intervals=intervals,
            governor=self._governor,
            limits=FeedLimits(
                heard_s=HEARD_S,
                window_ns=min(map(parse_interval, intervals)),
                late_ns=int(context.config.bars.grace_ms * LATE) * _NS_PER_MS,
            ),
            venue_clock=VenueClock(clock, *known),
            tap=context.tap,
            dial=self._network.dial(websocket_url(self._base_url)),
        )
        self.health["feed"] = lambda: str(feed.health)
        if "level2" in data.channels:
            self.health["books"] = lambda: str(feed.books)

        async def read_market() -> None:
            # The supervisor runs the same feed again; it continues after what it has emitted.
            async with info:
                await feed.run()

        edges = [Edge("coinbase", read_market, note_jump=feed.note_jump)]
        if data.backfill_minutes:
            history = self._info()
            keeper = HistoryKeeper(
                partial(self._closed, history, context.instruments, intervals),
                clock,
                context.inputs.send,
                data.backfill_minutes,
            )
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
        names = venue_intervals(intervals)
        async with self._info() as info:
            read = partial(read_candles, info)
            return list(
                await last_closed(read, RULES, instruments, names, count, now_ns, self.unusable.append)
            )

    async def candles(
        self, listed: InstrumentListed, interval_ns: int, from_ns: int, to_ns: int
    ) -> Sequence[CandleRead]:
        """See `VenueClient.candles`. The venue has all since a product was listed."""
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

    async def _closed(
        self,
        info: CoinbaseInfo,
        instruments: Sequence[InstrumentListed],
        intervals: Sequence[str],
        since_ns: int,
        now_ns: int,
        odd: Odd,
    ) -> Sequence[CandleRead]:
        """Return the candles that closed between two times, by their end."""
        read = partial(read_candles, info)
        names = venue_intervals(intervals)
        candles = await closed_since(read, RULES, instruments, names, since_ns, now_ns, odd)
        return sorted(candles, key=lambda one: (one.venue_ns, one.instrument))

    def _info(self) -> CoinbaseInfo:
        return CoinbaseInfo(self._base_url, governor=self._governor, transport=self._network.http())


async def _read_clock(info: CoinbaseInfo) -> _Clock:
    """Return the venue's clock, and how long the answer took."""
    system = SystemClock()
    sent_ns, began_ns = system.now_ns(), system.monotonic_ns()
    time_ms = await info.time_ms()
    answered_ns = system.monotonic_ns()
    boot_ns = system.readings().boot_ns
    return _Clock(time_ms * _NS_PER_MS, sent_ns, answered_ns, boot_ns, answered_ns - began_ns)
