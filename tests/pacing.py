"""Time that advances only while everything under test is idle, over real sockets and real files.

Owns the clock of a test in which the sandbox and the engine share one process: trio's time and the engine's
time (`engine.clock` is the one place that reads the machine's) are both virtual. Promises: time jumps to the
next deadline when every task waits, no worker thread is busy and no byte is in flight on the loopback,
and each step of a task takes a fixed time. So a slow or busy machine changes no result, and a test takes as
long as its CPU work. Called by tests that take the fixture
`paced_clock`, and by what they share.

The `autojump_clock` of trio watches its tasks only: it would jump over a sync of the journal in a thread, and
over bytes that the kernel has accepted and not yet delivered.
"""

from __future__ import annotations

import math
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final
from unittest.mock import patch

import trio

__all__ = ["START_NS", "VirtualTime", "make_clock", "pacing", "sleep_in_thread"]

SECOND_NS: Final = 1_000_000_000
START_NS: Final = 1_741_179_300 * SECOND_NS
"""2025-03-05T12:55:00Z: five minutes before an hour of funding."""

_UNTIL_WOKEN_S: Final = 3600.0
"""How long trio waits for input, in real seconds, while time stands still: a thread that ends wakes it."""

_STEP_S: Final = 20e-6
"""How long a task's step takes on this clock: two requests are never handled at the same moment."""


class VirtualTime:
    """Replaces the `time` module in `engine.clock`; all times follow trio's clock."""

    def __init__(self, start_ns: int = START_NS) -> None:
        self._start_ns = start_ns

    def time_ns(self) -> int:
        return self._start_ns + self.monotonic_ns()

    def monotonic_ns(self) -> int:
        return round(trio.current_time() * SECOND_NS)

    def clock_gettime_ns(self, _: int) -> int:
        return self.monotonic_ns()

    def thread_time_ns(self) -> int:
        return 0


class PacedClock(trio.abc.Clock):
    """The clock of a run. It stands still until `pacing` starts it.

    Trio asks how long it may wait for input whenever no task can run, so this is where time moves. The
    answer after a step of a task is "not at all": trio looks for what has arrived, and runs the tasks that
    wait for it. If there are none, it asks again, and time moves to the next deadline. That leaves no turn
    to tasks in `wait_all_tasks_blocked`, so a test with this clock does not call it.
    """

    def __init__(self) -> None:
        self.now_s = 0.0
        self.pace: _Pace | None = None

    def jump(self, seconds: float) -> None:
        """Move the clock ahead: the process was paused."""
        self.now_s += seconds

    def start_clock(self) -> None:
        """See `trio.abc.Clock`."""

    def current_time(self) -> float:
        """See `trio.abc.Clock`."""
        return self.now_s

    def deadline_to_sleep_time(self, deadline: float) -> float:
        """See `trio.abc.Clock`."""
        if deadline <= self.now_s:
            return 0
        if self.pace is None:
            return _UNTIL_WOKEN_S
        if self.pace.has_stepped():
            return 0
        if deadline == math.inf or self.pace.threads.busy():
            return _UNTIL_WOKEN_S
        self.now_s = max(deadline, self.now_s + _STEP_S)
        return 0


class _Pace(trio.abc.Instrument):
    """Advances a clock with each step of a task, and knows whether all tasks have come to rest."""

    def __init__(self, clock: PacedClock, threads: _Threads) -> None:
        self.threads = threads
        self._clock = clock
        self._stepped = True
        self._near, self._far = _loopback()

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        """See `trio.abc.Instrument`."""
        self._stepped = True
        self._clock.now_s += _STEP_S

    def has_stepped(self) -> bool:
        """Return whether a task has run since the last call. If so, all that was sent has arrived."""
        if not self._stepped:
            return False
        self._stepped = False
        # The loopback delivers in order: when this byte arrives, all earlier bytes have arrived.
        self._near.send(b".")
        self._far.recv(1)
        return True

    def close(self) -> None:
        """Close the connection to ourselves."""
        self._near.close()
        self._far.close()


class _Threads:
    """Counts the worker threads of a run that are at work, except those in `sleep_in_thread`."""

    def __init__(self) -> None:
        self.token = trio.lowlevel.current_trio_token()
        self._limiter = trio.to_thread.current_default_thread_limiter()
        self._start = trio.lowlevel.start_thread_soon
        self._started = 0
        self._asleep = 0

    def busy(self) -> bool:
        return self._limiter.borrowed_tokens + self._started > self._asleep

    def start_thread_soon(self, work: Any, deliver: Any, name: str | None = None) -> None:
        """Stands in for `trio.lowlevel.start_thread_soon`, whose threads take nothing from the limiter."""

        def deliver_and_count(outcome: Any) -> None:
            deliver(outcome)
            # In this order: what was delivered is handled before the thread counts as idle.
            self.token.run_sync_soon(self._end)

        self._started += 1
        self._start(work, deliver_and_count, name)

    def _end(self) -> None:
        self._started -= 1

    async def sleep(self, seconds: float) -> None:
        self._asleep += 1
        with trio.CancelScope(shield=True):
            await trio.sleep(seconds)
        self._asleep -= 1


_threads: _Threads | None = None


def make_clock() -> PacedClock:
    """Return a clock that stands still until `pacing` starts it."""
    return PacedClock()


@asynccontextmanager
async def pacing() -> AsyncIterator[None]:
    """Let the clock of this run, which `make_clock` made, run as long as the block lasts."""
    clock = trio.lowlevel.current_clock()
    assert isinstance(clock, PacedClock), "the test does not take the fixture paced_clock"
    global _threads
    _threads = _Threads()
    pace = _Pace(clock, _threads)
    trio.lowlevel.add_instrument(pace)
    clock.pace = pace
    try:
        with patch.object(trio.lowlevel, "start_thread_soon", _threads.start_thread_soon):
            yield
    finally:
        clock.pace = None
        trio.lowlevel.remove_instrument(pace)
        pace.close()


def sleep_in_thread(seconds: float) -> None:
    """Sleep on this clock in a worker thread: a slow disk or store. Time does not wait for this thread."""
    assert _threads is not None
    trio.from_thread.run(_threads.sleep, seconds, trio_token=_threads.token)


def _loopback() -> tuple[socket.socket, socket.socket]:
    """Return both ends of a TCP connection to ourselves."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        near = socket.create_connection(server.getsockname())
        far, _ = server.accept()
    near.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return near, far
