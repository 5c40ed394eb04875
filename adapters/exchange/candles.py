"""Candles of one instrument at every interval, built from its trades.

A trade updates the 1-minute candle only. When that minute ends, the candle is merged into the longer ones,
whose lengths are whole minutes. The open candle of a longer interval is what was merged so far plus the open
minute. In the history, an interval without trades has a flat candle at the last close, as on the venue (see
`adapters/hyperliquid/rules.py`). Keeps at most 5000 candles per interval, as the venue does. Called by
`market_state.py`.

All times are UTC. A week starts on Monday, a month is a calendar month, and 3-day candles are counted from
the epoch. The venue's page lists these intervals but does not say when they start.
"""

from __future__ import annotations

from collections import deque
from typing import Final, Literal, get_args

import msgspec

from engine.clock import SECOND_NS, window_end, window_start
from engine.values import INTERVALS as SECONDS

__all__ = ["CANDLES_MAX", "INTERVALS", "CandleBook", "Interval", "OpenCandle", "candle_end", "candle_start"]

CANDLES_MAX: Final = 5000

Interval = Literal["1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "8h", "12h", "1d", "3d", "1w", "1M"]
"""The venue's intervals, shortest first. All but the first are whole minutes."""

INTERVALS: Final[tuple[str, ...]] = get_args(Interval)

_MS_NS: Final = 1_000_000
_MINUTE_MS: Final = 60_000


def candle_start(interval: str, time_ms: int) -> int:
    """Return the start (ms) of the candle of `interval` that contains `time_ms`."""
    return window_start(SECONDS[interval] * SECOND_NS, time_ms * _MS_NS) // _MS_NS


def candle_end(interval: str, start_ms: int) -> int:
    """Return the end (ms, exclusive) of the candle of `interval` that starts at `start_ms`."""
    return window_end(SECONDS[interval] * SECOND_NS, start_ms * _MS_NS) // _MS_NS


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

    def history(self, interval: str, now_ms: int) -> list[OpenCandle]:
        """Return the newest candles of an interval, oldest first, with flat ones where nothing was traded.

        The last one is the open one if that has trades; otherwise the history ends with the last closed one.
        """
        found = self.snapshot(interval)
        first_ms = candle_start(interval, now_ms - CANDLES_MAX * SECONDS[interval] * 1000)
        filled: list[OpenCandle] = []
        for number, candle in enumerate(found):
            filled.append(candle)
            later = number + 1 < len(found)
            next_ms = found[number + 1].start_ms if later else candle_start(interval, now_ms)
            close = candle.close
            at_ms = max(candle_end(interval, candle.start_ms), first_ms)
            while at_ms < next_ms:
                filled.append(OpenCandle(at_ms, close, close, close, close, 0, 0, 0))
                at_ms = candle_end(interval, at_ms)
        return filled[-CANDLES_MAX:]

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
