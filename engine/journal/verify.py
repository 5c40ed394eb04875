"""Checks every byte of a day or of a whole journal, and reports its contents.

Reads only. Promises that a changed byte anywhere in a segment is found and reported, with the same rule
for a torn tail as the reader. Called by `engine journal verify`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec

from engine.errors import JournalDamaged, JournalError

from .catalog import SegmentFile, list_days, list_segments, read_identity
from .cursor import Cursor
from .disk import DISK, Disk, file_size
from .frame import Digest, Frame
from .headers import Day, sort_days
from .reader import FrameReader, TornTail, day_of_folder
from .source import SourceFault, same_bytes

__all__ = ["DayReport", "JournalReport", "verify_day", "verify_journal"]

Progress = Callable[[int, int], None]
_PROGRESS_BYTES = 8 * 1024 * 1024


class DayReport(msgspec.Struct, frozen=True):
    """A verified day. `size` in bytes on disk; `day` is yyyymmdd, None if the folder has no such name."""

    folder: str
    day: int | None
    journal_id: bytes | None
    segments: int
    sealed: int
    frames: int
    records: int
    size: int
    first_seq: int
    end_seq: int
    digest: Digest
    torn: TornTail | None


class JournalReport(msgspec.Struct, frozen=True):
    """A verified journal: its own days, which follow one another, and the archives beside them."""

    days: tuple[DayReport, ...]
    archives: tuple[DayReport, ...]

    @property
    def torn(self) -> TornTail | None:
        """The torn tail of the newest day, if it has one."""
        return self.days[-1].torn if self.days else None


def verify_day(
    folder: Path,
    *,
    progress: Progress | None = None,
    content: Callable[[Frame], None] | None = None,
    disk: Disk = DISK,
) -> DayReport:
    """Check every byte of one day folder. `progress` is called with bytes done and bytes in all.

    `content` is called with each frame, to check the records in it.

    Raises JournalDamaged with file, offset and seq, JournalVersionError, or JournalError if there is no
    day at `folder`.
    """
    segments = list_segments(folder, disk)
    if not segments:
        raise JournalError(f"{folder}: no journal segments in this folder")
    meter = _Meter(progress, _size(segments, disk))
    return _verify(folder, segments, Cursor(day=day_of_folder(folder)), meter, disk, content)


def verify_journal(
    root: Path,
    *,
    progress: Progress | None = None,
    content: Callable[[Frame], None] | None = None,
    report: Callable[[DayReport], None] | None = None,
    disk: Disk = DISK,
) -> JournalReport:
    """Check every byte of every day in a root, and that its own days follow one another.

    Seq and digest of a day continue those of the day before. The oldest day that is there may begin with any
    seq, because older days may have been moved away; a day that is missing between two others is damage.
    A root without `journal.id` holds archives only, sealed or not; archives are checked one by one. Of the
    journal's own days only the newest may end in a torn tail. `report` is called with each day once it is
    checked, `content` with each frame. Raises as `verify_day` does, for the first break.
    """
    journal_id = read_identity(root, disk)
    own: list[Day] = []
    if journal_id is None:
        archives = _all_days(root, disk)
    else:
        own, archives = sort_days(root, journal_id, disk)
    if not own and not archives:
        raise JournalError(f"{root}: no journal days in this folder")
    meter = _Meter(progress, sum(_size(day.segments, disk) for day in [*own, *archives]))
    reports: tuple[list[DayReport], list[DayReport]] = ([], [])
    cursor = Cursor(journal_id=journal_id)
    for day in [*own, *archives]:
        archived = len(reports[0]) == len(own)
        if archived:
            cursor = Cursor(day=day.day)
        else:
            cursor.open_day(day.day)
        done = _verify(day.path, day.segments, cursor, meter, disk, content)
        if done.torn is not None and not archived and day is not own[-1]:
            reason = "the file ends inside a frame, but later days follow"
            raise JournalDamaged(reason, file=done.torn.file, offset=done.torn.offset, seq=done.torn.seq)
        reports[archived].append(done)
        if report is not None:
            report(done)
    return JournalReport(tuple(reports[0]), tuple(reports[1]))


def _all_days(root: Path, disk: Disk) -> list[Day]:
    days = [Day(day.path, day.day, tuple(list_segments(day.path, disk))) for day in list_days(root, disk)]
    return [day for day in days if day.segments]


def _verify(
    folder: Path,
    segments: list[SegmentFile] | tuple[SegmentFile, ...],
    cursor: Cursor,
    meter: _Meter,
    disk: Disk,
    content: Callable[[Frame], None] | None = None,
) -> DayReport:
    reader = FrameReader(segments, cursor=cursor, disk=disk, whole=True)
    current = ""
    for frame in reader:
        if frame.file != current:
            meter.enter(current, disk)
            current = frame.file
        meter.at(frame.offset)
        if content is not None:
            content(frame)
    meter.enter(current, disk)
    for segment in segments:
        if segment.twin is not None:
            _compare(segment, segment.twin, disk)
    return DayReport(
        folder=str(folder),
        day=cursor.day,
        journal_id=cursor.journal_id,
        segments=len(segments),
        sealed=sum(segment.sealed for segment in segments),
        frames=reader.frames,
        records=reader.records,
        size=_size(segments, disk),
        first_seq=segments[0].first_seq,
        end_seq=cursor.seq,
        digest=cursor.digest,
        torn=reader.torn,
    )


def _compare(segment: SegmentFile, twin: Path, disk: Disk) -> None:
    try:
        same = same_bytes(segment, twin, disk)
    except SourceFault as fault:
        raise JournalDamaged(
            fault.reason, file=str(twin), offset=fault.offset, seq=segment.first_seq
        ) from fault
    if not same:
        reason = f"the file differs from {segment.path.name} beside it; one of the two is damaged"
        raise JournalDamaged(reason, file=str(twin), offset=0, seq=segment.first_seq)


def _size(segments: list[SegmentFile] | tuple[SegmentFile, ...], disk: Disk) -> int:
    return sum(file_size(segment.path, disk) for segment in segments)


class _Meter:
    """Calls `progress` at most once per 8 MiB. Sealed segments are counted when they are finished."""

    def __init__(self, progress: Progress | None, total: int) -> None:
        self._progress = progress
        self._total = total
        self._done = 0
        self._next = 0

    def enter(self, finished: str, disk: Disk) -> None:
        if finished:
            self._done += file_size(Path(finished), disk)
            self._next = 0
            self.at(0)

    def at(self, offset: int) -> None:
        if self._progress is not None and offset >= self._next:
            self._progress(min(self._done + offset, self._total), self._total)
            self._next = offset + _PROGRESS_BYTES
