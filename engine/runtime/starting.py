"""The start of a session, until it has begun: the newest day's record is followed, in parts.

Between the parts other tasks run, so the operator's socket answers how far the start is. Owns that progress,
and what the record says on the way (earlier openings, last trades). Called by `Live`; read by the server and
the desk.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import trio

from engine.clock import iso_text
from engine.errors import UsageError
from engine.events.codec import Record
from engine.journal import Disk
from engine.opening import has_earlier_books
from engine.records import read_records
from engine.runtime.journal import OpenedJournal
from engine.runtime.last_trades import note_trade
from engine.sequencer import Sequencer
from engine.venue import LastTrades

__all__ = ["Starting", "check_clock", "newest_day"]

PART_RECORDS: Final = 1000
"""Records followed before other tasks run: about 10 ms."""
STEP_BACK_NS: Final = 60_000_000_000
"""A clock further than this behind the journal's last event is refused at start."""


class Starting:
    """How far a start is. `done` is set once the session has begun. `pause` lets other tasks run."""

    pause = staticmethod(trio.lowlevel.checkpoint)

    def __init__(self) -> None:
        self.done = trio.Event()
        self._first_seq = self._seq = self._end_seq = 0
        self._began_s = trio.current_time()

    def __str__(self) -> str:
        """Return the progress in one line."""
        span = self._end_seq - self._first_seq
        part = (self._seq - self._first_seq) / span if self._first_seq and span > 0 else 0.0
        words = f"starting: {part:.0%} of the newest day's record is read"
        passed_s = trio.current_time() - self._began_s
        return f"{words}, about {passed_s * (1 - part) / part:.0f} s are left" if part else words

    async def follow(self, sequencer: Sequencer, records: Iterator[Record], end_seq: int) -> None:
        """Follow records up to `end_seq`, and let other tasks run in between."""
        self._end_seq = end_seq
        while part := list(itertools.islice(records, PART_RECORDS)):
            self._first_seq = self._first_seq or part[0][0]
            sequencer.follow(part)
            self._seq = part[-1][0]
            await self.pause()


def newest_day(
    root: Path, folder: Path, opened: OpenedJournal, last_trades: LastTrades, disk: Disk
) -> Iterator[Record]:
    """Yield the records of the newest day, and note what they say. Raises UsageError."""
    for record in opened.earlier.watch(read_records(folder, disk)):
        event = record[2]
        if has_earlier_books(event):
            raise UsageError(
                f"{root}: its newest day was traded by an earlier version, whose books "
                "this version cannot continue; give another --journal (with real orders, venue.adopt "
                "takes over the positions of the account)"
            )
        note_trade(event, last_trades)
        yield record


def check_clock(root: Path, now_ns: int, reached_ns: int) -> None:
    """Refuse a clock that is far behind what the journal has reached. Raises UsageError."""
    if now_ns < reached_ns - STEP_BACK_NS:
        raise UsageError(
            f"the clock says {iso_text(now_ns)[:19]}Z, but {root} has reached "
            f"{iso_text(reached_ns)[:19]}Z; give another --journal, or set the clock right"
        )
