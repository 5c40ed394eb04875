"""Block bootstraps of daily returns: what else a series with the same days could have been.

Days that follow each other are not independent, so whole blocks of them are drawn. Owns the drawing, seeded:
the same returns, seed and samples give the same numbers on every machine. Called by `engine.search.luck`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import Final

import msgspec

__all__ = ["SAMPLES", "Resampled", "circular", "default_block", "resampled", "stationary"]

SAMPLES: Final = 2000

Draw = Callable[[], float]
"""Returns the next number of [0, 1)."""


class Resampled(msgspec.Struct, frozen=True):
    """What the samples say. `p_value`: of the hypothesis that the mean daily return is 0 or below.

    `low` and `high` are the 5th and the 95th percentile of the Sharpe ratio of a day.
    """

    p_value: float
    low: float
    high: float
    block: float
    samples: int
    seed: int


def stationary(days: int, block: float, draw: Draw) -> Iterator[int]:
    """Yield places of a sample: blocks of random length, `block` on average, at random places, wrapping.

    Each day follows the one before with the probability 1 - 1 / block, otherwise a block begins. Politis and
    Romano, "The stationary bootstrap", Journal of the American Statistical Association 89 (1994).
    """
    ends = 1 / block
    at = int(draw() * days)
    for _ in range(days):
        yield at
        at = int(draw() * days) if draw() < ends else (at + 1) % days


def circular(days: int, block: float, draw: Draw) -> Iterator[int]:
    """Yield places of a sample: blocks of equal length, rounded, at random places, wrapping.

    Politis and Romano, "A circular block-resampling procedure for stationary data", in: Exploring the limits
    of bootstrap (1992).
    """
    length, at = max(1, round(block)), 0
    for number in range(days):
        at = (at + 1) % days if number % length else int(draw() * days)
        yield at


def default_block(days: int) -> float:
    """Return a length of blocks: the cube root of the number of days, at least 1.

    The order at which the error of the variance is least: Hall, Horowitz and Jing, "On blocking rules for the
    bootstrap with dependent data", Biometrika 82 (1995).
    """
    return max(1.0, round(math.pow(days, 1 / 3), 6))


def resampled(
    returns: Sequence[float],
    *,
    seed: int = 1,
    samples: int = SAMPLES,
    block: float | None = None,
    kind: Callable[[int, float, Draw], Iterator[int]] = stationary,
) -> Resampled:
    """Return what block samples of daily returns say of their mean and their Sharpe ratio.

    p = (1 + number of samples with mean* - mean >= mean) / (1 + samples): how often samples of a series
    without a gain gain as much. Davison and Hinkley, "Bootstrap methods and their application" (1997), 4.11.
    The interval of the ratio is that of the percentiles. `returns` are at least two days that differ.
    """
    days = len(returns)
    length = default_block(days) if block is None else block
    mean = math.fsum(returns) / days
    centered = [one - mean for one in returns]
    draw = Random(seed).random
    as_much, ratios = 0, []
    for _ in range(samples):
        total = squares = 0.0
        for at in kind(days, length, draw):
            one = centered[at]
            total += one
            squares += one * one
        found = total / days
        as_much += found >= mean
        variance = (squares - days * found * found) / (days - 1)
        if variance > 0:
            ratios.append((found + mean) / math.sqrt(variance))
    ratios.sort()
    return Resampled(
        (1 + as_much) / (1 + samples),
        _percentile(ratios, 0.05),
        _percentile(ratios, 0.95),
        length,
        samples,
        seed,
    )


def _percentile(ordered: Sequence[float], share: float) -> float:
    """Return a percentile by linear interpolation between the ordered values."""
    if not ordered:
        return 0.0
    place = share * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)
