"""Small journals of known frames, in memory, for tests."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from zlib import crc32

import msgspec
import pytest

from engine.errors import JournalDamaged
from engine.journal import (
    Draft,
    Frame,
    JournalWriter,
    Tail,
    Witness,
    day_start_ns,
    ensure_identity,
    read_frames,
    recover,
)
from engine.journal.disk import Disk
from engine.journal.frame import chained_digest
from engine.journal.segment import parse_segment_header

from .disks import MemoryDisk

ROOT = Path("/books")
DAY = 20241205
NEXT_DAY = 20241206
FOLDER = ROOT / "2024-12-05"
NEXT_FOLDER = ROOT / "2024-12-06"
FIRST = FOLDER / f"{1:020d}.seg"
JOURNAL_ID = bytes(range(16))
NOON = day_start_ns(DAY) + 43_200 * 1_000_000_000
NEXT_NOON = day_start_ns(NEXT_DAY) + 43_200 * 1_000_000_000


class Salts:
    """A different salt for each segment, the same in each run."""

    def __init__(self, start: int = 1) -> None:
        self._next = start

    def __call__(self) -> bytes:
        self._next += 1
        return self._next.to_bytes(2, "big") * 8


def drafts(count: int, *, first_seq: int = 1, size: int = 40, records: int = 3) -> list[Draft]:
    """Return `count` frames, each with `records` records and two blobs of about `size` bytes in all."""
    made = []
    seq = first_seq
    for number in range(count):
        text = f"frame {number} at {seq} ".ljust(size, chr(97 + number % 26))[:size]
        inputs = msgspec.msgpack.encode([["trade", text[: size * 2 // 3]]])
        derived = msgspec.msgpack.encode([[seq + 1, seq, ["bar", text[size * 2 // 3 :]]]])
        made.append(Draft(seq, records, inputs, derived))
        seq += records
    return made


def write(
    disk: Disk,
    frames: Sequence[Draft],
    *,
    tail: Tail | None = None,
    segment_bytes_max: int = 1 << 20,
    at_ns: int = NOON,
    journal_id: bytes = JOURNAL_ID,
    salts: Salts | None = None,
    root: Path = ROOT,
) -> Tail:
    """Append frames and return the end of the journal. Without `tail` the journal is created first."""
    if tail is None:
        ensure_identity(root, journal_id, disk)
        tail = Tail(journal_id=journal_id)
    with JournalWriter(
        root, tail, salts=salts or Salts(tail.seq + 1), segment_bytes_max=segment_bytes_max, disk=disk
    ) as writer:
        for frame in frames:
            writer.append(frame, at_ns)
        return end_of(writer, journal_id)


SMALL = drafts(12, size=60)


def end_of(writer: JournalWriter, journal_id: bytes = JOURNAL_ID) -> Tail:
    """Return the tail of a writer. The salt is read from the file."""
    salt = b""
    disk = writer._disk
    if writer.segment is not None:
        fd = disk.open_read(writer.segment)
        salt = parse_segment_header(disk.pread(fd, 128, 0), file=str(writer.segment)).salt
        disk.close(fd)
    return Tail(
        journal_id=journal_id,
        seq=writer.seq,
        digest=writer.digest,
        day=writer.day,
        segments=writer._number,
        segment=writer.segment,
        size=writer.segment_size,
        salt=salt,
    )


def journal(
    frames: Sequence[Draft], *, segment_bytes_max: int = 1 << 20, journal_id: bytes = JOURNAL_ID
) -> MemoryDisk:
    """Return a memory disk with a journal of one day in ROOT."""
    disk = MemoryDisk()
    disk.mkdir(ROOT)
    disk.fsync_dir(ROOT.parent)
    write(disk, frames, segment_bytes_max=segment_bytes_max, journal_id=journal_id)
    return disk


def read(disk: Disk, path: Path = FOLDER) -> list[Frame]:
    return list(read_frames(path, disk=disk))


def content(frames: Sequence[Draft] | Sequence[Frame]) -> list[tuple[int, int, int, bytes, bytes]]:
    """Return what was recorded, without its position."""
    return [(f.first_seq, f.count, f.flags, f.inputs, f.derived) for f in frames]


def offsets(disk: Disk, path: Path = FOLDER) -> list[int]:
    """Return the offset of each frame of a day of one segment, and the end of the last frame."""
    frames = read(disk, path)
    last = frames[-1]
    return [f.offset for f in frames] + [last.offset + 64 + len(last.inputs) + len(last.derived)]


def forged_header(
    image: bytes,
    *,
    inputs_length: int,
    derived_length: int,
    first_seq: int,
    count: int,
    flags: int = 0,
    reserved: int = 0,
) -> bytes:
    """Return a frame header with the right CRC for the segment of `image` and any other content."""
    salt = image[72:88]
    body = (
        b"\xabFRM"
        + inputs_length.to_bytes(4, "little")
        + derived_length.to_bytes(4, "little")
        + first_seq.to_bytes(8, "little")
        + count.to_bytes(4, "little")
        + flags.to_bytes(2, "little")
        + reserved.to_bytes(2, "little")
    )
    return body + crc32(body, crc32(salt)).to_bytes(4, "little")


def forged_frame(image: bytes, draft: Draft, previous: bytes) -> bytes:
    """Return a complete frame with a right CRC and digest."""
    header = forged_header(
        image,
        inputs_length=len(draft.inputs),
        derived_length=len(draft.derived),
        first_seq=draft.first_seq,
        count=draft.count,
        flags=draft.flags,
    )
    return header + draft.inputs + draft.derived + chained_digest(previous, draft)


def segments_of(disk: MemoryDisk, folder: Path = FOLDER) -> list[Path]:
    return sorted(folder / name for name in disk.listdir(folder) if ".seg" in name)


def refused(disk: MemoryDisk, *, match: str = ".", witness: Witness | None = None) -> JournalDamaged:
    """Check that the start is refused and no byte is changed. Return the error."""
    before = disk.files()
    with pytest.raises(JournalDamaged, match=match) as caught:
        recover(ROOT, witness=witness, disk=disk)
    assert disk.files() == before
    return caught.value


def five_segments() -> MemoryDisk:
    disk = journal(SMALL, segment_bytes_max=500)
    assert len(segments_of(disk)) >= 5
    return disk
