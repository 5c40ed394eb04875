"""Encodes the state of an actor as bytes, and decodes it.

Owns the encoding: msgpack, in which every container names its kind, so that a value comes back equal in type
and in order: lists, tuples, dicts with any keys, deques, enums, and structs and dataclasses by class name. A
subclass of these, which would come back as something else, is refused. Nothing in a state can run code: an
object is built only if its class is among those the caller allows. State is a tree: an object held in two
places comes back as two.

States evolve as events do: a new field comes last and has a default, and a state stored before it decodes
with the default. `shapes_of` names the fields and types of the classes in a state, so that a later version
knows which fields it has; a state that the current class cannot hold raises `StateVersionError`.

Called by `engine.snapshot` and `engine.opening`.
"""

from __future__ import annotations

import inspect
import types
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin, get_type_hints

import msgspec

from engine.errors import JournalError, StateVersionError, UsageError
from engine.values import INT64_MAX

__all__ = [
    "NO_SHAPES",
    "Shapes",
    "decode_state",
    "encode_state",
    "holds",
    "name_of",
    "shapes_of",
    "stored_state",
]

Shapes = dict[str, list[tuple[str, str]]]
"""(field, type as written) of each class in a state, in the order of its fields, by name of the class."""

NO_SHAPES: Final[Shapes] = {}

_PLAIN: Final = frozenset({type(None), bool, float, str, bytes})

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode


def encode_state(value: object, where: str) -> bytes:
    """Return the state as bytes. Raises UsageError naming the attribute that cannot be stored."""
    try:
        return _encode(_pack(value, where))
    except RecursionError:
        raise UsageError(f"{where} is nested too deep, or holds itself; keep it flat") from None


def decode_state(blob: bytes, classes: Mapping[str, type], shapes: Shapes = NO_SHAPES) -> Any:
    """Return the state that `encode_state` stored; `shapes` are those of the time it was stored.

    Raises StateVersionError if a class has changed in a way that the state cannot follow, JournalError if
    the bytes are not a state.
    """
    try:
        return _unpack(_decode(blob), classes, shapes)
    except (_Unknown, _Refused) as error:
        raise StateVersionError(f"state of an older version: {error.why}") from None
    except (msgspec.MsgspecError, TypeError, ValueError, IndexError, RecursionError) as error:
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
    except _Unknown as error:
        raise UsageError(
            f"{where} holds a {error.args[0]}, which a snapshot would not find again: define it at the top "
            "of the strategy's module, or import it there by its name"
        ) from None
    except (TypeError, ValueError) as error:
        raise UsageError(f"{where} does not come back from a snapshot: {error}") from None
    if not same:
        raise UsageError(f"{where} changes when it comes back from a snapshot")
    return found


def shapes_of(blob: bytes, classes: Mapping[str, type]) -> Shapes:
    """Return the shape of every struct and dataclass in a state that `encode_state` returned."""
    shapes: Shapes = {}
    for name in _classes_in(_decode(blob)):
        cls = classes.get(name)
        if cls is not None and name not in shapes and not issubclass(cls, Enum):
            written = _annotations(cls)
            shapes[name] = [(field, written.get(field, "")) for field in _fields_of(cls)]
    return shapes


def holds(state: bytes, recorded: bytes, shapes: Shapes, recorded_shapes: Shapes) -> bool:
    """Return whether an actor's state has everything that a recorded one has, bit for bit.

    Attributes of the actor and fields of its classes that the record does not have are not compared.
    """
    now, then = _decode(state), _decode(recorded)
    if not (now[0] == then[0] == "d"):
        return bool(now == then)
    attributes = {key: value for key, value in now[1] if isinstance(key, str)}
    return all(
        key in attributes and _holds(attributes[key], value, shapes, recorded_shapes)
        for key, value in then[1]
    )


def name_of(cls: type) -> str:
    """Return the name of a class in states."""
    return f"{cls.__module__}:{cls.__qualname__}"


class _Unknown(KeyError):
    """A stored class, or member of an enum, that does not exist. `why` says so for people."""

    def __init__(self, name: str | None, why: str) -> None:
        super().__init__(name)
        self.why = why


class _Refused(ValueError):
    """A class whose own code raised when an object was made of stored fields. `why` says so for people."""

    def __init__(self, cls: type, error: BaseException) -> None:
        words = f"{type(error).__name__}: {error}"
        super().__init__(str(error) if isinstance(error, TypeError | ValueError) else words)
        self.why = f"{name_of(cls)} cannot be made of it: {words}"


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
    if issubclass(cls, msgspec.Struct) or is_dataclass(cls):
        return ["s", name_of(cls), [_pack(_field(value, f, where), f"{where}.{f}") for f in _fields_of(cls)]]
    raise UsageError(
        f"{where} is a {cls.__name__}, which a snapshot cannot store: "
        f"use numbers, text, lists, dicts, enums, msgspec structs or dataclasses{_hint(cls)}"
    )


def _field(value: Any, field: str, where: str) -> Any:
    try:
        return getattr(value, field)
    except AttributeError:
        raise UsageError(f"{where}.{field} has no value yet; give the field a default") from None


def _hint(cls: type) -> str:
    if issubclass(cls, set | frozenset):
        return "; keep sorted lists instead"
    plain = next(
        (one for one in (bool, int, float, str, bytes, list, tuple, dict) if issubclass(cls, one)), None
    )
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
            raise _Unknown(content, f"there is no class {content}")
        values = [_unpack(item, classes, shapes) for item in value[2]]
        if shapes and (content not in shapes) != issubclass(classes[content], Enum):
            raise StateVersionError(f"state of an older version: {content} was another kind of class")
        return _made(classes[content], values, shapes.get(content))
    raise ValueError(f"unknown kind {kind!r}")


def _made(cls: type, values: Sequence[Any], shape: Sequence[tuple[str, str]] | None) -> Any:
    """Return an object with these fields. A dataclass's `__init__` and `__post_init__` do not run again.

    Raises StateVersionError unless every value has its field and every other field has a default.
    """
    name = name_of(cls)
    if issubclass(cls, Enum):
        (member,) = values
        if member not in cls.__members__:
            raise _Unknown(member, f"{name} has no member {member!r}")
        return cls[member]
    names = _fields_of(cls)
    if shape is None:
        if len(values) > len(names):
            raise StateVersionError(
                f"state of an older version: {name} had {len(values)} fields, it has {len(names)}"
            )
        given = dict(zip(names, values, strict=False))
    else:
        given = {field: value for (field, _), value in zip(shape, values, strict=True)}
        _check_shape(cls, shape, given)
    missing = [field for field in names if field not in given]
    if missing:
        defaults = _defaults_of(cls)
        for field in missing:
            if field not in defaults:
                raise StateVersionError(
                    f"state of an older version: {name} did not have the field {field!r}, "
                    "which has no default"
                )
            given[field] = _call(cls, defaults[field])
    if issubclass(cls, msgspec.Struct):
        return _call(cls, cls, **given)
    fresh: Any = object.__new__(cls)
    for field in names:
        object.__setattr__(fresh, field, given[field])
    return fresh


def _call(cls: type, make: Callable[..., Any], **given: Any) -> Any:
    """Return what a strategy's own code makes: a default, or a struct with its `__post_init__`."""
    try:
        return make(**given)
    except (Exception, SystemExit) as error:
        raise _Refused(cls, error) from error


def _check_shape(cls: type, shape: Sequence[tuple[str, str]], given: Mapping[str, Any]) -> None:
    """Raise StateVersionError if a stored field is gone, or has a type now that its value is not of."""
    now = _annotations(cls)
    fields_now = _fields_of(cls)
    hints: dict[str, Any] | None = None
    for field, written in shape:
        if field not in fields_now:
            raise StateVersionError(
                f"state of an older version: {name_of(cls)} had the field {field!r}, it has not any more"
            )
        if now.get(field, "") == written:
            continue
        if hints is None:
            hints = _hints(cls)
        if not _fits(given[field], hints.get(field, Any)):
            raise StateVersionError(
                f"state of an older version: {name_of(cls)}.{field} was {written}, it is {now.get(field)}"
            )


def _fields_of(cls: Any) -> Sequence[str]:
    """Return the names of a struct's or dataclass's fields, in their order."""
    if issubclass(cls, msgspec.Struct):
        return tuple(cls.__struct_fields__)
    return [field.name for field in fields(cls)]


def _defaults_of(cls: Any) -> dict[str, Any]:
    """Return a function that makes the default of each field that has one, by its name."""
    if issubclass(cls, msgspec.Struct):
        missing: Any = msgspec.NODEFAULT
        found = [(one.name, one.default, one.default_factory) for one in msgspec.structs.fields(cls)]
    else:
        missing = MISSING
        found = [(one.name, one.default, one.default_factory) for one in fields(cls)]
    defaults: dict[str, Any] = {}
    for name, default, factory in found:
        if factory is not missing:
            defaults[name] = factory
        elif default is not missing:
            defaults[name] = lambda default=default: default
    return defaults


def _annotations(cls: type) -> dict[str, str]:
    """Return the annotations of a class's fields as text, by field."""
    written: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        for name, hint in inspect.get_annotations(base).items():
            written[name] = _written(hint)
    return written


def _written(hint: Any) -> str:
    """Return a type as text that is the same in every process; "" if there is no such text."""
    if isinstance(hint, str):
        return hint
    origin = get_origin(hint)
    if origin is Annotated:
        return _written(get_args(hint)[0])
    if origin is Literal:
        return f"Literal{[str(one) for one in get_args(hint)]}"
    if origin is not None:
        return f"{_written(origin)}[{', '.join(map(_written, get_args(hint)))}]"
    return str(getattr(hint, "__qualname__", ""))


def _hints(cls: type) -> dict[str, Any]:
    """Return the types of a class's fields; none where one of them cannot be found."""
    try:
        return get_type_hints(cls)
    except (NameError, TypeError, AttributeError):
        return {}


def _fits(value: Any, hint: Any) -> bool:
    """Return whether a value can be of a type; the contents of containers are not checked."""
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        return any(_fits(value, one) for one in get_args(hint))
    if origin is Annotated:
        return _fits(value, get_args(hint)[0])
    if origin is Literal:
        return value in get_args(hint)
    kind = types.NoneType if hint is None else origin or hint
    if kind is float:
        kind = int | float
    try:
        return isinstance(value, kind)
    except TypeError:
        return True


def _classes_in(tree: Any) -> Iterator[str]:
    """Yield the name of the class of every struct, dataclass and enum in a stored tree."""
    if not isinstance(tree, list):
        return
    if tree and tree[0] == "s" and isinstance(tree[1], str):
        yield tree[1]
    for item in tree:
        yield from _classes_in(item)


def _holds(now: Any, then: Any, shapes: Shapes, recorded_shapes: Shapes) -> bool:
    """Return whether a stored tree is a recorded one, apart from fields that the record does not have."""
    if not (isinstance(now, list) and isinstance(then, list)):
        return bool(_encode(now) == _encode(then))
    if len(now) == 3 and len(then) == 3 and now[0] == then[0] == "s" and now[1] == then[1]:
        name = now[1]
        if name in shapes and name in recorded_shapes:
            values = {field: value for (field, _), value in zip(shapes[name], now[2], strict=True)}
            now = [values.get(field, ...) for field, _ in recorded_shapes[name]]
            then = then[2]
            if any(value is ... for value in now):
                return False
        else:
            now, then = now[2][: len(then[2])], then[2]
    return len(now) == len(then) and all(
        _holds(one, other, shapes, recorded_shapes) for one, other in zip(now, then, strict=True)
    )
