"""Range and trend: ATR, ADX, SuperTrend. The first two are Wilder's, smoothed and started as in TA-Lib."""

from __future__ import annotations

from typing import Any

import msgspec

from engine.indicators.base import check_period

__all__ = ["Adx", "AdxValue", "Atr", "SuperTrend", "SuperTrendValue"]


class Atr(msgspec.Struct):
    """Average true range: Wilder's smoothing over `period` true ranges. The first bar has none.

    Source: Wilder, New Concepts in Technical Trading Systems, 1978.
    """

    period: int = 14
    close: float = 0.0
    value: float = 0.0
    count: int = 0

    def __post_init__(self) -> None:
        check_period(self.period)

    @property
    def warmup(self) -> int:
        """The number of bars up to the first result."""
        return self.period + 1

    def update(self, high: float, low: float, close: float) -> float | None:
        """Add a bar. Return the average range."""
        before, self.close = self.close, close
        if not self.count:
            self.count = 1
            return None
        span = _true_range(high, low, before)
        if self.count > self.period:
            self.value = (self.value * (self.period - 1) + span) / self.period
            return self.value
        self.count += 1
        self.value += span
        if self.count <= self.period:
            return None
        self.value /= self.period
        return self.value


class AdxValue(msgspec.Struct, frozen=True):
    """Trend strength, and the directional indicators up and down; all 0 to 100."""

    adx: float
    plus: float
    minus: float


class Adx(msgspec.Struct):
    """Average directional index over `period`, with +DI and -DI.

    Directional movements and ranges are summed over the first `period` - 1 changes, then smoothed by Wilder;
    the first index is the mean of `period` movement indices. A bar without movement does not change the
    index.
    """

    period: int = 14
    high: float = 0.0
    low: float = 0.0
    close: float = 0.0
    up: float = 0.0
    down: float = 0.0
    span: float = 0.0
    adx: float = 0.0
    count: int = 0

    def __post_init__(self) -> None:
        check_period(self.period)

    @property
    def warmup(self) -> int:
        """The number of bars up to the first result."""
        return 2 * self.period

    def update(self, high: float, low: float, close: float) -> AdxValue | None:
        """Add a bar. Return the index and both directions."""
        up, down = high - self.high, self.low - low
        span = _true_range(high, low, self.close)
        self.high, self.low, self.close = high, low, close
        self.count = min(self.count + 1, 2 * self.period + 1)
        if self.count == 1:
            return None
        if self.count > self.period:
            self.up -= self.up / self.period
            self.down -= self.down / self.period
            self.span -= self.span / self.period
        self.up += up if up > 0 and up > down else 0.0
        self.down += down if down > 0 and down > up else 0.0
        self.span += span
        if self.count <= self.period:
            return None
        plus, minus = (
            (100.0 * self.up / self.span, 100.0 * self.down / self.span) if self.span else (0.0, 0.0)
        )
        index = 100.0 * (abs(minus - plus) / (minus + plus)) if plus + minus else None
        if self.count <= 2 * self.period:
            self.adx += index or 0.0
            if self.count < 2 * self.period:
                return None
            self.adx /= self.period
        elif index is not None:
            self.adx = (self.adx * (self.period - 1) + index) / self.period
        return AdxValue(self.adx, plus, minus)


class SuperTrendValue(msgspec.Struct, frozen=True):
    """The line: below the price in an uptrend, above it in a downtrend."""

    line: float
    up: bool


class SuperTrend(msgspec.Struct):
    """A line at `multiplier` average true ranges from the middle of the bar. It moves only with the trend.

    The trend turns when a close crosses the line. It starts as an uptrend. The range is `Atr(period)`.
    Source: O. Seban's rule, as charting platforms compute it.
    """

    period: int = 10
    multiplier: float = 3.0
    atr: Any = None
    upper: float = 0.0
    lower: float = 0.0
    close: float = 0.0
    up: bool = True
    begun: bool = False

    def __post_init__(self) -> None:
        check_period(self.period)
        if not self.multiplier > 0:
            raise ValueError(f"the multiplier is above 0, not {self.multiplier!r}")
        if self.atr is None:
            self.atr = Atr(self.period)

    @property
    def warmup(self) -> int:
        """The number of bars up to the first result."""
        return self.period + 1

    def update(self, high: float, low: float, close: float) -> SuperTrendValue | None:
        """Add a bar. Return the line and the direction."""
        before, self.close = self.close, close
        atr: float | None = self.atr.update(high, low, close)
        if atr is None:
            return None
        middle = (high + low) / 2
        upper, lower = middle + self.multiplier * atr, middle - self.multiplier * atr
        if self.begun:
            upper = upper if upper < self.upper or before > self.upper else self.upper
            lower = lower if lower > self.lower or before < self.lower else self.lower
            self.up = close >= lower if self.up else close > upper
        self.upper, self.lower, self.begun = upper, lower, True
        return SuperTrendValue(lower if self.up else upper, self.up)


def _true_range(high: float, low: float, before: float) -> float:
    return max(high - low, abs(high - before), abs(low - before))
