"""Output of commands: JSON, tables, and progress bars on a terminal. Options shared by commands."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import click
import msgspec

from engine.errors import StrategyFailed, UsageError
from engine.events.render import printable

__all__ = [
    "begin_option",
    "check_outputs",
    "config_option",
    "end_option",
    "json_option",
    "param_option",
    "print_json",
    "progress",
    "refuse_failures",
    "strategy_option",
    "table",
]

_SQLITE: Final = b"SQLite format 3\0"
_DATABASES: Final = (".db", ".sqlite", ".sqlite3")
"""Files with these suffixes may be rebuilt even if their first bytes are damaged."""

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")
"""The option every reporting command has."""

strategy_option = click.option(
    "--strategy", "strategies", multiple=True, metavar="M:C", help="module:Class; may be repeated."
)
config_option = click.option(
    "--config", type=click.Path(path_type=Path), help="TOML file; `engine config` lists its keys."
)
"""The options of every command that runs strategies."""

begin_option = click.option("--begin", metavar="2025-03-01", help="ISO 8601, UTC. Default: the first input.")
end_option = click.option(
    "--end", metavar="2025-04-01T12:00", help="Inputs of this time and later are not read."
)
"""The options of every command that plays a range of days."""

param_option = click.option(
    "--param",
    "params",
    multiple=True,
    metavar="NAME=VALUE",
    help="A strategy's parameter, or STRATEGY.NAME=VALUE.",
)
"""The option of every command that takes a strategy."""


def print_json(value: object) -> None:
    """Print one JSON object on one line."""
    click.echo(msgspec.json.encode(value))


@contextmanager
def progress(what: str, total: float | None = None) -> Iterator[Callable[[float], None]]:
    """Show a progress bar on stderr while the block runs; yields a function that takes the progress made.

    Shows nothing when stderr is not a terminal.
    """
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    # Only here, as below: it takes 0.1 s to import, and a program that reads the output does not need it.
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:,.0f}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda done: bar.update(task, completed=done)


def check_outputs(csv: Path | None, database: Path | None) -> None:
    """Raise UsageError for a --csv that cannot be a folder, or a --db file that is not an SQLite database."""
    if csv is not None:
        try:
            csv.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"--csv {csv}: cannot be a folder: {error.strerror}; give another") from None
    if database is not None and database.suffix not in _DATABASES and database.is_file():
        with database.open("rb") as file:
            head = file.read(len(_SQLITE))
        if head not in (b"", _SQLITE):
            raise UsageError(
                f"--db {database}: is not an SQLite database and was not changed; give another name"
            )


def refuse_failures(failures: list[str]) -> None:
    """Raise StrategyFailed if a strategy failed. Called after all other output."""
    if failures:
        more = f" (and {len(failures) - 1} more)" if len(failures) > 1 else ""
        raise StrategyFailed(f"strategy failed: {failures[0]}{more}; the result shown ends there")


def table(rows: list[tuple[str, Any]]) -> None:
    """Print names and values in two columns. Values are never cut: on a terminal they wrap."""
    width = max((len(name) for name, _ in rows), default=0)
    if not sys.stdout.isatty():
        for name, value in rows:
            click.echo(f"{name:<{width}}  {printable(str(value))}")
        return
    from rich.console import Console
    from rich.table import Table

    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in rows:
        grid.add_row(name, printable(str(value)))
    # A text of a venue is never markup: "[/x]" would even raise.
    Console(highlight=False, markup=False, emoji=False).print(grid)
