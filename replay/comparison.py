"""Decides whether re-derived records equal the recorded ones.

Everything in the record is compared, bit for bit. An older record may lack fields that its event type has
gained since, and an older opening of a day the fields that its states have gained since. Called by
`replay.verification` for frames whose bytes differ.
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
    """Return the index of the first derived record that differs from the recorded one; None if none does.

    The blobs are the encoded lists. `changed` is whether the code has changed since the recording: only then
    may states have gained fields.
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
    """Return whether a day opens as recorded; `recorded` is completed (see `engine.opening`)."""
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
