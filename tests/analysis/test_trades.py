"""Metrics of round trips, against the standard library and for accounts with no, one and equal trips."""

from __future__ import annotations

import math
import statistics
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.analysis.formulas import Measured
from engine.analysis.trades import (
    Nets,
    best,
    edge_ratio,
    expectancy,
    payoff,
    profit_factor,
    sqn,
    win_rate,
    worst,
)
from tests.profiles import examples

nets_lists = st.lists(st.integers(-(10**6), 10**6), min_size=2, max_size=50)
ALL = (win_rate, profit_factor, payoff, expectancy, sqn, best, worst)


@examples(2)
@given(nets_lists)
def test_metrics_of_round_trips_are_the_plain_formulas(cents: list[int]) -> None:
    exact = [Decimal(one).scaleb(-2) for one in cents]
    nets = Nets(exact)
    plain = [one / 100 for one in cents]
    wins, losses = [one for one in plain if one > 0], [-one for one in plain if one < 0]
    assert win_rate(nets).value == pytest.approx(100 * len(wins) / len(plain))
    assert expectancy(nets).value == pytest.approx(statistics.fmean(plain), rel=1e-9, abs=1e-9)
    assert (best(nets).value, worst(nets).value) == (max(exact), min(exact))
    if losses:
        assert profit_factor(nets).value == pytest.approx(sum(wins) / sum(losses))
    if wins and losses:
        ratio = statistics.fmean(wins) / statistics.fmean(losses)
        assert payoff(nets).value == pytest.approx(ratio)
    if len(set(plain)) > 1:
        expected = math.sqrt(len(plain)) * statistics.fmean(plain) / statistics.stdev(plain)
        assert sqn(nets).value == pytest.approx(expected, rel=1e-6, abs=1e-9)


def test_without_a_round_trip_there_is_no_number() -> None:
    assert [metric(Nets()) for metric in ALL] == [Measured(None, "no round trip")] * len(ALL)


def test_one_round_trip_has_no_deviation() -> None:
    nets = Nets([Decimal("1.50")])
    assert sqn(nets) == Measured(None, "one round trip: no deviation")
    assert profit_factor(nets).reason == payoff(nets).reason == "no losing round trip"
    assert (win_rate(nets).value, expectancy(nets).value) == (100.0, 1.5)
    assert best(nets) == worst(nets) == Measured(Decimal("1.50"))
    assert payoff(Nets([Decimal(-1)])).reason == "no winning round trip"
    assert profit_factor(Nets([Decimal(-1)])).value == 0.0


def test_equal_round_trips_have_no_deviation() -> None:
    assert sqn(Nets([Decimal("0.1")] * 7)).reason == "all round trips have the same profit"


def test_a_trip_that_breaks_even_is_neither_a_win_nor_a_loss() -> None:
    nets = Nets([Decimal(3), Decimal(0), Decimal(-1), Decimal(-1)])
    assert win_rate(nets).value == 25.0
    assert profit_factor(nets).value == 1.5
    assert payoff(nets).value == 3.0


def test_the_edge_ratio_compares_how_far_trips_were_ahead_and_behind() -> None:
    assert edge_ratio([4.0, 2.0], [-1.0, 0.0]).value == 6.0
    assert edge_ratio([4.0], [0.0]).reason == "no round trip was behind"
    assert edge_ratio([], []).reason == "no round trip"


def test_the_number_of_trips_is_not_capped() -> None:
    nets = Nets([Decimal(1), Decimal(3)] * 200)
    assert sqn(nets).value == pytest.approx(20 * 2 / statistics.stdev([1, 3] * 200))
