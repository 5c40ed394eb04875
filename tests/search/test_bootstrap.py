"""Block samples agree with a public tool, are the same everywhere, and are made of whole blocks."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.search.bootstrap import circular, default_block, resampled, stationary
from tests.profiles import examples, pick
from tests.search.references import CASES, Case, noise

SAMPLES = pick(1500, deep=20_000)

Kind = Callable[[int, float, Callable[[], float]], Iterator[int]]


@pytest.mark.parametrize("kind", [stationary, circular])
@pytest.mark.parametrize("case", CASES[:2] + CASES[3:5], ids=lambda case: f"noise-{case.seed}")
def test_samples_say_what_those_of_a_public_tool_say(case: Case, kind: Kind) -> None:
    """Within the error of so many samples: random numbers are others."""
    returns = noise(case.seed, case.trials, case.days, case.skill)[case.best]
    low, high, p_value = case.stationary if kind is stationary else case.circular
    found = resampled(returns, samples=SAMPLES, kind=kind)
    error = 5 * (high - low) / math.sqrt(SAMPLES)
    assert found.low == pytest.approx(low, abs=error)
    assert found.high == pytest.approx(high, abs=error)
    assert found.p_value == pytest.approx(p_value, abs=5 * math.sqrt((p_value + 0.002) / SAMPLES))


def test_the_same_seed_gives_the_same_numbers() -> None:
    """Also on another machine: these were computed once."""
    returns = noise(1, 1, 60)[0]
    found = resampled(returns, seed=3, samples=200)
    assert found == resampled(returns, seed=3, samples=200)
    assert found != resampled(returns, seed=4, samples=200)
    assert list(stationary(12, 3.0, Random(5).random)) == [7, 8, 9, 10, 11, 0, 5, 6, 7, 8, 5, 6]
    assert list(circular(10, 4, Random(5).random)) == [6, 7, 8, 9, 7, 8, 9, 0, 7, 8]


@examples(0.5)
@given(st.integers(1, 60), st.floats(1, 20), st.integers(0, 99), st.sampled_from([stationary, circular]))
def test_a_sample_is_made_of_whole_blocks_that_wrap(days: int, block: float, seed: int, kind: Kind) -> None:
    places = list(kind(days, block, Random(seed).random))
    assert len(places) == days
    assert all(0 <= one < days for one in places)
    if kind is circular:
        length = max(1, round(block))
        assert all(
            after == (one + 1) % days
            for number, (one, after) in enumerate(itertools.pairwise(places), start=1)
            if number % length
        )


def test_blocks_of_the_stationary_bootstrap_have_the_given_mean_length() -> None:
    places = list(stationary(100_000, 8.0, Random(1).random))
    breaks = sum((one + 1) % 100_000 != after for one, after in itertools.pairwise(places))
    assert 100_000 / breaks == pytest.approx(8.0, rel=0.03)


def test_returns_with_a_steady_gain_are_not_luck_and_those_without_are() -> None:
    gains = noise(3, 1, 365, 0.002)[0]
    assert resampled(gains, samples=500).p_value == pytest.approx(1 / 501)
    losses = [-one for one in gains]
    assert resampled(losses, samples=500).p_value == 1.0


@given(st.integers(1, 3000))
def test_the_length_of_blocks_is_the_cube_root(days: int) -> None:
    assert default_block(days) == pytest.approx(days ** (1 / 3), abs=1e-6)
