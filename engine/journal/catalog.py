"""The files of a journal root: its identity, its day folders and their segments.

    root/
      journal.id                      32 hex digits and a newline: the identity of the journal
      LOCK                            held by the one process that may write
      EPOCH                           which opening for writing is the newest (`fence.py`)
      .staging/                       days that an import is building (`staging.py`)
      2024-12-05/                     one UTC day
        00000000000000000001.seg      a plain segment, named by its first seq
        00000000000000052114.seg.zst  a sealed one
        damaged/                      bytes that recovery moved out of segments; not read again

Only file names are read here, and whether a segment has a header yet, never the content of one.
"""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from engine.errors import JournalDamaged, JournalError

from .day import parse_day
from .disk import DISK, Disk, file_size, make_folders, uninterrupted, write_all
from .segment import (
    JOURNAL_ID_SIZE,
    SEALED_SUFFIX,
    SEGMENT_HEADER_SIZE,
    SEGMENT_SUFFIX,
    header_is_whole,
    parse_segment_name,
)

__all__ = [
    "DAMAGED_FOLDER",
    "IDENTITY_NAME",
    "TEMPORARY_SUFFIX",
    "DayFolder",
    "SegmentFile",
    "ensure_identity",
    "has_begun",
    "is_unfinished",
    "list_days",
    "list_segments",
    "make_root",
    "read_identity",
]

IDENTITY_NAME = "journal.id"
DAMAGED_FOLDER = "damaged"
TEMPORARY_SUFFIX = ".tmp"

_IDENTITY_TEXT = re.compile(rb"[0-9a-f]{32}\n")


class DayFolder(msgspec.Struct, frozen=True):
    """One day of a journal. `day` is yyyymmdd."""

    path: Path
    day: int


class SegmentFile(msgspec.Struct, frozen=True):
    """One segment. `twin` is the plain file that an interrupted seal left beside the sealed one."""

    path: Path
    first_seq: int
    sealed: bool
    twin: Path | None = None


def list_days(root: Path, disk: Disk = DISK, *, unfinished: bool = False) -> list[DayFolder]:
    """Return the day folders of a root, oldest first. Raises JournalError when it cannot be listed.

    A day that has not begun is left out, since its writer died before it wrote a record: a folder without
    segments, and unless `unfinished` one whose only segment has at most a header.
    """
    days = []
    for name in _names(root, disk):
        day = parse_day(name)
        if day is not None and has_begun(root / name, disk, unfinished=unfinished):
            days.append(DayFolder(root / name, day))
    return sorted(days, key=lambda folder: folder.day)


def has_begun(folder: Path, disk: Disk = DISK, *, unfinished: bool = False) -> bool:
    """Return whether a day folder holds a segment with more than a header; with `unfinished`, any segment."""
    names = [name for name in _names(folder, disk) if name.endswith((SEGMENT_SUFFIX, SEALED_SUFFIX))]
    if unfinished or len(names) != 1:
        return bool(names)
    return names[0].endswith(SEALED_SUFFIX) or file_size(folder / names[0], disk) > SEGMENT_HEADER_SIZE


def is_unfinished(segment: SegmentFile, disk: Disk = DISK) -> bool:
    """Return whether a plain segment has no whole header: it is being created, or its writer died.

    The header is synced before the first frame is written, so a file that is not longer than a header holds
    no frames. A longer one has held some.
    """
    if segment.sealed:
        return False
    size = file_size(segment.path, disk)
    if size != SEGMENT_HEADER_SIZE:
        return size < SEGMENT_HEADER_SIZE
    try:
        fd = uninterrupted(disk.open_read, segment.path)
        try:
            return not header_is_whole(uninterrupted(disk.pread, fd, size, 0))
        finally:
            disk.close(fd)
    except OSError as error:
        raise _unreadable(segment.path, error, segment.first_seq) from error


def list_segments(folder: Path, disk: Disk = DISK) -> list[SegmentFile]:
    """Return the segments of a day folder, in order of their first seq.

    Raises JournalDamaged for a file with the suffix of a segment but another name, JournalError when the
    folder cannot be listed.
    """
    found: dict[int, set[bool]] = {}
    for name in _names(folder, disk):
        if not name.endswith((SEGMENT_SUFFIX, SEALED_SUFFIX)):
            continue
        parsed = parse_segment_name(name)
        if parsed is None:
            reason = "the name of a segment is 20 digits; move this file out of the day folder"
            raise JournalDamaged(reason, file=str(folder / name), offset=0, seq=0)
        found.setdefault(parsed[0], set()).add(parsed[1])
    segments = []
    for first_seq, forms in sorted(found.items()):
        plain = folder / f"{first_seq:020d}{SEGMENT_SUFFIX}"
        sealed = folder / f"{first_seq:020d}{SEALED_SUFFIX}"
        if True in forms:
            segments.append(SegmentFile(sealed, first_seq, True, plain if False in forms else None))
        else:
            segments.append(SegmentFile(plain, first_seq, False))
    return segments


def make_root(root: Path, disk: Disk = DISK) -> None:
    """Create the folder of a journal and those above it, durably. Raises JournalError."""
    try:
        make_folders(root, disk)
    except OSError as error:
        raise JournalError(f"{root}: cannot be made: {error.strerror or error}") from error


def read_identity(root: Path, disk: Disk = DISK) -> bytes | None:
    """Return the 16-byte id of the journal in `root`, or None if the root has none yet.

    Raises JournalDamaged when the file is not 32 lower-case hex digits and a newline.
    """
    path = root / IDENTITY_NAME
    try:
        fd = uninterrupted(disk.open_read, path)
        try:
            text = uninterrupted(disk.pread, fd, 64, 0)
        finally:
            disk.close(fd)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _unreadable(path, error) from error
    if not _IDENTITY_TEXT.fullmatch(text):
        reason = "the file must hold 32 hex digits and a newline; restore it from a backup"
        raise JournalDamaged(reason, file=str(path), offset=0, seq=0)
    return bytes.fromhex(text.decode().strip())


def ensure_identity(root: Path, new_id: bytes, disk: Disk = DISK) -> bytes:
    """Return the id of the journal in `root`. A root without one gets `new_id` (16 bytes), durably.

    The caller holds the lock. Creates the root folder, durably. Raises JournalDamaged when
    the root holds unsealed segments but no identity, JournalError when it cannot be written.
    """
    if len(new_id) != JOURNAL_ID_SIZE:
        raise ValueError(f"a journal id has {JOURNAL_ID_SIZE} bytes, not {len(new_id)}")
    try:
        make_folders(root, disk)
        known = read_identity(root, disk)
        if known is not None:
            return known
        for folder in list_days(root, disk):
            for segment in list_segments(folder.path, disk):
                if not segment.sealed:
                    reason = (
                        f"the segment is not sealed, but the root has no {IDENTITY_NAME}; restore that file"
                    )
                    raise JournalDamaged(reason, file=str(segment.path), offset=0, seq=segment.first_seq)
        _write_identity(root, new_id, disk)
    except OSError as error:
        raise JournalError(f"{root}: the journal cannot be created: {error.strerror or error}") from error
    return new_id


def _write_identity(root: Path, journal_id: bytes, disk: Disk) -> None:
    _sync_above(root, disk)
    temporary = root / (IDENTITY_NAME + TEMPORARY_SUFFIX)
    if disk.exists(temporary):
        uninterrupted(disk.unlink, temporary)
    fd = uninterrupted(disk.create, temporary)
    try:
        write_all(disk, fd, journal_id.hex().encode() + b"\n")
        uninterrupted(disk.fsync, fd)
    finally:
        disk.close(fd)
    uninterrupted(disk.rename, temporary, root / IDENTITY_NAME)
    uninterrupted(disk.fsync_dir, root)


def _sync_above(root: Path, disk: Disk) -> None:
    """Make the way to the root durable: the process that made a folder may have died before it synced it."""
    for folder in root.absolute().parents:
        try:
            uninterrupted(disk.fsync_dir, folder)
        except OSError:
            return  # not ours to read, or of a file system that cannot sync folders


def _names(folder: Path, disk: Disk) -> list[str]:
    try:
        return uninterrupted(disk.listdir, folder)
    except NotADirectoryError:
        raise JournalError(f"{folder}: is a file; give the folder of a journal or of a day") from None
    except OSError as error:
        raise JournalError(f"{folder}: cannot be listed: {error.strerror or error}") from error


def _unreadable(path: Path, error: OSError, seq: int = 0) -> JournalDamaged:
    return JournalDamaged(f"cannot be read: {error.strerror or error}", file=str(path), offset=0, seq=seq)
