"""The port to stores: what a database or a folder of files must do to hold the rows of a journal.

A store holds some of the tables of `engine.stores.rows.tables`, and a cursor: how far in which journal its
rows go. `StoreWriter` makes the rows, checks what belongs together, and drives the store; `catch_up` and
`rebuild` read the journal for it. What is particular to one database is behind this port, and nothing else
is.

What every store promises (tests/stores/store_contract.py checks it):

- A store that has transactions writes the rows and their cursor in one. A store without them writes each row
  under its primary key, so that a row written again replaces itself; makes the rows durable; and writes the
  cursor last, together with the instruments. After any crash the same records may then come again, and each
  row is there once.
- The cursor never goes beyond records that are durable in the journal: `StoreWriter` is given only those.
- What the database or the disk can do becomes `StoreUnavailable`; anything else that `write` raises means
  that a value cannot be held.
- No call blocks for more than a few seconds: waits for locks and for the network have a limit.
- Nothing waits for a store. It may be slow, fail, or be deleted: its rows can be made again from the journal.
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
    """How far rows go: all records up to `seq` of this journal, whose chain digest there is `digest`.

    Passed as a whole, so that a field added at the end, such as an epoch, reaches every store.
    """

    journal_id: bytes
    seq: int
    digest: bytes


class Rows(msgspec.Struct):
    """What one batch changes, by table; tables without changes are left out.

    `appended`: tuples in the order of the table's columns. `changed`: whole rows by primary key, each in the
    place of the row that has this key. A table with `newest` set keeps, of two rows with one key, the one
    that is not lower in that column.
    """

    appended: dict[str, list[tuple[object, ...]]]
    changed: dict[str, dict[object, Row]]


class RowSource(Protocol):
    """What the builder of rows needs of a store."""

    tables: frozenset[str]
    """The tables that the store holds. `orders`, `order_sums` and `fills` go together."""

    def number(self, value: int, scale: int, /) -> object:
        """Return an exact integer at a scale as the store holds it: a float, decimal text, a decimal.

        Quotients, such as average prices, are floats in every store.
        """
        ...

    def row(self, table: str, key: str) -> Row | None:
        """Return a copy of the row with this primary key, or None."""
        ...

    def trade_ids(self, client_order_id: str) -> dict[str, int]:
        """Return the venue's trade ids of an order's fills, each with the seq of its row."""
        ...


class Store(RowSource, Protocol):
    """One place that holds rows. Made without touching anything; the first transaction opens it.

    Called by one thread at a time, not always the same one. Every method may raise StoreUnavailable.
    """

    kind: str
    """The kind of store, as in the configuration."""

    place: str
    """Where the rows are, for people: a path, or an address without secrets."""

    remedy: str
    """What to do about rows that do not fit the journal, as the end of an error message."""

    def transaction(self) -> AbstractContextManager[None]:
        """Open the store if it is not open, and keep all that is written in the block, or nothing of it.

        A store without transactions only opens itself. Raises StoreUnavailable when another writer has it,
        StoreForeign when what is there is not a store of ours, StoreOutOfStep when it has other tables.
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

        Without a cursor only the rows are written: `StoreWriter` finds out which of them cannot be held, and
        undoes the transaction. Without transactions such rows stay, ahead of the cursor, which is harmless.
        """
        ...

    def witness(self) -> Cursor | None:
        """Return the cursor, or None, without opening the store for writing; it may have a writer."""
        ...

    def rebuild(self, fill: Callable[[Store], int]) -> int:
        """Make all rows again: have `fill` write them to an empty store, and return what it returns.

        A store that can do so keeps the old rows readable until the new ones are complete.
        """
        ...

    def close(self) -> None:
        """Close connections, files and locks; a second call does nothing, a transaction opens them again."""
        ...
