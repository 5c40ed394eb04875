"""Makes objects of stored fields, also of those that an earlier version stored.

States evolve as events do: a new field comes last and has a default, and a state stored before it decodes
with the default. `shapes_of` names the fields and types of the classes in a state, so that a later version
knows which fields it has; a state that the current class cannot hold raises `StateVersionError`.

A class is a struct, a dataclass, a named tuple or an enum. An object of it is stored as ["s", name of the
class, values of its fields in their order]. Called by `encoding`.
"""

from __future__ import annotations

import inspect
import re
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, fields
from enum import Enum
from functools import lru_cache
from typing import Annotated, Any, Final, ForwardRef, Literal, Union, get_args, get_origin, get_type_hints

import msgspec

from engine.errors import StateVersionError

__all__ = [
    "NO_SHAPES",
    "Refused",
    "Shapes",
    "Unknown",
    "fields_of",
    "holds",
    "is_named",
    "made",
    "name_of",
    "shapes_of",
]

Shapes = dict[str, list[tuple[str, str]]]
"""(field, type as written) of each class in a state, in the order of its fields, by name of the class."""

NO_SHAPES: Final[Shapes] = {}

_OBJECT: Final = re.compile(rb"\x93\xa1s([\xa0-\xbf]|\xd9.|\xda..)", re.DOTALL)
"""The bytes of ["s", name ... up to the name: an array of three, "s", and the size of a text."""
_SHORT: Final = 0xA0

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode


def name_of(cls: type) -> str:
    """Return the name of a class in states."""
    return f"{cls.__module__}:{cls.__qualname__}"


def is_named(cls: type) -> bool:
    """Return whether a class is a named tuple."""
    return issubclass(cls, tuple) and isinstance(getattr(cls, "_fields", None), tuple)


class Unknown(KeyError):
    """A stored class, or member of an enum, that does not exist. `why` says so for people."""

    def __init__(self, name: str | None, why: str) -> None:
        super().__init__(name)
        self.why = why


class Refused(ValueError):
    """A class whose own code raised when an object was made of stored fields. `why` says so for people."""

    def __init__(self, cls: type, error: BaseException) -> None:
        words = f"{type(error).__name__}: {error}"
        super().__init__(str(error) if isinstance(error, TypeError | ValueError) else words)
        self.why = f"{name_of(cls)} cannot be made of it: {words}"


def shapes_of(blob: bytes, classes: Mapping[str, type]) -> Shapes:
    """Return the shape of every struct and dataclass in a state that `encode_state` returned."""
    shapes: Shapes = {}
    for name in _classes_in(blob):
        cls = classes.get(name)
        if cls is not None and not issubclass(cls, Enum):
            shapes[name] = _shape_of(cls)  # type: ignore[arg-type]  # mypy: a class is hashable
    return shapes


@lru_cache(maxsize=512)
def _shape_of(cls: type) -> list[tuple[str, str]]:
    """Return the fields of a class and their types as written. Not to be changed."""
    written = _annotations(cls)
    return [(field, written.get(field, "")) for field in fields_of(cls)]


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


def made(cls: type, values: Sequence[Any], shape: Sequence[tuple[str, str]] | None) -> Any:
    """Return an object with these fields. The author's `__init__`, `__new__` and, of a dataclass,
    `__post_init__` do not run again.

    Raises StateVersionError unless every value has its field and every other field has a default.
    """
    name = name_of(cls)
    if issubclass(cls, Enum):
        (member,) = values
        if member not in cls.__members__:
            raise Unknown(member, f"{name} has no member {member!r}")
        return cls[member]
    names = fields_of(cls)
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
    if is_named(cls):
        return tuple.__new__(cls, (given[field] for field in names))  # type: ignore[type-var]
    fresh: Any = object.__new__(cls)
    for field in names:
        object.__setattr__(fresh, field, given[field])
    return fresh


def _call(cls: type, make: Callable[..., Any], **given: Any) -> Any:
    """Return what a strategy's own code makes: a default, or a struct with its `__post_init__`."""
    try:
        return make(**given)
    except (Exception, SystemExit) as error:
        raise Refused(cls, error) from error


def _check_shape(cls: type, shape: Sequence[tuple[str, str]], given: Mapping[str, Any]) -> None:
    """Raise StateVersionError if a stored field is gone, or has a type now that its value is not of."""
    now = _annotations(cls)
    fields_now = fields_of(cls)
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


def fields_of(cls: Any) -> Sequence[str]:
    """Return the names of the fields of a struct, dataclass or named tuple, in their order."""
    if issubclass(cls, msgspec.Struct):
        return tuple(cls.__struct_fields__)
    if is_named(cls):
        return tuple(cls._fields)
    return [field.name for field in fields(cls)]


def _defaults_of(cls: Any) -> dict[str, Any]:
    """Return a function that makes the default of each field that has one, by its name."""
    if is_named(cls):
        return {name: lambda default=default: default for name, default in cls._field_defaults.items()}
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
    if isinstance(hint, ForwardRef):  # what a named tuple makes of text
        return hint.__forward_arg__
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


def _classes_in(blob: bytes) -> dict[str, None]:
    """Return the names of the classes of all objects in a state, outermost first.

    Found by the bytes with which an object begins, without decoding. Data of a strategy that happens to
    look like an object adds a name, which does no harm.
    """
    found: dict[str, None] = {}
    for begin in _OBJECT.finditer(blob):
        head = begin[1]
        size = head[0] - _SHORT if len(head) == 1 else int.from_bytes(head[1:], "big")
        found[blob[begin.end() : begin.end() + size].decode("utf-8", "replace")] = None
    return found


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
