"""Reads a journal frame by frame with the bytes that its segments hold, from any frame on, as it grows.

Owns the reader's place in the journal. What it yields may not be on the disk yet, since its writer syncs it:
`sync` does so before it is given to others. Called by `pushing`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec

from engine.journal import (
    DISK,
    ZERO_DIGEST,
    Digest,
    Disk,
    Frame,
    SegmentFile,
    list_segments,
    parse_day,
    read_headers,
)
from engine.journal.catalog import is_unfinished
from engine.journal.cursor import Cursor
from engine.journal.disk import uninterrupted
from engine.journal.frame import packed, salt_seed
from engine.journal.reader import BrokenFrame, resume_segment, scan_segment
from engine.journal.segment import pack_segment_header

__all__ = ["FrameSource", "Piece"]


def day_of(folder: Path) -> int:
    """Return the day (yyyymmdd) of a folder; 0 for one with another name."""
    return parse_day(folder.name) or 0


class Piece(msgspec.Struct, frozen=True):
    """A frame with its bytes. Those of the first frame of a segment begin with the segment's header.

    `segment` is the first seq of its segment, `day` yyyymmdd.
    """

    journal_id: bytes
    day: int
    segment: int
    opens: bool
    data: bytes
    frame: Frame


class FrameSource:
    """The frames of the days of one journal. `days` returns their folders, oldest first, each time."""

    def __init__(self, days: Callable[[], Sequence[Path]], disk: Disk = DISK) -> None:
        self._days = days
        self._disk = disk
        self._cursor = Cursor()
        self._segment: SegmentFile | None = None
        self._before: Digest = ZERO_DIGEST  # of the frame before the last one read

    @property
    def seq(self) -> int:
        """Seq of the last record read."""
        return self._cursor.seq

    @property
    def digest(self) -> Digest:
        """Digest of the last frame read."""
        return self._cursor.digest

    def identity(self) -> bytes | None:
        """Return the id of the journal, None while it has no segment."""
        found = self._segments()
        return read_headers(found[0][1].path, self._disk)[0].journal_id if found else None

    def rewind(self) -> None:
        """Begin with the first frame of the first day."""
        self._cursor = Cursor()

    def seek(self, seq: int, see: Callable[[Frame], None] | None = None) -> Frame | None:
        """Go behind the frame that holds `seq`, and return it; None if the journal ends before it.

        With `see`, the frames of its day up to it are shown. Raises JournalDamaged. A seq before the first
        frame also returns None, at the first frame.
        """
        found = self._segments()
        begin = max((at for at, (_, one) in enumerate(found) if one.first_seq <= seq), default=None)
        self.rewind()
        if begin is None:
            return None
        if see is not None:
            begin = min(at for at, (day, _) in enumerate(found) if day == found[begin][0])
        self._cursor = Cursor(number=None)
        for piece in self._read(found[begin:]):
            if see is not None:
                see(piece.frame)
            if piece.frame.last_seq >= seq:
                return piece.frame
        return None

    def read(self, until_seq: int | None = None) -> Iterator[Piece]:
        """Yield the frames behind the place, up to the end of the journal or to `until_seq`."""
        found = self._segments(self._cursor.day or 0)
        if self._cursor.header is not None:
            here = self._cursor.header.first_seq
            found = [one for one in found if one[1].first_seq >= here]
        yield from self._read(found, until_seq)

    def step_back(self, frame: Frame) -> None:
        """Go before the frame that was read last."""
        self._cursor.seq, self._cursor.digest = frame.first_seq - 1, self._before
        self._cursor.offset = frame.offset

    def sync(self) -> None:
        """Make what was read durable, before it is given to others."""
        if self._segment is None or self._segment.sealed:
            return
        try:
            fd = uninterrupted(self._disk.open_read, self._segment.path)
        except FileNotFoundError:
            return  # it was sealed meanwhile, which is durable
        try:
            uninterrupted(self._disk.fdatasync, fd)
        finally:
            self._disk.close(fd)

    def _segments(self, from_day: int = 0) -> list[tuple[Path, SegmentFile]]:
        """Return (day folder, segment) of the days, without a last one that is only being created."""
        days = [day for day in self._days() if day_of(day) >= from_day]
        found = [(day, one) for day in days for one in list_segments(day, self._disk)]
        if found and is_unfinished(found[-1][1], self._disk):
            found.pop()
        return found

    def _read(
        self, segments: Sequence[tuple[Path, SegmentFile]], until_seq: int | None = None
    ) -> Iterator[Piece]:
        for at, (_, segment) in enumerate(segments):
            last = at == len(segments) - 1
            before = self._cursor.digest
            self._segment = segment
            try:
                for frame in self._frames_of(segment):
                    header = self._cursor.header
                    opens = header is not None and frame.first_seq == header.first_seq
                    self._before = header.previous if header is not None and opens else before
                    if until_seq is not None and frame.last_seq > until_seq:
                        self.step_back(frame)
                        return
                    before = frame.digest
                    yield self._piece(segment, frame)
            except BrokenFrame as broken:
                if not last or segment.sealed or broken.kind != "short":
                    raise
                return  # it is being written

    def _frames_of(self, segment: SegmentFile) -> Iterator[Frame]:
        cursor = self._cursor
        header = cursor.header
        if header is None or header.first_seq != segment.first_seq:
            day = day_of(segment.path.parent)
            if cursor.started and day != cursor.day:
                cursor.open_day(day)
            yield from scan_segment(segment, cursor, disk=self._disk)
        elif not segment.sealed:
            yield from resume_segment(segment, cursor, disk=self._disk)
        else:  # it was sealed meanwhile: its frames are read again from its start
            read, self._cursor = cursor.seq, Cursor(journal_id=cursor.journal_id, number=None)
            for frame in scan_segment(segment, self._cursor, disk=self._disk):
                if frame.first_seq > read:
                    yield frame

    def _piece(self, segment: SegmentFile, frame: Frame) -> Piece:
        header = self._cursor.header
        assert header is not None
        data = packed(frame, salt_seed(header.salt))
        opens = frame.first_seq == segment.first_seq
        if opens:
            data = pack_segment_header(header) + data
        return Piece(header.journal_id, header.day, segment.first_seq, opens, data, frame)
