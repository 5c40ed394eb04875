"""The projection in SQLite: rows and cursor, one transaction, one connection.

Owns the database file. Promises:

- The cursor (journal id, seq, digest) is written in the transaction of the rows it stands for, so after any
  crash the rows are those of the records up to the cursor, and a record applied twice changes nothing.
- One connection writes and checkpoints: a lock on `<name>.lock` beside the database keeps every other
  writer out, of this process or another. Readers (Datasette, pandas) are free to come and go: WAL mode.
- Whatever happens to the database is one declared error, `StoreUnavailable`. Nothing of the batch was
  kept, and the next call opens the database anew.

The state a batch needs of earlier ones is in the database itself, so a restart goes on where it stopped.
Called by the runtime's projector (in a worker thread, one call at a time) and by `from_journal.py`.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Final

import sqlite_utils

from engine.events import Event
from engine.events.codec import Record
from engine.stores.errors import RowFailed, StoreOutOfStep, StoreUnavailable
from engine.stores.rows.builder import Row, RowBuilder
from engine.stores.rows.tables import SCHEMA_VERSION, TABLES, VIEWS
from engine.stores.rows.units import Listing
from engine.stores.sqlite.reading import (
    BUSY_SECONDS,
    CursorRow,
    first_line,
    quoted,
    read_cursor,
    unavailable,
)

__all__ = ["SqliteStore", "WriterLock"]

_WAL_BYTES_MAX: Final = 64 * 1024 * 1024  # what is kept of the -wal file after a checkpoint
_REBUILD: Final = "rebuild it with `engine project DAY`"


class WriterLock:
    """The right to write a database: a kernel lock on `<name>.lock`, gone when the process is.

    Raises StoreUnavailable ("locked") when it is held, by this process or another.
    """

    def __init__(self, path: Path) -> None:
        name = path.with_name(path.name + ".lock")
        try:
            self._fd = os.open(name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise unavailable(path, error) from error
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._fd)
            raise StoreUnavailable(
                f"{path}: the projection already has a writer; stop that one first", reason="locked"
            ) from error

    def release(self) -> None:
        """Give the lock back; a second call does nothing."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class SqliteStore:
    """Rows of one journal in one SQLite database.

    `journal_id` is the id of the journal (16 bytes). `with_trades` fills the table of public trades, which is
    large. Opening makes the tables, or raises StoreUnavailable, or
    StoreOutOfStep when the rows are another journal's or of another shape.

    `scratch` is for a database that is thrown away when anything goes wrong: no WAL, no syncs.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        journal_id: bytes,
        with_trades: bool = False,
        busy_s: float = BUSY_SECONDS,
        scratch: bool = False,
    ) -> None:
        self.path = Path(path)
        self.journal_id = journal_id
        self.with_trades = with_trades
        self._busy_s = busy_s
        self._scratch = scratch
        self._instruments: dict[int, Listing] = {}
        self._cursor: CursorRow | None = None
        self._had_rows = False
        self._db: sqlite_utils.Database | None = None
        self._lock: WriterLock | None = None
        self._inode: tuple[int, int] | None = None
        self._open()

    @property
    def seq(self) -> int:
        """Seq of the last record whose rows are kept; 0 when there is none."""
        return self._cursor.seq if self._cursor else 0

    @property
    def digest(self) -> bytes:
        """Chain digest of the journal at `seq`; empty when there is none."""
        return self._cursor.digest if self._cursor else b""

    def apply(self, records: Iterable[Record], *, seq: int, digest: bytes) -> int:
        """Add the rows of whole frames and move the cursor to `seq`, in one transaction.

        `records` are all records of the frames by rising seq, `seq` is that of the last one, `digest` the
        chain digest there. Records up to the cursor are passed over. Returns how many were new.

        Raises StoreUnavailable (nothing was kept; see its `reason`), StoreOutOfStep when records
        are missing between the cursor and these or the journal is not the one the rows come from, and
        RowFailed, which names the record no row can be made of.
        """
        batch = records if isinstance(records, list) else list(records)
        try:
            return self._apply(batch, CursorRow(self.journal_id, seq, digest))
        except sqlite3.Error as error:
            self._shut()
            raise unavailable(self.path, error) from error
        except BaseException:
            self._shut()
            raise

    def close(self) -> None:
        """Checkpoint and close; a second call does nothing. A later `apply` opens the database again."""
        try:
            self._shut()
        except sqlite3.Error as error:
            raise unavailable(self.path, error) from error

    def __enter__(self) -> SqliteStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # One batch.

    def _apply(self, batch: list[Record], after: CursorRow) -> int:
        db = self._ready()
        fault: Exception | None = None
        new: list[Record] = []
        try:
            with _transaction(db):
                self._reload(db)
                new = self._new_records(batch, after)
                if new:
                    self._write(db, new, self._instruments)
                    self._write_cursor(db, after)
        except Exception as error:
            if not new or _is_of_the_file(error):
                raise
            fault = error
        if fault is not None:
            raise self._blame(db, new, fault) from fault
        if new:
            self._cursor = after
            self._had_rows = True
        return len(new)

    def _new_records(self, batch: list[Record], after: CursorRow) -> list[Record]:
        """Return the records beyond the cursor, which must follow it without a hole up to `after`."""
        cursor = self._cursor
        if cursor is None:
            if self._had_rows:
                raise self._deleted()
            first = batch[0][0] if batch else 1
        else:
            if after.seq == cursor.seq and after.digest != cursor.digest:
                raise self._out_of_step(f"its rows end at seq {cursor.seq} of another state of the journal")
            if after.seq <= cursor.seq:
                return []
            first = cursor.seq + 1
        new = [record for record in batch if record[0] >= first]
        for expected, record in enumerate(new, first):
            if record[0] != expected:
                raise self._out_of_step(
                    f"seq {expected} to {record[0] - 1} are missing from what it was given"
                )
        if first + len(new) - 1 != after.seq:
            raise self._out_of_step(
                f"seq {first + len(new)} to {after.seq} are missing from what it was given"
            )
        return new

    def _write(self, db: sqlite_utils.Database, records: list[Record], known: dict[int, Listing]) -> None:
        builder = RowBuilder(known, _Memory(db), with_trades=self.with_trades)
        for seq, cause, event in records:
            builder.add(seq, cause, event)
        for table, rows in builder.appended.items():
            if rows:
                db.conn.executemany(_INSERTS[table], rows)
        for table, changed in builder.changed.items():
            if changed:
                db.table(table).upsert_all(changed.values(), pk=TABLES[table].pk)

    def _write_cursor(self, db: sqlite_utils.Database, after: CursorRow) -> None:
        row = {
            "id": 1,
            "journal_id": after.journal_id.hex(),
            "seq": after.seq,
            "digest": after.digest.hex(),
            "with_trades": self.with_trades,
        }
        db.table("cursor").upsert(row, pk="id")

    def _blame(self, db: sqlite_utils.Database, records: list[Record], fault: Exception) -> RowFailed:
        """Find the record that no row can be made of, one record at a time; what is tried is undone."""
        known = _read_instruments(db.conn)
        culprit: tuple[int, Event] = (records[0][0], records[0][2])
        db.conn.execute("BEGIN IMMEDIATE")
        try:
            for record in records:
                culprit = (record[0], record[2])
                try:
                    self._write(db, [record], known)
                except Exception as error:
                    if _is_of_the_file(error):
                        raise
                    fault = error
                    break
        finally:
            db.rollback()
        seq, event = culprit
        name = type(event).__name__
        return RowFailed(
            f"{self.path}: the {name} at seq {seq} cannot be made into a row: {first_line(fault)}; "
            "the projection stops before it",
            seq=seq,
            event_type=name,
        )

    # The database.

    def _ready(self) -> sqlite_utils.Database:
        """Return the open database, after a look whether its file is still there and still this one."""
        if self._db is not None and _inode(self.path) != self._inode:
            self._shut()
        if self._db is None:
            self._open()
        assert self._db is not None
        return self._db

    def _open(self) -> None:
        if self._had_rows and _inode(self.path) is None:
            raise self._deleted()
        self._lock = WriterLock(self.path)
        try:
            self._db = db = self._connect()
            self._make_tables(db)
            self._inode = _inode(self.path)
            self._reload(db, opening=True)
        except sqlite3.Error as error:
            self._shut()
            raise unavailable(self.path, error) from error
        except BaseException:
            self._shut()
            raise

    def _connect(self) -> sqlite_utils.Database:
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
        """Make the tables of an empty database. Raises StoreOutOfStep when it holds something else."""
        with _transaction(db):
            version = db.conn.execute("PRAGMA user_version").fetchone()[0]
            names = db.table_names()
            if names:
                if "cursor" not in names:
                    raise StoreOutOfStep(
                        f"{self.path}: this database is not a projection; give the rows a path of their own"
                    )
                if version != SCHEMA_VERSION:
                    raise self._out_of_step(f"its tables are of version {version}, not {SCHEMA_VERSION}")
                return
            for name, shape in TABLES.items():
                table = db.create_table(name, shape.columns, pk=shape.pk)
                for columns in shape.indexes:
                    table.create_index(columns)
            for name, sql in VIEWS.items():
                db.create_view(name, sql.strip())
            db.conn.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")

    def _reload(self, db: sqlite_utils.Database, *, opening: bool = False) -> None:
        """Read the cursor, and what goes with it when it is not where this object left it."""
        cursor = read_cursor(db.conn)
        if cursor == self._cursor and not opening:
            return
        if cursor is not None:
            if cursor.journal_id != self.journal_id:
                raise self._out_of_step(f"its rows come from journal {cursor.journal_id.hex()}")
            with_trades = bool(db.conn.execute("select with_trades from cursor").fetchone()[0])
            if with_trades != self.with_trades:
                raise self._out_of_step(f"its rows were made {'with' if with_trades else 'without'} trades")
            self._had_rows = True
        self._instruments = _read_instruments(db.conn)
        self._cursor = cursor

    def _shut(self) -> None:
        db, lock = self._db, self._lock
        self._db = self._lock = None
        try:
            if db is not None:
                db.close()
        finally:
            if lock is not None:
                lock.release()

    def _deleted(self) -> StoreUnavailable:
        return StoreUnavailable(f"{self.path}: the database was deleted; {_REBUILD}", reason="deleted")

    def _out_of_step(self, what: str) -> StoreOutOfStep:
        return StoreOutOfStep(f"{self.path}: {what}; {_REBUILD}")


class _Memory:
    """What earlier batches left, read from the database within the transaction."""

    def __init__(self, db: sqlite_utils.Database) -> None:
        self._conn = db.conn

    def row(self, table: str, key: str | tuple[object, ...]) -> Row | None:
        """Return the row with this primary key, or None."""
        keys = key if isinstance(key, tuple) else (key,)
        found = self._conn.execute(_SELECTS[table], keys).fetchone()
        return None if found is None else dict(zip(TABLES[table].columns, found, strict=True))

    def trade_ids(self, client_order_id: str) -> set[str]:
        """Return the venue's trade ids of an order's fills."""
        sql = "select trade_id from fills where client_order_id = ? and trade_id is not null"
        return {row[0] for row in self._conn.execute(sql, (client_order_id,))}


def _read_instruments(conn: sqlite3.Connection) -> dict[int, Listing]:
    columns = "instrument_id, instrument, venue, price_scale, size_scale"
    rows = conn.execute(f"select {columns} from instruments").fetchall()
    return {row[0]: Listing.of(*row) for row in rows}


@contextmanager
def _transaction(db: sqlite_utils.Database) -> Iterator[None]:
    """All or nothing; takes the right to write at once, so that no later step can find it taken."""
    db.conn.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.conn.execute("COMMIT")
    except BaseException:
        db.rollback()
        raise


def _is_of_the_file(error: Exception) -> bool:
    """Whether an error comes from the file and not from a value that was put into it."""
    return type(error) in (sqlite3.OperationalError, sqlite3.DatabaseError, sqlite3.InternalError)


def _inode(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _insert(table: str) -> str:
    columns = [quoted(column) for column in TABLES[table].columns]
    marks = ", ".join("?" for _ in columns)
    return f"insert into {quoted(table)} ({', '.join(columns)}) values ({marks})"


def _upsert_bar() -> str:
    """A bar told again replaces the row, unless the row is of a higher revision."""
    shape = TABLES["bars"]
    updates = ", ".join(
        f"{quoted(column)} = excluded.{quoted(column)}" for column in shape.columns if column not in shape.key
    )
    return (
        f"{_insert('bars')} on conflict ({', '.join(shape.key)}) do update set {updates} "
        "where excluded.revision >= bars.revision"
    )


def _select(table: str) -> str:
    where = " and ".join(f"{quoted(column)} = ?" for column in TABLES[table].key)
    return f"select * from {quoted(table)} where {where}"


_INSERTS: Final = {table: _insert(table) for table in TABLES} | {"bars": _upsert_bar()}
_SELECTS: Final = {table: _select(table) for table in TABLES}
