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
from trio.testing import MockClock, wait_all_tasks_blocked

__all__ = ["START_NS", "VirtualTime", "make_clock", "pacing", "sleep_in_thread"]

SECOND_NS: Final = 1_000_000_000
START_NS: Final = 1_741_179_300 * SECOND_NS
"""2025-03-05T12:55:00Z: five minutes before an hour of funding."""

_THREAD_CUSHION_S: Final = 0.001
"""How long to wait, in real seconds, before looking again whether a thread has finished."""

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


class _Steps(trio.abc.Instrument):
    """Counts the steps of all other tasks, and advances the clock with each."""

    def __init__(self, clock: MockClock) -> None:
        self.count = 0
        self._clock = clock
        self._own = trio.lowlevel.current_task()

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        if task is not self._own:
            self.count += 1
            self._clock.jump(_STEP_S)


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


def make_clock() -> MockClock:
    """Return a clock that stands still until `pacing` moves it."""
    return MockClock(rate=0.0, autojump_threshold=math.inf)


@asynccontextmanager
async def pacing() -> AsyncIterator[None]:
    """Move the clock of this run, which `make_clock` made, as long as the block lasts."""
    clock = trio.lowlevel.current_clock()
    assert isinstance(clock, MockClock), "the test does not take the fixture paced_clock"
    global _threads
    _threads = _Threads()
    with patch.object(trio.lowlevel, "start_thread_soon", _threads.start_thread_soon):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_pace, clock, _threads)
            yield
            nursery.cancel_scope.cancel()


def sleep_in_thread(seconds: float) -> None:
    """Sleep on this clock in a worker thread: a slow disk or store. Time does not wait for this thread."""
    assert _threads is not None
    trio.from_thread.run(_threads.sleep, seconds, trio_token=_threads.token)


async def _pace(clock: MockClock, threads: _Threads) -> None:
    steps = _Steps(clock)
    trio.lowlevel.add_instrument(steps)
    near, far = _loopback()
    try:
        while True:
            await wait_all_tasks_blocked(_THREAD_CUSHION_S if threads.busy() else 0.0)
            before = steps.count
            # The loopback delivers in order: when this byte arrives, all earlier bytes have arrived.
            near.send(b".")
            while True:
                try:
                    far.recv(1)
                    break
                except BlockingIOError:
                    await trio.lowlevel.wait_readable(far)
            await wait_all_tasks_blocked()
            if steps.count != before or threads.busy():
                continue
            ahead_s = trio.lowlevel.current_statistics().seconds_to_next_deadline
            if ahead_s == math.inf:
                # Only another process can wake a task.
                await wait_all_tasks_blocked(_THREAD_CUSHION_S)
            else:
                clock.jump(max(ahead_s, _STEP_S))
    finally:
        trio.lowlevel.remove_instrument(steps)
        near.close()
        far.close()


def _loopback() -> tuple[socket.socket, socket.socket]:
    """Return both ends of a TCP connection to ourselves.

    Plain sockets: the byte has nearly always arrived at once, and a stream of trio would let the whole run
    wait for two more steps of the scheduler, at each jump of the clock.
    """
    with socket.create_server(("127.0.0.1", 0)) as server:
        near = socket.create_connection(server.getsockname())
        far, _ = server.accept()
    near.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    far.setblocking(False)
    return near, far
