"""Reads a recorded day back as events: the source of replays, backtests, inspections, restarts.

Owns the step from frames to typed events. Everything here is read only.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from engine.errors import UsageError
from engine.events import SessionStarted
from engine.events.codec import Record, decode_derived, decode_inputs, in_order
from engine.journal import Frame, FrameReader, list_segments, read_frames

__all__ = ["JournalHistory", "open_day", "read_records", "records_of", "sessions_of"]


def open_day(folder: Path) -> FrameReader:
    """Return a reader of a day's frames. Raises UsageError if there is no such day."""
    if not folder.is_dir():
        raise UsageError(f"{folder}: there is no such day; a day is a folder such as journal/2024-12-05")
    if not list_segments(folder):
        raise UsageError(f"{folder}: holds no journal segments; a day is a folder such as journal/2024-12-05")
    return read_frames(folder)


def records_of(frame: Frame) -> Iterator[Record]:
    """Yield the records of a frame by rising seq. Raises JournalVersionError."""
    return in_order(frame.first_seq, decode_inputs(frame.inputs), decode_derived(frame.derived))


def read_records(folder: Path) -> Iterator[Record]:
    """Yield every record of a day by rising seq."""
    for frame in open_day(folder):
        yield from records_of(frame)


class JournalHistory:
    """`engine.ports.History` over a journal's folders."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def records(self, day: str, until_seq: int) -> Iterator[Record]:
        """Yield the records of `day` with seq <= until_seq; none of a day that has none on disk yet."""
        if not (self._root / day).is_dir():
            return
        for record in read_records(self._root / day):
            if record[0] > until_seq:
                return
            yield record


def sessions_of(folder: Path) -> list[SessionStarted]:
    """Return the sessions that began in a day, first one first."""
    return [event for _, _, event in read_records(folder) if isinstance(event, SessionStarted)]
