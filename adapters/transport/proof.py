"""How far a feed has delivered what its venue sent, and how late it is.

Owns the proof of every connection: the newest time in a message of the venue, or the venue's time when the
newest ping left that was answered. Messages come in order, so whatever the venue had sent before has been
read by then. Promises: `FeedHeard` says how far all connections are proved, after all events that it covers;
it comes every `heard_s`, with the answer to a ping of a quiet connection, and at once when it passes the end
of a window that bars are made of, for which quiet connections are pinged; so a proof is replaced before it is
two periods old. Nothing is proved while trades are held back. A proof older than `lag_s` is a
`FeedLagging`, and so is the end of that.

A venue publishes a trade a little after its time, so a message or an answer proves what happened until
`late_ns` before it. Run by `feed.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import trio

from adapters.transport.context import FeedContext
from adapters.transport.stream import Stream
from engine.clock import SECOND_NS, window_end, window_start
from engine.events import FeedHeard, FeedLagging
from engine.ports import Clock

__all__ = ["AHEAD_S", "Proofs", "VenueClock"]

AHEAD_S: Final = 5.0
"""A time of the venue further than this ahead of its clock, in real seconds, is refused: it would stop what
waits for that time. What is known of the clock may be slow by the time that its answer took."""

_LOOK_S: Final = 0.5
"""How often it is looked how late the connections are."""

_AHEAD_S: Final = 1.0
"""A message whose time is further than this ahead of the venue's clock proves nothing."""

_TRIP_NS_MIN: Final = SECOND_NS // 4
"""What is known of the venue's clock is not made more exact than this."""

_PING_S_MIN: Final = 0.05
"""Shortest pause between two rounds of pings, however fast the venue's clock runs."""

_PING_LATER_S: Final = 0.001
"""A ping at the end of a window leaves this much later: clocks are read in steps."""

_SLEEP_S_MAX: Final = 1.0
"""The longest sleep: the machine may be suspended in it, and then it lasts longer."""


class VenueClock:
    """A lower bound of the venue's time: what it said once, and the time that has passed since.

    It does not follow the engine's wall clock, which may be set; `boot_ns` is the reading of
    `Clock.readings` when the venue's answer was received. Without an answer of the venue, and for a venue
    whose clock the engine has adopted, it is the engine's clock. The answer took `trip_ns`, so the venue's
    time may be as much later: messages with a time raise the bound, by no more than that.
    """

    def __init__(self, clock: Clock, venue_ns: int | None = None, boot_ns: int = 0, trip_ns: int = 0) -> None:
        self._clock = clock
        self._ahead_ns = None if venue_ns is None else venue_ns - boot_ns
        self._ahead_ns_max = (self._ahead_ns or 0) + trip_ns

    def note(self, venue_ns: int) -> bool:
        """Note the time of a message that has just come; return whether the clock is later than was known."""
        if self._ahead_ns is None or self._ahead_ns_max - self._ahead_ns < _TRIP_NS_MIN:
            return False
        ahead_ns = min(venue_ns - self._clock.readings().boot_ns, self._ahead_ns_max)
        is_later = ahead_ns > self._ahead_ns
        if is_later:
            self._ahead_ns = ahead_ns
        return is_later

    def now_ns(self) -> int:
        """Return the venue's time, UTC nanoseconds."""
        if self._ahead_ns is None:
            return self._clock.now_ns()
        return self._ahead_ns + self._clock.readings().boot_ns

    def seconds_until(self, venue_ns: int) -> float:
        """Return the real seconds until the venue's clock reads a time; negative if it has passed."""
        if self._ahead_ns is None:
            return self._clock.real_seconds_until(venue_ns)
        return (venue_ns - self.now_ns()) / SECOND_NS

    def ahead_ns(self, seconds: float) -> int:
        """Return how far the venue's clock will be ahead of the engine's present time in real seconds."""
        now_ns, engine_ns = self.now_ns(), self._clock.now_ns()
        second_s = max(self._clock.real_seconds_until(engine_ns + SECOND_NS), 1e-9)
        return now_ns - engine_ns + int(seconds / second_s * SECOND_NS)


class Proofs:
    """The proofs of a feed's `streams`, which are added later.

    `is_held`: trades of a stream are held back. `is_behind`: the engine does not take what was decoded.
    """

    def __init__(
        self,
        context: FeedContext,
        clock: VenueClock,
        streams: Sequence[Stream],
        is_held: Callable[[Stream], bool],
        is_behind: Callable[[], bool],
    ) -> None:
        self._context = context
        self._health = context.health
        self._limits = context.limits
        self._clock = clock
        self._streams = streams
        self._is_held = is_held
        self._is_behind = is_behind
        self._heard_ns = 0
        self._proved_ns = 0  # what was reported
        self._due_ns = 0  # a message of this time proves the next window
        self._ahead_ns = 0  # what a message may be ahead of its receipt
        self._up_ns = 0  # when the feed came up: nothing before counts as late

    def note_up(self) -> None:
        """Note that all connections are up."""
        self._up_ns = self._clock.now_ns()
        self._ahead_ns = self._clock.ahead_ns(_AHEAD_S)

    def note_message(self, stream: Stream, venue_ns: int, recv_ns: int) -> None:
        """Note the time of a message, which the venue sent after all that it had sent before that time."""
        if self._clock.note(venue_ns):
            self._ahead_ns = self._clock.ahead_ns(_AHEAD_S)
        if stream.reached_ns < venue_ns <= recv_ns + self._ahead_ns:
            stream.reached_ns = venue_ns
            if venue_ns >= self._due_ns:
                self.advance()

    def advance(self) -> None:
        """Report the proof if it passes the end of a window."""
        if self._limits.window_ns and self._reached_ns() >= self._due_ns and self._may_prove():
            self._report()

    def note_answer(self) -> None:
        """Note that a ping was answered: on a quiet market only that keeps prices young enough to trade."""
        if not self._limits.heard_s or self._is_behind():
            return
        reported_ns = self._proved_ns + self._limits.late_ns
        if -self._clock.seconds_until(reported_ns) > self._limits.heard_s / 2 and self._may_prove():
            self._report()
        else:
            self.advance()

    async def run(self) -> None:
        """Report life and lateness until cancelled, and ping the connections that are quiet."""
        while True:
            began, period_s = trio.current_time(), self._limits.heard_s
            while (left_s := began + self._limits.heard_s - trio.current_time()) > 0:
                await trio.sleep(min(_LOOK_S, left_s))
                self._look()
            if not self._health.live or self._is_behind():
                continue
            self._report()
            for stream in self._streams:
                if -self._clock.seconds_until(stream.reached_ns) > period_s / 2:
                    stream.start_soon(stream.ping)

    async def prove_windows(self) -> None:
        """Ping at the end of every window until cancelled, unless a message has proved it already."""
        span_ns, late_ns = self._limits.window_ns, self._limits.late_ns
        while True:
            now_ns = self._clock.now_ns()
            due_ns = window_end(span_ns, window_start(span_ns, now_ns - late_ns)) + late_ns
            wait_s = self._clock.seconds_until(due_ns) + _PING_LATER_S
            await trio.sleep(max(min(wait_s, _SLEEP_S_MAX), _PING_S_MIN))
            if self._health.live and self._clock.now_ns() >= due_ns:
                self.advance()
                for stream in self._streams:
                    if max(stream.reached_ns, stream.pinged_ns) < due_ns:
                        stream.start_soon(stream.ping)

    def _reached_ns(self) -> int:
        return min(one.reached_ns for one in self._streams)

    def _may_prove(self) -> bool:
        return self._health.live and not any(self._is_held(one) for one in self._streams)

    def _report(self) -> None:
        """Emit what is newly heard or proved."""
        heard_ns, proved_ns = self._heard_ns, self._proved_ns
        if self._may_prove():
            proved_ns = max(proved_ns, self._reached_ns() - self._limits.late_ns)
        heard_ns = max(heard_ns, min(one.heard_ns for one in self._streams))
        if (heard_ns, proved_ns) == (self._heard_ns, self._proved_ns):
            return
        self._heard_ns, self._proved_ns = heard_ns, proved_ns
        if self._limits.window_ns:
            span_ns = self._limits.window_ns
            self._due_ns = window_end(span_ns, window_start(span_ns, proved_ns)) + self._limits.late_ns
        context = self._context
        recv_ns = max(heard_ns, context.clock.now_ns())
        context.emit(FeedHeard(recv_ns, context.name, heard_ns, proved_ns))

    def _look(self) -> None:
        """Measure how old the newest proof of each connection is, and report what is too old."""
        if not self._health.live:
            self._health.lags_s = ()
            return
        self._ahead_ns = self._clock.ahead_ns(_AHEAD_S)
        newest = [max(one.reached_ns, self._up_ns) for one in self._streams]
        self._health.lags_s = tuple(max(0.0, -self._clock.seconds_until(one)) for one in newest)
        was_lagging, lag_s = self._health.lagging, max(self._health.lags_s)
        # The end is at half the bound, so that a lag near the bound is not reported again and again.
        is_lagging = lag_s > self._limits.lag_s / (2 if was_lagging else 1)
        if is_lagging != was_lagging:
            self._health.lagging = is_lagging
            context = self._context
            lag_ms = round(lag_s * 1000) if is_lagging else 0
            context.emit(FeedLagging(context.clock.now_ns(), context.name, lag_ms))
