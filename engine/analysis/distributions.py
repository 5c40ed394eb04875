"""The distribution of values: quantiles and bins. Called by `report`."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

__all__ = ["Bin", "Distribution", "distribution"]


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
