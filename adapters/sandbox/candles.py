"""Candles of one coin at every interval, from its prints; memory is bounded.

A print touches the 1-minute candle only. When a minute is over it is folded into the longer ones, all
of which are whole minutes; the open longer candle is what was folded so far plus the open minute. An
interval in which nothing traded has no candle. Called by `played.py`; promises no more than 5000
candles an interval, as the venue.

All times are UTC. A week begins on Monday and a month is the calendar's, as on other venues; three days are
counted from the epoch. The venue's own page names these intervals and does not say where they begin.
"""

from __future__ import annotations

from collections import deque
from datetime import date
from typing import Final

import msgspec

__all__ = ["CANDLES_MAX", "INTERVALS", "CandleBook", "OpenCandle", "candle_end", "candle_start"]

CANDLES_MAX: Final = 5000

_MINUTE_MS: Final = 60_000
_HOUR_MS: Final = 60 * _MINUTE_MS
_DAY_MS: Final = 24 * _HOUR_MS
_MONTH: Final = "1M"
_EPOCH_DAY: Final = date(1970, 1, 1).toordinal()

_LENGTHS_MS: Final = {
    "1m": _MINUTE_MS,
    "3m": 3 * _MINUTE_MS,
    "5m": 5 * _MINUTE_MS,
    "15m": 15 * _MINUTE_MS,
    "30m": 30 * _MINUTE_MS,
    "1h": _HOUR_MS,
    "2h": 2 * _HOUR_MS,
    "4h": 4 * _HOUR_MS,
    "8h": 8 * _HOUR_MS,
    "12h": 12 * _HOUR_MS,
    "1d": _DAY_MS,
    "3d": 3 * _DAY_MS,
    "1w": 7 * _DAY_MS,
}
_MONDAY_MS: Final = 4 * _DAY_MS
"""The first Monday: the epoch was a Thursday."""

INTERVALS: Final = (*_LENGTHS_MS, _MONTH)
"""The venue's intervals, shortest first. All but the first are whole minutes."""


def candle_start(interval: str, time_ms: int) -> int:
    """Return when the candle of `interval` that holds a time began, in ms."""
    if interval == _MONTH:
        return _first_of_month(time_ms // _DAY_MS)
    offset_ms = _MONDAY_MS if interval == "1w" else 0
    return time_ms - (time_ms - offset_ms) % _LENGTHS_MS[interval]


def candle_end(interval: str, start_ms: int) -> int:
    """Return when the candle after the one that began at `start_ms` begins, in ms."""
    if interval == _MONTH:
        return _first_of_month(start_ms // _DAY_MS + 31)  # no month is longer, and none is shorter than 28
    return start_ms + _LENGTHS_MS[interval]


def _first_of_month(day: int) -> int:
    """Return the first of the month of a day, which is counted from the epoch, in ms."""
    return (date.fromordinal(_EPOCH_DAY + day).replace(day=1).toordinal() - _EPOCH_DAY) * _DAY_MS


class OpenCandle(msgspec.Struct, gc=False):
    """A candle that may still grow. Prices, volume and money are integers at the instrument's scales."""

    start_ms: int
    open: int
    high: int
    low: int
    close: int
    volume: int
    money: int
    trades: int

    def fold(self, later: OpenCandle) -> None:
        """Add a later candle."""
        self.high = max(self.high, later.high)
        self.low = min(self.low, later.low)
        self.close = later.close
        self.volume += later.volume
        self.money += later.money
        self.trades += later.trades


class CandleBook:
    """The candles of one coin."""

    def __init__(self) -> None:
        self._minute: OpenCandle | None = None
        self._open: dict[str, OpenCandle] = {}
        self._closed: dict[str, deque[OpenCandle]] = {
            interval: deque(maxlen=CANDLES_MAX) for interval in INTERVALS
        }

    def add(self, time_ms: int, price: int, size: int) -> None:
        """Add a print; times do not go back."""
        minute = self._minute
        if minute is None or time_ms >= minute.start_ms + _MINUTE_MS:
            if minute is not None:
                self._close_minute(minute)
            start_ms = time_ms - time_ms % _MINUTE_MS
            self._minute = OpenCandle(start_ms, price, price, price, price, size, price * size, 1)
            return
        if price > minute.high:
            minute.high = price
        elif price < minute.low:
            minute.low = price
        minute.close = price
        minute.volume += size
        minute.money += price * size
        minute.trades += 1

    def begins_minute(self, time_ms: int) -> bool:
        """Whether a print at this time closes the open minute."""
        return self._minute is not None and time_ms >= self._minute.start_ms + _MINUTE_MS

    def current(self, interval: str) -> OpenCandle | None:
        """Return the open candle of an interval, or None before the first print."""
        minute = self._minute
        if minute is None or interval == "1m":
            return minute
        start_ms = candle_start(interval, minute.start_ms)
        folded = self._open.get(interval)
        if folded is None or folded.start_ms != start_ms:
            return msgspec.structs.replace(minute, start_ms=start_ms)
        candle = msgspec.structs.replace(folded)
        candle.fold(minute)
        return candle

    def snapshot(self, interval: str) -> list[OpenCandle]:
        """Return the newest candles of an interval, oldest first, the last one still open."""
        current = self.current(interval)
        if current is None:
            return []
        candles = list(self._closed[interval])
        folded = self._open.get(interval)
        if folded is not None and folded.start_ms != current.start_ms:
            candles.append(folded)
        candles.append(current)
        return candles[-CANDLES_MAX:]

    def _close_minute(self, minute: OpenCandle) -> None:
        self._closed["1m"].append(minute)
        for interval in INTERVALS[1:]:
            start_ms = candle_start(interval, minute.start_ms)
            candle = self._open.get(interval)
            if candle is not None and candle.start_ms == start_ms:
                candle.fold(minute)
                continue
            if candle is not None:
                self._closed[interval].append(candle)
            self._open[interval] = msgspec.structs.replace(minute, start_ms=start_ms)
