"""Encodes a state as bytes, and decodes it.

Owns the encoding: msgpack, in which every container names its kind, so that a value comes back equal in type
and in order: lists, tuples, dicts with any keys, deques, enums, structs, dataclasses and named tuples by
class name, and the values of `exact`. Any other subclass of these, which would come back as something else,
is refused. Nothing in a state can run code: an object is built only if its class is among those the caller
allows. State is a tree: an object held in two places comes back as two.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import is_dataclass
from enum import Enum
from functools import cached_property, lru_cache, partial
from typing import Any, Final, NamedTuple

import msgspec
from msgspec.structs import astuple

from engine.errors import JournalError, StateVersionError, UsageError
from engine.states.evolution import NO_SHAPES, Refused, Shapes, Unknown, fields_of, is_named, made, name_of
from engine.states.exact import pack_exact, unpack_exact
from engine.values import INT64_MAX

__all__ = ["decode_state", "encode_fields", "encode_state", "refuse_large", "restored_state", "stored_state"]

_MIB: Final = 1024 * 1024
_ONE_MAX: Final = 16
_ALL_MAX: Final = 40
"""Of a frame of 64 MiB, in which a day opens with the states of all actors."""

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
        return _encode(_pack(value))
    except _Unstorable as error:
        raise UsageError(f"{where}{error.place()}{error.why}") from None
    except RecursionError:
        raise UsageError(f"{where} is nested too deep, or holds itself; keep it flat") from None
    except UnicodeEncodeError as error:
        raise UsageError(f"{where} holds {error.object!a}, which is not text that can be stored") from None


def encode_fields(fields: Mapping[str, bytes]) -> bytes:
    """Return what `encode_state` returns for a dict of at most 15 values, each encoded already."""
    assert len(fields) < 16, "the size of the array is in its first byte"
    parts = [b"\x92\xa1d", bytes((0x90 + len(fields),))]
    for name, blob in fields.items():
        parts += (b"\x92", _encode(name), blob)
    return b"".join(parts)


def refuse_large(blob: bytes, where: str, strategies: int) -> bytes:
    """Return the state of one of so many strategies. Raises UsageError if a day could not open with all."""
    mib = min(_ONE_MAX, _ALL_MAX // max(1, strategies))
    if len(blob) > mib * _MIB:
        raise UsageError(
            f"{where} takes {len(blob) / _MIB:.1f} MiB, and a day opens with at most {mib} of each strategy; "
            "keep less, such as a deque with maxlen"
        )
    return blob


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
    return restored_state(encode_state(value, where), where, classes)


def restored_state(blob: bytes, where: str, classes: Mapping[str, type]) -> Any:
    """Decode a state that was just encoded. Raises UsageError if it does not come back, or changed."""
    # The texts of these errors are recorded: they stand in the `ActorFailed` of a strategy.
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


class _Unstorable(Exception):
    """A value that cannot be stored: `why` ends a sentence, `path` leads to the value.

    The texts are recorded: they stand in the `ActorFailed` of a strategy.
    """

    def __init__(self, why: str, *path: object) -> None:
        super().__init__(why)
        self.why = why
        self.path = list(path)

    def place(self) -> str:
        return "".join(f".{part}" for part in reversed(self.path))


class _Plan(NamedTuple):
    """How objects of a class are packed. `open`: they can have attributes that are not fields."""

    name: str
    fields: tuple[str, ...]
    struct: bool
    open: bool


@lru_cache(maxsize=512)
def _plan_of(cls: type) -> _Plan | None:
    """Return how objects of a class are packed, None for a class that has no fields."""
    struct = issubclass(cls, msgspec.Struct)
    if not (struct or is_dataclass(cls) or is_named(cls)):
        return None
    return _Plan(name_of(cls), tuple(fields_of(cls)), struct, cls.__dictoffset__ != 0)


def _pack(value: Any) -> Any:
    cls = type(value)
    if cls in _PLAIN:
        return value
    if cls is int:
        return value if -INT64_MAX <= value <= INT64_MAX else ["i", str(value)]
    if cls is list:
        return ["l", _pack_items(value)]
    if cls is tuple:
        return ["t", _pack_items(value)]
    if cls is deque:
        return ["q", value.maxlen, _pack_items(value)]
    if cls is dict:
        return ["d", _pack_dict(value)]
    if issubclass(cls, Enum):
        return ["s", name_of(cls), [value.name]]
    plan = _plan_of(cls)  # type: ignore[arg-type]  # mypy: a class is hashable
    if plan is not None:
        return ["s", plan.name, _pack_fields(value, plan)]
    packed = pack_exact(value, _pack)
    if packed is not None:
        return packed
    raise _Unstorable(
        f" is a {cls.__name__}, which a snapshot cannot store: "
        f"use numbers, text, lists, dicts, enums, msgspec structs or dataclasses{_hint(cls)}"
    )


def _pack_items(values: Iterable[Any]) -> list[Any]:
    return [
        item
        if (cls := type(item)) in _PLAIN or (cls is int and -INT64_MAX <= item <= INT64_MAX)
        else _pack(item)
        for item in values
    ]


def _pack_dict(value: dict[Any, Any]) -> list[Any]:
    packed: list[Any] = []
    for key, item in value.items():
        key_packed = key if type(key) in _PLAIN else _pack(key)
        try:
            packed.append([key_packed, item if type(item) in _PLAIN else _pack(item)])
        except _Unstorable as error:
            error.path.append(key)
            raise
    return packed


def _pack_fields(value: Any, plan: _Plan) -> list[Any]:
    if plan.open:
        _check_attributes(value, plan.fields)
    packed: list[Any] = []
    try:
        # Not a comprehension: how many are done names the field that cannot be stored.
        for item in astuple(value) if plan.struct else map(partial(getattr, value), plan.fields):
            cls = type(item)
            if cls in _PLAIN or (cls is int and -INT64_MAX <= item <= INT64_MAX):
                packed.append(item)
            else:
                packed.append(_pack(item))
    except _Unstorable as error:
        error.path.append(plan.fields[len(packed)])
        raise
    except AttributeError:
        missing = next(field for field in plan.fields if not hasattr(value, field))
        raise _Unstorable(" has no value yet; give the field a default", missing) from None
    return packed


def _check_attributes(value: Any, fields: Sequence[str]) -> None:
    """Raise _Unstorable for an attribute of an object that is not a field: it would not come back."""
    for name in getattr(value, "__dict__", ()):
        if name not in fields and not isinstance(getattr(type(value), name, None), cached_property):
            raise _Unstorable(
                f" is not a field of {type(value).__name__}, so a snapshot would lose it; make it a field",
                name,
            )


def _hint(cls: type) -> str:
    known = (bool, int, float, str, bytes, list, tuple, dict, set, frozenset)
    plain = next((one for one in known if issubclass(cls, one)), None)
    return f"; {plain.__name__}(...) makes a plain one of it" if plain else ""


def _unpack(value: Any, classes: Mapping[str, type], shapes: Shapes) -> Any:
    if type(value) is not list:
        return value
    kind, content = value[0], value[1]
    if kind == "i":
        return int(content)
    if kind == "l":
        return _unpack_items(content, classes, shapes)
    if kind == "t":
        return tuple(_unpack_items(content, classes, shapes))
    if kind == "q":
        return deque(_unpack_items(value[2], classes, shapes), maxlen=content)
    if kind == "d":
        return {
            (key if type(key) is not list else _unpack(key, classes, shapes)): (
                item if type(item) is not list else _unpack(item, classes, shapes)
            )
            for key, item in content
        }
    if kind == "s":
        if content not in classes:
            raise Unknown(content, f"there is no class {content}")
        values = _unpack_items(value[2], classes, shapes)
        if shapes and (content not in shapes) != issubclass(classes[content], Enum):
            raise StateVersionError(f"state of an older version: {content} was another kind of class")
        return made(classes[content], values, shapes.get(content))
    return unpack_exact(kind, value[1:], lambda part: _unpack(part, classes, shapes))


def _unpack_items(items: list[Any], classes: Mapping[str, type], shapes: Shapes) -> list[Any]:
    return [item if type(item) is not list else _unpack(item, classes, shapes) for item in items]
