"""Packs values of the standard library and of numpy, so that they come back exactly as they were.

Owns their packed form: a list of a letter and plain values. Decimals keep their sign and exponent, times
their fold and fixed offset. A set is packed in the order of its members' bytes, since its own order differs
from run to run. A numpy value keeps its type, its bytes and its order in memory.

Refused are subclasses, zones of the time zone database and arrays of objects. numpy is optional: it is
imported only to restore a value that a strategy made with it. Called by `encoding`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from types import ModuleType
from typing import Any, Final

import msgspec

__all__ = ["is_storable_numpy", "pack_exact", "unpack_exact"]

Part = Callable[[Any], Any]
"""Packs or unpacks a part of a value."""

_encode = msgspec.msgpack.Encoder().encode

_STORABLE_KINDS: Final = frozenset("biufcmMSU")
"""The kinds of numpy's types that are stored: numbers, times, text of a fixed length."""
_TEXTS: Final = frozenset("SU")
_PADDED: Final = frozenset("gG")
"""Long doubles. Their bytes contain padding, which is not the same in every process."""


def pack_exact(value: Any, pack: Part) -> list[Any] | None:
    """Return the packed form of a value; None for one of another type. `pack` packs a part of it."""
    cls = type(value)
    if cls is Decimal:
        return ["D", str(value)]
    if cls is set or cls is frozenset:
        return ["S" if cls is set else "F", sorted((pack(item) for item in value), key=_encode)]
    if cls is datetime:
        day = [value.year, value.month, value.day]
        return ["m", [*day, *_clock(value)], value.fold, pack(value.tzinfo)]
    if cls is date:
        return ["a", value.year, value.month, value.day]
    if cls is time:
        return ["c", _clock(value), value.fold, pack(value.tzinfo)]
    if cls is timedelta:
        return ["e", value.days, value.seconds, value.microseconds]
    if cls is timezone:
        offset, *name = value.__getinitargs__()
        return ["z", pack(offset), *name]
    numpy = sys.modules.get("numpy")
    return None if numpy is None else _pack_numpy(numpy, value)


def is_storable_numpy(value: Any) -> bool:
    """Return whether a value is of numpy and can be packed."""
    numpy = sys.modules.get("numpy")
    if numpy is None or not (type(value) is numpy.ndarray or isinstance(value, numpy.generic)):
        return False
    dtype = value.dtype
    return (
        dtype.kind in _STORABLE_KINDS
        and dtype.char not in _PADDED
        and dtype.char == numpy.dtype(dtype.str).char
        and (type(value) is numpy.ndarray or type(value) is dtype.type)
    )


def _clock(value: Any) -> list[int]:
    return [value.hour, value.minute, value.second, value.microsecond]


def _pack_numpy(numpy: ModuleType, value: Any) -> list[Any] | None:
    if not is_storable_numpy(value):
        return None
    kind = value.dtype.str
    if type(value) is numpy.ndarray:
        order = "F" if value.flags.fnc else "C"
        return ["N", kind, list(value.shape), order, value.tobytes(order)]
    if value.dtype.kind in _TEXTS:
        return ["n", value.dtype.kind, value.item()]
    return ["n", kind, value.tobytes()]


def _array(kind: str, shape: list[int], order: Any, content: bytes) -> Any:
    import numpy as np

    return np.ndarray(tuple(shape), _dtype(kind), bytearray(content), order=order).copy(order="K")


def _scalar(kind: str, content: Any) -> Any:
    import numpy as np

    dtype = _dtype(kind)
    if dtype.kind in _TEXTS:
        return dtype.type(content)
    return np.ndarray((), dtype, bytearray(content))[()]


def _dtype(kind: str) -> Any:
    """Return a type of numpy by its text. Raises ValueError for objects, whose bytes are addresses."""
    import numpy as np

    dtype = np.dtype(kind)
    if dtype.kind not in _STORABLE_KINDS or dtype.char in _PADDED:
        raise ValueError(f"an array of {dtype} is never stored")
    return dtype


def _text(content: Any) -> str:
    if not isinstance(content, str):
        raise TypeError(f"{content!r} is not text")
    return content


def unpack_exact(kind: str, parts: list[Any], unpack: Part) -> Any:
    """Return the value that `pack_exact` packed: `kind` is the letter, `parts` what follows it.

    Raises ValueError for an unknown letter, and others for what it never packs.
    """
    match kind:
        case "D":
            return Decimal(_text(*parts))
        case "S":
            return {unpack(item) for item in parts[0]}
        case "F":
            return frozenset(unpack(item) for item in parts[0])
        case "m":
            clock, fold, zone = parts
            year, month, day, hour, minute, second, microsecond = clock
            return datetime(
                year, month, day, hour, minute, second, microsecond, tzinfo=unpack(zone), fold=fold
            )
        case "a":
            return date(*parts)
        case "c":
            clock, fold, zone = parts
            hour, minute, second, microsecond = clock
            return time(hour, minute, second, microsecond, fold=fold, tzinfo=unpack(zone))
        case "e":
            return timedelta(*parts)
        case "z":
            return timezone(unpack(parts[0]), *parts[1:])
        case "N":
            return _array(*parts)
        case "n":
            return _scalar(*parts)
    raise ValueError(f"unknown kind {kind!r}")
