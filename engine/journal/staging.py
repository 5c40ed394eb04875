"""Builds a day in a temporary folder and renames it when it is complete.

For imports and generators. The day is a journal of its own (own id, first seq 1), written into
`.2024-12-05.partial/`, synced, sealed, and renamed at the end. A killed build leaves only that folder,
which the next build in the same root removes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from engine.errors import JournalError, JournalLocked

from .catalog import PARTIAL_DAY
from .day import day_name, day_of_ns, day_start_ns
from .disk import DISK, Disk, uninterrupted
from .frame import Digest, Draft
from .lock import LOCK_NAME, JournalLock
from .seal import seal_day
from .writer import SEGMENT_BYTES_MAX, JournalWriter, Tail

__all__ = ["DayBuilder", "staged_day"]


class DayBuilder:
    """Appends the frames of one day, in order. `seq` and `digest` are those of the last one."""

    def __init__(self, writer: JournalWriter, day: int) -> None:
        self._writer = writer
        self._start_ns = day_start_ns(day)
        self.day = day

    @property
    def seq(self) -> int:
        return self._writer.seq

    @property
    def digest(self) -> Digest:
        return self._writer.digest

    def append(self, draft: Draft, at_ns: int | None = None) -> Digest:
        """Append a frame. `at_ns`, engine time in UTC nanoseconds, defaults to the start of the day.

        Returns the chain digest. Raises ValueError if `at_ns` is in another day, JournalPoisoned when a
        write fails.
        """
        at_ns = self._start_ns if at_ns is None else at_ns
        if day_of_ns(at_ns) != self.day:
            raise ValueError(f"{at_ns} ns is on {day_name(day_of_ns(at_ns))}, not {day_name(self.day)}")
        return self._writer.append(draft, at_ns)


@contextmanager
def staged_day(
    root: Path,
    day: int,
    *,
    journal_id: bytes,
    salts: Callable[[], bytes],
    seal: bool = True,
    segment_bytes_max: int = SEGMENT_BYTES_MAX,
    disk: Disk = DISK,
) -> Iterator[DayBuilder]:
    """Return a builder for `day` (yyyymmdd). The day is in `root` when the block ends without an error.

    `seal` compresses it, which is required in the root of another journal. Raises JournalError when the
    day exists, nothing was written, or a step fails; JournalLocked while another process builds it.
    """
    target = root / day_name(day)
    folder = root / f".{day_name(day)}.partial"
    _refuse_existing(target, disk)
    remove_partial_days(root, disk, wanted=folder)
    try:
        uninterrupted(disk.mkdir, folder)
    except FileExistsError as error:
        raise JournalLocked(f"{folder}: another process is building this day") from error
    except OSError as error:
        raise JournalError(f"{folder}: cannot be created: {error.strerror or error}") from error
    with JournalLock(folder):
        try:
            tail = Tail(journal_id=journal_id)
            with JournalWriter(
                root,
                tail,
                salts=salts,
                segment_bytes_max=segment_bytes_max,
                sync=False,
                folder=folder,
                disk=disk,
            ) as writer:
                yield DayBuilder(writer, day)
                writer.flush()
                if writer.seq == 0:
                    raise JournalError(f"{target}: no frames were written, so there is no day")
            if seal:
                seal_day(folder, disk=disk)
            _put_in_place(folder, target, disk)
        except BaseException:
            _remove(folder, disk)
            raise


def remove_partial_days(root: Path, disk: Disk = DISK, *, wanted: Path | None = None) -> list[Path]:
    """Remove the folders that killed builds left in `root` and return them. Running builds are not disturbed.

    Raises JournalLocked when the build of `wanted` is running, JournalError when `root` cannot be listed.
    """
    removed = []
    try:
        names = uninterrupted(disk.listdir, root)
    except OSError as error:
        raise JournalError(f"{root}: cannot be listed: {error.strerror or error}") from error
    for name in sorted(names):
        folder = root / name
        if not PARTIAL_DAY.fullmatch(name):
            continue
        try:
            with JournalLock(folder):
                _remove(folder, disk)
        except JournalLocked:
            if folder == wanted:
                raise
            continue
        removed.append(folder)
    return removed


def _refuse_existing(target: Path, disk: Disk) -> None:
    if disk.exists(target):
        raise JournalError(f"{target}: the day exists already; remove it or choose another journal folder")


def _put_in_place(folder: Path, target: Path, disk: Disk) -> None:
    try:
        uninterrupted(disk.unlink, folder / LOCK_NAME)
        uninterrupted(disk.fsync_dir, folder)
        _refuse_existing(target, disk)
        uninterrupted(disk.rename, folder, target)
        uninterrupted(disk.fsync_dir, target.parent)
    except OSError as error:
        raise JournalError(f"{target}: cannot be moved into place: {error.strerror or error}") from error


def _remove(folder: Path, disk: Disk) -> None:
    """Remove an incomplete day. Files that cannot be removed are left for the next build."""
    try:
        if not disk.exists(folder):
            return
        for name in uninterrupted(disk.listdir, folder):
            uninterrupted(disk.unlink, folder / name)
        uninterrupted(disk.rmdir, folder)
    except OSError:
        return
