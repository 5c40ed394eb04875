"""How a session speaks: its notices as lines for people, or as JSON for programs, on standard error.

A line has a time, what it is about, what happened, the rest, and the seq of its record, for `engine why`:
`2026-11-28T23:40:01Z BTC Crossover: filled: buy 0.5 at 97010 ...  #4985`. The time is the engine's, as in the
journal. On a terminal the time is short, errors and warnings have colours (not with NO_COLOR), and the lines
scroll above a live view. Standard output is left to the result. Used by `engine live` and `engine demo`.
"""

from __future__ import annotations

import functools
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import click

from engine.clock import SystemClock, iso_text
from engine.commands.screen import TerminalScreen, use_colors
from engine.commands.situation import Situation, screen
from engine.errors import EngineError, error_in
from engine.runtime.console import Console, console
from engine.runtime.notices import Notice

__all__ = ["Speaker", "errors_as_json", "speaking"]

TEXT_CHARACTERS_MAX: Final = 4000

_WITHOUT_SEQ: Final = frozenset({"command", "status"})
"""The states of lines that name a seq in their words, or stand for no record."""
_STYLES: Final = {"error": "\x1b[1;31m", "warning": "\x1b[33m"}


class Speaker:
    """Writes notices to a console. `quiet`: only errors and halts. `as_json`: one JSON object a line.

    `has_view`: it shows a live view.
    """

    def __init__(
        self,
        lines: Console,
        *,
        quiet: bool = False,
        as_json: bool = False,
        terminal: bool = False,
        viewed: bool = False,
    ) -> None:
        self._lines = lines
        self._quiet = quiet
        self._as_json = as_json
        self._terminal = terminal
        self._clock = SystemClock()
        self.has_view = viewed
        self._colored = terminal and use_colors()

    def __call__(self, notice: Notice) -> None:
        """Write a notice. Never waits; may be called from any thread."""
        if self._quiet and notice.level != "error":
            return
        if self._as_json:
            self._lines.put_printable(json_line(notice, self._clock.now_ns()))
            return
        time = iso_text(notice.at_ns or self._clock.now_ns())
        style = _STYLES.get(notice.level, "") if self._colored else ""
        record = f"  #{notice.seq}" if notice.seq and notice.state not in _WITHOUT_SEQ else ""
        self._lines.put(f"{time[11:19] if self._terminal else time[:19]}Z {notice.text}{record}", style)

    def show(self, situation: Situation) -> None:
        """Show how things stand in the live view, if there is one. Never waits."""
        if self.has_view:
            self._lines.show(situation)

    def result(self, line: str) -> None:
        """Write a line to standard output; if that is the terminal of the live view, above the view."""
        if self._terminal and sys.stdout.isatty():
            self._lines.put(line)
        else:
            click.echo(line)


def json_line(notice: Notice, now_ns: int = 0) -> str:
    """Return a notice as one line of JSON, all of it ASCII: safe on a terminal whatever a venue sends."""
    fields: dict[str, object] = {"name": notice.name}
    if notice.seq:
        fields["seq"] = notice.seq
    line = {
        "time": iso_text(notice.at_ns or now_ns),
        "level": notice.level,
        "kind": notice.state,
        "text": notice.text[:TEXT_CHARACTERS_MAX],
        "fields": fields | notice.fields,
    }
    return json.dumps(line).replace("\x7f", "\\u007f")  # the only ASCII control that JSON does not escape


@contextmanager
def errors_as_json() -> Iterator[None]:
    """Write an error of the block as a line of JSON, in place of the plain one, and exit with its code."""
    try:
        yield
    except (EngineError, BaseExceptionGroup) as error:
        known = error if isinstance(error, EngineError) else error_in(error)
        if known is None:
            raise
        click.echo(json_line(Notice("engine", "failed", str(known)), SystemClock().now_ns()), err=True)
        sys.exit(known.exit_code)


@contextmanager
def speaking(*, quiet: bool = False, as_json: bool = False, live_view: bool = True) -> Iterator[Speaker]:
    """Yield a speaker on standard error. `live_view`: on a terminal, keep one below the lines."""
    terminal = sys.stderr.isatty() and not as_json
    dumb = os.environ.get("TERM", "dumb") == "dumb"
    viewed = terminal and live_view and not (dumb or quiet)
    view = functools.partial(screen, compact=True)
    with console(TerminalScreen(sys.stderr.fileno(), view) if viewed else None) as lines:
        yield Speaker(lines, quiet=quiet, as_json=as_json, terminal=terminal and not dumb, viewed=viewed)
