"""Metrics of daily returns: equal to two public tools and to the plain formulas."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.analysis import trades
from engine.analysis.drawdowns import drawdowns_of
from engine.analysis.formulas import Measured
from engine.analysis.returns import (
    cagr,
    calmar,
    daily_returns,
    deflated_sharpe,
    probabilistic_sharpe,
    sharpe,
    sharpe_of_luck,
    sortino,
    volatility,
)
from engine.analysis.trips import added
from tests.analysis.references import EMPYRICAL, QUANTSTATS, SERIES
from tests.profiles import examples

SCALE = 12

returns_lists = st.lists(st.floats(-0.2, 0.2, allow_nan=False).map(lambda one: round(one, 6)), min_size=30)


def series(name: str) -> list[float]:
    return [int(one) / 1_000_000 for one in SERIES[name].split()]


def grown(returns: Sequence[float]) -> list[float]:
    equity = [1000.0]
    for one in returns:
        equity.append(equity[-1] * (1 + one))
    return equity


def fallen(returns: Sequence[float]) -> Measured:
    marks = [(day, round(one * 10**SCALE)) for day, one in enumerate(grown(returns))]
    return drawdowns_of(marks, SCALE).max_drawdown_percent


def number(one: Measured) -> float:
    assert one.value is not None, one.reason
    assert one.reason == ""
    return float(one.value)


@pytest.mark.parametrize("tool", [QUANTSTATS, EMPYRICAL], ids=["quantstats", "empyrical"])
@pytest.mark.parametrize("name", SERIES)
def test_metrics_are_those_of_two_public_tools(tool: dict[str, dict[str, float]], name: str) -> None:
    expected, found = tool[name], daily_returns(grown(series(name)))
    assert found == pytest.approx(series(name), abs=1e-12)
    nets = [added(Decimal(0), round(one * 10**6), 3) for one in series(name)]
    values = {
        "sharpe": number(sharpe(found)),
        "sortino": number(sortino(found)),
        "volatility": number(volatility(found)) / 100,
        "cagr": number(cagr(found)) / 100,
        "max_drawdown": -number(fallen(series(name))) / 100,
        "calmar": number(calmar(cagr(found), fallen(series(name)))),
        "psr": number(probabilistic_sharpe(found)),
        "profit_factor": number(trades.profit_factor(trades.Nets(nets))),
        "payoff": number(trades.payoff(trades.Nets(nets))),
    }
    assert {key: values[key] for key in expected} == pytest.approx(expected, rel=1e-9, abs=1e-9)


@examples(1)
@given(returns_lists)
def test_metrics_are_the_plain_formulas(returns: list[float]) -> None:
    mean = statistics.fmean(returns)
    if len(set(returns)) == 1:
        assert sharpe(returns) == Measured(None, "the daily returns do not differ")
    else:
        deviation = statistics.stdev(returns)
        assert number(sharpe(returns)) == pytest.approx(mean / deviation * 365**0.5, rel=1e-9, abs=1e-9)
        assert number(volatility(returns)) == pytest.approx(deviation * 365**0.5 * 100, rel=1e-9)
    losses = [one * one for one in returns if one < 0]
    if not losses:
        assert sortino(returns) == Measured(None, "no losing day")
    else:
        downside = (sum(losses) / len(returns)) ** 0.5
        assert number(sortino(returns)) == pytest.approx(mean / downside * 365**0.5, rel=1e-9, abs=1e-9)
    end = grown(returns)[-1] / 1000
    assert number(cagr(returns)) == pytest.approx((end ** (365 / len(returns)) - 1) * 100, rel=1e-9, abs=1e-7)


@examples(1)
@given(returns_lists, st.floats(0.5, 3))
def test_a_ratio_does_not_depend_on_the_size_of_the_account_or_of_the_bets(
    returns: list[float], factor: float
) -> None:
    bigger = [one * factor for one in returns]
    for metric in (sharpe, sortino, probabilistic_sharpe):
        one, other = metric(returns), metric(bigger)
        assert (one.value is None) == (other.value is None)
        if one.value is not None and other.value is not None:
            assert float(other.value) == pytest.approx(float(one.value), rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("metric", [sharpe, sortino, volatility, cagr, probabilistic_sharpe])
def test_under_30_days_there_is_no_number(metric: Callable[[Sequence[float]], Measured]) -> None:
    assert metric([]) == Measured(None, "0 days of returns, under 30")
    assert metric([0.01]) == Measured(None, "1 day of returns, under 30")
    assert metric([0.01, -0.01] * 14 + [0.03]) == Measured(None, "29 days of returns, under 30")
    assert metric([0.01, -0.01] * 15).value is not None


def test_a_flat_account_has_no_ratio_and_a_growth_of_0() -> None:
    flat = [0.0] * 40
    assert sharpe(flat).reason == probabilistic_sharpe(flat).reason == "the daily returns do not differ"
    assert sortino(flat).reason == "no losing day"
    assert cagr(flat) == volatility(flat) == Measured(0.0)
    assert calmar(cagr(flat), fallen(flat)) == Measured(None, "no drawdown")


def test_an_equal_gain_each_day_has_no_deviation_although_its_mean_is_rounded() -> None:
    assert sharpe([0.1354062186559679] * 30).reason == "the daily returns do not differ"
    assert sharpe([0.01] * 32 + [0.01, 0.010001]).value is not None


def test_a_ruined_account_has_no_ratio() -> None:
    assert daily_returns([100.0, 0.0]) == [-1.0]
    assert daily_returns([100.0, 0.0, 50.0]) is None
    assert daily_returns([0.0, 50.0]) is None
    for metric in (sharpe, sortino, volatility, cagr, probabilistic_sharpe):
        assert metric(None) == Measured(None, "the equity was 0 or below")
    assert cagr([0.0] * 40 + [-1.0]) == Measured(None, "the equity was 0 or below")
    assert cagr([0.0] * 40 + [-1.5]) == Measured(None, "the equity was 0 or below")
    assert calmar(Measured(None, "why"), Measured(1.0)) == Measured(None, "why")


def test_a_growth_beyond_any_number_is_none() -> None:
    assert cagr([1e9] * 30).reason == "the growth of a year is beyond any number"


def test_a_deposit_is_no_return() -> None:
    assert daily_returns([100.0, 160.0, 130.0], [0.0, 50.0, 20.0]) == pytest.approx([0.1, 0.0])


def test_sharpe_takes_a_risk_free_rate_and_another_year() -> None:
    returns = series("rising")
    excess = [one - 0.0001 for one in returns]
    assert number(sharpe(returns, rate=0.0001)) == pytest.approx(number(sharpe(excess)), rel=1e-12)
    assert number(sharpe(returns, year=252)) == pytest.approx(number(sharpe(returns)) * (252 / 365) ** 0.5)


def test_the_deflated_sharpe_is_that_of_the_paper() -> None:
    """Bailey and Lopez de Prado, 2014: the best of 100 trials, variance 1/2 a year, has 0.1132 a day by luck.

    The example goes on with n 1250, s 2.5 a year, skew -3 and kurtosis 10: the moments of two values, one of
    them 105 times. DSR 0.9004 of 100 trials, 0.9505 of 46.
    """
    assert sharpe_of_luck(100, 0.5 / 250) == pytest.approx(0.1132, abs=5e-5)
    returns = with_ratio([-1.0] * 105 + [0.0] * 1145, 2.5 / 250**0.5)
    for trials, expected in ((100, 0.9004), (46, 0.9505)):
        found = number(deflated_sharpe(returns, trials=trials, variance=0.5 / 250))
        assert found == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(
    ("square", "cube", "expected"), [(-1.00982815, 0.53098653, 0.913), (0.0, 0.02313326, 0.982)]
)
def test_the_probabilistic_sharpe_is_that_of_the_paper(square: float, cube: float, expected: float) -> None:
    """Bailey and Lopez de Prado, 2012: 24 months, s 0.458; skew -2.448 and kurtosis 10.164, or a normal one.

    The months are quantiles of a normal distribution, bent until they have these moments.
    """
    normal = [statistics.NormalDist().inv_cdf((at + 0.5) / 24) for at in range(24)]
    returns = with_ratio([one + square * one**2 + cube * one**3 for one in normal], 0.458)
    assert number(probabilistic_sharpe(returns, days_min=2)) == pytest.approx(expected, abs=5e-4)


def with_ratio(values: Sequence[float], ratio: float) -> list[float]:
    """Return the values moved and scaled so that mean / deviation is this; skew and kurtosis stay."""
    mean, deviation = statistics.fmean(values), statistics.stdev(values)
    return [((one - mean) / deviation + ratio) / 100 for one in values]


def test_more_trials_or_a_wider_spread_among_them_deflate_more() -> None:
    returns = series("rising")
    alone = probabilistic_sharpe(returns)
    assert deflated_sharpe(returns, trials=1, variance=0.01) == alone
    few, many, wide = (
        number(deflated_sharpe(returns, trials=trials, variance=variance))
        for trials, variance in ((10, 1e-4), (1000, 1e-4), (10, 1e-3))
    )
    assert number(alone) > few > many
    assert few > wide
    assert deflated_sharpe(returns, trials=0, variance=1.0).reason == "the number of trials is not known"


def test_the_probability_counts_kurtosis_as_it_is_and_not_its_excess() -> None:
    """By the definition, with moments written out: a normal-like sample of kurtosis 3 takes off s^2 / 2."""
    returns = series("fat tails")
    n, mean = len(returns), statistics.fmean(returns)
    m2, m3, m4 = (sum((one - mean) ** k for one in returns) / n for k in (2, 3, 4))
    g3 = m3 / m2**1.5 * math.sqrt(n * (n - 1)) / (n - 2)
    g4 = 3 + (n - 1) / ((n - 2) * (n - 3)) * ((n + 1) * (m4 / m2**2 - 3) + 6)
    ratio = mean / statistics.stdev(returns)
    z = (ratio - 0.001) * math.sqrt((n - 1) / (1 - g3 * ratio + (g4 - 1) / 4 * ratio**2))
    expected = statistics.NormalDist().cdf(z)
    assert number(probabilistic_sharpe(returns, against=0.001)) == pytest.approx(expected, rel=1e-12)
