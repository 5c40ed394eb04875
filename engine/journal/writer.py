"""Appends frames: each is on the disk before `append` returns.

Owns the open segment and the end of the chain. Promises: one unsynced frame at a time, and a frame is
acknowledged only after its sync returned. After the first failed write, sync, create or rename the
writer is poisoned and accepts no more frames, because it is unknown what reached the disk (a second
fsync may report success for pages that the first one lost). The same if the segment was moved or removed
meanwhile, or if another engine has opened the journal: what is appended then may be in no journal. The
process must then stop; the next start recovers. Called by the committer, one call at a time, from a worker
thread.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

import msgspec

from engine.errors import JournalError, JournalPoisoned

from .catalog import list_segments
from .day import day_name, day_of_ns
from .disk import DISK, Disk, uninterrupted, write_all
from .fence import Fence
from .frame import FRAME_OVERHEAD, ZERO_DIGEST, Digest, Draft, check_draft, pack_frame, salt_seed
from .segment import SEGMENT_HEADER_SIZE, SegmentHeader, pack_segment_header, segment_name

__all__ = ["SEGMENT_BYTES_MAX", "JournalWriter", "Tail"]

SEGMENT_BYTES_MAX = 64 * 1024 * 1024
"""A segment is closed before it grows beyond this many bytes. A single frame may be larger."""


class Tail(msgspec.Struct, frozen=True):
    """The end of a journal, where the next frame is appended.

    `day` (yyyymmdd) is the newest day and `segments` the number of its segments. `segment` is the open
    one, or None if a new one must be created, and `size` its length in bytes.
    """

    journal_id: bytes
    seq: int = 0
    digest: Digest = ZERO_DIGEST
    day: int | None = None
    segments: int = 0
    segment: Path | None = None
    size: int = 0
    salt: bytes = b""


class JournalWriter:
    """Appends frames at `tail`, which `recover` found. The caller holds the lock.

    `salts` returns 16 random bytes for each new segment. With `sync=False` frames are synced only when a
    segment is full and by `flush`: for backtests, where no command depends on a frame. `fence` is this
    opening of the journal; without it another engine that opens the journal is not noticed.

    Raises JournalError if the open segment cannot be opened or has another length than recovery left.
    """

    def __init__(
        self,
        root: Path,
        tail: Tail,
        *,
        salts: Callable[[], bytes],
        segment_bytes_max: int = SEGMENT_BYTES_MAX,
        sync: bool = True,
        disk: Disk = DISK,
        fence: Fence | None = None,
    ) -> None:
        self.root = root
        self.seq = tail.seq
        self.durable_seq = tail.seq
        self.digest = tail.digest
        self.day = tail.day
        self.segment = tail.segment
        self.segment_size = tail.size
        self.poisoned: str | None = None
        self.frames = 0
        self.bytes_written = 0
        self.writes = 0
        self.syncs = 0
        self._journal_id = tail.journal_id
        self._number = tail.segments
        self._seed = salt_seed(tail.salt)
        self._salts = salts
        self._bytes_max = segment_bytes_max
        self._sync = sync
        self._disk = disk
        self._fence = fence
        self._busy = False
        self._fd = -1
        if tail.segment is not None:
            self._fd = self._reopen(tail.segment, tail.size)

    def append(self, draft: Draft, at_ns: int) -> Digest:
        """Append one frame and return the digest of the chain after it.

        `at_ns` is the engine time of the frame, UTC nanoseconds: it decides the day, and is written as
        `created_ns` when the frame opens a segment. With `sync` the frame is durable on return.

        Raises JournalPoisoned when a write or sync fails, and on every later call; JournalError when `at_ns`
        is in a day before the newest one; ValueError for a draft above a bound.
        """
        self._refuse_poisoned()
        assert draft.first_seq == self.seq + 1, f"frame at {draft.first_seq}, journal at {self.seq}"
        assert not self._busy, "a second append before the first returned"
        check_draft(draft)
        day = day_of_ns(at_ns)
        if self.day is not None and day < self.day:
            raise JournalError(
                f"the engine time is on {day_name(day)}, but the journal has reached {day_name(self.day)}; "
                "correct the clock of this machine"
            )
        size = FRAME_OVERHEAD + len(draft.inputs) + len(draft.derived)
        self._busy = True
        try:
            if self._sync:
                self._check_ours()
            if self._must_roll(day, size):
                self._roll(day, at_ns)
            data, digest = pack_frame(draft, self.digest, self._seed)
            self.writes += write_all(self._disk, self._fd, data)
            if self._sync:
                self._sync_data()
        except BaseException as error:
            raise self._poison("append", error) from error
        self._busy = False
        self.frames += 1
        self.bytes_written += size
        self.segment_size += size
        self.seq += draft.count
        self.digest = digest
        if self._sync:
            self.durable_seq = self.seq
        return digest

    def flush(self) -> None:
        """Make every appended frame durable. Raises JournalPoisoned."""
        self._refuse_poisoned()
        if self.durable_seq == self.seq:
            return
        try:
            self._sync_data()
        except BaseException as error:
            raise self._poison("sync", error) from error
        self.durable_seq = self.seq

    def close(self) -> None:
        """Flush, unless poisoned, and close the file. Raises JournalPoisoned."""
        try:
            if self.poisoned is None:
                self.flush()
        finally:
            if self._fd >= 0:
                self._disk.close(self._fd)
                self._fd = -1
            self.poisoned = self.poisoned or "the writer was closed"

    def __enter__(self) -> JournalWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _must_roll(self, day: int, size: int) -> bool:
        if self._fd < 0 or day != self.day:
            return True
        return self.segment_size + size > self._bytes_max and self.segment_size > SEGMENT_HEADER_SIZE

    def _roll(self, day: int, at_ns: int) -> None:
        """Close the open segment and create the next: file, header, sync, folder sync."""
        disk = self._disk
        if self._fd >= 0:
            if self.durable_seq != self.seq:
                self._sync_data()
                self.durable_seq = self.seq
            disk.close(self._fd)
            self._fd = -1
        folder = self.root / day_name(day)
        number = self._number
        if day != self.day:
            number = 0
            self._open_folder(folder)
        header = SegmentHeader(day, self._journal_id, self.seq + 1, self.digest, self._salts(), at_ns, number)
        data = pack_segment_header(header)
        path = folder / segment_name(self.seq + 1)
        self._fd = uninterrupted(disk.create, path)
        self.writes += write_all(disk, self._fd, data)
        uninterrupted(disk.fsync, self._fd)
        uninterrupted(disk.fsync_dir, folder)
        self.syncs += 2
        self.bytes_written += len(data)
        self.day, self._number = day, number + 1
        self.segment, self.segment_size = path, len(data)
        self._seed = salt_seed(header.salt)

    def _open_folder(self, folder: Path) -> None:
        if not self._disk.exists(folder):
            uninterrupted(self._disk.mkdir, folder)
        elif list_segments(folder, self._disk):
            raise JournalError(f"{folder}: holds segments of another journal; move this folder elsewhere")
        uninterrupted(self._disk.fsync_dir, folder.parent)
        self.syncs += 1

    def _sync_data(self) -> None:
        """Sync, and check afterwards: what was still ours once it was on the disk is in the journal."""
        assert self.segment is not None, "a sync before the first frame"
        uninterrupted(self._disk.fdatasync, self._fd)
        self.syncs += 1
        self._check_ours()

    def _check_ours(self) -> None:
        """Raise OSError if the segment was moved or removed, or another engine has opened the journal."""
        if self._fence is not None:
            self._fence.check()
        segment = self.segment if self._fd >= 0 else None
        if segment is not None and not uninterrupted(self._disk.is_at, self._fd, segment):
            raise OSError(errno.ESTALE, "the file was moved or removed while it was written")

    def _reopen(self, path: Path, size: int) -> int:
        try:
            fd = uninterrupted(self._disk.open_append, path)
            found = self._disk.size(fd)
        except OSError as error:
            raise JournalError(f"{path}: cannot be opened for writing: {error.strerror or error}") from error
        if found != size:
            self._disk.close(fd)
            raise JournalError(f"{path}: has {found} bytes, but recovery left {size}; start again")
        return fd

    def _refuse_poisoned(self) -> None:
        if self.poisoned is not None:
            raise JournalPoisoned(
                f"{self.segment or self.root}: no more records are written: {self.poisoned}"
            )

    def _poison(self, what: str, error: BaseException) -> BaseException:
        """Remember the first error. Return the error to raise."""
        if isinstance(error, OSError):
            self.poisoned = f"{what} failed: {error.strerror or error}"
            advice = "Find out what changed it" if error.errno == errno.ESTALE else "Check the disk"
            return JournalPoisoned(
                f"{self.segment or self.root}: {self.poisoned}. No more records are written; "
                f"seq {self.durable_seq} is the last durable one. {advice} and start again"
            )
        self.poisoned = f"{what} was interrupted by {type(error).__name__}"
        return error
