"""Writing pages to files: the option `--report`, and what is collected beside a report for its page.

A page is written whole or not at all. A file that exists is replaced only if it is one of our pages. Called
by commands that write pages.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import click

from engine.errors import UsageError
from engine.events import Event, SessionStarted
from engine.events.codec import Derived
from engine.journal import write_whole
from engine.pages.causes import Causes
from engine.pages.charting import Charting
from engine.pages.frame import is_ours

__all__ = ["Drawn", "check_page", "folders_by_day", "page_option", "title_of", "write_page"]

_HEAD_BYTES = 256


class Drawn:
    """What a page shows beside the report: collected from every frame of a run, by one watcher."""

    def __init__(self) -> None:
        self.charting = Charting()
        self.causes = Causes()

    @property
    def parts(self) -> tuple[Charting, Causes]:
        """What a page takes."""
        return self.charting, self.causes

    def append(self, first_seq: int, inputs: list[Event], derived: list[Derived]) -> None:
        """Read a frame."""
        self.charting.append(first_seq, inputs, derived)
        self.causes.append(first_seq, inputs, derived)


page_option = click.option(
    "--report",
    "page",
    type=click.Path(path_type=Path),
    metavar="FILE.html",
    help="Write the report as a page that needs no server. Replaces only a page of ours.",
)
"""The option of a command that can write a page."""


def check_page(path: Path) -> None:
    """Raise UsageError if a page cannot be written to a path. Called before the work, and by `write_page`."""
    if path.is_dir():
        raise UsageError(f"{path}: is a folder; name a file, such as {path / 'report.html'}")
    if not path.parent.is_dir():
        raise UsageError(f"{path}: there is no folder {path.parent}; make it first")
    if path.exists():
        try:
            with path.open("rb") as file:
                head = file.read(_HEAD_BYTES).decode("utf-8", "replace")
        except OSError as error:
            raise UsageError(f"{path}: cannot be read: {error.strerror}; name another file") from None
        if head and not is_ours(head):
            raise UsageError(f"{path}: exists and is not a page of this program; name another file")


def write_page(path: Path, text: str) -> None:
    """Write a page: whole, or not at all. Raises UsageError as `check_page` does, and for a failed write."""
    check_page(path)
    try:
        write_whole(path, text.encode())
    except OSError as error:
        raise UsageError(f"{path}: cannot be written: {error.strerror}; nothing was changed") from None


def title_of(started: SessionStarted | None, instruments: Iterable[str]) -> str:
    """Return a title: the strategies, and up to three instruments."""
    names = [name for name, _, _ in started.strategies] if started is not None else []
    markets = sorted(instruments)
    shown = ", ".join(markets[:3]) + (f" and {len(markets) - 3} more" if len(markets) > 3 else "")
    return f"{', '.join(names) or 'Account'}{' on ' if shown else ''}{shown}"


def folders_by_day(folders: Sequence[Path]) -> dict[str, str]:
    """Return the folders of days by date. A date that several journals have is left out: a seq needs one."""
    found: dict[str, str] = {}
    twice = set()
    for folder in folders:
        if folder.name in found:
            twice.add(folder.name)
        found[folder.name] = str(folder)
    return {day: folder for day, folder in found.items() if day not in twice}
