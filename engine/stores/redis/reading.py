"""Rows of a Redis store as those of tables, for comparisons with the journal.

A row that is in a hash and in a stream counts twice. Not compared: rows ahead of the cursor, entries of bars
that were corrected later, and keys that have expired. Called by `store.py`. No I/O.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

import msgspec

from engine.stores.redis.entries import HASHES, STREAMS, TABLES_HELD
from engine.stores.rows.tables import TABLES
from engine.stores.selecting import EVERYTHING, Selection
from engine.stores.store import Cursor, Row

__all__ = ["RedisSnapshot"]

_OF_HASH: Final = {shape.name: table for table, shape in HASHES.items()}
_OF_STREAM: Final = {shape.name: table for table, shape in STREAMS.items()}


class RedisSnapshot:
    """The rows at the cursor (`engine.stores.checking.Snapshot`). Keys are added without their prefix."""

    tables = TABLES_HELD
    ahead = False  # rows ahead of the cursor are left out here

    def __init__(
        self, cursor: Cursor | None, instruments: bytes | None, *, length: int, expires: bool
    ) -> None:
        self.cursor = cursor
        listed = {} if instruments is None else msgspec.json.decode(instruments, type=dict[str, Row])
        self._instruments = list(listed.values())
        self._length = length
        self._expires = expires
        self._hashes: dict[str, dict[str, Row]] = {table: {} for table in HASHES}
        self._streams: dict[str, dict[str, list[Row]]] = {table: {} for table in STREAMS}
        self._begins: dict[str, int] = {}  # the first seq of each stream that is full
        self._newer: set[str] = set()  # hashes ahead of the cursor

    @staticmethod
    def is_hash(key: str) -> bool:
        """Return whether a key is that of a row."""
        return key.partition(":")[0] in _OF_HASH

    @staticmethod
    def is_stream(key: str) -> bool:
        """Return whether a key is that of a stream."""
        return key.partition(":")[0] in _OF_STREAM

    def add_hash(self, key: str, fields: Row) -> None:
        """Add the row of a key. A key that has just expired has no fields."""
        table = _OF_HASH[key.partition(":")[0]]
        if not fields:
            return
        row = _typed(table, fields)
        if self.cursor is None or row["seq"] > self.cursor.seq:
            self._newer.add(key)
        else:
            self._hashes[table][key] = row

    def add_stream(self, key: str, entries: Sequence[Row]) -> None:
        """Add the entries of a stream, in order."""
        table = _OF_STREAM[key.partition(":")[0]]
        if entries and len(entries) >= self._length:
            self._begins[key] = int(entries[0]["seq"])
        at_cursor: dict[tuple[Any, ...], Row] = {}
        for fields in entries:
            row = _typed(table, fields)
            if self.cursor is not None and row["seq"] <= self.cursor.seq:
                at_cursor[_key_of(table, row)] = row
        self._streams[table][key] = list(at_cursor.values())

    def rows(self, table: str, only: Selection = EVERYTHING) -> Iterator[Row]:
        """See `Snapshot`."""
        if table == "instruments":
            return iter(_sorted(table, self._instruments))
        streams = self._streams.get(table, {}).values()
        return iter(
            _sorted(table, [*self._hashes[table].values(), *(row for rows in streams for row in rows)])
        )

    def held(self, table: str, rows: Iterator[Row]) -> Iterator[Row]:
        """See `Snapshot`."""
        if table == "instruments":
            yield from rows
            return
        shape, stream = HASHES[table], STREAMS.get(table)
        newest: dict[str, tuple[str, Row]] = {}
        entries: list[Row] = []
        for row in rows:
            key, rank = shape.key_of(row), shape.rank_of(row)
            if key not in newest or newest[key][0] <= rank:
                newest[key] = (rank, row)
            if stream is not None:
                of_stream = stream.key_of(row)
                expired = self._expires and of_stream not in self._streams[table]
                if not expired and row["seq"] >= self._begins.get(of_stream, 0):
                    entries.append(row)
        for key, (_, row) in newest.items():
            if key not in self._newer and (key in self._hashes[table] or not self._expires):
                entries.append(row)
        yield from _sorted(table, entries)


def _typed(table: str, fields: Row) -> Row:
    """Return a row with values of the types of its columns; a number stays decimal text."""
    shape = TABLES[table]
    row: Row = {}
    for name, kind in shape.columns.items():
        text = fields.get(name)
        row[name] = text if text is None or kind in (str, float) else int(text)
    return row


def _key_of(table: str, row: Row) -> tuple[Any, ...]:
    return tuple(row[column] for column in TABLES[table].key)


def _sorted(table: str, rows: Iterable[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: _key_of(table, row))
