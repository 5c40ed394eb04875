"""Seals a day: each plain segment becomes a compressed one with the same content.

Promises: a plain segment is removed only after the sealed one was synced, read back and found equal
byte for byte. A kill at any step leaves a day that reads the same, and sealing it again finishes the
work. Called by `engine journal seal` and after imports; the caller holds the lock of the journal.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path

import msgspec

from engine.errors import JournalDamaged, JournalError, UsageError

from .catalog import TEMPORARY_SUFFIX, SegmentFile, is_unfinished, list_days, list_segments, read_identity
from .cursor import Cursor
from .disk import DISK, Disk, file_size, uninterrupted, write_all
from .reader import BrokenFrame, day_of_folder, scan_segment
from .sealed import CHUNK_RAW_MAX, Trailer, pack_chunk, pack_sealed_header, pack_trailer
from .segment import SEGMENT_HEADER_SIZE, parse_segment_header, segment_name
from .source import PlainSource, SourceFault, same_bytes

__all__ = ["SealReport", "seal_day"]


class SealReport(msgspec.Struct, frozen=True):
    """The segments that this call sealed, and their bytes before and after."""

    segments: int
    raw_bytes: int
    sealed_bytes: int


class _End(msgspec.Struct, frozen=True):
    seq: int
    digest: bytes


def seal_day(
    folder: Path,
    *,
    newest: bool = False,
    progress: Callable[[int, int], None] | None = None,
    chunk_bytes: int = CHUNK_RAW_MAX,
    disk: Disk = DISK,
) -> SealReport:
    """Seal every plain segment of a day, after verifying all of it. Does nothing to a sealed day.

    A last segment without frames, which a crash can leave, is removed, since the next segment of the day
    gets the same name. The newest day of a journal is refused, because it may still grow; `newest` seals it
    anyway. `progress` is called with bytes done and bytes in all. Raises JournalDamaged for a damaged day,
    JournalError for a torn tail, an empty folder or a failed write, UsageError for the newest day.
    """
    segments = list_segments(folder, disk)
    if not segments:
        raise JournalError(f"{folder}: no journal segments in this folder")
    if not newest and _is_newest(folder, segments, disk):
        raise UsageError(
            f"{folder}: the newest day of the journal may still grow; use --newest to seal it anyway"
        )
    ends = _verify(folder, segments, disk)
    plain = [
        segment
        for segment, end in zip(segments, ends, strict=True)
        if not segment.sealed and end.seq >= segment.first_seq
    ]
    total = sum(file_size(segment.path, disk) for segment in plain)
    done = sealed_bytes = 0
    try:
        for name in uninterrupted(disk.listdir, folder):
            if name.endswith(TEMPORARY_SUFFIX):
                uninterrupted(disk.unlink, folder / name)
        for segment, end in zip(segments, ends, strict=True):
            if segment.sealed:
                if segment.twin is not None:
                    _drop_twin(segment, segment.twin, disk)
                continue
            if end.seq < segment.first_seq:
                _drop(segment.path, disk)
                continue
            done += file_size(segment.path, disk)
            sealed_bytes += _seal(segment, end, chunk_bytes, disk)
            if progress is not None:
                progress(done, total)
    except OSError as error:
        raise JournalError(
            f"{folder}: sealing failed: {error.strerror or error}; nothing was lost. Run the command again"
        ) from error
    return SealReport(len(plain), total, sealed_bytes)


def _is_newest(folder: Path, segments: list[SegmentFile], disk: Disk) -> bool:
    root = folder.parent
    journal_id = read_identity(root, disk)
    days = list_days(root, disk)
    if journal_id is None or not days or days[-1].path.name != folder.name:
        return False
    for segment in segments:
        if not segment.sealed and not is_unfinished(segment, disk):
            data = PlainSource(segment.path, disk)
            try:
                head = data.read(SEGMENT_HEADER_SIZE)
            finally:
                data.close()
            return parse_segment_header(head, file=str(segment.path)).journal_id == journal_id
    return False


def _verify(folder: Path, segments: list[SegmentFile], disk: Disk) -> list[_End]:
    cursor = Cursor(day=day_of_folder(folder))
    ends = []
    for segment in segments:
        if segment is segments[-1] and is_unfinished(segment, disk):
            raise _torn(str(segment.path), 0)
        try:
            for _ in scan_segment(segment, cursor, disk=disk):
                pass
        except BrokenFrame as broken:
            if segment is segments[-1] and not segment.sealed and broken.kind == "short":
                raise _torn(broken.file, broken.offset) from broken
            raise
        ends.append(_End(cursor.seq, cursor.digest))
    return ends


def _torn(file: str, offset: int) -> JournalError:
    return JournalError(
        f"{file}: ends in a torn tail at offset {offset}; start the engine once, which cuts it, "
        "then seal the day"
    )


def _seal(segment: SegmentFile, end: _End, chunk_bytes: int, disk: Disk) -> int:
    """Seal one segment. Return the size of the sealed file in bytes."""
    sealed = SegmentFile(
        segment.path.with_name(segment_name(segment.first_seq, sealed=True)), segment.first_seq, True
    )
    temporary = SegmentFile(
        sealed.path.with_name(sealed.path.name + TEMPORARY_SUFFIX), segment.first_seq, True
    )
    size = _pack(segment.path, temporary.path, end, chunk_bytes, disk)
    if not _equal(temporary, segment.path, disk):
        raise JournalDamaged(
            "the sealed bytes read back differ from those written; check the disk and the memory",
            file=str(temporary.path),
            offset=0,
            seq=segment.first_seq,
        )
    uninterrupted(disk.rename, temporary.path, sealed.path)
    uninterrupted(disk.fsync_dir, sealed.path.parent)
    _drop(segment.path, disk)
    return size


def _pack(plain: Path, target: Path, end: _End, chunk_bytes: int, disk: Disk) -> int:
    source = PlainSource(plain, disk)
    try:
        writing = uninterrupted(disk.create, target)
        try:
            whole = blake2b(digest_size=32)
            index = raw_size = 0
            size = 0
            while raw := _exactly(source, chunk_bytes):
                if index == 0:
                    size += _write(disk, writing, pack_sealed_header(raw[:SEGMENT_HEADER_SIZE]))
                whole.update(raw)
                size += _write(disk, writing, pack_chunk(index, raw))
                index += 1
                raw_size += len(raw)
            trailer = Trailer(index, raw_size, end.seq, end.digest, whole.digest())
            size += _write(disk, writing, pack_trailer(trailer))
            uninterrupted(disk.fsync, writing)
        finally:
            disk.close(writing)
    except SourceFault as fault:
        raise JournalDamaged(fault.reason, file=str(plain), offset=fault.offset, seq=0) from fault
    finally:
        source.close()
    return size


def _exactly(source: PlainSource, size: int) -> bytes:
    """Return the next `size` bytes, fewer only at the end."""
    data = source.read(size)
    while len(data) < size and (more := source.read(size - len(data))):
        data += more
    return data


def _write(disk: Disk, fd: int, data: bytes) -> int:
    write_all(disk, fd, data)
    return len(data)


def _equal(sealed: SegmentFile, plain: Path, disk: Disk) -> bool:
    try:
        return same_bytes(sealed, plain, disk)
    except SourceFault:
        return False


def _drop_twin(segment: SegmentFile, twin: Path, disk: Disk) -> None:
    """Finish a seal that was interrupted before the plain segment was removed."""
    if not _equal(segment, twin, disk):
        reason = f"the file differs from {segment.path.name} beside it; one of the two is damaged"
        raise JournalDamaged(reason, file=str(twin), offset=0, seq=segment.first_seq)
    uninterrupted(disk.fsync_dir, twin.parent)
    _drop(twin, disk)


def _drop(path: Path, disk: Disk) -> None:
    uninterrupted(disk.unlink, path)
    uninterrupted(disk.fsync_dir, path.parent)
