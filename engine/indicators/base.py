"""What indicators share: the check of their parameters, and windows of the last values.

All values are float64, summed in a fixed order: equal bit for bit on every machine, and over a snapshot. Sums
are made afresh for every value, so nothing drifts however long a session runs.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

__all__ = ["Window", "check_period", "pushed", "total"]

PERIOD_MAX = 100_000
"""So many values at most are remembered."""


def check_period(*periods: int) -> None:
    """Raise ValueError for what is no number of values."""
    for period in periods:
        if type(period) is not int or not 1 <= period <= PERIOD_MAX:
            raise ValueError(f"a period is a whole number from 1 to {PERIOD_MAX:,}, not {period!r}")


def pushed(values: list[float], value: float, period: int) -> bool:
    """Put a value at the end of a window; return whether the window is full."""
    values.append(value)
    if len(values) > period:
        del values[0]
    return len(values) == period


def total(values: Iterable[float]) -> float:
    """Return the sum, each value added to those before it.

    Python's `sum` does so up to 3.11 and rounds better from 3.12 on: a day would replay on one of them only.
    """
    whole = 0.0
    for value in values:
        whole += value
    return whole


class Window(msgspec.Struct):
    """Base of what looks at the last `period` values, and has its first value when there are so many."""

    period: int
    values: list[float] = []

    def __post_init__(self) -> None:
        check_period(self.period)

    @property
    def warmup(self) -> int:
        """How many values the first answer takes."""
        return self.period
