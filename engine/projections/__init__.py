"""Rows derived from the journal, for people and their tools; nothing deterministic reads them.

A projection may lag, may be deleted, and is then made again from the journal, row for row.
"""

from __future__ import annotations

from engine.projections.csv_bars import CsvBars
from engine.projections.errors import (
    ProjectionError,
    ProjectionFailed,
    ProjectionOutOfStep,
    ProjectionUnavailable,
)
from engine.projections.from_journal import catch_up, rebuild
from engine.projections.reading import CursorRow, dump_rows, first_difference, witness
from engine.projections.rows import InstrumentsOf
from engine.projections.sqlite import SqliteProjection

__all__ = [
    "CsvBars",
    "CursorRow",
    "InstrumentsOf",
    "ProjectionError",
    "ProjectionFailed",
    "ProjectionOutOfStep",
    "ProjectionUnavailable",
    "SqliteProjection",
    "catch_up",
    "dump_rows",
    "first_difference",
    "rebuild",
    "witness",
]
