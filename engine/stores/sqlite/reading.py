"""Reads a store's database: its cursor and its rows. Translates SQLite's errors.

Owns read-only connections, which neither write nor checkpoint (only `store.py` writes), and the conversion
of errors of the database or its file to StoreUnavailable. Called by `store.py`, by `copying.py`,
before the journal is recovered (`witness`) and by `engine project --check` (`dump_rows`).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing, contextmanager
from itertools import zip_longest
from pathlib import Path
from typing import Final

from engine.errors import UsageError
from engine.stores.errors import Reason, StoreOutOfStep, StoreUnavailable, first_line
from engine.stores.rows.tables import SCHEMA_VERSION, TABLES
from engine.stores.selecting import EVERYTHING, Selection
from engine.stores.store import Cursor, Row

__all__ = [
    "BUSY_SECONDS",
    "SqliteSnapshot",
    "connect_readonly",
    "dump_rows",
    "first_difference",
    "queried",
    "quoted",
    "read_cursor",
    "snapshot_of",
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
                for row in _rows(conn, table, EVERYTHING):
                    yield table, row
    except sqlite3.Error as error:
        raise unavailable(path, error) from error


class SqliteSnapshot:
    """The state of a database at one moment (`engine.stores.checking.Snapshot`)."""

    ahead = False

    def __init__(self, conn: sqlite3.Connection, cursor: Cursor | None, tables: frozenset[str]) -> None:
        self.cursor = cursor
        self.tables = tables
        self._conn = conn

    def rows(self, table: str, only: Selection = EVERYTHING) -> Iterator[Row]:
        """See `Snapshot`."""
        return _rows(self._conn, table, only)

    def held(self, table: str, rows: Iterator[Row]) -> Iterator[Row]:
        """See `Snapshot`."""
        return rows


@contextmanager
def snapshot_of(path: Path) -> Iterator[SqliteSnapshot]:
    """Read one state of a database, beside a writer. Raises StoreUnavailable, StoreOutOfStep."""
    try:
        with closing(connect_readonly(path)) as conn:
            conn.execute("BEGIN")
            version = conn.execute("PRAGMA user_version").fetchone()[0]
            if version != SCHEMA_VERSION:
                raise StoreOutOfStep(
                    f"{path}: its tables are of version {version}, not {SCHEMA_VERSION}; "
                    "rebuild it with `engine project DAY`"
                )
            found = conn.execute("select with_trades from cursor").fetchone()
            without = set() if found is not None and found[0] else {"trades"}
            yield SqliteSnapshot(conn, read_cursor(conn), frozenset(TABLES) - without)
    except sqlite3.Error as error:
        raise unavailable(path, error) from error


def _rows(conn: sqlite3.Connection, table: str, only: Selection) -> Iterator[Row]:
    shape = TABLES[table]
    key = ", ".join(
        f"cast({quoted(one)} as real)" if shape.columns[one] is float else quoted(one) for one in shape.key
    )
    where = only.where(lambda column, operator, _: f"{quoted(column)} {operator} ?")
    sql = f"select * from {quoted(table)}{where} order by {key}"
    for row in conn.execute(sql, [value for _, _, value in only.terms()]):
        yield dict(zip(shape.columns, row, strict=True))


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
