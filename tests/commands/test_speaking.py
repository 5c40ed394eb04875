"""Lines of a session on standard error: times, levels, JSON, colours, and a picture on a terminal."""

from __future__ import annotations

import contextlib
import fcntl
import io
import json
import os
import pty
import re
import struct
import termios
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rich.text import Text

from engine.commands.screen import TerminalScreen
from engine.commands.speaking import json_line, speaking
from engine.runtime.notices import Notice

AT = 1_733_356_800_000_000_000
FILL = Notice("AAA Long", "filled", "buy 1 at 100", AT, 7, {"size": "1"})
REFUSAL = Notice("AAA Long", "refused", "buy 1: margin: words", AT, 8)
HALT = Notice("engine", "halted", "operator: halt", AT)


def said(*notices: Notice, **options: Any) -> str:
    """Return what a speaker writes to a pipe."""
    out = io.StringIO()
    with contextlib.redirect_stderr(out), speaking(**options) as speaker:
        for notice in notices:
            speaker(notice)
    return out.getvalue()


@contextlib.contextmanager
def terminal(width: int = 60, height: int = 10) -> Iterator[list[str]]:
    """Make standard error a terminal; after the block the list has what it received."""
    outer, inner = pty.openpty()
    os.set_inheritable(inner, False)
    fcntl.ioctl(inner, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))
    received: list[str] = []
    with os.fdopen(inner, "w") as stream, contextlib.redirect_stderr(stream):
        yield received
        received.append(os.read(outer, 1 << 20).decode())
    os.close(outer)


def test_a_line_in_a_pipe_has_the_full_time_and_no_colours() -> None:
    assert said(FILL, HALT) == (
        "2024-12-05T00:00:00Z AAA Long: filled: buy 1 at 100  #7\n"
        "2024-12-05T00:00:00Z engine: halted: operator: halt\n"
    )


def test_quiet_leaves_errors_and_halts() -> None:
    assert said(FILL, REFUSAL, HALT, quiet=True) == "2024-12-05T00:00:00Z engine: halted: operator: halt\n"


def test_log_json_is_one_object_on_each_line() -> None:
    fill, halt = map(json.loads, said(FILL, HALT, as_json=True).splitlines())
    assert fill == {
        "time": "2024-12-05T00:00:00.000000000Z",
        "level": "info",
        "kind": "filled",
        "text": "AAA Long: filled: buy 1 at 100",
        "fields": {"name": "AAA Long", "seq": 7, "size": "1"},
    }
    assert (halt["level"], halt["kind"]) == ("error", "halted")


@given(st.text(), st.text())
@example("\x7f", "\x85\u202e\U000e0001")
def test_whatever_a_venue_sends_stays_on_one_line_without_control_characters(name: str, detail: str) -> None:
    notice = Notice(name, "rejected", detail, AT)
    line = json_line(notice)
    assert json.loads(line)["fields"]["name"] == name
    for text in (line, said(notice)[:-1]):
        assert text.isprintable()


@pytest.mark.parametrize("variables", [{}, {"NO_COLOR": "1"}])
def test_a_terminal_has_colours_unless_no_color_is_set(variables: dict[str, str]) -> None:
    plain = {"TERM": "xterm", "NO_COLOR": ""}
    with patch.dict(os.environ, plain | variables), terminal() as received, speaking() as speaker:
        speaker(HALT)
        speaker(FILL)
    (shown,) = received
    assert ("\x1b[1;31m" in shown) == (not variables)
    assert "00:00:00Z AAA Long: filled" in shown


def test_a_dumb_terminal_has_plain_lines() -> None:
    with patch.dict(os.environ, {"TERM": "dumb"}), terminal() as received, speaking() as speaker:
        speaker(HALT)
    assert "\x1b" not in received[0]


class Emulated:
    """A terminal of a given size: keeps the lines that are on it, and above it."""

    def __init__(self, width: int) -> None:
        self.width = width
        self.lines = [""]
        self.row = 0

    def write(self, text: str) -> None:
        for part in re.split(r"(\x1b\[\d+A|\x1b\[J|\n|\r)", re.sub(r"\x1b\[[\d;]*m", "", text)):
            if part == "\n":
                self.row += 1
                self.lines += [""] * (self.row + 1 - len(self.lines))
            elif part.endswith("A") and part.startswith("\x1b"):
                self.row -= int(part[2:-1])
                assert self.row >= 0
            elif part == "\x1b[J":
                self.lines = [*self.lines[: self.row], ""]
            elif part != "\r":
                for start in range(0, len(part), self.width):
                    if start:
                        self.row += 1
                        self.lines += [""] * (self.row + 1 - len(self.lines))
                    self.lines[self.row] = part[start : start + self.width]

    def narrow(self, width: int) -> None:
        """Change the width; lines that are too long are wrapped."""
        wrapped = [
            line[start : start + width] for line in self.lines for start in range(0, max(len(line), 1), width)
        ]
        self.lines, self.width, self.row = wrapped, width, len(wrapped) - 1


@pytest.mark.parametrize("width", [20, 40, 200])
def test_the_picture_stays_below_the_lines_and_fits(width: int) -> None:
    size = os.terminal_size((width, 8))
    shown, screen = Emulated(width), TerminalScreen(0, Text)
    with patch("os.get_terminal_size", lambda _: size):
        for number in range(5):
            picture = "\n".join(f"row {row} of picture {number} {'x' * 100}" for row in range(20))
            shown.write(screen.draw([f"line {number}"], picture))
            assert [line for line in shown.lines if line.startswith("line")] == [
                f"line {one}" for one in range(number + 1)
            ]
            assert len([line for line in shown.lines if line.startswith("row")]) == 6
        assert all(
            f"picture {number}" in line or line[:4] in ("line", "") for line in shown.lines if width > 20
        )
        shown.write(screen.draw([], None))
    assert shown.lines == [*(f"line {one}" for one in range(5)), ""]


def test_a_terminal_made_narrower_keeps_no_rest_of_the_picture() -> None:
    shown, screen = Emulated(80), TerminalScreen(0, Text)
    picture = "x" * 70 + "\nshort"
    with patch("os.get_terminal_size", lambda _: os.terminal_size((80, 24))):
        shown.write(screen.draw(["line"], picture))
    shown.narrow(30)
    with patch("os.get_terminal_size", lambda _: os.terminal_size((30, 24))):
        shown.write(screen.draw([], None))
    assert shown.lines == ["line", ""]


def test_what_is_not_a_terminal_has_a_usual_size() -> None:
    with Path(os.devnull).open() as nothing:
        text = TerminalScreen(nothing.fileno(), Text).draw([], "x" * 500)
    assert len(Text.from_ansi(text).plain.rstrip("\n")) == 79
