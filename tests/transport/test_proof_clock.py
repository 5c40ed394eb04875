"""The venue's clock, by which pings are proof, depends on no wall clock and counts a suspension."""

from __future__ import annotations

from adapters.transport.proof import VenueClock
from engine.clock import SECOND_NS, ClockReadings

START_NS = 1_795_000_000 * SECOND_NS


class Machine:
    """The clocks of a machine: the wall clock can be set, and the machine suspended."""

    def __init__(self) -> None:
        self.wall_ns = START_NS
        self.monotonic = self.boot = 7 * SECOND_NS

    def run(self, seconds: int, *, suspended: bool = False) -> None:
        self.wall_ns += seconds * SECOND_NS
        self.boot += seconds * SECOND_NS
        self.monotonic += 0 if suspended else seconds * SECOND_NS

    def now_ns(self) -> int:
        return self.wall_ns

    def monotonic_ns(self) -> int:
        return self.monotonic

    def real_seconds_until(self, engine_ns: int) -> float:
        return (engine_ns - self.wall_ns) / SECOND_NS

    def readings(self) -> ClockReadings:
        return ClockReadings(self.wall_ns, self.wall_ns, self.monotonic, self.boot)


def test_a_wall_clock_that_is_set_ahead_proves_no_window_of_the_future() -> None:
    machine = Machine()
    clock = VenueClock(machine, START_NS - SECOND_NS, machine.boot)  # the machine is a second ahead
    machine.run(60)
    machine.wall_ns += 2 * 86_400 * SECOND_NS
    assert clock.now_ns() == START_NS + 59 * SECOND_NS
    assert clock.seconds_until(START_NS + 61 * SECOND_NS) == 2.0


def test_the_time_of_a_suspended_machine_counts() -> None:
    machine = Machine()
    clock = VenueClock(machine, START_NS, machine.boot)
    machine.run(3600, suspended=True)
    assert clock.now_ns() == START_NS + 3600 * SECOND_NS


def test_a_message_may_be_as_far_ahead_of_this_machine_as_the_venues_clock_is() -> None:
    machine = Machine()
    clock = VenueClock(machine, START_NS + 5 * SECOND_NS, machine.boot)
    assert clock.ahead_ns(1.0) == 6 * SECOND_NS


def test_without_an_answer_of_the_venue_the_engines_clock_counts() -> None:
    machine = Machine()
    clock = VenueClock(machine)
    machine.run(5)
    assert clock.now_ns() == START_NS + 5 * SECOND_NS
    assert clock.seconds_until(START_NS + 7 * SECOND_NS) == 2.0


def test_messages_make_up_for_an_answer_that_took_long_and_for_no_more() -> None:
    """An answer that took 4 s at a start would make each proof, and each price, seem 4 s old for ever."""
    machine = Machine()
    clock = VenueClock(machine, START_NS - 4 * SECOND_NS, machine.boot, 4 * SECOND_NS)
    machine.run(60)
    assert clock.now_ns() == START_NS + 56 * SECOND_NS
    assert not clock.note(START_NS + 50 * SECOND_NS)
    assert clock.note(START_NS + 59 * SECOND_NS)
    assert clock.now_ns() == START_NS + 59 * SECOND_NS
    assert clock.note(START_NS + 3600 * SECOND_NS)
    assert clock.now_ns() == START_NS + 60 * SECOND_NS
    assert not clock.note(START_NS + 3600 * SECOND_NS)


def test_the_clock_of_a_prompt_answer_is_not_changed_by_messages() -> None:
    machine = Machine()
    clock = VenueClock(machine, START_NS, machine.boot, SECOND_NS // 10)
    assert not clock.note(START_NS + SECOND_NS)
    assert clock.now_ns() == START_NS
