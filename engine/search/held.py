"""Days of a journal held in memory, unpacked, in the place of the disk.

A fork server reads each day once; its children read the same bytes and share them, as long as they only
read. What is held are the bytes of the segments, 69 for a candle, and not decoded inputs, 430 for a candle:
those would be copied in every child too, since even looking at an object of Python writes to it. Days beyond
`bytes_max` stay on the disk, and every trial reads them there.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from engine.errors import JournalDamaged
from engine.journal import DISK, Disk, list_segments
from engine.journal.segment import SEALED_SUFFIX, SEGMENT_SUFFIX
from engine.journal.source import SourceFault, open_source
from engine.records import open_day
from engine.search.jobs import DayRef

__all__ = ["HELD_BYTES_MAX", "HeldDays"]

HELD_BYTES_MAX: Final = 1 << 30
"""Upper bound on the bytes that a fork server holds."""

_CHUNK: Final = 4 << 20


class HeldDays(Disk):
    """A disk whose files are the plain segments of held days; other files are those of the machine.

    Only for reading. Descriptors of held files are negative.
    """

    def __init__(self, bytes_max: int = HELD_BYTES_MAX) -> None:
        self._bytes_max = bytes_max
        self._files: dict[Path, bytes] = {}
        self._folders: dict[Path, list[str]] = {}
        self._open: dict[int, bytes] = {}
        self._next = -2
        self._left: dict[Path, tuple[tuple[str, int, int], ...]] = {}
        self.held_bytes = 0

    def read(self, days: Sequence[DayRef]) -> None:
        """Read the days and hold them, as far as they fit. Raises JournalDamaged for other data."""
        for day in days:
            folder = Path(day.folder)
            self._hold(folder)
            if folder not in self._folders:
                self._left[folder] = _state_of(folder)
            reader = open_day(folder, self)
            for _ in reader:
                pass
            if reader.digest.hex() != day.digest:
                raise JournalDamaged(
                    f"the day is not the one of the sweep: its digest is {reader.digest.hex()[:16]}, "
                    f"that of the sweep {day.digest[:16]}",
                    file=day.folder,
                    offset=0,
                    seq=reader.end_seq,
                )

    def changed(self) -> str:
        """Return a day that is not held and was changed after it was read; "" if there is none."""
        return next((str(one) for one, known in self._left.items() if _state_of(one) != known), "")

    def _hold(self, folder: Path) -> None:
        found: dict[Path, bytes] = {}
        size = 0
        for segment in list_segments(folder):
            name = segment.path.name.removesuffix(SEALED_SUFFIX).removesuffix(SEGMENT_SUFFIX)
            parts = []
            try:
                source = open_source(segment, DISK)
                try:
                    while part := source.read(_CHUNK):
                        parts.append(part)
                        size += len(part)
                        if self.held_bytes + size > self._bytes_max:
                            return
                finally:
                    source.close()
            except SourceFault as fault:
                raise JournalDamaged(
                    fault.reason, file=str(segment.path), offset=fault.offset, seq=segment.first_seq
                ) from fault
            found[folder / f"{name}{SEGMENT_SUFFIX}"] = b"".join(parts)
        self._files |= found
        self._folders[folder] = [path.name for path in found]
        self.held_bytes += size

    # The calls of a reader.

    def open_read(self, path: Path) -> int:
        data = self._files.get(path)
        if data is None:
            return super().open_read(path)
        self._next -= 1
        self._open[self._next] = data
        return self._next

    def close(self, fd: int) -> None:
        if fd >= 0:
            super().close(fd)
        else:
            del self._open[fd]

    def pread(self, fd: int, size: int, offset: int) -> bytes:
        if fd >= 0:
            return super().pread(fd, size, offset)
        return self._open[fd][offset : offset + size]

    def size(self, fd: int) -> int:
        return super().size(fd) if fd >= 0 else len(self._open[fd])

    def size_of(self, path: Path) -> int:
        data = self._files.get(path)
        return super().size_of(path) if data is None else len(data)

    def listdir(self, path: Path) -> list[str]:
        names = self._folders.get(path)
        return super().listdir(path) if names is None else list(names)

    def exists(self, path: Path) -> bool:
        return path in self._files or path in self._folders or super().exists(path)

    def is_dir(self, path: Path) -> bool:
        return path in self._folders or super().is_dir(path)

    def create(self, path: Path) -> int:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))


def _state_of(folder: Path) -> tuple[tuple[str, int, int], ...]:
    """Return name, size and time of change of the segments of a day."""
    found = []
    for segment in list_segments(folder):
        stat = segment.path.stat()
        found.append((segment.path.name, stat.st_size, stat.st_mtime_ns))
    return tuple(found)
