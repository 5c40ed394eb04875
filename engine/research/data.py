"""Rows of a journal or of any store that holds one, through one interface.

    data = research.data("postgresql://me@db.example/market")
    data.bars("BTC", "1m", begin="2024-12-05").to_polars()

Promises that the same journal gives the same rows whichever store they come from, as exactly as it holds
them: SQLite holds floats, of 15 exact digits. A journal is read by making its rows in a scratch database,
which is kept until `close`. Owns no numbers: rows are made by `engine.stores.rows`. Called by programs.
"""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import NoneType, TracebackType
from typing import Any, Final, TypeVar, cast, get_args, get_type_hints

import msgspec

from engine.errors import UsageError
from engine.journal import read_identity
from engine.records import day_folders
from engine.research.frames import Rows
from engine.research.records import (
    RECORDS,
    Bar,
    Equity,
    Exact,
    Fill,
    Funding,
    Liquidation,
    OpenInterest,
    Order,
    Signal,
    Trade,
    Trip,
)
from engine.stores.catchup import days_from, rebuild
from engine.stores.checking import Checkable, Snapshot
from engine.stores.kinds import make_store, store_at
from engine.stores.rows.tables import TABLES
from engine.stores.rows.units import exact_text
from engine.stores.selecting import Selection
from engine.stores.sqlite.store import SqliteStore
from engine.stores.store import Store
from replay.ranges import parse_range

__all__ = ["Data", "Source", "data"]

Source = str | Path | Mapping[str, object] | Iterable[str | Path]

T = TypeVar("T", bound=msgspec.Struct)
_Convert = Callable[[Any], Any]
_TIMES: Final = {"orders": "submitted_ns"}
"""The time by which rows are chosen and ordered, where it is not that of `TableShape.time`."""


class Data:
    """What a journal or a store holds. Each call reads the state of its moment.

    Rows are in the order of the time that each method names, then of their seqs. `begin` and `end` are ISO
    8601 times, UTC: rows from `begin` on and before `end`. Every method raises StoreError, and UsageError for
    what is not held here.
    """

    def __init__(self, source: Source) -> None:
        self._days: list[Path] = []
        self._stores: dict[bool, Store] = {}
        self._remove: Callable[[], object] = lambda: None
        if isinstance(source, Mapping):
            self._store: Store | None = make_store(source, Path())
        elif isinstance(source, str) and "://" in source:
            self._store = store_at(source, Path())
        else:
            paths = [Path(one) for one in ([source] if isinstance(source, str | Path) else source)]
            self._store = self._at(paths)
        self.place = ", ".join(map(str, self._days)) if self._store is None else self._store.place

    def __enter__(self) -> Data:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Remove the scratch database of a journal; the next call makes it again."""
        self._stores.clear()
        self._remove()

    def __repr__(self) -> str:
        return f"<data of {self.place}>"

    @property
    def seq(self) -> int:
        """The seq of the last record whose rows are here; 0 without any."""
        with self._snapshot(trades=False) as found:
            return 0 if found.cursor is None else found.cursor.seq

    @property
    def tables(self) -> list[str]:
        """The names of the methods that have rows here."""
        with self._snapshot(trades=False) as found:
            held = found.tables | ({"trades"} if self._store is None else set())
        return [_method(table) for table in RECORDS.values() if table in held]

    def bars(
        self,
        instrument: str | None = None,
        interval: str | None = None,
        *,
        venue: str | None = None,
        begin: str | None = None,
        end: str | None = None,
    ) -> Rows[Bar]:
        """Return closed bars, the newest revision of each, by the beginning of their windows."""
        return self._rows(Bar, begin, end, instrument=instrument, venue=venue, interval=interval)

    def trades(
        self,
        instrument: str | None = None,
        *,
        venue: str | None = None,
        begin: str | None = None,
        end: str | None = None,
    ) -> Rows[Trade]:
        """Return public trades, by the venue's time."""
        return self._rows(Trade, begin, end, instrument=instrument, venue=venue)

    def orders(
        self,
        instrument: str | None = None,
        *,
        strategy: str | None = None,
        venue: str | None = None,
        begin: str | None = None,
        end: str | None = None,
    ) -> Rows[Order]:
        """Return orders in their newest state, by the time at which they were submitted."""
        return self._rows(Order, begin, end, instrument=instrument, venue=venue, strategy=strategy)

    def fills(
        self,
        instrument: str | None = None,
        *,
        strategy: str | None = None,
        venue: str | None = None,
        begin: str | None = None,
        end: str | None = None,
    ) -> Rows[Fill]:
        """Return fills, by the venue's time."""
        return self._rows(Fill, begin, end, instrument=instrument, venue=venue, strategy=strategy)

    def trips(
        self,
        instrument: str | None = None,
        *,
        strategy: str | None = None,
        venue: str | None = None,
        begin: str | None = None,
        end: str | None = None,
    ) -> Rows[Trip]:
        """Return round trips, by the time at which they ended."""
        return self._rows(Trip, begin, end, instrument=instrument, venue=venue, strategy=strategy)

    def equity(self, *, begin: str | None = None, end: str | None = None) -> Rows[Equity]:
        """Return valuations of the account."""
        return self._rows(Equity, begin, end)

    def signals(
        self,
        instrument: str | None = None,
        name: str | None = None,
        *,
        strategy: str | None = None,
        venue: str | None = None,
        begin: str | None = None,
        end: str | None = None,
    ) -> Rows[Signal]:
        """Return signals and indicators that strategies emitted."""
        return self._rows(
            Signal, begin, end, instrument=instrument, venue=venue, strategy=strategy, name=name
        )

    def funding(
        self,
        instrument: str | None = None,
        *,
        venue: str | None = None,
        begin: str | None = None,
        end: str | None = None,
    ) -> Rows[Funding]:
        """Return settled funding rates."""
        return self._rows(Funding, begin, end, instrument=instrument, venue=venue)

    def open_interest(
        self,
        instrument: str | None = None,
        *,
        venue: str | None = None,
        begin: str | None = None,
        end: str | None = None,
    ) -> Rows[OpenInterest]:
        """Return open interest, running funding and mark price, the newest reading of each minute."""
        return self._rows(OpenInterest, begin, end, instrument=instrument, venue=venue)

    def liquidations(
        self,
        instrument: str | None = None,
        *,
        venue: str | None = None,
        begin: str | None = None,
        end: str | None = None,
    ) -> Rows[Liquidation]:
        """Return forced closes that the venue published, by its time."""
        return self._rows(Liquidation, begin, end, instrument=instrument, venue=venue)

    # Reading.

    def _rows(self, cls: type[T], begin: str | None, end: str | None, **texts: str | None) -> Rows[T]:
        table = RECORDS[cls]
        shape = TABLES[table]
        within = parse_range(begin, end)
        column = _TIMES.get(table) or shape.times[shape.time]
        only = Selection(
            {name: text for name, text in texts.items() if text is not None},
            column,
            within.begin_ns or None,
            within.end_ns or None,
        )
        converts = _converts(cls)
        items: dict[tuple[Any, ...], T] = {}
        with self._snapshot(trades=table == "trades") as found:
            if table not in found.tables:
                held = ", ".join(_method(one) for one in RECORDS.values() if one in found.tables)
                raise UsageError(f"{self.place}: has no rows of {_method(table)}; it holds {held}")
            newest = 0 if found.cursor is None else found.cursor.seq
            for row in found.rows(table, only):
                # A store without transactions may hold rows ahead of its cursor, not all of them yet.
                if only.has(row) and not ("seq" in shape.key and row["seq"] > newest):
                    key = tuple(row[name] for name in shape.key)
                    items[key] = cls(*[convert(row[name]) for name, convert in converts])
        rows: list[Any] = list(items.values())
        rows.sort(key=lambda one: (getattr(one, column) or 0, one.seq))
        return Rows(cls, rows)

    @contextmanager
    def _snapshot(self, *, trades: bool) -> Iterator[Snapshot]:
        store = self._store or self._made(trades=trades)
        if not isinstance(store, Checkable):
            raise UsageError(f"{store.place}: a store of kind {store.kind!r} cannot be read here")
        with store.snapshot() as found:
            yield found

    def _at(self, paths: list[Path]) -> Store | None:
        """Return the SQLite store of a file; for journals and days None, and note the days."""
        if len(paths) == 1 and paths[0].is_file():
            return SqliteStore(paths[0])
        for path in paths:
            journal_id = read_identity(path) if path.is_dir() else None
            self._days += day_folders((path,)) if journal_id is None else days_from(path, journal_id, 0)
        return None

    def _made(self, *, trades: bool) -> Store:
        """Return a scratch database with the rows of the days."""
        if True in self._stores or trades in self._stores:
            return self._stores.get(True) or self._stores[trades]
        if not self._stores:
            folder = tempfile.mkdtemp(prefix="retape-research-")
            self._remove = weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
            self._folder = Path(folder)
        store = SqliteStore(self._folder / f"{trades}.db", with_trades=trades, scratch=True, exact=True)
        rebuild(store, self._days)
        self._stores[trades] = store
        return store


def data(source: Source) -> Data:
    """Return what a source holds, without reading it yet.

    `source`: a day, a journal or a list of days; an SQLite file; the address of a store, postgresql://HOST/NAME,
    http://HOST:9000 (QuestDB), redis://HOST, parquet://FOLDER; or a mapping with the keys of a `[[stores]]`
    section. Raises UsageError, ConfigError.
    """
    return Data(source)


def _method(table: str) -> str:
    """Return the method of `Data` that reads a table."""
    return {"round_trips": "trips", "funding_rates": "funding"}.get(table, table)


def _converts(cls: type[msgspec.Struct]) -> list[tuple[str, _Convert]]:
    """Return for each field how the value of a store becomes that of the struct."""
    hints = get_type_hints(cls, include_extras=True)
    found = []
    for name in cls.__struct_fields__:
        kinds = [one for one in get_args(hints[name]) if one is not NoneType]
        kind = kinds[0] if NoneType in get_args(hints[name]) else hints[name]
        found.append((name, cast("_Convert", _exact if kind == Exact else _CONVERTS[kind])))
    return found


def _exact(value: Any) -> str | None:
    return None if value is None or value != value else exact_text(value)


def _float(value: float | None) -> float | None:
    return None if value is None or value != value else float(value)


def _int(value: object) -> int | None:
    return None if value is None else int(cast("int", value))


def _str(value: object) -> str:
    return "" if value is None else str(value)


_CONVERTS: Final[dict[type, _Convert]] = {float: _float, int: _int, bool: bool, str: _str}
