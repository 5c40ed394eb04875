"""Builds days beside a journal and puts them in its root when they are complete.

For imports and generators. Each day is a journal of its own (own id, first seq 1) of one sealed segment,
written without a plain one before it:

    root/.staging/2024-12-05/00000000000000000001.seg.zst

A crash never leaves half a day in the root, because:

 1. A day is written below `.staging`, which no reader of a journal looks into.
 2. `publish` first makes all of it durable: bytes, sizes and names. Many days take one pass over the file
    system (`Disk.sync_all`), where a sync for each would cost most of the import.
 3. Then it puts each day in place with one rename. A new day's folder gets its name. Of a day that is
    replaced, the one segment gets the name of the old one. A rename shows either what was there or
    what comes, also after a power cut, and what comes has been durable since step 2.
 4. It syncs again before it says that the days are there.

So a build that is killed leaves whole days, old or new, and `.staging`, which the next build removes. One
build may run in a root at a time; its lock is on the staging folder and ends with the process. A session
may run in the root meanwhile: its days are no build's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from types import TracebackType
from typing import Final

from engine.errors import JournalError, JournalLocked

from .catalog import list_segments
from .day import day_name, day_of_ns
from .disk import DISK, Disk, uninterrupted, write_all
from .frame import ZERO_DIGEST, Digest, Draft, check_draft, pack_frame, salt_seed
from .sealed import Trailer, pack_chunk, pack_sealed_header, pack_trailer
from .segment import SEGMENT_HEADER_SIZE, SegmentHeader, pack_segment_header, segment_name

__all__ = ["DayBuilder", "Staging"]

_STAGING: Final = ".staging"
_SEGMENT: Final = segment_name(1, sealed=True)
FEW_DAYS: Final = 8
"""So many days are synced each by itself, more of them with all else that the file system has to write."""

_CHUNK_BYTES: Final = 512 * 1024
"""Bytes of a segment that are held in memory and compressed together."""


class DayBuilder:
    """Appends the frames of one day, in order. `seq` and `digest` are those of the last one.

    `bytes_written` is the size of the sealed segment so far. Memory holds one chunk of it.
    """

    def __init__(self, folder: Path, day: int, journal_id: bytes, salt: bytes, disk: Disk) -> None:
        self.folder = folder
        self.day = day
        self.seq = 0
        self.digest: Digest = ZERO_DIGEST
        self.bytes_written = 0
        self._journal_id = journal_id
        self._salt = salt
        self._seed = salt_seed(salt)
        self._disk = disk
        self._raw = bytearray()
        self._whole = blake2b(digest_size=32)
        self._raw_size = 0
        self._chunks = 0
        self._fd = -1

    def append(self, draft: Draft, at_ns: int) -> Digest:
        """Append a frame of engine time `at_ns`, UTC nanoseconds. Return the chain digest.

        Raises ValueError if `at_ns` is in another day or the draft is above a bound, JournalError when a
        write fails.
        """
        if day_of_ns(at_ns) != self.day:
            raise ValueError(f"{at_ns} ns is on {day_name(day_of_ns(at_ns))}, not {day_name(self.day)}")
        assert draft.first_seq == self.seq + 1, f"frame at {draft.first_seq}, day at {self.seq}"
        check_draft(draft)
        if not self.seq:
            header = SegmentHeader(self.day, self._journal_id, 1, ZERO_DIGEST, self._salt, at_ns, 0)
            self._raw += pack_segment_header(header)
        data, self.digest = pack_frame(draft, self.digest, self._seed)
        self._raw += data
        self.seq += draft.count
        if len(self._raw) >= _CHUNK_BYTES:
            self._write(self._full_chunks())
        return self.digest

    def close(self) -> None:
        """Write the rest of the day. Raises JournalError, also if nothing was appended."""
        if not self.seq:
            raise JournalError(f"{self.folder}: no frames were written, so there is no day")
        data = self._full_chunks()
        if self._raw:
            data += self._chunk(bytes(self._raw))
        trailer = Trailer(self._chunks, self._raw_size, self.seq, self.digest, self._whole.digest())
        self._write(data + pack_trailer(trailer))
        self.release()

    def release(self) -> None:
        """Close the file."""
        if self._fd >= 0:
            self._disk.close(self._fd)
            self._fd = -1

    def _full_chunks(self) -> bytes:
        data = b""
        while len(self._raw) >= _CHUNK_BYTES:
            data += self._chunk(bytes(self._raw[:_CHUNK_BYTES]))
            del self._raw[:_CHUNK_BYTES]
        return data

    def _chunk(self, raw: bytes) -> bytes:
        head = b"" if self._chunks else pack_sealed_header(raw[:SEGMENT_HEADER_SIZE])
        self._whole.update(raw)
        self._raw_size += len(raw)
        self._chunks += 1
        return head + pack_chunk(self._chunks - 1, raw)

    def _write(self, data: bytes) -> None:
        try:
            if self._fd < 0:
                uninterrupted(self._disk.mkdir, self.folder)
                self._fd = uninterrupted(self._disk.create, self.folder / _SEGMENT)
            write_all(self._disk, self._fd, data)
        except OSError as error:
            raise JournalError(f"{self.folder}: cannot be written: {error.strerror or error}") from error
        self.bytes_written += len(data)


class Staging:
    """The days of one build; a context manager. Leaving it removes what was not published.

    `random` returns that many random bytes: journal ids and salts. Raises JournalLocked when another build
    runs in `root`, JournalError when the root cannot be written.
    """

    def __init__(self, root: Path, *, random: Callable[[int], bytes], disk: Disk = DISK) -> None:
        self.root = root
        self._random = random
        self._disk = disk
        self._folder = root / _STAGING
        self._complete: list[tuple[DayBuilder, bool]] = []
        self._open: DayBuilder | None = None
        self._lock = self._locked()
        try:
            self._clear()
        except OSError as error:
            disk.close(self._lock)
            raise JournalError(f"{self._folder}: cannot be emptied: {error.strerror or error}") from error
        except BaseException:
            disk.close(self._lock)
            raise

    def __enter__(self) -> Staging:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._open is not None:
                self._open.release()
            self._clear()
            uninterrupted(self._disk.rmdir, self._folder)
        except OSError:
            pass  # the next build removes it
        finally:
            self._disk.close(self._lock)

    def begin(self, day: int) -> DayBuilder:
        """Begin a day (yyyymmdd). Call `complete` or `drop` before the next one."""
        assert self._open is None, "the day before is still open"
        folder = self._folder / day_name(day)
        self._open = DayBuilder(folder, day, self._random(16), self._random(16), self._disk)
        return self._open

    def complete(self, *, replace: bool = False) -> DayBuilder:
        """Complete the day. `publish` puts it in place; `replace` says that the root has this day.

        Raises JournalError, also if it must be replaced and is not one sealed segment.
        """
        builder = self._open
        assert builder is not None
        builder.close()
        if replace:
            target = self.root / day_name(builder.day)
            if [segment.path.name for segment in list_segments(target, self._disk)] != [_SEGMENT]:
                raise JournalError(
                    f"{target}: is not one sealed segment, as an import of this version writes it; "
                    "import into another journal folder"
                )
        self._complete.append((builder, replace))
        self._open = None
        return builder

    def drop(self) -> None:
        """Remove the day that was begun."""
        builder, self._open = self._open, None
        assert builder is not None
        builder.release()
        try:
            _remove(builder.folder, self._disk)
        except OSError as error:
            raise JournalError(f"{builder.folder}: cannot be removed: {error.strerror or error}") from error

    @property
    def waiting(self) -> list[str]:
        """The names of the complete days that are not in place yet."""
        return [day_name(builder.day) for builder, _ in self._complete]

    def publish(self) -> None:
        """Put the complete days in place, durably. Raises JournalError; days before the error stay."""
        if not self._complete:
            return
        disk = self._disk
        try:
            days = list(self._complete)
            self._sync_staged(days)
            while self._complete:
                builder, replace = self._complete[0]
                target = self.root / day_name(builder.day)
                if replace:
                    uninterrupted(disk.rename, builder.folder / _SEGMENT, target / _SEGMENT)
                elif disk.exists(target):
                    raise JournalError(f"{target}: was created by another process meanwhile")
                else:
                    uninterrupted(disk.rename, builder.folder, target)
                del self._complete[0]
            self._sync_renames(days)
        except OSError as error:
            raise JournalError(
                f"{self.root}: days cannot be moved into place: {error.strerror or error}"
            ) from error

    def _sync_staged(self, days: Sequence[tuple[DayBuilder, bool]]) -> None:
        """Make staged days durable: their bytes and names."""
        disk = self._disk
        if len(days) > FEW_DAYS:
            uninterrupted(disk.sync_all, self.root)
            return
        for builder, _ in days:
            fd = uninterrupted(disk.open_append, builder.folder / _SEGMENT)
            try:
                uninterrupted(disk.fsync, fd)
            finally:
                disk.close(fd)
            uninterrupted(disk.fsync_dir, builder.folder)

    def _sync_renames(self, days: Sequence[tuple[DayBuilder, bool]]) -> None:
        """Make durable that days are in place."""
        disk = self._disk
        if len(days) > FEW_DAYS:
            uninterrupted(disk.sync_all, self.root)
            return
        for builder, replace in days:
            if replace:
                uninterrupted(disk.fsync_dir, self.root / day_name(builder.day))
        uninterrupted(disk.fsync_dir, self.root)

    def _locked(self) -> int:
        """Return the lock on the staging folder, which is made if it is not there."""
        disk = self._disk
        try:
            while True:
                if not disk.exists(self._folder):
                    with suppress(FileExistsError):
                        uninterrupted(disk.mkdir, self._folder)
                try:
                    lock = uninterrupted(disk.lock_folder, self._folder)
                except FileNotFoundError:
                    continue  # another build ended and removed it
                if disk.is_at(lock, self._folder):
                    return lock
                disk.close(lock)
        except BlockingIOError:
            raise JournalLocked(
                f"{self.root}: another import is running there; start this one after it"
            ) from None
        except OSError as error:
            raise JournalError(f"{self._folder}: cannot be created: {error.strerror or error}") from error

    def _clear(self) -> None:
        """Remove what is in the staging folder: not published, or left by a killed build."""
        for name in uninterrupted(self._disk.listdir, self._folder):
            _remove(self._folder / name, self._disk)


def _remove(folder: Path, disk: Disk) -> None:
    """Remove a day's folder, if it is there."""
    if disk.exists(folder):
        for name in uninterrupted(disk.listdir, folder):
            uninterrupted(disk.unlink, folder / name)
        uninterrupted(disk.rmdir, folder)
