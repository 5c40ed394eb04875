"""Reads the venue's candles for windows with missing trades, and to compare closed bars.

Owns the queue of windows to read. Promises: a window is read once it is over and the venue's candle can have
its last trade; a missing candle is requested again a few times and then counted in `windows_lost`, and its
bar stays incomplete; the governor limits the weight of these requests. Emits
`CandleRead` for "repair" and for "check". Run by `feed.py`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import trio

from adapters.transport.candles import CandleSource, stamped
from adapters.transport.context import FeedContext
from adapters.transport.governor import Priority
from engine.errors import VenueError
from engine.events import InstrumentListed

__all__ = ["Checks", "Repairs"]


@dataclass(slots=True)
class _Span:
    """Windows of one instrument and interval to be read: from the first to before `end_ns`."""

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
    """The windows to read, and the task that reads them."""

    def __init__(
        self, context: FeedContext, source: CandleSource, instruments: Sequence[InstrumentListed]
    ) -> None:
        self._context = context
        self._health = context.health
        self._limits = context.limits
        self._source = source
        self._instruments = {listed.instrument: listed for listed in instruments}
        self._spans: list[_Span] = []  # at most repairs_max
        self._added = trio.Event()

    def add_windows(self, instrument: int, from_ns: int, to_ns: int) -> None:
        """Queue every window between two venue times, both included; each is read once it is over."""
        for interval_ns in self._source.intervals_ns:
            start_ns = from_ns // interval_ns * interval_ns
            end_ns = (to_ns // interval_ns + 1) * interval_ns
            skipped = max(0, (end_ns - start_ns) // interval_ns - self._source.windows_max)
            self._health.windows_lost += skipped
            span = _Span(self._instruments[instrument], interval_ns, start_ns + skipped * interval_ns, end_ns)
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
        self._added.set()
        self._added = trio.Event()

    async def run(self) -> None:
        """Read spans as they fall due, shortest wait first, until cancelled."""
        while True:
            added = self._added
            span = min(self._spans, key=self._due_in, default=None)
            wait_s = math.inf if span is None else self._due_in(span)
            if span is None or wait_s > 0:
                with trio.move_on_after(wait_s):
                    await added.wait()
                continue
            self._spans.remove(span)
            await self._read(span)

    def _due_in(self, span: _Span) -> float:
        """Return in how many seconds the last window is over and its candle has every trade."""
        over_s = self._context.clock.real_seconds_until(span.end_ns) + self._limits.grace_s
        return max(over_s, span.not_before - trio.current_time())

    async def _read(self, span: _Span) -> None:
        span.tries += 1
        missing_ns = [*range(span.start_ns, span.end_ns, span.interval_ns)]
        try:
            candles = await self._source.read(
                span.listed,
                span.interval_ns,
                span.start_ns,
                span.end_ns,
                purpose="repair",
                recv_ns=self._context.clock.now_ns(),
                priority=Priority.MARKET,
            )
        except VenueError:
            self._health.venue_errors += 1
        else:
            found = {candle.start_ns for candle in candles}
            missing_ns = [start_ns for start_ns in missing_ns if start_ns not in found]
            self._health.windows_repaired += len(candles)
            await self._context.catch_up()
            self._context.emit(*stamped(candles, self._context.clock.now_ns()))
        if not missing_ns:
            return
        if span.tries >= self._limits.repair_tries_max:
            self._health.windows_lost += len(missing_ns)
            return
        span.start_ns, span.end_ns = missing_ns[0], missing_ns[-1] + span.interval_ns
        span.not_before = trio.current_time() + self._limits.repair_retry_s * span.tries
        self._spans.append(span)


class Checks:
    """Reads the last closed candles of every instrument and interval periodically, to be compared."""

    def __init__(
        self,
        context: FeedContext,
        source: CandleSource,
        instruments: Sequence[InstrumentListed],
        every_s: float,
        since_ns: int,
    ) -> None:
        self._context = context
        self._source = source
        self._every_s = every_s
        # Where the next comparison begins, by instrument and interval: never with a partly observed window.
        self._next_ns = {
            (listed, interval_ns): -(-since_ns // interval_ns) * interval_ns
            for listed in instruments
            for interval_ns in source.intervals_ns
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
        oldest_ns = over_ns - self._context.limits.check_windows_max * interval_ns
        start_ns = max(self._next_ns[listed, interval_ns], oldest_ns)
        if start_ns >= over_ns:
            return
        try:
            candles = await self._source.read(
                listed,
                interval_ns,
                start_ns,
                over_ns,
                purpose="check",
                recv_ns=self._context.clock.now_ns(),
                priority=Priority.HISTORY,
            )
        except VenueError:
            self._context.health.venue_errors += 1
            return
        self._next_ns[listed, interval_ns] = over_ns
        self._context.health.checks += len(candles)
        await self._context.catch_up()
        self._context.emit(*stamped(candles, self._context.clock.now_ns()))

    def _over_ns(self) -> int:
        """Return the venue's time that is `grace_s` real seconds ago."""
        now_ns = self._context.clock.now_ns()
        ahead_ns = now_ns + 1_000_000_000
        speed = 1 / max(self._context.clock.real_seconds_until(ahead_ns), 1e-9)
        return now_ns - int(self._context.limits.grace_s * speed * 1_000_000_000)
