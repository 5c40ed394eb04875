"""Carries out what recovery planned, in an order that a kill at any step leaves readable.

First the bytes to be cut are copied to `damaged/` and synced; then the last segment is written anew,
without them, under a temporary name, synced, and renamed over the old one; only then are files
removed. Until the rename, the segments are as they were.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

from engine.errors import JournalDamaged, JournalError

from .catalog import DAMAGED_FOLDER, TEMPORARY_SUFFIX, SegmentFile
from .disk import Disk, uninterrupted, write_all
from .frame import FRAME_HEADER_SIZE, FRAME_MAGIC, header_is_valid, salt_seed

__all__ = ["Plan", "Repair", "carry_out", "find_header"]

_CHUNK = 1024 * 1024


class Repair(msgspec.Struct, frozen=True):
    """Something recovery mended. `offset` and `size` in bytes, `seq` the first one concerned.

    `saved` is the file that holds the bytes taken away, None when nothing was lost.
    """

    kind: Literal["tail_cut", "segment_removed", "seal_finished"]
    file: str
    offset: int
    size: int
    seq: int
    saved: str | None = None


class Plan(msgspec.Struct):
    """What is to be done. `keep`: the last plain segment and how many of its bytes are valid."""

    folders: list[Path] = msgspec.field(default_factory=list)
    keep: tuple[SegmentFile, int] | None = None
    cut: Repair | None = None
    remove: Repair | None = None
    twins: list[Repair] = msgspec.field(default_factory=list)


def find_header(segment: SegmentFile, start: int, salt: bytes, disk: Disk) -> int | None:
    """Offset of the first valid frame header at or after `start`, or None. Reads in chunks.

    Raises JournalDamaged when the file cannot be read.
    """
    seed = salt_seed(salt)
    overlap = FRAME_HEADER_SIZE - 1
    offset = start
    try:
        fd = uninterrupted(disk.open_read, segment.path)
        try:
            data = b""
            while more := uninterrupted(disk.pread, fd, _CHUNK, offset + len(data)):
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


def carry_out(plan: Plan, root: Path, disk: Disk) -> list[Repair]:
    """Does what is planned and returns what was mended, with the names of the files saved aside.

    Raises JournalError when a step fails; no valid frame is lost then, and the next start tries again.
    """
    done: list[Repair] = []
    try:
        _sweep(plan, disk)
        if plan.cut is not None:
            done.append(_save_aside(plan.cut, disk))
        if plan.remove is not None:
            done.append(_save_aside(plan.remove, disk))
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
            f"{error.filename or root}: the journal could not be mended: {error.strerror or error}; "
            "no valid record was touched. Mend the disk (or free space) and start again"
        ) from error
    return done + plan.twins


def _sweep(plan: Plan, disk: Disk) -> None:
    """Removes files that a killed recovery or seal left half-written."""
    for folder in plan.folders:
        for name in uninterrupted(disk.listdir, folder):
            if name.endswith(TEMPORARY_SUFFIX):
                uninterrupted(disk.unlink, folder / name)


def _save_aside(repair: Repair, disk: Disk) -> Repair:
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
    _copy(source, target, repair.offset, repair.size, disk)
    uninterrupted(disk.fsync_dir, folder)
    return msgspec.structs.replace(repair, saved=str(target))


def _rewrite(segment: SegmentFile, size: int, disk: Disk) -> None:
    temporary = segment.path.with_name(segment.path.name + TEMPORARY_SUFFIX)
    _copy(segment.path, temporary, 0, size, disk)
    uninterrupted(disk.rename, temporary, segment.path)
    uninterrupted(disk.fsync_dir, segment.path.parent)


def _copy(source: Path, target: Path, offset: int, size: int, disk: Disk) -> None:
    """Copies `size` bytes from `offset` on to a new file and syncs it."""
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
