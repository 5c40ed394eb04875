"""The sequencer's timers, by due time and then by their own number.

A timer with the same actor and key replaces the earlier one, which stays in the queue until its turn and is
then ignored. Promises: the order depends on what was set alone, and `next_ns` is always that of the next
timer in force.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Final

from engine.actors.base import SetTimer
from engine.moving import move_timers
from engine.opening import Timer

__all__ = ["NEVER", "Timers"]

NEVER: Final = 2**63 - 1


class Timers:
    """State: the `queue`, and the `number` of the newest. `next_ns`: when the next is due, else NEVER."""

    def __init__(self) -> None:
        self.queue: list[Timer] = []
        self.number = 0
        self.next_ns = NEVER
        self._waiting: dict[tuple[str, str], int] = {}

    def load(self, queue: list[Timer], number: int) -> None:
        """Take over the timers that a day opens with."""
        self.queue = queue
        self.number = number
        self._waiting = {timer[2:4]: timer[1] for timer in queue}
        self._find_next()

    def push(self, timer: SetTimer, cause: int) -> None:
        """Set a timer; `cause` is the seq of the event that set it."""
        self.number += 1
        self._waiting[timer.actor, timer.key] = self.number
        heapq.heappush(self.queue, (timer.due_ns, self.number, timer.actor, timer.key, cause))
        self._find_next()

    def pop(self) -> Timer:
        """Take out the next timer, which there must be."""
        timer = heapq.heappop(self.queue)
        del self._waiting[timer[2:4]]
        self._find_next()
        return timer

    def fired(self, actor: str, key: str) -> None:
        """Drop a timer that a record says has fired."""
        self._waiting.pop((actor, key), None)
        self._find_next()

    def move(self, old: str, new: str) -> None:
        """Give the timers of one strategy to another."""
        self.queue, self._waiting = move_timers(self.queue, self._waiting, old, new)

    def keep(self, kept: Callable[[Timer], bool] = lambda _: True) -> None:
        """Drop the timers that have been replaced, and those for which `kept` returns False."""
        self.queue = sorted(
            timer for timer in self.queue if self._waiting.get(timer[2:4]) == timer[1] and kept(timer)
        )
        self._waiting = {timer[2:4]: timer[1] for timer in self.queue}
        self._find_next()

    def _find_next(self) -> None:
        queue, waiting = self.queue, self._waiting
        while queue and waiting.get(queue[0][2:4]) != queue[0][1]:
            heapq.heappop(queue)
        self.next_ns = queue[0][0] if queue else NEVER
