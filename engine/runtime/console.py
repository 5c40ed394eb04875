"""Lines for people that never hold up the engine: a bounded queue, and a thread that writes them.

A terminal that was stopped with Ctrl-S, or whose connection stalls, blocks whoever writes to it. A session
goes on with its orders meanwhile, so it only queues lines; while nothing is read, further lines are dropped
and counted. Used by the live command.
"""

from __future__ import annotations

import os
import sys
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, TextIO

from engine.events.render import printable

__all__ = ["Console", "console"]

LINES_MAX: Final = 1000
LINE_CHARACTERS_MAX: Final = 4000


class Console:
    """Writes lines to `stream` from a thread. `dropped` counts those that found the queue full."""

    def __init__(self, stream: TextIO) -> None:
        self.dropped = 0
        self._stream = stream
        self._lines: deque[str] = deque()
        self._changed = threading.Condition()
        self._ended = False
        self._thread = threading.Thread(target=self._write, name="console", daemon=True)
        self._thread.start()

    def put(self, line: str) -> None:
        """Queue a line. Never waits. What is not printable is escaped: a line may have words of a venue."""
        with self._changed:
            if len(self._lines) >= LINES_MAX:
                self.dropped += 1
                return
            self._lines.append(printable(line[:LINE_CHARACTERS_MAX]))
            self._changed.notify()

    def close(self, within_s: float = 1.0) -> None:
        """Write what is queued, but wait no longer than `within_s` for a reader."""
        with self._changed:
            self._ended = True
            self._changed.notify()
        self._thread.join(within_s)

    def _write(self) -> None:
        while True:
            with self._changed:
                while not self._lines and not self._ended:
                    self._changed.wait()
                if not self._lines:
                    return
                lines, self._lines = list(self._lines), deque()
                dropped, self.dropped = self.dropped, 0
            if dropped:
                lines.append(f"({dropped:,} lines are missing here: nothing read this output)")
            try:
                _write(self._stream, "\n".join(lines) + "\n")
            except (OSError, ValueError):
                return  # closed: nothing more can be shown, and the session goes on


def _write(stream: TextIO, text: str) -> None:
    """Write past the buffer of a stream: a thread that waits while it is locked aborts Python at exit."""
    try:
        fd = stream.fileno()
    except (OSError, ValueError):  # not a file
        stream.write(text)
        stream.flush()
        return
    data = memoryview(text.encode("utf-8", "backslashreplace"))
    while data:
        data = data[os.write(fd, data) :]


@contextmanager
def console() -> Iterator[Console]:
    """Yield the console of standard error; at the end wait for its reader for a moment only."""
    lines = Console(sys.stderr)
    try:
        yield lines
    finally:
        lines.close()
