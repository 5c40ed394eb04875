"""Headers and trailers of segments, read without their frames.

Reads, at low cost, the journal, day and first seq of a segment (any format version, for
`engine inspect` and error messages), the end of a sealed one, and which days of a root belong to its journal.

A root may hold days of other journals, such as the sample day. A day is an archive, and is left
unchanged, if none of its segments belongs to this journal and all are sealed.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from engine.errors import JournalDamaged, JournalVersionError

from .catalog import DayFolder, SegmentFile, is_unfinished, list_days, list_segments
from .disk import DISK, Disk, file_size, uninterrupted
from .reader import segments_at
from .sealed import SEALED_HEADER_SIZE, TRAILER_SIZE, SealedFault, Trailer, parse_sealed_header, parse_trailer
from .segment import (
    SEGMENT_HEADER_SIZE_MAX,
    SegmentHeader,
    SegmentInfo,
    parse_segment_header,
    parse_segment_info,
)

__all__ = [
    "Day",
    "belongs",
    "read_header",
    "read_headers",
    "read_trailer",
    "sort_days",
]


class Day(msgspec.Struct, frozen=True):
    """A day folder with its segments in order. `day` is yyyymmdd."""

    path: Path
    day: int
    segments: tuple[SegmentFile, ...]

    @property
    def sealed(self) -> bool:
        """Whether every segment is sealed."""
        return all(segment.sealed for segment in self.segments)


def read_headers(path: Path, disk: Disk = DISK) -> list[SegmentInfo]:
    """Return version, day, journal id and first seq of each segment of a day folder, or of one segment.

    Works for every format version. Raises JournalDamaged when a header is not what was written,
    JournalError when there is no segment at `path`.
    """
    return [_info(segment, disk) for segment in segments_at(path, disk)]


def read_header(segment: SegmentFile, disk: Disk = DISK) -> SegmentHeader:
    """Return the header of a segment. Raises JournalDamaged, JournalVersionError."""
    return parse_segment_header(_head(segment, disk), file=str(segment.path))


def read_trailer(segment: SegmentFile, disk: Disk = DISK) -> Trailer:
    """Return the trailer of a sealed segment: its last 112 bytes. Raises JournalDamaged."""
    assert segment.sealed
    offset = file_size(segment.path, disk) - TRAILER_SIZE
    if offset < SEALED_HEADER_SIZE:
        raise _damaged("the file ends too early", segment, 0)
    try:
        return parse_trailer(_read(segment, TRAILER_SIZE, offset, disk))
    except SealedFault as fault:
        raise _damaged(str(fault), segment, offset) from fault


def sort_days(root: Path, journal_id: bytes, disk: Disk = DISK) -> tuple[list[Day], list[Day]]:
    """Return the days of this journal and the archives, both oldest first, without empty folders.

    Raises JournalDamaged for a day that is neither: it has a segment of another journal that is not
    sealed, or that is among segments of this journal.
    """
    own: list[Day] = []
    archives: list[Day] = []
    for folder in list_days(root, disk, unfinished=True):
        segments = tuple(list_segments(folder.path, disk))
        if segments:
            foreign = _foreign(folder, segments, journal_id, disk)
            (archives if foreign else own).append(Day(folder.path, folder.day, segments))
    return own, archives


def _foreign(folder: DayFolder, segments: tuple[SegmentFile, ...], journal_id: bytes, disk: Disk) -> bool:
    others = [
        segment
        for segment in segments
        if not is_unfinished(segment, disk) and _info(segment, disk).journal_id != journal_id
    ]
    if not others:
        return False
    if len(others) == len(segments) and all(segment.sealed for segment in segments):
        return True
    stray = next((segment for segment in others if not segment.sealed), others[0])
    raise _damaged(f"the segment belongs to another journal; move it out of {folder.path.name}", stray, 0)


def _info(segment: SegmentFile, disk: Disk) -> SegmentInfo:
    return parse_segment_info(_head(segment, disk), file=str(segment.path), sealed=segment.sealed)


def _head(segment: SegmentFile, disk: Disk) -> bytes:
    """Return the first bytes of a segment; of a sealed one, the copy of its header."""
    if not segment.sealed:
        return _read(segment, SEGMENT_HEADER_SIZE_MAX, 0, disk)
    data = _read(segment, SEALED_HEADER_SIZE, 0, disk)
    try:
        if len(data) < SEALED_HEADER_SIZE:
            raise SealedFault("the file ends too early")
        return parse_sealed_header(data)
    except SealedFault as fault:
        raise _damaged(str(fault), segment, 0) from fault
    except JournalVersionError as error:
        raise JournalVersionError(f"{segment.path}: {error}") from error


def _read(segment: SegmentFile, size: int, offset: int, disk: Disk) -> bytes:
    try:
        fd = uninterrupted(disk.open_read, segment.path)
        try:
            return uninterrupted(disk.pread, fd, size, offset)
        finally:
            disk.close(fd)
    except OSError as error:
        raise _damaged(f"cannot be read: {error.strerror or error}", segment, offset) from error


def _damaged(reason: str, segment: SegmentFile, offset: int) -> JournalDamaged:
    return JournalDamaged(reason, file=str(segment.path), offset=offset, seq=segment.first_seq)


def belongs(folder: Path, journal_id: bytes) -> bool:
    """Return whether a day belongs to the journal with this id."""
    headers = read_headers(folder)
    return bool(headers) and headers[0].journal_id == journal_id
