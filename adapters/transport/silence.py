"""Tells a quiet subscription from a dead one: whoever is silent too long is asked about at the venue.

Owns a deadline for each subscription of each coin: short for one that is used to talk, long for the others.
Promises: a subscription is called dead only if the venue shows something that did not come, and still has
not `proof_s` later; a quiet one is asked about ever more rarely, so that a quiet market costs little and
never a connection; one question at a time. A connection that is dead as a whole is `connection.py`'s to
notice. Run by `feed.py`, which says what has been seen.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Final

import trio

from adapters.transport.connection import Loss
from adapters.transport.context import Desk
from adapters.transport.stream import Line
from engine.errors import VenueError

__all__ = ["Ask", "Key", "Silences"]

Key = tuple[str, str]
"""Kind of subscription and coin, "" for one that is of no coin."""

Ask = Callable[[bool], Awaitable[Callable[[], bool]]]
"""Asks the venue for the newest of a subscription; returns what says whether that has come by itself.

True asks on behalf of one that has never spoken on its connection: what the venue shows is then where it
begins, since not every channel says so by itself. Raises VenueError.
"""

_LOOK_S: Final = 1.0

_BUSY: Final = 5.0
"""Messages that a busy one would have sent in `stale_s`: by chance it sends none once in 150 times."""

_COUNT_MIN: Final = 10
"""Messages before a subscription's pace is known."""


@dataclass(slots=True)
class _Watch:
    """One subscription. Times are the engine's: of its confirmation, and of its last message since."""

    line: Line
    ask: Ask
    since_ns: int
    last_ns: int
    count: int = 0  # messages of this connection
    begun: bool = False  # the venue has shown where it begins
    asked_at: float = -math.inf  # trio's clock
    asked_count: int = -1  # messages when it was last asked about
    patience: float = 1.0  # doubled by each question in a row that found nothing


class Silences:
    """The watches of a feed's live subscriptions."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._health = desk.health
        self._limits = desk.limits
        self._watches: dict[Key, _Watch] = {}

    def watch(self, line: Line, asks: Iterable[tuple[Key, Ask]], now_ns: int) -> None:
        """Begin to watch the subscriptions of a line that has just come up."""
        for key, ask in asks:
            self._watches[key] = _Watch(line, ask, now_ns, now_ns)

    def forget(self, line: Line) -> None:
        """A line is lost: none of its subscriptions is expected to speak."""
        self._watches = {key: watch for key, watch in self._watches.items() if watch.line is not line}

    def hear(self, kind: str, coin: str, recv_ns: int) -> None:
        """A message of a subscription came."""
        watch = self._watches.get((kind, coin))
        if watch is not None:
            watch.last_ns = recv_ns
            watch.count += 1

    async def run(self) -> None:
        """Look once a second, and ask about what is overdue: busy ones at once, quiet ones now and then.

        Not while the engine is behind, since then it is we who do not listen.
        """
        quiet_at = 0.0
        while True:
            await self._desk.room()
            await trio.sleep(_LOOK_S)
            overdue = [key for key, watch in self._watches.items() if self._is_overdue(watch)]
            busy = [key for key in overdue if self._is_busy(self._watches[key])]
            if not busy and trio.current_time() < quiet_at:
                continue
            if overdue:
                key = min(busy or overdue, key=lambda one: self._watches[one].asked_at)
                quiet_at = trio.current_time() + self._limits.question_every_s
                await self._question(key, self._watches[key])

    def _is_busy(self, watch: _Watch) -> bool:
        talked_s = self._desk.seconds_since(watch.since_ns) - self._desk.seconds_since(watch.last_ns)
        return watch.count >= _COUNT_MIN and watch.count * self._limits.stale_s >= _BUSY * talked_s

    def _is_overdue(self, watch: _Watch) -> bool:
        limits = self._limits
        bound_s = limits.stale_s if self._is_busy(watch) else limits.quiet_s
        if watch.count == watch.asked_count:  # still silent since it was asked about
            wait_s = min(bound_s * watch.patience, limits.quiet_s_max)
            return trio.current_time() - watch.asked_at >= wait_s
        return self._desk.seconds_since(watch.last_ns) >= bound_s

    async def _question(self, key: Key, watch: _Watch) -> None:
        """Ask about one subscription, and lose its connection if the venue has what we have not."""
        self._health.questions += 1
        count = watch.count
        watch.patience = 2 * watch.patience if count == watch.asked_count else 1.0
        watch.asked_at, watch.asked_count = trio.current_time(), count
        silent_s = self._desk.seconds_since(watch.last_ns)
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
                kind, coin = key
                of = f" of {coin}" if coin else ""
                watch.line.lose(Loss(f"{kind}{of} is silent for {silent_s:.0f} s, and the venue has more"))
