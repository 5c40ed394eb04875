"""Drawdowns on every mark, against all pairs of marks."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from engine.analysis.drawdowns import KEPT, Drawdowns, drawdowns_of
from engine.clock import DAY_NS
from tests.profiles import examples

marks_lists = st.lists(st.tuples(st.integers(1, 9), st.integers(-50, 200)), min_size=1, max_size=60).map(
    lambda steps: [(sum(step for step, _ in steps[: at + 1]), equity) for at, (_, equity) in enumerate(steps)]
)


@examples(3)
@given(marks_lists)
def test_drawdowns_are_those_of_all_pairs_of_marks(marks: list[tuple[int, int]]) -> None:
    found = drawdowns_of(marks)
    peaks = [max(equity for _, equity in marks[: at + 1]) for at in range(len(marks))]
    falls = [peak - equity for peak, (_, equity) in zip(peaks, marks, strict=True)]
    assert found.most == max(falls)
    percents = [Fraction(fall * 100, peak) for fall, peak in zip(falls, peaks, strict=True) if peak > 0]
    value = found.max_drawdown_percent.value
    assert value is None or abs(Fraction(value) - max(percents)) < Fraction(1, 10**9)
    assert (value is None) == (not percents)
    highs = [at for at, fall in enumerate(falls) if not fall]
    ends = [*highs[1:], len(marks) - 1]
    longest = max(
        marks[end][0] - marks[at][0] if any(falls[at : end + 1]) else 0
        for at, end in zip(highs, ends, strict=True)
    )
    assert found.longest_ns == longest
    assert found.below_ns == sum(
        marks[end][0] - marks[at][0] for at, end in zip(highs, ends, strict=True) if any(falls[at : end + 1])
    )
    assert len(found.worst) <= KEPT
    depths = [one.percent if one.percent is not None else -1.0 for one in found.worst]
    assert depths == sorted(depths, reverse=True)


def test_a_loss_on_the_first_day_is_a_drawdown_and_one_that_goes_on_counts_to_the_end() -> None:
    found = drawdowns_of([(0, 1000), (DAY_NS, 900), (3 * DAY_NS, 950)])
    assert (found.most, found.max_drawdown_percent.value, found.max_drawdown_days.value) == (100, 10.0, 3.0)
    (one,) = found.worst
    assert (one.start_ns, one.valley_ns, one.end_ns, one.days) == (0, DAY_NS, None, 3.0)


def test_the_largest_in_money_and_the_largest_in_percent_may_be_different_ones() -> None:
    found = drawdowns_of([(0, 100), (1, 50), (2, 1000), (3, 900), (4, 1000)])
    assert (found.most, found.max_drawdown_percent.value) == (100, 50.0)
    assert [(one.depth, one.percent, one.end_ns) for one in found.worst] == [(50, 50.0, 2), (100, 10.0, 4)]


def test_a_time_without_positions_before_a_fall_is_not_below_the_peak() -> None:
    found = Drawdowns()
    found.add(0, 1000)
    found.hold(8 * DAY_NS)
    found.add(9 * DAY_NS, 990)
    found.hold(20 * DAY_NS)
    found.add(21 * DAY_NS, 1000)
    found.finish(30 * DAY_NS)
    assert found.max_drawdown_days.value == 13.0


def test_a_deposit_ends_no_drawdown_and_a_withdrawal_begins_none() -> None:
    found = Drawdowns()
    found.add(0, 1000, 0, 0)
    found.add(1, 900, 0, 0)
    found.add(2, 1400, 0, 500)
    found.add(3, 700, 0, -200)
    found.finish(3)
    assert (found.most, len(found.worst), found.worst[0].end_ns) == (100, 1, None)


def test_a_finer_scale_changes_nothing() -> None:
    found = Drawdowns()
    found.add(0, 1000, 0)
    found.add(1, 900, 0)
    found.add(2, 95_000, 2, 0)
    found.add(3, 100_000, 2, 0)
    found.finish(3)
    assert (found.most, found.scale, found.max_drawdown_percent.value) == (10_000, 2, 10.0)
    assert (found.worst[0].depth, found.worst[0].scale, found.worst[0].end_ns) == (10_000, 2, 3)


def test_an_account_that_never_was_above_0_has_no_percent() -> None:
    found = drawdowns_of([(0, 0), (1, -5)])
    assert found.most == 5
    assert found.max_drawdown_percent.reason == "the equity never was above 0"
    assert found.worst[0].percent is None
    assert Drawdowns().max_drawdown_percent.reason == Drawdowns().max_drawdown_days.reason == "no equity"


def test_a_ruin_is_more_than_the_whole_account() -> None:
    assert drawdowns_of([(0, 100), (1, -20)]).max_drawdown_percent.value == 120.0
