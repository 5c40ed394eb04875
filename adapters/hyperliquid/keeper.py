"""Keeps the history of a live session up to date: candles and funding rates since the last reading.

An edge: it reads at the lowest priority every `minutes`, and sends only what it has not sent. A reading that
fails is left for the next time. Called by the runtime where the configuration asks for it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Sequence

import trio

from adapters.hyperliquid.decode import Decoder
from adapters.hyperliquid.history import warmup
from adapters.hyperliquid.info import HyperliquidInfo
from engine.errors import VenueError
from engine.events import CandleRead, Event, FundingRead, InstrumentListed
from engine.ports import Clock
from engine.values import parse_interval

__all__ = ["HistoryKeeper"]

_HOUR_NS = 3_600_000_000_000
_MINUTE_NS = 60_000_000_000


class HistoryKeeper:
    """State: the newest window sent, by instrument and interval; 0 stands for funding rates."""

    def __init__(
        self,
        info: HyperliquidInfo,
        instruments: Sequence[InstrumentListed],
        intervals: Sequence[str],
        clock: Clock,
        send: Callable[[list[Event]], Awaitable[None]],
        minutes: int,
    ) -> None:
        self._info = info
        self._instruments = instruments
        self._intervals = intervals
        self._clock = clock
        self._send = send
        self._every_ns = minutes * _MINUTE_NS
        self._sent: dict[tuple[int, int], int] = {}

    async def run(self) -> None:
        """Look again and again until cancelled."""
        async with self._info:
            while True:
                with contextlib.suppress(VenueError):  # what is missing now is read the next time
                    await self._send(await self.look())
                until_ns = self._clock.now_ns() + self._every_ns
                await trio.sleep(max(1.0, self._clock.real_seconds_until(until_ns)))

    async def look(self) -> list[Event]:
        """Return what has closed since the last look; at first, within the last one. Raises VenueError."""
        now_ns = self._clock.now_ns()
        shortest_ns = min(parse_interval(name) for name in self._intervals)
        count = self._every_ns // shortest_ns + 2
        candles = await warmup(self._info, self._instruments, self._intervals, count, now_ns)
        rates = [rate for listed in self._instruments for rate in await self._rates(listed, now_ns)]
        fresh: list[Event] = []
        read: list[CandleRead | FundingRead] = [*candles, *rates]
        for event in read:
            if isinstance(event, CandleRead):
                key, at_ns = (event.instrument, event.interval_ns), event.start_ns
            else:
                key, at_ns = (event.instrument, 0), event.venue_ns
            if at_ns > self._sent.get(key, 0):
                self._sent[key] = at_ns
                fresh.append(event)
        return fresh

    async def _rates(self, listed: InstrumentListed, now_ns: int) -> list[FundingRead]:
        since_ns = now_ns - max(self._every_ns, _HOUR_NS) - _HOUR_NS
        rows = await self._info.funding_history(listed.name, since_ns // 1_000_000, now_ns // 1_000_000)
        decoder = Decoder([listed])
        found = [decoder.funding(row, now_ns) for row in rows]
        return [rate for rate in found if rate is not None]
