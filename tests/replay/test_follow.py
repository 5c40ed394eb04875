"""Following a record gives the same state as deriving it: how a live session resumes (I4)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.config import Config
from engine.events import Event, OperatorCommand
from engine.events.codec import Record
from engine.sequencer import Sequencer
from tests.profiles import examples
from tests.replay.kit import (
    BUSY,
    EVE,
    NOON,
    Memory,
    batches,
    config_of,
    market,
    markets,
    opening,
    steady,
    use,
)
from tests.strategies.fakes import builder

FRAGILE = config_of(
    use("Busy"),
    use("Fragile", params={"fail_at": 9}, on_failure="quarantine"),
    use("Fragile", name="Halting", params={"fail_at": 40}),
)


def newest_day(records: list[Record], memory: Memory) -> list[Record]:
    """Return what a live session reads: the records of the newest day."""
    seqs = {record[0] for record in memory.all(memory.days[-1])}
    return [record for record in records if record[0] in seqs]


def assert_continues_the_same(inputs: list[Event], at: int) -> Sequencer:
    """Derive everything. Then follow the records before input `at`, derive the rest, and compare bytes."""
    memory = Memory()
    first = Sequencer(builder(), memory, memory)
    for batch in batches(inputs[:at], range(at)):
        first.run(batch)
    seq, days = first.seq, len(memory.days)
    records = newest_day(memory.all(), memory)
    for batch in batches(inputs[at:], range(len(inputs))):
        first.run(batch)

    resumed = Memory()
    resumed.frames = [frame for frame in memory.frames if frame[1] <= seq]
    resumed.days, resumed.day = memory.days[:days], memory.days[days - 1]
    second = Sequencer(builder(), resumed, resumed)
    second.follow(records)
    assert second.seq == seq
    for batch in batches(inputs[at:], range(len(inputs))):
        second.run(batch)
    assert resumed.bytes() == memory.bytes()
    assert resumed.days == memory.days
    return second


@examples(0.6)
@given(markets, st.sampled_from([NOON, EVE]), st.integers(3, 40), st.sampled_from([BUSY, FRAGILE]))
def test_following_up_to_any_turn_continues_as_deriving_does(
    plan: Any, at_ns: int, at: int, config: Config
) -> None:
    inputs = opening(config, at_ns) + market(plan, at_ns)
    assert_continues_the_same(inputs, min(at, len(inputs)))


@pytest.mark.parametrize("at", range(3, 240, 13))
def test_following_across_midnight_keeps_timer_numbers_and_snapshot_bytes(at: int) -> None:
    assert_continues_the_same(opening(FRAGILE, EVE) + steady(240, EVE), at)


@pytest.mark.parametrize("at", [30, 60, 61, 62, 120, 150])
def test_following_a_record_with_a_restart_continues_as_deriving_does(at: int) -> None:
    config = config_of(
        use("Fragile", params={"fail_at": 9}, on_failure="quarantine"), use("Averages"), intervals=("5s",)
    )
    inputs = opening(config, NOON) + steady(200, NOON)
    at_ns = inputs[59].recv_ns  # type: ignore[attr-defined]
    inputs.insert(60, OperatorCommand(at_ns, "restart", "Fragile"))
    assert_continues_the_same(inputs, at)


@examples(0.3)
@given(markets, st.integers(3, 40))
def test_two_sessions_in_one_day_resume_where_the_first_was_killed(plan: Any, at: int) -> None:
    """The second session starts from the recorded state; then its day replays alone."""
    first = opening(BUSY, NOON) + market(plan, NOON)
    later = first[-1].recv_ns + 3_000_000_000  # type: ignore[attr-defined]
    inputs = first + opening(BUSY, later, "00000000000000bb") + market(plan, later)
    assert_continues_the_same(inputs, len(first))
    assert_continues_the_same(inputs, len(first) + at)


def test_following_has_no_effect_outside() -> None:
    memory = Memory()
    first = Sequencer(builder(), memory)
    first.run(opening(BUSY, NOON) + steady(100, NOON))
    other = Memory()
    Sequencer(builder(), other).follow(memory.all())
    assert other.frames == []
    assert other.days == []
