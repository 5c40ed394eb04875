"""Reads a store's tables in PostgreSQL: its cursor, and its rows in the order of their keys."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any, NamedTuple

from engine.clock import iso_text
from engine.stores.postgres.connecting import Connection
from engine.stores.postgres.copying import MICROSECONDS
from engine.stores.postgres.schema import CURSOR, Layout, quoted
from engine.stores.rows.shapes import TableShape
from engine.stores.rows.tables import TABLES
from engine.stores.selecting import EVERYTHING, Selection
from engine.stores.store import Cursor, Row

__all__ = ["State", "dumped", "exists", "read_state"]

BATCH_ROWS = 5_000


class State(NamedTuple):
    """The row of the cursor. `newest_ns` is the time of the newest record with a row."""

    cursor: Cursor | None
    version: int
    tables: list[str]
    timescale: bool
    newest_ns: int


def exists(conn: Connection, layout: Layout, name: str) -> bool:
    """Return whether the schema has a table or a view of this name."""
    found = conn.execute("select to_regclass(%s)", [layout.name(name)]).fetchone()
    return found is not None and found[0] is not None


def read_state(conn: Connection, layout: Layout, *, lock: bool = False) -> State | None:
    """Return the row of the cursor, or None if it is gone. `lock` keeps others from changing it."""
    sql = (
        "select journal_id, seq, digest, epoch, version, tables, timescale, newest_ns"
        f" from {layout.name(CURSOR)}{' for update' if lock else ''}"
    )
    found = conn.execute(sql).fetchone()
    if found is None:
        return None
    journal_id, seq, digest, epoch, version, tables, timescale, newest_ns = found
    cursor = None
    if journal_id is not None:
        cursor = Cursor(bytes.fromhex(journal_id), seq, bytes.fromhex(digest), epoch)
    return State(cursor, version, tables.split(), timescale, newest_ns)


def dumped(
    conn: Connection, layout: Layout, tables: Iterable[str], only: Selection = EVERYTHING
) -> Iterator[tuple[str, Row]]:
    """Yield (table, row) table by table, each by its primary key. Called in a transaction.

    Numbers are decimals, times texts with microseconds. Memory is that of BATCH_ROWS.
    """
    for table in tables:
        shape = TABLES[table]
        columns = ", ".join(map(quoted, shape.columns))
        order = ", ".join(
            quoted(column) + (' collate "C"' if shape.columns[column] is str else "") for column in shape.key
        )
        where = only.where(lambda column, operator, _: f"{quoted(column)} {operator} %s")
        values_of = [value for _, _, value in only.terms()]
        if where and only.column in shape.times.values():
            extra, bounds = _by_time(shape, only)
            where, values_of = where + extra, [*values_of, *bounds]
        sql = f"select {columns} from {layout.name(table)}{where} order by {order}"
        with conn.cursor(name="dump") as cursor:
            cursor.itersize = BATCH_ROWS
            cursor.execute(sql, values_of or None)
            for values in cursor:
                row: dict[str, Any] = dict(zip(shape.columns, values, strict=True))
                for name in shape.times:
                    row[name] = _text(row[name])
                yield table, row


def _by_time(shape: TableShape, only: Selection) -> tuple[str, list[str | int]]:
    """Return the span also as that of a time, by which hypertables and indexes find rows, and its values."""
    [name] = (time for time, at_ns in shape.times.items() if at_ns == only.column)
    clause, values = "", list[str | int]()
    for operator, bound_ns in ((">=", only.begin_ns), ("<=", only.end_ns)):
        if bound_ns is not None:
            clause += f" and {quoted(name)} {operator} %s::timestamptz"
            values.append(f"{iso_text(bound_ns)[:MICROSECONDS]}Z")
    return clause, values


def _text(moment: datetime | None) -> str | None:
    """Return a time with the digits that the database holds."""
    return None if moment is None else moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
