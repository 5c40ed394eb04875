"""Curves are bounded and keep their extremes; the benchmark is what its parts are worth."""

from __future__ import annotations

from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.analysis.curves import Benchmark, Points
from engine.clock import SECOND_NS
from tests.profiles import examples

steps = st.tuples(st.sampled_from([0, 1, 1, 1, 7, 1000]), st.integers(-50, 50))


def thinned(marks: list[tuple[int, float]], points_max: int) -> Points:
    points = Points(points_max)
    for at_ns, value in marks:
        points.add(at_ns, value)
        assert len(points) <= points_max
    return points


@examples(2)
@given(st.lists(steps, min_size=1, max_size=400), st.integers(16, 60))
def test_a_curve_is_bounded_and_keeps_ends_and_extremes(plan: list[tuple[int, int]], points_max: int) -> None:
    marks, at_ns = [], 1000 * SECOND_NS
    for step, value in plan:
        at_ns += step * SECOND_NS
        marks.append((at_ns, float(value)))
    points = thinned(marks, points_max)
    curve = points.curve()
    assert curve == points.curve()
    assert len(curve.at_ns) == len(curve.values) <= points_max
    assert all(before < after for before, after in pairwise(curve.at_ns))
    assert set(zip(curve.at_ns, curve.values, strict=True)) <= set(marks)
    assert (curve.at_ns[-1], curve.values[-1]) == marks[-1]
    assert curve.thinned == (len(marks) > points_max)
    newest = dict(marks)  # of several marks at one time the last one is shown
    if len(newest) == len(marks):
        assert (curve.at_ns[0], curve.values[0]) == marks[0]
        assert min(curve.values) == min(newest.values())
        assert max(curve.values) == max(newest.values())
    if not curve.thinned:
        assert dict(zip(curve.at_ns, curve.values, strict=True)) == newest


@pytest.mark.parametrize("seed", range(20))
def test_spans_that_are_skipped_as_too_narrow_change_nothing(seed: int) -> None:
    draw = Random(seed)
    marks, at_ns, points_max = [], 1000 * SECOND_NS, draw.randint(16, 60)
    for _ in range(draw.randint(60, 400)):
        at_ns += draw.choice([0, 1, 1, 1, 7, draw.choice([60, 1000])]) * SECOND_NS
        marks.append((at_ns, float(draw.randint(-50, 50))))
    points = thinned(marks, points_max)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Points, "_fewest", lambda _: 0)
        whole = thinned(marks, points_max)
    assert (points.curve(), points.span_ns) == (whole.curve(), whole.span_ns)


def test_every_span_keeps_its_extremes() -> None:
    marks = [(at * SECOND_NS, float((at * 7919) % 997)) for at in range(5000)]
    points = thinned(marks, 400)
    curve = points.curve()
    kept = dict(zip(curve.at_ns, curve.values, strict=True))
    span_ns = points.span_ns
    assert span_ns > 0
    for number in range(5000 * SECOND_NS // span_ns):
        span = [one for one in marks if one[0] // span_ns == number]
        inside = [value for at_ns, value in kept.items() if at_ns // span_ns == number]
        assert (min(inside), max(inside)) == (min(v for _, v in span), max(v for _, v in span))
        assert span[0][0] in kept
        assert span[-1][0] in kept
        assert len(inside) <= 4


def test_points_at_one_time_stay_bounded() -> None:
    curve = thinned([(5, float(at)) for at in range(1000)], 20).curve()
    assert (curve.at_ns, curve.values) == ([5], [999.0])


closes = st.lists(
    st.tuples(st.integers(0, 3), st.integers(1, 3), st.integers(1, 10**6)), min_size=1, max_size=60
)


@examples(1)
@given(closes)
def test_the_benchmark_is_worth_what_its_parts_are(plan: list[tuple[int, int, int]]) -> None:
    benchmark, at_ns = Benchmark(), 0
    times: dict[int, dict[int, float]] = {}
    newest: dict[int, float] = {}
    for step, number, price in plan:
        at_ns += step
        benchmark.close(number, price, number, at_ns)
        newest[number] = price / 10.0**number
        times[at_ns] = dict(newest)
    bought = first_prices(plan)
    part = 1000 / len(bought)
    expected = {
        at: sum(part / bought[number] * known[number] if number in known else part for number in bought)
        for at, known in times.items()
    }
    curve = benchmark.curve(1000)
    assert curve.at_ns == list(expected)
    assert curve.values == pytest.approx(list(expected.values()), rel=1e-9)
    gains = [float(last / first - 1) for first, last in benchmark.held_prices()]
    assert curve.values[-1] == pytest.approx(1000 * (1 + sum(gains) / len(gains)), rel=1e-9)


def first_prices(plan: list[tuple[int, int, int]]) -> dict[int, float]:
    found: dict[int, float] = {}
    for _, number, price in plan:
        found.setdefault(number, price / 10.0**number)
    return found


def test_without_a_bar_there_is_no_benchmark() -> None:
    assert Benchmark().curve(1000).values == []
