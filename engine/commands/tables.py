"""`--csv DIR`: tables as files, one a table, and the option of the commands that write them.

    DIR/tables.csv     the names of the tables and how many rows each has
    DIR/metrics.csv    a header, then one line a row; and so on

A time in nanoseconds has its text beside it (`entered_utc`, `entered_ns`). A text that a spreadsheet would
run as a formula begins with an apostrophe. A folder is new, empty, or holds the tables of an earlier run,
which are replaced; any other is refused before the work begins. `tables.csv` is written before the tables
that it names, so a folder is recognized after a kill too.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import click

from engine.analysis.tables import Table
from engine.clock import iso_text
from engine.errors import UsageError
from engine.journal import is_leftover, make_root, write_whole
from engine.stores.rows.units import no_formula

__all__ = ["check_tables", "csv_option", "write_tables"]

csv_option = click.option(
    "--csv",
    "tables",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Write what --json has as CSV files into this folder. Replaces only tables of ours.",
)
"""The option of a command that can write tables."""

_INDEX: Final = "tables.csv"
_HEADER: Final = "table,rows\n"
_NAME: Final = re.compile(r"[a-z][a-z_]*")
_TIME: Final = "_ns"
_TEXT: Final = "_utc"


def check_tables(folder: Path) -> None:
    """Raise UsageError if tables cannot be written to a folder. Called before the work."""
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"--csv {folder}: is a file; name a folder")
    if not folder.parent.is_dir():
        raise UsageError(f"--csv {folder}: there is no folder {folder.parent}; make it first")
    try:
        names = [one.name for one in folder.iterdir()] if folder.exists() else []
        ours = {f"{name}.csv" for name in _written(folder)} | {_INDEX}
    except OSError as error:
        raise UsageError(f"--csv {folder}: cannot be read: {error.strerror}; name another folder") from None
    other = sorted(name for name in names if name not in ours and not is_leftover(name))
    if other:
        raise UsageError(f"--csv {folder}: holds {other[0]}, which is no table of ours; name another folder")


def write_tables(folder: Path, tables: Sequence[Table]) -> None:
    """Write tables into a folder, in the place of those that it has. Raises UsageError as `check_tables`."""
    check_tables(folder)
    make_root(folder)
    index = Table("tables", ("table", "rows"), [(one.name, len(one.rows)) for one in tables])
    try:
        for name in _written(folder):
            with suppress(FileNotFoundError):
                (folder / f"{name}.csv").unlink()
        write_whole(folder / _INDEX, _text(index).encode())
        for table in tables:
            write_whole(folder / f"{table.name}.csv", _text(table).encode())
    except OSError as error:
        raise UsageError(f"--csv {folder}: cannot be written: {error.strerror}") from None


def _written(folder: Path) -> list[str]:
    """Return the names of the tables that a folder has, by its index."""
    try:
        lines = (folder / _INDEX).read_text("utf-8", "replace").splitlines(keepends=True)
    except FileNotFoundError:
        return []
    if not lines or lines[0] != _HEADER:
        raise UsageError(f"--csv {folder}: its {_INDEX} is not ours; name another folder")
    names = [line.partition(",")[0] for line in lines[1:]]
    return [name for name in names if _NAME.fullmatch(name)]


def _text(table: Table) -> str:
    """Return a table as CSV text."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    times = [name.endswith(_TIME) for name in table.columns]
    writer.writerow(
        _with_times(table.columns, times, [name.removesuffix(_TIME) + _TEXT for name in table.columns])
    )
    for row in table.rows:
        cells = [no_formula(cell) if isinstance(cell, str) else cell for cell in map(_plain, row)]
        texts = [iso_text(value) if timed and value else "" for timed, value in zip(times, row, strict=True)]
        writer.writerow(_with_times(cells, times, texts))
    return out.getvalue()


def _with_times(cells: Sequence[Any], times: Sequence[bool], texts: Sequence[str]) -> list[Any]:
    """Return cells with the text of each time before it."""
    found: list[Any] = []
    for cell, timed, text in zip(cells, times, texts, strict=True):
        found += [text, cell] if timed else [cell]
    return found


def _plain(value: Any) -> Any:
    return str(value).lower() if isinstance(value, bool) else value
