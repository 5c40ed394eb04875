"""One session's access to ApeX Omni, or to a sandbox: listing, feed, history.

Owns what these share: the address, and the governor that counts usage of the venue's limits. Made by
`venue.py`, used by the commands through `engine.venue`.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from functools import partial
from typing import Final, NamedTuple

from adapters.apex.channels import venue_intervals
from adapters.apex.feed import ApexFeed
from adapters.apex.history import read_candles, read_rates
from adapters.apex.info import ApexInfo
from adapters.apex.limits import LIMITS
from adapters.apex.listing import list_instruments
from adapters.apex.networks import websocket_url
from adapters.apex.rules import RULES
from adapters.transport.addresses import is_loopback
from adapters.transport.governor import Governor, Priority
from adapters.transport.health import FeedLimits
from adapters.transport.history import Odd, closed_since, last_closed
from adapters.transport.keeper import HistoryKeeper
from adapters.transport.network import NETWORK, Network
from adapters.transport.proof import VenueClock
from adapters.transport.trades import LastTrade
from engine.clock import SECOND_NS, SystemClock
from engine.errors import UsageError
from engine.events import CandleRead, Event, FundingRead, InstrumentListed
from engine.ports import Edge
from engine.values import parse_interval
from engine.venue import Listing, SessionContext, VenueClient, VenueTime

__all__ = ["ApexClient"]

_NS_PER_MS: Final = 1_000_000
_HOUR_NS: Final = 3_600 * SECOND_NS

HEARD_S: Final = 2.0
"""How often the feed reports that every connection is alive: twice within the default age of a price."""

LATE: Final = Fraction(3, 4)
"""The part of the grace period after which the venue has sent every trade; the rest is left for a ping."""


_SUBSCRIPTIONS_MAX: Final = 100
"""Of one connection; the venue's own bound is not known."""

_PING_S: Final = 12.0
"""The venue wants a ping every 15 s."""


class _Clock(NamedTuple):
    """The venue's clock, our clocks when it was asked and when the answer came, and how exact it is."""

    venue_ns: int
    sent_ns: int
    answered_ns: int
    boot_ns: int
    trip_ns: int


class ApexClient(VenueClient):
    """See `engine.venue.VenueClient`."""

    def __init__(self, base_url: str, network: Network = NETWORK) -> None:
        super().__init__()
        self._base_url = base_url
        self._network = network
        self._loopback = is_loopback(base_url)
        self._governor = Governor(LIMITS)
        # With the reading of our clock, and how exact it is; None: the clock is adopted.
        self._venue_time: tuple[int, int, int] | None = None
        self.health["limits"] = lambda: str(self._governor.budget())

    async def listing(self, names: Sequence[str]) -> Listing:
        """See `VenueClient.listing`. Only a sandbox lists all that it has."""
        async with self._info() as info:
            contracts = await info.contracts()
            read = await _read_clock(info)
        if not names:
            if not self._loopback:
                raise UsageError("apex lists many instruments; choose some, such as --instruments BTC-USDT")
            names = tuple(one.symbol for one in contracts if one.enable_trade)
        if info.speed is None:
            self._venue_time = read.venue_ns, read.boot_ns, read.trip_ns
        else:
            self._governor = Governor(LIMITS.at_speed(max(1.0, info.speed)))
        time = VenueTime(read.venue_ns, read.sent_ns, read.answered_ns, info.speed)
        return Listing(list_instruments(contracts, names), time)

    def feeds(self, context: SessionContext) -> Sequence[Edge]:
        """See `VenueClient.feeds`."""
        data, clock, intervals = context.config.data, context.clock, context.config.bars.intervals
        info = self._info()
        feed = ApexFeed(
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
            info=info,
            data=data,
            intervals=intervals,
            governor=self._governor,
            limits=FeedLimits(
                heard_s=HEARD_S,
                window_ns=min(map(parse_interval, intervals)),
                late_ns=int(context.config.bars.grace_ms * LATE) * _NS_PER_MS,
                subscriptions_max=_SUBSCRIPTIONS_MAX,
                ping_s=_PING_S,
            ),
            venue_clock=VenueClock(clock, *(self._venue_time or ())),
            tap=context.tap,
            dial=self._network.dial(websocket_url(self._base_url, 0)),
        )
        self.health["feed"] = lambda: str(feed.health)
        self.health["books"] = lambda: str(feed.books)

        async def read_market() -> None:
            # The supervisor runs the same feed again; it continues after what it has emitted.
            async with info:
                await feed.run()

        edges = [Edge("apex", read_market, note_jump=feed.note_jump)]
        if data.backfill_minutes:
            history = self._info()
            read = partial(self._read_closed, history, context.instruments, intervals)
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
            read = partial(read_candles, info)
            known = venue_intervals(intervals)
            odd = self.unusable.append
            return list(await last_closed(read, RULES, instruments, known, count, now_ns, odd))

    async def candles(
        self, listed: InstrumentListed, interval_ns: int, from_ns: int, to_ns: int
    ) -> Sequence[CandleRead]:
        """See `VenueClient.candles`. Reads all pages."""
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
            odd = self.unusable.append
            return await read_rates(info, listed, from_ns, to_ns, now_ns, odd)

    async def _read_closed(
        self,
        info: ApexInfo,
        instruments: Sequence[InstrumentListed],
        intervals: Sequence[str],
        since_ns: int,
        now_ns: int,
        odd: Odd,
    ) -> list[CandleRead | FundingRead]:
        """Return the candles that closed and the rates that were settled between two times."""
        read = partial(read_candles, info)
        known = venue_intervals(intervals)
        found: list[CandleRead | FundingRead] = [
            *await closed_since(read, RULES, instruments, known, since_ns, now_ns, odd)
        ]
        for listed in instruments:
            from_ns = since_ns // _HOUR_NS * _HOUR_NS
            found += await read_rates(info, listed, from_ns, now_ns, now_ns, odd)
        return sorted(found, key=lambda one: (one.venue_ns, isinstance(one, FundingRead), one.instrument))

    def _info(self) -> ApexInfo:
        return ApexInfo(self._base_url, governor=self._governor, transport=self._network.http())


async def _read_clock(info: ApexInfo) -> _Clock:
    """Return the venue's clock."""
    system = SystemClock()
    sent_ns, began_ns = system.now_ns(), system.monotonic_ns()
    venue_ns, coarse = await info.clock_ns()
    answered_ns = system.monotonic_ns()
    boot_ns = system.readings().boot_ns
    trip_ns = answered_ns - began_ns + (SECOND_NS if coarse else 0)
    return _Clock(venue_ns, sent_ns, answered_ns, boot_ns, trip_ns)
