"""Actor state to bytes and back, so that a day stands alone.

Owns the encoding: msgpack, in which every container names its kind, so that what comes back is equal in
type and in order: lists, tuples, dicts with any keys, deques, and structs and dataclasses by class name.
Nothing in a snapshot can run code: an object is built only if its class is among those the caller allows.
State is a tree: an object held in two places comes back as two.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

import msgspec

from engine.errors import JournalError, UsageError
from engine.values import INT64_MAX

__all__ = ["decode_state", "encode_state", "state_classes"]

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


def state_classes(modules: Iterable[str]) -> dict[str, type]:
    """Return the structs and dataclasses visible in imported modules, by their name in snapshots."""
    found: dict[str, type] = {}
    for module in modules:
        for member in vars(sys.modules[module]).values():
            if isinstance(member, type) and (issubclass(member, msgspec.Struct) or is_dataclass(member)):
                found[_name_of(member)] = member
    return found


def _fields_of(value: Any) -> Sequence[str]:
    """Return the names of a struct's or dataclass's fields, in the order its constructor takes them."""
    if isinstance(value, msgspec.Struct):
        return value.__struct_fields__
    return [field.name for field in fields(value)]


def _name_of(cls: type) -> str:
    return f"{cls.__module__}:{cls.__qualname__}"


def _pack(value: Any, where: str) -> Any:
    if value is None or isinstance(value, bool | float | str | bytes):
        return value
    if isinstance(value, int):
        return value if -INT64_MAX <= value <= INT64_MAX else ["i", str(value)]
    if isinstance(value, list):
        return ["l", [_pack(item, where) for item in value]]
    if isinstance(value, tuple):
        return ["t", [_pack(item, where) for item in value]]
    if isinstance(value, deque):
        return ["q", value.maxlen, [_pack(item, where) for item in value]]
    if isinstance(value, dict):
        return ["d", [[_pack(key, where), _pack(item, f"{where}.{key}")] for key, item in value.items()]]
    if isinstance(value, msgspec.Struct) or is_dataclass(value):
        names = _fields_of(value)
        return ["s", _name_of(type(value)), [_pack(getattr(value, f), f"{where}.{f}") for f in names]]
    hint = "; keep sorted lists instead" if isinstance(value, set | frozenset) else ""
    raise UsageError(
        f"{where} is a {type(value).__name__}, which a snapshot cannot store: "
        f"use numbers, text, lists, dicts, msgspec structs or dataclasses{hint}"
    )


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
        return classes[content](*(_unpack(item, classes) for item in value[2]))
    raise ValueError(f"unknown kind {kind!r}")
