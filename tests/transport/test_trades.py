"""The memory of trades: each trade is emitted once, and every gap is reported."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.transport.health import FeedHealth
from adapters.transport.trades import LastTrade, TradeMemory
from engine.events import Trade


def trade(number: int, *, at_ns: int | None = None, price: int = 5) -> Trade:
    return Trade(1, number * 10 if at_ns is None else at_ns, 1, price, 7, 1, number)


def numbers(trades: list[Trade]) -> list[int | str]:
    return [one.trade_id for one in trades]


@pytest.mark.parametrize("overlap", [0, 1, 2, 29, 30, 31, 100, 499, 500])
def test_f01_a_replay_of_any_length_is_emitted_once(overlap: int) -> None:
    """F01: overlap of 0 to 500 trades."""
    health = FeedHealth()
    memory = TradeMemory(health, since_ns=0)
    seen = [trade(n) for n in range(600)]
    assert memory.take(seen) == seen
    memory.lose()
    replay = [trade(n) for n in range(600 - overlap, 610)]
    assert memory.overlaps(replay) is (overlap > 0)
    memory.join()
    assert numbers(memory.take(replay)) == list(range(600, 610))
    assert health.duplicates == overlap


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(1, 60)), max_size=30))
def test_f01_n10_any_overlapping_windows_report_each_trade_once(windows: list[tuple[int, int]]) -> None:
    """F01, N10: pieces of one record, in any order."""
    truth = [trade(n, at_ns=n // 3) for n in range(120)]
    memory = TradeMemory(FeedHealth(), since_ns=0)
    emitted: list[Trade] = []
    for start, length in windows:
        emitted += memory.take(truth[start : start + length])
    expected = {n for start, length in windows for n in range(start, start + length)}
    assert sorted(numbers(emitted)) == sorted(expected)  # type: ignore[type-var]


def test_f02_trades_that_differ_in_their_ids_only_are_different_trades() -> None:
    """F02, X11: a key of the time alone would lose two of these."""
    memory = TradeMemory(FeedHealth(), since_ns=0)
    same = [trade(n, at_ns=50) for n in range(3)]
    assert memory.take(same) == same


def test_one_id_at_two_times_is_two_trades() -> None:
    """The venue promises an id to be unique only together with the time."""
    memory = TradeMemory(FeedHealth(), since_ns=0)
    assert len(memory.take([trade(1, at_ns=50), trade(1, at_ns=60)])) == 2


def test_f03_other_content_is_a_conflict() -> None:
    """F03: the first version stays emitted, the second is left out, and the rest of the frame is kept."""
    health = FeedHealth()
    memory = TradeMemory(health, since_ns=0)
    memory.take([trade(1), trade(2)])
    assert numbers(memory.take([trade(2, price=6), trade(3)])) == [3]
    assert health.conflicts == 1
    assert memory.conflict == trade(2, price=6)
    memory.conflict = None
    assert numbers(memory.take([trade(2), trade(3), trade(4)])) == [4]
    assert memory.conflict is None, "either content is known now"


def test_trades_before_the_start_are_not_emitted() -> None:
    health = FeedHealth()
    memory = TradeMemory(health, since_ns=100)
    assert numbers(memory.take([trade(9), trade(10), trade(11)])) == [10, 11]
    assert health.dropped == {"old": 1}


def test_without_a_known_trade_only_a_replay_from_before_the_start_proves_completeness() -> None:
    memory = TradeMemory(FeedHealth(), since_ns=100)
    assert not memory.overlaps([])
    assert not memory.overlaps([trade(10), trade(11)])
    assert memory.overlaps([trade(9), trade(11)])


def test_f02_a_restart_knows_every_id_of_the_last_millisecond() -> None:
    """F02: across a restart, what was emitted at the last time is not emitted again, the others are."""
    memory = TradeMemory(FeedHealth(), since_ns=500, last=LastTrade(100, (1, 2)))
    assert memory.resuming
    assert not memory.overlaps([trade(3, at_ns=100), trade(2, at_ns=101)])
    replay = [
        trade(0, at_ns=99),
        trade(1, at_ns=100),
        trade(2, at_ns=100),
        trade(3, at_ns=100),
        trade(4, at_ns=120),
    ]
    assert memory.overlaps(replay)
    assert numbers(memory.take(replay)) == [3, 4]


@given(st.integers(1, 20), st.integers(0, 200))
def test_i11_forgotten_trades_are_not_emitted_again(memory_max: int, count: int) -> None:
    """I11: the memory is bounded, and forgetting loses no later trade."""
    memory = TradeMemory(FeedHealth(), since_ns=0, memory_max=memory_max)
    seen = [trade(n, at_ns=n // 2) for n in range(count)]
    emitted = [one for each in seen for one in memory.take([each])]
    assert emitted == seen
    assert len(memory._memory) <= memory_max
    assert all(one.venue_ns == memory.last_ns for one in memory.take(seen))
    newer = trade(10_000)
    assert memory.take([newer]) == [newer]
