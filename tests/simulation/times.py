"""The clocks of the simulated machine and of the venue, all based on trio's mock clock.

The monotonic clock is trio's. The wall clock can be stepped, and a suspended machine does not count the time
that it slept. The venue's clock is the truth: it runs with the machine and goes on while that is suspended.
"""

from __future__ import annotations

import math
from typing import Any

import trio
from trio._core._run import GLOBAL_RUN_CONTEXT

__all__ = ["SECOND_NS", "JumpingClock", "MachineTime", "VenueClock"]

SECOND_NS = 1_000_000_000


class JumpingClock(trio.abc.Clock):
    """Trio's clock in a simulation: it stands still while a task can run, then jumps to the next deadline.

    As `trio.testing.MockClock(autojump_threshold=0)`, without its look at the machine's clock and its extra
    round of the scheduler for every jump.
    """

    def __init__(self) -> None:
        self.now = 0.0
        self._runner: Any = None

    def start_clock(self) -> None:
        """See `trio.abc.Clock`."""
        self._runner = GLOBAL_RUN_CONTEXT.runner

    def current_time(self) -> float:
        """See `trio.abc.Clock`."""
        return self.now

    def deadline_to_sleep_time(self, deadline: float) -> float:
        """Jump to the deadline: called when no task can run, before the scheduler waits for it."""
        if self._runner.entry_queue.size():
            return 0.0
        assert deadline < math.inf, "every task waits, and nothing is due"
        self.now = max(self.now, deadline)
        return 0.0

    def jump(self, seconds: float) -> None:
        """Let time pass in which no task runs."""
        self.now += seconds


class MachineTime:
    """Replaces the `time` module in `engine.clock`."""

    def __init__(self, start_ns: int) -> None:
        self.start_ns = start_ns
        self.stepped_ns = 0
        self.suspended_ns = 0
        self.paused_ns = 0

    def time_ns(self) -> int:
        """Return the wall clock: UTC nanoseconds, as far as the machine knows them."""
        return self.true_ns() + self.stepped_ns

    def monotonic_ns(self) -> int:
        """Return trio's time, which does not count suspensions."""
        return round(trio.current_time() * SECOND_NS)

    def clock_gettime_ns(self, clock: int) -> int:
        """Return the time since the machine started, suspended or not: no other clock is asked for so."""
        return self.monotonic_ns() + self.suspended_ns

    def thread_time_ns(self) -> int:
        """Return the CPU time of the thread: all time in which it was not paused.

        A wait of any length is then no pause, however rarely the engine looks in a quiet stretch.
        """
        return self.monotonic_ns() - self.paused_ns

    def true_ns(self) -> int:
        """Return the time in the world outside."""
        return self.start_ns + self.suspended_ns + self.monotonic_ns()


class VenueClock:
    """The venue's clock, in the form of `engine.clock`."""

    def __init__(self, times: MachineTime) -> None:
        self._times = times

    def now_ns(self) -> int:
        """Return the true time."""
        return self._times.true_ns()

    def real_seconds_until(self, venue_ns: int) -> float:
        """Return how many seconds of trio's clock are left until a time."""
        return (venue_ns - self.now_ns()) / SECOND_NS
