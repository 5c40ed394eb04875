"""The state of a Parquet store: cursor, lists of parts, places of rows, rows that wait for a file.

Owns `.state.db` in the folder, an SQLite database. Its commit is the moment a batch counts: the files are
synced before. A file that is ahead of it was written before a crash; the same rows come again. Called by
`store.py`.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from engine.stores.store import Cursor, Row

__all__ = ["Place", "State", "read_cursor"]

_TABLES: Final = """
    create table meta (version integer, made_with text, replacing integer);
    create table cursor (id integer primary key, journal_id text, seq integer, digest text, epoch integer);
    create table parts (name text, day text, part integer, rows integer, primary key (name, day, part));
    create table waiting (id integer primary key, name text, key text, row text);
    create unique index waiting_key on waiting (name, key) where key is not null;
    create table places (
        name text, key text, day text, part integer, at integer, revision integer, primary key (name, key)
    ) without rowid;
    create table kept (name text, key text, row text, primary key (name, key)) without rowid;
    create table trade_ids (
        client_order_id text, trade_id text, seq integer, primary key (client_order_id, trade_id)
    ) without rowid;
"""
_VERSION: Final = 1


class Place(msgspec.Struct, frozen=True):
    """Where the row of a key is, in a part file."""

    day: str
    part: int
    at: int
    revision: int


class State:
    """The open database. Every change is in the transaction of the batch."""

    def __init__(self, path: Path, busy_s: float) -> None:
        self._conn = sqlite3.connect(path, timeout=busy_s, check_same_thread=False, isolation_level=None)
        try:
            self._conn.execute("pragma journal_mode = wal")
            self._conn.execute("pragma synchronous = full")
        except BaseException:
            self._conn.close()
            raise

    # The whole.

    def begin(self) -> None:
        """Begin a transaction."""
        self._conn.execute("begin immediate")

    def commit(self) -> None:
        """Keep what was changed since `begin`, durably."""
        self._conn.execute("commit")

    def rollback(self) -> None:
        """Undo what was changed since `begin`."""
        if self._conn.in_transaction:
            self._conn.execute("rollback")

    def close(self) -> None:
        """Close the database."""
        self._conn.close()

    def is_new(self) -> bool:
        """Return whether the database has no tables yet."""
        return not self._conn.execute("select count(*) from sqlite_master").fetchone()[0]

    def create(self, made_with: str) -> None:
        """Create the tables. `made_with` describes the columns of the files."""
        self._conn.executescript(f"begin; {_TABLES}")
        self._conn.execute("insert into meta values (?, ?, 0)", (_VERSION, made_with))
        self._conn.execute("commit")

    def made_with(self) -> str | None:
        """Return what the files were made with; None after another version, or a rebuild that was cut off."""
        version, made_with, replacing = self._conn.execute("select * from meta").fetchone()
        return None if version != _VERSION or replacing else str(made_with)

    def start_replacing(self) -> None:
        """Note that from now on the files are not those of the state."""
        self._conn.execute("update meta set replacing = 1")

    # The cursor, and rows that later ones depend on.

    def cursor(self) -> Cursor | None:
        """Return the cursor."""
        return _cursor_of(self._conn)

    def move_cursor(self, cursor: Cursor) -> None:
        """Set the cursor."""
        self._conn.execute(
            "insert or replace into cursor values (1, ?, ?, ?, ?)",
            (cursor.journal_id.hex(), cursor.seq, cursor.digest.hex(), cursor.epoch),
        )

    def kept(self, name: str, key: str) -> Row | None:
        """Return a copy of a row that later ones depend on."""
        found = self._conn.execute("select row from kept where name = ? and key = ?", (name, key)).fetchone()
        return None if found is None else json.loads(found[0])

    def all_kept(self, name: str) -> list[Row]:
        """Return all such rows of a table."""
        found = self._conn.execute("select row from kept where name = ?", (name,))
        return [json.loads(row) for (row,) in found]

    def keep(self, name: str, rows: dict[object, Row]) -> None:
        """Keep rows, by key."""
        self._conn.executemany(
            "insert or replace into kept values (?, ?, ?)",
            [(name, str(key), json.dumps(row)) for key, row in rows.items()],
        )

    def trade_ids(self, client_order_id: str) -> dict[str, int]:
        """Return the trade ids of an order's fills, each with the seq of its first row."""
        sql = "select trade_id, seq from trade_ids where client_order_id = ?"
        return dict(self._conn.execute(sql, (client_order_id,)).fetchall())

    def keep_trade_ids(self, fills: Iterable[tuple[object, object, object]]) -> None:
        """Keep (client order id, trade id, seq) of fills; the first seq of an id counts."""
        self._conn.executemany("insert or ignore into trade_ids values (?, ?, ?)", fills)

    # Rows that wait for a file.

    def wait(self, name: str, keyed: Iterable[tuple[str | None, Sequence[object]]]) -> None:
        """Add rows that wait; of two with one key the later one is left."""
        self._conn.executemany(
            "insert or replace into waiting (name, key, row) values (?, ?, ?)",
            [(name, key, json.dumps(row)) for key, row in keyed],
        )

    def waiting_rows(self) -> int:
        """Return how many rows wait."""
        return int(self._conn.execute("select count(*) from waiting").fetchone()[0])

    def waiting(self, name: str) -> Iterator[tuple[str | None, list[Any]]]:
        """Return the rows of a table that wait, in order."""
        found = self._conn.execute("select key, row from waiting where name = ? order by id", (name,))
        return ((key, json.loads(row)) for key, row in found.fetchall())

    def waiting_names(self) -> set[str]:
        """Return the tables of which rows wait."""
        return {name for (name,) in self._conn.execute("select distinct name from waiting")}

    def waiting_row(self, name: str, key: str) -> list[Any] | None:
        """Return the row of a key that waits."""
        found = self._conn.execute(
            "select row from waiting where name = ? and key = ?", (name, key)
        ).fetchone()
        return None if found is None else json.loads(found[0])

    def no_more_waiting(self) -> None:
        """Remove the rows that wait: they are in files."""
        self._conn.execute("delete from waiting")

    # Parts and the places of rows in them.

    def last_part(self, name: str, day: str) -> tuple[int, int]:
        """Return number and rows of the last part of a day; (0, 0) without one."""
        sql = "select part, rows from parts where name = ? and day = ? order by part desc limit 1"
        found = self._conn.execute(sql, (name, day)).fetchone()
        return (0, 0) if found is None else (found[0], found[1])

    def rows_of(self, name: str, day: str, part: int) -> int:
        """Return the number of rows of a part."""
        sql = "select rows from parts where name = ? and day = ? and part = ?"
        return int(self._conn.execute(sql, (name, day, part)).fetchone()[0])

    def set_part(self, name: str, day: str, part: int, rows: int) -> None:
        """Set the number of rows of a part."""
        self._conn.execute("insert or replace into parts values (?, ?, ?, ?)", (name, day, part, rows))

    def parts(self) -> list[tuple[str, str, int, int]]:
        """Return (table, day, part, rows) of every part, in order."""
        return self._conn.execute("select * from parts order by name, day, part").fetchall()

    def place(self, name: str, key: str) -> Place | None:
        """Return where the row of a key is."""
        sql = "select day, part, at, revision from places where name = ? and key = ?"
        found = self._conn.execute(sql, (name, key)).fetchone()
        return None if found is None else Place(*found)

    def set_places(self, name: str, places: dict[str, Place]) -> None:
        """Set where the rows of keys are."""
        self._conn.executemany(
            "insert or replace into places values (?, ?, ?, ?, ?, ?)",
            [(name, key, one.day, one.part, one.at, one.revision) for key, one in places.items()],
        )


def read_cursor(path: Path, busy_s: float) -> Cursor | None:
    """Return the cursor of a state that may have a writer; None when there is none yet."""
    if not path.exists():
        return None
    conn = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=busy_s)
    try:
        if not conn.execute("select count(*) from sqlite_master").fetchone()[0]:
            return None
        return None if conn.execute("select replacing from meta").fetchone()[0] else _cursor_of(conn)
    finally:
        conn.close()


def _cursor_of(conn: sqlite3.Connection) -> Cursor | None:
    found = conn.execute("select journal_id, seq, digest, epoch from cursor").fetchone()
    if found is None:
        return None
    return Cursor(bytes.fromhex(found[0]), found[1], bytes.fromhex(found[2]), found[3])
