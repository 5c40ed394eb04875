"""PBO by CSCV equals a public tool and a computation by the letter of the paper; neighbours are counted."""

from __future__ import annotations

import math
import statistics
from itertools import combinations, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.search.overfitting import neighbours_of, overfitting
from tests.profiles import examples
from tests.search.references import CASES, Case, noise


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"noise-{case.seed}")
def test_pbo_is_that_of_a_public_tool(case: Case) -> None:
    found = overfitting(noise(case.seed, case.trials, case.days, case.skill), blocks=10)
    assert found.splits == 252
    assert found.pbo == pytest.approx(case.pbo, abs=1e-12)
    assert found.ahead == pytest.approx(case.ahead, rel=1e-9)
    assert found.behind == pytest.approx(case.behind, rel=1e-9)


def _by_the_letter(matrix: list[list[float]], blocks: int) -> float:
    """The definition: logits of the relative rank of what is best in each half, on the days themselves."""

    def ratio(row: list[float], days: list[int]) -> float:
        values = [row[day] for day in days]
        return statistics.fmean(values) / statistics.stdev(values) if len(set(values)) > 1 else 0.0

    days = len(matrix[0])
    bounds = [0]
    for number in range(blocks):
        bounds.append(bounds[-1] + days // blocks + (number < days % blocks))
    logits = []
    for inside in combinations(range(blocks), blocks // 2):
        of = [
            [
                day
                for at in range(blocks)
                if (at in inside) is which
                for day in range(bounds[at], bounds[at + 1])
            ]
            for which in (True, False)
        ]
        chosen, others = ([ratio(row, days) for row in matrix] for days in of)
        best = chosen.index(max(chosen))
        ordered = sorted(others)
        first = ordered.index(others[best]) + 1
        rank = first + (ordered.count(others[best]) - 1) / 2
        relative = rank / (len(matrix) + 1)
        logits.append(math.log(relative / (1 - relative)))
    return sum(one <= 1e-12 for one in logits) / len(logits)


# Hundredths that are exact in binary: sums and squares have no rounding that could break a tie.
returns = st.integers(-64, 64).map(lambda one: one / 128)


@examples(0.5)
@given(st.data(), st.integers(2, 7), st.sampled_from((2, 4, 6)), st.integers(0, 9))
def test_pbo_is_that_of_the_definition(data: st.DataObject, trials: int, blocks: int, more: int) -> None:
    row = st.lists(returns, min_size=2 * blocks + more, max_size=2 * blocks + more)
    matrix = data.draw(st.lists(row, min_size=trials, max_size=trials))
    assert overfitting(matrix, blocks=blocks).pbo == pytest.approx(_by_the_letter(matrix, blocks))


def test_of_trials_that_never_trade_none_is_better() -> None:
    assert overfitting([[0.0] * 40, [0.0] * 40, [0.0] * 40]).pbo == 1.0


@pytest.mark.parametrize(
    ("matrix", "blocks"), [([[0.1] * 40], 10), ([[0.1] * 19] * 2, 10), ([[0.1] * 40] * 2, 3)]
)
def test_a_matrix_that_cannot_be_cut_is_refused(matrix: list[list[float]], blocks: int) -> None:
    with pytest.raises(ValueError, match="cannot be cut"):
        overfitting(matrix, blocks=blocks)


def test_a_matrix_of_days_by_trials_of_other_lengths_is_refused() -> None:
    with pytest.raises(ValueError, match="give trials by days"):
        overfitting([[0.1] * 40, [0.1] * 41])


@given(
    st.dictionaries(
        st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 2)),
        st.none() | st.integers(-50, 50).map(float),
        min_size=1,
    ),
    st.tuples(st.booleans(), st.booleans(), st.booleans()),
    st.sampled_from((1, -1)),
)
def test_neighbours_are_one_step_away_on_one_axis_of_numbers(
    values: dict[tuple[int, ...], float | None], numeric: tuple[bool, ...], better: int
) -> None:
    valued = [point for point, value in values.items() if value is not None]
    if not valued:
        return
    point = max(valued)
    best = values[point]
    assert best is not None
    near = [
        values[other]
        for other in product(range(4), range(4), range(3))
        if other in values
        and sorted(map(abs, map(int.__sub__, other, point))) == [0, 0, 1]
        and all(a == b or counts for a, b, counts in zip(other, point, numeric, strict=True))
    ]
    found = neighbours_of(point, values, numeric, better=better)
    worst = best - better * 0.2 * abs(best)
    assert found.count == len(near)
    assert found.close == sum(one is not None and better * one >= better * worst for one in near)
    assert found.share == (found.close / len(near) if near else None)
