"""Compares a store with the journal: its cursor with the chain digest, its rows with rows made again.

Promises that a store which passes has each row once, none too many, and each value as exactly as it can hold
it. It compares the state at the cursor: a store may be checked while a session writes it, and one that
is behind is compared as far as it goes. Called by `engine project --check --to`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, closing
from decimal import Decimal
from itertools import zip_longest
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import msgspec

from engine.stores.catchup import Progress, rebuild
from engine.stores.rows.shapes import TableShape
from engine.stores.rows.tables import TABLES
from engine.stores.sqlite.reading import dump_rows
from engine.stores.sqlite.store import SqliteStore
from engine.stores.store import Cursor, Row

__all__ = ["Checkable", "Checked", "Snapshot", "check"]

MICROSECONDS = len("2024-12-05T00:00:00.000000")


class Snapshot(Protocol):
    """The state of a store at one moment."""

    cursor: Cursor | None

    def rows(self, table: str) -> Iterator[Row]:
        """Yield the rows of a table by its primary key; texts are ordered by their bytes."""
        ...

    def keeps(self, table: str, row: Row) -> bool:
        """Return whether the store still holds a row of the journal, by its retention."""
        ...


@runtime_checkable
class Checkable(Protocol):
    """What a store has in addition, so that it can be checked."""

    place: str
    tables: frozenset[str]

    def snapshot(self) -> AbstractContextManager[Snapshot]:
        """Read one consistent state, beside a writer. Raises StoreUnavailable."""
        ...


class Checked(msgspec.Struct):
    """The result: how far the store goes, how many rows were compared, and the first difference, if any."""

    seq: int
    rows: int
    difference: str | None


def check(store: Checkable, days: Sequence[Path], *, progress: Progress | None = None) -> Checked:
    """Compare a store with these journal days, which begin with the journal's first."""
    with store.snapshot() as found, tempfile.TemporaryDirectory() as scratch:
        cursor = found.cursor
        if cursor is None:
            return Checked(0, 0, "it has no rows of a journal")
        path = Path(scratch) / "fresh.db"
        fresh = SqliteStore(path, with_trades="trades" in store.tables, exact=True)
        rebuild(fresh, days, until_seq=cursor.seq, progress=progress)
        expected = fresh.witness()
        if expected is None or expected.seq != cursor.seq:
            reached = expected.seq if expected else 0
            return Checked(cursor.seq, 0, f"its rows go to seq {cursor.seq}, but the journal to {reached}")
        if expected != cursor:
            return Checked(cursor.seq, 0, f"its rows end at seq {cursor.seq} of another state of the journal")
        count = 0
        for table, shape in TABLES.items():
            if table == "cursor" or table not in store.tables:
                continue
            with closing(dump_rows(path, [table])) as rows:
                ours = (row for _, row in rows if found.keeps(table, row))
                for mine, theirs in zip_longest(ours, found.rows(table)):
                    difference = _difference(table, shape, mine, theirs)
                    if difference is not None:
                        return Checked(cursor.seq, count, difference)
                    count += 1
        return Checked(cursor.seq, count, None)


def _difference(table: str, shape: TableShape, mine: Row | None, theirs: Row | None) -> str | None:
    left, right = _canonical(shape, mine), _canonical(shape, theirs)
    if left == right:
        return None
    key = [None if row is None else tuple(row[column] for column in shape.key) for row in (left, right)]
    if key[0] == key[1]:
        assert left is not None
        assert right is not None
        values = {name: (value, right[name]) for name, value in left.items() if value != right[name]}
        return f"a row of {table} differs from the journal's: {shape.key} {key[0]}: {values}"
    missing = right is None or (left is not None and str(key[0]) < str(key[1]))
    which = f"lacks the row {key[0]}" if missing else f"has a row too many, {key[1]}"
    return f"{table} {which} ({', '.join(shape.key)})"


def _canonical(shape: TableShape, row: Row | None) -> Row | None:
    return None if row is None else {name: _value(shape, name, value) for name, value in row.items()}


def _value(shape: TableShape, name: str, value: Any) -> Any:
    """Return a value in the one form in which values of all databases are compared."""
    kind = shape.columns[name]
    if value is None or value != value:  # not a number: some databases have no such value
        return None
    if name in shape.times:
        return value[:MICROSECONDS]
    if kind is float:
        return float(value) if name in shape.quotients else Decimal(str(value))
    if kind is bool:
        return bool(value)
    return value.replace("\x00", "\ufffd") if kind is str else value
