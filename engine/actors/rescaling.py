"""Moves scaled numbers to finer scales, when an instrument is listed again with finer scales than before.

Owns the rule of what is scaled: the annotations `Price`, `Size`, `Volume`, `Money` and `Value` of the fields
of states and events, and of the attributes that a class of actors declares in its body. A number under such
an annotation is multiplied by a power of ten if it belongs to the instrument: `InstrumentId` names the field,
or the key of a dict, that says so. All else stays as it is. Promises: exact, new objects instead of changed
ones, nothing is computed from a number that is not annotated. Called by `Actor.rescale`.
"""

from __future__ import annotations

import inspect
import sys
import types
from collections import deque
from dataclasses import is_dataclass, replace
from typing import Annotated, Any, Final, NamedTuple, Union, get_args, get_origin, get_type_hints

import msgspec

from engine.events.market import InstrumentListed
from engine.values import power_of_ten, wide

__all__ = ["Change", "hints_of", "kind_of", "rescaled"]

_KINDS: Final = ("price", "size", "money", "instrument")
_HINTS: Final[dict[type, dict[str, Any]]] = {}


class Change(NamedTuple):
    """What the numbers of an instrument are multiplied with: powers of ten."""

    instrument: int
    price: int
    size: int

    @classmethod
    def between(cls, before: InstrumentListed, listed: InstrumentListed) -> Change:
        """Return the change from one listing of an instrument to the next one."""
        return cls(
            listed.instrument,
            power_of_ten(listed.price_scale - before.price_scale),
            power_of_ten(listed.size_scale - before.size_scale),
        )

    def factor(self, kind: str) -> int:
        """Return the factor of a kind of number."""
        return {"price": self.price, "size": self.size, "money": self.price * self.size}[kind]


def rescaled(value: Any, hint: Any, change: Change, inside: bool = False) -> Any:
    """Return a value of this type after a change; `inside`: it belongs to the instrument of the change.

    Returns the value itself if nothing in it is scaled.
    """
    if value is None:
        return None
    kind = kind_of(hint)
    if kind in ("price", "size", "money"):
        return _moved(value, hint, change.factor(kind)) if inside else value
    origin = get_origin(hint)
    if origin is Annotated:
        return rescaled(value, get_args(hint)[0], change, inside)
    if origin in (Union, types.UnionType):
        scaled = [one for one in get_args(hint) if kind_of(one)]
        if scaled:
            return rescaled(value, scaled[0], change, inside)
    if origin is dict:
        key, of = get_args(hint)
        return _rescaled_dict(value, key, of, change, inside)
    if origin in (list, deque):
        (item,) = get_args(hint)
        items = [rescaled(one, item, change, inside) for one in value]
        if all(one is other for one, other in zip(items, value, strict=True)):
            return value
        return deque(items, value.maxlen) if isinstance(value, deque) else items
    if origin is tuple:
        args = get_args(hint)
        kinds = [args[0]] * len(value) if args[-1:] == (...,) else args
        parts = tuple(rescaled(one, of, change, inside) for one, of in zip(value, kinds, strict=True))
        return value if all(one is other for one, other in zip(parts, value, strict=True)) else parts
    return _rescaled_object(value, change, inside)


def kind_of(hint: Any) -> str:
    """Return the kind of a number: "price", "size", "money" or "instrument"; "" for all else."""
    if get_origin(hint) is not Annotated:
        return ""
    return next((one for one in get_args(hint)[1:] if one in _KINDS), "")


def hints_of(cls: type) -> dict[str, Any]:
    """Return the types that the bodies of a class and its bases declare, by name, with their kinds.

    Those that cannot be found at run time are left out: no state has them.
    """
    found = _HINTS.get(cls)
    if found is None:
        found = _HINTS[cls] = {}
        for base in reversed(cls.__mro__):
            names = vars(sys.modules[base.__module__])
            for name, written in inspect.get_annotations(base).items():
                one = type(name, (), {"__annotations__": {name: written}})
                try:
                    found |= get_type_hints(one, names, include_extras=True)
                except NameError:
                    found.pop(name, None)
    return found


def _moved(value: int | str, hint: Any, factor: int) -> int | str:
    """Return a number times a factor. Where the type allows it, one beyond 64 bits is text."""
    if factor == 1 or not value:
        return value
    number = int(value) * factor
    return wide(number) if str in get_args(get_args(hint)[0]) else number


def _rescaled_dict(value: dict[Any, Any], key: Any, of: Any, change: Change, inside: bool) -> dict[Any, Any]:
    """Return a dict whose keys may be instruments, or numbers to be moved."""
    found: dict[Any, Any] = {}
    same = True
    for name, one in value.items():
        within = inside if (number := _instrument_in(name, key)) is None else number == change.instrument
        new_name, new = rescaled(name, key, change, inside), rescaled(one, of, change, within)
        same = same and new_name is name and new is one
        found[new_name] = new
    return value if same else found


def _instrument_in(key: Any, hint: Any) -> int | None:
    """Return the instrument that a key of a dict names; None if it names none."""
    if kind_of(hint) == "instrument":
        return int(key)
    if get_origin(hint) is tuple:
        for one, of in zip(key, get_args(hint), strict=False):
            if kind_of(of) == "instrument":
                return int(one)
    return None


def _rescaled_object(value: Any, change: Change, inside: bool) -> Any:
    """Return a struct, dataclass or named tuple with its numbers moved; anything else as it is."""
    cls = type(value)
    if not (isinstance(value, msgspec.Struct) or is_dataclass(cls) or hasattr(cls, "_fields")):
        return value
    hints = hints_of(cls)
    for name, hint in hints.items():
        if kind_of(hint) == "instrument":
            inside = getattr(value, name) == change.instrument
    changed: dict[str, Any] = {}
    for name, hint in hints.items():
        before = getattr(value, name)
        after = rescaled(before, hint, change, inside)
        if after is not before:
            changed[name] = after
    if not changed:
        return value
    if isinstance(value, msgspec.Struct):
        return msgspec.structs.replace(value, **changed)
    return value._replace(**changed) if hasattr(cls, "_fields") else replace(value, **changed)
