"""The spread of the last values: standard deviation, z-score, highest and lowest."""

from __future__ import annotations

import math

from engine.indicators.base import Window, pushed, total

__all__ = ["Highest", "Lowest", "StdDev", "ZScore", "deviation"]


def deviation(values: list[float], mean: float) -> float:
    """Return the population standard deviation of values with this mean."""
    return math.sqrt(total((one - mean) * (one - mean) for one in values) / len(values))


class StdDev(Window):
    """Population standard deviation (divided by n, as TA-Lib) of the last `period` values."""

    def update(self, value: float) -> float | None:
        """Add a value. Return the deviation."""
        if not pushed(self.values, value, self.period):
            return None
        return deviation(self.values, total(self.values) / self.period)


class ZScore(Window):
    """The newest of `period` values minus their mean, in standard deviations; 0 if all are equal."""

    def update(self, value: float) -> float | None:
        """Add a value. Return its score."""
        if not pushed(self.values, value, self.period):
            return None
        if max(self.values) == min(self.values):
            return 0.0
        mean = total(self.values) / self.period
        spread = deviation(self.values, mean)
        return (value - mean) / spread if spread else 0.0


class Highest(Window):
    """The highest of the last `period` values."""

    def update(self, value: float) -> float | None:
        """Add a value. Return the highest."""
        return max(self.values) if pushed(self.values, value, self.period) else None


class Lowest(Window):
    """The lowest of the last `period` values."""

    def update(self, value: float) -> float | None:
        """Add a value. Return the lowest."""
        return min(self.values) if pushed(self.values, value, self.period) else None
