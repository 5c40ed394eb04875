"""Makes a journal again from a stream, byte for byte, or continues one that an earlier pull has made.

Promises: a frame is written only after it was checked as the next one of the chain (CRC, digest, seq, day),
so that what is on the disk is the journal that was mirrored, or a prefix of it, also after a kill at any
point. Segments are made plain, with the bytes that their writer wrote; `engine journal seal` compresses
them. Called by `engine mirror pull`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import msgspec

from engine.errors import JournalDamaged, JournalError, UsageError
from engine.journal import (
    DISK,
    Disk,
    JournalLock,
    SegmentFile,
    Tail,
    day_name,
    ensure_identity,
    make_root,
    read_identity,
    recover,
)
from engine.journal.cursor import Cursor
from engine.journal.disk import uninterrupted, write_all
from engine.journal.headers import read_header
from engine.journal.reader import check_next
from engine.journal.segment import SEGMENT_HEADER_SIZE, parse_segment_header, segment_name
from engine.mirror.broker import Broker, Stored, StreamState
from engine.mirror.errors import MirrorOutOfStep
from engine.mirror.messages import FRAMES, Place, place_of

__all__ = ["Pulled", "pull"]

READ: Final = 256
"""Messages read at a time."""


class Pulled(msgspec.Struct, frozen=True):
    """The journal after a pull: `begins` is the first seq in the stream, `frames` were added."""

    journal_id: bytes
    begins: int
    seq: int
    digest: bytes
    frames: int
    days: tuple[str, ...]
    partial: bool
    """Whether the stream ends within a frame, which is left out."""


def pull(
    broker: Broker, root: Path, *, progress: Callable[[int], None] | None = None, disk: Disk = DISK
) -> Pulled:
    """Bring the journal in `root` to the end of the stream.

    Raises MirrorOutOfStep when the stream lacks frames that the journal needs or holds others than it,
    JournalDamaged for a message that is not the next frame, MirrorUnavailable, JournalError.
    """
    state = broker.look(FRAMES)
    if state.last < state.first:
        words = "is empty" if not state.last else f"has lost all of its {state.last} messages"
        raise MirrorOutOfStep(f"{broker.place}: the stream {words}")
    head = _places(broker, state.first)
    make_root(root, disk)
    with JournalLock(root):
        known = read_identity(root, disk)
        if known not in (None, head.journal_id):
            raise UsageError(
                f"{root}: holds journal {known.hex() if known else ''}, the stream {head.journal_id.hex()}; "
                "give another folder"
            )
        if known is None and any(name for name in uninterrupted(disk.listdir, root) if name != "LOCK"):
            raise UsageError(f"{root}: is not empty; give a new folder, or one that a pull has made")
        if known is None:
            _refuse_lost_head(broker, state, head, 0)
        ensure_identity(root, head.journal_id, disk)
        writer = _Writer(root, recover(root, disk=disk).tail, disk)
        try:
            return _continue(broker, writer, state, head, progress)
        finally:
            writer.close()


def _continue(
    broker: Broker, writer: _Writer, state: StreamState, head: Place, progress: Callable[[int], None] | None
) -> Pulled:
    begin = state.first
    if writer.seq:
        begin = _behind(broker, state, writer)
    if begin == state.first and head.first_seq > writer.seq + 1:
        _refuse_lost_head(broker, state, head, writer.seq)
    frames = 0
    days: list[str] = []
    parts: list[bytes] = []
    done = 0
    for message in _messages(broker, state, begin):
        place = place_of(message.headers, broker.place)
        size = len(message.data)
        if place.journal_id != head.journal_id or place.done - size != done or place.done > place.whole:
            raise _misplaced(broker, message)
        parts.append(message.data)
        done = place.done
        if done < place.whole:
            continue
        writer.write(place, b"".join(parts))
        parts, done = [], 0
        frames += 1
        if place.day not in days[-1:]:
            days.append(place.day)
        if progress is not None:
            progress(place.last_seq)
    writer.sync()
    return Pulled(
        head.journal_id, head.first_seq, writer.seq, writer.digest, frames, tuple(days), partial=done > 0
    )


def _behind(broker: Broker, state: StreamState, writer: _Writer) -> int:
    """Return the number of the first message behind the journal's last frame. Raises MirrorOutOfStep."""
    low, high = (
        state.first,
        state.last + 1,
    )  # the first message whose frame ends at the journal's seq or later
    while low < high:
        middle = (low + high) // 2
        if _places(broker, middle).last_seq < writer.seq:
            low = middle + 1
        else:
            high = middle
    while low <= state.last:
        place, number = _place_from(broker, low)
        if place.last_seq != writer.seq and place.first_seq <= writer.seq:
            break
        if place.first_seq > writer.seq:
            return low
        if place.digest != writer.digest:
            break
        low = number + 1
    else:
        last = _places(broker, state.last)
        if last.last_seq >= writer.seq:
            return low
        raise MirrorOutOfStep(
            f"{writer.root}: goes to seq {writer.seq}, but the stream ends at seq {last.last_seq}; there is "
            "nothing to pull"
        )
    raise MirrorOutOfStep(
        f"{writer.root}: at seq {writer.seq} it holds another state of the journal than the stream; pull "
        "into another folder"
    )


def _refuse_lost_head(broker: Broker, state: StreamState, head: Place, seq: int) -> None:
    """Raise MirrorOutOfStep if frames of the stream that the journal needs are gone, or it begins later."""
    if state.first > 1:
        raise MirrorOutOfStep(
            f"{broker.place}: the stream has lost its head: it begins at seq {head.first_seq} "
            f"({head.day}), with message {state.first}. Put the days before it there, then pull again"
        )
    if seq:
        raise MirrorOutOfStep(
            f"{broker.place}: the stream begins at seq {head.first_seq} ({head.day}), but the journal in the "
            f"folder ends at {seq}; put the days between into the folder, then pull again"
        )


def _places(broker: Broker, number: int) -> Place:
    return _place_from(broker, number)[0]


def _place_from(broker: Broker, number: int) -> tuple[Place, int]:
    """Return the place of the first message from `number` on, and its own number."""
    (message,) = broker.read(FRAMES, number, 1)
    return place_of(message.headers, broker.place), message.number


def _messages(broker: Broker, state: StreamState, begin: int) -> Iterator[Stored]:
    while begin <= state.last:
        found = broker.read(FRAMES, begin, READ)
        for message in found:
            if message.number <= state.last:
                yield message
        begin = found[-1].number + 1


def _misplaced(broker: Broker, message: Stored) -> MirrorOutOfStep:
    return MirrorOutOfStep(
        f"{broker.place}: message {message.number} does not continue the one before it; give another stream"
    )


class _Writer:
    """Appends frames in their bytes at the tail that recovery has found. The caller holds the lock."""

    def __init__(self, root: Path, tail: Tail, disk: Disk) -> None:
        self.root = root
        self._disk = disk
        self._fd = -1
        self._cursor = Cursor(journal_id=tail.journal_id, day=tail.day, number=tail.segments)
        if tail.seq:
            self._cursor.started = True
            self._cursor.seq, self._cursor.digest = tail.seq, tail.digest
        elif tail.day is None:
            self._cursor.number = None
        if tail.segment is not None:
            at = tail.segment
            self._cursor.header = read_header(SegmentFile(at, int(at.name.partition(".")[0]), False), disk)
            self._cursor.offset = tail.size
            self._fd = uninterrupted(disk.open_append, at)

    @property
    def seq(self) -> int:
        """Seq of the last record."""
        return self._cursor.seq

    @property
    def digest(self) -> bytes:
        """Digest of the last frame."""
        return self._cursor.digest

    def write(self, place: Place, data: bytes) -> None:
        """Check a frame, and append it. Raises JournalDamaged, JournalError."""
        path = self.root / place.day / segment_name(place.segment)
        file = str(path)
        if place.first_seq == place.segment:
            header = parse_segment_header(data[:SEGMENT_HEADER_SIZE], file=file)
            if day_name(header.day) != place.day:
                raise self._damaged(file, f"the segment is of day {header.day}", place.first_seq)
            if self._fd < 0 or header != self._cursor.header:  # a kill may have left it without frames
                if self._cursor.day != header.day:
                    self._cursor.open_day(header.day)
                self._cursor.enter(header, SegmentFile(path, place.segment, False))
                self._open(path, data[:SEGMENT_HEADER_SIZE])
            data = data[SEGMENT_HEADER_SIZE:]
        known = self._cursor.header
        if known is None or known.first_seq != place.segment or self._fd < 0:
            raise self._damaged(
                file, "the segment is sealed or missing, so nothing can be appended to it", place.first_seq
            )
        if day_name(known.day) != place.day:
            raise self._damaged(file, f"the segment is of day {known.day}", place.first_seq)
        check_next(data, self._cursor, file=file)
        try:
            write_all(self._disk, self._fd, data)
        except OSError as error:
            raise _failed(file, error) from error

    def sync(self) -> None:
        """Make what was written durable. Raises JournalError."""
        if self._fd >= 0:
            try:
                uninterrupted(self._disk.fdatasync, self._fd)
            except OSError as error:
                raise _failed(str(self.root), error) from error

    def close(self) -> None:
        """Close the open segment."""
        if self._fd >= 0:
            self._disk.close(self._fd)
            self._fd = -1

    def _open(self, path: Path, header: bytes) -> None:
        """Close the open segment, and begin the next as the journal's writer does: header first."""
        disk = self._disk
        self.sync()
        self.close()
        try:
            if not disk.exists(path.parent):
                uninterrupted(disk.mkdir, path.parent)
                uninterrupted(disk.fsync_dir, self.root)
            self._fd = uninterrupted(disk.create, path)
            write_all(disk, self._fd, header)
            uninterrupted(disk.fsync, self._fd)
            uninterrupted(disk.fsync_dir, path.parent)
        except OSError as error:
            raise _failed(str(path), error) from error

    def _damaged(self, file: str, reason: str, seq: int) -> JournalDamaged:
        return JournalDamaged(reason, file=file, offset=self._cursor.offset, seq=seq)


def _failed(file: str, error: OSError) -> JournalError:
    return JournalError(f"{file}: cannot be written: {error.strerror or error}; pull again")
