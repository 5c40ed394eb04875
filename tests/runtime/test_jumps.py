"""Clocks that jump: each jump is one event, recorded before everything that fell due meanwhile."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from engine.clock import ClockReadings, SystemClock
from engine.events import ClockJumped, DayOpened, SessionStarted, TimerFired, Trade
from engine.runtime.jumps import JUMP_NS, JumpWatch
from tests.runtime.kit import SECOND, TestClock, assert_replays, config, events, of
from tests.runtime.rig import FaultyDisk, Rig, use_disk
from tests.runtime.test_clocks_and_stops import EVE


class Machine:
    """The clocks of a machine that a test runs, suspends, stops and sets."""

    def __init__(self, speed: float = 0.0) -> None:
        self.wall_ns = self.engine_ns = EVE
        self.boot_ns = self.running_ns = self.busy_ns = 0
        self.speed = speed  # of an adopted clock; 0: the engine follows the wall clock

    def pass_ns(self, ns: int, *, suspended: bool = False, busy: bool = False) -> None:
        self.boot_ns += ns
        self.wall_ns += ns
        self.running_ns += 0 if suspended else ns
        self.busy_ns += ns if busy else 0

    def now_ns(self) -> int:
        if self.speed:
            return EVE + int(self.running_ns * self.speed)
        self.engine_ns = max(self.engine_ns, self.wall_ns)
        return self.engine_ns

    def monotonic_ns(self) -> int:
        return self.running_ns

    def real_seconds_until(self, engine_ns: int) -> float:
        return (engine_ns - self.now_ns()) / SECOND / (self.speed or 1)

    def readings(self) -> ClockReadings:
        wall_ns = self.boot_ns if self.speed else self.wall_ns
        return ClockReadings(self.now_ns(), wall_ns, self.running_ns, self.boot_ns, self.busy_ns)


def test_a_look_in_time_and_a_long_computation_are_no_jumps() -> None:
    machine = Machine()
    watch = JumpWatch(machine)
    for _ in range(5):
        machine.pass_ns(JUMP_NS)
        assert watch.look(0) == []
    machine.pass_ns(60 * SECOND, busy=True)
    assert watch.look(0) == []


@pytest.mark.parametrize("speed", [0.0, 60.0])
def test_a_pause_and_a_suspended_machine_are_jumps_with_their_cause(speed: float) -> None:
    machine = Machine(speed)
    watch = JumpWatch(machine)
    machine.pass_ns(20 * SECOND)
    began, ended = EVE, EVE + int(20 * SECOND * (speed or 1))
    assert watch.look(EVE) == [ClockJumped(ended, began, ended, "paused")]
    machine.pass_ns(3600 * SECOND, suspended=True)
    began, ended = ended, ended if speed else ended + 3600 * SECOND
    assert watch.look(EVE) == [ClockJumped(ended, began, ended, "suspended")]
    assert watch.look(EVE) == []


def test_a_clock_that_is_set_is_a_jump_either_way() -> None:
    machine = Machine()
    watch = JumpWatch(machine)
    machine.wall_ns += 172_800 * SECOND
    ahead_ns = EVE + 172_800 * SECOND
    assert watch.look(EVE) == [ClockJumped(ahead_ns, EVE, ahead_ns, "stepped")]
    machine.wall_ns -= 3600 * SECOND
    (back,) = watch.look(ahead_ns)
    assert back == ClockJumped(ahead_ns, ahead_ns, ahead_ns - 3600 * SECOND, "stepped")
    assert not back.ahead
    machine.wall_ns += JUMP_NS
    assert watch.look(ahead_ns) == []


def test_a_pause_during_which_the_clock_is_set_back_is_two_jumps() -> None:
    machine = Machine()
    watch = JumpWatch(machine)
    machine.pass_ns(30 * SECOND)
    machine.now_ns()
    machine.wall_ns -= 10 * SECOND
    assert watch.look(EVE) == [
        ClockJumped(EVE + 30 * SECOND, EVE, EVE + 30 * SECOND, "paused"),
        ClockJumped(EVE + 30 * SECOND, EVE + 30 * SECOND, EVE + 20 * SECOND, "stepped"),
    ]


@given(st.lists(st.tuples(st.sampled_from(["run", "work", "pause", "suspend", "set"]), st.integers(-9, 9))))
def test_the_jumps_are_what_happened_to_the_machine(story: list[tuple[str, int]]) -> None:
    machine = Machine()
    watch = JumpWatch(machine)
    reached_ns = EVE
    for what, size in story:
        expected = []
        if what == "set":
            machine.wall_ns += size * SECOND
            expected = ["stepped"] if abs(size) * SECOND > JUMP_NS else []
        else:
            passed_ns = JUMP_NS if what == "run" else abs(size) * SECOND
            machine.pass_ns(passed_ns, suspended=what == "suspend", busy=what == "work")
            if what in ("pause", "suspend") and passed_ns > JUMP_NS:
                expected = ["paused" if what == "pause" else "suspended"]
        before_ns = reached_ns
        jumps = watch.look(reached_ns)
        reached_ns = max(reached_ns, machine.now_ns())
        assert [one.cause for one in jumps] == expected
        for one in jumps:
            assert one.recv_ns == reached_ns
            assert one.ahead == (what != "set" or size > 0)
            if one.ahead:
                assert before_ns >= one.from_ns
                assert one.to_ns == reached_ns


def test_the_clocks_of_the_machine_have_readings() -> None:
    clock = SystemClock()
    first, second = clock.readings(), clock.readings()
    assert all(one <= other for one, other in zip(first, second, strict=True))
    assert JumpWatch(clock).look(0) == []


async def test_a_suspended_machine_is_recorded_before_what_fell_due_meanwhile(
    paced_clock: MockClock, tmp_path: Path
) -> None:
    """Two days in which nothing ran: one jump, one midnight, and each timer fires once."""
    clock = TestClock(EVE - 600 * SECOND)

    async def script(rig: Rig) -> None:
        await rig.record(100, 101)
        clock.shift_ns += 172_800 * SECOND
        await rig.record(102)
        await trio.sleep(0.1)

    await Rig(tmp_path, config("Steady"), clock).run(script)
    recorded = events(tmp_path)
    (jumped,) = of(ClockJumped, tmp_path)
    at = recorded.index(jumped)
    assert isinstance(recorded[at - 1], DayOpened)
    before = [one for one in recorded[:at] if isinstance(one, TimerFired)]
    fired = [(one.actor, one.key) for one in recorded[at:] if isinstance(one, TimerFired)]
    assert len(before) + len(fired) < 20
    assert len([one for one in recorded if isinstance(one, DayOpened)]) == 1
    assert [one.price for one in recorded[at:] if isinstance(one, Trade)] == [10200]
    assert_replays(tmp_path)


async def test_a_disk_that_stands_still_is_a_pause(
    paced_clock: MockClock, tmp_path: Path, monkeypatch: Any
) -> None:
    disk = FaultyDisk()
    use_disk(monkeypatch, disk)
    monkeypatch.setattr("engine.runtime.committer.PENDING_RECORDS_MAX", 10)

    async def script(rig: Rig) -> None:
        await rig.record(100)
        disk.slow_s = 20.0
        await rig.send(*[100] * 20)
        await trio.sleep(1.0)
        disk.slow_s = 0.0
        await rig.record(101)

    rig = Rig(tmp_path, config("Steady"))
    await rig.run(script)
    (jumped,) = of(ClockJumped, tmp_path)
    assert isinstance(jumped, ClockJumped)
    assert jumped.cause == "paused"
    assert 18 * SECOND < jumped.to_ns - jumped.from_ns < 25 * SECOND
    (line,) = [one for one in rig.health if one.state == "jumped"]
    assert "the engine stood still for" in line.detail
    assert_replays(tmp_path)


async def test_a_clock_set_back_is_an_event_and_time_goes_on(paced_clock: MockClock, tmp_path: Path) -> None:
    clock = TestClock(EVE)

    async def script(rig: Rig) -> None:
        await rig.record(100)
        clock.shift_ns -= 3600 * SECOND
        await rig.record(101)

    rig = Rig(tmp_path, config("Steady"), clock)
    await rig.run(script)
    (jumped,) = of(ClockJumped, tmp_path)
    assert isinstance(jumped, ClockJumped)
    assert not jumped.ahead
    assert (jumped.from_ns - jumped.to_ns) // SECOND == 3600
    assert [one.state for one in rig.health if one.name == "clock"] == ["jumped"]
    assert len(of(SessionStarted, tmp_path)) == 1
    assert_replays(tmp_path)
