"""How far values lie apart: deviation, score, highest and lowest of the last ones."""

from __future__ import annotations

import math

from engine.indicators.base import Window, pushed, total

__all__ = ["Highest", "Lowest", "StdDev", "ZScore", "deviation"]


def deviation(values: list[float], mean: float) -> float:
    """Return the population standard deviation of values with this mean."""
    return math.sqrt(total((one - mean) * (one - mean) for one in values) / len(values))


class StdDev(Window):
    """Population standard deviation of the last `period` values: divided by n, as TA-Lib's."""

    def update(self, value: float) -> float | None:
        """Add a value; return the deviation."""
        if not pushed(self.values, value, self.period):
            return None
        return deviation(self.values, total(self.values) / self.period)


class ZScore(Window):
    """How many standard deviations the newest of `period` values is from their mean; 0 if all are equal."""

    def update(self, value: float) -> float | None:
        """Add a value; return its score."""
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
        """Add a value; return the highest."""
        return max(self.values) if pushed(self.values, value, self.period) else None


class Lowest(Window):
    """The lowest of the last `period` values."""

    def update(self, value: float) -> float | None:
        """Add a value; return the lowest."""
        return min(self.values) if pushed(self.values, value, self.period) else None
