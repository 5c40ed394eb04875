"""The bounded queue of inputs: edges put them in, the sequencer takes them out in the order of arrival.

Filled by feeds and operators. While it is full, senders wait, so that backpressure reaches the venue instead
of filling our memory. The highest fill is kept for the health line.
"""

from __future__ import annotations

from collections import deque

import trio

from engine.events import Event

__all__ = ["Ingress"]

INPUTS_MAX = 65_536
"""Upper bound on queued inputs: about ten seconds of the busiest market recorded."""
BATCH_MAX = 4_096
"""Inputs of one batch at most, so that a long queue does not delay the committer."""


class Ingress:
    """A queue of inputs. `high_water` is the highest number queued, `inputs_max` its bound."""

    def __init__(self, inputs_max: int = INPUTS_MAX) -> None:
        self.high_water = 0
        self.received = 0
        self.inputs_max = inputs_max
        self._inputs: deque[Event] = deque()
        self._filled = trio.Event()
        self._emptied = trio.Event()

    async def send(self, events: list[Event]) -> None:
        """Queue inputs; wait while the queue is full."""
        while not self.offer(events):
            await self._emptied.wait()

    def offer(self, events: list[Event]) -> bool:
        """Queue inputs if they fit, and return whether they did."""
        if self._inputs and len(self._inputs) + len(events) > self.inputs_max:
            return False
        self.put(events)
        return True

    def put(self, events: list[Event]) -> None:
        """Queue inputs even beyond the bound: for the few of an operator, which must not wait."""
        self._inputs.extend(events)
        self.received += len(events)
        self.high_water = max(self.high_water, len(self._inputs))
        self._filled.set()

    def put_back(self, events: list[Event]) -> None:
        """Put inputs that were taken but not processed back at the front."""
        self._inputs.extendleft(reversed(events))
        self._filled.set()

    def wake(self) -> None:
        """Let `receive` return, even without an input."""
        self._filled.set()

    async def receive(self, most: int = BATCH_MAX) -> list[Event]:
        """Wait for an input; return all that are queued, at most `most`. Empty after a `wake`."""
        if not self._inputs:
            self._filled = trio.Event()
            await self._filled.wait()
        return self.take(most)

    def take(self, most: int = BATCH_MAX) -> list[Event]:
        """Return the queued inputs, at most `most`. May be empty."""
        count = min(len(self._inputs), most)
        batch = [self._inputs.popleft() for _ in range(count)]
        self._emptied.set()
        self._emptied = trio.Event()
        return batch
