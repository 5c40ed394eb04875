"""Builds a whole day aside and puts it in place at once, or not at all.

For imports and generators: the day is a journal of its own (own id, first seq 1), written into
`.2024-12-05.partial/`, synced, sealed, and renamed to its place at the end. A killed build leaves
only that folder, which the next build in the same root removes.
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
    """Takes the frames of one day, in order. `seq` and `digest` are those of the last one."""

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
        """Adds a frame; `at_ns`, engine time in UTC nanoseconds, defaults to the start of the day.

        Returns the chain digest. Raises ValueError when `at_ns` lies in another day, JournalPoisoned
        when a write fails.
        """
        at_ns = self._start_ns if at_ns is None else at_ns
        if day_of_ns(at_ns) != self.day:
            raise ValueError(f"{at_ns} ns lies on {day_name(day_of_ns(at_ns))}, not {day_name(self.day)}")
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
    """A builder for `day` (yyyymmdd); the day stands in `root` when the block ends without an error.

    `seal` compresses it, which a root that holds another journal demands. Raises JournalError when the
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
        raise JournalError(f"{folder}: cannot be made: {error.strerror or error}") from error
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
                    raise JournalError(f"{target}: nothing was written, so there is no day")
            if seal:
                seal_day(folder, disk=disk)
            _put_in_place(folder, target, disk)
        except BaseException:
            _remove(folder, disk)
            raise


def remove_partial_days(root: Path, disk: Disk = DISK, *, wanted: Path | None = None) -> list[Path]:
    """Removes what killed builds left in `root` and returns it; builds at work are left alone.

    Raises JournalLocked when the build of `wanted` is at work, JournalError when nothing can be removed.
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
        raise JournalError(f"{target}: this day exists already; remove it or choose another journal folder")


def _put_in_place(folder: Path, target: Path, disk: Disk) -> None:
    try:
        uninterrupted(disk.unlink, folder / LOCK_NAME)
        uninterrupted(disk.fsync_dir, folder)
        _refuse_existing(target, disk)
        uninterrupted(disk.rename, folder, target)
        uninterrupted(disk.fsync_dir, target.parent)
    except OSError as error:
        raise JournalError(f"{target}: cannot be put in place: {error.strerror or error}") from error


def _remove(folder: Path, disk: Disk) -> None:
    """Removes a half-built day; what cannot be removed stays for the next build."""
    try:
        if not disk.exists(folder):
            return
        for name in uninterrupted(disk.listdir, folder):
            uninterrupted(disk.unlink, folder / name)
        uninterrupted(disk.rmdir, folder)
    except OSError:
        return
