"""A reader's position in the chain, and the check that a segment is the next one.

Owns the rule that links segments: journal id, day, number within the day, seq and digest must all
continue. Used by the reader for frames, and by recovery to link sealed days without reading them.
"""

from __future__ import annotations

from engine.errors import JournalDamaged

from .catalog import SegmentFile
from .frame import ZERO_DIGEST, Digest
from .segment import SEGMENT_HEADER_SIZE, SegmentHeader

__all__ = ["Cursor"]


class Cursor:
    """A reader's position in the chain.

    `seq` and `digest` are those of the last frame read, `offset` is where the next one begins in the
    plain segment, `header` is that of the current segment. A new cursor starts at the first segment it
    enters. `journal_id`, `day` and `number` are what that segment must have; None accepts any.
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
        """Expect the first segment of `day` next."""
        self.day = day
        self.number = 0

    def enter(self, header: SegmentHeader, segment: SegmentFile) -> None:
        """Move to the start of a segment. Raises JournalDamaged if it is not the next one."""
        file = str(segment.path)
        self.link(header, segment)
        self.started = True
        self.journal_id, self.day = header.journal_id, header.day
        self.seq, self.digest = header.first_seq - 1, header.previous
        self.number = header.number + 1
        self.offset = SEGMENT_HEADER_SIZE
        self.header = header
        if header.first_seq == 1 and header.previous != ZERO_DIGEST:
            raise JournalDamaged(
                "the first segment of a journal must have a previous digest of zeros",
                file=file,
                offset=0,
                seq=1,
            )

    def link(self, header: SegmentHeader, segment: SegmentFile) -> None:
        """Raise JournalDamaged unless `header` continues the chain here and agrees with the file name."""
        expected = self.seq + 1 if self.started else segment.first_seq

        def refuse(reason: str, seq: int = expected) -> JournalDamaged:
            return JournalDamaged(reason, file=str(segment.path), offset=0, seq=seq)

        if self.journal_id is not None and header.journal_id != self.journal_id:
            raise refuse("the segment belongs to another journal")
        if header.first_seq != segment.first_seq or header.first_seq == 0:
            raise refuse(f"the segment begins with seq {header.first_seq}, which is not the seq in its name")
        if self.day is not None and header.day != self.day:
            raise refuse(f"a segment of day {header.day} is in the folder of day {self.day}")
        if self.number is not None and header.number != self.number:
            raise refuse(f"expected segment {self.number} of the day, but this is segment {header.number}")
        if self.started and header.first_seq != expected:
            raise refuse(f"expected seq {expected} next, but the segment begins with {header.first_seq}")
        if self.started and header.previous != self.digest:
            raise refuse("the segment does not continue the one before it (the previous digest differs)")
