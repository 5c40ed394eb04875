"""Which pushed candles are closed: the venue restates the open one and never says that it is over.

Owns the newest restatement of each series. Promises: a candle is told once it is proved closed, by the next
one of its series or by its end being `grace_s` ago, and again if the venue corrects it then; never one whose
closing state may have been missed with a connection. Pure: the caller brings the time. Called by `feed.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec

from engine.events import CandleRead

__all__ = ["PushedCandles"]


class _Series:
    """One coin's candles at one interval: the open one, and the last that was told."""

    __slots__ = ("forming", "told")

    def __init__(self) -> None:
        self.forming: CandleRead | None = None
        self.told: CandleRead | None = None


class PushedCandles:
    """The open candles. `is_over` says whether a time of the venue is far enough in the past."""

    def __init__(self, is_over: Callable[[int], bool]) -> None:
        self._is_over = is_over
        self._series: dict[tuple[int, int], _Series] = {}  # as many as subscriptions

    def take(self, candle: CandleRead) -> list[CandleRead]:
        """Take a restatement; return the candles that are closed now, of any series, oldest first."""
        series = self._series.setdefault((candle.instrument, candle.interval_ns), _Series())
        closed = []
        if series.told is not None and candle.start_ns <= series.told.start_ns:
            if candle.start_ns == series.told.start_ns and _differs(candle, series.told):
                series.told = candle
                closed.append(candle)
        elif series.forming is None or candle.start_ns == series.forming.start_ns:
            series.forming = candle
        elif candle.start_ns > series.forming.start_ns:
            series.told = msgspec.structs.replace(series.forming, recv_ns=candle.recv_ns)
            series.forming = candle
            closed.append(series.told)
        return sorted(closed + self._overdue(candle.recv_ns), key=lambda one: one.venue_ns)

    def lose(self, instruments: Iterable[int]) -> None:
        """A connection is gone: how its open candles ended is not known."""
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
                series.told, series.forming = closed, None
                overdue.append(closed)
        return overdue


def _differs(one: CandleRead, other: CandleRead) -> bool:
    return msgspec.structs.replace(one, recv_ns=other.recv_ns) != other
