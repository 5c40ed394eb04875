"""Signals, adopted and jumping clocks, midnight: a session stops gracefully and each of its days replays."""

from __future__ import annotations

import math
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.abc import Clock

from engine.clock import DAY_NS, AdoptedClock, ClockReadings, SystemClock
from engine.errors import EngineError
from engine.events import (
    BarClosed,
    CancelOrder,
    ClockAdopted,
    ClockAdvanced,
    DayOpened,
    EngineHalted,
    OperatorCommand,
    SessionStarted,
    SessionStopped,
    TimerFired,
    Trade,
    engine_time,
)
from engine.journal import FLAG_CLEAN_STOP, list_days, read_frames, recover
from engine.runtime.live import STOP_S
from tests.pacing import VirtualTime
from tests.runtime.kit import NOON, SECOND, assert_replays, config, events, of
from tests.runtime.rig import Rig

EVE = NOON - NOON % DAY_NS + DAY_NS


def adopted(start_ns: int, speed: float) -> AdoptedClock:
    return AdoptedClock(start_ns, VirtualTime().monotonic_ns(), speed)


class ShiftedClock:
    """A clock that somebody sets or that a suspended machine moves: real time plus `shift_ns`."""

    def __init__(self, start_ns: int) -> None:
        self._clock = adopted(start_ns, 1.0)
        self.shift_ns = 0

    def now_ns(self) -> int:
        return self._clock.now_ns() + self.shift_ns

    def monotonic_ns(self) -> int:
        return self._clock.monotonic_ns()

    def real_seconds_until(self, engine_ns: int) -> float:
        return (engine_ns - self.now_ns()) / SECOND

    def readings(self) -> ClockReadings:
        now_ns, monotonic_ns = self.now_ns(), self.monotonic_ns()
        return ClockReadings(now_ns, now_ns, monotonic_ns, monotonic_ns)


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    """Restore the signal handlers of this process."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    # The defaults of a terminal. A process in the background may have inherited ignored signals.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_c06_a_signal_cancels_open_orders_through_the_journal_and_stops_gracefully(
    paced_clock: Clock, tmp_path: Path, number: signal.Signals
) -> None:
    async def script(rig: Rig) -> None:
        await rig.send(100)
        os.kill(os.getpid(), number)
        await rig.send(101, 102)

    result = await Rig(tmp_path, config("Steady")).run(script, stops=False)
    assert result.stopped_by == number.name
    assert result.live_orders == 0
    kinds = [type(event) for event in events(tmp_path)]
    order = [OperatorCommand, EngineHalted, CancelOrder, SessionStopped]
    assert [kinds.index(kind) for kind in order] == sorted(kinds.index(kind) for kind in order)
    *_, last = read_frames(list_days(tmp_path)[-1].path)
    assert last.flags & FLAG_CLEAN_STOP
    assert recover(tmp_path).flags & FLAG_CLEAN_STOP
    assert len(of(Trade, tmp_path)) == 3
    assert_replays(tmp_path)


async def test_c06_a_second_signal_stops_at_once_and_durable_records_replay(
    paced_clock: Clock, tmp_path: Path, monkeypatch: Any
) -> None:
    async def script(rig: Rig) -> None:
        await rig.send(100, 101)
        await rig.durable()
        # The venue never answers the cancel. Without a second signal the stop would wait for it.
        monkeypatch.setattr(rig.live, "_is_settled", lambda: False)
        os.kill(os.getpid(), signal.SIGINT)
        await trio.sleep(0.3)
        assert not rig.live._settled.is_set()
        os.kill(os.getpid(), signal.SIGTERM)
        await trio.sleep_forever()

    monkeypatch.setitem(STOP_S, "keep", math.inf)
    monkeypatch.setattr("engine.runtime.watchdog.TOGETHER_S", 0)
    second = pytest.RaisesExc(EngineError, match="second signal")
    with pytest.RaisesGroup(second, flatten_subgroups=True):
        with trio.fail_after(120):
            await Rig(tmp_path, config("Steady")).run(script, stops=False)
    assert not of(SessionStopped, tmp_path)
    assert_replays(tmp_path)
    monkeypatch.undo()

    async def short(rig: Rig) -> None:
        await rig.send(100)

    await Rig(tmp_path, config("Steady")).run(short)
    assert len(of(SessionStarted, tmp_path)) == 2
    assert_replays(tmp_path)


async def test_c06_orders_that_are_not_canceled_in_time_are_reported_and_the_stop_goes_on(
    paced_clock: Clock, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setitem(STOP_S, "keep", 0.02)  # the latency of a cancel is longer

    async def script(rig: Rig) -> None:
        await rig.send(100)

    result = await Rig(tmp_path, config("Steady")).run(script)
    assert result.live_orders == 1
    assert isinstance(events(tmp_path)[-1], SessionStopped) or of(SessionStopped, tmp_path)
    assert_replays(tmp_path)


async def test_each_day_of_a_fast_adopted_clock_replays_alone(paced_clock: Clock, tmp_path: Path) -> None:
    """Days in a moment, with and without trades: timers, bars and midnights follow the clock."""
    speed = 50_000.0
    clock = adopted(EVE - 3600 * SECOND, speed)

    async def script(rig: Rig) -> None:
        for _ in range(20):
            await rig.send(100, 101, 102)
            await trio.sleep(0.02)

    venue_events = [ClockAdopted(EVE - 3600 * SECOND, "http://127.0.0.1:1", EVE - 3600 * SECOND, speed)]
    rig = Rig(tmp_path, config("Steady"), clock, venue_events=venue_events, speed=speed)
    result = await rig.run(script)
    days = list_days(tmp_path)
    assert result.days == [day.path.name for day in days]
    assert len(days) >= 3
    assert len(of(DayOpened, tmp_path)) == len(days) - 1
    assert of(ClockAdvanced, tmp_path)
    assert of(ClockAdopted, tmp_path)
    assert len(of(BarClosed, tmp_path)) > 100
    assert_replays(tmp_path)


async def test_a_steady_clock_has_no_steps_back(paced_clock: Clock, tmp_path: Path) -> None:
    """The engine reads the venue's clock before the session starts; that is not a step back."""
    at = NOON - SECOND
    venue_events = [ClockAdopted(at, "http://127.0.0.1:1", at, 1.0)]

    async def script(rig: Rig) -> None:
        await rig.send(100)

    rig = Rig(tmp_path, config(), adopted(NOON, 1.0), venue_events=venue_events)
    assert (await rig.run(script)).clock_steps_back == 0
    times = [engine_time(event) for event in events(tmp_path)]
    assert times == sorted(times)
    (adoption,) = of(ClockAdopted, tmp_path)
    assert isinstance(adoption, ClockAdopted)
    assert adoption.venue_ns == at
    assert_replays(tmp_path)


@pytest.mark.parametrize("hours", [1, 30])
async def test_c14_t02_a_clock_that_jumps_ahead_leaves_days_that_replay(
    paced_clock: Clock, tmp_path: Path, hours: int
) -> None:
    clock = ShiftedClock(EVE - 600 * SECOND)

    async def script(rig: Rig) -> None:
        await rig.send(100, 101)
        await rig.durable()
        clock.shift_ns += hours * 3600 * SECOND
        await rig.send(102, 103)
        await trio.sleep(0.1)

    await Rig(tmp_path, config("Steady"), clock).run(script)
    days = [day.path.name for day in list_days(tmp_path)]
    assert days[0] == "2024-12-05"
    assert len(days) >= 2
    assert_replays(tmp_path)


async def test_t01_a_clock_set_back_over_midnight_stays_in_the_new_day(
    paced_clock: Clock, tmp_path: Path, monkeypatch: Any
) -> None:
    clock = ShiftedClock(EVE - SECOND // 5)
    monkeypatch.setitem(STOP_S, "keep", 0.3)

    async def script(rig: Rig) -> None:
        await rig.send(100)
        await trio.sleep(0.4)
        clock.shift_ns = -3600 * SECOND
        await rig.send(101, 102)
        await trio.sleep(0.1)

    result = await Rig(tmp_path, config("Steady"), clock).run(script)
    assert result.clock_steps_back >= 2
    assert [day.path.name for day in list_days(tmp_path)] == ["2024-12-05", "2024-12-06"]
    assert_replays(tmp_path)


async def test_t08_a_clock_slightly_behind_the_journal_continues_from_the_journals_time(
    paced_clock: Clock, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setitem(STOP_S, "keep", 0.3)

    async def script(rig: Rig) -> None:
        await rig.send(100, 101)

    await Rig(tmp_path, config("Steady"), adopted(EVE + SECOND, 1.0)).run(script)
    await Rig(tmp_path, config("Steady"), adopted(EVE - 30 * SECOND, 1.0)).run(script)
    assert [day.path.name for day in list_days(tmp_path)] == ["2024-12-06"]
    assert len(of(SessionStarted, tmp_path)) == 2
    assert_replays(tmp_path)


async def test_t01_timers_fire_after_the_clock_was_set_back(
    paced_clock: Clock, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setitem(STOP_S, "keep", 0.5)
    before = VirtualTime.time_ns

    async def script(rig: Rig) -> None:
        await rig.send(100)
        await rig.durable()
        monkeypatch.setattr(VirtualTime, "time_ns", lambda time: before(time) - 3600 * SECOND)
        await rig.send(101)

    result = await Rig(tmp_path, config("Steady"), SystemClock()).run(script)
    assert result.live_orders == 0, "the timer of the cancel's answer did not fire"
    assert_replays(tmp_path)


async def test_timers_fire_without_inputs_and_the_engine_sleeps_between_them(
    paced_clock: Clock, tmp_path: Path
) -> None:
    async def script(rig: Rig) -> None:
        await rig.send(100)
        await trio.sleep(1.5)

    await Rig(tmp_path, config("Steady"), adopted(NOON, 100.0), speed=100.0).run(script)
    fired, advanced = len(of(TimerFired, tmp_path)), len(of(ClockAdvanced, tmp_path))
    assert fired >= 2
    # The clock advances when a timer is due, not in a loop.
    assert advanced <= fired + 2
    assert_replays(tmp_path)
