"""Follows the causes of a record back to the input that led to it.

The only code that does: behind `engine why`, the divergences of a replay, and `/api/why`. It reads the frames
of the chain and no others, so it takes no longer for a long day than for a short one, but for the search.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from engine.errors import UsageError
from engine.events import REPORTS, OrderCanceled, OrderFilled, SubmitOrder
from engine.events.codec import Record
from engine.records import open_day
from engine.views.frames import Frames

__all__ = ["chain_in", "chain_of"]

CAUSES_MAX: Final = 10_000
"""A chain longer than this is cut; real ones have a dozen links."""


def chain_of(folder: Path, seq: int) -> list[Record]:
    """Return the record `seq` of a day and its causes within it, oldest first.

    Raises UsageError if there is no such day, or no such seq in it.
    """
    open_day(folder)
    return chain_in(Frames([folder]), seq)


def chain_in(frames: Frames, seq: int) -> list[Record]:
    """Return the record `seq` and its causes, oldest first. Raises UsageError if there is none.

    A report that came from a venue has no cause in the journal; the chain continues with the `SubmitOrder` of
    its order. The simulated venue's report on an order names that order as its cause; the chain has also the
    market event that let it happen, the input of the same turn.
    """
    found: dict[int, Record] = {}
    next_seq = seq
    while next_seq and next_seq not in found and len(found) < CAUSES_MAX:
        records = frames.records(next_seq)
        if not records:
            break
        record = records[next_seq - records[0][0]]
        found[next_seq] = record
        _, cause, event = record
        if not cause and isinstance(event, REPORTS):
            cause = _submitted(frames, event.client_order_id, next_seq)
        elif cause and isinstance(event, OrderFilled | OrderCanceled):
            turn = _turn_of(records, next_seq)
            if cause < turn:
                found[turn] = records[turn - records[0][0]]
        next_seq = cause
    if seq not in found:
        raise UsageError(f"{_where(frames)}: has no seq {seq}; it holds {_range(frames)}")
    return [found[number] for number in sorted(found)]


def _submitted(frames: Frames, client_order_id: str, before: int) -> int:
    """Return the seq of the `SubmitOrder` of an order, 0 if it is not there.

    An id ends with the seq of the approval, in whose turn the order is submitted.
    """
    try:
        approval = int(client_order_id[18:], 16)
    except ValueError:
        return 0
    if approval >= before:
        return 0
    for seq, _, event in frames.records(approval):
        if isinstance(event, SubmitOrder) and event.client_order_id == client_order_id:
            return seq
    return 0


def _turn_of(records: list[Record], seq: int) -> int:
    """Return the seq of the input in whose turn a record was made."""
    at = seq - records[0][0]
    while at and records[at][1]:
        at -= 1
    return records[at][0]


def _where(frames: Frames) -> str:
    return str(frames.days[0]) if len(frames.days) == 1 else "the journal"


def _range(frames: Frames) -> str:
    last = 0
    for frame in frames.of_day(len(frames.days) - 1):
        last = frame.last_seq
    return f"{frames.first_seq} to {last}"
