"""Sealing: a compressed day has the same content, and every changed byte of it is found."""

from __future__ import annotations

import errno
import struct
import tracemalloc
from hashlib import blake2b

import pytest
import zstandard

from engine.errors import JournalDamaged, JournalError, UsageError
from engine.journal import Draft, read_frames, recover, seal_day, verify_day, verify_journal
from engine.journal.disk import Disk
from engine.journal.sealed import Trailer, pack_trailer, parse_trailer

from .disks import READS, FaultyDisk, MemoryDisk, PowerCut, error
from .kit import FIRST, FOLDER, NEXT_NOON, ROOT, Salts, content, drafts, journal, read, write

FRAMES = drafts(10, size=60)


def seal(disk: Disk, *, chunk_bytes: int = 4 << 20) -> None:
    seal_day(FOLDER, newest=True, chunk_bytes=chunk_bytes, disk=disk)


def sealed(
    frames: list[Draft], *, segment_bytes_max: int = 1 << 20, chunk_bytes: int = 4 << 20
) -> MemoryDisk:
    disk = journal(frames, segment_bytes_max=segment_bytes_max)
    seal(disk, chunk_bytes=chunk_bytes)
    return disk


def test_a_sealed_day_reads_as_before_and_is_smaller() -> None:
    frames = drafts(200, size=400)
    disk = journal(frames, segment_bytes_max=20_000)
    before = verify_journal(ROOT, disk=disk).days[0]
    report = seal_day(FOLDER, newest=True, disk=disk)
    after = verify_journal(ROOT, disk=disk).days[0]
    assert (report.segments, report.raw_bytes) == (before.segments, before.size)
    assert report.sealed_bytes == after.size < before.size
    assert (after.sealed, after.records, after.digest) == (before.segments, before.records, before.digest)
    assert all(name.endswith(".seg.zst") for name in disk.listdir(FOLDER))
    assert content(read(disk)) == content(frames)


def test_any_changed_byte_of_a_sealed_file_is_reported_with_its_chunk() -> None:
    """J02, J28: every byte of a file of several chunks, with three different changes."""
    disk = sealed(FRAMES, chunk_bytes=300)
    path = FOLDER / f"{FIRST.name}.zst"
    image = bytearray(disk.get(path))
    starts = chunk_offsets(bytes(image))
    assert len(starts) >= 5
    for at in range(len(image)):
        for change in (0x01, 0x80, 0xFF):
            image[at] ^= change
            disk.put(path, bytes(image))
            image[at] ^= change
            with pytest.raises(JournalDamaged) as caught:
                verify_day(FOLDER, disk=disk)
            assert caught.value.file == str(path)
            assert caught.value.offset == max([0, *(start for start in starts if start <= at)])
            with pytest.raises(JournalDamaged):
                read(disk)


def chunk_offsets(image: bytes) -> list[int]:
    """Return the offset of each chunk and, last, of the trailer."""
    starts = [144]
    while size := int.from_bytes(image[starts[-1] : starts[-1] + 4], "little"):
        starts.append(starts[-1] + 24 + size)
    assert len(image) - starts[-1] == 112
    return starts


def test_a_sealed_file_cut_anywhere_or_with_bytes_after_it_is_damaged() -> None:
    """J01 does not apply: a sealed segment has no torn tail."""
    disk = sealed(FRAMES, chunk_bytes=300)
    path = FOLDER / f"{FIRST.name}.zst"
    image = disk.get(path)
    for cut in range(len(image)):
        disk.put(path, image[:cut])
        with pytest.raises(JournalDamaged):
            read(disk)
        with pytest.raises(JournalDamaged):
            recover(ROOT, disk=disk)
    for more in (b"\x00", b"x" * 500, image):
        disk.put(path, image + more)
        with pytest.raises(JournalDamaged, match="bytes after the trailer"):
            read(disk)


def test_chunks_cannot_be_swapped_removed_or_repeated() -> None:
    """J10, within a file."""
    disk = sealed(FRAMES, chunk_bytes=300)
    path = FOLDER / f"{FIRST.name}.zst"
    image = disk.get(path)
    starts = chunk_offsets(image)
    chunks = [image[a:b] for a, b in zip(starts, [*starts[1:], len(image)], strict=True)]
    for forged in (
        [chunks[1], chunks[0], *chunks[2:]],
        chunks[1:],
        [*chunks[:2], *chunks[3:]],
        [chunks[0], *chunks],
        [*chunks[:-2], chunks[-1]],
    ):
        disk.put(path, image[:144] + b"".join(forged))
        with pytest.raises(JournalDamaged):
            read(disk)


def test_a_chunk_with_a_size_above_the_bound_is_refused_before_it_is_unpacked() -> None:
    """J24: the sizes in the file are bounded, and so is the size in the zstd frame."""
    disk = sealed(FRAMES)
    path = FOLDER / f"{FIRST.name}.zst"
    image = disk.get(path)
    for packed, raw in ((2**32 - 1, 100), (100, 2**32 - 1), (0, 5), (5, 0)):
        head = packed.to_bytes(4, "little") + raw.to_bytes(4, "little")
        disk.put(path, image[:144] + head + image[152:])
        with pytest.raises(JournalDamaged, match="impossible"):
            read(disk)
    bomb = zstandard.ZstdCompressor().compress(bytes(64 << 20))
    sizes = struct.pack("<II", len(bomb), 1000)
    check = blake2b(bytes(8) + sizes + bomb, digest_size=16).digest()
    disk.put(path, image[:144] + sizes + check + bomb)
    tracemalloc.start()
    try:
        with pytest.raises(JournalDamaged, match="does not unpack to 1000 bytes"):
            read(disk)
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


def test_a_power_cut_at_any_call_of_sealing_leaves_a_day_that_reads_the_same() -> None:
    """Killed at each step; sealing again finishes, and so does a start."""
    whole = journal(FRAMES, segment_bytes_max=600)
    expected = content(FRAMES)
    counting = FaultyDisk(whole.copy())
    seal(counting)
    for nth in range(counting.calls["any"]):
        for names_kept in (False, True):
            inner = whole.copy()
            disk = FaultyDisk(inner).fail("any", nth, PowerCut())
            with pytest.raises(PowerCut):
                seal(disk)
            assert disk.fired == 1
            after = inner.after_power_cut(names_kept=names_kept)
            assert content(read(after)) == expected
            verify_journal(ROOT, disk=after)
            started = after.copy()
            assert recover(ROOT, disk=started).end_seq == 30
            assert not any(name.endswith(".tmp") for name in started.listdir(FOLDER))
            seal(after)
            assert all(name.endswith(".zst") for name in after.listdir(FOLDER))
            assert content(read(after)) == expected


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC], ids=["EIO", "ENOSPC"])
def test_a_seal_that_fails_at_any_change_loses_nothing(number: int) -> None:
    """J16."""
    whole = journal(FRAMES, segment_bytes_max=600)
    counting = FaultyDisk(whole.copy())
    seal(counting)
    for nth in range(counting.calls["any change"]):
        inner = whole.copy()
        disk = FaultyDisk(inner).fail("any change", nth, error(number))
        with pytest.raises(JournalError, match="nothing was lost"):
            seal(disk)
        assert disk.fired == 1
        assert content(read(inner)) == content(FRAMES)
        seal(inner)
        assert content(read(inner)) == content(FRAMES)


def test_a_sealed_file_that_reads_back_wrong_is_not_put_in_place() -> None:
    """The memory or the disk is faulty: the plain segment stays."""

    class Corrupting(FaultyDisk):
        def write(self, fd: int, data: memoryview | bytes) -> int:
            self.fired += 1
            changed = bytearray(data)
            changed[-1] ^= 1
            return self.inner.write(fd, bytes(changed))

    inner = journal(FRAMES)
    disk = Corrupting(inner)
    with pytest.raises(JournalDamaged, match="check the disk and the memory"):
        seal(disk)
    assert disk.fired > 0
    assert inner.exists(FIRST)
    assert content(read(inner)) == content(FRAMES)


def test_sealing_again_does_nothing() -> None:
    disk = sealed(FRAMES, segment_bytes_max=600)
    before = disk.files()
    counting = FaultyDisk(disk)
    assert seal_day(FOLDER, newest=True, disk=counting).segments == 0
    assert counting.calls["any change"] == 0
    assert disk.files() == before


def test_a_torn_day_is_not_sealed() -> None:
    disk = journal(FRAMES)
    disk.put(FIRST, disk.get(FIRST)[:-1])
    before = disk.files()
    with pytest.raises(JournalError, match="torn tail"):
        seal(disk)
    assert disk.files() == before


def test_a_damaged_day_is_not_sealed() -> None:
    disk = journal(FRAMES)
    image = bytearray(disk.get(FIRST))
    image[300] ^= 1
    disk.put(FIRST, bytes(image))
    before = disk.files()
    with pytest.raises(JournalDamaged):
        seal(disk)
    assert disk.files() == before


def test_the_newest_day_is_sealed_only_when_asked() -> None:
    disk = journal(FRAMES[:5])
    with pytest.raises(UsageError, match="use --newest"):
        seal_day(FOLDER, disk=disk)
    write(disk, FRAMES[5:], tail=recover(ROOT, disk=disk).tail, at_ns=NEXT_NOON)
    assert seal_day(FOLDER, disk=disk).segments == 1


def test_a_journal_continues_in_a_new_segment_after_its_newest_day_was_sealed() -> None:
    disk = sealed(FRAMES[:6], segment_bytes_max=600)
    recovered = recover(ROOT, disk=disk)
    assert recovered.tail.segment is None
    write(disk, FRAMES[6:], tail=recovered.tail, salts=Salts(60))
    assert content(read(disk)) == content(FRAMES)
    assert {name.endswith(".zst") for name in disk.listdir(FOLDER)} == {True, False}
    seal(disk)
    verify_journal(ROOT, disk=disk)


@pytest.mark.parametrize("do", [recover, verify_journal], ids=["start", "verify"])
def test_a_plain_file_beside_its_sealed_one_that_differs_is_refused(do: object) -> None:
    """An interrupted seal leaves two equal files; files that differ are damage."""
    plain = journal(FRAMES)
    image = plain.get(FIRST)
    for other in (image[:-1], image + b"x", image[:200] + b"?" + image[201:]):
        disk = sealed(FRAMES)
        disk.put(FIRST, other)
        before = disk.files()
        with pytest.raises(JournalDamaged, match="differs"):
            do(ROOT, disk=disk)  # type: ignore[operator]
        with pytest.raises(JournalDamaged, match="differs"):
            seal(disk)
        assert disk.files() == before


def test_progress_ends_at_the_total() -> None:
    disk = journal(FRAMES, segment_bytes_max=600)
    calls: list[tuple[int, int]] = []
    report = seal_day(FOLDER, newest=True, progress=lambda *at: calls.append(at), disk=disk)
    assert calls[-1] == (report.raw_bytes, report.raw_bytes)
    assert calls == sorted(calls)


def test_large_segments_are_read_chunk_by_chunk() -> None:
    """A frame over several chunks, and chunks of many frames."""
    frames = [Draft(1, 1, b"\x91" + bytes(range(256)) * 50_000), *drafts(50, first_seq=2, size=2000)]
    disk = sealed(frames)
    reader = read_frames(FOLDER, disk=disk)
    assert content(list(reader)) == content(frames)


def test_a_segment_without_frames_is_removed_because_the_next_one_will_have_its_name() -> None:
    """J08: a crash between the header and the first frame. Found by the state machine."""
    disk = journal(FRAMES[:3], segment_bytes_max=600)
    tail = recover(ROOT, disk=disk).tail
    faulty = FaultyDisk(disk).fail("write", 1, PowerCut())
    with pytest.raises(PowerCut):
        write(faulty, FRAMES[3:4], tail=tail, segment_bytes_max=600)
    assert faulty.fired == 1
    assert len(disk.get(FOLDER / f"{10:020d}.seg")) == 128
    recover(ROOT, disk=disk)
    seal(disk)
    assert disk.listdir(FOLDER) == [f"{1:020d}.seg.zst"]
    tail = recover(ROOT, disk=disk).tail
    write(disk, FRAMES[3:], tail=tail, salts=Salts(30))
    recover(ROOT, disk=disk)
    assert content(read(disk)) == content(FRAMES)


def test_the_plain_segment_is_removed_only_after_the_new_name_is_durable() -> None:
    """X02: the order of calls; otherwise a power cut could keep the removal and lose the rename."""
    disk = FaultyDisk(journal(FRAMES))
    seal(disk)
    changes = [call for call in disk.log if call not in READS]
    assert changes[-5:] == ["fsync", "rename", "fsync_dir", "unlink", "fsync_dir"]


def test_a_trailer_with_another_digest_or_another_end_is_damaged() -> None:
    """Every check of the container and of the frames passes; only a field of the trailer is wrong."""
    disk = sealed(FRAMES)
    path = FOLDER / f"{FIRST.name}.zst"
    image = disk.get(path)
    trailer = parse_trailer(image[-112:])
    for forged in (
        Trailer(trailer.chunks, trailer.raw_size, trailer.end_seq, trailer.digest, bytes(32)),
        Trailer(trailer.chunks, trailer.raw_size, trailer.end_seq, bytes(32), trailer.raw_digest),
        Trailer(trailer.chunks, trailer.raw_size, 31, trailer.digest, trailer.raw_digest),
        Trailer(trailer.chunks, trailer.raw_size + 1, 30, trailer.digest, trailer.raw_digest),
        Trailer(2, trailer.raw_size, trailer.end_seq, trailer.digest, trailer.raw_digest),
    ):
        disk.put(path, image[:-112] + pack_trailer(forged))
        with pytest.raises(JournalDamaged):
            verify_day(FOLDER, disk=disk)
