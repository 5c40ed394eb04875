"""Candles of one instrument at every interval, built from its trades.

A trade updates the 1-minute candle only. When that minute ends, the candle is merged into the longer ones,
whose lengths are whole minutes. The open candle of a longer interval is what was merged so far plus the open
minute. An interval without trades has no candle. Keeps at most 5000 candles per interval, as the venue does.
Called by `market_state.py`.

All times are UTC. A week starts on Monday, a month is a calendar month, and 3-day candles are counted from
the epoch. The venue's page lists these intervals but does not say when they start.
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
    """Return the start (ms) of the candle of `interval` that contains `time_ms`."""
    if interval == _MONTH:
        return _first_of_month(time_ms // _DAY_MS)
    offset_ms = _MONDAY_MS if interval == "1w" else 0
    return time_ms - (time_ms - offset_ms) % _LENGTHS_MS[interval]


def candle_end(interval: str, start_ms: int) -> int:
    """Return the end (ms, exclusive) of the candle of `interval` that starts at `start_ms`."""
    if interval == _MONTH:
        return _first_of_month(start_ms // _DAY_MS + 31)  # a month has 28 to 31 days
    return start_ms + _LENGTHS_MS[interval]


def _first_of_month(day: int) -> int:
    """Return the start (ms) of the month that contains `day`, a number of days since the epoch."""
    return (date.fromordinal(_EPOCH_DAY + day).replace(day=1).toordinal() - _EPOCH_DAY) * _DAY_MS


class OpenCandle(msgspec.Struct, gc=False):
    """A candle that may still change.

    Prices, volume and notional (the sum of price * size) are integers at the instrument's scales.
    """

    start_ms: int
    open: int
    high: int
    low: int
    close: int
    volume: int
    notional: int
    trades: int

    def fold(self, later: OpenCandle) -> None:
        """Merge a later candle into this one."""
        self.high = max(self.high, later.high)
        self.low = min(self.low, later.low)
        self.close = later.close
        self.volume += later.volume
        self.notional += later.notional
        self.trades += later.trades


class CandleBook:
    """The candles of one instrument."""

    def __init__(self) -> None:
        self._minute: OpenCandle | None = None
        self._open: dict[str, OpenCandle] = {}
        self._closed: dict[str, deque[OpenCandle]] = {
            interval: deque(maxlen=CANDLES_MAX) for interval in INTERVALS
        }

    def add(self, time_ms: int, price: int, size: int) -> None:
        """Add a trade. Times must not decrease."""
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
        minute.notional += price * size
        minute.trades += 1

    def begins_minute(self, time_ms: int) -> bool:
        """Return whether a trade at this time would close the open minute."""
        return self._minute is not None and time_ms >= self._minute.start_ms + _MINUTE_MS

    def current(self, interval: str) -> OpenCandle | None:
        """Return the open candle of an interval, or None before the first trade."""
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
        """Return the newest candles of an interval, oldest first. The last one is still open."""
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
