"""Windows with prints missing are read from the venue's candles; closed bars are compared with them.

Owns which windows are still to be read. Promises: a window is read once it is over and its last print can be
in the venue's candle; what the venue does not give is asked for again a few times and then left, counted in
`windows_lost`, so that its bar stays incomplete; the weight of all that is the governor's concern. Emits
`CandleRead` for "repair" and for "check". Run by `feed.py` beside its connections.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import trio

from adapters.hyperliquid.channels import venue_intervals
from adapters.hyperliquid.history import CANDLES_MAX, read_candles, stamped
from adapters.transport.context import Desk, MarketInfo
from adapters.transport.governor import Priority
from engine.errors import VenueError
from engine.events import InstrumentListed
from engine.values import parse_interval

__all__ = ["Checks", "Repairs"]


@dataclass(slots=True)
class _Span:
    """Windows of one coin and interval to be read: from the first to before `end_ns`."""

    listed: InstrumentListed
    interval_ns: int
    start_ns: int
    end_ns: int
    tries: int = 0
    not_before: float = -math.inf  # trio's clock

    @property
    def windows(self) -> int:
        return (self.end_ns - self.start_ns) // self.interval_ns


class Repairs:
    """The windows that open gaps touched. `intervals` are the session's bars."""

    def __init__(
        self,
        desk: Desk,
        info: MarketInfo,
        instruments: Sequence[InstrumentListed],
        intervals: Sequence[str],
    ) -> None:
        self._desk = desk
        self._health = desk.health
        self._limits = desk.limits
        self._info = info
        self._instruments = {listed.instrument: listed for listed in instruments}
        self._intervals_ns = [parse_interval(name) for name in venue_intervals(intervals)]
        self._spans: list[_Span] = []  # at most repairs_max
        self._touched = trio.Event()

    def touch(self, instrument: int, from_ns: int, to_ns: int) -> None:
        """Have every window between two venue times read, both ends included, once it is over."""
        for interval_ns in self._intervals_ns:
            start_ns = from_ns // interval_ns * interval_ns
            end_ns = (to_ns // interval_ns + 1) * interval_ns
            forgotten = max(0, (end_ns - start_ns) // interval_ns - CANDLES_MAX)
            self._health.windows_lost += forgotten
            span = _Span(
                self._instruments[instrument], interval_ns, start_ns + forgotten * interval_ns, end_ns
            )
            for other in self._spans:
                same = other.listed is span.listed and other.interval_ns == interval_ns
                if same and other.start_ns <= span.end_ns and span.start_ns <= other.end_ns:
                    other.start_ns = min(other.start_ns, span.start_ns)
                    other.end_ns = max(other.end_ns, span.end_ns)
                    break
            else:
                if len(self._spans) < self._limits.repairs_max:
                    self._spans.append(span)
                else:
                    self._health.windows_lost += span.windows
        self._touched.set()
        self._touched = trio.Event()

    async def run(self) -> None:
        """Read spans as they fall due, shortest wait first, until cancelled."""
        while True:
            touched = self._touched
            span = min(self._spans, key=self._due_in, default=None)
            wait_s = math.inf if span is None else self._due_in(span)
            if span is None or wait_s > 0:
                with trio.move_on_after(wait_s):
                    await touched.wait()
                continue
            self._spans.remove(span)
            await self._read(span)

    def _due_in(self, span: _Span) -> float:
        """Return in how many seconds the last window is over and its candle has every print."""
        over_s = self._desk.clock.real_seconds_until(span.end_ns) + self._limits.grace_s
        return max(over_s, span.not_before - trio.current_time())

    async def _read(self, span: _Span) -> None:
        span.tries += 1
        missing_ns = [*range(span.start_ns, span.end_ns, span.interval_ns)]
        try:
            candles = await read_candles(
                self._info,
                span.listed,
                span.interval_ns,
                span.start_ns,
                span.end_ns,
                purpose="repair",
                recv_ns=self._desk.clock.now_ns(),
                priority=Priority.MARKET,
            )
        except VenueError:
            self._health.venue_errors += 1
        else:
            found = {candle.start_ns for candle in candles}
            missing_ns = [start_ns for start_ns in missing_ns if start_ns not in found]
            self._health.windows_repaired += len(candles)
            await self._desk.room()
            self._desk.emit(*stamped(candles, self._desk.clock.now_ns()))
        if not missing_ns:
            return
        if span.tries >= self._limits.repair_tries_max:
            self._health.windows_lost += len(missing_ns)
            return
        span.start_ns, span.end_ns = missing_ns[0], missing_ns[-1] + span.interval_ns
        span.not_before = trio.current_time() + self._limits.repair_retry_s * span.tries
        self._spans.append(span)


class Checks:
    """Reads the last closed candles of every coin and interval from time to time, to be compared."""

    def __init__(
        self,
        desk: Desk,
        info: MarketInfo,
        instruments: Sequence[InstrumentListed],
        intervals: Sequence[str],
        every_s: float,
        since_ns: int,
    ) -> None:
        self._desk = desk
        self._info = info
        self._every_s = every_s
        # Where the next comparison begins, by coin and interval: never with a window we saw only a part of.
        self._next_ns = {
            (listed, interval_ns): -(-since_ns // interval_ns) * interval_ns
            for listed in instruments
            for interval_ns in map(parse_interval, venue_intervals(intervals))
        }

    async def run(self) -> None:
        """Compare until cancelled; one request at a time, spread over the period."""
        while True:
            pause_s = self._every_s / len(self._next_ns)
            for listed, interval_ns in list(self._next_ns):
                await trio.sleep(pause_s)
                await self._check(listed, interval_ns)

    async def _check(self, listed: InstrumentListed, interval_ns: int) -> None:
        over_ns = self._over_ns() // interval_ns * interval_ns
        oldest_ns = over_ns - self._desk.limits.check_windows_max * interval_ns
        start_ns = max(self._next_ns[listed, interval_ns], oldest_ns)
        if start_ns >= over_ns:
            return
        try:
            candles = await read_candles(
                self._info,
                listed,
                interval_ns,
                start_ns,
                over_ns,
                purpose="check",
                recv_ns=self._desk.clock.now_ns(),
                priority=Priority.HISTORY,
            )
        except VenueError:
            self._desk.health.venue_errors += 1
            return
        self._next_ns[listed, interval_ns] = over_ns
        self._desk.health.checks += len(candles)
        await self._desk.room()
        self._desk.emit(*stamped(candles, self._desk.clock.now_ns()))

    def _over_ns(self) -> int:
        """Return the venue's time that is `grace_s` real seconds ago."""
        now_ns = self._desk.clock.now_ns()
        ahead_ns = now_ns + 1_000_000_000
        speed = 1 / max(self._desk.clock.real_seconds_until(ahead_ns), 1e-9)
        return now_ns - int(self._desk.limits.grace_s * speed * 1_000_000_000)
