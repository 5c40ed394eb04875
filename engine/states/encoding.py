"""Encodes a state as bytes, and decodes it.

Owns the encoding: msgpack, in which every container names its kind, so that a value comes back equal in type
and in order: lists, tuples, dicts with any keys, deques, enums, structs, dataclasses and named tuples by
class name, and the values of `exact`. Any other subclass of these, which would come back as something else,
is refused. Nothing in a state can run code: an object is built only if its class is among those the caller
allows. State is a tree: an object held in two places comes back as two.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import is_dataclass
from enum import Enum
from functools import cached_property
from typing import Any, Final

import msgspec

from engine.errors import JournalError, StateVersionError, UsageError
from engine.states.evolution import NO_SHAPES, Refused, Shapes, Unknown, fields_of, is_named, made, name_of
from engine.states.exact import pack_exact, unpack_exact
from engine.values import INT64_MAX

__all__ = ["decode_state", "encode_state", "stored_state"]

_PLAIN: Final = frozenset({type(None), bool, float, str, bytes})

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode

_UNREADABLE: Final = (
    *(
        msgspec.MsgspecError,
        TypeError,
        ValueError,
        ArithmeticError,
        IndexError,
        RecursionError,
        AttributeError,
    ),
)


def encode_state(value: object, where: str) -> bytes:
    """Return the state as bytes. Raises UsageError naming the attribute that cannot be stored."""
    try:
        return _encode(_pack(value, where))
    except RecursionError:
        raise UsageError(f"{where} is nested too deep, or holds itself; keep it flat") from None
    except UnicodeEncodeError as error:
        raise UsageError(f"{where} holds {error.object!a}, which is not text that can be stored") from None


def decode_state(blob: bytes, classes: Mapping[str, type], shapes: Shapes = NO_SHAPES) -> Any:
    """Return the state that `encode_state` stored; `shapes` are those of the time it was stored.

    Raises StateVersionError if a class has changed in a way that the state cannot follow, JournalError if
    the bytes are not a state.
    """
    try:
        return _unpack(_decode(blob), classes, shapes)
    except (Unknown, Refused) as error:
        raise StateVersionError(f"state of an older version: {error.why}") from None
    except _UNREADABLE as error:
        raise JournalError(f"a snapshot cannot be read ({error!r})") from None


def stored_state(value: object, where: str, classes: Mapping[str, type]) -> Any:
    """Return the state as decoded after encoding. Raises UsageError if it cannot be stored or comes back
    changed.

    A state that cannot be restored would make the day that opens with it unreadable, so it is checked before
    it is written.
    """
    # The texts of these errors are recorded: they stand in the `ActorFailed` of a strategy.
    blob = encode_state(value, where)
    try:
        found = _unpack(_decode(blob), classes, NO_SHAPES)
        same = encode_state(found, where) == blob
    except Unknown as error:
        raise UsageError(
            f"{where} holds a {error.args[0]}, which a snapshot would not find again: define it at the top "
            "of the strategy's module, or import it there by its name"
        ) from None
    except (TypeError, ValueError) as error:
        raise UsageError(f"{where} does not come back from a snapshot: {error}") from None
    if not same:
        raise UsageError(f"{where} changes when it comes back from a snapshot")
    return found


def _pack(value: Any, where: str) -> Any:
    # The texts of these errors are recorded: they stand in the `ActorFailed` of a strategy.
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
        return ["s", name_of(cls), [value.name]]
    if issubclass(cls, msgspec.Struct) or is_dataclass(cls) or is_named(cls):
        fields = fields_of(cls)
        _check_attributes(value, fields, where)
        return ["s", name_of(cls), [_pack(_field(value, f, where), f"{where}.{f}") for f in fields]]
    packed = pack_exact(value, lambda part: _pack(part, where))
    if packed is not None:
        return packed
    raise UsageError(
        f"{where} is a {cls.__name__}, which a snapshot cannot store: "
        f"use numbers, text, lists, dicts, enums, msgspec structs or dataclasses{_hint(cls)}"
    )


def _field(value: Any, field: str, where: str) -> Any:
    try:
        return getattr(value, field)
    except AttributeError:
        raise UsageError(f"{where}.{field} has no value yet; give the field a default") from None


def _check_attributes(value: Any, fields: Sequence[str], where: str) -> None:
    """Raise UsageError for an attribute of an object that is not a field: it would not come back."""
    for name in getattr(value, "__dict__", ()):
        if name not in fields and not isinstance(getattr(type(value), name, None), cached_property):
            raise UsageError(
                f"{where}.{name} is not a field of {type(value).__name__}, so a snapshot would lose it; "
                "make it a field"
            )


def _hint(cls: type) -> str:
    known = (bool, int, float, str, bytes, list, tuple, dict, set, frozenset)
    plain = next((one for one in known if issubclass(cls, one)), None)
    return f"; {plain.__name__}(...) makes a plain one of it" if plain else ""


def _unpack(value: Any, classes: Mapping[str, type], shapes: Shapes) -> Any:
    if not isinstance(value, list):
        return value
    kind, content = value[0], value[1]
    if kind == "i":
        return int(content)
    if kind == "l":
        return [_unpack(item, classes, shapes) for item in content]
    if kind == "t":
        return tuple(_unpack(item, classes, shapes) for item in content)
    if kind == "q":
        return deque((_unpack(item, classes, shapes) for item in value[2]), maxlen=content)
    if kind == "d":
        return {_unpack(key, classes, shapes): _unpack(item, classes, shapes) for key, item in content}
    if kind == "s":
        if content not in classes:
            raise Unknown(content, f"there is no class {content}")
        values = [_unpack(item, classes, shapes) for item in value[2]]
        if shapes and (content not in shapes) != issubclass(classes[content], Enum):
            raise StateVersionError(f"state of an older version: {content} was another kind of class")
        return made(classes[content], values, shapes.get(content))
    return unpack_exact(kind, value[1:], lambda part: _unpack(part, classes, shapes))
