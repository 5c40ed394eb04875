"""Lines for people that never hold up the engine: a bounded queue, and a thread that writes them.

A terminal that was stopped with Ctrl-S, or whose connection stalls, blocks whoever writes to it. A session
goes on with its orders meanwhile, so it only queues lines; while nothing is read, further lines are dropped
and counted. On a terminal a `Screen` keeps a picture below the lines: only the newest one is drawn. Used by
the live command.
"""

from __future__ import annotations

import os
import sys
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final, Protocol, TextIO

from engine.events.render import printable

__all__ = ["Console", "Screen", "console"]

LINES_MAX: Final = 1000
LINE_CHARACTERS_MAX: Final = 4000


class Screen(Protocol):
    """Draws lines on a terminal, and below them a picture. Called by the console's thread only."""

    def draw(self, lines: Sequence[str], picture: object) -> str:
        """Return the text that adds lines and shows the picture below them; None: no picture."""
        ...


class Console:
    """Writes lines to `stream` from a thread. `dropped` counts those that found the queue full."""

    def __init__(self, stream: TextIO, screen: Screen | None = None) -> None:
        self.dropped = 0
        self._stream = stream
        self._screen = screen
        self._lines: deque[str] = deque()
        self._picture: object = None
        self._drawn: object = None
        self._changed = threading.Condition()
        self._ended = False
        self._thread = threading.Thread(target=self._write, name="console", daemon=True)
        self._thread.start()

    def put(self, line: str, style: str = "") -> None:
        """Queue a line. Never waits. What is not printable is escaped: a line may have words of a venue.

        `style` is an ANSI sequence that the line is shown in.
        """
        shown = printable(line[:LINE_CHARACTERS_MAX])
        self.put_printable(f"{style}{shown}\x1b[0m" if style else shown)

    def put_printable(self, line: str) -> None:
        """Queue a line of any length in which nothing has to be escaped. Never waits."""
        with self._changed:
            if len(self._lines) >= LINES_MAX:
                self.dropped += 1
                return
            self._lines.append(line)
            self._changed.notify()

    def show(self, picture: object) -> None:
        """Show a picture below the lines, instead of the one before. Never waits."""
        with self._changed:
            self._picture = picture
            self._changed.notify()

    def close(self, within_s: float = 1.0) -> None:
        """Write what is queued and remove the picture, but wait no longer than `within_s` for a reader."""
        with self._changed:
            self._picture = None
            self._ended = True
            self._changed.notify()
        self._thread.join(within_s)

    def _write(self) -> None:
        while True:
            with self._changed:
                while not self._lines and self._picture is self._drawn and not self._ended:
                    self._changed.wait()
                if not self._lines and self._picture is self._drawn:
                    return
                lines, self._lines = list(self._lines), deque()
                dropped, self.dropped = self.dropped, 0
                picture = self._drawn = self._picture
            if dropped:
                lines.append(f"({dropped:,} lines are missing here: nothing read this output)")
            if self._screen is not None:
                text = self._screen.draw(lines, picture)
            else:
                text = "".join(f"{line}\n" for line in lines)
            try:
                _write(self._stream, text)
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
def console(screen: Screen | None = None) -> Iterator[Console]:
    """Yield the console of standard error; at the end wait for its reader for a moment only."""
    lines = Console(sys.stderr, screen)
    try:
        yield lines
    finally:
        lines.close()
