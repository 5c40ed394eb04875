"""The one bounded way in: edges put inputs here, the sequencer takes them out in the order of arrival.

Filled by feeds and operators. When it is full, a sender waits, so that a venue's own buffer fills up and
not our memory; the highest fill is kept for the health line.
"""

from __future__ import annotations

from collections import deque

import trio

from engine.events import Event

__all__ = ["Ingress"]

INPUTS_MAX = 65_536
"""Inputs that may wait; about ten seconds of the busiest market seen."""
BATCH_MAX = 4_096
"""Inputs handed over at once, so that a long queue does not hold up the committer."""


class Ingress:
    """A queue of inputs. `high_water` is the most that ever waited."""

    def __init__(self, inputs_max: int = INPUTS_MAX) -> None:
        self.high_water = 0
        self.received = 0
        self._max = inputs_max
        self._inputs: deque[Event] = deque()
        self._filled = trio.Event()
        self._emptied = trio.Event()

    async def send(self, events: list[Event]) -> None:
        """Put inputs in; waits while there is no room."""
        while not self.offer(events):
            await self._emptied.wait()

    def offer(self, events: list[Event]) -> bool:
        """Put inputs in if there is room, and say whether there was."""
        if self._inputs and len(self._inputs) + len(events) > self._max:
            return False
        self.put(events)
        return True

    def put(self, events: list[Event]) -> None:
        """Put inputs in at once: for the few of an operator, which must not wait behind the market."""
        self._inputs.extend(events)
        self.received += len(events)
        self.high_water = max(self.high_water, len(self._inputs))
        self._filled.set()

    def put_back(self, events: list[Event]) -> None:
        """Put inputs that were taken, but not used, in front again."""
        self._inputs.extendleft(reversed(events))
        self._filled.set()

    async def receive(self) -> list[Event]:
        """Return the inputs that wait, at least one, at most BATCH_MAX."""
        if not self._inputs:
            self._filled = trio.Event()
            await self._filled.wait()
        return self.take()

    def take(self) -> list[Event]:
        """Return the inputs that wait, at most BATCH_MAX, perhaps none."""
        count = min(len(self._inputs), BATCH_MAX)
        batch = [self._inputs.popleft() for _ in range(count)]
        self._emptied.set()
        self._emptied = trio.Event()
        return batch
