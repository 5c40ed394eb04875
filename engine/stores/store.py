"""The port to stores: what a database or a folder of files must implement to hold the rows of a journal.

A store holds some of the tables of `engine.stores.rows.tables`, and a cursor: the position of its rows in the
journal. `StoreWriter` makes the rows, checks that they follow the cursor, and calls the store; `catch_up` and
`rebuild` read the journal for it. Only what is specific to one database is behind this port.

What every store promises (tests/stores/store_contract.py checks it):

- A store that has transactions writes the rows and their cursor in one. A store without them writes each row
  under its primary key, so that a row written again replaces itself; makes the rows durable; and writes the
  cursor last, together with the instruments. After a crash the same records may be written again; each row
  still exists once.
- The cursor never goes beyond records that are durable in the journal: `StoreWriter` is given only those.
- Errors of the database or the disk are raised as `StoreUnavailable`; any other error of `write` means that
  a value cannot be stored.
- No call blocks for more than a few seconds: waits for locks and for the network have a limit.
- Nothing waits for a store. It may be slow, fail, or be deleted: its rows can be rebuilt from the journal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import Any, Protocol

import msgspec

__all__ = ["Cursor", "Number", "Row", "RowSource", "Rows", "Store"]

Row = dict[str, Any]

Number = Callable[[int, int], object]
"""Returns an exact integer at a scale as a store holds it."""


class Cursor(msgspec.Struct, frozen=True):
    """The position of rows in a journal: all records up to `seq`, where the chain digest is `digest`.

    `epoch` is that of the newest opening of the journal up to there; 0 if none has one. Passed as a whole, so
    that a field added at the end reaches every store.
    """

    journal_id: bytes
    seq: int
    digest: bytes
    epoch: int = 0


class Rows(msgspec.Struct):
    """The changes of one batch, by table; tables without changes are left out.

    `appended`: tuples in the order of the table's columns. `changed`: whole rows by primary key, each
    replaces the row with this key. A table with `newest` set keeps, of two rows with one key, the one that is
    not lower in that column.
    """

    appended: dict[str, list[tuple[object, ...]]]
    changed: dict[str, dict[object, Row]]


class RowSource(Protocol):
    """The part of a store that the builder of rows uses."""

    tables: frozenset[str]
    """The tables that the store holds. `orders`, `order_sums` and `fills` go together."""

    def number(self, value: int, scale: int, /) -> object:
        """Return an exact integer at a scale as the store holds it: a float, decimal text, a decimal.

        Quotients, such as average prices, are floats in every store.
        """
        ...

    # A store that makes the texts of times itself, from the nanoseconds beside them, may have a method
    # `time(ns)`: its result stands in the row instead of `iso_text(ns)`.

    def row(self, table: str, key: str) -> Row | None:
        """Return a copy of the row with this primary key, or None."""
        ...

    def trade_ids(self, client_order_id: str) -> dict[str, int]:
        """Return the venue's trade ids of an order's fills, each with the seq of its first row."""
        ...


class Store(RowSource, Protocol):
    """A store of rows. Created without I/O; the first transaction opens it.

    Called by one thread at a time, not always the same one. Every method may raise StoreUnavailable.
    """

    kind: str
    """The kind of store, as in the configuration."""

    place: str
    """Where the rows are, for people: a path, or an address without secrets."""

    remedy: str
    """What to do about rows that do not fit the journal, as the end of an error message."""

    def transaction(self) -> AbstractContextManager[None]:
        """Open the store if it is not open, and keep everything written in the block, or nothing.

        A store without transactions only opens itself. Raises StoreUnavailable when another writer has it,
        StoreForeign when its place holds something else, StoreOutOfStep when it has other tables.
        """
        ...

    def cursor(self) -> Cursor | None:
        """Return how far the rows go, or None when nothing was written. Called in a transaction."""
        ...

    def instruments(self) -> Iterable[Row]:
        """Return the rows of the table `instruments` as they were at the cursor. Called in a transaction."""
        ...

    def write(self, rows: Rows, cursor: Cursor | None) -> None:
        """Write rows, then the cursor. Called in a transaction.

        Without a cursor only the rows are written: `StoreWriter` uses this to find the row that cannot be
        stored, and undoes the transaction. Without transactions such rows remain ahead of the cursor, which
        is harmless.
        """
        ...

    def witness(self) -> Cursor | None:
        """Return the cursor, or None, without opening the store for writing; it may have a writer."""
        ...

    def rebuild(self, fill: Callable[[Store], int]) -> int:
        """Rewrite all rows: call `fill` with an empty store, and return its result.

        A store that can do so keeps the old rows readable until the new ones are complete.
        """
        ...

    def close(self) -> None:
        """Close connections, files and locks; a second call does nothing, a transaction opens them again."""
        ...
