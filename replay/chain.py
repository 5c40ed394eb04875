"""Follows the causes of an event back to the input that led to it."""

from __future__ import annotations

from pathlib import Path

from engine.errors import UsageError
from engine.events import REPORTS, OrderCanceled, OrderFilled, SubmitOrder
from engine.events.codec import Record
from engine.records import read_records

__all__ = ["chain_of"]

CAUSES_MAX = 10_000
"""A chain longer than this is cut; real ones have a dozen links."""


def chain_of(folder: Path, seq: int) -> list[Record]:
    """Return the record `seq` and its causes, oldest first. Raises UsageError if the day has no such seq.

    A report that came from a venue has no cause in the journal; the chain continues with the `SubmitOrder` of
    its order. The simulated venue's report on an order names that order as its cause; the chain has also the
    market event that let it happen, the input of the same turn.
    """
    causes: dict[int, int] = {}
    submitted: dict[str, int] = {}
    markets: dict[int, int] = {}
    first = last = turn = 0
    for number, cause, event in read_records(folder):
        first = first or number
        last = number
        if isinstance(event, SubmitOrder):
            submitted[event.client_order_id] = number
        if not cause:
            turn = number
        elif isinstance(event, OrderFilled | OrderCanceled) and cause < turn:
            markets[number] = turn
        if not cause and isinstance(event, REPORTS):
            cause = submitted.get(event.client_order_id, 0)
        if cause:
            causes[number] = cause
        if number == seq:
            break
    if not first <= seq <= last:
        raise UsageError(f"{folder}: has no seq {seq}; it holds {first} to {last}")
    wanted = [seq]
    while (cause := causes.get(wanted[-1], 0)) >= first and len(wanted) < CAUSES_MAX:
        wanted.append(cause)
    numbers = frozenset([*wanted, *(markets[number] for number in wanted if number in markets)])
    found = []
    for record in read_records(folder):
        if record[0] in numbers:
            found.append(record)
            if record[0] == seq:
                break
    return found
