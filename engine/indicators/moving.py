"""Moving averages over closed bars.

Used by strategies. `update` takes the next value and returns the average, or None before `warmup` values.
Conventions are those of TA-Lib.
"""

from __future__ import annotations

import msgspec

from engine.indicators.base import Window, check_period, pushed, total

__all__ = ["Ema", "Sma", "Wma"]


class Sma(Window):
    """Simple moving average of the last `period` values."""

    def update(self, value: float) -> float | None:
        """Add a value. Return the average."""
        return total(self.values) / self.period if pushed(self.values, value, self.period) else None


class Ema(msgspec.Struct):
    """Exponential moving average, smoothing 2 / (period + 1). Starts as the mean of `period` values."""

    period: int
    value: float = 0.0
    count: int = 0

    def __post_init__(self) -> None:
        check_period(self.period)

    @property
    def warmup(self) -> int:
        """The number of values up to the first result."""
        return self.period

    def update(self, value: float) -> float | None:
        """Add a value. Return the average."""
        if self.count >= self.period:
            self.value += (value - self.value) * (2.0 / (self.period + 1))
            return self.value
        self.count += 1
        self.value += value
        if self.count < self.period:
            return None
        self.value /= self.period
        return self.value


class Wma(Window):
    """Linearly weighted moving average: the newest value counts `period` times, the oldest once."""

    def update(self, value: float) -> float | None:
        """Add a value. Return the average."""
        if not pushed(self.values, value, self.period):
            return None
        weighted = total(weight * one for weight, one in enumerate(self.values, 1))
        return weighted / (self.period * (self.period + 1) / 2)
