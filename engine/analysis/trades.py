"""Metrics of round trips: win rate, profit factor, payoff, expectancy, SQN, best and worst.

Owns these formulas on `Nets`: the exact sums of the profits of round trips after fees, in constant memory. A
trip that breaks even is neither a win nor a loss. Called by `report` and by searches.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from decimal import Decimal
from fractions import Fraction

from engine.analysis.formulas import Measured, none
from engine.analysis.trips import product, total

__all__ = ["Nets", "best", "edge_ratio", "expectancy", "payoff", "profit_factor", "sqn", "win_rate", "worst"]

_NO_TRIPS = "no round trip"
_NO_LOSS = "no losing round trip"
_ZERO = Decimal(0)


class Nets:
    """Exact sums of profits after fees: of all, of wins, of losses, of squares; the best and the worst."""

    def __init__(self, nets: Iterable[Decimal] = ()) -> None:
        self.count = self.won = self.lost = 0
        self.gained = self.given = self._squares = _ZERO
        self.best: Decimal | None = None
        self.worst: Decimal | None = None
        for net in nets:
            self.add(net)

    def add(self, net: Decimal) -> None:
        """Count a round trip."""
        self.count += 1
        if net > 0:
            self.won, self.gained = self.won + 1, total(self.gained, net)
        elif net < 0:
            self.lost, self.given = self.lost + 1, total(self.given, net)
        self._squares = total(self._squares, product(net, net))
        self.best = net if self.best is None else max(self.best, net)
        self.worst = net if self.worst is None else min(self.worst, net)

    @property
    def mean(self) -> Fraction:
        """The mean of at least one."""
        return Fraction(total(self.gained, self.given)) / self.count

    @property
    def variance(self) -> Fraction:
        """The variance of at least two, ddof 1."""
        return (Fraction(self._squares) - self.count * self.mean**2) / (self.count - 1)


def win_rate(nets: Nets) -> Measured:
    """Round trips with net > 0 / round trips * 100."""
    return Measured(nets.won / nets.count * 100) if nets.count else none(_NO_TRIPS)


def profit_factor(nets: Nets) -> Measured:
    """sum(net > 0) / -sum(net < 0)."""
    if not nets.count:
        return none(_NO_TRIPS)
    return Measured(float(Fraction(nets.gained) / -Fraction(nets.given))) if nets.lost else none(_NO_LOSS)


def payoff(nets: Nets) -> Measured:
    """mean(net > 0) / -mean(net < 0)."""
    if not nets.count:
        return none(_NO_TRIPS)
    if not nets.lost:
        return none(_NO_LOSS)
    if not nets.won:
        return none("no winning round trip")
    return Measured(float((Fraction(nets.gained) / nets.won) / -(Fraction(nets.given) / nets.lost)))


def expectancy(nets: Nets) -> Measured:
    """mean(net), in money."""
    return Measured(float(nets.mean)) if nets.count else none(_NO_TRIPS)


def sqn(nets: Nets) -> Measured:
    """sqrt(n) * mean(net) / std(net, ddof 1). n is not capped: Tharp caps it at 100."""
    if nets.count < 2:
        return none("one round trip: no deviation" if nets.count else _NO_TRIPS)
    variance = nets.variance
    if not variance:
        return none("all round trips have the same profit")
    return Measured(math.sqrt(nets.count) * float(nets.mean) / math.sqrt(float(variance)))


def best(nets: Nets) -> Measured:
    """max(net), in money."""
    return none(_NO_TRIPS) if nets.best is None else Measured(nets.best)


def worst(nets: Nets) -> Measured:
    """min(net), in money."""
    return none(_NO_TRIPS) if nets.worst is None else Measured(nets.worst)


def edge_ratio(mfe: Sequence[float], mae: Sequence[float]) -> Measured:
    """mean(mfe_percent) / -mean(mae_percent): how far trips were ahead, against how far they were behind."""
    if not mfe:
        return none(_NO_TRIPS)
    behind = -math.fsum(mae)
    return Measured(math.fsum(mfe) / behind) if behind else none("no round trip was behind")
