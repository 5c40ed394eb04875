"""The numbers of a venue's instruments in a journal, and which of them have to be recorded.

Owns the rule at the start of a session: an instrument keeps its number; one that the venue lists with
another grid or other rules is recorded again, and goes on (`instruments.continued`). Called by the live
runtime and by backfills.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec.structs import replace

from engine.events import InstrumentListed
from engine.instruments import continued

__all__ = ["numbered"]


def numbered(
    instruments: Iterable[InstrumentListed], in_force: Mapping[int, InstrumentListed], now_ns: int
) -> tuple[list[InstrumentListed], list[InstrumentListed]]:
    """Return the instruments with their numbers, in the order given, and those that are new or changed.

    `in_force` are the listings of the journal by number.
    """
    known = {one.key: one for one in in_force.values()}
    number = max(in_force, default=0)
    listed: list[InstrumentListed] = []
    fresh: list[InstrumentListed] = []
    for one in instruments:
        before = known.get(one.key)
        number += before is None
        entry = replace(one, recv_ns=now_ns, instrument=number)
        if before is not None:
            entry = continued(before, entry)
        if before is None or replace(before, recv_ns=now_ns) != entry:
            fresh.append(entry)
        listed.append(entry)
    return listed, fresh
