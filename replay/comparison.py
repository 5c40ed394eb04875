"""Decides whether a re-derived record is the recorded one.

Equal bytes are. Otherwise what the record has is compared, bit for bit: a record from before an event had its
last fields does not have them, and a day opened by an earlier version does not have the fields that its
classes of state have gained since. Called by `replay.verification` for frames whose bytes differ.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from engine.events import DayOpened
from engine.events.codec import Derived
from engine.opening import read_opening
from engine.states import holds

__all__ = ["first_difference"]

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[tuple[int, int, list[Any]]]).decode
_DAY_OPENED: Final = DayOpened.__struct_config__.tag


def first_difference(
    recorded_blob: bytes | memoryview,
    derived_blob: bytes | memoryview,
    recorded: list[Derived],
    derived: list[Derived],
    *,
    changed: bool,
) -> int | None:
    """Return the index of the first derived record that is not the recorded one; None if there is none.

    The blobs are those that the lists were decoded from and are encoded as. `changed` says that the code has
    changed since: states may then have gained fields.
    """
    then, now = _decode(recorded_blob) if recorded_blob else [], _decode(derived_blob)
    for index, (one, other) in enumerate(zip(then, now, strict=False)):
        if one[:2] != other[:2]:
            return index
        if one[2][0] == other[2][0] == _DAY_OPENED:
            if not _same_opening(recorded[index][2], derived[index][2], changed):
                return index
        elif _encode(one[2]) != _encode(other[2][: len(one[2])]):
            return index
    return None if len(then) == len(now) else min(len(then), len(now))


def _same_opening(recorded: Any, derived: Any, changed: bool) -> bool:
    """Return whether a day opens as it was recorded: `recorded` is complete (see `engine.opening`)."""
    for field in ("at_ns", "day", "started", "instruments"):
        if _encode(getattr(recorded, field)) != _encode(getattr(derived, field)):
            return False
    then, now = read_opening(recorded), read_opening(derived)
    if (then.now_ns, then.timers, then.timer_number, then.failed) != (
        now.now_ns,
        now.timers,
        now.timer_number,
        now.failed,
    ):
        return False
    if not changed:
        return then.actors == now.actors
    for name, (signature, state) in then.actors.items():
        signature_now, state_now = now.actors.get(name, ("", b""))
        if signature != signature_now:
            return False
        if state != state_now and not holds(state_now, state, now.shapes, then.shapes):
            return False
    return True
