"""Rows derived from the journal, for people and their tools; nothing deterministic reads them.

A projection may lag, may be deleted, and is then made again from the journal, row for row.
"""

from __future__ import annotations

from engine.stores.catchup import catch_up, rebuild
from engine.stores.csv_bars import CsvStore
from engine.stores.errors import (
    RowFailed,
    StoreError,
    StoreOutOfStep,
    StoreUnavailable,
)
from engine.stores.sqlite.reading import CursorRow, dump_rows, first_difference, witness
from engine.stores.sqlite.store import SqliteStore

__all__ = [
    "CsvStore",
    "CursorRow",
    "RowFailed",
    "SqliteStore",
    "StoreError",
    "StoreOutOfStep",
    "StoreUnavailable",
    "catch_up",
    "dump_rows",
    "first_difference",
    "rebuild",
    "witness",
]
