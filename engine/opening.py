"""The first record of a day: the state of the sequencer and of every actor, as `DayOpened` stores it.

Owns the content of the snapshot. A day opened by an earlier version has its session and instruments in the
snapshot, not in fields of their own; `completed` copies them into the fields.

Called by the sequencer, by `engine.records` and by the replay, which compares a day's opening.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from engine.errors import JournalError
from engine.events import DayOpened, Event, InstrumentListed, MarketRules, OrderApproved, SessionStarted
from engine.states import Shapes, decode_state, encode_fields, encode_state, name_of

__all__ = [
    "Opening",
    "States",
    "Timer",
    "completed",
    "day_opened",
    "has_earlier_books",
    "read_opening",
]

States = dict[str, tuple[str, bytes]]
"""Stored states by actor name, each with the signature it was stored under."""

Timer = tuple[int, int, str, str, int]
"""(due_ns, own number, actor, key, cause): the order of the queue is the order of this tuple."""

_EARLIER_BOOKS = "portfolio"

_CLASSES = {name_of(cls): cls for cls in (SessionStarted, InstrumentListed, MarketRules)}


class Opening(msgspec.Struct):
    """The state at the start of a day. `failed` maps the name of each failed actor to the seq it failed on.

    `shapes` names the fields of the classes in the states; {} if they were stored before that was recorded.
    """

    now_ns: int
    timers: list[Timer]
    timer_number: int
    failed: dict[str, int]
    actors: States
    shapes: Shapes = {}


def day_opened(
    day: str,
    opening: Opening,
    shapes: bytes,
    started: SessionStarted | None,
    instruments: Iterable[InstrumentListed],
) -> DayOpened:
    """Return the record that opens a day. `shapes` are those of the opening, encoded."""
    fields = msgspec.structs.asdict(opening)
    parts = {name: shapes if name == "shapes" else encode_state(fields[name], "sequencer") for name in fields}
    return DayOpened(opening.now_ns, day, encode_fields(parts), started, tuple(instruments))


def read_opening(opened: DayOpened) -> Opening:
    """Return the state at the start of a day. Raises JournalError."""
    stored = _stored(opened)
    try:
        return Opening(**{name: stored[name] for name in Opening.__struct_fields__ if name in stored})
    except TypeError:
        raise JournalError(f"the snapshot that {opened.day} opens with is not complete") from None


def has_earlier_books(event: Event) -> bool:
    """Return whether a record comes from a version that kept the books in another actor.

    Such a day replays, with its first order as the first difference, but a session cannot continue it: the
    positions would be lost.
    """
    if isinstance(event, DayOpened):
        return _EARLIER_BOOKS in read_opening(event).actors
    return isinstance(event, OrderApproved) and not event.terms.role


def completed(opened: DayOpened) -> DayOpened:
    """Return the record with its session and instruments, which an earlier version has in the snapshot.

    Raises JournalError.
    """
    if opened.started is not None or opened.instruments:
        return opened
    stored = _stored(opened)
    return DayOpened(
        opened.at_ns,
        opened.day,
        opened.snapshot,
        stored.get("session"),
        tuple(stored.get("instruments", ())),
    )


def _stored(opened: DayOpened) -> dict[str, Any]:
    stored = decode_state(opened.snapshot, _CLASSES)
    if not isinstance(stored, dict):
        raise JournalError(f"the snapshot that {opened.day} opens with cannot be read")
    return stored
