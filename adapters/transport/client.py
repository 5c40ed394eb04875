"""One session's access to a venue's market data, or to a sandbox: listing, feed, history.

Owns what is the same for every venue: the address, the governor that counts usage of its limits, the venue's
clock, the edges of the feed and of the keeper of history, and which candles are read. A venue's client
derives from it, and is used by the commands through `engine.venue`.
"""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from collections.abc import Awaitable, Callable, Iterable, Sequence
from fractions import Fraction
from functools import partial
from typing import ClassVar, Final, Generic, NamedTuple, Protocol, TypeVar

import httpx

from adapters.transport.addresses import is_loopback
from adapters.transport.feed import Feed
from adapters.transport.governor import Governor, Limits, Priority
from adapters.transport.health import FeedLimits
from adapters.transport.history import Odd, ReadWindows, closed_since, last_closed
from adapters.transport.keeper import HistoryKeeper
from adapters.transport.network import NETWORK, Network
from adapters.transport.proof import VenueClock
from adapters.transport.rest import RestClient, VenueNow
from adapters.transport.setup import FeedSetup
from adapters.transport.trades import LastTrade
from engine.clock import SECOND_NS, SystemClock
from engine.errors import UsageError
from engine.events import CandleRead, Event, FundingRead, InstrumentListed, OpenInterestRead
from engine.ports import Edge
from engine.values import parse_interval
from engine.venue import Listing, Rules, SessionContext, VenueClient, VenueTime

__all__ = ["ClockReading", "MarketClient", "read_clock"]

_HEARD_S: Final = 2.0
"""How often the feed reports that every connection is alive: twice within the default age of a price."""

_LATE: Final = Fraction(3, 4)
"""The part of the grace period after which the venue has sent every trade; the rest is left for the answer to
a ping."""

_CLOCK_TRIES: Final = 3
_CLOCK_TRIP_NS: Final = SECOND_NS
"""The venue's clock is asked again if the answer took longer: it is that much less exact."""

_NS_PER_MS: Final = 1_000_000
_HOUR_NS: Final = 3_600 * SECOND_NS

_Info = TypeVar("_Info", bound=RestClient)
_MadeInfo = TypeVar("_MadeInfo", bound=RestClient, covariant=True)


class MakeInfo(Protocol[_MadeInfo]):
    """Makes the venue's HTTP client."""

    def __call__(
        self, base_url: str, *, governor: Governor | None, transport: httpx.AsyncBaseTransport | None
    ) -> _MadeInfo:
        """Return a client; each has connections of its own."""
        ...


class ClockReading(NamedTuple):
    """The venue's clock, our clocks when it was asked and when the answer came, and how long that took."""

    now: VenueNow
    sent_ns: int
    answered_ns: int
    boot_ns: int
    trip_ns: int


class MarketClient(VenueClient, Generic[_Info]):
    """See `engine.venue.VenueClient`. `make_info` makes the venue's HTTP client.

    `choose` is the error of a session that names no instruments. `stream_limits` are the bounds of the feed
    that differ from the usual ones.
    """

    name: str
    rules: Rules
    choose: str
    stream_limits: ClassVar[FeedLimits] = FeedLimits()

    def __init__(
        self, base_url: str, limits: Limits, make_info: MakeInfo[_Info], network: Network = NETWORK
    ) -> None:
        super().__init__()
        self._base_url = base_url
        self._limits = limits
        self._make_info = make_info
        self._network = network
        self._loopback = is_loopback(base_url)
        self._governor = Governor(limits)
        self._reading: ClockReading | None = None  # None: the engine adopts the venue's clock
        self.health["limits"] = lambda: str(self._governor.budget())

    # ---- implemented by a venue

    @abstractmethod
    async def _list(self, info: _Info, names: Sequence[str]) -> list[InstrumentListed]:
        """Return the named instruments; see `_chosen`. Raises UsageError, VenueError."""

    @abstractmethod
    async def _now(self, info: _Info) -> VenueNow:
        """Return the venue's clock. Raises VenueError."""

    @abstractmethod
    def _feed(self, setup: FeedSetup, info: _Info) -> Feed:
        """Return the feed, and add to `health`."""

    @abstractmethod
    def _intervals(self, intervals: Sequence[str]) -> Sequence[str]:
        """Return those intervals of which the venue has candles."""

    @abstractmethod
    def _windows(self, info: _Info) -> ReadWindows:
        """Return what reads candles."""

    async def _rates(
        self, info: _Info, listed: InstrumentListed, from_ns: int, to_ns: int, recv_ns: int, odd: Odd
    ) -> list[FundingRead]:
        """Return the rates settled from `from_ns` on, before `to_ns`, oldest first. Raises VenueError."""
        return []

    async def _interest(
        self, info: _Info, listed: InstrumentListed, from_ns: int, to_ns: int, recv_ns: int, odd: Odd
    ) -> list[OpenInterestRead]:
        """Return open interest from `from_ns` on, before `to_ns`, oldest first. Raises VenueError."""
        return []

    # ---- the same for every venue

    async def listing(self, names: Sequence[str]) -> Listing:
        """See `VenueClient.listing`. Only a sandbox lists all that it has."""
        async with self._info() as info:
            listed = await self._list(info, names)
            read = await read_clock(lambda: self._now(info))
            speed = info.sandbox_speed
        if speed is None:
            self._reading = read
        else:
            self._governor = Governor(self._limits.at_speed(max(1.0, speed)))
        # As likely too early as too late.
        venue_ns = read.now.venue_ns + read.now.inexact_ns // 2
        return Listing(listed, VenueTime(venue_ns, read.sent_ns, read.answered_ns, speed))

    def feeds(self, context: SessionContext) -> Sequence[Edge]:
        """See `VenueClient.feeds`."""
        clock, minutes = context.clock, context.config.data.backfill_minutes
        info = self._info()
        feed = self._feed(self._setup(context), info)
        self.health["feed"] = lambda: str(feed.health)

        async def read_market() -> None:
            # The supervisor runs the same feed again; it continues after what it has emitted.
            async with info:
                await feed.run()

        edges = [Edge(self.name, read_market, note_jump=feed.note_jump)]
        if minutes:
            history = self._info()
            read = partial(self._closed, history, context.instruments, context.config.bars.intervals)
            keeper = HistoryKeeper(read, clock, context.inputs.send, minutes)
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
        own, odd = self._intervals(intervals), self.unusable.append
        async with self._info() as info:
            read = self._windows(info)
            return list(await last_closed(read, self.rules, instruments, own, count, now_ns, odd))

    async def candles(
        self, listed: InstrumentListed, interval_ns: int, from_ns: int, to_ns: int
    ) -> Sequence[CandleRead]:
        """See `VenueClient.candles`."""
        async with self._info() as info:
            return await self._windows(info)(
                *(listed, interval_ns, from_ns, to_ns),
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
            return await self._rates(info, listed, from_ns, to_ns, now_ns, self.unusable.append)

    async def open_interest(
        self, listed: InstrumentListed, from_ns: int, to_ns: int
    ) -> Sequence[OpenInterestRead]:
        """See `VenueClient.open_interest`. Reads all pages."""
        async with self._info() as info:
            now_ns = SystemClock().now_ns()
            return await self._interest(info, listed, from_ns, to_ns, now_ns, self.unusable.append)

    def _info(self) -> _Info:
        return self._make_info(self._base_url, governor=self._governor, transport=self._network.http())

    def _chosen(self, names: Sequence[str], listed: Iterable[str]) -> Sequence[str]:
        """Return the names; without any, all that a sandbox lists. Raises UsageError for a venue."""
        if not names and not self._loopback:
            raise UsageError(self.choose)
        return names or tuple(listed)

    def _setup(self, context: SessionContext) -> FeedSetup:
        config, clock, read = context.config, context.clock, self._reading
        known = () if read is None else (read.now.venue_ns, read.boot_ns, read.trip_ns + read.now.inexact_ns)
        return FeedSetup(
            base_url=self._base_url,
            instruments=context.instruments,
            clock=clock,
            jitter=context.jitter,
            send=context.inputs.send,
            offer=context.inputs.offer,
            since_ns=clock.now_ns(),
            last_seen={
                number: LastTrade(venue_ns, tuple(found))
                for number, (venue_ns, found) in context.last.items()
            },
            data=config.data,
            intervals=config.bars.intervals,
            governor=self._governor,
            limits=dataclasses.replace(
                self.stream_limits,
                heard_s=_HEARD_S,
                window_ns=min(map(parse_interval, config.bars.intervals)),
                late_ns=int(config.bars.grace_ms * _LATE) * _NS_PER_MS,
            ),
            dials=self._network.dial,
            venue_clock=VenueClock(clock, *known),
            tap=context.tap,
        )

    async def _closed(
        self,
        info: _Info,
        instruments: Sequence[InstrumentListed],
        intervals: Sequence[str],
        since_ns: int,
        now_ns: int,
        odd: Odd,
    ) -> list[CandleRead | FundingRead]:
        """Return the candles that closed and the rates that were settled between two times, by that time."""
        read, own = self._windows(info), self._intervals(intervals)
        found: list[CandleRead | FundingRead] = [
            *await closed_since(read, self.rules, instruments, own, since_ns, now_ns, odd)
        ]
        for listed in instruments:
            from_ns = since_ns // _HOUR_NS * _HOUR_NS
            found += await self._rates(info, listed, from_ns, now_ns, now_ns, odd)
        return sorted(found, key=lambda one: (one.venue_ns, isinstance(one, FundingRead), one.instrument))


async def read_clock(ask: Callable[[], Awaitable[VenueNow]]) -> ClockReading:
    """Return the venue's clock: of the answer that came fastest, if one takes long."""
    system = SystemClock()
    best: ClockReading | None = None
    for _ in range(_CLOCK_TRIES):
        sent_ns, began_ns = system.now_ns(), system.monotonic_ns()
        now = await ask()
        answered_ns = system.monotonic_ns()
        boot_ns, trip_ns = system.readings().boot_ns, answered_ns - began_ns
        if best is None or trip_ns < best.trip_ns:
            best = ClockReading(now, sent_ns, answered_ns, boot_ns, trip_ns)
        if best.trip_ns <= _CLOCK_TRIP_NS:
            break
    assert best is not None, "it is asked at least once"
    return best
