"""Metrics of round trips: win rate, profit factor, payoff, expectancy, SQN, best and worst.

Owns these formulas on lists of exact amounts: the profit of each round trip after fees. A trip that breaks
even is neither a win nor a loss. Called by `report` and by searches.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction

from engine.analysis.formulas import Measured, none

__all__ = ["best", "edge_ratio", "expectancy", "payoff", "profit_factor", "sqn", "win_rate", "worst"]

_NO_TRIPS = "no round trip"
_NO_LOSS = "no losing round trip"


def win_rate(nets: Sequence[Decimal]) -> Measured:
    """Round trips with net > 0 / round trips * 100."""
    if not nets:
        return none(_NO_TRIPS)
    return Measured(sum(1 for one in nets if one > 0) / len(nets) * 100)


def profit_factor(nets: Sequence[Decimal]) -> Measured:
    """sum(net > 0) / -sum(net < 0)."""
    won, lost = _parts(nets)
    if not nets:
        return none(_NO_TRIPS)
    return Measured(float(sum(won) / -sum(lost))) if lost else none(_NO_LOSS)


def payoff(nets: Sequence[Decimal]) -> Measured:
    """mean(net > 0) / -mean(net < 0)."""
    won, lost = _parts(nets)
    if not nets:
        return none(_NO_TRIPS)
    if not lost:
        return none(_NO_LOSS)
    if not won:
        return none("no winning round trip")
    return Measured(float((sum(won) / len(won)) / -(sum(lost) / len(lost))))


def expectancy(nets: Sequence[Decimal]) -> Measured:
    """mean(net), in money."""
    return Measured(float(_sum(nets) / len(nets))) if nets else none(_NO_TRIPS)


def sqn(nets: Sequence[Decimal]) -> Measured:
    """sqrt(n) * mean(net) / std(net, ddof 1). n is not capped: Tharp caps it at 100."""
    if len(nets) < 2:
        return none("one round trip: no deviation" if nets else _NO_TRIPS)
    mean = _sum(nets) / len(nets)
    squares = sum(((Fraction(one) - mean) ** 2 for one in nets), Fraction(0))
    if not squares:
        return none("all round trips have the same profit")
    return Measured(math.sqrt(len(nets)) * float(mean) / math.sqrt(float(squares / (len(nets) - 1))))


def best(nets: Sequence[Decimal]) -> Measured:
    """max(net), in money."""
    return Measured(max(nets)) if nets else none(_NO_TRIPS)


def worst(nets: Sequence[Decimal]) -> Measured:
    """min(net), in money."""
    return Measured(min(nets)) if nets else none(_NO_TRIPS)


def edge_ratio(mfe: Sequence[float], mae: Sequence[float]) -> Measured:
    """mean(mfe_percent) / -mean(mae_percent): how far trips were ahead, against how far they were behind."""
    if not mfe:
        return none(_NO_TRIPS)
    behind = -math.fsum(mae)
    return Measured(math.fsum(mfe) / behind) if behind else none("no round trip was behind")


def _sum(nets: Sequence[Decimal]) -> Fraction:
    return sum(map(Fraction, nets), Fraction(0))


def _parts(nets: Sequence[Decimal]) -> tuple[list[Fraction], list[Fraction]]:
    """Return the wins and the losses."""
    exact = [Fraction(one) for one in nets]
    return [one for one in exact if one > 0], [one for one in exact if one < 0]
