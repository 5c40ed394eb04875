"""The store in Parquet files: folders by table and UTC day, exact decimals, times with nanoseconds.

Owns its folder, under a lock on `rows.lock` in it. Promises, in addition to those of every store:

- A file is replaced as a whole (`parts.py`); a reader never sees half of one, and a key has one row.
- A file is synced before the cursor moves past its rows. Cursor, lists of parts and rows that wait for a file
  are one transaction of `.state.db` (`state.py`). After a crash files may be ahead of it: the same rows come
  again to the same places.
- The last part of a day is written again with its new rows until it has PART_ROWS, so that a live session
  leaves no small files. Rows wait at most FLUSH_S, or until FLUSH_ROWS have come, or the store is closed.
- Memory is that of one batch and one part.

Registered as "parquet"; imported only when a store of this kind is used, since it needs pyarrow.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec

from engine.errors import ConfigError, UsageError
from engine.stores.errors import (
    StoreForeign,
    StoreOutdated,
    StoreOutOfStep,
    StoreUnavailable,
    first_line,
    unreachable,
)
from engine.stores.kinds import StoreKind
from engine.stores.lock import WriterLock
from engine.stores.rows.tables import SCHEMA_VERSION, TABLES
from engine.stores.settings import chosen_tables
from engine.stores.store import Cursor, Row, Rows, Store

try:
    import pyarrow as pa
except ModuleNotFoundError:
    raise UsageError("a store of kind 'parquet' needs pyarrow: pip install 'retape[parquet]'") from None

from engine.stores.parquet.columns import arrow_table, exact_number, schema_of
from engine.stores.parquet.days import by_day, day_of
from engine.stores.parquet.parts import part_path, parts_in, read_part, replace_part, replaced_rows
from engine.stores.parquet.querying import queried
from engine.stores.parquet.reading import INTERNAL, ParquetSnapshot, snapshot_of
from engine.stores.parquet.state import Place, State, read_cursor

__all__ = ["PARQUET", "ParquetSettings", "ParquetStore"]

PART_ROWS: Final = 16_384
"""Rows with which a part is finished: a batch of catching up fills about one."""
FLUSH_ROWS: Final = 10_000
"""Rows that wait before they are written to files."""
FLUSH_S: Final = 10.0
"""How long rows wait."""
BUSY_S: Final = 5.0
_STATE: Final = ".state.db"
_KEPT: Final = frozenset({"instruments", "orders", "order_sums", "open_trips", "sessions"})


class ParquetStore:
    """The files of one journal in one folder. `flush_s` is how long rows may wait for a file."""

    kind = "parquet"
    remedy = "give the files another folder, or rebuild them with `engine project`"

    def __init__(
        self,
        folder: str | Path,
        *,
        tables: Iterable[str] = (),
        decimals: int = 18,
        flush_s: float = FLUSH_S,
        busy_s: float = BUSY_S,
    ) -> None:
        self.folder = Path(folder)
        self.place = str(folder)
        self.tables = chosen_tables(tables)
        self.number = exact_number(decimals)
        self._decimals = decimals
        self._flush_s = flush_s
        self._busy_s = busy_s
        self._shown = self.tables - INTERNAL
        self._schemas = {name: schema_of(TABLES[name], decimals) for name in self._shown}
        self._state: State | None = None
        self._inode: tuple[int, int] | None = None
        self._flushed_at = 0.0
        self._had_rows = False
        self._moved = False  # whether this transaction has moved the cursor
        self._lock: WriterLock | None = None

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """See `Store`."""
        with self._errors():
            state = self._ready()
            state.begin()
            self._moved = False
            try:
                yield
                state.commit()
                self._had_rows |= self._moved
            except BaseException:
                state.rollback()
                raise

    def cursor(self) -> Cursor | None:
        """See `Store`."""
        cursor = self._opened().cursor()
        self._had_rows |= cursor is not None
        return cursor

    def instruments(self) -> Iterable[Row]:
        """See `Store`."""
        return self._opened().all_kept("instruments")

    def time(self, ns: int) -> int:
        """Return a time as a row has it: files hold it as a number, made of the one beside it."""
        return ns

    def row(self, table: str, key: str) -> Row | None:
        """See `RowSource`."""
        return self._opened().kept(table, key)

    def trade_ids(self, client_order_id: str) -> dict[str, int]:
        """See `RowSource`."""
        return self._opened().trade_ids(client_order_id)

    def write(self, rows: Rows, cursor: Cursor | None) -> None:
        """See `Store`. Rows that go to files later are converted at once too, so that a bad one is found."""
        state = self._opened()
        new = {name: self._keyed(name, rows) for name in sorted(self._shown)}
        new = {name: keyed for name, keyed in new.items() if keyed}
        for name in sorted(_KEPT & rows.changed.keys()):
            state.keep(name, rows.changed[name])
        if fills := rows.appended.get("fills"):
            names = list(TABLES["fills"].columns)
            order, trade, seq = (names.index(one) for one in ("client_order_id", "trade_id", "seq"))
            state.keep_trade_ids((one[order], one[trade], one[seq]) for one in fills if one[trade])
        if cursor is None:
            self._convert(new)
            return
        count = sum(map(len, new.values()))
        late = time.monotonic() - self._flushed_at >= self._flush_s
        if late or count + state.waiting_rows() >= FLUSH_ROWS:
            self._flush(new)
        else:
            self._convert(new)
            for name, keyed in new.items():
                state.wait(name, [one for one in self._latest(name, keyed) if self._counts(name, *one)])
        state.move_cursor(cursor)
        self._moved = True

    def witness(self) -> Cursor | None:
        """See `Store`."""
        with self._errors():
            return read_cursor(self.folder / _STATE, self._busy_s)

    def rebuild(self, fill: Callable[[Store], int]) -> int:
        """See `Store`. The new files are made in a folder beside the old ones, and then take their places."""
        self.close()
        with self._errors():
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = WriterLock(self.folder / "rows")
            try:
                self._refuse_other_data()
                fresh = self.folder / ".rebuilding"
                shutil.rmtree(fresh, ignore_errors=True)
                store = ParquetStore(fresh, tables=self._shown, decimals=self._decimals)
                with store.transaction():
                    pass
                reached = fill(store)
                store.close()
                self._replace_all(fresh)
            finally:
                lock.release()
        self._had_rows = False
        return reached

    def close(self) -> None:
        """See `Store`. Rows that wait are written to files."""
        state, lock, self._state, self._lock = self._state, self._lock, None, None
        if lock is None:
            return
        try:
            with self._errors():
                if state is not None:
                    self._close(state)
        finally:
            lock.release()

    @contextmanager
    def snapshot(self) -> Iterator[ParquetSnapshot]:
        """See `engine.stores.checking.Checkable`."""
        with self._errors(), snapshot_of(self.folder, _STATE, self._busy_s, self.place) as found:
            yield found

    def query(self, sql: str) -> tuple[list[str], Iterator[tuple[object, ...]]]:
        """Return the columns and the rows of a query; it cannot change anything. Raises UsageError."""
        if not (self.folder / _STATE).exists():
            raise UsageError(f"{self.place}: there is no store in this folder; fill it with `engine project`")
        with self.snapshot() as found:
            return queried(found, sql, self.place)

    # Files.

    def _convert(self, new: dict[str, list[tuple[str | None, Sequence[Any]]]]) -> None:
        """Convert rows, so that one that a file cannot hold raises."""
        for name, keyed in new.items():
            arrow_table(TABLES[name], self._schemas[name], [row for _, row in keyed])

    def _flush(self, new: dict[str, list[tuple[str | None, Sequence[Any]]]]) -> None:
        """Write the rows that wait, and new ones, to files."""
        state = self._opened()
        for name in sorted(state.waiting_names() | new.keys()):
            keyed = [*state.waiting(name), *new.get(name, ())]
            appended: dict[str, list[tuple[str, Sequence[Any]]]] = {}
            replaced: dict[tuple[str, int], dict[int, tuple[str, Sequence[Any]]]] = {}
            if "seq" in TABLES[name].key:
                for day, rows in by_day(name, [row for _, row in keyed]).items():
                    self._append(name, day, rows)
                continue
            for key, row in self._latest(name, keyed):
                assert key is not None, "rows of tables without a seq in their key have one"
                place = state.place(name, key)
                if place is None:
                    appended.setdefault(day_of(name, row), []).append((key, row))
                elif place.revision <= self._revision(name, row):
                    replaced.setdefault((place.day, place.part), {})[place.at] = (key, row)
            for (day, part), changes in replaced.items():
                self._replace(name, day, part, changes)
            for day, new_rows in appended.items():
                self._append(name, day, [row for _, row in new_rows], [key for key, _ in new_rows])
        state.no_more_waiting()
        self._flushed_at = time.monotonic()

    def _append(self, name: str, day: str, rows: Sequence[Sequence[Any]], keys: Sequence[str] = ()) -> None:
        """Add rows, which have `keys` or no keys, to the last file of a day, or to a new one."""
        state = self._opened()
        part, before = state.last_part(name, day)
        table = arrow_table(TABLES[name], self._schemas[name], rows)
        if not part or before >= PART_ROWS:
            part, before = part + 1, 0
        path = part_path(self.folder, name, day, part)
        if before:
            table = pa.concat_tables([read_part(path, before), table]).combine_chunks()
        replace_part(path, table)
        state.set_part(name, day, part, table.num_rows)
        state.set_places(
            name,
            {
                key: Place(day, part, at, self._revision(name, row))
                for at, (key, row) in enumerate(zip(keys, rows, strict=False), before)
            },
        )

    def _replace(self, name: str, day: str, part: int, changes: dict[int, tuple[str, Sequence[Any]]]) -> None:
        state = self._opened()
        path = part_path(self.folder, name, day, part)
        table = read_part(path, state.rows_of(name, day, part))
        rows = arrow_table(TABLES[name], self._schemas[name], [row for _, row in changes.values()])
        at = {place: number for number, place in enumerate(changes)}
        replace_part(path, replaced_rows(table, at, rows))
        places = {
            key: Place(day, part, place, self._revision(name, row)) for place, (key, row) in changes.items()
        }
        state.set_places(name, places)

    def _keyed(self, name: str, rows: Rows) -> list[tuple[str | None, Sequence[Any]]]:
        """Return new rows of a table with their keys; None where rows are only appended."""
        shape = TABLES[name]
        if "seq" in shape.key:
            return [(None, row) for row in rows.appended.get(name, ())]
        columns = list(shape.columns)
        at = [columns.index(column) for column in shape.key]
        changed = [[row[column] for column in columns] for row in rows.changed.get(name, {}).values()]
        return [
            (json.dumps([row[one] for one in at]), row) for row in [*rows.appended.get(name, ()), *changed]
        ]

    def _latest(
        self, name: str, keyed: list[tuple[str | None, Sequence[Any]]]
    ) -> list[tuple[str | None, Sequence[Any]]]:
        """Return for each key the row that counts."""
        if "seq" in TABLES[name].key:
            return keyed
        latest: dict[str | None, Sequence[Any]] = {}
        for key, row in keyed:
            before = latest.get(key)
            if before is None or self._revision(name, before) <= self._revision(name, row):
                latest[key] = row
        return list(latest.items())

    def _counts(self, name: str, key: str | None, row: Sequence[Any]) -> bool:
        """Return whether a row takes the place of the one of its key that waits."""
        if not TABLES[name].newest or key is None:
            return True
        before = self._opened().waiting_row(name, key)
        return before is None or self._revision(name, before) <= self._revision(name, row)

    def _revision(self, name: str, row: Sequence[Any]) -> int:
        shape = TABLES[name]
        return int(row[list(shape.columns).index(shape.newest)]) if shape.newest else 0

    # The folder.

    def _opened(self) -> State:
        assert self._state is not None, "called in a transaction"
        return self._state

    def _ready(self) -> State:
        """Return the open state, after checking that its file is still there and still the same."""
        if self._state is not None and _inode(self.folder / _STATE) != self._inode:
            state, self._state = self._state, None
            state.close()
            self.close()
        if self._state is None:
            self._open()
        return self._opened()

    def _open(self) -> None:
        path = self.folder / _STATE
        if self._had_rows and not path.exists():
            raise StoreUnavailable(f"{self.place}: was deleted; {self.remedy}", reason="deleted")
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock = WriterLock(self.folder / "rows")
        try:
            self._refuse_other_data()
            state = State(path, self._busy_s)
            self._state, self._inode = state, _inode(path)
            if state.is_new():
                state.create(self._made_with())
            elif (made_with := state.made_with()) != self._made_with():
                if made_with is None:
                    raise StoreOutdated(f"{self.place}: its files are not complete; {self.remedy}")
                old = json.loads(made_with)[0] < SCHEMA_VERSION
                kind = StoreOutdated if old else StoreOutOfStep
                raise kind(f"{self.place}: its files have other tables or columns; {self.remedy}")
            self._check_parts(state)
            self._flushed_at = time.monotonic() if self._flush_s else 0.0
        except BaseException:
            opened, lock, self._state, self._lock = self._state, self._lock, None, None
            if opened is not None:
                opened.close()
            lock.release()
            raise

    def _close(self, state: State) -> None:
        try:
            if state.waiting_rows():
                self._state = state
                state.begin()
                try:
                    self._flush({})
                    state.commit()
                except BaseException:
                    state.rollback()
                    raise
                finally:
                    self._state = None
        finally:
            state.close()

    def _check_parts(self, state: State) -> None:
        """Remove what a crash left beyond the list of parts, and raise for what is missing from it."""
        known = {part_path(self.folder, name, day, part) for name, day, part, _ in state.parts()}
        found = set(parts_in(self.folder, self._shown))
        for path in found - known:
            path.unlink()
        if missing := known - found:
            raise StoreUnavailable(f"{min(missing)}: was deleted; {self.remedy}", reason="deleted")

    def _refuse_other_data(self) -> None:
        if not (self.folder / _STATE).exists():
            for path in parts_in(self.folder, frozenset(TABLES)):
                raise StoreForeign(f"{path}: is not a file of this store; give another path")

    def _replace_all(self, fresh: Path) -> None:
        """Put the files of a rebuild in place of the old ones. A crash here leaves a store to be rebuilt."""
        path = self.folder / _STATE
        if path.exists():
            old = State(path, self._busy_s)
            try:
                if not old.is_new():
                    old.start_replacing()
            finally:
                old.close()
        else:
            State(path, self._busy_s).close()
        for name in sorted(frozenset(TABLES) - INTERNAL):
            if (self.folder / name).is_dir() and any(parts_in(self.folder, frozenset({name}))):
                (self.folder / name).rename(fresh / f"old {name}")
            if (fresh / name).is_dir():
                (fresh / name).rename(self.folder / name)
        for suffix in ("-wal", "-shm"):
            path.with_name(_STATE + suffix).unlink(missing_ok=True)
        (fresh / _STATE).replace(path)
        shutil.rmtree(fresh)

    def _made_with(self) -> str:
        return json.dumps([SCHEMA_VERSION, self._decimals, sorted(self.tables)])

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise unreachable(self.place, error) from error
        except sqlite3.OperationalError as error:
            locked = "locked" in str(error)
            raise StoreUnavailable(
                f"{self.place}: its state is unavailable ({first_line(error)}); the next attempt follows",
                reason="locked" if locked else "unreachable",
            ) from error
        except sqlite3.DatabaseError as error:
            raise StoreUnavailable(
                f"{self.place}: its state is damaged ({first_line(error)}); {self.remedy}", reason="corrupt"
            ) from error


def _inode(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


class ParquetSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The keys of a Parquet store. `path` is the folder, `tables` the tables (default: all).

    `decimals`: those of every exact number, of 38 digits in all.
    """

    path: str
    tables: tuple[str, ...] = ()
    decimals: int = 18


def _from_settings(settings: ParquetSettings, root: Path) -> ParquetStore:
    if not 0 <= settings.decimals <= 37:
        raise ConfigError("decimals: must be 0 to 37")
    return ParquetStore(settings.path, tables=settings.tables, decimals=settings.decimals)


PARQUET: Final = StoreKind(ParquetSettings, _from_settings)
