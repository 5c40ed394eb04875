"""Reads a Parquet store at its cursor, beside a writer: files under links of its own, rows that still wait.

Files are replaced and never changed, so that links made while no batch is being written keep one state.
Memory is that of a part of each day, or of a table whose rows are replaced. Called by `store.py`.
"""

from __future__ import annotations

import heapq
import json
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from itertools import groupby
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from engine.stores.errors import StoreOutOfStep
from engine.stores.parquet.columns import arrow_table, rows_in, schema_of, selected
from engine.stores.parquet.parts import part_path, read_part
from engine.stores.parquet.state import State
from engine.stores.rows.tables import SCHEMA_VERSION, TABLES
from engine.stores.selecting import EVERYTHING, Selection
from engine.stores.store import Row

__all__ = ["INTERNAL", "ParquetSnapshot", "snapshot_of"]

INTERNAL: Final = frozenset({"cursor", "order_sums", "open_trips"})
"""Tables that only later rows need: they have no files."""


class ParquetSnapshot:
    """The state of a store at one moment (`engine.stores.checking.Snapshot`)."""

    ahead = True

    def __init__(self, folder: Path, state: State | None, place: str) -> None:
        self.cursor = None
        self.tables: frozenset[str] = frozenset()
        self.folder = folder
        self._parts: list[tuple[str, str, int, int]] = []
        self._waiting: dict[str, list[list[Any]]] = {}
        if state is None or (made_with := state.made_with()) is None:
            return
        version, self._decimals, tables = json.loads(made_with)
        if version != SCHEMA_VERSION:
            raise StoreOutOfStep(f"{place}: its files are of version {version}, not {SCHEMA_VERSION}")
        self.cursor = state.cursor()
        self.tables = frozenset(tables) - INTERNAL
        self._parts = state.parts()
        self._waiting = {name: [row for _, row in state.waiting(name)] for name in state.waiting_names()}

    def link(self, root: Path) -> None:
        """Link the files from their folder."""
        for name, day, part, _ in self._parts:
            link = part_path(self.folder, name, day, part)
            link.parent.mkdir(parents=True, exist_ok=True)
            os.link(part_path(root, name, day, part), link)

    def rows(self, table: str, only: Selection = EVERYTHING) -> Iterator[Row]:
        """See `Snapshot`."""
        shape = TABLES[table]
        days = sorted({day for name, day, _, _ in self._parts if name == table})
        sources = [*(self._of_day(table, day, only) for day in days), self._of_waiting(table)]
        if "seq" in shape.key:
            for _, rows in groupby(heapq.merge(*sources, key=_seq_of), _seq_of):
                yield from _sorted(shape.key, rows)
            return
        newest: dict[tuple[Any, ...], Row] = {}
        for source in sources:
            for row in source:
                key = tuple(row[column] for column in shape.key)
                before = newest.get(key)
                if before is None or not shape.newest or before[shape.newest] <= row[shape.newest]:
                    newest[key] = row
        yield from _sorted(shape.key, newest.values())

    def held(self, table: str, rows: Iterator[Row]) -> Iterator[Row]:
        """See `Snapshot`."""
        return rows

    def parts(self, table: str) -> list[tuple[str, int]]:
        """Return the files of a table, and how many of the rows of each count."""
        return [
            (str(part_path(self.folder, name, day, part)), rows)
            for name, day, part, rows in self._parts
            if name == table
        ]

    def waiting(self, table: str) -> pa.Table:
        """Return the rows that wait for a file."""
        shape = TABLES[table]
        return arrow_table(shape, schema_of(shape, self._decimals), self._waiting.get(table, []))

    def _of_day(self, table: str, day: str, only: Selection) -> Iterator[Row]:
        for name, of_day, part, rows in self._parts:
            if (name, of_day) == (table, day):
                found = read_part(part_path(self.folder, name, day, part), rows)
                yield from rows_in(TABLES[table], selected(found, only))

    def _of_waiting(self, table: str) -> Iterator[Row]:
        return rows_in(TABLES[table], self.waiting(table))


@contextmanager
def snapshot_of(root: Path, state_name: str, busy_s: float, place: str) -> Iterator[ParquetSnapshot]:
    """Read the state of the store in a folder; a writer waits while links are made."""
    if not (root / state_name).exists():
        yield ParquetSnapshot(root, None, place)
        return
    with tempfile.TemporaryDirectory(dir=root, prefix=".reading-") as folder:
        with closing(State(root / state_name, busy_s)) as state:
            state.begin()
            try:
                found = ParquetSnapshot(Path(folder), None if state.is_new() else state, place)
                found.link(root)
            finally:
                state.rollback()
        yield found


def _seq_of(row: Row) -> int:
    return int(row["seq"])


def _sorted(key: tuple[str, ...], rows: Iterable[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: [row[column] for column in key])
