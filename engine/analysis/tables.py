"""Tables of a report: returns by month, and the distribution of values.

Owns the division into months UTC and into bins. Called by `report`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

from engine.clock import day_of

__all__ = ["Bin", "Distribution", "Month", "distribution", "months"]


class Month(msgspec.Struct, frozen=True):
    """The return of a month UTC, or of the part of it that is in the period. `days` are its daily returns.

    Money is exact decimal text; `round_trips` ended in the month. `return_percent` is None once the equity
    was 0 or below.
    """

    month: str
    return_percent: float | None
    days: int
    net_profit: str = "0"
    fees: str = "0"
    funding: str = "0"
    round_trips: int = 0


class Bin(msgspec.Struct, frozen=True):
    """Values from `low` up to `high`, not included but in the last bin."""

    low: float
    high: float
    count: int


class Distribution(msgspec.Struct, frozen=True):
    """How values are spread. Quantiles lie between neighbours in a straight line. Nothing of no values."""

    count: int = 0
    mean: float | None = None
    median: float | None = None
    quantile_5: float | None = None
    quantile_95: float | None = None
    bins: tuple[Bin, ...] = ()


def months(ends_ns: Sequence[int], returns: Sequence[float]) -> list[Month]:
    """Return the product of the daily returns of each month, minus 1, in percent.

    `ends_ns` are the ends of the days; a return belongs to the month in which its day began.
    """
    found: dict[str, list[float]] = {}
    for end_ns, one in zip(ends_ns, returns, strict=True):
        found.setdefault(day_of(end_ns - 1)[:7], []).append(one)
    return [
        Month(month, (math.prod(1 + one for one in days) - 1) * 100, len(days))
        for month, days in found.items()
    ]


def distribution(values: Sequence[float], bins: int = 20) -> Distribution:
    """Return the spread of values in bins of one width."""
    if not values:
        return Distribution()
    ordered = sorted(values)
    low, high = ordered[0], ordered[-1]
    width = (high - low) / bins
    counts = [0] * bins
    if not width:
        counts = [len(ordered)]
    else:
        for one in ordered:
            counts[min(bins - 1, int((one - low) / width))] += 1
    return Distribution(
        len(ordered),
        math.fsum(ordered) / len(ordered),
        _quantile(ordered, 0.5),
        _quantile(ordered, 0.05),
        _quantile(ordered, 0.95),
        tuple(
            Bin(low + at * width, high if at == len(counts) - 1 else low + (at + 1) * width, count)
            for at, count in enumerate(counts)
        ),
    )


def _quantile(ordered: Sequence[float], part: float) -> float:
    place = part * (len(ordered) - 1)
    at = math.floor(place)
    above = ordered[min(at + 1, len(ordered) - 1)]
    return ordered[at] + (above - ordered[at]) * (place - at)
