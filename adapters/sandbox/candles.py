"""Candles of one coin at every interval, from its prints; memory is bounded.

A print touches the 1-minute candle only. When a minute is over it is folded into the longer ones, all
of which are whole minutes; the open longer candle is what was folded so far plus the open minute. An
interval in which nothing traded has no candle. Called by `played.py`; promises no more than 5000
candles an interval, as the venue.
"""

from __future__ import annotations

from collections import deque
from typing import Final

import msgspec

__all__ = ["CANDLES_MAX", "INTERVALS_MS", "CandleBook", "OpenCandle"]

CANDLES_MAX: Final = 5000

_MINUTE_MS: Final = 60_000

INTERVALS_MS: Final = {
    "1m": _MINUTE_MS,
    "3m": 3 * _MINUTE_MS,
    "5m": 5 * _MINUTE_MS,
    "15m": 15 * _MINUTE_MS,
    "30m": 30 * _MINUTE_MS,
    "1h": 60 * _MINUTE_MS,
    "2h": 120 * _MINUTE_MS,
    "4h": 240 * _MINUTE_MS,
    "8h": 480 * _MINUTE_MS,
    "12h": 720 * _MINUTE_MS,
    "1d": 1440 * _MINUTE_MS,
}
"""The venue's intervals that divide a day, in milliseconds."""


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
        self._open: dict[int, OpenCandle] = {}
        self._closed: dict[int, deque[OpenCandle]] = {
            length_ms: deque(maxlen=CANDLES_MAX) for length_ms in INTERVALS_MS.values()
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

    def current(self, length_ms: int) -> OpenCandle | None:
        """Return the open candle of an interval, or None before the first print."""
        minute = self._minute
        if minute is None or length_ms == _MINUTE_MS:
            return minute
        start_ms = minute.start_ms - minute.start_ms % length_ms
        folded = self._open.get(length_ms)
        if folded is None or folded.start_ms != start_ms:
            return msgspec.structs.replace(minute, start_ms=start_ms)
        candle = msgspec.structs.replace(folded)
        candle.fold(minute)
        return candle

    def snapshot(self, length_ms: int) -> list[OpenCandle]:
        """Return the newest candles of an interval, oldest first, the last one still open."""
        current = self.current(length_ms)
        if current is None:
            return []
        candles = list(self._closed[length_ms])
        folded = self._open.get(length_ms)
        if folded is not None and folded.start_ms != current.start_ms:
            candles.append(folded)
        candles.append(current)
        return candles[-CANDLES_MAX:]

    def _close_minute(self, minute: OpenCandle) -> None:
        self._closed[_MINUTE_MS].append(minute)
        for length_ms in INTERVALS_MS.values():
            if length_ms == _MINUTE_MS:
                continue
            start_ms = minute.start_ms - minute.start_ms % length_ms
            candle = self._open.get(length_ms)
            if candle is not None and candle.start_ms == start_ms:
                candle.fold(minute)
                continue
            if candle is not None:
                self._closed[length_ms].append(candle)
            self._open[length_ms] = msgspec.structs.replace(minute, start_ms=start_ms)
