"""Moving averages over closed bars, in float64: analytic values, equal bit for bit on every machine.

Used by strategies. `update` takes the next value and returns the indicator, or None while it warms up.
"""

from __future__ import annotations

import msgspec

__all__ = ["Ema", "Sma"]


class Ema(msgspec.Struct):
    """Exponential moving average with smoothing 2 / (period + 1), seeded with the first value.

    Ready after `period` values. Formula: the usual one, e.g. NIST/SEMATECH e-Handbook, 6.4.3.1.
    """

    period: int
    value: float = 0.0
    count: int = 0

    def update(self, value: float) -> float | None:
        """Add a value; return the average, None before `period` values."""
        if self.count:
            self.value += (value - self.value) * (2.0 / (self.period + 1))
        else:
            self.value = value
        self.count += 1
        return self.value if self.count >= self.period else None


class Sma(msgspec.Struct):
    """Simple moving average of the last `period` values, summed afresh each time: no drift."""

    period: int
    values: list[float] = []

    def update(self, value: float) -> float | None:
        """Add a value; return the average, None before `period` values."""
        self.values.append(value)
        if len(self.values) > self.period:
            del self.values[0]
        return sum(self.values) / self.period if len(self.values) == self.period else None
