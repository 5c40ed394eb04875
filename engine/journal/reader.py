"""Reads frames back: one segment, or all segments of a day, plain or sealed, in bounded memory.

Owns the walk along the chain: header, CRC, seq, digest. Promises that a frame it yields is the frame
that was written, in its place; anything else is `JournalDamaged` with file, offset and seq. Never
changes a file. Called by replay, inspect and verify, and, one level down (`scan_segment`), by
recovery, which judges the end of the last segment by its own rule.

The read-only rule for that end: a last frame cut short by the end of the last plain segment is a
torn tail and is reported, not raised, because a writer may be at work on it or may have died there.
A complete last frame that fails a check is damage.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Literal
from zlib import crc32

import msgspec

from engine.errors import JournalDamaged, JournalError

from .catalog import PARTIAL_DAY, SegmentFile, list_segments
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
from .segment import (
    SEALED_SUFFIX,
    SEGMENT_HEADER_SIZE,
    SEGMENT_HEADER_SIZE_MAX,
    parse_segment_header,
    parse_segment_name,
)
from .source import Source, SourceFault, open_source

__all__ = [
    "BrokenFrame",
    "FrameReader",
    "TornTail",
    "day_of_folder",
    "read_frames",
    "scan_segment",
    "segments_at",
]

_CHUNK = 1024 * 1024  # bytes asked of a plain segment at a time
_CRC_END = FRAME_HEADER_SIZE - 4

Broken = Literal["short", "header", "digest", "forged"]


class BrokenFrame(JournalDamaged):
    """A frame that cannot be taken. `kind` says how.

    short: the file ends inside it. header: no valid header. digest: the payload or digest is wrong.
    forged: a header with a right CRC that says what no writer writes; never the work of a crash.
    """

    def __init__(self, reason: str, *, kind: Broken, file: str, offset: int, seq: int) -> None:
        super().__init__(reason, file=file, offset=offset, seq=seq)
        self.kind = kind


class TornTail(msgspec.Struct, frozen=True):
    """The cut-short end of a last segment. `offset` and `size` in bytes, `seq` the first one lost."""

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
    """The frames of one segment, moving `cursor` along; at the end, the cursor is at the end of the segment.

    Raises JournalDamaged; BrokenFrame, a kind of it, when the trouble is one frame, with the cursor on
    that frame. JournalVersionError for another format version. `whole` also checks the digest a sealed
    segment carries of all its unpacked bytes.
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


def _frames(source: Source, data: bytes, file: str, cursor: Cursor, verify: bool) -> Iterator[Frame]:
    assert cursor.header is not None
    seed = salt_seed(cursor.header.salt)
    unpack, sizes = HEADER.unpack_from, DIGESTED.pack
    previous, expected = cursor.digest, cursor.seq + 1
    at = SEGMENT_HEADER_SIZE  # where the next frame begins in `data`
    before = 0  # bytes of the segment before `data`
    while True:
        if len(data) - at < FRAME_HEADER_SIZE:
            before += at
            data, at = _more(source, data[at:], FRAME_HEADER_SIZE), 0
            if not data:
                return
            if len(data) < FRAME_HEADER_SIZE:
                raise _broken("short", f"{len(data)} bytes are too few for a frame", file, cursor)
        magic, inputs_length, derived_length, first_seq, count, flags, reserved, check = unpack(data, at)
        if magic != FRAME_MAGIC or crc32(data[at : at + _CRC_END], seed) != check:
            raise _broken("header", "no valid frame header", file, cursor)
        length = inputs_length + derived_length
        if not 0 < length <= FRAME_BYTES_MAX or not 0 < count <= COUNT_MAX or reserved:
            reason = f"a frame of {length} bytes with {count} records is impossible"
            raise _broken("forged", reason, file, cursor)
        if first_seq != expected:
            reason = f"seq {expected} was expected next, the frame begins with {first_seq}"
            raise _broken("forged", reason, file, cursor)
        size = FRAME_OVERHEAD + length
        if len(data) - at < size:
            missing = size - (len(data) - at)
            if source.may_hold(missing):
                before += at
                data, at = _more(source, data[at:], size), 0
            if len(data) - at < size:
                raise _broken("short", f"the file ends inside a frame of {size} bytes", file, cursor)
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
                raise _broken("digest", "the frame is not what was written (digest differs)", file, cursor)
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
    """`have` and at least enough after it to make `need` bytes, or all there is."""
    parts = [have]
    size = len(have)
    while size < need:
        part = source.read(max(_CHUNK, need - size))
        if not part:
            break
        parts.append(part)
        size += len(part)
    return b"".join(parts)


def _broken(kind: Broken, reason: str, file: str, cursor: Cursor) -> BrokenFrame:
    if file.endswith(SEALED_SUFFIX):
        reason += "; the offset is that in the segment before it was sealed"
    return BrokenFrame(reason, kind=kind, file=file, offset=cursor.offset, seq=cursor.seq + 1)


class FrameReader:
    """The frames of a day or a segment, to be iterated once.

    Afterwards `end_seq` and `digest` say where the chain ends, `frames` and `records` how much was
    read, and `torn` is the cut-short end of the last segment, or None.
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
        """Seq of the last record read."""
        return self._cursor.seq

    @property
    def digest(self) -> Digest:
        """Chain digest after the last frame read."""
        return self._cursor.digest

    @property
    def journal_id(self) -> bytes | None:
        """Id of the journal, once the first segment was met."""
        return self._cursor.journal_id

    def __iter__(self) -> Iterator[Frame]:
        """Raises JournalDamaged, JournalVersionError."""
        start = self._start
        for index, segment in enumerate(self._segments):
            last = index == len(self._segments) - 1
            if last and not segment.sealed and self._unborn(segment):
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
                size = file_size(segment.path, self._disk) - broken.offset
                self.torn = TornTail(broken.file, broken.offset, size, broken.seq)

    def _unborn(self, segment: SegmentFile) -> bool:
        """Whether the last segment is shorter than a header: its writer died, or is, while making it."""
        size = file_size(segment.path, self._disk)
        if size >= SEGMENT_HEADER_SIZE:
            return False
        seq = self._cursor.seq + 1 if self._cursor.started else segment.first_seq
        if segment.first_seq != seq:
            raise JournalDamaged(
                f"seq {seq} was expected next, this segment begins with {segment.first_seq}",
                file=str(segment.path),
                offset=0,
                seq=seq,
            )
        self.torn = TornTail(str(segment.path), 0, size, seq)
        return True


def read_frames(
    path: Path, *, disk: Disk = DISK, verify_digest: bool = True, start_seq: int = 0
) -> FrameReader:
    """The frames of a day folder, or of one segment file, from the frame that holds `start_seq` on.

    Segments that end before `start_seq` are not opened. Raises JournalError when there is nothing at
    `path`; reading raises JournalDamaged and JournalVersionError.
    """
    segments = segments_at(path, disk)
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
    """The segments of a day folder, or the one a path names. Raises JournalError when there are none."""
    if disk.is_dir(path):
        segments = list_segments(path, disk)
        if not segments:
            raise JournalError(f"{path}: no journal segments in this folder")
        return segments
    parsed = parse_segment_name(path.name)
    if parsed is None or not disk.exists(path):
        raise JournalError(f"{path}: neither a journal day nor a segment")
    return [SegmentFile(path, parsed[0], parsed[1])]


def day_of_folder(path: Path) -> int | None:
    """The day (yyyymmdd) a folder is named for, also while it is being built; None for any other name."""
    partial = PARTIAL_DAY.fullmatch(path.name)
    return parse_day(partial[1] if partial else path.name)
