"""Shared by the indicators: the check of periods, and windows of the last values.

All values are float64, summed in a fixed order: equal bit for bit on every machine, and after a snapshot. A
sum is computed again for each value, so rounding errors do not accumulate in a long session.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

__all__ = ["Window", "check_period", "pushed", "total"]

PERIOD_MAX = 100_000
"""Upper bound on a period, and so on the values that an indicator stores."""


def check_period(*periods: int) -> None:
    """Raise ValueError unless each period is an integer from 1 to PERIOD_MAX."""
    for period in periods:
        if type(period) is not int or not 1 <= period <= PERIOD_MAX:
            raise ValueError(f"a period is a whole number from 1 to {PERIOD_MAX:,}, not {period!r}")


def pushed(values: list[float], value: float, period: int) -> bool:
    """Append a value to a window. Return whether the window is full."""
    values.append(value)
    if len(values) > period:
        del values[0]
    return len(values) == period


def total(values: Iterable[float]) -> float:
    """Return the sum, adding the values one by one.

    The built-in `sum` does the same up to Python 3.11, but rounds differently from 3.12 on, so a day would
    not replay on the other version.
    """
    result = 0.0
    for value in values:
        result += value
    return result


class Window(msgspec.Struct):
    """Base of indicators over the last `period` values. The first value comes with the `period`-th one."""

    period: int
    values: list[float] = []

    def __post_init__(self) -> None:
        check_period(self.period)

    @property
    def warmup(self) -> int:
        """The number of values up to the first result."""
        return self.period
