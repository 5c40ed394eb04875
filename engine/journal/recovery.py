"""Checks the journal before the first append, and repairs a torn tail.

Promises: acknowledged frames are never cut; bytes that are cut are kept in `damaged/`; any other fault
refuses the start and leaves every file unchanged. Called by the writer's process, under the lock, at
each start.

What is read: every frame of the newest day, of every day that is not sealed, and of the day of the
witness. Of other sealed days only headers and trailers are read, so that a missing day is found.

What a torn tail is: the last frame of the last segment fails a check, and no valid frame header (its
CRC is seeded with the random salt of the segment) follows anywhere. The writer has one unsynced frame
at a time, so a valid header after the damage proves that the damaged frame had been acknowledged. A
header with a right CRC and impossible numbers is not a torn tail either: a crash cannot cause it.

Why the last segment is copied even if it is complete: after a failed sync its pages may be in the
cache, marked clean, and not on the disk. Reading them proves nothing, and another fsync does not write
them. So the valid part is written to a new file, synced, and renamed.
"""

from __future__ import annotations

from copy import copy
from pathlib import Path

import msgspec

from engine.errors import JournalBehindWitness, JournalDamaged, JournalError

from .catalog import SegmentFile, is_unfinished, read_identity
from .cursor import Cursor
from .day import parse_day
from .disk import DISK, Disk, file_size, uninterrupted
from .frame import Digest
from .headers import Day, read_header, read_trailer, sort_days
from .reader import BrokenFrame, not_a_tail, scan_segment
from .repair import Plan, Repair, carry_out, find_header, saved_pieces
from .source import SourceFault, same_bytes
from .writer import Tail

__all__ = ["Recovered", "Witness", "recover"]


class Witness(msgspec.Struct, frozen=True):
    """A seq and its chain digest, at the end of a frame, stored outside the journal by `name`."""

    seq: int
    digest: Digest
    name: str = "a witness"


class Recovered(msgspec.Struct, frozen=True):
    """A journal that can be appended to.

    The caller records the `repairs`. `earlier` are those whose bytes earlier starts saved in the newest day
    and after it; the caller records those that the journal lacks, because a start may die before it has.
    `days` and `archives` are the days (yyyymmdd) with records of this journal and of others in the same root.
    `flags` are those of the last frame, 0 if there is none.
    """

    tail: Tail
    repairs: tuple[Repair, ...]
    days: tuple[int, ...]
    archives: tuple[int, ...]
    flags: int
    earlier: tuple[Repair, ...] = ()

    @property
    def end_seq(self) -> int:
        """The seq of the last record, 0 for an empty journal."""
        return self.tail.seq

    @property
    def digest(self) -> Digest:
        """The chain digest after the last frame."""
        return self.tail.digest


def recover(root: Path, *, witness: Witness | None = None, disk: Disk = DISK) -> Recovered:
    """Verify the journal in `root` and repair a torn tail. The caller holds the lock.

    Raises JournalDamaged for damage that a crash cannot cause and for a read error, JournalBehindWitness
    when the journal lacks the record of the witness, JournalVersionError for segments of another format,
    JournalError when there is no journal or the repair fails.
    """
    journal_id = read_identity(root, disk)
    if journal_id is None:
        raise JournalError(f"{root}: no journal here (journal.id is missing)")
    own, archives = sort_days(root, journal_id, disk)
    survey = _Survey(Cursor(journal_id=journal_id), witness, disk)
    for index, day in enumerate(own):
        newest = index == len(own) - 1
        after = None if newest else own[index + 1].segments[0].first_seq
        survey.day(day, newest=newest, whole=newest or not day.sealed or survey.holds_witness(day, after))
    survey.check_witness(root)
    tail = survey.tail(journal_id)
    earlier = _saved_from(root, tail.day or 0, disk)
    repairs = carry_out(survey.plan, root, disk)
    return Recovered(
        tail=tail,
        repairs=tuple(repairs),
        days=tuple(day.day for day in own if tail.day is not None and day.day <= tail.day),
        archives=tuple(day.day for day in archives),
        flags=survey.cursor.flags,
        earlier=tuple(earlier),
    )


def _saved_from(root: Path, first_day: int, disk: Disk) -> list[Repair]:
    """Return what earlier starts saved in the folders of `first_day` (yyyymmdd) and of later days."""
    try:
        names = sorted(uninterrupted(disk.listdir, root))
        days = [name for name in names if (parse_day(name) or 0) >= max(first_day, 1)]
        return [piece for name in days for piece in saved_pieces(root / name, disk)]
    except OSError as error:
        raise JournalError(f"{root}: cannot be listed: {error.strerror or error}") from error


class _Survey:
    """Reads the days in order and plans the repairs. Changes nothing."""

    def __init__(self, cursor: Cursor, witness: Witness | None, disk: Disk) -> None:
        self.cursor = cursor
        self.plan = Plan()
        self._witness = witness
        self._first_seq: int | None = None
        self._seen: Digest | None = None
        self._disk = disk
        self._last: SegmentFile | None = None

    def holds_witness(self, day: Day, after: int | None) -> bool:
        """Return whether the seq of the witness is in `day`. The next day begins with seq `after`."""
        if self._witness is None:
            return False
        return day.segments[0].first_seq <= self._witness.seq and (after is None or self._witness.seq < after)

    def day(self, day: Day, *, newest: bool, whole: bool) -> None:
        before, earlier = copy(self.cursor), self._last
        self.cursor.open_day(day.day)
        self.plan.folders.append(day.path)
        for index, segment in enumerate(day.segments):
            last = newest and index == len(day.segments) - 1
            if last and is_unfinished(segment, self._disk):
                self._remove(segment)
                return
            if whole or not segment.sealed:
                self._read(segment, last=last)
            else:
                self._link(segment)
            if segment.twin is not None:
                self._finish_seal(segment, segment.twin)
            if self._first_seq is None:
                self._first_seq = segment.first_seq
            self._last = segment
        held = self.cursor.seq - before.seq
        if newest and earlier is not None and not held and not day.segments[0].sealed:
            # The first segment has a header and no frame yet: the day has not begun.
            self.cursor, self._last, self.plan.cut = before, earlier, None
            self._remove(day.segments[0])
        elif newest and self._last is not None and not self._last.sealed:
            self.plan.keep = (self._last, self.cursor.offset)

    def check_witness(self, root: Path) -> None:
        """Raise JournalBehindWitness if the journal lacks the record of the witness."""
        witness = self._witness
        if witness is None or witness.seq == 0:
            return
        end = self.cursor.seq
        if witness.seq > end:
            raise JournalBehindWitness(
                f"{root}: the journal ends with seq {end}, but {witness.name} has seq {witness.seq}; "
                "restore the newest segments from a backup (nothing was changed)"
            )
        if self._first_seq is None or witness.seq < self._first_seq:
            return  # that day was removed on purpose
        if self._seen != witness.digest:
            raise JournalBehindWitness(
                f"{root}: seq {witness.seq} differs from the record of {witness.name}; "
                "the journal was changed, or it is another journal"
            )

    def tail(self, journal_id: bytes) -> Tail:
        cursor = self.cursor
        header, last = cursor.header, self._last
        if header is None or last is None:
            return Tail(journal_id=journal_id)
        return Tail(
            journal_id=journal_id,
            seq=cursor.seq,
            digest=cursor.digest,
            day=header.day,
            segments=header.number + 1,
            segment=None if last.sealed else last.path,
            size=0 if last.sealed else cursor.offset,
            salt=header.salt,
        )

    def _read(self, segment: SegmentFile, *, last: bool) -> None:
        witnessed = -1 if self._witness is None else self._witness.seq
        cursor = self.cursor
        try:
            for frame in scan_segment(segment, cursor, disk=self._disk):
                if cursor.seq == witnessed:
                    self._seen = frame.digest
        except BrokenFrame as broken:
            if not last or segment.sealed or broken.kind == "forged":
                raise
            self._tear(segment, broken)

    def _tear(self, segment: SegmentFile, broken: BrokenFrame) -> None:
        """Plan to cut the last frame, which fails a check, unless a valid header follows it."""
        assert self.cursor.header is not None
        later = find_header(segment, broken.offset + 1, self.cursor.header.salt, self._disk)
        if later is not None:
            raise not_a_tail(broken, later) from broken
        size = file_size(segment.path, self._disk) - broken.offset
        self.plan.cut = Repair("tail_cut", broken.file, broken.offset, size, broken.seq)

    def _link(self, segment: SegmentFile) -> None:
        trailer = read_trailer(segment, self._disk)
        self.cursor.enter(read_header(segment, self._disk), segment)
        self.cursor.seq, self.cursor.digest, self.cursor.flags = trailer.end_seq, trailer.digest, 0

    def _remove(self, segment: SegmentFile) -> None:
        expected = self.cursor.seq + 1
        if segment.first_seq != expected:
            reason = f"expected seq {expected} next, but the segment is named {segment.first_seq}"
            raise JournalDamaged(reason, file=str(segment.path), offset=0, seq=expected)
        size = file_size(segment.path, self._disk)
        self.plan.remove = Repair("segment_removed", str(segment.path), 0, size, segment.first_seq)
        if self._last is not None and not self._last.sealed:
            self.plan.keep = (self._last, self.cursor.offset)

    def _finish_seal(self, segment: SegmentFile, twin: Path) -> None:
        try:
            same = same_bytes(segment, twin, self._disk)
        except SourceFault as fault:
            raise JournalDamaged(
                fault.reason, file=str(twin), offset=fault.offset, seq=segment.first_seq
            ) from fault
        if not same:
            reason = f"the file differs from {segment.path.name} beside it; one of the two is damaged"
            raise JournalDamaged(reason, file=str(twin), offset=0, seq=segment.first_seq)
        self.plan.twins.append(Repair("seal_finished", str(twin), 0, 0, segment.first_seq))
