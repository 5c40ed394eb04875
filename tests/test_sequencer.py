"""The sequencer: order, time, timers, failures. The result does not depend on how inputs are batched."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.clock import SECOND_NS
from engine.errors import EngineError, ReplayDivergence, UsageError
from engine.events import (
    ActorFailed,
    BarClosed,
    CancelOrder,
    ClockAdvanced,
    EngineHalted,
    Event,
    OperatorCommand,
    OrderApproved,
    OrderFilled,
    OrderRefused,
    OrderRequested,
    SignalRaised,
    TimerFired,
    Trade,
)
from engine.sequencer import Sequencer
from engine.strategies.actor import StrategyActor
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

FRAGILE = config_of(
    use("Busy"),
    use("Fragile", params={"fail_at": 9}, on_failure="quarantine"),
    use("Fragile", name="Halting", params={"fail_at": 23}),
)
cut_lists = st.lists(st.integers(1, 80), max_size=12)


@examples(0.6)
@given(markets, cut_lists, st.sampled_from([NOON, EVE]), st.booleans())
def test_records_do_not_depend_on_how_inputs_are_batched(
    plan: Any, cuts: list[int], at_ns: int, failing: bool
) -> None:
    inputs = opening(FRAGILE if failing else BUSY, at_ns) + market(plan, at_ns)
    whole = run(inputs).bytes()
    assert run(inputs, range(len(inputs))).bytes() == whole
    assert run(inputs, cuts).bytes() == whole


def test_long_market_data_gives_the_same_bytes_in_any_batches() -> None:
    inputs = opening(FRAGILE, EVE) + steady(600, EVE)
    whole = run(inputs)
    assert len(whole.events(ActorFailed)) == 2
    assert len(whole.days) == 2
    for size in (1, 2, 7, 64, 599):
        assert run(inputs, range(0, len(inputs), size)).bytes() == whole.bytes(), size


@examples(0.4)
@given(markets, st.sampled_from([NOON, EVE]))
def test_seqs_are_contiguous_and_every_cause_comes_before(plan: Any, at_ns: int) -> None:
    records = run(opening(FRAGILE, at_ns) + market(plan, at_ns)).all()
    assert [seq for seq, _, _ in records] == list(range(1, len(records) + 1))
    assert all(0 <= cause < seq for seq, cause, _ in records)


@examples(0.4)
@given(markets)
def test_causes_are_zero_for_inputs_only(plan: Any) -> None:
    inputs = opening(BUSY, NOON) + market(plan, NOON)
    records = run(inputs).all()
    assert [event for _, cause, event in records if not cause] == inputs


# Time.


def test_t01_a_clock_that_steps_back_is_clamped_and_counted() -> None:
    memory = Memory()
    sequencer = Sequencer(builder(), memory)
    sequencer.run(opening(BUSY, NOON))
    inputs: list[Event] = [
        ClockAdvanced(NOON + 5 * SECOND_NS),
        ClockAdvanced(NOON - 3600 * SECOND_NS),
        ClockAdvanced(NOON + 4 * SECOND_NS),
        ClockAdvanced(NOON + 5 * SECOND_NS),
    ]
    sequencer.run(inputs)
    assert sequencer.clock_steps_back == 2
    assert sequencer.now_ns == NOON + 5 * SECOND_NS


@given(markets)
@examples(0.4)
def test_t01_timers_never_fire_at_a_time_that_goes_back(plan: Any) -> None:
    fired = run(opening(BUSY, NOON) + market(plan, NOON)).events(TimerFired)
    times = [timer.at_ns for timer in fired]
    assert times == sorted(times)


def test_t02_a_jump_of_a_day_fires_each_timer_once_and_in_order() -> None:
    config = config_of(use("Busy"), intervals=("1h",))
    inputs = [
        *opening(config, NOON),
        Trade(NOON, NOON, 1, 100, 1, 1),
        ClockAdvanced(NOON + 86_400 * SECOND_NS),
    ]
    fired = [timer for timer in run(inputs).events(TimerFired) if timer.actor == "aggregator"]
    assert [timer.at_ns for timer in fired] == [NOON + h * 3600 * SECOND_NS + 300 * MS for h in range(1, 24)]


def test_t04_timers_of_one_instant_fire_in_the_order_of_their_numbers() -> None:
    """Bars of two instruments end together: the timer that was set first fires first."""
    config = config_of(use("Averages"))
    for first, second in ((1, 2), (2, 1)):
        inputs = [
            *opening(config, NOON),
            Trade(NOON, NOON, first, 100, 1, 1),
            Trade(NOON, NOON, second, 100, 1, 1),
            ClockAdvanced(NOON + 4 * SECOND_NS),
        ]
        keys = [timer.key.partition(" ")[0] for timer in run(inputs).events(TimerFired)]
        assert keys == [str(first), str(second)] * 3


def test_timers_fire_before_the_input_that_passes_them_and_never_before_they_are_due() -> None:
    inputs = [*opening(BUSY, NOON), Trade(NOON, NOON, 1, 100, 1, 1)]
    due = NOON + SECOND_NS + 300 * MS
    early = run([*inputs, ClockAdvanced(due - 1)])
    assert not early.events(TimerFired)
    late = run([*inputs, ClockAdvanced(due)])
    kinds = [type(event) for _, _, event in late.all()]
    assert kinds.index(TimerFired) < kinds.index(BarClosed) < kinds.index(ClockAdvanced)


def test_the_cause_of_a_timer_is_the_event_in_whose_turn_it_was_set() -> None:
    """First the instrument's first trade, then the timer before, however many records lie between."""
    inputs = [
        *opening(BUSY, NOON),
        Trade(NOON, NOON, 1, 100, 1, 1),
        Trade(NOON + 1, NOON + 1, 2, 100, 1, 1),
        ClockAdvanced(NOON + 2),
        ClockAdvanced(NOON + 2 * SECOND_NS + 300 * MS),
    ]
    records = run(inputs).all()
    seqs = {str(event.instrument): seq for seq, _, event in records if isinstance(event, Trade)}
    fired = [
        (seq, cause, event.key.partition(" ")[0])
        for seq, cause, event in records
        if isinstance(event, TimerFired)
    ]
    assert [key for _, _, key in fired] == ["1", "2", "1", "2"]
    assert [cause for _, cause, _ in fired] == [seqs["1"], seqs["2"], fired[0][0], fired[1][0]]


def test_timers_of_an_actor_without_a_successor_in_a_new_session_never_fire() -> None:
    """A strategy with another parameter does not inherit the timers of the earlier one."""
    inputs: list[Event] = opening(config_of(use("Busy", params={"wait_ms": 5000, "every": 1})), NOON)
    inputs += [Trade(NOON + n, NOON + n, 1, 123_450, 5, 1, n) for n in range(1, 6)]
    again = [use("Busy", params={"wait_ms": 5000, "every": 1})], [use("Busy", params={"wait_ms": 5001})], []
    fired = []
    for strategies in again:
        later = opening(config_of(*strategies), NOON + SECOND_NS, "00000000000000bb")
        memory = run([*inputs, *later, ClockAdvanced(NOON + 9 * SECOND_NS)])
        fired.append([timer.key for timer in memory.events(TimerFired) if timer.actor == "Busy"])
    assert fired[0][:1] == ["timer AAA"]
    assert fired[1:] == [[], []]


def test_due_ns_is_when_a_live_clock_must_send_an_input() -> None:
    memory = Memory()
    sequencer = Sequencer(builder(), memory)
    sequencer.run([*opening(BUSY, NOON), Trade(NOON, NOON, 1, 100, 1, 1)])
    due = NOON + SECOND_NS + 300 * MS
    assert sequencer.due_ns == due
    sequencer.run([ClockAdvanced(due)])
    assert sequencer.due_ns == due + SECOND_NS


# Failures.


def test_c07_a_failure_is_an_event_and_halt_cancels_orders_and_refuses_requests() -> None:
    config = config_of(
        use("Fragile", name="Failing", params={"fail_at": 60}), use("Busy", params={"every": 2})
    )
    memory = run(opening(config, NOON) + steady(200, NOON, gap_ms=20))
    records = memory.all()
    (failed,) = memory.events(ActorFailed)
    (halted,) = memory.events(EngineHalted)
    assert failed.actor == "Failing"
    assert failed.policy == "halt"
    assert isinstance({seq: event for seq, _, event in records}[failed.seq], Trade)
    at = next(seq for seq, _, event in records if event is halted)
    later = [event for seq, _, event in records if seq > at]
    roles = {event.role for event in later if isinstance(event, OrderRefused) and event.limit == "halted"}
    assert roles == {"open"}
    assert {event.terms.role for event in later if isinstance(event, OrderApproved)} <= {"close"}
    assert any(isinstance(event, CancelOrder) and seq > at for seq, _, event in records)
    assert any(isinstance(event, BarClosed) and seq > at for seq, _, event in records), "bars still close"


def test_c07_quarantine_stops_one_strategy_and_the_others_continue() -> None:
    config = config_of(
        use("Fragile", name="Failing", params={"fail_at": 30}, on_failure="quarantine"), use("Busy")
    )
    memory = run(opening(config, NOON) + steady(300, NOON))
    (failed,) = memory.events(ActorFailed)
    assert not memory.events(EngineHalted)
    after = [event for seq, _, event in memory.all() if seq > failed.seq + 10]
    emitters = {event.strategy for event in after if isinstance(event, SignalRaised | OrderRequested)}
    assert emitters == {"Busy"}
    assert any(isinstance(event, OrderFilled) for event in after)


def test_error_text_holds_no_memory_address() -> None:
    memory = run(opening(FRAGILE, NOON) + steady(60, NOON))
    for failed in memory.events(ActorFailed):
        assert failed.error.startswith("ValueError: broke at ")
        assert "0x..." in failed.error
        assert memory.bytes() == run(opening(FRAGILE, NOON) + steady(60, NOON)).bytes()


class Textless(Exception):
    """An error whose text cannot be produced."""

    def __str__(self) -> str:
        raise RuntimeError("no text")


@pytest.mark.parametrize(
    "error",
    [
        Textless(),
        ValueError("half a character: \ud800"),
        ValueError("\0" * 5000),
    ],
)
def test_an_error_with_unusable_text_is_recorded(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """The text of a strategy's exception must not stop the engine."""

    def on_trade(self: object, trade: object) -> None:
        raise error

    monkeypatch.setattr("tests.strategies.fakes.Busy.on_trade", on_trade)
    memory = run(opening(BUSY, NOON) + steady(2, NOON))
    (failed,) = memory.events(ActorFailed)
    assert failed.error.startswith(type(error).__name__)
    assert memory.bytes()


def test_r03_an_error_that_shows_a_set_replays_identical_under_another_hash_seed() -> None:
    program = (
        "from tests.replay.kit import *; from tests.strategies.fakes import Busy;"
        "from engine.events import ActorFailed\n"
        "def on_trade(self, trade): raise ValueError({'a', 'b', 'c', 'd', 'e', 'f'})\n"
        "Busy.on_trade = on_trade\n"
        "print(run(opening(BUSY, NOON) + steady(1, NOON)).events(ActorFailed)[0].error)"
    )
    root = Path(__file__).resolve().parents[1]
    printed = {
        subprocess.run(
            [sys.executable, "-c", program],
            capture_output=True,
            text=True,
            check=True,
            cwd=root,
            env={**os.environ, "PYTHONHASHSEED": str(seed), "PYTHONPATH": str(root)},
        ).stdout
        for seed in range(1, 4)
    }
    assert len(printed) == 1


def test_a_state_that_cannot_be_stored_is_refused_at_the_start_of_the_session() -> None:
    with pytest.raises(
        UsageError,
        match=r"Looking\.key is a method_descriptor, which .*dataclasses \(tests/strategies/fakes\.py:\d+\)$",
    ):
        run(opening(config_of(use("Looking")), NOON))


def test_other_handlers_receive_an_input_on_which_one_failed() -> None:
    """The failing strategy comes first; the next one must see the same trade."""
    config = config_of(use("Fragile", params={"fail_at": 5}, on_failure="quarantine"), use("Busy"))
    memory = Memory()
    sequencer = Sequencer(builder(), memory)
    sequencer.run(opening(config, NOON) + steady(12, NOON))
    busy: Any = sequencer.actor("Busy")
    assert busy.strategy.seen == 12
    (failed,) = memory.events(ActorFailed)
    cause = next(cause for _, cause, event in memory.all() if event is failed)
    assert cause == failed.seq


def test_other_handlers_receive_a_derived_event_on_which_one_failed() -> None:
    config = config_of(
        use("Averages", name="First", params={"fail_at_count": 4}, on_failure="quarantine"),
        use("Averages", name="Second"),
    )
    memory = Memory()
    sequencer = Sequencer(builder(), memory)
    sequencer.run(opening(config, NOON) + steady(200, NOON))
    bars = [bar for bar in memory.events(BarClosed) if bar.revision == 0]
    second: Any = sequencer.actor("Second")
    assert second.strategy.count == len(bars)
    (failed,) = memory.events(ActorFailed)
    assert memory.all()[failed.seq - 1][2] == bars[3]


def test_an_endless_turn_is_an_engine_error() -> None:
    inputs = opening(config_of(use("Endless")), NOON) + steady(1, NOON)
    with pytest.raises(EngineError, match="without end"):
        run(inputs)


def test_memory_exhaustion_stops_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """C12: out of memory stops the engine; it is not recorded as one strategy's fault."""

    def no_memory(self: object, trade: object) -> None:
        raise MemoryError

    monkeypatch.setattr("tests.strategies.fakes.Busy.on_trade", no_memory)
    with pytest.raises(MemoryError):
        run(opening(BUSY, NOON) + steady(1, NOON))


# Restart by an operator.

RESTARTING = config_of(
    use("Averages", name="Whole"),
    use("Averages", name="Broken", params={"fail_at": 6}, on_failure="quarantine"),
)


def restart_session(
    name: str, command_after: int, config: Any = RESTARTING, at_ns: int = NOON
) -> list[Event]:
    inputs = opening(config, at_ns) + steady(300, at_ns)
    at = inputs[command_after - 1].recv_ns  # type: ignore[attr-defined]
    inputs.insert(command_after, OperatorCommand(at, "restart", name))
    return inputs


def test_a_strategy_that_fails_again_while_it_is_rebuilt_is_failed_again() -> None:
    """It fails on its nth bar, so skipping the recorded bar does not prevent the failure."""
    config = config_of(use("Averages", params={"fail_at_count": 4}, on_failure="quarantine"), use("Busy"))
    memory = run(restart_session("Averages", 120, config), range(400))
    assert [event.actor for event in memory.events(ActorFailed)] == ["Averages", "Averages"]
    assert_replays_alone(memory, memory.days[0])


@pytest.mark.parametrize("command_after", [60, 100, 101, 250])
def test_a_restarted_session_replays_identical(command_after: int) -> None:
    config = config_of(
        use("Busy"), use("Fragile", params={"fail_at": 20}, on_failure="quarantine"), use("Averages")
    )
    memory = run(restart_session("Fragile", command_after, config), range(400))
    assert [event.actor for event in memory.events(ActorFailed)] == ["Fragile"]
    assert_replays_alone(memory, memory.days[0])


def test_a_restart_replays_identical_when_timers_fire_in_its_turn() -> None:
    """The events of those timers are not in the journal yet when the restart reads it."""
    config = config_of(use("Fragile", params={"fail_at": 2}, on_failure="quarantine"), use("Averages"))
    inputs = opening(config, NOON) + steady(5, NOON)
    inputs.append(OperatorCommand(NOON + 2 * SECOND_NS, "restart", "Fragile"))
    memory = run(inputs, range(400))
    assert_replays_alone(memory, memory.days[0])


def test_a_restart_reads_the_same_records_in_any_batch() -> None:
    config = config_of(use("Fragile", params={"fail_at": 2}, on_failure="quarantine"), use("Averages"))
    inputs = opening(config, NOON) + steady(5, NOON)
    inputs.append(OperatorCommand(inputs[-1].recv_ns, "restart", "Fragile"))  # type: ignore[attr-defined]
    memory = Memory()
    Sequencer(builder(), memory, memory).run(list(inputs))
    assert memory.bytes() == run(inputs, range(400)).bytes()


def test_a_restarted_strategy_continues_as_if_it_had_not_seen_the_failing_event() -> None:
    memory = Memory()
    sequencer = Sequencer(builder(), memory, memory)
    for batch in batches(restart_session("Broken", 120), range(400)):
        sequencer.run(batch)
    broken, whole = sequencer.actor("Broken"), sequencer.actor("Whole")
    (failed,) = memory.events(ActorFailed)
    lost = memory.all()[failed.seq - 1][2]
    assert isinstance(lost, BarClosed)
    bars = [bar for bar in memory.events(BarClosed) if bar.revision == 0]
    expected = StrategyActor(type(whole.strategy), "expected", {})  # type: ignore[attr-defined]
    expected.bind(sequencer.instruments, sequencer.actor("orders").turn)
    for bar in bars:
        if bar is not lost:
            expected._bar(bar, [].append)
    assert broken.state()["ema"] == expected.state()["ema"]
    assert broken.state()["sma"] == expected.state()["sma"]
    assert whole.state()["count"] == len(bars)


def test_a_restart_needs_a_readable_journal() -> None:
    memory = Memory()
    sequencer = Sequencer(builder(), memory)
    for batch in batches(restart_session("Broken", 120)[:120], ()):
        sequencer.run(batch)
    with pytest.raises(UsageError, match="can be restarted only where the journal can be read back"):
        sequencer.run([OperatorCommand(sequencer.now_ns, "restart", "Broken")])


def test_a_restart_of_an_actor_that_did_not_fail_does_nothing() -> None:
    inputs = opening(BUSY, NOON) + steady(30, NOON)
    with_command = [*inputs, OperatorCommand(NOON + 10 * SECOND_NS, "restart", "Busy")]
    plain = [*inputs, ClockAdvanced(NOON + 10 * SECOND_NS)]
    assert len(run(with_command).all()) == len(run(plain).all())


def test_r01_a_replay_reports_the_first_seq_that_differs() -> None:
    memory = run(opening(BUSY, NOON) + steady(100, NOON))
    day, first_seq, inputs, derived = memory.frames[-1]
    seq, cause, event = derived[3]
    changed = [*derived[:3], (seq, cause - 1, event), *derived[4:]]
    memory.frames[-1] = day, first_seq, inputs, changed
    with pytest.raises(ReplayDivergence) as caught:
        assert_replays_alone(memory, day)
    assert caught.value.seq == seq
