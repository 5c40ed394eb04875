"""Metrics of daily returns: Sharpe, Sortino, volatility, CAGR, Calmar, probabilistic and deflated Sharpe.

Owns these formulas on plain lists of floats. A daily return is the change of the equity from one UTC
midnight to the next, open positions and all costs included; days without trades count. Promises: no number
without a meaning (see `formulas.Measured`), sums without loss of digits. Called by `report` and by searches.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import Final

from engine.analysis.formulas import DAYS_MIN, YEAR_DAYS, Measured, none

__all__ = [
    "cagr",
    "calmar",
    "daily_returns",
    "deflated_sharpe",
    "probabilistic_sharpe",
    "sharpe",
    "sharpe_of_luck",
    "sortino",
    "volatility",
]

EULER: Final = 0.5772156649015329
_NORMAL: Final = NormalDist()
_RUIN: Final = "the equity was 0 or below"


def daily_returns(equity: Sequence[float], moved: Sequence[float] = ()) -> list[float] | None:
    """Return (equity - deposits of the day) / equity of the day before - 1; None if an equity is 0 or below.

    `moved` is the sum of deposits less withdrawals until each point; none is the same as all 0. Only the last
    equity may be 0 or below: the day of a ruin has a return, and no day after it has.
    """
    sums = moved or [0.0] * len(equity)
    found = []
    for before, now, old, new in zip(equity, equity[1:], sums, sums[1:], strict=False):
        if before <= 0:
            return None
        found.append((now - (new - old)) / before - 1)
    return found


def sharpe(
    returns: Sequence[float] | None, *, year: int = YEAR_DAYS, rate: float = 0.0, days_min: int = DAYS_MIN
) -> Measured:
    """mean(r - rate) / std(r, ddof 1) * sqrt(year); `rate` is the risk-free return of a day."""
    if returns is None:
        return none(_RUIN)
    if (short := _short(returns, days_min)) is not None:
        return short
    deviation = _deviation(returns)
    if not deviation:
        return none("the daily returns do not differ")
    return Measured((_mean(returns) - rate) / deviation * math.sqrt(year))


def sortino(
    returns: Sequence[float] | None, *, year: int = YEAR_DAYS, rate: float = 0.0, days_min: int = DAYS_MIN
) -> Measured:
    """mean(r - rate) / sqrt(sum(min(r - rate, 0)^2) / n) * sqrt(year); n is the number of all days."""
    if returns is None:
        return none(_RUIN)
    if (short := _short(returns, days_min)) is not None:
        return short
    downside = math.sqrt(math.fsum(min(one - rate, 0.0) ** 2 for one in returns) / len(returns))
    if not downside:
        return none("no losing day")
    return Measured((_mean(returns) - rate) / downside * math.sqrt(year))


def volatility(
    returns: Sequence[float] | None, *, year: int = YEAR_DAYS, days_min: int = DAYS_MIN
) -> Measured:
    """std(r, ddof 1) * sqrt(year) * 100."""
    if returns is None:
        return none(_RUIN)
    if (short := _short(returns, days_min)) is not None:
        return short
    return Measured(_deviation(returns) * math.sqrt(year) * 100)


def cagr(returns: Sequence[float] | None, *, year: int = YEAR_DAYS, days_min: int = DAYS_MIN) -> Measured:
    """(product(1 + r)^(year / days) - 1) * 100; without deposits the product is end / start."""
    if returns is None:
        return none(_RUIN)
    if (short := _short(returns, days_min)) is not None:
        return short
    grown = math.prod(1 + one for one in returns)
    if grown <= 0:
        return none(_RUIN)
    try:
        return Measured((grown ** (year / len(returns)) - 1) * 100)
    except OverflowError:
        return none("the growth of a year is beyond any number")


def calmar(cagr_percent: Measured, max_drawdown_percent: Measured) -> Measured:
    """CAGR / largest drawdown, both in percent."""
    for one in (cagr_percent, max_drawdown_percent):
        if one.value is None:
            return none(one.reason)
    assert cagr_percent.value is not None
    assert max_drawdown_percent.value is not None
    if not max_drawdown_percent.value:
        return none("no drawdown")
    return Measured(float(cagr_percent.value) / float(max_drawdown_percent.value))


def probabilistic_sharpe(
    returns: Sequence[float] | None, *, against: float = 0.0, rate: float = 0.0, days_min: int = DAYS_MIN
) -> Measured:
    """The probability that the true Sharpe ratio, of returns less `rate`, is above `against`, a daily ratio.

    N((s - against) * sqrt(n - 1) / sqrt(1 - g3 * s + (g4 - 1) / 4 * s^2)) with s = mean(r - rate) / std(r,
    ddof 1), and skew g3 and kurtosis g4 (3 of a normal distribution, not excess) estimated without bias.
    Bailey and Lopez de Prado, "The Sharpe ratio efficient frontier", Journal of Risk 15 (2012).
    """
    if returns is None:
        return none(_RUIN)
    if (short := _short(returns, max(days_min, 4))) is not None:
        return short
    deviation = _deviation(returns)
    if not deviation:
        return none("the daily returns do not differ")
    ratio = (_mean(returns) - rate) / deviation
    skew, kurtosis = _shape(returns)
    inside = 1 - skew * ratio + (kurtosis - 1) / 4 * ratio**2
    if inside <= 0:
        return none("the returns are too skewed to estimate an error")
    return Measured(_NORMAL.cdf((ratio - against) * math.sqrt(len(returns) - 1) / math.sqrt(inside)))


def sharpe_of_luck(trials: int, variance: float) -> float:
    """Return the Sharpe ratio of one day that the best of `trials` without skill is expected to have.

    sqrt(variance) * ((1 - e) * Z(1 - 1/N) + e * Z(1 - 1/(N * 2.718...))), e the constant of Euler and
    Mascheroni; `variance` is that of the ratios of one day among the trials. 0 for a single trial.
    """
    if trials < 2:
        return 0.0
    first, second = (_NORMAL.inv_cdf(1 - 1 / (trials * factor)) for factor in (1, math.e))
    return math.sqrt(variance) * ((1 - EULER) * first + EULER * second)


def deflated_sharpe(
    returns: Sequence[float] | None,
    *,
    trials: int,
    variance: float,
    rate: float = 0.0,
    days_min: int = DAYS_MIN,
) -> Measured:
    """The probability that the true Sharpe ratio is above what the best of `trials` without skill has.

    `probabilistic_sharpe` against `sharpe_of_luck`. Bailey and Lopez de Prado, "The deflated Sharpe ratio",
    Journal of Portfolio Management 40 (2014).
    """
    if trials < 1:
        return none("the number of trials is not known")
    luck = sharpe_of_luck(trials, variance)
    return probabilistic_sharpe(returns, against=luck, rate=rate, days_min=days_min)


def _short(returns: Sequence[float], days_min: int) -> Measured | None:
    """Return why there is no number for too few days."""
    if len(returns) < max(days_min, 2):
        days = f"{len(returns)} day" + ("" if len(returns) == 1 else "s")
        return none(f"{days} of returns, under {max(days_min, 2)}")
    return None


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def _deviation(values: Sequence[float]) -> float:
    """Return the standard deviation, ddof 1. Equal values have exactly 0, whatever their mean rounds to."""
    if min(values) == max(values):
        return 0.0
    mean = _mean(values)
    return math.sqrt(math.fsum((one - mean) ** 2 for one in values) / (len(values) - 1))


def _shape(values: Sequence[float]) -> tuple[float, float]:
    """Return skew and kurtosis (3 of a normal distribution), both estimated without bias."""
    n, mean = len(values), _mean(values)
    second, third, fourth = (math.fsum((one - mean) ** power for one in values) / n for power in (2, 3, 4))
    skew = third / second**1.5 * math.sqrt(n * (n - 1)) / (n - 2)
    excess = (n - 1) / ((n - 2) * (n - 3)) * ((n + 1) * (fourth / second**2 - 3) + 6)
    return skew, excess + 3
