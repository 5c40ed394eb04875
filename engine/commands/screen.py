"""A picture that stays at the bottom of a terminal while lines scroll above it.

Changes no mode of the terminal and does not hide the cursor, so there is nothing to restore, even after
SIGKILL. A picture is cut to the terminal's width and height, and drawn
without colours where NO_COLOR is set. Used by the console's thread, and by `engine status --watch`.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Sequence
from typing import Any, Final

from rich.console import Console, RenderableType
from rich.text import Text

__all__ = ["TerminalScreen", "rendered", "use_colors"]

WIDTH: Final = 80
HEIGHT: Final = 24
WIDTH_MIN: Final = 20


def use_colors() -> bool:
    """Return whether a terminal is shown colours: not with NO_COLOR, nor if it cannot."""
    return not os.environ.get("NO_COLOR") and os.environ.get("TERM", "dumb") != "dumb"


def rendered(picture: RenderableType, width: int, *, colors: bool = True) -> list[str]:
    """Return the lines of a picture, none of them wider than `width`."""
    out = io.StringIO()
    shown = Console(
        file=out,
        force_terminal=colors,
        no_color=None if colors else True,
        width=max(width, WIDTH_MIN),
        highlight=False,
        markup=False,
        emoji=False,
        legacy_windows=False,
    )
    shown.print(picture, overflow="crop", no_wrap=True, crop=True)
    return [line.rstrip() for line in out.getvalue().splitlines()]


class TerminalScreen:
    """Draws on the terminal behind a file descriptor. See `engine.runtime.console.Screen`.

    `picture_of` makes of what is shown something that `rich` can print.
    """

    def __init__(self, fd: int, picture_of: Callable[[Any], RenderableType]) -> None:
        self._fd = fd
        self._picture_of = picture_of
        self._widths: list[int] = []

    def draw(self, lines: Sequence[str], picture: object) -> str:
        """Return the text that adds lines and shows the picture below them."""
        columns, rows = self._size()
        erase = self._erase(columns)
        shown: list[str] = []
        if picture is not None:
            lines_of = rendered(self._picture_of(picture), columns - 1, colors=use_colors())
            shown = lines_of[: max(rows - 2, 1)]
        self._widths = [Text.from_ansi(line).cell_len for line in shown]
        return erase + "".join(f"{line}\n" for line in (*lines, *shown))

    def _erase(self, columns: int) -> str:
        """Return what removes the picture drawn last: a terminal made narrower has wrapped its lines."""
        rows = sum(max(1, -(-width // columns)) for width in self._widths)
        return f"\x1b[{rows}A\r\x1b[J" if rows else ""

    def _size(self) -> tuple[int, int]:
        try:
            size = os.get_terminal_size(self._fd)
        except OSError:
            return WIDTH, HEIGHT
        return size.columns or WIDTH, size.lines or HEIGHT
