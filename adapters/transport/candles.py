"""Candles of a venue: decides which pushed ones are closed; the port for reading closed ones.

A venue restates the open candle and may never say that it is closed. `PushedCandles` owns the newest
restatement of each series. Promises: a candle is returned once it is proved closed, by the next one of its
series or by its end being long enough ago, and again if the venue corrects it later; never one whose closing
state may have been missed while disconnected. Pure: the caller passes the time. `CandleSource` is how a
venue's adapter offers its closed candles to repair, checks and polling. Called by `feed.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import msgspec

from adapters.transport.governor import Priority
from engine.events import CandleRead, InstrumentListed

__all__ = ["CandleSource", "PushedCandles", "ReadCandles", "stamped"]


class ReadCandles(Protocol):
    """Reads closed candles over HTTP."""

    async def __call__(
        self,
        listed: InstrumentListed,
        interval_ns: int,
        start_ns: int,
        end_ns: int,
        *,
        purpose: str,
        recv_ns: int,
        priority: Priority,
    ) -> list[CandleRead]:
        """Return the candles of the windows from `start_ns` to `end_ns`, oldest first.

        Both are starts of windows; the caller knows that the last window is over. A window without a candle
        is left out. Raises VenueError.
        """
        ...


@dataclass(frozen=True, slots=True)
class CandleSource:
    """A source of closed candles.

    `intervals_ns` are the session's intervals that the venue has candles of, shortest first, and
    `windows_max` is how many candles of each it keeps.
    """

    read: ReadCandles
    intervals_ns: tuple[int, ...]
    windows_max: int


class _Series:
    """One instrument's candles at one interval: the open one, and the last that was returned."""

    __slots__ = ("closed", "forming")

    def __init__(self) -> None:
        self.forming: CandleRead | None = None
        self.closed: CandleRead | None = None


class PushedCandles:
    """The open candles. `is_over` returns whether a time of the venue is far enough in the past."""

    def __init__(self, is_over: Callable[[int], bool]) -> None:
        self._is_over = is_over
        self._series: dict[tuple[int, int], _Series] = {}  # as many as subscriptions

    def take(self, candle: CandleRead) -> list[CandleRead]:
        """Add a restatement; return the candles of all series that are now closed, oldest first."""
        series = self._series.setdefault((candle.instrument, candle.interval_ns), _Series())
        closed = []
        if series.closed is not None and candle.start_ns <= series.closed.start_ns:
            if candle.start_ns == series.closed.start_ns and _differs(candle, series.closed):
                series.closed = candle
                closed.append(candle)
        elif series.forming is None or candle.start_ns == series.forming.start_ns:
            series.forming = candle
        elif candle.start_ns > series.forming.start_ns:
            series.closed = msgspec.structs.replace(series.forming, recv_ns=candle.recv_ns)
            series.forming = candle
            closed.append(series.closed)
        return sorted(closed + self._overdue(candle.recv_ns), key=lambda one: one.venue_ns)

    def lose(self, instruments: Iterable[int]) -> None:
        """Discard the open candles of instruments whose connection is lost: their final state is unknown."""
        for instrument in instruments:
            for key, series in self._series.items():
                if key[0] == instrument:
                    series.forming = None

    def _overdue(self, recv_ns: int) -> list[CandleRead]:
        overdue = []
        for series in self._series.values():
            forming = series.forming
            if forming is not None and self._is_over(forming.venue_ns):
                closed = msgspec.structs.replace(forming, recv_ns=recv_ns)
                series.closed, series.forming = closed, None
                overdue.append(closed)
        return overdue


def stamped(candles: Sequence[CandleRead], recv_ns: int) -> list[CandleRead]:
    """Return candles with the current time of receipt: other events were emitted while they were read."""
    return [msgspec.structs.replace(candle, recv_ns=recv_ns) for candle in candles]


def _differs(one: CandleRead, other: CandleRead) -> bool:
    return msgspec.structs.replace(one, recv_ns=other.recv_ns) != other
