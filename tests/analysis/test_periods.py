"""Days and months: each amount counts once, and returns multiply to the whole."""

from __future__ import annotations

import math
from collections.abc import Iterable
from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from engine.analysis.periods import days_of, months_of
from engine.analysis.shapes import Day, DayPoint, Month
from engine.clock import DAY_NS, day_start_ns
from tests.profiles import examples


def test_a_day_belongs_to_the_month_in_which_it_began() -> None:
    ends = [day_start_ns("2024-01-31"), day_start_ns("2024-02-01"), day_start_ns("2024-02-02")]
    points = [DayPoint(ends[0] - DAY_NS // 2, "1000", "0")]
    points += [DayPoint(at, text, "0") for at, text in zip(ends, ("1100", "1210", "605"), strict=True)]
    points.append(DayPoint(ends[-1] + DAY_NS // 2, "1210.5", "0.5", "3", "-2"))
    days = days_of(points, {ends[1] // DAY_NS: 4})
    assert [(one.day, one.net_profit, one.round_trips) for one in days] == [
        ("2024-01-30", "100", 0),
        ("2024-01-31", "110", 0),
        ("2024-02-01", "-605", 4),
        ("2024-02-02", "605", 0),
    ]
    assert (days[-1].fees, days[-1].funding) == ("3", "-2")
    assert [(one.month, one.days, one.net_profit, one.round_trips) for one in months_of(days)] == [
        ("2024-01", 2, "210", 0),
        ("2024-02", 2, "0", 4),
    ]
    assert [one.return_percent for one in months_of(days)] == [pytest.approx(21.0), pytest.approx(0.0)]
    assert months_of([]) == []


def growth(parts: Iterable[Day | Month]) -> float:
    """Return the product of 1 + the returns."""
    return math.prod(1 + (one.return_percent or 0) / 100 for one in parts)


@examples(1)
@given(
    st.lists(st.tuples(st.integers(1, 10**9), st.integers(-5, 5), st.integers(0, 9)), min_size=2, max_size=70)
)
@example([(1, 0, 0)] * 12 + [(7_559_481, 0, 0), (2, 0, 0), (1, 0, 0)])
def test_the_months_are_the_whole(marks: list[tuple[int, int, int]]) -> None:
    begin, points = day_start_ns("2024-01-20"), []
    moved = fees = 0
    for day, (equity, deposit, fee) in enumerate(marks):
        moved, fees = moved + deposit, fees + fee
        points.append(DayPoint(begin + day * DAY_NS, f"{equity / 1000:f}", str(moved), str(fees)))
    days = days_of(points, {})
    months = months_of(days)
    gained = Fraction(points[-1].equity) - Fraction(points[0].equity) - (moved - marks[0][1])
    for table in (days, months):
        assert sum(Fraction(one.net_profit) for one in table) == gained
        assert sum(Fraction(one.fees) for one in table) == fees - marks[0][2]
    grown = [growth(one for one in days if one.day.startswith(month.month)) for month in months]
    # A return in percent is exact to some 1e-15 of 1 + the growth, which is much of one that lost nearly all.
    bound = math.prod(1 + 1e-15 * (1 + abs(one)) / abs(one) for one in grown if one) - 1 + 1e-15 * len(days)
    assert abs(growth(months) - math.prod(grown)) <= bound * abs(math.prod(grown))
    assert sum(one.days for one in months) == len(days) == len(marks) - 1
