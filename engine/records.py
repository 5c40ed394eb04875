"""Converts between frames of bytes and typed events: reads recorded days, prepares turns for writing.

The only module that decodes frames and encodes drafts. Called by all readers of a day (replays, backtests,
inspection, stores, restarts) and all its writers (the committer, imports).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from engine.errors import UsageError
from engine.events import DayOpened, Event, SessionStarted, SessionStopped
from engine.events.codec import (
    Derived,
    Record,
    decode_derived,
    decode_inputs,
    encode_derived,
    encode_inputs,
    in_order,
)
from engine.journal import FLAG_CLEAN_STOP, Draft, Frame, FrameReader, list_days, list_segments, read_frames
from engine.opening import completed

__all__ = [
    "JournalHistory",
    "day_folders",
    "derived_of",
    "draft_of",
    "inputs_of",
    "open_day",
    "read_records",
    "records_of",
    "sessions_of",
]


def open_day(folder: Path) -> FrameReader:
    """Return a reader of a day's frames. Raises UsageError if there is no such day."""
    if not folder.is_dir():
        raise UsageError(f"{folder}: there is no such day; a day is a folder such as journal/2024-12-05")
    if not list_segments(folder):
        raise UsageError(f"{folder}: holds no journal segments; a day is a folder such as journal/2024-12-05")
    return read_frames(folder)


def inputs_of(frame: Frame) -> list[Event]:
    """Return the inputs of a frame by rising seq. Raises JournalVersionError."""
    return decode_inputs(frame.inputs) if frame.inputs else []


def derived_of(frame: Frame) -> list[Derived]:
    """Return the derived records of a frame by rising seq. Raises JournalError.

    A `DayOpened` of an earlier version is completed (see `engine.opening`).
    """
    derived = decode_derived(frame.derived) if frame.derived else []
    if derived:
        seq, cause, event = derived[0]
        if isinstance(event, DayOpened):
            derived[0] = seq, cause, completed(event)
    return derived


def records_of(frame: Frame) -> Iterator[Record]:
    """Yield the records of a frame by rising seq. Raises JournalVersionError."""
    return in_order(frame.first_seq, inputs_of(frame), derived_of(frame))


def draft_of(
    first_seq: int, inputs: Sequence[Event], derived: Sequence[Derived] = (), *, ends: bool = False
) -> Draft:
    """Return whole turns as a frame to be written; `first_seq` is the seq of the first record.

    The frame is flagged as a clean end if `ends`, or if its last input is `SessionStopped`.
    """
    ends = ends or (bool(inputs) and inputs[-1].__class__ is SessionStopped)
    return Draft(
        first_seq,
        len(inputs) + len(derived),
        encode_inputs(inputs),
        encode_derived(derived),
        FLAG_CLEAN_STOP if ends else 0,
    )


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
    """Return the sessions that began in a day, oldest first."""
    return [event for _, _, event in read_records(folder) if isinstance(event, SessionStarted)]


def day_folders(paths: tuple[Path, ...]) -> list[Path]:
    """Return the day folders that paths name: days themselves, or journals with days in them.

    Raises UsageError where there is no folder.
    """
    folders: list[Path] = []
    for path in paths:
        if not path.is_dir():
            raise UsageError(f"{path}: there is no such day; a day is a folder such as journal/2024-12-05")
        days = [day.path for day in list_days(path)] if not list_segments(path) else []
        folders += days or [path]
    return folders
