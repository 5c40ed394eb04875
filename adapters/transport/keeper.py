"""Keeps the history of a live session up to date: candles and funding rates since the last reading.

An edge: it reads every `minutes`, and sends only what it has not sent before. After a failed reading it tries
again the next time. The venue's client reads at the lowest priority. Run by the runtime if the configuration
enables it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Sequence

import trio

from engine.errors import VenueError
from engine.events import CandleRead, Event, FundingRead
from engine.ports import Clock

__all__ = ["HistoryKeeper", "ReadClosed"]

_MINUTE_NS = 60_000_000_000

ReadClosed = Callable[[int, int], Awaitable[Sequence[CandleRead | FundingRead]]]
"""Returns what closed or settled in (period_ns) before (now_ns), or slightly earlier. Raises VenueError."""


class HistoryKeeper:
    """State: the newest window sent, by instrument and interval; 0 stands for funding rates."""

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
        self._sent: dict[tuple[int, int], int] = {}

    async def run(self) -> None:
        """Read and send until cancelled."""
        while True:
            with contextlib.suppress(VenueError):  # read the next time
                await self._send(await self.look())
            until_ns = self._clock.now_ns() + self._every_ns
            await trio.sleep(max(1.0, self._clock.real_seconds_until(until_ns)))

    async def look(self) -> list[Event]:
        """Return what is new since the last call. Raises VenueError."""
        fresh: list[Event] = []
        for event in await self._read(self._every_ns, self._clock.now_ns()):
            if isinstance(event, CandleRead):
                key, at_ns = (event.instrument, event.interval_ns), event.start_ns
            else:
                key, at_ns = (event.instrument, 0), event.venue_ns
            if at_ns > self._sent.get(key, 0):
                self._sent[key] = at_ns
                fresh.append(event)
        return fresh
