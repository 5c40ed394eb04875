"""The last recorded trade of each instrument, to which a new session's feed joins its own.

An instrument whose newest day has no trade yet is looked for in the day before: a session that starts soon
after midnight would otherwise begin without knowing where the record ends, and miss the trades between.
Called by `Live`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from engine.events import Event, Trade
from engine.journal import DISK, Disk, list_segments, read_frames
from engine.records import inputs_of
from engine.venue import LastTrades

__all__ = ["look_back", "note_trade"]

_TAG: Final = b"\xa5trade"
"""The tag of a trade as it is encoded: a blob without these bytes has none."""


def note_trade(event: Event, last: LastTrades) -> None:
    """Note an event if it is a trade that is not older than the last one noted."""
    if event.__class__ is Trade:
        assert isinstance(event, Trade)
        reached_ns, ids = last.get(event.instrument, (0, []))
        if event.venue_ns == reached_ns:
            ids.append(event.trade_id)
        elif event.venue_ns > reached_ns:
            last[event.instrument] = (event.venue_ns, [event.trade_id])


def look_back(folders: Sequence[Path], missing: Iterable[int], last: LastTrades, disk: Disk = DISK) -> None:
    """Add the last trades of instruments that `last` lacks, from days given oldest first.

    Reads segments from the newest on, until every instrument is found. Raises JournalError.
    """
    wanted = set(missing) - set(last)
    for folder in reversed(folders):
        for segment in reversed(list_segments(folder, disk)):
            if not wanted:
                return
            found: LastTrades = {}
            for frame in read_frames(segment.path, disk=disk, verify_digest=False):
                if _TAG in frame.inputs:
                    for event in inputs_of(frame):
                        note_trade(event, found)
            last.update({number: one for number, one in found.items() if number in wanted})
            wanted -= set(found)
