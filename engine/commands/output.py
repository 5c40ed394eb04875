"""How commands speak: JSON for machines, short lines for people, progress on a terminal only."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click
import msgspec
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

__all__ = ["json_option", "param_option", "print_json", "progress", "table"]

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")
"""The option every reporting command has."""

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
    """Show a progress bar on stderr while the block runs; yields a function that takes how far it is.

    Shows nothing when stderr is not a terminal.
    """
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:,.0f}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda done: bar.update(task, completed=done)


def table(rows: list[tuple[str, Any]]) -> None:
    """Print names and values in two columns."""
    grid = Table.grid(padding=(0, 2))
    for name, value in rows:
        grid.add_row(name, str(value))
    Console(highlight=False, soft_wrap=True).print(grid)
