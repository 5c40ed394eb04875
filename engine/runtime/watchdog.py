"""Watches a session from outside of its loop: signals, and handlers of strategies that do not return.

While a handler runs, nothing else of the session does. A thread looks at what it is doing, four times a
second. It reports a handler that has not returned for `limit_s`, and knows which one takes the most time. It
ends the process when a person, or the end of `--for`, asks for that and the loop cannot. Signals are received
by Python's handlers, which also run inside of a handler that does not return. What is durable stays; the turn
that did not end is not recorded.

One call of a C function can hold up the thread and the signals too. Then Python's own watchdog prints the
traceback, and only SIGKILL ends the process. What it says itself never waits for a reader, as on a terminal
that was stopped with Ctrl-S. Called by `Live`.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from types import FrameType
from typing import Any, Final, NamedTuple, NoReturn

import trio

import engine.strategies
from engine.events import Event
from engine.strategies.actor import StrategyActor
from engine.strategies.places import line_in

__all__ = ["Stuck", "Watchdog"]

LOOK_S: Final = 0.25
"""How often the thread looks."""
TOGETHER_S: Final = 1.0
"""Signals this soon after the first are one request: `timeout` signals its child and its process group."""
NOTICED_S: Final = 1.0
"""A handler that has run for this long when a signal comes counts as one that does not return."""
END_S: Final = 3.0
"""How long the loop has to end after a second signal."""
LOOKS_KEPT: Final = 240
"""How many looks say where the time went: those of the last minute."""
BLIND_LIMITS: Final = 3.0
"""If the thread cannot look for this many limits, Python's own watchdog prints the traceback."""

_STRATEGIES: Final = str(Path(engine.strategies.__file__).parent)


class Stuck(NamedTuple):
    """A handler of a strategy that is running: where it is, and since when (monotonic, in seconds)."""

    strategy: str
    place: str
    since: float

    def __str__(self) -> str:
        return f"strategy {self.strategy} has not returned from {self.place}"


class _Call(NamedTuple):
    """One call of a handler: the same frame with the same event is the same call."""

    frame: int
    event: Event | None
    strategy: str
    place: str


class Watchdog:
    """Watches one session. `report` receives a handler that has run too long, and for how many seconds."""

    def __init__(
        self, limit_s: float, report: Callable[[Stuck, float], None], durable: Callable[[], int]
    ) -> None:
        self._limit_s = limit_s
        self._report = report
        self._durable = durable
        self._loop = threading.get_ident()
        self._closed = threading.Event()
        self._call: _Call | None = None
        self._since = 0.0
        self._report_at = limit_s
        self._first = 0.0
        self._second = 0.0
        self._deadline: tuple[float, str] | None = None
        self._looks: deque[tuple[str, float]] = deque(maxlen=LOOKS_KEPT)  # handlers, and seconds in each
        self._errors: FileIO | None = None

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watch the current thread during the block."""
        thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)
        self._errors = _errors()
        self._arm()  # A handler may never let the thread run even once.
        thread.start()
        try:
            yield
        finally:
            self._closed.set()
            thread.join()
            if self._limit_s:
                faulthandler.cancel_dump_traceback_later()
            if self._errors is not None:
                self._errors.close()

    @contextmanager
    def signals(self, stop: Callable[[str], None], is_stopping: Callable[[], bool]) -> Iterator[trio.Event]:
        """Receive the signals during the block: the first one calls `stop` with its name.

        The next one, or one while the session is stopping, sets the event that is returned. After a signal
        the handlers stay: the process is about to end, and must end in order if the signal comes twice.
        """
        token = trio.lowlevel.current_trio_token()
        at_once = trio.Event()

        def receive(number: int, frame: FrameType | None) -> None:
            now = time.monotonic()
            if self._closed.is_set():
                if now - self._first >= TOGETHER_S:
                    self._end(1, "stopped")
                return
            stuck = self._look(frame, now)
            if stuck is not None and now - stuck.since < NOTICED_S:
                stuck = None
            with contextlib.suppress(trio.RunFinishedError):
                if not self._first and not is_stopping():
                    self._first = now
                    token.run_sync_soon(stop, signal.Signals(number).name)
                    if stuck is not None:
                        _write(f"{stuck}; a second signal ends the session at once")
                elif not self._first or now - self._first >= TOGETHER_S:
                    if stuck is not None:
                        self._end(1, f"stopped at once by a second signal; {stuck}")
                    self._second = self._second or now
                    token.run_sync_soon(at_once.set)

        numbers = [signal.SIGINT, signal.SIGTERM]
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as under nohup
            numbers.append(signal.SIGHUP)
        before = {number: signal.signal(number, receive) for number in numbers}
        try:
            yield at_once
        finally:
            for number, handler in before.items() if not self._first else ():
                signal.signal(number, handler)

    def end_after(self, seconds: float, why: str) -> None:
        """End the process this much later if a handler does not return: the session should have ended."""
        self._deadline = (time.monotonic() + seconds, why)

    def busiest(self) -> tuple[str, int]:
        """Return the handler in which most of the time of all handlers was spent since the last call, such as
        "Maker.on_trade", and for how many milliseconds; "" and 0 if none stands out.

        Measured in samples. One call of a C function counts whole, once it lets the thread run.
        """
        looks, self._looks = self._looks, deque(maxlen=LOOKS_KEPT)
        spent: dict[str, float] = {}
        for handler, seconds in looks:
            spent[handler] = spent.get(handler, 0.0) + seconds
        most = max(spent, key=lambda handler: spent[handler], default="")
        if 2 * spent.get(most, 0.0) <= sum(spent.values()):
            return "", 0
        return most, round(spent[most] * 1000)

    def _watch(self) -> None:
        looked = time.monotonic()
        while not self._closed.wait(LOOK_S):
            self._arm()
            now = time.monotonic()
            stuck = self._look(sys._current_frames().get(self._loop), now)
            if stuck is not None:
                self._looks.append((f"{stuck.strategy}.{stuck.place.partition(' ')[0]}", now - looked))
            looked = now
            if self._second and now - self._second >= END_S:
                self._end(1, f"stopped at once by a second signal{f'; {stuck}' if stuck else ''}")
            if stuck is None:
                continue
            seconds = now - stuck.since
            if self._limit_s and seconds >= self._report_at:
                self._report_at *= 2
                self._report(stuck, seconds)
            if self._deadline and now >= self._deadline[0] and seconds >= max(self._limit_s, NOTICED_S):
                self._end(7, f"{stuck} for {seconds:.0f} s, and {self._deadline[1]} is over")

    def _arm(self) -> None:
        """Have a traceback printed, without the interpreter's lock, unless this is called again in time."""
        if self._limit_s:
            faulthandler.dump_traceback_later(BLIND_LIMITS * self._limit_s, file=self._errors or 2)

    def _look(self, frame: FrameType | None, now: float) -> Stuck | None:
        """Return the handler that the loop is in, None if it is in none."""
        call = _call_in(frame)
        known = self._call
        if call is None:
            self._call = None
            return None
        if known is None or known.frame != call.frame or known.event is not call.event:
            self._since = now
            self._report_at = self._limit_s
        self._call = call
        return Stuck(call.strategy, call.place, self._since)

    def _end(self, code: int, why: str) -> NoReturn:
        """End the process, whatever the loop is doing. Nothing that is not durable is written any more."""
        _write(f"{why}; the journal ends at seq {self._durable()}")
        os._exit(code)


def _call_in(frame: FrameType | None) -> _Call | None:
    """Return the call of a strategy's handler in a stack, given by its innermost frame."""
    inside: list[FrameType] = []
    while frame is not None:
        inside.append(frame)
        frame = frame.f_back
    for depth, outer in reversed(list(enumerate(inside))):
        if not outer.f_code.co_filename.startswith(_STRATEGIES):
            continue
        actor: Any = outer.f_locals.get("self")
        # One that is being copied has no strategy yet.
        if isinstance(actor, StrategyActor) and hasattr(actor, "strategy"):
            place = line_in(inside[:depth], type(actor.strategy))
            return _Call(id(outer), actor.event, actor.name, place) if place else None
    return None


def _errors() -> FileIO | None:
    """Return standard error, opened anew so that a write that would wait fails; None if it cannot be.

    The mode belongs to what was opened: the standard error of this process and of others stays as it is.
    """
    flags = os.O_WRONLY | os.O_APPEND | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    try:
        return FileIO(os.open("/proc/self/fd/2", flags), "w")
    except OSError:  # a socket, closed, or not Linux
        return None


def _write(text: str) -> None:
    """Write a line, unless nothing reads: whoever says it is about to end the process."""
    errors = _errors()
    with contextlib.suppress(OSError), errors or contextlib.nullcontext():
        os.write(
            2 if errors is None else errors.fileno(), f"engine: {text}\n".encode("utf-8", "backslashreplace")
        )
