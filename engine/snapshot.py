"""Actor state to bytes and back, so that a day stands alone.

Owns the encoding: msgpack, in which every container names its kind, so that what comes back is equal in
type and in order: lists, tuples, dicts with any keys, deques, enums, and structs and dataclasses by class
name. A subclass of these, which would come back as something else, is refused.
Nothing in a snapshot can run code: an object is built only if its class is among those the caller allows.
State is a tree: an object held in two places comes back as two.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from enum import Enum
from types import ModuleType
from typing import Any, Final

import msgspec

import engine.indicators  # noqa: F401  its structs may be in a state that is read back
from engine.errors import JournalError, UsageError
from engine.floors import PACKAGES
from engine.values import INT64_MAX

__all__ = ["classes_of", "decode_state", "encode_state", "state_classes", "stored_state"]

_SHARED_MODULES: Final = ("engine.events", "engine.indicators")
"""Where every actor's state may take its structs from, besides the modules its own classes are in."""

_PLAIN: Final = frozenset({type(None), bool, float, str, bytes})

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode


def encode_state(value: object, where: str) -> bytes:
    """Return the state as bytes. Raises UsageError naming the attribute that cannot be stored."""
    try:
        return _encode(_pack(value, where))
    except RecursionError:
        raise UsageError(f"{where} is nested too deep, or holds itself; keep it flat") from None


def decode_state(blob: bytes, classes: Mapping[str, type]) -> Any:
    """Return the state that `encode_state` stored. Raises JournalError on anything else."""
    try:
        return _unpack(_decode(blob), classes)
    except (msgspec.MsgspecError, KeyError, TypeError, ValueError, IndexError, RecursionError) as error:
        raise JournalError(f"a snapshot cannot be read ({error!r}); replay from an earlier day") from None


def stored_state(value: object, where: str, classes: Mapping[str, type]) -> Any:
    """Return the state as it will come back. Raises UsageError when it cannot be stored or comes back other.

    What does not come back from a day's snapshot would end that day's replay, so it is to be told before.
    """
    blob = encode_state(value, where)
    try:
        found = _unpack(_decode(blob), classes)
        same = encode_state(found, where) == blob
    except KeyError as error:
        raise UsageError(
            f"{where} holds a {error.args[0]}, which a snapshot would not find again: define it at the top "
            "of the strategy's module, or import it there by its name"
        ) from None
    except (TypeError, ValueError) as error:
        raise UsageError(f"{where} does not come back from a snapshot: {error}") from None
    if not same:
        raise UsageError(f"{where} changes when it comes back from a snapshot")
    return found


def classes_of(actor: object) -> dict[str, type]:
    """Return the classes that an actor's state may be made of, by their name in snapshots."""
    own = dict.fromkeys((*_SHARED_MODULES, *(cls.__module__ for cls in type(actor).__mro__)))
    return state_classes([name for name in own if name in sys.modules])


def state_classes(modules: Iterable[str]) -> dict[str, type]:
    """Return the structs, dataclasses and enums that imported modules show, by their name in snapshots.

    Those inside of classes too, and those of the modules of a strategy's project that they hold.
    """
    found: dict[str, type] = {}
    waiting = [sys.modules[name] for name in modules]
    asked = {module.__name__ for module in waiting}
    while waiting:
        for member in list(vars(waiting.pop()).values()):
            if isinstance(member, type):
                _add_classes(member, found)
            elif isinstance(member, ModuleType) and member.__name__ not in asked:
                asked.add(member.__name__)
                if _is_of_project(member):
                    waiting.append(member)
    return found


def _is_of_project(module: ModuleType) -> bool:
    """Return whether a module is neither Python's nor the engine's nor an installed package's."""
    top = module.__name__.partition(".")[0]
    file = getattr(module, "__file__", None) or ""
    return top not in sys.stdlib_module_names.union(PACKAGES) and "-packages" not in file


def _add_classes(cls: type, found: dict[str, type]) -> None:
    if _name_of(cls) in found or cls.__module__ == "builtins":
        return
    if issubclass(cls, msgspec.Struct | Enum) or is_dataclass(cls):
        found[_name_of(cls)] = cls
    for member in vars(cls).values():
        if isinstance(member, type) and member.__qualname__.startswith(f"{cls.__qualname__}."):
            _add_classes(member, found)


def _fields_of(cls: Any) -> Sequence[str]:
    """Return the names of a struct's or dataclass's fields, in their order."""
    if issubclass(cls, msgspec.Struct):
        return tuple(cls.__struct_fields__)
    return [field.name for field in fields(cls)]


def _made(cls: type, values: Sequence[Any]) -> Any:
    """Return an object with these fields. A dataclass's `__init__` and `__post_init__` do not run again."""
    if issubclass(cls, Enum):
        (name,) = values
        return cls[name]
    names = _fields_of(cls)
    if len(names) != len(values):
        raise ValueError(f"{_name_of(cls)} has {len(names)} fields, not {len(values)}")
    if issubclass(cls, msgspec.Struct):
        return cls(**dict(zip(names, values, strict=True)))
    fresh: Any = object.__new__(cls)
    for name, value in zip(names, values, strict=True):
        object.__setattr__(fresh, name, value)
    return fresh


def _name_of(cls: type) -> str:
    return f"{cls.__module__}:{cls.__qualname__}"


def _pack(value: Any, where: str) -> Any:
    cls = type(value)
    if cls in _PLAIN:
        return value
    if cls is int:
        return value if -INT64_MAX <= value <= INT64_MAX else ["i", str(value)]
    if cls is list:
        return ["l", [_pack(item, where) for item in value]]
    if cls is tuple:
        return ["t", [_pack(item, where) for item in value]]
    if cls is deque:
        return ["q", value.maxlen, [_pack(item, where) for item in value]]
    if cls is dict:
        return ["d", [[_pack(key, where), _pack(item, f"{where}.{key}")] for key, item in value.items()]]
    if issubclass(cls, Enum):
        return ["s", _name_of(cls), [value.name]]
    if issubclass(cls, msgspec.Struct) or is_dataclass(cls):
        names = _fields_of(cls)
        return ["s", _name_of(cls), [_pack(getattr(value, f), f"{where}.{f}") for f in names]]
    raise UsageError(
        f"{where} is a {cls.__name__}, which a snapshot cannot store: "
        f"use numbers, text, lists, dicts, enums, msgspec structs or dataclasses{_hint(cls)}"
    )


def _hint(cls: type) -> str:
    if issubclass(cls, set | frozenset):
        return "; keep sorted lists instead"
    plain = next(
        (one for one in (bool, int, float, str, bytes, list, tuple, dict) if issubclass(cls, one)), None
    )
    return f"; {plain.__name__}(...) makes a plain one of it" if plain else ""


def _unpack(value: Any, classes: Mapping[str, type]) -> Any:
    if not isinstance(value, list):
        return value
    kind, content = value[0], value[1]
    if kind == "i":
        return int(content)
    if kind == "l":
        return [_unpack(item, classes) for item in content]
    if kind == "t":
        return tuple(_unpack(item, classes) for item in content)
    if kind == "q":
        return deque((_unpack(item, classes) for item in value[2]), maxlen=content)
    if kind == "d":
        return {_unpack(key, classes): _unpack(item, classes) for key, item in content}
    if kind == "s":
        return _made(classes[content], [_unpack(item, classes) for item in value[2]])
    raise ValueError(f"unknown kind {kind!r}")
