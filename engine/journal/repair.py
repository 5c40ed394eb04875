"""Carries out the repairs that recovery planned. A kill at any step leaves a readable journal.

First the bytes to be cut are copied to `damaged/` and synced. Then the last segment is written without
them under a temporary name, synced, and renamed over the old one. Only then are files removed. Until
the rename, the segments are unchanged.

A file in `damaged/` is complete: it gets its name when it is synced. The session records each in a
`TailRepaired`. If it dies before, `saved_pieces` shows the next start what is not recorded yet.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

import msgspec

from engine.errors import JournalDamaged, JournalError

from .catalog import DAMAGED_FOLDER, TEMPORARY_SUFFIX, SegmentFile
from .disk import Disk, file_size, uninterrupted, write_all
from .frame import FRAME_HEADER_SIZE, FRAME_MAGIC, header_is_valid, salt_seed

__all__ = ["Plan", "Repair", "carry_out", "find_header", "saved_pieces"]

_CHUNK = 1024 * 1024
_PIECE = re.compile(r"(([0-9]{20})\.seg)\.([0-9]{1,18})(\.[0-9]{1,9})?")


class Repair(msgspec.Struct, frozen=True):
    """One repair. `offset` and `size` in bytes, `seq` is the first one affected.

    `saved` is the file with the bytes that were cut, None if nothing was lost.
    """

    kind: Literal["tail_cut", "segment_removed", "seal_finished"]
    file: str
    offset: int
    size: int
    seq: int
    saved: str | None = None


class Plan(msgspec.Struct):
    """The repairs to make. `keep`: the last plain segment and the number of its valid bytes."""

    folders: list[Path] = msgspec.field(default_factory=list)
    keep: tuple[SegmentFile, int] | None = None
    cut: Repair | None = None
    remove: Repair | None = None
    twins: list[Repair] = msgspec.field(default_factory=list)


def find_header(
    segment: SegmentFile, start: int, salt: bytes, disk: Disk, *, end: int | None = None
) -> int | None:
    """Return the offset of the first valid frame header in [start, end), or None. Reads in chunks.

    Without `end` the file is read to its end. Raises JournalDamaged if the file cannot be read.
    """
    seed = salt_seed(salt)
    overlap = FRAME_HEADER_SIZE - 1
    offset = start
    try:
        fd = uninterrupted(disk.open_read, segment.path)
        try:
            data = b""
            while more := uninterrupted(disk.pread, fd, _until(end, offset + len(data)), offset + len(data)):
                data += more
                at = data.find(FRAME_MAGIC)
                while at >= 0:
                    if header_is_valid(data, at, seed):
                        return offset + at
                    at = data.find(FRAME_MAGIC, at + 1)
                gone = max(0, len(data) - overlap)
                offset += gone
                data = data[gone:]
            return None
        finally:
            disk.close(fd)
    except OSError as error:
        reason = f"cannot be read: {error.strerror or error}"
        raise JournalDamaged(reason, file=str(segment.path), offset=offset, seq=segment.first_seq) from error


def _until(end: int | None, offset: int) -> int:
    """Return how many bytes to read at `offset`."""
    return _CHUNK if end is None else max(0, min(_CHUNK, end - offset))


def carry_out(plan: Plan, root: Path, disk: Disk) -> list[Repair]:
    """Carry out the plan. Return the repairs, with the names of the saved files.

    Raises JournalError when a step fails. No valid frame is lost then, and the next start tries again.
    """
    done: list[Repair] = []
    try:
        _sweep(plan, disk)
        if plan.cut is not None:
            done.append(_save(plan.cut, disk))
        if plan.remove is not None:
            done.append(_save(plan.remove, disk))
        if plan.keep is not None:
            _rewrite(*plan.keep, disk)
        gone = plan.twins if plan.remove is None else [*plan.twins, plan.remove]
        for repair in gone:
            uninterrupted(disk.unlink, Path(repair.file))
            uninterrupted(disk.fsync_dir, Path(repair.file).parent)
        if plan.folders:
            uninterrupted(disk.fsync_dir, plan.folders[-1])
        uninterrupted(disk.fsync_dir, root)
    except OSError as error:
        raise JournalError(
            f"{error.filename or root}: the journal could not be repaired: {error.strerror or error}; "
            "no valid record was changed. Check the disk, or free space on it, and start again"
        ) from error
    return done + plan.twins


def saved_pieces(day: Path, disk: Disk) -> list[Repair]:
    """Return what earlier starts moved out of a day's segments, in order of seq and offset. Raises OSError.

    `seq` is the first one of the segment, since the bytes do not show theirs.
    """
    folder = day / DAMAGED_FOLDER
    if not disk.is_dir(folder):
        return []
    pieces = []
    for name in sorted(uninterrupted(disk.listdir, folder)):
        match = _PIECE.fullmatch(name)
        if match is not None:
            offset = int(match[3])
            kind: Literal["tail_cut", "segment_removed"] = "tail_cut" if offset else "segment_removed"
            size = file_size(folder / name, disk)
            pieces.append(Repair(kind, str(day / match[1]), offset, size, int(match[2]), str(folder / name)))
    return pieces


def _sweep(plan: Plan, disk: Disk) -> None:
    """Remove files that an interrupted recovery or seal left incomplete."""
    for day in plan.folders:
        for folder in (day, day / DAMAGED_FOLDER):
            if disk.is_dir(folder):
                for name in uninterrupted(disk.listdir, folder):
                    if name.endswith(TEMPORARY_SUFFIX):
                        uninterrupted(disk.unlink, folder / name)


def _save(repair: Repair, disk: Disk) -> Repair:
    source = Path(repair.file)
    folder = source.parent / DAMAGED_FOLDER
    if not disk.exists(folder):
        uninterrupted(disk.mkdir, folder)
    uninterrupted(disk.fsync_dir, source.parent)
    target = folder / f"{source.name}.{repair.offset}"
    again = 0
    while disk.exists(target):
        again += 1
        target = folder / f"{source.name}.{repair.offset}.{again}"
    temporary = target.with_name(target.name + TEMPORARY_SUFFIX)
    _copy(source, temporary, repair.offset, repair.size, disk)
    uninterrupted(disk.rename, temporary, target)
    uninterrupted(disk.fsync_dir, folder)
    return msgspec.structs.replace(repair, saved=str(target))


def _rewrite(segment: SegmentFile, size: int, disk: Disk) -> None:
    temporary = segment.path.with_name(segment.path.name + TEMPORARY_SUFFIX)
    _copy(segment.path, temporary, 0, size, disk)
    uninterrupted(disk.rename, temporary, segment.path)
    uninterrupted(disk.fsync_dir, segment.path.parent)


def _copy(source: Path, target: Path, offset: int, size: int, disk: Disk) -> None:
    """Copy `size` bytes from `offset` to a new file and sync it."""
    reading = uninterrupted(disk.open_read, source)
    try:
        writing = uninterrupted(disk.create, target)
        try:
            end = offset + size
            while offset < end:
                data = uninterrupted(disk.pread, reading, min(_CHUNK, end - offset), offset)
                if not data:
                    raise OSError(5, "the file became shorter while it was copied", str(source))
                write_all(disk, writing, data)
                offset += len(data)
            uninterrupted(disk.fsync, writing)
        finally:
            disk.close(writing)
    finally:
        disk.close(reading)
