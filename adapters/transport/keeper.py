"""Keeps the history of a live session up to date: candles and funding rates since the last reading.

An edge: it reads every `minutes`, and sends only what it has not sent before. Promises: a reading begins
where the last one that succeeded ended, and looks back an hour or a period further, so nothing that came
while readings failed is lost, and what the venue publishes late is found. The venue's client reads at the
lowest priority. Run by the runtime if the configuration enables it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

import trio

from engine.errors import VenueError
from engine.events import CandleRead, Event, FundingRead
from engine.ports import Clock
from engine.venue import Unusable

__all__ = ["HistoryKeeper", "ReadClosed"]

_MINUTE_NS = 60_000_000_000
_LATE_NS = 60 * _MINUTE_NS


class ReadClosed(Protocol):
    """Reads what closed or was settled between two times."""

    def __call__(
        self, since_ns: int, now_ns: int, odd: Callable[[Unusable], None]
    ) -> Awaitable[Sequence[CandleRead | FundingRead]]:
        """Return it, perhaps with some that is older; pass rows that cannot be used to `odd`.

        Raises VenueError.
        """
        ...


class HistoryKeeper:
    """State: when the last reading succeeded, and which windows that the next may repeat were sent.

    Windows are (instrument, interval, start or time); the interval of funding rates is 0.
    """

    def __init__(
        self,
        read: ReadClosed,
        clock: Clock,
        send: Callable[[list[Event]], Awaitable[None]],
        minutes: int,
    ) -> None:
        self._read = read
        self._clock = clock
        self._send = send
        self._every_ns = minutes * _MINUTE_NS
        self._reached_ns: int | None = None
        self._sent: set[tuple[int, int, int]] = set()
        self._readings = self._failures = self._unusable = 0
        self._last_failure = ""

    def __str__(self) -> str:
        """Return the line for people."""
        line = f"{self._readings} readings"
        if self._unusable:
            line += f", {self._unusable} rows of the last cannot be used"
        return f"{line}, {self._failures} failed: {self._last_failure}" if self._failures else line

    async def run(self) -> None:
        """Read and send until cancelled."""
        while True:
            try:
                await self._send(await self.look())
            except VenueError as error:  # the next reading has its span too
                self._failures += 1
                self._last_failure = str(error)
            until_ns = self._clock.now_ns() + self._every_ns
            await trio.sleep(max(1.0, self._clock.real_seconds_until(until_ns)))

    async def look(self) -> list[Event]:
        """Return what is new since the last call that succeeded. Raises VenueError."""
        now_ns = self._clock.now_ns()
        reached_ns = now_ns - self._every_ns if self._reached_ns is None else self._reached_ns
        since_ns = reached_ns - max(self._every_ns, _LATE_NS)
        found: dict[tuple[int, int, int], Event] = {}
        unusable: list[Unusable] = []
        for event in await self._read(since_ns, now_ns, unusable.append):
            if isinstance(event, CandleRead):
                found[event.instrument, event.interval_ns, event.start_ns] = event
            else:
                found[event.instrument, 0, event.venue_ns] = event
        self._readings += 1
        self._unusable = len(unusable)
        self._reached_ns = now_ns
        fresh = [event for window, event in found.items() if window not in self._sent]
        self._sent = {
            (instrument, interval_ns, at_ns)
            for instrument, interval_ns, at_ns in self._sent | set(found)
            if at_ns + 3 * interval_ns + _LATE_NS >= since_ns
        }
        return fresh
