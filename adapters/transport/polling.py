"""While a connection stays down, its coins are read over HTTP: closed candles of the shortest bar, and books.

Owns when that begins and ends. Promises: `FeedPolling` says so both times; a poll never runs ahead of the
budget of the `Governor`, so with many coins it only gets slower; candles are told for windows that are over,
as "repair", each once. Run by `feed.py` beside its connections.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import trio

from adapters.hyperliquid.channels import venue_intervals
from adapters.hyperliquid.history import read_candles, stamped
from adapters.hyperliquid.wire import WireBook
from adapters.transport.context import Desk, MarketInfo
from adapters.transport.governor import Priority
from adapters.transport.stream import Line
from engine.errors import VenueError
from engine.events import FeedPolling, InstrumentListed
from engine.values import parse_interval

__all__ = ["Polling"]

_LOOK_S: Final = 1.0


class Polling:
    """Watches `lines`. `tell_book` takes what the venue shows of a coin now.

    `touch` has windows read again when the stream is back: of those told, only the shortest bars have become
    the venue's candles, and the backlog may now bring the same prints.
    """

    def __init__(
        self,
        desk: Desk,
        info: MarketInfo,
        lines: Sequence[Line],
        intervals: Sequence[str],
        after_s: float,
        tell_book: Callable[[WireBook, int], None],
        touch: Callable[[int, int, int], None],
    ) -> None:
        self._desk = desk
        self._info = info
        self._lines = lines
        base = venue_intervals(intervals)[:1]
        self._base_ns = parse_interval(base[0]) if base else 0
        self._after_s = after_s
        self._tell_book = tell_book
        self._touch = touch
        self._active = False
        # By instrument, of coins polled now: where the windows told begin, and where they end.
        self._from_ns: dict[int, int] = {}
        self._next_ns: dict[int, int] = {}

    async def run(self) -> None:
        """Poll whenever it is needed, until cancelled."""
        while True:
            await trio.sleep(_LOOK_S)
            down = [line for line in self._lines if self._is_long_down(line)]
            if down and not self._active:
                self._active = True
                self._say(f"{self._desk.health.last_loss}; down for {self._after_s:g} s")
            if not down:
                continue
            began = trio.current_time()
            for line in down:
                for listed in line.instruments:
                    if self._is_long_down(line):
                        await self._poll(listed, line.down_ns)
            await trio.sleep_until(began + self._desk.limits.poll_s - _LOOK_S)

    def line_up(self) -> None:
        """A line is up: hand back to the stream if that was the last one."""
        if self._active and not any(self._is_long_down(line) for line in self._lines):
            self._active = False
            self._say("")
            for instrument, from_ns in self._from_ns.items():
                self._touch(instrument, from_ns, self._desk.clock.now_ns())
            self._from_ns.clear()
            self._next_ns.clear()

    def _say(self, reason: str) -> None:
        self._desk.emit(FeedPolling(self._desk.clock.now_ns(), self._desk.name, self._active, reason))

    def _is_long_down(self, line: Line) -> bool:
        return line.down_since is not None and trio.current_time() - line.down_since >= self._after_s

    async def _poll(self, listed: InstrumentListed, down_ns: int) -> None:
        """Read one coin: its book, and the candles of windows that are over since the last poll."""
        self._desk.health.polls += 1
        try:
            book = await self._info.book(listed.name)
            await self._desk.room()
            self._tell_book(book, self._desk.clock.now_ns())
            if self._base_ns:
                await self._poll_candles(listed, down_ns)
        except VenueError:
            self._desk.health.venue_errors += 1

    async def _poll_candles(self, listed: InstrumentListed, down_ns: int) -> None:
        now_ns = self._desk.clock.now_ns()
        over_ns = now_ns // self._base_ns * self._base_ns
        if self._desk.seconds_since(over_ns) < self._desk.limits.grace_s:
            over_ns -= self._base_ns
        # The first poll begins with the window in which the connection was lost: that one lacks prints too.
        start_ns = max(self._next_ns.get(listed.instrument, 0), down_ns // self._base_ns * self._base_ns)
        if start_ns >= over_ns:
            return
        candles = await read_candles(
            self._info,
            listed,
            self._base_ns,
            start_ns,
            over_ns,
            purpose="repair",
            recv_ns=now_ns,
            priority=Priority.MARKET,
        )
        if not self._active:
            return  # handed back meanwhile: the gap says what is to be repaired
        self._from_ns.setdefault(listed.instrument, start_ns)
        self._next_ns[listed.instrument] = over_ns
        self._desk.emit(*stamped(candles, self._desk.clock.now_ns()))
