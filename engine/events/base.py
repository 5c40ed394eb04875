"""What every event is: a frozen, tagged msgspec struct, written to the journal as a msgpack array.

Owns the base class. The first element of the array is the tag, the rest the fields in order. Rules of
evolution: a new field comes last and has a default, a field never changes meaning, a tag is never reused.

The first field tells the engine's time in UTC nanoseconds: `recv_ns` in what came from outside (stamped
before decoding), `at_ns` in what an actor emitted (the time of the turn it was emitted in).
"""

from __future__ import annotations

import msgspec

__all__ = ["Event", "engine_time"]


class Event(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Base of every event. `gc=False` holds because a frozen event of scalars can form no cycle."""


def engine_time(event: Event) -> int:
    """Return the engine's time of an event, in UTC nanoseconds."""
    time_ns: int = getattr(event, event.__struct_fields__[0])
    return time_ns
