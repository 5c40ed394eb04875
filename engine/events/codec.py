"""Encodes and decodes events: the two blobs of a journal frame, and the fingerprint of the schema.

    inputs blob    msgpack array of events, each an array [tag, field, ...]
    derived blob   msgpack array of [seq, cause, event]

Inputs have cause 0 and take, in order, the seqs that derived records do not use. A replay decodes only the
inputs, and compares derived blobs as bytes. Used by the committer, the replay and all readers.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterator, Sequence
from typing import Any, Union

import msgspec

from engine.errors import JournalVersionError
from engine.events import EVENT_TYPES, Event
from engine.events.legacy import OLD_TAGS, OLD_TYPES, upgraded

__all__ = [
    "Derived",
    "Record",
    "decode_derived",
    "decode_inputs",
    "encode_derived",
    "encode_inputs",
    "in_order",
    "schema_fingerprint",
]

Derived = tuple[int, int, Event]
"""(seq, cause, event) of a derived record."""

Record = tuple[int, int, Event]
"""(seq, cause, event) of any record; cause is 0 for an input."""

_READABLE = EVENT_TYPES + OLD_TYPES
_AnyEvent = Union[_READABLE]  # type: ignore[valid-type]  # noqa: UP007
_encode = msgspec.msgpack.Encoder().encode
_decode_inputs = msgspec.msgpack.Decoder(list[_AnyEvent]).decode
_decode_derived = msgspec.msgpack.Decoder(list[tuple[int, int, _AnyEvent]]).decode


def encode_inputs(events: Sequence[Event]) -> bytes:
    """Return the inputs blob of a frame."""
    return _encode(events)


def encode_derived(records: Sequence[Derived]) -> bytes:
    """Return the derived blob of a frame."""
    return _encode(records)


def decode_inputs(blob: bytes | memoryview) -> list[Event]:
    """Return the input events of a frame. Raises JournalVersionError on an unknown or altered type."""
    try:
        return _decode_inputs(blob)
    except msgspec.MsgspecError as error:
        raise _version_error(error) from error


def decode_derived(blob: bytes | memoryview) -> list[Derived]:
    """Return the derived records of a frame. Raises JournalVersionError on an unknown or altered type."""
    try:
        records = _decode_derived(blob)
    except msgspec.MsgspecError as error:
        raise _version_error(error) from error
    whole = bytes(blob)
    if any(tag in whole for tag in OLD_TAGS):
        return [(seq, cause, upgraded(event)) for seq, cause, event in records]
    return records


def in_order(first_seq: int, inputs: Sequence[Event], derived: Sequence[Derived]) -> Iterator[Record]:
    """Yield every record of a frame by rising seq."""
    seq = first_seq
    waiting = iter(inputs)
    for record in derived:
        while seq < record[0]:
            yield seq, 0, next(waiting)
            seq += 1
        yield record
        seq += 1
    for event in waiting:
        yield seq, 0, event
        seq += 1


@functools.cache
def schema_fingerprint() -> str:
    """Return 16 hex digits that identify the event types: their tags, and their fields and types in order."""
    lines = [_describe(cls) for cls in EVENT_TYPES]
    return hashlib.blake2b("\n".join(sorted(lines)).encode(), digest_size=8).hexdigest()


def _describe(cls: type[Event]) -> str:
    fields: tuple[Any, ...] = msgspec.structs.fields(cls)
    return f"{cls.__struct_config__.tag} " + " ".join(f"{field.name}:{field.type}" for field in fields)


def _version_error(error: Exception) -> JournalVersionError:
    return JournalVersionError(
        f"the journal holds an event this version cannot read ({error}); "
        "read it with the version that wrote it, or look at it with `engine inspect --raw`"
    )
