"""Midnight: each day replays alone, whatever its first input is and however late it comes (R07)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from engine.clock import DAY_NS, SECOND_NS, day_of, day_start_ns
from engine.events import (
    ActorFailed,
    ActorRestarted,
    BarClosed,
    ClockAdvanced,
    DayOpened,
    Event,
    OperatorCommand,
    SessionStopped,
    TimerFired,
    Trade,
)
from engine.opening import read_opening
from engine.sequencer import Sequencer
from engine.states import checking, encoding
from replay.verification import DayReplay
from tests.profiles import examples
from tests.replay.kit import (
    BUSY,
    EVE,
    MS,
    NOON,
    Memory,
    assert_replays_alone,
    batches,
    config_of,
    market,
    markets,
    opening,
    run,
    steady,
    use,
)
from tests.strategies.fakes import builder

MIDNIGHT = EVE + 8 * SECOND_NS
SLOW = config_of(use("Busy"), use("Averages"), intervals=("1m", "5m"))
FRAGILE = config_of(use("Busy"), use("Fragile", params={"fail_at": 9}, on_failure="quarantine"))
gaps = st.sampled_from([0, 1, 299 * MS, 300 * MS, SECOND_NS, 90 * SECOND_NS, DAY_NS // 2, DAY_NS, 3 * DAY_NS])


def assert_each_day_replays_alone(memory: Memory) -> None:
    for day in memory.days:
        assert_replays_alone(memory, day)


@examples(0.6)
@given(markets, st.lists(st.integers(1, 60), max_size=6), st.booleans())
def test_each_day_replays_alone(plan: Any, cuts: list[int], failing: bool) -> None:
    config = FRAGILE if failing else BUSY
    assert_each_day_replays_alone(run(opening(config, EVE) + market(plan, EVE), cuts))


@examples(0.4)
@given(markets, gaps, markets)
@example([(0, "t", 1, 1, 1)] * 9, 3 * DAY_NS, [(0, "t", 1, 1, 1)])
def test_each_day_replays_alone_when_the_next_input_comes_much_later(plan: Any, gap: int, more: Any) -> None:
    inputs = opening(SLOW, EVE) + market(plan, EVE)
    inputs += market(more, inputs[-1].recv_ns + gap)  # type: ignore[attr-defined]
    memory = run(inputs)
    assert_each_day_replays_alone(memory)
    assert memory.days == sorted(set(memory.days))


@examples(0.3)
@given(markets, gaps, markets, st.booleans())
def test_each_day_replays_alone_when_a_session_starts_on_a_new_day(
    plan: Any, gap: int, more: Any, stopped: bool
) -> None:
    """The first session may have stopped gracefully or been killed."""
    inputs = opening(SLOW, EVE) + market(plan, EVE)
    end = inputs[-1].recv_ns  # type: ignore[attr-defined]
    if stopped:
        inputs.append(SessionStopped(end, "00000000000000aa", "test"))
    begin = max(MIDNIGHT, end) + gap
    inputs += opening(SLOW, begin, "00000000000000bb") + market(more, begin)
    assert_each_day_replays_alone(run(inputs, range(len(inputs))))


@pytest.mark.parametrize("grace_ms", [0, 1000])
def test_timers_due_at_the_last_and_the_first_instant_of_a_day_belong_to_their_days(grace_ms: int) -> None:
    """A bar that ends at midnight closes on the new day, one a nanosecond earlier on the old day."""
    config = config_of(use("Busy", params={"wait_ms": 1000}))
    inputs: list[Event] = opening(config, EVE)
    offset = grace_ms * MS
    at = MIDNIGHT - SECOND_NS - 300 * MS + offset
    inputs += [Trade(at, at, 1, 100, 1, 1), ClockAdvanced(MIDNIGHT + 5 * SECOND_NS)]
    memory = run(inputs)
    assert_each_day_replays_alone(memory)
    for day in memory.days:
        for _, _, event in memory.all(day):
            if isinstance(event, TimerFired):
                assert day_of(event.at_ns) == day


def test_a_timer_due_exactly_at_midnight_belongs_to_the_new_day() -> None:
    config = config_of(use("Busy"), intervals=("1s", "5s"))
    at = MIDNIGHT - SECOND_NS - 300 * MS
    due = MIDNIGHT - 300 * MS + 300 * MS
    inputs: list[Event] = [*opening(config, EVE), Trade(at, at - at % SECOND_NS + 999 * MS, 1, 100, 1, 1)]
    memory = run([*inputs, ClockAdvanced(due)])
    assert memory.days == [day_of(EVE), day_of(MIDNIGHT)]
    kinds = [type(event) for _, _, event in memory.all(day_of(MIDNIGHT))]
    assert kinds[0] is DayOpened
    assert memory.events(BarClosed)
    assert_each_day_replays_alone(memory)


def test_the_first_record_of_a_later_day_is_its_snapshot_and_its_cause_the_last_of_the_day_before() -> None:
    memory = run(opening(BUSY, EVE) + steady(200, EVE))
    first, second = memory.days
    last_seq = memory.all(first)[-1][0]
    seq, cause, opened = memory.all(second)[0]
    assert isinstance(opened, DayOpened)
    assert (seq, cause, opened.day) == (last_seq + 1, last_seq, second)
    assert opened.at_ns >= day_start_ns(second)
    assert [listed.name for listed in opened.instruments] == ["AAA", "BBB"]


def test_the_first_day_of_a_journal_opens_without_a_snapshot() -> None:
    memory = run(opening(BUSY, NOON))
    assert not memory.events(DayOpened)
    assert memory.days == [day_of(NOON)]


def test_every_record_is_in_the_folder_of_its_day() -> None:
    inputs = opening(SLOW, EVE) + steady(30, EVE)
    inputs += steady(30, MIDNIGHT + 2 * DAY_NS + 5 * SECOND_NS)
    memory = run(inputs)
    assert len(memory.days) == 4
    for day in memory.days:
        times = [getattr(event, event.__struct_fields__[0]) for _, _, event in memory.all(day)]
        assert {day_of(time) for time in times} == {day}


def test_a_replay_that_starts_on_the_previous_day_derives_the_snapshot() -> None:
    memory = run(opening(BUSY, EVE) + steady(300, EVE))
    replay = DayReplay(builder())
    for day in memory.days:
        for frame in memory.day_frames(day):
            replay.feed(frame)
    assert replay.report.events == len(memory.all())


def test_r07_snapshot_and_tail_lead_to_the_state_of_a_full_replay() -> None:
    """At midnight and at every turn after it."""
    inputs = opening(BUSY, EVE) + steady(200, EVE)
    memory = Memory()
    whole = Sequencer(builder(), memory, memory)
    for batch in batches(inputs, range(len(inputs))):
        whole.run(batch)
    tail = Sequencer(builder(), Memory())
    opened = memory.events(DayOpened)[0]
    seq = next(seq for seq, _, event in memory.all() if event is opened)
    tail.load(seq, opened)
    for _, cause, event in memory.all(memory.days[1]):
        if not cause:
            tail.run([event])
    assert tail.seq == whole.seq
    for name in ("aggregator", "venue", "books", "orders", "Busy", "Crossover", "execution"):
        assert tail.actor(name).state() == whole.actor(name).state(), name


def test_r07_a_snapshot_holds_timers_instruments_session_and_every_actor() -> None:
    memory = run(opening(FRAGILE, EVE) + steady(200, EVE))
    opened = memory.events(DayOpened)[0]
    stored = read_opening(opened)
    assert sorted(stored.actors) == [
        "Busy", "aggregator", "books", "execution", "orders", "venue",
    ]  # fmt: skip
    assert list(stored.failed) == ["Fragile"]
    assert stored.timers == sorted(stored.timers)
    assert opened.started.session == "00000000000000aa"


def test_a_failed_strategy_stays_failed_over_midnight_and_can_be_restarted_there() -> None:
    config = config_of(
        use("Busy"), use("Fragile", params={"fail_at": 9}, on_failure="quarantine"), use("Averages")
    )
    inputs = opening(config, EVE) + steady(200, EVE)
    inputs.insert(150, OperatorCommand(inputs[149].recv_ns, "restart", "Fragile"))  # type: ignore[attr-defined]
    memory = run(inputs, range(len(inputs)))
    assert [event.actor for event in memory.events(ActorFailed)] == ["Fragile"]
    assert [event.actor for event in memory.events(ActorRestarted)] == ["Fragile"]
    assert_each_day_replays_alone(memory)


@pytest.mark.parametrize("looks", ["at every bar", "seldom"])
def test_a_state_too_large_for_the_opening_of_a_day_is_the_failure_of_its_strategy(
    monkeypatch: pytest.MonkeyPatch, looks: str
) -> None:
    """At the next look at the whole state, at midnight at the latest; the day and the others go on."""
    monkeypatch.setattr(encoding, "_MIB", 512)
    monkeypatch.setattr(checking, "_WORK_LARGE", 100)
    if looks == "at every bar":
        monkeypatch.setattr(checking, "_WORK_MAX", 10**9)
    config = config_of(use("Busy"), use("Hoarder", on_failure="quarantine"))
    memory = run(opening(config, EVE) + steady(200, EVE), range(200))
    (failed,) = memory.events(ActorFailed)
    assert failed.actor == "Hoarder"
    assert "Hoarder takes " in failed.error
    assert "and a day opens with at most 16 of each strategy" in failed.error
    midnight = NOON + DAY_NS // 2
    assert (failed.at_ns < midnight - SECOND_NS) == (looks == "at every bar")
    opened = read_opening(memory.events(DayOpened)[0])
    assert "Hoarder" not in opened.actors
    assert "Busy" in opened.actors
    assert_each_day_replays_alone(memory)


@pytest.mark.parametrize("later_ns", [0, SECOND_NS, DAY_NS])
def test_a_restart_as_the_first_input_of_a_day_replays_identical(later_ns: int) -> None:
    """The day is not on disk yet: none of its turns has been written."""
    fragile = use("Fragile", params={"fail_at": 9}, on_failure="quarantine")
    config = config_of(use("Busy"), fragile, intervals=("1m", "5m"))
    inputs = opening(config, EVE) + steady(50, EVE)
    inputs.append(OperatorCommand(MIDNIGHT + later_ns, "restart", "Fragile"))
    inputs += steady(50, MIDNIGHT + later_ns)
    assert_each_day_replays_alone(run(inputs, range(len(inputs))))


@pytest.mark.parametrize("days", [2, 80])
def test_a_journal_continues_after_a_long_time(days: int) -> None:
    """The engine was down; the bars of that time must not make the first turn endless."""
    inputs = opening(SLOW, NOON) + steady(30, NOON)
    inputs.append(SessionStopped(inputs[-1].recv_ns, "00000000000000aa", "test"))  # type: ignore[attr-defined]
    later = NOON + days * DAY_NS
    inputs += opening(SLOW, later, "00000000000000bb") + steady(30, later)
    assert_each_day_replays_alone(run(inputs, range(len(inputs))))
