"""The wait after consecutive failures."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from engine.backoff import backoff_ms


def test_n01_the_wait_doubles_from_its_minimum_to_its_bound() -> None:
    waits = [backoff_ms(failures, 0.0, min_ms=500, max_ms=30_000) for failures in range(8)]
    assert waits == [500, 1000, 2000, 4000, 8000, 15_000, 15_000, 15_000]
    waits = [backoff_ms(failures, 1.0, min_ms=500, max_ms=30_000) for failures in range(8)]
    assert waits == [1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000]


@given(st.integers(0, 10**9), st.floats(-2, 2))
def test_the_wait_is_within_its_bounds_after_any_number_of_failures(failures: int, chance: float) -> None:
    assert 250 <= backoff_ms(failures, chance, min_ms=250, max_ms=30_000) <= 30_000
