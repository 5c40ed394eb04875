"""The store in PostgreSQL: rows and cursor in one transaction, on one connection.

Owns the tables of one schema of a database. Promises, in addition to those of every store:

- One engine writes: a session lock of the database keeps every other writer out, and the row of the cursor is
  locked in each transaction, so that two that both believe to be alone cannot mix their rows.
- Every wait has a limit (`connecting.py`). After an error nothing of the batch is kept; a commit whose answer
  was lost is found out by reading the cursor on the next connection.
- A rebuild is one transaction: readers see the old rows until the new ones are complete.
- Rows older than `retention` are removed, counted from the newest record, by whole days: what is left depends
  on the journal alone.

Registered as "postgres"; imported only when a store of this kind is used, since it needs psycopg.
"""

from __future__ import annotations

import secrets
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from engine.clock import iso_text
from engine.errors import UsageError
from engine.stores.errors import (
    StoreError,
    StoreForeign,
    StoreOutdated,
    StoreOutOfStep,
    StoreUnavailable,
    first_line,
)
from engine.stores.kinds import StoreKind
from engine.stores.postgres.connecting import Connection, connect, require_driver, translated
from engine.stores.postgres.copying import blocks
from engine.stores.postgres.reading import State, dumped, exists, read_state
from engine.stores.postgres.schema import CURSOR, Layout, as_numeric, quoted
from engine.stores.postgres.timescale import Aggregates, make_hypertables, stop_aggregates
from engine.stores.rows.tables import SCHEMA_VERSION, TABLES
from engine.stores.rows.views import VIEWS
from engine.stores.selecting import EVERYTHING, Selection
from engine.stores.settings import Address, chosen_tables, kept_from, retention_ns
from engine.stores.store import Cursor, Row, Rows, Store

__all__ = ["POSTGRES", "PostgresSettings", "PostgresStore"]

BUSY_S: Final = 5.0
"""How long the lock of another writer is waited for."""
COPY_ROWS: Final = 64
"""From this many rows on they are copied in bulk."""
REBUILD_S: Final = 3600.0
"""How long one statement of a rebuild may take."""


class PostgresSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The keys of a store in PostgreSQL. `url` is postgresql://USER:PASSWORD@HOST:PORT/DATABASE.

    `schema` holds the tables; `tables` names those that are kept (default: all); `retention` says how long,
    such as {trades = "30d"}; `readers` are roles that may read.
    """

    url: str
    schema: str = "public"
    tables: tuple[str, ...] = ()
    retention: dict[str, str] = {}
    readers: tuple[str, ...] = ()


class PostgresSnapshot:
    """The state of the store at one moment (`engine.stores.checking.Snapshot`)."""

    ahead = False

    def __init__(
        self, conn: Connection, layout: Layout, state: State | None, retention: dict[str, int]
    ) -> None:
        self.cursor = None if state is None else state.cursor
        self.tables = frozenset(layout.tables)
        self._conn = conn
        self._layout = layout
        newest_ns = 0 if state is None else state.newest_ns
        self._kept = {table: kept_from(newest_ns, span_ns) for table, span_ns in retention.items()}

    def rows(self, table: str, only: Selection = EVERYTHING) -> Iterator[Row]:
        """See `Snapshot`."""
        return (row for _, row in dumped(self._conn, self._layout, [table], only))

    def held(self, table: str, rows: Iterator[Row]) -> Iterator[Row]:
        """See `Snapshot`."""
        if table not in self._kept:
            return rows
        shape = TABLES[table]
        return (row for row in rows if row[shape.times[shape.time]] >= self._kept[table])


class PostgresStore:
    """Rows of one journal in one schema of a database. `busy_s`: how long to wait for another writer."""

    kind = "postgres"
    remedy = "rebuild it with `engine project DAY --to URL`, or give another schema"
    number = staticmethod(as_numeric)

    def __init__(self, settings: PostgresSettings, *, busy_s: float = BUSY_S) -> None:
        require_driver()
        self.address = Address(settings.url, "postgresql", "postgres")
        self.schema = settings.schema
        self.place = self.address.shown + (f" ({self.schema})" if self.schema != "public" else "")
        self.tables = chosen_tables(settings.tables)
        self._retention = retention_ns(settings.retention, self.tables)
        self._readers = settings.readers
        self._busy_s = busy_s
        self._name = f"retape {socket.gethostname()[:20]} {secrets.token_hex(4)}"
        self._conn: Connection | None = None
        self._layout = Layout(self.schema, self.tables, timescale=False)
        self._aggregates: Aggregates | None = None
        self._copies = True
        self._had_rows = False
        self._rebuilding = False
        self._newest_ns = 0
        self._kept: dict[str, int] = {}
        self._waiting: dict[str, int] = {}  # what is to be dropped once its candles are made

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """See `Store`. In a rebuild it is a part of that transaction."""
        try:
            conn = self._conn if self._conn is not None else self._open()
            with conn.transaction():
                yield
            if self._aggregates is not None and not self._rebuilding:
                self._aggregates.refresh_if_due(conn)
                if (waiting := self._waiting) and not self._aggregates.hurried:
                    self._waiting = {}
                    with conn.transaction():
                        self._drop_old(conn, waiting)
        except Exception as error:
            known = translated(self.address, error)
            if known is error:
                raise
            raise known from error

    def cursor(self) -> Cursor | None:
        """See `Store`. Locks the row of the cursor, so that no other writer can move it before the end."""
        state = read_state(self._ready(), self._layout, lock=True)
        if state is None or state.cursor is None:
            if self._had_rows and not self._rebuilding:
                raise StoreUnavailable(
                    f"{self.place}: the rows were deleted; {self.remedy}", reason="deleted"
                )
            return None
        self._had_rows = True
        self._newest_ns = state.newest_ns
        return state.cursor

    def instruments(self) -> Iterable[Row]:
        """See `Store`."""
        return [row for _, row in dumped(self._ready(), self._layout, ["instruments"])]

    def time(self, ns: int) -> int:
        """Return a time as a row has it: its text is made when it is written, of the number beside it."""
        return ns

    def row(self, table: str, key: str) -> Row | None:
        """See `RowSource`."""
        found = self._ready().execute(self._layout.selects[table], [key.replace("\x00", "\ufffd")]).fetchone()
        if found is None:
            return None
        shape = TABLES[table]
        row = dict(zip(shape.columns, found, strict=True))
        for text, ns in shape.times.items():
            row[text] = None if row[ns] is None else iso_text(row[ns])
        return row

    def trade_ids(self, client_order_id: str) -> dict[str, int]:
        """See `RowSource`."""
        sql = (
            f"select trade_id, min(seq) from {self._layout.name('fills')}"
            " where client_order_id = %s and trade_id is not null group by trade_id"
        )
        return dict(self._ready().execute(sql, [client_order_id.replace("\x00", "\ufffd")]).fetchall())

    def write(self, rows: Rows, cursor: Cursor | None) -> None:
        """See `Store`."""
        conn = self._ready()
        newest_ns = self._newest_of(rows)
        kept = {table: kept_from(newest_ns, span_ns) for table, span_ns in self._retention.items()}
        for table, appended in rows.appended.items():
            self._append(conn, table, _kept(table, appended, kept))
        for table, changed in rows.changed.items():
            columns = TABLES[table].columns
            values = [tuple(row[column] for column in columns) for row in changed.values()]
            self._insert(conn, table, _kept(table, values, kept))
        if cursor is not None:
            self._move(conn, cursor, newest_ns)
            self._newest_ns = newest_ns
            self._drop_old(conn, kept)
            if self._aggregates is not None:
                self._aggregates.note(conn, rows.appended.get("trades", []), newest_ns)

    def witness(self) -> Cursor | None:
        """See `Store`. On a connection of its own."""
        conn = connect(self.address, f"{self._name} witness")
        try:
            state = read_state(conn, self._layout) if exists(conn, self._layout, CURSOR) else None
        except Exception as error:
            raise translated(self.address, error) from error
        finally:
            conn.close()
        return None if state is None else state.cursor

    def rebuild(self, fill: Callable[[Store], int]) -> int:
        """See `Store`. One transaction; tables of another shape are made again."""
        self.close()
        try:
            conn = self._open(again=True)
            self._rebuilding = True
            return conn.patiently(REBUILD_S, lambda: self._rebuild(conn, fill))
        except Exception as error:
            known = translated(self.address, error)
            if known is error:
                raise
            raise known from error
        finally:
            self._rebuilding = False
            self.close()

    @contextmanager
    def snapshot(self) -> Iterator[PostgresSnapshot]:
        """See `engine.stores.checking.Checkable`. On a connection of its own, which cannot write."""
        conn = connect(self.address, f"{self._name} reader")
        try:
            with conn.transaction():
                conn.execute("set transaction isolation level repeatable read, read only")
                there = exists(conn, self._layout, CURSOR)
                state = read_state(conn, self._layout) if there else None
                yield PostgresSnapshot(conn, self._layout, state, self._retention)
        except Exception as error:
            known = translated(self.address, error)
            if known is error:
                raise
            raise known from error
        finally:
            conn.close()

    def query(self, sql: str) -> tuple[list[str], Iterator[tuple[object, ...]]]:
        """Return the columns and the rows of a query; it cannot change anything. Raises UsageError."""
        conn = connect(self.address, f"{self._name} query")
        try:
            conn.execute("set default_transaction_read_only = on")
            conn.execute("select set_config('search_path', %s || ', public', false)", [quoted(self.schema)])
            found = conn.execute(sql)
            rows = found.fetchall() if found.description else []
        except Exception as error:
            known = translated(self.address, error)
            of_the_query = (getattr(error, "sqlstate", None) or "")[:2] in ("22", "25", "42")
            if isinstance(known, StoreError) and not of_the_query:
                raise known from error
            raise UsageError(f"{self.place}: {first_line(error)}") from None
        finally:
            conn.close()
        return [column.name for column in found.description or ()], iter(rows)

    def refresh(self) -> None:
        """Bring the aggregates up to the rows now, which otherwise happens within seconds."""
        with self.transaction():
            pass
        if self._aggregates is not None and self._conn is not None:
            self._aggregates.refresh(self._conn)

    def close(self) -> None:
        """See `Store`."""
        conn, self._conn, self._aggregates = self._conn, None, None
        self._kept.clear()
        self._waiting.clear()
        if conn is not None:
            conn.close()

    # Writing.

    def _append(self, conn: Connection, table: str, rows: list[tuple[object, ...]]) -> None:
        if len(rows) < COPY_ROWS or not self._copies or TABLES[table].newest:
            self._insert(conn, table, rows)
            return
        with conn.cursor() as cursor, cursor.copy(self._layout.copies[table]) as copy:
            for block in blocks(TABLES[table], rows):
                copy.write(block)

    def _insert(self, conn: Connection, table: str, rows: list[tuple[object, ...]]) -> None:
        if rows:
            with conn.cursor() as cursor:
                cursor.executemany(self._layout.inserts[table], map(self._layout.convert[table], rows))

    def _newest_of(self, rows: Rows) -> int:
        """Return the time of the newest record so far that has a row."""
        newest_ns = self._newest_ns
        for table, appended in rows.appended.items():
            names = list(TABLES[table].columns)
            if "at_ns" in names:
                newest_ns = max(newest_ns, int(str(appended[-1][names.index("at_ns")])))
        return newest_ns

    def _move(self, conn: Connection, cursor: Cursor, newest_ns: int) -> None:
        conn.execute(
            f"update {self._layout.name(CURSOR)}"
            " set journal_id = %s, seq = %s, digest = %s, epoch = %s, newest_ns = %s",
            [cursor.journal_id.hex(), cursor.seq, cursor.digest.hex(), cursor.epoch, newest_ns],
        )

    def _drop_old(self, conn: Connection, kept: dict[str, int]) -> None:
        """Remove the rows whose day has passed. Once a day for each table, so it costs nothing."""
        for table, from_ns in kept.items():
            if from_ns <= self._kept.get(table, -1):
                continue
            if self._aggregates is not None:
                if table == "trades" and not self._rebuilding and not self._aggregates.covers(from_ns):
                    self._waiting[table] = from_ns
                    continue
                self._aggregates.drop_chunks(conn, table, from_ns)
            column = TABLES[table].times[TABLES[table].time]
            conn.execute(f"delete from {self._layout.name(table)} where {quoted(column)} < %s", [from_ns])
            self._kept[table] = from_ns

    # The database.

    def _ready(self) -> Connection:
        assert self._conn is not None, "called in a transaction"
        return self._conn

    def _open(self, *, again: bool = False) -> Connection:
        conn = connect(self.address, self._name)
        try:
            self._lock(conn)
            version = conn.execute("select version()").fetchone()
            # The build for WebAssembly ends when it is asked to copy, and all connections share one session.
            self._copies = version is None or "emcc" not in str(version[0])
            if not self._copies:
                conn.execute("deallocate all")
            conn.prepare_threshold = 5
            with conn.transaction():
                self._make_tables(conn, again=again)
            if self._layout.timescale and "trades" in self.tables:
                self._aggregates = Aggregates(self._layout)
                self._aggregates.make(conn)
        except BaseException:
            conn.close()
            raise
        self._conn = conn
        return conn

    def _lock(self, conn: Connection) -> None:
        """Take the lock of the writer. A connection of this store that the server still holds is ended."""
        conn.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where application_name = %s and pid != pg_backend_pid()",
            [self._name],
        )
        until = time.monotonic() + self._busy_s
        key = f"retape {self.schema}"
        while True:
            taken = conn.execute("select pg_try_advisory_lock(hashtextextended(%s, 0))", [key]).fetchone()
            if taken is not None and taken[0]:
                return
            if time.monotonic() >= until:
                raise StoreUnavailable(
                    f"{self.place}: the store already has a writer; stop that one first", reason="locked"
                )
            time.sleep(0.05)

    def _make_tables(self, conn: Connection, *, again: bool) -> None:
        """Create the tables, or check those that are there; `again` makes all of another shape again."""
        state = read_state(conn, self._layout) if exists(conn, self._layout, CURSOR) else None
        if state is None:
            self._refuse_other_tables(conn)
            found = conn.execute("select 1 from pg_extension where extname = 'timescaledb'").fetchone()
            self._create(conn, timescale=found is not None)
            return
        self._layout = Layout(self.schema, self.tables, timescale=state.timescale)
        if state.version == SCHEMA_VERSION and set(state.tables) == set(self.tables):
            return
        if again:
            self._drop_tables(conn, state.tables)
            self._create(conn, timescale=state.timescale)
        elif state.version == SCHEMA_VERSION:
            different = ", ".join(sorted(set(state.tables) ^ set(self.tables)))
            raise StoreOutOfStep(f"{self.place}: it was made for other tables ({different}); {self.remedy}")
        else:
            kind = StoreOutdated if state.version < SCHEMA_VERSION else StoreOutOfStep
            what = f"its tables are of version {state.version}, not {SCHEMA_VERSION}"
            raise kind(f"{self.place}: {what}; {self.remedy}")

    def _refuse_other_tables(self, conn: Connection) -> None:
        taken = [name for name in (*self._layout.tables, *VIEWS) if exists(conn, self._layout, name)]
        if taken:
            raise StoreForeign(
                f"{self.place}: has other data under our names ({', '.join(taken[:3])}); give another schema"
            )

    def _create(self, conn: Connection, *, timescale: bool) -> None:
        self._layout = layout = Layout(self.schema, self.tables, timescale=timescale)
        conn.execute(f"create schema if not exists {quoted(self.schema)}")
        path = conn.execute("select current_setting('search_path')").fetchone()
        conn.execute(f"set local search_path to {quoted(self.schema)}")  # views name tables without a schema
        for statement in (*layout.creation(), *layout.views(), layout.cursor_table()):
            conn.execute(statement)
        conn.execute("select set_config('search_path', %s, true)", path)
        conn.execute(
            f"insert into {layout.name(CURSOR)} (id, version, tables, timescale) values (1, %s, %s, %s)",
            [SCHEMA_VERSION, " ".join(layout.tables), timescale],
        )
        if timescale:
            make_hypertables(conn, layout)
        self._let_read(conn)

    def _let_read(self, conn: Connection) -> None:
        """Let the roles of readers read, now and what is created later. A role that is missing is created."""
        for role in self._readers:
            if conn.execute("select 1 from pg_roles where rolname = %s", [role]).fetchone() is None:
                conn.execute(f"create role {quoted(role)} nologin")
            schema = quoted(self.schema)
            conn.execute(f"grant usage on schema {schema} to {quoted(role)}")
            conn.execute(f"grant select on all tables in schema {schema} to {quoted(role)}")
            conn.execute(
                f"alter default privileges in schema {schema} grant select on tables to {quoted(role)}"
            )

    def _drop_tables(self, conn: Connection, tables: Iterable[str]) -> None:
        """Drop our tables and views; what others have built on them stops it."""
        stop_aggregates(conn, self._layout)
        for view in VIEWS:
            conn.execute(f"drop view if exists {self._layout.name(view)}")
        for table in (*tables, CURSOR):
            conn.execute(f"drop table if exists {self._layout.name(table)}")

    def _rebuild(self, conn: Connection, fill: Callable[[Store], int]) -> int:
        with conn.transaction():
            for table in self._layout.tables:
                conn.execute(f"delete from {self._layout.name(table)}")
            conn.execute(f"update {self._layout.name(CURSOR)} set journal_id = null, newest_ns = 0")
            self._newest_ns = 0
            self._kept.clear()
            reached = fill(self)
        if self._aggregates is not None:
            self._aggregates.refresh(conn, everything=True)
        return reached


def _kept(table: str, rows: list[tuple[object, ...]], kept: dict[str, int]) -> list[tuple[object, ...]]:
    """Return the rows that are not older than what is kept of their table."""
    from_ns = kept.get(table)
    if from_ns is None:
        return rows
    shape = TABLES[table]
    at = list(shape.columns).index(shape.times[shape.time])
    return [row for row in rows if int(str(row[at])) >= from_ns]


def _from_settings(settings: PostgresSettings, root: Path) -> PostgresStore:
    return PostgresStore(settings)


POSTGRES: Final = StoreKind(PostgresSettings, _from_settings)
