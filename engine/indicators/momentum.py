"""Oscillators: RSI, MACD, Stochastic. Conventions and values are those of TA-Lib, also in flat markets."""

from __future__ import annotations

from typing import Any

import msgspec

from engine.indicators.base import check_period
from engine.indicators.moving import Ema, Sma
from engine.indicators.spread import Highest, Lowest

__all__ = ["Macd", "MacdValue", "Rsi", "Stochastic", "StochasticValue"]


class Rsi(msgspec.Struct):
    """Relative strength index of closes, 0 to 100: Wilder's smoothing of gains and losses.

    0 if no close differed. Source: Wilder, New Concepts in Technical Trading Systems, 1978.
    """

    period: int = 14
    last: float = 0.0
    count: int = 0
    gain: float = 0.0
    loss: float = 0.0

    def __post_init__(self) -> None:
        check_period(self.period)

    @property
    def warmup(self) -> int:
        """The number of closes up to the first result."""
        return self.period + 1

    def update(self, close: float) -> float | None:
        """Add a close. Return the index."""
        change, self.last = close - self.last, close
        self.count += 1
        if self.count == 1:
            return None
        gain, loss = max(change, 0.0), max(-change, 0.0)
        if self.count <= self.period + 1:
            self.gain += gain
            self.loss += loss
            if self.count <= self.period:
                return None
            self.gain /= self.period
            self.loss /= self.period
        else:
            self.gain = (self.gain * (self.period - 1) + gain) / self.period
            self.loss = (self.loss * (self.period - 1) + loss) / self.period
        both = self.gain + self.loss
        return 100.0 * (self.gain / both) if both else 0.0


class MacdValue(msgspec.Struct, frozen=True):
    """MACD (fast average minus slow average), its average (the signal), and MACD minus signal."""

    macd: float
    signal: float
    histogram: float


class Macd(msgspec.Struct):
    """Moving average convergence and divergence: EMA(fast) - EMA(slow) of closes, and its EMA(signal).

    Both averages start at the same close; the fast one starts as the mean of the last `fast` closes.
    """

    fast: int = 12
    slow: int = 26
    signal: int = 9
    quick: Any = None
    calm: Any = None
    line: Any = None
    count: int = 0

    def __post_init__(self) -> None:
        check_period(self.fast, self.slow, self.signal)
        if self.fast > self.slow:
            raise ValueError(f"the fast period {self.fast} is above the slow one {self.slow}")
        if self.quick is None:
            self.quick, self.calm, self.line = Ema(self.fast), Ema(self.slow), Ema(self.signal)

    @property
    def warmup(self) -> int:
        """The number of closes up to the first result."""
        return self.slow + self.signal - 1

    def update(self, close: float) -> MacdValue | None:
        """Add a close. Return the lines."""
        self.count = min(self.count + 1, self.slow)
        quick: float | None = None
        if self.count > self.slow - self.fast:
            quick = self.quick.update(close)
        calm: float | None = self.calm.update(close)
        if quick is None or calm is None:
            return None
        macd = quick - calm
        signal: float | None = self.line.update(macd)
        return None if signal is None else MacdValue(macd, signal, macd - signal)


class StochasticValue(msgspec.Struct, frozen=True):
    """%K, smoothed, and %D, its average; both 0 to 100."""

    k: float
    d: float


class Stochastic(msgspec.Struct):
    """The position of the close between the lowest low and the highest high of `period` bars, in percent.

    %K is smoothed by SMA(`smooth`), %D is SMA(`signal`) of %K. Both are 0 if the range is 0.
    """

    period: int = 5
    smooth: int = 3
    signal: int = 3
    high: Any = None
    low: Any = None
    k: Any = None
    d: Any = None

    def __post_init__(self) -> None:
        check_period(self.period, self.smooth, self.signal)
        if self.high is None:
            self.high, self.low = Highest(self.period), Lowest(self.period)
            self.k, self.d = Sma(self.smooth), Sma(self.signal)

    @property
    def warmup(self) -> int:
        """The number of bars up to the first result."""
        return self.period + self.smooth + self.signal - 2

    def update(self, high: float, low: float, close: float) -> StochasticValue | None:
        """Add a bar. Return %K and %D."""
        highest, lowest = self.high.update(high), self.low.update(low)
        if highest is None or lowest is None:
            return None
        span = highest - lowest
        k: float | None = self.k.update((close - lowest) / (span / 100.0) if span else 0.0)
        d: float | None = None if k is None else self.d.update(k)
        return None if k is None or d is None else StochasticValue(k, d)
