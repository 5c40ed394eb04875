"""Finds what cannot be stored in the state of a strategy, soon after it appears and at little cost.

Encoding a whole state after every bar would cost more than most strategies do. This check looks at types
only, and stops at those whose content is known to be storable; containers of plain values are read at the
speed of C. What it doubts is encoded and decoded (`stored_state`): what it finds is what would be refused at
midnight.

A large state is read whole every few calls only. In between its attributes are read, and the newest items of
their containers. Called by the actors of strategies.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Mapping, Reversible
from dataclasses import is_dataclass
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from itertools import islice
from typing import Any, Final, NamedTuple

import msgspec

from engine.errors import UsageError
from engine.states.encoding import encode_state, refuse_large, stored_state
from engine.states.evolution import fields_of, is_named, name_of
from engine.states.exact import is_storable_numpy

__all__ = ["StateCheck", "Unstorable"]

_PLAIN: Final = (type(None), bool, int, float, str, bytes, Decimal, date, timedelta, timezone)
_TRUSTED: Final = ("engine.indicators.", "engine.strategies.")
"""Packages of structs that hold only numbers."""

_NEWEST: Final = 4
"""The items of a large container that every call reads."""
_WORK_LARGE: Final = 10_000
"""A state that takes less work to read is no larger than some megabytes, unless it is one long text."""
_WORK_MAX: Final = 16
"""The values that one call may read, on average; `_ONE` in a container of plain values count as one."""
_ONE: Final = 16


class Unstorable(NamedTuple):
    """An attribute that cannot be stored. `inside`: it is something inside of its value."""

    attribute: str
    why: str
    inside: bool


class StateCheck:
    """Checks the states of one of `strategies`. `classes` are those that a snapshot finds again, by name.

    An attribute that is one of `dicts`, subclasses of dict, is stored as a plain one.
    """

    def __init__(
        self, classes: Mapping[str, type], strategies: int = 1, dicts: frozenset[type] = frozenset()
    ) -> None:
        self._classes = classes
        self._strategies = strategies
        self._dicts = dicts
        self._plain = set(_PLAIN)
        self._known: dict[type, Callable[[Any], bool]] = {
            list: self._read,
            tuple: self._read,
            deque: self._read,
            set: self._read_set,
            frozenset: self._read_set,
            dict: self._read_dict,
            datetime: _has_fixed_offset,
            time: _has_fixed_offset,
        }
        self._whole = True
        self._work = 0

    def find(self, state: Mapping[str, Any], where: str, *, whole: bool) -> Unstorable | None:
        """Return the first attribute that cannot be stored, None if there is none.

        Unless `whole`, only the newest items of large containers are read.
        """
        self._whole = whole
        self._work = 0
        plain, dicts = self._plain, self._dicts
        for name, value in state.items():
            kind = type(value)
            if kind in plain:
                continue
            if kind in dicts:
                self._work += 1
                storable = self._read_dict(value)
            else:
                storable = self._is_storable(value)
            if not storable:
                found = self.find_exactly({name: dict(value) if kind in dicts else value}, where)
                if found is not None:
                    return found
        return None

    def find_exactly(self, state: Mapping[str, Any], where: str) -> Unstorable | None:
        """Return the first attribute that cannot be stored, None if there is none: each is stored."""
        for name, value in state.items():
            try:
                stored_state(value, f"{where}.{name}", self._classes)
            except UsageError as error:
                itself = f"{where}.{name} is a {type(value).__name__},"
                return Unstorable(name, str(error), not str(error).startswith(itself))
        return None

    def refuse_large(self, state: Callable[[], Mapping[str, Any]], where: str) -> None:
        """Raise UsageError if a state that was just read whole is too large to be stored at midnight.

        One that took little work to read is not measured; `state` is called to measure it.
        """
        if self._work >= _WORK_LARGE:
            refuse_large(encode_state(state(), where), where, self._strategies)

    def calls_between(self) -> int:
        """Return for how many calls the whole state need not be read again."""
        return self._work // _WORK_MAX

    def _is_storable(self, value: Any) -> bool:
        """Return whether a value can be stored without doubt."""
        self._work += 1
        cls = type(value)
        look = self._known.get(cls)
        if look is None:
            if cls in self._plain:
                return True
            look = self._known[cls] = self._look_for(cls)
        try:
            return look(value)
        except RecursionError:
            return False

    def _look_for(self, cls: type) -> Callable[[Any], bool]:
        """Return what decides whether an object of a class can be stored."""
        if self._classes.get(name_of(cls)) is not cls:
            return is_storable_numpy
        if issubclass(cls, Enum) or cls.__module__.startswith(_TRUSTED):
            self._plain.add(cls)
            return _always
        if issubclass(cls, msgspec.Struct) and hasattr(cls, "__post_init__"):
            return _never  # it runs again when the struct is restored
        if not (issubclass(cls, msgspec.Struct) or is_dataclass(cls) or is_named(cls)):
            return _never
        fields = tuple(fields_of(cls))
        return lambda value: self._read_fields(value, fields)

    def _read_fields(self, value: Any, fields: tuple[str, ...]) -> bool:
        own = getattr(value, "__dict__", None)
        if own is not None and len(own) > len(fields):
            return False
        return self._are_storable([getattr(value, field, self) for field in fields])

    def _read(self, values: Any) -> bool:
        if not self._whole and len(values) > _NEWEST:
            values = list(islice(reversed(values), _NEWEST))
        return self._are_storable(values)

    def _read_set(self, values: Collection[Any]) -> bool:
        return (not self._whole and len(values) > _NEWEST) or self._are_storable(values)

    def _read_dict(self, values: dict[Any, Any]) -> bool:
        plain = self._plain
        if len(values) < _ONE and plain.issuperset(map(type, values)):
            return plain.issuperset(map(type, values.values())) or self._read(values.values())
        keys: Reversible[Any] = values.keys()
        items: Reversible[Any] = values.values()
        return self._read(keys) and self._read(items)

    def _are_storable(self, values: Collection[Any]) -> bool:
        self._work += len(values) // _ONE
        return self._plain.issuperset(map(type, values)) or all(map(self._is_storable, values))


def _has_fixed_offset(value: datetime | time) -> bool:
    return value.tzinfo is None or type(value.tzinfo) is timezone


def _always(_: object) -> bool:
    return True


def _never(_: object) -> bool:
    return False
