"""Nonces rise strictly, even if the clock goes back (O15, T01, T08)."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from adapters.hyperliquid.gateway.nonces import Nonces

MS = 1_000_000


def test_o15_ten_thousand_in_one_millisecond_are_all_different_and_rise() -> None:
    nonces = Nonces(lambda: 5_000 * MS)
    found = [nonces.next() for _ in range(10_000)]
    assert found == list(range(5_000, 15_000))


@given(st.lists(st.integers(0, 10**15), min_size=1, max_size=50), st.integers(0, 10**9))
def test_t01_a_clock_that_steps_does_not_make_them_fall(times: list[int], floor: int) -> None:
    clock = iter(times)
    nonces = Nonces(lambda: next(clock), floor)
    found = [nonces.next() for _ in times]
    assert found == sorted(set(found))
    assert found[0] > floor


def test_t08_a_restart_an_hour_earlier_continues_above_the_last_nonce() -> None:
    before = Nonces(lambda: 3_600_000 * MS)
    last = [before.next() for _ in range(5)][-1]
    assert Nonces(lambda: 0, last).next() == last + 1
