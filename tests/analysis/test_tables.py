"""Returns by month and distributions, against the standard library."""

from __future__ import annotations

import math
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.analysis.tables import Distribution, Month, distribution, months
from engine.clock import DAY_NS, day_start_ns
from tests.profiles import examples


def test_a_return_belongs_to_the_month_in_which_its_day_began() -> None:
    ends = [day_start_ns("2024-01-31"), day_start_ns("2024-02-01"), day_start_ns("2024-02-02")]
    found = months([*ends, ends[-1] + DAY_NS // 2], [0.1, 0.1, -0.5, 1.0])
    assert found == [Month("2024-01", pytest.approx(21.0), 2), Month("2024-02", pytest.approx(0.0), 2)]
    assert months([], []) == []


@examples(1)
@given(st.lists(st.floats(-1, 1, allow_nan=False), min_size=30, max_size=70))
def test_the_months_multiply_to_the_whole(returns: list[float]) -> None:
    begin = day_start_ns("2024-01-20")
    found = months([begin + (day + 1) * DAY_NS for day in range(len(returns))], returns)
    whole = math.prod(1 + one.return_percent / 100 for one in found)
    assert whole == pytest.approx(math.prod(1 + one for one in returns), rel=1e-9, abs=1e-9)
    assert sum(one.days for one in found) == len(returns)


@examples(1)
@given(st.lists(st.integers(-1000, 1000).map(float), min_size=2, max_size=80))
def test_a_distribution_counts_every_value_once(values: list[float]) -> None:
    found = distribution(values)
    assert sum(one.count for one in found.bins) == found.count == len(values)
    assert (found.bins[0].low, found.bins[-1].high) == (min(values), max(values))
    assert found.mean == pytest.approx(statistics.fmean(values), rel=1e-9, abs=1e-9)
    assert found.median == pytest.approx(statistics.median(values))
    cuts = statistics.quantiles(values, n=20, method="inclusive")
    assert (found.quantile_5, found.quantile_95) == (pytest.approx(cuts[0]), pytest.approx(cuts[-1]))
    for one in found.bins[:-1]:
        inside = sum(1 for value in values if one.low <= value < one.high)
        assert abs(one.count - inside) <= sum(
            1
            for value in values
            if any(math.isclose(value, edge, abs_tol=1e-6) for edge in (one.low, one.high))
        )


def test_values_that_do_not_differ_are_in_one_bin_and_no_values_in_none() -> None:
    assert [one.count for one in distribution([3.0, 3.0]).bins] == [2]
    assert distribution([]) == Distribution()
