"""Reads a store's database: its cursor and its rows. Translates SQLite's errors.

Owns read-only connections, which neither write nor checkpoint (only `store.py` writes), and the conversion
of errors of the database or its file to StoreUnavailable. Called by `store.py`, by `copying.py`,
before the journal is recovered (`witness`) and by `engine project --check` (`dump_rows`).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from itertools import zip_longest
from pathlib import Path
from typing import Final

from engine.errors import UsageError
from engine.stores.errors import Reason, StoreUnavailable, first_line
from engine.stores.rows.tables import TABLES
from engine.stores.store import Cursor, Row

__all__ = [
    "BUSY_SECONDS",
    "connect_readonly",
    "dump_rows",
    "first_difference",
    "queried",
    "quoted",
    "read_cursor",
    "unavailable",
    "witness",
]

BUSY_SECONDS: Final = 5.0
"""How long a write waits for another process's lock on the database before it fails as locked."""

_REASONS: Final[dict[int, Reason]] = {
    sqlite3.SQLITE_BUSY: "locked",
    sqlite3.SQLITE_LOCKED: "locked",
    sqlite3.SQLITE_FULL: "full",
    sqlite3.SQLITE_CORRUPT: "corrupt",
    sqlite3.SQLITE_NOTADB: "corrupt",
    sqlite3.SQLITE_ERROR: "corrupt",  # a table or a column of ours is missing
}
_ADVICE: Final[dict[Reason, str]] = {
    "locked": "another program is writing to it; the next attempt follows",
    "full": "the disk is full; the next attempt follows",
    "corrupt": "rebuild it with `engine project DAY`",
    "deleted": "rebuild it with `engine project DAY`",
    "unreachable": "the next attempt follows",
}


def witness(path: str | Path) -> Cursor | None:
    """Return the cursor of a database, or None when there is no file or it is still empty.

    Reads only, and may be called while another process writes. Raises StoreUnavailable when the file
    cannot be read, or is not a store of ours.
    """
    path = Path(path)
    if not path.exists() or not path.stat().st_size:
        return None
    try:
        with closing(connect_readonly(path)) as conn:
            return read_cursor(conn)
    except sqlite3.Error as error:
        raise unavailable(path, error) from error


def dump_rows(
    path: str | Path, tables: Iterable[str] = tuple(TABLES)
) -> Generator[tuple[str, Row], None, None]:
    """Yield (table, row) of every row, table by table, each by its primary key: equal rows, equal dumps.

    Exact numbers that are texts are ordered as numbers.

    Reads one consistent state. Raises StoreUnavailable.
    """
    path = Path(path)
    try:
        with closing(connect_readonly(path)) as conn:
            conn.execute("BEGIN")
            for table in tables:
                shape = TABLES[table]
                key = ", ".join(
                    f"cast({quoted(one)} as real)" if shape.columns[one] is float else quoted(one)
                    for one in shape.key
                )
                for row in conn.execute(f"select * from {quoted(table)} order by {key}"):
                    yield table, dict(zip(shape.columns, row, strict=True))
    except sqlite3.Error as error:
        raise unavailable(path, error) from error


def first_difference(one: str | Path, other: str | Path) -> str | None:
    """Describe the first row in which two databases differ; None when they are equal."""
    with closing(dump_rows(one)) as left, closing(dump_rows(other)) as right:
        for mine, theirs in zip_longest(left, right):
            if mine == theirs:
                continue
            if mine is None or theirs is None or mine[0] != theirs[0]:
                return f"only one of them has the row {mine or theirs}"
            differing = {
                name: (value, theirs[1][name]) for name, value in mine[1].items() if value != theirs[1][name]
            }
            return f"a row of {mine[0]} differs in {differing}"
    return None


def queried(path: Path, sql: str) -> tuple[list[str], Iterator[tuple[object, ...]]]:
    """Return the columns and the rows of a query on a database that must exist; it cannot change anything."""
    try:
        found = connect_readonly(path).execute(sql)
    except sqlite3.Error as error:
        raise UsageError(f"{path}: {first_line(error)}") from None
    return [column[0] for column in found.description or ()], iter(found)


def connect_readonly(path: Path) -> sqlite3.Connection:
    """Open a database that must exist, for reading only: it can neither write nor checkpoint."""
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=BUSY_SECONDS)


def read_cursor(conn: sqlite3.Connection) -> Cursor | None:
    """Return the cursor of an open database, or None when no batch was applied yet."""
    found = conn.execute("select * from cursor")
    row = found.fetchone()
    if row is None:
        return None
    named = dict(zip((column[0] for column in found.description), row, strict=True))
    digest = bytes.fromhex(named["digest"])
    return Cursor(bytes.fromhex(named["journal_id"]), named["seq"], digest, named.get("epoch", 0))


def unavailable(path: Path, error: Exception) -> StoreUnavailable:
    """Return the error for an error of the database or the file system."""
    code = getattr(error, "sqlite_errorcode", None)
    reason: Reason = "unreachable"
    if code is not None:
        reason = _REASONS.get(code & 0xFF, "unreachable")
    return StoreUnavailable(
        f"{path}: the database is {reason} ({first_line(error)}); {_ADVICE[reason]}", reason=reason
    )


def quoted(name: str) -> str:
    return f'"{name}"'
