"""The store in SQLite: rows and cursor in one transaction, on one connection.

Owns the database file. Promises, in addition to those of every store:

- One connection writes and checkpoints: a lock on `<name>.lock` beside the database keeps every other
  writer out, of this process or another. Readers (Datasette, pandas) are not limited: WAL mode.
- Every error of the database is raised as `StoreUnavailable`. Nothing of the batch is kept then, and the
  next transaction opens the database again.

A batch reads the state of earlier ones from the database, so a restart continues where it stopped.
Registered as "sqlite" (`kinds.py`); used by `engine project` and `engine backfill` directly.
"""

from __future__ import annotations

import os
import sqlite3
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from importlib.abc import MetaPathFinder
from pathlib import Path
from threading import get_ident
from typing import TYPE_CHECKING, Final

import msgspec

from engine.stores.errors import StoreForeign, StoreOutdated, StoreOutOfStep, StoreUnavailable, unreachable
from engine.stores.kinds import StoreKind
from engine.stores.lock import WriterLock
from engine.stores.rows.shapes import TableShape
from engine.stores.rows.tables import SCHEMA_VERSION, TABLES
from engine.stores.rows.units import as_float, as_text
from engine.stores.rows.views import VIEWS
from engine.stores.sqlite.copying import copy_into, holds_rows, put_in_place, remove
from engine.stores.sqlite.reading import (
    BUSY_SECONDS,
    SqliteSnapshot,
    queried,
    quoted,
    read_cursor,
    snapshot_of,
    unavailable,
    witness,
)
from engine.stores.store import Cursor, Number, Row, Rows, Store

if TYPE_CHECKING:
    import sqlite_utils

__all__ = ["SQLITE", "SqliteSettings", "SqliteStore"]

_WAL_BYTES_MAX: Final = 64 * 1024 * 1024  # what is kept of the -wal file after a checkpoint


class SqliteStore:
    """Rows of one journal in one SQLite database. `with_trades` fills the table of public trades, which is
    large.

    `scratch` is for a database that is discarded after any error: no WAL, no syncs. With `exact` numbers are
    decimal text, for comparisons.
    """

    kind = "sqlite"
    remedy = "rebuild it with `engine project DAY`"

    def __init__(
        self,
        path: str | Path,
        *,
        with_trades: bool = False,
        busy_s: float = BUSY_SECONDS,
        scratch: bool = False,
        exact: bool = False,
    ) -> None:
        self.path = Path(path)
        self.place = str(path)
        self.with_trades = with_trades
        self.tables = frozenset(TABLES) - (frozenset() if with_trades else {"trades"})
        self._busy_s = busy_s
        self._scratch = scratch
        self._exact = exact
        self.number: Number = as_text if exact else as_float
        self._had_rows = False
        self._moved = False  # whether this transaction has moved the cursor
        self._db: sqlite_utils.Database | None = None
        self._lock: WriterLock | None = None
        self._inode: tuple[int, int] | None = None

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """See `Store`. Takes the write lock at once, so that no later step can fail to get it."""
        try:
            db = self._ready()
            self._moved = False
            with _transaction(db):
                yield
            self._had_rows |= self._moved
        except sqlite3.Error as error:
            if _is_of_the_file(error):
                raise unavailable(self.path, error) from error
            raise

    def cursor(self) -> Cursor | None:
        """See `Store`."""
        conn = self._conn()
        cursor = read_cursor(conn)
        if cursor is None:
            if self._had_rows:
                raise self._deleted()
            return None
        with_trades = bool(conn.execute("select with_trades from cursor").fetchone()[0])
        if with_trades != self.with_trades:
            raise self._out_of_step(f"its rows were made {'with' if with_trades else 'without'} trades")
        self._had_rows = True
        return cursor

    def instruments(self) -> Iterable[Row]:
        """See `Store`."""
        names = list(TABLES["instruments"].columns)
        return [
            dict(zip(names, row, strict=True)) for row in self._conn().execute("select * from instruments")
        ]

    def row(self, table: str, key: str) -> Row | None:
        """See `RowSource`."""
        found = self._conn().execute(_SELECTS[table], (key,)).fetchone()
        return None if found is None else dict(zip(TABLES[table].columns, found, strict=True))

    def trade_ids(self, client_order_id: str) -> dict[str, int]:
        """See `RowSource`."""
        sql = (
            "select trade_id, min(seq) from fills where client_order_id = ? and trade_id is not null"
            " group by trade_id"
        )
        return dict(self._conn().execute(sql, (client_order_id,)).fetchall())

    def write(self, rows: Rows, cursor: Cursor | None) -> None:
        """See `Store`."""
        assert self._db is not None, "called in a transaction"
        for table, appended in rows.appended.items():
            self._db.conn.executemany(_INSERTS[table], appended)
        for table, changed in rows.changed.items():
            self._db.table(table).upsert_all(changed.values(), pk=TABLES[table].pk)
        if cursor is not None:
            self._write_cursor(cursor)

    def witness(self) -> Cursor | None:
        """See `Store`."""
        return witness(self.path)

    def rebuild(self, fill: Callable[[Store], int]) -> int:
        """See `Store`. Readers see the old rows or the new ones, never a mix; see `copying.py`."""
        self.close()
        lock = WriterLock(self.path)
        scratch = self.path.with_name(f".{self.path.name}.rebuilding")
        try:
            healthy = holds_rows(self.path)
            remove(scratch)
            store = SqliteStore(scratch, with_trades=self.with_trades, scratch=True, exact=self._exact)
            with closing(store):
                with store.transaction():
                    pass  # creates the tables, even for a journal without records
                reached = fill(store)
            with scratch.open("rb") as file:
                os.fsync(file.fileno())
            if not (healthy and copy_into(scratch, self.path)):
                put_in_place(scratch, self.path)
        except OSError as error:
            raise unreachable(self.path, error) from error
        finally:
            remove(scratch)
            lock.release()
        return reached

    @contextmanager
    def snapshot(self) -> Iterator[SqliteSnapshot]:
        """See `engine.stores.checking.Checkable`."""
        with snapshot_of(self.path) as found:
            yield found

    def query(self, sql: str) -> tuple[list[str], Iterator[tuple[object, ...]]]:
        """Return the columns and the rows of a query; it cannot change anything. Raises UsageError."""
        return queried(self.path, sql)

    def close(self) -> None:
        """See `Store`. Checkpoints."""
        db, lock = self._db, self._lock
        self._db = self._lock = None
        try:
            if db is not None:
                db.close()
        except sqlite3.Error as error:
            raise unavailable(self.path, error) from error
        finally:
            if lock is not None:
                lock.release()

    def _write_cursor(self, cursor: Cursor) -> None:
        assert self._db is not None, "called in a transaction"
        row = {
            "id": 1,
            "journal_id": cursor.journal_id.hex(),
            "seq": cursor.seq,
            "digest": cursor.digest.hex(),
            "with_trades": self.with_trades,
            "epoch": cursor.epoch,
        }
        self._db.table("cursor").upsert(row, pk="id")
        self._moved = True

    # The database.

    def _conn(self) -> sqlite3.Connection:
        assert self._db is not None, "called in a transaction"
        return self._db.conn

    def _ready(self) -> sqlite_utils.Database:
        """Return the open database, after checking that its file is still there and still the same."""
        if self._db is not None and _inode(self.path) != self._inode:
            self.close()
        if self._db is None:
            self._open()
        assert self._db is not None
        return self._db

    def _open(self) -> None:
        if self._had_rows and _inode(self.path) is None:
            raise self._deleted()
        self._lock = WriterLock(self.path)
        try:
            self._db = self._connect()
            self._make_tables(self._db)
            self._inode = _inode(self.path)
        except BaseException:
            self.close()
            raise

    def _connect(self) -> sqlite_utils.Database:
        with _without_numpy():
            import sqlite_utils  # only here: it takes 0.1 s to import, and most commands write no database

        conn = sqlite3.connect(self.path, timeout=self._busy_s, check_same_thread=False)
        db = sqlite_utils.Database(conn, execute_plugins=False)
        try:
            if self._scratch:
                conn.execute("PRAGMA journal_mode = MEMORY")
                conn.execute("PRAGMA synchronous = OFF")
            else:
                db.enable_wal()
                conn.execute("PRAGMA synchronous = NORMAL")
                conn.execute(f"PRAGMA journal_size_limit = {_WAL_BYTES_MAX}")
        except BaseException:
            conn.close()
            raise
        return db

    def _make_tables(self, db: sqlite_utils.Database) -> None:
        """Create the tables of an empty database. Raises StoreForeign when it has other tables."""
        with _transaction(db):
            version = db.conn.execute("PRAGMA user_version").fetchone()[0]
            names = db.table_names()
            if names:
                if "cursor" not in names:
                    raise StoreForeign(
                        f"{self.path}: holds other data, not rows of this engine; give another path"
                    )
                if version != SCHEMA_VERSION:
                    kind = StoreOutdated if version < SCHEMA_VERSION else StoreOutOfStep
                    what = f"its tables are of version {version}, not {SCHEMA_VERSION}"
                    raise kind(f"{self.path}: {what}; {self.remedy}")
                return
            for name, shape in TABLES.items():
                table = db.create_table(name, _columns(shape, exact=self._exact), pk=shape.pk)
                for columns in shape.indexes:
                    table.create_index(columns)
            for name, sql in VIEWS.items():
                db.create_view(name, sql.format(day="substr(at, 1, 10)").strip())
            db.conn.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")

    def _deleted(self) -> StoreUnavailable:
        return StoreUnavailable(f"{self.path}: the database was deleted; {self.remedy}", reason="deleted")

    def _out_of_step(self, what: str) -> StoreOutOfStep:
        return StoreOutOfStep(f"{self.path}: {what}; {self.remedy}")


def _columns(shape: TableShape, *, exact: bool) -> dict[str, type]:
    """Return the types of columns. One for text leaves decimal text as it is."""
    decimals = {name for name, kind in shape.columns.items() if kind is float} - set(shape.quotients)
    return {name: str if exact and name in decimals else kind for name, kind in shape.columns.items()}


class _NoNumpy(MetaPathFinder):
    """Refuses the import of numpy in the thread that made it."""

    def __init__(self) -> None:
        self._thread = get_ident()

    def find_spec(self, fullname: str, *_: object) -> None:
        """See `MetaPathFinder`."""
        if fullname == "numpy" and get_ident() == self._thread:
            raise ModuleNotFoundError("not needed here", name=fullname)


@contextmanager
def _without_numpy() -> Iterator[None]:
    """Let sqlite_utils do without the types of numpy: no row has any, and numpy takes as long again."""
    refused = _NoNumpy()
    sys.meta_path.insert(0, refused)
    try:
        yield
    finally:
        sys.meta_path.remove(refused)


@contextmanager
def _transaction(db: sqlite_utils.Database) -> Iterator[None]:
    db.conn.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.conn.execute("COMMIT")
    except BaseException:
        db.rollback()
        raise


def _is_of_the_file(error: Exception) -> bool:
    """Return whether an error comes from the file, not from a value that was written."""
    return type(error) in (sqlite3.OperationalError, sqlite3.DatabaseError, sqlite3.InternalError)


def _inode(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _insert(table: str) -> str:
    shape = TABLES[table]
    columns = ", ".join(quoted(column) for column in shape.columns)
    marks = ", ".join("?" for _ in shape.columns)
    sql = f"insert into {quoted(table)} ({columns}) values ({marks})"
    if not shape.newest:
        return sql
    key = ", ".join(shape.key)
    updates = ", ".join(
        f"{quoted(column)} = excluded.{quoted(column)}" for column in shape.columns if column not in shape.key
    )
    newest = quoted(shape.newest)
    where = f"excluded.{newest} >= {quoted(table)}.{newest}"
    return f"{sql} on conflict ({key}) do update set {updates} where {where}"


def _select(table: str) -> str:
    where = " and ".join(f"{quoted(column)} = ?" for column in TABLES[table].key)
    return f"select * from {quoted(table)} where {where}"


_INSERTS: Final = {table: _insert(table) for table in TABLES}
_SELECTS: Final = {table: _select(table) for table in TABLES}


class SqliteSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The keys of an SQLite store. `path` is the file (default: retape.db in the journal's folder).

    `trades`: a row for every public trade too. docs/configuration.md lists the keys of every kind.
    """

    path: str = ""
    trades: bool = False


def _from_settings(settings: SqliteSettings, root: Path) -> SqliteStore:
    return SqliteStore(settings.path or root / "retape.db", with_trades=settings.trades)


SQLITE: Final = StoreKind(SqliteSettings, _from_settings)
