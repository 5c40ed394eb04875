"""Finds dead subscriptions among quiet ones: a subscription silent for too long is checked with the venue.

Owns a deadline for each subscription of each instrument: short for one that is busy, long for the others.
Promises: a subscription is called dead only if the venue shows something that did not come, and still has not
`proof_s` later; a quiet one is checked ever more rarely, so that a quiet market costs little and never a
connection; one check at a time. A connection that is dead as a whole is found by `connection.py`. The
venue's customs are numbers of `FeedLimits` and the request that settles each subscription (`Ask`). Run by
`feed.py`, which reports what was received.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Final

import trio

from adapters.transport.connection import Loss
from adapters.transport.context import FeedContext
from adapters.transport.stream import Stream
from engine.errors import VenueError

__all__ = ["Ask", "Key", "Silences"]

Key = tuple[str, str]
"""Kind of subscription and name of its instrument, "" for one that is of none."""

Ask = Callable[[bool], Awaitable[Callable[[], bool]]]
"""Asks the venue for the newest of a subscription; returns a function that says whether that has come.

True asks for a subscription that has sent nothing on its connection yet: what the venue shows is then its
beginning, since not every channel sends one by itself. Raises VenueError.
"""

_LOOK_S: Final = 1.0

_BUSY: Final = 5.0
"""Messages that a busy one would have sent in `stale_s`: by chance it sends none once in 150 times."""

_COUNT_MIN: Final = 10
"""Messages before a subscription's pace is known."""


@dataclass(slots=True)
class _Watch:
    """One subscription. Times are the engine's: of its confirmation, and of its last message since."""

    stream: Stream
    ask: Ask
    since_ns: int
    last_ns: int
    count: int = 0  # messages of this connection
    begun: bool = False  # the venue has shown its beginning
    asked_at: float = -math.inf  # trio's clock
    asked_count: int = -1  # messages when it was last checked
    patience: float = 1.0  # doubled by each check in a row that found nothing


class Silences:
    """Watches a feed's live subscriptions."""

    def __init__(self, context: FeedContext) -> None:
        self._context = context
        self._health = context.health
        self._limits = context.limits
        self._watches: dict[Key, _Watch] = {}

    def watch(self, stream: Stream, asks: Iterable[tuple[Key, Ask]], now_ns: int) -> None:
        """Begin to watch the subscriptions of a stream that has just come up."""
        for key, ask in asks:
            self._watches[key] = _Watch(stream, ask, now_ns, now_ns)

    def forget(self, stream: Stream) -> None:
        """A stream is down: no message is expected of its subscriptions."""
        self._watches = {key: watch for key, watch in self._watches.items() if watch.stream is not stream}

    def heard(self, kind: str, name: str, recv_ns: int) -> None:
        """A message of a subscription came."""
        watch = self._watches.get((kind, name))
        if watch is not None:
            watch.last_ns = recv_ns
            watch.count += 1

    async def run(self) -> None:
        """Look once a second, and check what is overdue: busy ones at once, quiet ones now and then.

        Not while the engine is behind, since then messages wait on our side.
        """
        quiet_at = 0.0
        while True:
            await self._context.catch_up()
            await trio.sleep(_LOOK_S)
            overdue = [key for key, watch in self._watches.items() if self._is_overdue(watch)]
            busy = [key for key in overdue if self._is_busy(self._watches[key])]
            if not busy and trio.current_time() < quiet_at:
                continue
            if overdue:
                key = min(busy or overdue, key=lambda one: self._watches[one].asked_at)
                quiet_at = trio.current_time() + self._limits.question_every_s
                await self._check(key, self._watches[key])

    def _is_busy(self, watch: _Watch) -> bool:
        active_s = self._context.seconds_since(watch.since_ns) - self._context.seconds_since(watch.last_ns)
        return watch.count >= _COUNT_MIN and watch.count * self._limits.stale_s >= _BUSY * active_s

    def _is_overdue(self, watch: _Watch) -> bool:
        limits = self._limits
        bound_s = limits.stale_s if self._is_busy(watch) else limits.quiet_s
        if watch.count == watch.asked_count:  # still silent since it was checked
            wait_s = min(bound_s * watch.patience, limits.quiet_s_max)
            return trio.current_time() - watch.asked_at >= wait_s
        return self._context.seconds_since(watch.last_ns) >= bound_s

    async def _check(self, key: Key, watch: _Watch) -> None:
        """Check one subscription, and give up its connection if the venue has what did not come."""
        self._health.questions += 1
        count = watch.count
        watch.patience = 2 * watch.patience if count == watch.asked_count else 1.0
        watch.asked_at, watch.asked_count = trio.current_time(), count
        silent_s = self._context.seconds_since(watch.last_ns)
        has_come: Callable[[], bool] | None = None
        with trio.move_on_after(self._limits.question_s):
            try:
                has_come = await watch.ask(not count and not watch.begun)
            except VenueError:
                self._health.venue_errors += 1
        watch.begun = watch.begun or has_come is not None
        if has_come is not None and not has_come() and watch.count == count:
            await trio.sleep(self._limits.proof_s)
            if not has_come() and watch.count == count and self._watches.get(key) is watch:
                self._health.silences += 1
                kind, name = key
                of = f" of {name}" if name else ""
                watch.stream.lose(Loss(f"{kind}{of} is silent for {silent_s:.0f} s, and the venue has more"))
