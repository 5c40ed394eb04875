"""Whether choosing the best of several trials is overfitting: PBO by CSCV, and how stable the choice is.

Owns these two measures on plain numbers. A matrix of returns is trials by days: `matrix[trial][day]`, every
trial with the same days. Called by `engine.search.luck`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Final

import msgspec

__all__ = ["BLOCKS", "CLOSE", "Neighbours", "Overfitting", "neighbours_of", "overfitting"]

BLOCKS: Final = 10
"""Blocks of days: 252 ways to choose half of them."""

CLOSE: Final = 0.2
"""A neighbour is close if it is at most this fraction of the best value worse."""


class Overfitting(msgspec.Struct, frozen=True):
    """What CSCV found. `pbo` is the probability of backtest overfitting, of `splits` splits.

    `ahead` and `behind` are the mean ratios of one day of the chosen trials, in the half that they were
    chosen in and in the other half.
    """

    pbo: float
    splits: int
    ahead: float
    behind: float


def overfitting(matrix: Sequence[Sequence[float]], *, blocks: int = BLOCKS) -> Overfitting:
    """Return how often the trial that is best in one half of the days is at or below the median in the other.

    Combinatorially symmetric cross-validation: the days are cut into `blocks` of equal length (an even
    number; the first ones are a day longer if they do not divide), and every choice of half of them is once
    the half in which the trial with the highest ratio mean / std(ddof 1) is chosen. With its rank among the N
    trials in the other half (average ranks of equal ratios, N is the best) and w = rank / (N + 1), a split
    counts if log(w / (1 - w)) <= 0. Days that do not differ have the ratio 0. Bailey, Borwein, Lopez de Prado
    and Zhu, "The probability of backtest overfitting", Journal of Computational Finance 20 (2017).

    `matrix` is trials by days, at least two trials and two days a block.
    """
    trials, days = len(matrix), len(matrix[0])
    if blocks < 2 or blocks % 2 or trials < 2 or days < 2 * blocks:
        raise ValueError(f"{trials} trials of {days} days cannot be cut into {blocks} blocks")
    if any(len(row) != days for row in matrix):
        raise ValueError("the trials have different days; give trials by days")
    edges = _edges(days, blocks)
    parts = [[_Part.of(row[a:b]) for a, b in edges] for row in matrix]
    low, ahead, behind = 0, [], []
    for inside in combinations(range(blocks), blocks // 2):
        outside = [at for at in range(blocks) if at not in inside]
        chosen = [_ratio([row[at] for at in inside]) for row in parts]
        best = max(range(trials), key=chosen.__getitem__)
        others = [_ratio([row[at] for at in outside]) for row in parts]
        rank = _rank(others, others[best])
        low += 2 * rank <= trials + 1
        ahead.append(chosen[best])
        behind.append(others[best])
    splits = math.comb(blocks, blocks // 2)
    return Overfitting(low / splits, splits, math.fsum(ahead) / splits, math.fsum(behind) / splits)


class _Part(msgspec.Struct, frozen=True):
    """Count, sum, sum of squares, least and most of the returns of a block."""

    count: int
    total: float
    squares: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> _Part:
        squares = math.fsum(one * one for one in values)
        return cls(len(values), math.fsum(values), squares, min(values), max(values))


def _edges(days: int, blocks: int) -> list[tuple[int, int]]:
    size, longer = divmod(days, blocks)
    edges, at = [], 0
    for number in range(blocks):
        end = at + size + (number < longer)
        edges.append((at, end))
        at = end
    return edges


def _ratio(parts: Sequence[_Part]) -> float:
    """Return mean / std(ddof 1) of the days of several blocks, 0 if they do not differ."""
    if min(one.least for one in parts) == max(one.most for one in parts):
        return 0.0
    count = sum(one.count for one in parts)
    mean = math.fsum(one.total for one in parts) / count
    variance = (math.fsum(one.squares for one in parts) - count * mean * mean) / (count - 1)
    return mean / math.sqrt(variance) if variance > 0 else 0.0


def _rank(values: Sequence[float], value: float) -> float:
    """Return the average rank of a value, 1 for the least."""
    below = sum(one < value for one in values)
    same = sum(one == value for one in values)
    return below + (same + 1) / 2


class Neighbours(msgspec.Struct, frozen=True):
    """The tried neighbours of a point, and how many of them are close to its value."""

    count: int
    close: int

    @property
    def share(self) -> float | None:
        """The share that is close, None without neighbours."""
        return self.close / self.count if self.count else None


def neighbours_of(
    point: tuple[int, ...],
    values: Mapping[tuple[int, ...], float | None],
    numeric: Sequence[bool],
    *,
    better: int,
) -> Neighbours:
    """Return how many of the tried points next to one are at most `CLOSE` worse than it.

    A point is its places on the axes. Its neighbours are one place away on one axis, among the `numeric`
    ones: the values of others have no order. A neighbour without a value is not close. `better` is 1 if more
    is better, -1 if less is.
    """
    best = values[point]
    assert best is not None, "the chosen trial has a value"
    count = close = 0
    for axis, counts in enumerate(numeric):
        for step in (-1, 1) if counts else ():
            other = (*point[:axis], point[axis] + step, *point[axis + 1 :])
            if other in values:
                count += 1
                value = values[other]
                close += value is not None and better * (value - best) >= -CLOSE * abs(best)
    return Neighbours(count, close)
