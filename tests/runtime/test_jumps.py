"""Clocks that jump: each jump is one event, recorded before everything that fell due meanwhile."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.abc import Clock

from engine.clock import AdoptedClock, ClockReadings, SystemClock
from engine.config import BarsConfig, Config, RiskConfig, StrategyConfig
from engine.events import (
    ActorFailed,
    BarClosed,
    ClockJumped,
    DayOpened,
    SessionStarted,
    SubmitOrder,
    TimerFired,
    Trade,
)
from engine.runtime.jumps import JUMP_NS, JumpWatch
from engine.strategies import Bar, Strategy, Tick
from tests.pacing import VirtualTime
from tests.runtime.kit import NOON, SECOND, TestClock, assert_replays, config, events, of
from tests.runtime.rig import FaultyDisk, Rig, use_disk
from tests.runtime.test_clocks_and_stops import EVE


class Restless(Strategy):
    """Asks for another position with every bar of a second, and with a timer every second."""

    def on_start(self) -> None:
        self.asked = 0
        self.bars = 0
        self.timers = 0

    def on_trade(self, trade: Tick) -> None:
        if not self.timers:
            self.after(1000, "tick")

    def on_bar(self, bar: Bar) -> None:
        self.bars += 1
        self._ask()

    def on_timer(self, key: str) -> None:
        self.timers += 1
        self._ask()
        self.after(1000, "tick")

    def _ask(self) -> None:
        self.asked += 1
        self.target("AAA", "0.5" if self.asked % 2 else "0.1")


class Unstorable(Restless):
    """At the price 105 it gets a state that no snapshot can store."""

    def on_trade(self, trade: Tick) -> None:
        super().on_trade(trade)
        if trade.price == 105.0:
            self.asked = abs  # type: ignore[assignment]


RESTLESS = Config(
    strategies=(StrategyConfig(use="tests.runtime.test_jumps:Restless"),),
    bars=BarsConfig(intervals=("1s", "1m")),
    risk=RiskConfig(max_orders_per_minute=0),
)


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
                assert one.from_ns == before_ns
                assert one.to_ns == reached_ns


def test_the_clocks_of_the_machine_have_readings() -> None:
    clock = SystemClock()
    first, second = clock.readings(), clock.readings()
    assert all(one <= other for one, other in zip(first, second, strict=True))
    assert JumpWatch(clock).look(0) == []


async def test_a_suspended_machine_is_recorded_before_what_fell_due_meanwhile(
    paced_clock: Clock, tmp_path: Path
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


def assert_nothing_was_made_up(root: Path, since_ns: int, until_ns: int) -> None:
    """Assert that the time of a jump left neither bars that are called complete, nor orders in bulk."""
    recorded = events(root)
    at = next(number for number, one in enumerate(recorded) if isinstance(one, ClockJumped))
    after = recorded[at:]
    bars = [one for one in after if isinstance(one, BarClosed)]
    inside = [one for one in bars if since_ns <= one.start_ns and one.start_ns + one.interval_ns <= until_ns]
    assert all(one.incomplete for one in inside)
    assert len(inside) <= 1
    assert len(bars) < 20
    assert len([one for one in after if isinstance(one, TimerFired)]) < 40
    assert len([one for one in after if isinstance(one, SubmitOrder)]) < 20
    assert len(after) < 400


async def test_a_pause_of_20_s_at_speed_60_makes_up_no_bars_and_no_orders(
    paced_clock: Clock, tmp_path: Path
) -> None:
    """It made 1,204 flat bars that were called complete, and 603 orders at once."""
    clock = AdoptedClock(NOON, VirtualTime().monotonic_ns(), 60.0)

    async def script(rig: Rig) -> None:
        for _ in range(10):
            await rig.record(100, 101)
            await trio.sleep(0.02)
        assert of(SubmitOrder, tmp_path)
        paced_clock.jump(20.0)
        await trio.lowlevel.checkpoint()
        for _ in range(4):
            await rig.record(102)
            await trio.sleep(0.02)

    await Rig(tmp_path, RESTLESS, clock, speed=60.0).run(script)
    (jumped,) = of(ClockJumped, tmp_path)
    assert isinstance(jumped, ClockJumped)
    assert jumped.cause == "paused"
    assert 1200 <= (jumped.to_ns - jumped.from_ns) / SECOND < 1210
    assert_nothing_was_made_up(tmp_path, jumped.from_ns, jumped.to_ns)
    assert_replays(tmp_path)


@pytest.mark.parametrize("seconds", [172_800, 3000, 6 * 3600])
async def test_a_clock_that_is_set_ahead_makes_up_no_bars_and_no_orders(
    paced_clock: Clock, tmp_path: Path, seconds: int
) -> None:
    """Two days were 172,826 flat bars, 86,000 orders and 1.47 million events."""
    clock = TestClock(EVE - 100 * SECOND)

    async def script(rig: Rig) -> None:
        for _ in range(10):
            await rig.record(100, 101)
            await trio.sleep(0.5)
        clock.shift_ns += seconds * SECOND
        for _ in range(4):
            await rig.record(102)
            await trio.sleep(0.5)

    await Rig(tmp_path, RESTLESS, clock).run(script)
    (jumped,) = of(ClockJumped, tmp_path)
    assert isinstance(jumped, ClockJumped)
    assert_nothing_was_made_up(tmp_path, jumped.from_ns, jumped.to_ns)
    assert len(of(DayOpened, tmp_path)) == 1, "the days in between have no folder"
    assert_replays(tmp_path)


async def test_a_state_that_cannot_be_stored_fails_before_the_midnight_in_a_jump(
    paced_clock: Clock, tmp_path: Path
) -> None:
    """The day ends with the failure alone: its timers fire in the next one, after the jump."""
    clock = TestClock(EVE - 100 * SECOND)
    use = (StrategyConfig(use="tests.runtime.test_jumps:Unstorable", on_failure="quarantine"),)

    async def script(rig: Rig) -> None:
        await rig.record(100, 105)
        clock.shift_ns += 3600 * SECOND
        await rig.record(102)
        await trio.sleep(0.5)

    await Rig(tmp_path, msgspec.structs.replace(RESTLESS, strategies=use), clock).run(script)
    recorded = [type(one) for one in events(tmp_path)]
    at = recorded.index(ClockJumped)
    assert recorded[at - 2 : at] == [recorded[at - 2], DayOpened]
    assert ActorFailed in recorded[:at]
    assert TimerFired in recorded[at:]
    assert_replays(tmp_path)


async def test_a_disk_that_stands_still_is_a_pause(
    paced_clock: Clock, tmp_path: Path, monkeypatch: Any
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
        await trio.sleep(19.0)  # `record` turns in circles, and each turn takes 20 us
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


async def test_a_clock_set_back_is_an_event_and_time_goes_on(paced_clock: Clock, tmp_path: Path) -> None:
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
