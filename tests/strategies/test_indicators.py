"""Moving averages compared with their definitions, and the decisions of the example strategy (R04)."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.events import BarClosed, TargetSet
from engine.indicators import Ema, Sma
from engine.strategies.actor import StrategyActor
from engine.strategies.crossover import Crossover
from tests.actors.harness import MINUTE, Harness, T

values = st.lists(st.floats(0.01, 10**6), min_size=1, max_size=60)


@given(values, st.integers(1, 20))
def test_an_ema_is_the_recursion_of_its_definition(closes: list[float], period: int) -> None:
    ema = Ema(period)
    alpha = Fraction(2, period + 1)
    exact = Fraction(0)
    for number, close in enumerate(closes, 1):
        value = ema.update(close)
        if number <= period:
            exact = sum(map(Fraction, closes[:number]), Fraction(0)) / number
        else:
            exact = alpha * Fraction(close) + (1 - alpha) * exact
        assert (value is None) == (number < period)
        assert value is None or value == pytest.approx(float(exact), rel=1e-9)


@given(values, st.integers(1, 20))
def test_a_sma_is_the_mean_of_the_last_values(closes: list[float], period: int) -> None:
    sma = Sma(period)
    for number, close in enumerate(closes, 1):
        value = sma.update(close)
        last = closes[max(0, number - period) : number]
        assert value is None or value == pytest.approx(float(sum(map(Fraction, last)) / period), rel=1e-12)
        assert (value is None) == (number < period)
        assert len(sma.values) <= period


def test_two_averages_do_not_share_state() -> None:
    one, other = Sma(3), Sma(3)
    one.update(1.0)
    assert other.values == []


def bar(close: int, number: int, interval_ns: int = MINUTE) -> BarClosed:
    start_ns = T + number * interval_ns
    return BarClosed(
        start_ns + interval_ns, 1, interval_ns, start_ns, close, close, close, close, 1, 1, "trade"
    )


def test_the_example_is_long_while_the_fast_average_is_above_the_slow_one() -> None:
    on = Harness(StrategyActor(Crossover, "x", {"fast": 2, "slow": 4, "notional": "1000"}))
    up = [10_000, 10_000, 10_000, 10_000, 10_100, 10_200, 10_300]
    down = [10_200, 9_000, 8_000, 7_000]
    emitted = [on.send(bar(close, number)) for number, close in enumerate(up + down)]
    targets = on.all(TargetSet)
    assert [events != [] for events in emitted[:5]] == [False, False, False, True, True]
    assert [one.size > 0 for one in targets] == [False, True, False]
    assert targets[1].size == 1000 * 100_000 // 10_100, "1000 of quote currency at 101.00, in steps of 0.001"
    assert targets[1].reason == "fast EMA above slow"


def test_the_example_uses_one_interval_and_each_market_separately() -> None:
    on = Harness(StrategyActor(Crossover, "x", {"fast": 1, "slow": 2}))
    for number, close in enumerate([1, 2, 3, 4]):
        assert on.send(bar(close, number, 5 * MINUTE)) == []
    assert not on.strategy.quick
