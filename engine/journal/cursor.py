"""Where a reader stands in the chain, and whether a segment is the one that comes next.

Owns the rule that ties segments together: journal id, day, number within the day, seq and digest must
all continue. Used by the reader for frames, and by recovery to link sealed days without reading them.
"""

from __future__ import annotations

from engine.errors import JournalDamaged

from .catalog import SegmentFile
from .frame import ZERO_DIGEST, Digest
from .segment import SEGMENT_HEADER_SIZE, SegmentHeader

__all__ = ["Cursor"]


class Cursor:
    """Where a reader stands in the chain.

    `seq` and `digest` are those of the last frame read, `offset` is where the next one begins in the
    plain segment, `header` is that of the current segment. A fresh cursor takes its start from the
    first segment it meets; a `journal_id`, `day` or `number` that is given is what that segment must
    carry, None leaves it open.
    """

    __slots__ = ("day", "digest", "flags", "header", "journal_id", "number", "offset", "seq", "started")

    def __init__(
        self, *, journal_id: bytes | None = None, day: int | None = None, number: int | None = 0
    ) -> None:
        self.journal_id = journal_id
        self.day = day
        self.number = number
        self.started = False
        self.seq = 0
        self.digest: Digest = ZERO_DIGEST
        self.flags = 0
        self.offset = 0
        self.header: SegmentHeader | None = None

    def open_day(self, day: int) -> None:
        """The next segment is the first of `day`."""
        self.day = day
        self.number = 0

    def enter(self, header: SegmentHeader, segment: SegmentFile) -> None:
        """Goes on into a segment. Raises JournalDamaged when it is not the one that follows."""
        file = str(segment.path)
        self.link(header, segment)
        self.started = True
        self.journal_id, self.day = header.journal_id, header.day
        self.seq, self.digest = header.first_seq - 1, header.previous
        self.number = header.number + 1
        self.offset = SEGMENT_HEADER_SIZE
        self.header = header
        if header.first_seq == 1 and header.previous != ZERO_DIGEST:
            raise JournalDamaged("the first segment of a journal has a past", file=file, offset=0, seq=1)

    def link(self, header: SegmentHeader, segment: SegmentFile) -> None:
        """Raises JournalDamaged unless `header` continues the chain here and agrees with the file's name."""
        expected = self.seq + 1 if self.started else segment.first_seq

        def refuse(reason: str, seq: int = expected) -> JournalDamaged:
            return JournalDamaged(reason, file=str(segment.path), offset=0, seq=seq)

        if self.journal_id is not None and header.journal_id != self.journal_id:
            raise refuse("this segment belongs to another journal")
        if header.first_seq != segment.first_seq or header.first_seq == 0:
            raise refuse(f"the segment begins with seq {header.first_seq}, its name says otherwise")
        if self.day is not None and header.day != self.day:
            raise refuse(f"this is a segment of day {header.day} in the folder of day {self.day}")
        if self.number is not None and header.number != self.number:
            raise refuse(f"this is segment {header.number} of its day where {self.number} was expected")
        if self.started and header.first_seq != expected:
            raise refuse(f"seq {expected} was expected next, this segment begins with {header.first_seq}")
        if self.started and header.previous != self.digest:
            raise refuse("this segment does not continue the one before it (previous digest differs)")
