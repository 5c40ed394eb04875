"""Compares a store with the journal: its cursor with the chain digest, its rows with rows made again.

Promises that a store which passes has each row once, none too many, and each value as exactly as it can hold
it. It compares the state at the cursor: a store may be checked while a session writes it, and one that
is behind is compared as far as it goes. Rows ahead of the cursor, which a store without transactions may have
after a crash, are left out: they come again. Called by `engine project --check --to`.
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
from engine.stores.selecting import EVERYTHING, Selection
from engine.stores.sqlite.reading import dump_rows
from engine.stores.sqlite.store import SqliteStore
from engine.stores.store import Cursor, Row

__all__ = ["Checkable", "Checked", "Snapshot", "check"]

_SEQS = ("seq", "updated_seq", "stop_seq")
"""The columns with the record that a row was written for. Every table has the first."""
MICROSECONDS = len("2024-12-05T00:00:00.000000")


class Snapshot(Protocol):
    """The state of a store at one moment, or that of its cursor with rows ahead of it."""

    cursor: Cursor | None

    tables: frozenset[str]
    """The tables that can be compared."""

    ahead: bool
    """Whether there may be rows ahead of the cursor: the store has no transactions."""

    def rows(self, table: str, only: Selection = EVERYTHING) -> Iterator[Row]:
        """Yield the rows of a table by its primary key; texts are ordered by their bytes.

        Of those that are not in `only` some may be yielded too.
        """
        ...

    def held(self, table: str, rows: Iterator[Row]) -> Iterator[Row]:
        """Yield those of the journal's rows that the store should hold, in the same order as `rows`.

        Some are past their retention, and some stores keep the newest of each key only.
        """
        ...


@runtime_checkable
class Checkable(Protocol):
    """What a store has in addition, so that it can be checked."""

    place: str

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
        fresh = SqliteStore(path, with_trades="trades" in found.tables, exact=True)
        rebuild(fresh, days, until_seq=cursor.seq, progress=progress)
        expected = fresh.witness()
        if expected is None or expected.seq != cursor.seq:
            reached = expected.seq if expected else 0
            return Checked(cursor.seq, 0, f"its rows go to seq {cursor.seq}, but the journal to {reached}")
        if expected != cursor:
            return Checked(cursor.seq, 0, f"its rows end at seq {cursor.seq} of another state of the journal")
        count = 0
        for table, shape in TABLES.items():
            if table not in found.tables:
                continue
            with closing(dump_rows(path, [table])) as rows:
                for mine, theirs in _paired(found, table, (row for _, row in rows), cursor.seq):
                    difference = _difference(table, shape, mine, theirs)
                    if difference is not None:
                        return Checked(cursor.seq, count, difference)
                    count += 1
        return Checked(cursor.seq, count, None)


def _paired(
    found: Snapshot, table: str, rows: Iterator[Row], seq: int
) -> Iterator[tuple[Row | None, Row | None]]:
    """Yield the rows of the journal and of the store side by side, without those ahead of the cursor."""
    ours, theirs = found.held(table, rows), found.rows(table)
    if not found.ahead:
        yield from zip_longest(ours, theirs)
        return
    key, newer = TABLES[table].key, set()
    changed = [name for name in TABLES[table].columns if name in _SEQS]

    def at_cursor() -> Iterator[Row]:
        for row in theirs:
            if max(row[column] or 0 for column in changed) > seq:
                newer.add(tuple(row[column] for column in key))
            else:
                yield row

    # The store's row is taken first: by then it is known whether that of the same key is ahead.
    mine = (row for row in ours if tuple(row[column] for column in key) not in newer)
    for right, left in zip_longest(at_cursor(), mine):
        yield left, right


def _difference(table: str, shape: TableShape, mine: Row | None, theirs: Row | None) -> str | None:
    left, right = _canonical(shape, mine), _canonical(shape, theirs)
    if left == right:
        return None
    key: list[Any] = [
        None if row is None else tuple(row[column] for column in shape.key) for row in (left, right)
    ]
    if key[0] == key[1]:
        assert left is not None
        assert right is not None
        values = {name: (value, right[name]) for name, value in left.items() if value != right[name]}
        return f"a row of {table} differs from the journal's: {shape.key} {key[0]}: {values}"
    missing = right is None or (left is not None and key[0] < key[1])
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
