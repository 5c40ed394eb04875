"""Output that nothing reads never holds up the engine."""

from __future__ import annotations

import contextlib
import os
import pty
import sys
import threading
from collections.abc import Sequence

import pytest

from engine.runtime.console import LINES_MAX, Console


class Stalled:
    """A stream whose reader has stopped until `resume`."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.resume = threading.Event()
        self.written: list[str] = []

    def write(self, text: str) -> None:
        self.entered.set()
        assert self.resume.wait(60)
        self.written.append(text)

    def flush(self) -> None:
        pass

    def fileno(self) -> int:
        raise OSError


def test_lines_are_dropped_and_counted_while_nothing_reads() -> None:
    stream = Stalled()
    console = Console(stream)  # type: ignore[arg-type]
    console.put("line 0")
    assert stream.entered.wait(60)
    for number in range(1, 3 * LINES_MAX):
        console.put(f"line {number}")
    assert console.dropped == 2 * LINES_MAX - 1
    stream.resume.set()
    console.close(60)
    lines = "".join(stream.written).splitlines()
    shown = [line for line in lines if line.startswith("line ")]
    (missing,) = (line for line in lines if line.startswith("("))
    assert shown == [f"line {number}" for number in range(len(shown))]
    assert missing == f"({3 * LINES_MAX - len(shown):,} lines are missing here: nothing read this output)"


def test_closing_does_not_wait_for_a_reader_that_never_comes() -> None:
    stream = Stalled()
    console = Console(stream)  # type: ignore[arg-type]
    console.put("late")
    console.close(0.01)
    assert not stream.written
    stream.resume.set()
    console.close(60)
    assert stream.written == ["late\n"], "the thread ended"


@pytest.mark.skipif(sys.platform != "linux", reason="a terminal that is stopped, as Linux does it")
def test_a_terminal_that_is_stopped_does_not_hold_up_the_engine() -> None:
    terminal, slave = pty.openpty()
    try:
        with os.fdopen(slave, "w", encoding="utf-8") as stream:
            console = Console(stream)
            for number in range(5 * LINES_MAX):
                console.put(f"line {number} {'x' * 100}")  # more than its buffer holds, and returns
            reader = threading.Thread(target=_read_to_the_end, args=(terminal,), daemon=True)
            reader.start()
            console.close(60)
    finally:
        os.close(terminal)


def _read_to_the_end(terminal: int) -> None:
    with contextlib.suppress(OSError):
        while os.read(terminal, 65536):
            pass


class Drawing:
    """A screen that notes what it draws."""

    def __init__(self) -> None:
        self.drawn: list[tuple[list[str], object]] = []

    def draw(self, lines: Sequence[str], picture: object) -> str:
        self.drawn.append((list(lines), picture))
        return "".join(f"{line}\n" for line in lines)


def test_only_the_newest_picture_is_drawn_and_none_is_left_at_the_end() -> None:
    stream, screen = Stalled(), Drawing()
    console = Console(stream, screen)  # type: ignore[arg-type]
    console.put("first")
    for number in range(1000):
        console.show(number)
    console.put("last \x1b[2J")
    stream.resume.set()
    console.close(60)
    pictures = [picture for _, picture in screen.drawn]
    assert len(pictures) <= 3
    assert pictures[-1] is None
    assert [line for lines, _ in screen.drawn for line in lines] == ["first", "last \\x1b[2J"]
