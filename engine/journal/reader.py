"""Reads frames: of one segment, or of all segments of a day, plain or sealed, in bounded memory.

Owns the checks along the chain: header, CRC, seq, digest. Promises that a frame it yields is the frame
that was written, in its place; anything else raises `JournalDamaged` with file, offset and seq. Never
changes a file. Called by replay, inspect and verify. Recovery calls `scan_segment`, because it has a
rule of its own for the end of the last segment.

The rule of a reader for that end: a last frame cut short by the end of the last plain segment is a
torn tail and is reported, not raised, because a writer may be appending it or may have died there.
A complete last frame that fails a check is damage, and so is a short one that has a valid header after its
start: its length is forged.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Literal
from zlib import crc32

import msgspec

from engine.errors import JournalDamaged, JournalError

from .catalog import SegmentFile, is_unfinished, list_segments
from .cursor import Cursor
from .day import parse_day
from .disk import DISK, Disk, file_size
from .frame import (
    COUNT_MAX,
    DIGEST_SIZE,
    DIGESTED,
    FRAME_BYTES_MAX,
    FRAME_HEADER_SIZE,
    FRAME_MAGIC,
    FRAME_OVERHEAD,
    HEADER,
    Digest,
    Frame,
    salt_seed,
)
from .repair import find_header
from .segment import (
    SEALED_SUFFIX,
    SEGMENT_HEADER_SIZE,
    SEGMENT_HEADER_SIZE_MAX,
    parse_segment_header,
    parse_segment_name,
)
from .source import PlainSource, Source, SourceFault, open_source

__all__ = [
    "BrokenFrame",
    "FrameReader",
    "TornTail",
    "check_next",
    "day_of_folder",
    "not_a_tail",
    "read_frames",
    "resume_segment",
    "scan_segment",
    "segments_at",
]

_CHUNK = 1024 * 1024  # bytes read from a plain segment at a time
_CRC_END = FRAME_HEADER_SIZE - 4

Broken = Literal["short", "header", "digest", "forged"]


class BrokenFrame(JournalDamaged):
    """A frame that fails a check. `kind` says which.

    short: the file ends inside it. header: no valid header. digest: the payload or digest is wrong.
    forged: the CRC is right, but no writer writes such a header; a crash cannot cause it. `size` is the bytes
    that were there of a short one.
    """

    def __init__(self, reason: str, *, kind: Broken, file: str, offset: int, seq: int, size: int = 0) -> None:
        super().__init__(reason, file=file, offset=offset, seq=seq)
        self.kind = kind
        self.size = size


class TornTail(msgspec.Struct, frozen=True):
    """An incomplete frame at the end of a day. `offset` and `size` in bytes, `seq` is the first one lost."""

    file: str
    offset: int
    size: int
    seq: int


def scan_segment(
    segment: SegmentFile,
    cursor: Cursor,
    *,
    disk: Disk = DISK,
    verify_digest: bool = True,
    whole: bool = False,
) -> Iterator[Frame]:
    """Yield the frames of one segment and advance `cursor` over them.

    Raises JournalDamaged; its subclass BrokenFrame, with the cursor before the frame, when a frame fails
    a check; JournalVersionError for another format version. `whole` also checks the digest that a sealed
    segment stores of all its unpacked bytes.
    """
    file = str(segment.path)
    seq = cursor.seq + 1 if cursor.started else segment.first_seq
    try:
        source = open_source(segment, disk, whole=whole)
        try:
            data = _more(source, b"", SEGMENT_HEADER_SIZE)
            cursor.enter(parse_segment_header(data[:SEGMENT_HEADER_SIZE_MAX], file=file), segment)
            yield from _frames(source, data, file, cursor, verify_digest)
            source.check_end(cursor.seq, cursor.digest)
        finally:
            source.close()
    except SourceFault as fault:
        lost = cursor.seq + 1 if cursor.started else seq
        raise JournalDamaged(fault.reason, file=file, offset=fault.offset, seq=lost) from fault


def resume_segment(segment: SegmentFile, cursor: Cursor, *, disk: Disk = DISK) -> Iterator[Frame]:
    """Yield the frames of a plain segment behind those that `cursor` has read of it, and advance it.

    For a reader that follows a journal. Raises what `scan_segment` raises.
    """
    assert cursor.header is not None
    assert not segment.sealed
    file = str(segment.path)
    try:
        source = PlainSource(segment.path, disk, cursor.offset)
        try:
            yield from _frames(source, b"", file, cursor, True, at=0)
        finally:
            source.close()
    except SourceFault as fault:
        raise JournalDamaged(fault.reason, file=file, offset=fault.offset, seq=cursor.seq + 1) from fault


def check_next(data: bytes, cursor: Cursor, *, file: str) -> Frame:
    """Return the frame that `data` is, checked as the next one after `cursor`, which advances.

    For frames that come from elsewhere than a segment. `file` is where they are about to be written. Raises
    JournalDamaged.
    """
    frames = list(_frames(_Nothing(), data, file, cursor, True, at=0))
    if len(frames) != 1:
        reason = f"expected one frame, but found {len(frames)}"
        raise JournalDamaged(reason, file=file, offset=cursor.offset, seq=cursor.seq + 1)
    return frames[0]


class _Nothing:
    """No further bytes."""

    def read(self, size: int) -> bytes:
        return b""

    def may_hold(self, size: int) -> bool:
        return False

    def check_end(self, seq: int, digest: Digest) -> None: ...

    def close(self) -> None: ...


def _frames(
    source: Source, data: bytes, file: str, cursor: Cursor, verify: bool, at: int = SEGMENT_HEADER_SIZE
) -> Iterator[Frame]:
    """Yield the frames from `at` on in `data`, which begins where the cursor is less `at`."""
    assert cursor.header is not None
    seed = salt_seed(cursor.header.salt)
    unpack, sizes = HEADER.unpack_from, DIGESTED.pack
    previous, expected = cursor.digest, cursor.seq + 1
    before = cursor.offset - at  # bytes of the segment before `data`
    while True:
        if len(data) - at < FRAME_HEADER_SIZE:
            before += at
            data, at = _more(source, data[at:], FRAME_HEADER_SIZE), 0
            if not data:
                return
            if len(data) < FRAME_HEADER_SIZE:
                raise _broken("short", f"{len(data)} bytes are too few for a frame", file, cursor, len(data))
        magic, inputs_length, derived_length, first_seq, count, flags, reserved, check = unpack(data, at)
        if magic != FRAME_MAGIC or crc32(data[at : at + _CRC_END], seed) != check:
            raise _broken("header", "no valid frame header", file, cursor)
        length = inputs_length + derived_length
        if not 0 < length <= FRAME_BYTES_MAX or not 0 < count <= COUNT_MAX or reserved:
            reason = f"a frame header says {length} bytes and {count} records, which is impossible"
            raise _broken("forged", reason, file, cursor)
        if first_seq != expected:
            reason = f"expected seq {expected} next, but the frame begins with {first_seq}"
            raise _broken("forged", reason, file, cursor)
        size = FRAME_OVERHEAD + length
        if len(data) - at < size:
            missing = size - (len(data) - at)
            if source.may_hold(missing):
                before += at
                data, at = _more(source, data[at:], size), 0
            if len(data) - at < size:
                reason = f"the file ends inside a frame of {size} bytes"
                raise _broken("short", reason, file, cursor, len(data) - at)
        begin = at + FRAME_HEADER_SIZE
        middle = begin + inputs_length
        end = begin + length
        inputs, derived = data[begin:middle], data[middle:end]
        digest = data[end : end + DIGEST_SIZE]
        if verify:
            state = blake2b(
                previous + sizes(first_seq, count, inputs_length, derived_length, flags),
                digest_size=DIGEST_SIZE,
            )
            state.update(inputs)
            state.update(derived)
            if state.digest() != digest:
                raise _broken(
                    "digest", "the frame is not the one that was written (its digest differs)", file, cursor
                )
        frame = Frame(first_seq, count, flags, inputs, derived, digest, file, before + at)
        at += size
        previous = digest
        expected = first_seq + count
        cursor.seq = expected - 1
        cursor.digest = digest
        cursor.flags = flags
        cursor.offset = before + at
        yield frame


def _more(source: Source, have: bytes, need: int) -> bytes:
    """Return `have` and further bytes: at least `need` in all, fewer only at the end."""
    parts = [have]
    size = len(have)
    while size < need:
        part = source.read(max(_CHUNK, need - size))
        if not part:
            break
        parts.append(part)
        size += len(part)
    return b"".join(parts)


def _broken(kind: Broken, reason: str, file: str, cursor: Cursor, size: int = 0) -> BrokenFrame:
    if file.endswith(SEALED_SUFFIX):
        reason += "; the offset counts from the start of the segment before it was sealed"
    return BrokenFrame(reason, kind=kind, file=file, offset=cursor.offset, seq=cursor.seq + 1, size=size)


def not_a_tail(broken: BrokenFrame, later: int) -> JournalDamaged:
    """Return the error for a frame that fails a check and has a valid header after it, at `later`."""
    reason = f"{broken.reason}, and a valid frame follows at offset {later}: this is not a torn tail"
    return JournalDamaged(reason, file=broken.file, offset=broken.offset, seq=broken.seq)


class FrameReader:
    """The frames of a day or a segment. Iterate once.

    Afterwards `end_seq` and `digest` are those of the end of the chain, `frames` and `records` count what
    was read, and `torn` is the torn tail of the last segment, or None.
    """

    def __init__(
        self,
        segments: Sequence[SegmentFile],
        *,
        cursor: Cursor | None = None,
        disk: Disk = DISK,
        verify_digest: bool = True,
        start_seq: int = 0,
        whole: bool = False,
    ) -> None:
        self._whole = whole
        self._segments = segments
        self._cursor = Cursor() if cursor is None else cursor
        self._disk = disk
        self._verify = verify_digest
        self._start = start_seq
        self.torn: TornTail | None = None
        self.frames = 0
        self.records = 0

    @property
    def end_seq(self) -> int:
        """The seq of the last record read."""
        return self._cursor.seq

    @property
    def digest(self) -> Digest:
        """The chain digest after the last frame read."""
        return self._cursor.digest

    @property
    def day(self) -> int | None:
        """The day (yyyymmdd) that was read, once the first segment was opened."""
        return self._cursor.day

    @property
    def journal_id(self) -> bytes | None:
        """The id of the journal, once the first segment was opened."""
        return self._cursor.journal_id

    def __iter__(self) -> Iterator[Frame]:
        """Yield the frames. Raises JournalDamaged, JournalVersionError."""
        start = self._start
        for index, segment in enumerate(self._segments):
            last = index == len(self._segments) - 1
            if last and not segment.sealed and self._is_unfinished(segment):
                return
            try:
                for frame in scan_segment(
                    segment, self._cursor, disk=self._disk, verify_digest=self._verify, whole=self._whole
                ):
                    self.frames += 1
                    self.records += frame.count
                    if frame.first_seq + frame.count > start:
                        yield frame
            except BrokenFrame as broken:
                if not last or segment.sealed or broken.kind != "short":
                    raise
                self._refuse_forged(segment, broken)
                self.torn = TornTail(broken.file, broken.offset, broken.size, broken.seq)

    def _refuse_forged(self, segment: SegmentFile, broken: BrokenFrame) -> None:
        """Raise JournalDamaged if a valid header is in what was read of the last frame."""
        assert self._cursor.header is not None
        start, end = broken.offset + 1, broken.offset + broken.size
        later = find_header(segment, start, self._cursor.header.salt, self._disk, end=end)
        if later is not None:
            raise not_a_tail(broken, later) from broken

    def _is_unfinished(self, segment: SegmentFile) -> bool:
        """Return whether the last segment has no header: it is being created, or its writer died."""
        if not is_unfinished(segment, self._disk):
            return False
        size = file_size(segment.path, self._disk)
        seq = self._cursor.seq + 1 if self._cursor.started else segment.first_seq
        if segment.first_seq != seq:
            raise JournalDamaged(
                f"expected seq {seq} next, but the segment begins with {segment.first_seq}",
                file=str(segment.path),
                offset=0,
                seq=seq,
            )
        self.torn = TornTail(str(segment.path), 0, size, seq)
        return True


def read_frames(
    path: Path,
    *,
    disk: Disk = DISK,
    verify_digest: bool = True,
    start_seq: int = 0,
    segments: list[SegmentFile] | None = None,
) -> FrameReader:
    """Return the frames of a day folder or of one segment file, starting with the frame of `start_seq`.

    Segments that end before `start_seq` are not opened. `segments` are those at `path`, if the caller has
    listed them. Raises JournalError if there is no segment at `path`. Reading raises JournalDamaged and
    JournalVersionError.
    """
    segments = segments or segments_at(path, disk)
    skipped = 0
    while skipped + 1 < len(segments) and segments[skipped + 1].first_seq <= start_seq:
        skipped += 1
    if disk.is_dir(path):
        cursor = Cursor(day=day_of_folder(path), number=skipped)
    else:
        cursor = Cursor(number=None)
    return FrameReader(
        segments[skipped:], cursor=cursor, disk=disk, verify_digest=verify_digest, start_seq=start_seq
    )


def segments_at(path: Path, disk: Disk = DISK) -> list[SegmentFile]:
    """Return the segments of a day folder, or the segment at a path. Raises JournalError if there is none."""
    if disk.is_dir(path):
        segments = list_segments(path, disk)
        if not segments:
            raise JournalError(f"{path}: no journal segments in this folder")
        return segments
    parsed = parse_segment_name(path.name)
    if parsed is None or not disk.exists(path):
        raise JournalError(f"{path}: is not a day folder or segment of a journal")
    return [SegmentFile(path, parsed[0], parsed[1])]


def day_of_folder(path: Path) -> int | None:
    """Return the day (yyyymmdd) in a folder's name; None for any other name."""
    return parse_day(path.name)
