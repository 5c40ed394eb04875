"""Converts between frames of bytes and typed events: reads recorded days, prepares turns for writing.

The only module that decodes frames and encodes drafts. Called by all readers of a day (replays, backtests,
inspection, stores, restarts) and all its writers (the committer, imports).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final, TypeVar

from engine.errors import JournalDamaged, JournalVersionError, UsageError
from engine.events import DayOpened, Event, InstrumentListed, SessionStarted, SessionStopped, engine_time
from engine.events.codec import (
    Derived,
    Record,
    decode_derived,
    decode_inputs,
    encode_derived,
    encode_inputs,
    in_order,
)
from engine.journal import (
    DISK,
    FLAG_CLEAN_STOP,
    Disk,
    Draft,
    Frame,
    FrameReader,
    has_begun,
    list_days,
    list_segments,
    read_frames,
)
from engine.opening import completed

__all__ = [
    "JournalHistory",
    "check_contents",
    "check_frame",
    "check_numbers",
    "damaged",
    "day_folders",
    "derived_of",
    "draft_of",
    "inputs_of",
    "open_day",
    "read_records",
    "records_of",
    "sessions_of",
]


T = TypeVar("T")

NS_MAX: Final = 2**63 - 1
"""Later than any time of an engine: the year 2262."""
SCALE_MAX: Final = 18
"""Upper bound on the decimal places of an instrument."""

_IMPOSSIBLE: Final = (RecursionError, OverflowError, ValueError, TypeError, LookupError)


def open_day(folder: Path, disk: Disk = DISK) -> FrameReader:
    """Return a reader of a day's frames. Raises UsageError if there is no such day."""
    if not disk.is_dir(folder):
        raise UsageError(f"{folder}: there is no such day; a day is a folder such as journal/2024-12-05")
    segments = list_segments(folder, disk)
    if not segments or not has_begun(folder, disk):
        raise UsageError(f"{folder}: holds no records; a day is a folder such as journal/2024-12-05")
    return read_frames(folder, segments=segments, disk=disk)


def inputs_of(frame: Frame) -> list[Event]:
    """Return the inputs of a frame by rising seq. Raises JournalVersionError, JournalDamaged."""
    return _decoded(decode_inputs, frame.inputs, frame) if frame.inputs else []


def derived_of(frame: Frame) -> list[Derived]:
    """Return the derived records of a frame by rising seq. Raises JournalError.

    A `DayOpened` of an earlier version is completed (see `engine.opening`).
    """
    derived = _decoded(decode_derived, frame.derived, frame) if frame.derived else []
    if derived:
        seq, cause, event = derived[0]
        if isinstance(event, DayOpened):
            derived[0] = seq, cause, completed(event)
    return derived


def records_of(frame: Frame) -> Iterator[Record]:
    """Yield the records of a frame by rising seq. Raises JournalVersionError, JournalDamaged."""
    inputs, derived = inputs_of(frame), derived_of(frame)
    check_contents(frame, inputs, derived)
    return in_order(frame.first_seq, inputs, derived)


def check_frame(frame: Frame) -> None:
    """Check a frame whose bytes are whole as a reader would. Raises JournalVersionError, JournalDamaged."""
    inputs, derived = inputs_of(frame), derived_of(frame)
    check_contents(frame, inputs, derived)
    check_numbers(frame, inputs)


def check_contents(frame: Frame, inputs: Sequence[Event], derived: Sequence[Derived]) -> None:
    """Raise JournalDamaged unless a frame holds as many records as its header says, with its own seqs.

    No writer writes such a frame, so its digest can be right: somebody has made it.
    """
    held = len(inputs) + len(derived)
    if held != frame.count:
        raise damaged(frame, f"its header says {frame.count} records, and it holds {held}")
    seq = frame.first_seq - 1
    for number, cause, _ in derived:
        if not seq < number < frame.first_seq + frame.count or not 0 <= cause < number:
            raise damaged(frame, f"a derived record has seq {number} and cause {cause}, which is impossible")
        seq = number


def damaged(frame: Frame, reason: str) -> JournalDamaged:
    """Return the error for a frame whose bytes are whole and whose content cannot be."""
    words = f"no engine writes such a frame: {reason}"
    return JournalDamaged(words, file=frame.file, offset=frame.offset, seq=frame.first_seq)


def check_numbers(frame: Frame, inputs: Sequence[Event]) -> None:
    """Raise JournalDamaged for a time or a scale that no engine records.

    Not called for every frame: it explains why a frame cannot be replayed.
    """
    for event in inputs:
        at_ns = engine_time(event)
        if not 0 <= at_ns < NS_MAX:
            raise damaged(frame, f"a {event.__class__.__name__} has the time {at_ns}")
        if isinstance(event, InstrumentListed) and not (
            0 <= event.price_scale <= SCALE_MAX and 0 <= event.size_scale <= SCALE_MAX
        ):
            scales = f"{event.price_scale} and {event.size_scale}"
            raise damaged(frame, f"instrument {event.instrument} has the scales {scales}")


def _decoded(decode: Callable[[bytes], T], blob: bytes, frame: Frame) -> T:
    """Decode a blob. What nests too deep, or holds a number that no event can have, is damage.

    A blob of more records than its frame has is refused before it is decoded: a few bytes a record in the
    blob are some hundred in memory.
    """
    held = _length(blob)
    if held > frame.count:
        raise damaged(frame, f"its header says {frame.count} records, and it holds {held}")
    try:
        return decode(blob)
    except JournalVersionError as error:
        raise JournalVersionError(
            f"{frame.file}, offset {frame.offset} (seq {frame.first_seq}): {error}"
        ) from error
    except _IMPOSSIBLE as error:
        raise damaged(frame, f"its records cannot be read: {error}") from error


def _length(blob: bytes) -> int:
    """Return the number of elements that a MessagePack array says it has, 0 for anything else."""
    kind = blob[0]
    if kind & 0xF0 == 0x90:
        return kind & 0x0F
    return int.from_bytes(blob[1 : {0xDC: 3, 0xDD: 5}.get(kind, 1)], "big")


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


def read_records(folder: Path, disk: Disk = DISK) -> Iterator[Record]:
    """Yield every record of a day by rising seq."""
    for frame in open_day(folder, disk):
        yield from records_of(frame)


class JournalHistory:
    """`engine.ports.History` over a journal's folders."""

    def __init__(self, root: Path, disk: Disk = DISK) -> None:
        self._root = root
        self._disk = disk

    def records(self, day: str, until_seq: int) -> Iterator[Record]:
        """Yield the records of `day` with seq <= until_seq; none of a day that has none on disk yet."""
        if not self._disk.is_dir(self._root / day) or not has_begun(self._root / day, self._disk):
            return
        for record in read_records(self._root / day, self._disk):
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
