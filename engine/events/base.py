"""The base class of events: a frozen, tagged msgspec struct, written to the journal as a msgpack array.

The first element of the array is the tag, followed by the fields in order. To keep old journals readable, a
new field comes last and has a default, a field never changes its meaning, and a tag is never reused.

The first field is the engine's time in UTC nanoseconds: `recv_ns` in inputs (set before decoding), `at_ns` in
events that an actor emits (the time of the turn).
"""

from __future__ import annotations

import msgspec

__all__ = ["Event", "engine_time"]


class Event(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Base class of events. `gc=False` is safe because a frozen event of scalars cannot form a cycle."""


def engine_time(event: Event) -> int:
    """Return the engine's time of an event, in UTC nanoseconds."""
    time_ns: int = getattr(event, event.__struct_fields__[0])
    return time_ns
