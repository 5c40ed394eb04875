"""Distributions, against the standard library."""

from __future__ import annotations

import math
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.analysis.distributions import Distribution, distribution
from tests.profiles import examples


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
