"""The UTC day of a row: which folder its file is in. Pure. Called by `store.py`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, lru_cache
from typing import Any, Final

from engine.clock import DAY_NS
from engine.journal import day_name, day_of_ns
from engine.stores.rows.tables import TABLES

__all__ = ["by_day", "day_of"]

_WITHOUT_DAYS: Final = frozenset({"instruments", "positions", "quotes", "sessions"})
_DAYS: Final = ("start_ns", "time_ns", "at_ns", "exited_ns", "submitted_ns", "updated_ns")
"""The time that decides a row's day: the first of these that the table has, and the row."""


def day_of(table: str, row: Sequence[Any]) -> str:
    """Return the day of a row, 2024-12-05; "" for a table without days."""
    if table in _WITHOUT_DAYS:
        return ""
    return _name(next(row[at] for at in _columns(table) if row[at] is not None) // DAY_NS)


def by_day(table: str, rows: list[Sequence[Any]]) -> dict[str, list[Sequence[Any]]]:
    """Return rows by their days, in order."""
    if rows and table not in _WITHOUT_DAYS:
        first = _columns(table)[0]
        times = [row[first] for row in rows]
        if None not in times and min(times) // DAY_NS == max(times) // DAY_NS:
            return {_name(times[0] // DAY_NS): rows}
    found: dict[str, list[Sequence[Any]]] = {}
    for row in rows:
        found.setdefault(day_of(table, row), []).append(row)
    return found


@cache
def _columns(table: str) -> tuple[int, ...]:
    columns = list(TABLES[table].columns)
    return tuple(columns.index(name) for name in _DAYS if name in columns)


@lru_cache(maxsize=64)
def _name(day: int) -> str:
    return day_name(day_of_ns(day * DAY_NS))
