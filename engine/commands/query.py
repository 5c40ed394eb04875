"""`engine query SQL`: asks a store, without changing it, and prints the rows."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Final

import click
import msgspec

from engine.commands.output import config_option, json_option, print_json
from engine.commands.stores import named_store
from engine.errors import UsageError
from engine.events.render import printable
from engine.stores.checking import Checkable
from engine.stores.rows.units import exact_text
from engine.stores.sqlite.store import SqliteStore

__all__ = ["query_command"]

ROWS_MAX: Final = 1_000


@click.command("query")
@click.argument("sql")
@click.option("--db", type=click.Path(path_type=Path), default=Path("retape.db"), show_default=True)
@click.option("--store", metavar="URL|NAME", help="Another store: its address, or its name in --config.")
@config_option
@click.option("--limit", type=click.IntRange(min=0), default=ROWS_MAX, show_default=True, help="0: all rows.")
@json_option
def query_command(
    sql: str, db: Path, store: str | None, config: Path | None, limit: int, as_json: bool
) -> None:
    """Print the rows of a query on a store, such as "select * from open_positions".

    docs/stores.md lists tables, views and questions. With --json one object a row, exact numbers as text.
    """
    if store is None and not db.exists():
        raise UsageError(f"{db}: there is no such database; give the path of one with --db, or --store")
    asked = SqliteStore(db) if store is None else named_store(store, config)
    query = getattr(asked, "query", None)
    if query is None:
        read = "read its rows with engine.research (docs/research.md), or " * isinstance(asked, Checkable)
        raise UsageError(
            f"{asked.place}: a store of kind {asked.kind!r} answers no SQL; "
            f"{read}ask SQLite, PostgreSQL, QuestDB or Parquet"
        )
    names, found = query(sql)
    rows: list[list[str]] = []
    count = 0
    for row in found:
        count += 1
        if limit and count > limit:
            break
        if as_json:
            print_json(dict(zip(names, map(_plain, row), strict=True)))
        else:
            rows.append(["" if value is None else printable(str(_plain(value))) for value in row])
    if not as_json:
        _print(names, rows)
    if limit and count > limit:
        click.echo(f"engine: only the first {limit} rows; --limit 0 shows all", err=True)


def _print(names: list[str], rows: list[list[str]]) -> None:
    widths = [max(map(len, column)) for column in zip(names, *rows, strict=True)]
    for line in (names, *rows):
        cells = zip(line, widths, strict=True)
        click.echo("  ".join(f"{cell:<{width}}" for cell, width in cells).rstrip())


def _plain(value: object) -> object:
    """Return a value as text, a number, or None."""
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Decimal) and value.is_finite():
        return exact_text(value)
    return value if value is None or isinstance(value, int | float | str) else msgspec.to_builtins(value)
