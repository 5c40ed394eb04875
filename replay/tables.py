"""Tables that a strategy's modules hold: rows by time, such as prices that were written into a source.

Owns how a time in a table is recognized (a number of seconds, milli-, micro- or nanoseconds since 1970, or
ISO 8601 text, as the key of a dict or the first value of a row), and tables that grow with the time of a run.
Called by `replay.lookahead`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from operator import itemgetter
from typing import Any, Final

import msgspec

from engine.clock import parse_iso
from engine.errors import UsageError

__all__ = ["GrowingTables"]

_UNITS: Final = ((8, 10, 10**9), (11, 13, 10**6), (14, 16, 10**3), (17, 19, 1))
"""(digits from, to, nanoseconds): a time since 1970 between 1973 and 2286 in seconds, ms, us, ns."""
_DEPTH_MAX: Final = 4


class _Table(msgspec.Struct):
    """A table that grows: where its rows go, and (time, key, value) of those to come, the next one last."""

    name: str
    held: dict[Any, Any] | list[Any]
    waiting: list[tuple[int, Any, Any]]
    last_ns: int


class GrowingTables:
    """The tables of imported modules, emptied in place; `reveal` gives them the rows until a time.

    A table is a dict by time, a list or tuple of rows that begin with a time, also within other dicts, lists
    and tuples, or columns: a list of rising times and lists as long as it, in one module or one dict. A tuple
    becomes a list. Modules that share a table share it afterwards.
    """

    def __init__(self, modules: Iterable[str]) -> None:
        self._tables: list[_Table] = []
        self._replaced: dict[int, tuple[Any, Any]] = {}  # by id: the value, which keeps the id its own
        for module in modules:
            values = vars(sys.modules[module])
            named = {name: value for name, value in values.items() if not name.startswith("__")}
            columns = self._columns(named, {name: f"{module}.{name}" for name in named})
            for name, value in named.items():
                values[name] = self._replace(columns.get(name, value), f"{module}.{name}", 0)

    def reveal(self, until_ns: int) -> None:
        """Add the rows until a time, which does not fall."""
        for table in self._tables:
            while table.waiting and table.waiting[-1][0] <= until_ns:
                _, key, value = table.waiting.pop()
                if isinstance(table.held, dict):
                    table.held[key] = value
                else:
                    table.held.append(value)

    def later(self, at_ns: int) -> tuple[str, ...]:
        """Return the names of the tables that have rows after a time."""
        return tuple(dict.fromkeys(table.name for table in self._tables if table.last_ns > at_ns))

    def _columns(self, held: dict[Any, Any], names: dict[Any, str]) -> dict[Any, Any]:
        """Empty what is a column beside a list of times, and return it by its key."""
        lists = {key: one for key, one in held.items() if isinstance(one, list | tuple) and len(one) > 1}
        found: dict[Any, Any] = {}
        for times in lists.values():
            stamps = [time for time in map(_time_of, times) if time is not None]
            if len(stamps) < len(times) or stamps != sorted(set(stamps)):
                continue
            beside = {key: one for key, one in lists.items() if len(one) == len(stamps)}
            if len(beside) > 1:
                for key, column in beside.items():
                    found[key] = self._grown(column, names[key], stamps)
        return found

    def _grown(self, column: list[Any] | tuple[Any, ...], name: str, stamps: list[int]) -> list[Any]:
        if id(column) not in self._replaced:
            waiting = [(time, None, one) for time, one in zip(stamps, column, strict=True)]
            held = list(column) if isinstance(column, tuple) else column
            held.clear()
            self._tables.append(_Table(name, held, waiting[::-1], stamps[-1]))
            self._replaced[id(column)] = column, held
        grown: list[Any] = self._replaced[id(column)][1]
        return grown

    def _replace(self, value: Any, name: str, depth: int) -> Any:
        if depth > _DEPTH_MAX or not isinstance(value, dict | list | tuple) or not value:
            return value
        if id(value) not in self._replaced:
            self._replaced[id(value)] = value, self._emptied(value, name, depth)
        return self._replaced[id(value)][1]

    def _emptied(self, value: dict[Any, Any] | list[Any] | tuple[Any, ...], name: str, depth: int) -> Any:
        keys = list(value) if isinstance(value, dict) else [_first(row) for row in value]
        times = [time for time in map(_time_of, keys) if time is not None]
        if len(times) < len(keys):
            return self._inside(value, name, depth)
        rows = list(value.values()) if isinstance(value, dict) else list(value)
        waiting = sorted(zip(times, keys, rows, strict=True), key=itemgetter(0))
        held: dict[Any, Any] | list[Any] = list(value) if isinstance(value, tuple) else value
        held.clear()
        self._tables.append(_Table(name, held, waiting[::-1], waiting[-1][0]))
        return held

    def _inside(self, value: dict[Any, Any] | list[Any] | tuple[Any, ...], name: str, depth: int) -> Any:
        held = value if isinstance(value, dict) else dict(enumerate(value))
        columns = self._columns(held, dict.fromkeys(held, name))
        found = {key: self._replace(columns.get(key, one), name, depth + 1) for key, one in held.items()}
        if isinstance(value, tuple):
            changed = any(found[key] is not one for key, one in held.items())
            return tuple(found.values()) if changed else value
        for key, one in found.items():
            value[key] = one
        return value


def _first(row: Any) -> Any:
    if isinstance(row, dict):
        return next(iter(row.values()), None)
    return row[0] if isinstance(row, list | tuple) and row else None


def _time_of(key: Any) -> int | None:
    """Return a time in nanoseconds, None for what is none."""
    if isinstance(key, str):
        if len(key) < len("2024-12-05") or key[4:5] != "-":
            return None
        try:
            return parse_iso(key)
        except UsageError:
            return None
    if isinstance(key, bool) or not isinstance(key, int | float):
        return None
    digits = len(str(int(key))) if key > 0 else 0
    for low, high, unit in _UNITS:
        if low < digits <= high:
            return int(key * unit)
    return None
