"""Reading a journal without changing it, while it is written and later."""

from __future__ import annotations

import random
from hashlib import blake2b
from pathlib import Path
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import JournalDamaged, JournalError, JournalVersionError
from engine.journal import (
    Draft,
    JournalWriter,
    Tail,
    read_frames,
    read_headers,
    recover,
    seal_day,
    verify_day,
)
from engine.journal import reader as reader_module
from engine.journal.sealed import Trailer, pack_chunk, pack_sealed_header, pack_trailer

from .disks import FaultyDisk, MemoryDisk
from .kit import (
    FIRST,
    FOLDER,
    JOURNAL_ID,
    NOON,
    ROOT,
    Salts,
    content,
    drafts,
    journal,
    offsets,
    read,
    write,
)

FRAMES = drafts(9, size=340)


@given(
    blobs=st.lists(st.tuples(st.binary(max_size=200), st.binary(max_size=200)).filter(any), min_size=1),
    counts=st.lists(st.integers(1, 2**20), min_size=1),
    segment_bytes_max=st.integers(200, 2000),
    flags=st.integers(0, 2**16 - 1),
    sealed=st.booleans(),
)
def test_a_journal_reads_back_as_appended(
    blobs: list[tuple[bytes, bytes]], counts: list[int], segment_bytes_max: int, flags: int, sealed: bool
) -> None:
    frames = []
    seq = 1
    for number, (inputs, derived) in enumerate(blobs):
        count = counts[number % len(counts)]
        frames.append(Draft(seq, count, inputs, derived, flags))
        seq += count
    disk = journal(frames, segment_bytes_max=segment_bytes_max)
    end = recover(ROOT, disk=disk)
    if sealed:
        seal_day(FOLDER, newest=True, disk=disk)
    reader = read_frames(FOLDER, disk=disk)
    assert content(list(reader)) == content(frames)
    assert (reader.end_seq, reader.digest, reader.torn) == (end.end_seq, end.digest, None)
    assert (reader.frames, reader.records) == (len(frames), seq - 1)
    assert disk.open_files() == 0


def test_a_frame_larger_than_one_read_is_read_completely(monkeypatch: pytest.MonkeyPatch) -> None:
    """Frames across every boundary of the chunks that are read."""
    disk = journal(FRAMES)
    for chunk in range(1, 500, 7):
        monkeypatch.setattr(reader_module, "_CHUNK", chunk)
        assert content(read(disk)) == content(FRAMES)
        assert [frame.offset for frame in read(disk)] == offsets(disk)[:-1]


def test_a_last_frame_cut_short_is_reported_and_the_rest_is_read() -> None:
    """J01: at every byte of the last frame; nothing is written."""
    whole = journal(FRAMES)
    image = whole.get(FIRST)
    start = offsets(whole)[-2]
    for cut in range(start + 1, len(image)):
        disk = MemoryDisk()
        disk.put(FIRST, image[:cut])
        faulty = FaultyDisk(disk)
        reader = read_frames(FOLDER, disk=faulty)
        assert content(list(reader)) == content(FRAMES[:-1])
        assert reader.torn is not None
        torn = reader.torn
        assert (torn.file, torn.offset, torn.size, torn.seq) == (str(FIRST), start, cut - start, 25)
        assert faulty.calls["any change"] == 0
        assert disk.get(FIRST) == image[:cut]


def test_a_complete_last_frame_that_fails_a_check_is_damage_to_a_reader() -> None:
    """J03: only the writer's recovery may treat it as a torn tail."""
    whole = journal(FRAMES)
    image = bytearray(whole.get(FIRST))
    start = offsets(whole)[-2]
    for at in range(start, len(image)):
        image[at] ^= 0x10
        disk = MemoryDisk()
        disk.put(FIRST, bytes(image))
        image[at] ^= 0x10
        with pytest.raises(JournalDamaged) as caught:
            read(disk)
        assert (caught.value.file, caught.value.offset, caught.value.seq) == (str(FIRST), start, 25)


def test_a_cut_before_the_last_segment_is_damage() -> None:
    """J09: a segment that others follow was complete."""
    whole = journal(FRAMES, segment_bytes_max=1000)
    names = sorted(whole.listdir(FOLDER))
    assert len(names) >= 3
    for name in names[:-1]:
        disk = whole.copy()
        disk.put(FOLDER / name, disk.get(FOLDER / name)[:-5])
        with pytest.raises(JournalDamaged, match="ends inside a frame") as caught:
            read(disk)
        assert caught.value.file == str(FOLDER / name)


def test_a_sealed_segment_whose_last_frame_is_cut_short_is_damage() -> None:
    """J01 does not apply to it, even if every check of the container passes."""
    disk = journal(FRAMES)
    raw = disk.get(FIRST)[:-5]
    digest = read(disk)[-2].digest
    disk.unlink(FIRST)
    trailer = Trailer(1, len(raw), 24, digest, blake2b(raw, digest_size=32).digest())
    image = pack_sealed_header(raw[:128]) + pack_chunk(0, raw) + pack_trailer(trailer)
    disk.put(FOLDER / f"{FIRST.name}.zst", image)
    with pytest.raises(JournalDamaged, match="before it was sealed"):
        read(disk)
    with pytest.raises(JournalDamaged, match="before it was sealed"):
        recover(ROOT, disk=disk)


def test_a_segment_of_another_journal_is_refused_in_a_day_read_alone() -> None:
    """J10: that journal recorded the same events, so its digests fit."""
    disk = journal(FRAMES, segment_bytes_max=1000)
    other = journal(FRAMES, segment_bytes_max=1000, journal_id=bytes(16))
    second = FOLDER / sorted(disk.listdir(FOLDER))[1]
    disk.put(second, other.get(second))
    with pytest.raises(JournalDamaged, match="another journal") as caught:
        read(disk)
    assert caught.value.file == str(second)


def test_a_segment_under_another_name_is_refused() -> None:
    """J10: also when it is the only one."""
    disk = journal(FRAMES)
    disk.rename(FIRST, FOLDER / f"{4:020d}.seg")
    with pytest.raises(JournalDamaged, match="not the seq in its name"):
        read(disk)
    with pytest.raises(JournalDamaged, match="not the seq in its name"):
        recover(ROOT, disk=disk)


def test_a_segment_that_is_being_created_is_a_torn_tail_to_a_reader() -> None:
    """J08, for a reader."""
    disk = journal(FRAMES)
    for size in (0, 1, 127):
        disk.put(FOLDER / f"{28:020d}.seg", bytes(size))
        reader = read_frames(FOLDER, disk=disk)
        assert len(list(reader)) == 9
        assert reader.torn is not None
        assert (reader.torn.offset, reader.torn.size, reader.torn.seq) == (0, size, 28)
    disk.unlink(FOLDER / f"{28:020d}.seg")
    disk.put(FOLDER / f"{31:020d}.seg", b"")
    with pytest.raises(JournalDamaged, match="expected seq 28 next"):
        read(disk)


def test_reading_starts_at_the_frame_that_contains_a_seq() -> None:
    """Segments before it are not opened."""
    disk = journal(FRAMES, segment_bytes_max=1000)
    counting = FaultyDisk(disk)
    for seq in range(1, 28):
        counting = FaultyDisk(disk)
        frames = list(read_frames(FOLDER, disk=counting, start_seq=seq))
        assert frames[0].first_seq <= seq <= frames[0].last_seq
        assert content(frames) == content(FRAMES[-len(frames) :])
    assert counting.calls["open_read"] == 1
    assert list(read_frames(FOLDER, disk=disk, start_seq=28)) == []


def test_one_segment_can_be_read_alone() -> None:
    disk = journal(FRAMES, segment_bytes_max=1000)
    found = []
    for name in sorted(disk.listdir(FOLDER)):
        found += read(disk, FOLDER / name)
    assert content(found) == content(FRAMES)


def test_a_day_copied_elsewhere_can_be_read_but_not_under_another_date() -> None:
    """J10: the folder's date is checked when it has one."""
    disk = journal(FRAMES)
    disk.put(ROOT / "a copy" / FIRST.name, disk.get(FIRST))
    assert content(read(disk, ROOT / "a copy")) == content(FRAMES)
    disk.put(ROOT / "2024-12-04" / FIRST.name, disk.get(FIRST))
    with pytest.raises(JournalDamaged, match="day 20241205 is in the folder of day 20241204"):
        read(disk, ROOT / "2024-12-04")


def test_a_copy_made_while_the_writer_appends_reads_as_a_prefix() -> None:
    """J30: the file is copied at random lengths, as a backup may do; the copy opens for writing as well."""
    rng = random.Random(30)
    whole = journal(FRAMES, segment_bytes_max=1000)
    names = sorted(whole.listdir(FOLDER))
    for _ in range(300):
        disk = MemoryDisk()
        disk.put(ROOT / "journal.id", whole.get(ROOT / "journal.id"))
        last = rng.randrange(len(names))
        for name in names[:last]:
            disk.put(FOLDER / name, whole.get(FOLDER / name))
        image = whole.get(FOLDER / names[last])
        disk.put(FOLDER / names[last], image[: rng.randrange(len(image) + 1)])
        frames = content(read(disk))
        assert frames == content(FRAMES[: len(frames)])
        assert recover(ROOT, disk=disk).end_seq == 3 * len(frames)


def test_a_reader_follows_a_writer() -> None:
    """J30: read after every append, and in the middle of one."""
    disk = MemoryDisk()
    disk.mkdir(ROOT)
    writer = JournalWriter(ROOT, Tail(journal_id=JOURNAL_ID), salts=Salts(), disk=disk)
    for number, frame in enumerate(FRAMES, start=1):
        writer.append(frame, NOON)
        assert content(read(disk)) == content(FRAMES[:number])
    reader = iter(read_frames(FOLDER, disk=disk))
    next(reader)
    writer.append(Draft(28, 1, b"\x91\x01"), NOON)
    assert len(list(reader)) == 8
    writer.close()


@pytest.mark.parametrize("sealed", [False, True], ids=["plain", "sealed"])
def test_a_newer_format_is_refused_but_can_be_inspected(sealed: bool) -> None:
    """J25: also when its header is longer."""
    disk = journal(FRAMES)
    image = newer(disk.get(FIRST), length=128 if sealed else 200)
    if sealed:
        disk.unlink(FIRST)
        trailer = Trailer(1, len(image), 27, bytes(32), bytes(32))
        image = pack_sealed_header(image[:128]) + pack_chunk(0, image) + pack_trailer(trailer)
    disk.put(FOLDER / (FIRST.name + (".zst" if sealed else "")), image)
    (info,) = read_headers(FOLDER, disk)
    assert (info.version, info.day, info.journal_id, info.first_seq) == (9, 20241205, JOURNAL_ID, 1)
    assert info.sealed is sealed
    before = disk.files()
    with pytest.raises(JournalVersionError, match="version 9"):
        read(disk)
    with pytest.raises(JournalVersionError, match="version 9"):
        recover(ROOT, disk=disk)
    with pytest.raises(JournalVersionError, match="version 9"):
        verify_day(FOLDER, disk=disk)
    assert disk.files() == before


def newer(image: bytes, *, length: int) -> bytes:
    """The same segment in format version 9, with a header of `length` bytes."""
    body = bytearray(image[:124].ljust(length - 4, b"\x07"))
    body[8:12] = b"\x09\x00" + length.to_bytes(2, "little")
    return bytes(body) + crc32(body).to_bytes(4, "little") + image[128:]


def test_header_bytes_that_must_be_zero_are_checked() -> None:
    """Every byte of the file is checked, even if a faulty writer computed the right CRC."""
    disk = journal(FRAMES)
    image = bytearray(disk.get(FIRST))
    for at in range(100, 124):
        changed = bytearray(image)
        changed[at] = 1
        changed[124:128] = crc32(changed[:124]).to_bytes(4, "little")
        disk.put(FIRST, bytes(changed))
        with pytest.raises(JournalDamaged, match="must be zero"):
            read(disk)


def test_the_check_of_digests_can_be_switched_off_that_of_headers_cannot() -> None:
    disk = journal(FRAMES)
    image = bytearray(disk.get(FIRST))
    image[offsets(disk)[2] + 40] ^= 1
    disk.put(FIRST, bytes(image))
    assert len(list(read_frames(FOLDER, disk=disk, verify_digest=False))) == 9
    image[offsets_of(FRAMES)[3] + 1] ^= 1
    disk.put(FIRST, bytes(image))
    with pytest.raises(JournalDamaged):
        list(read_frames(FOLDER, disk=disk, verify_digest=False))


def offsets_of(frames: list[Draft]) -> list[int]:
    return offsets(journal(frames))


@pytest.mark.parametrize(
    "path", [FOLDER, FOLDER / "notes.txt", FIRST, ROOT / "nothing"], ids=lambda p: p.name
)
def test_a_path_without_a_segment_is_an_error(path: Path) -> None:
    disk = MemoryDisk()
    disk.put(FOLDER / "notes.txt", b"no segment")
    with pytest.raises(JournalError, match="segment"):
        read_frames(path, disk=disk)


@pytest.mark.parametrize("name", ["1.seg", "00000000000000000001.seg.seg", "copy of 1.seg.zst"])
def test_a_file_with_a_segments_suffix_but_another_name_is_reported(name: str) -> None:
    disk = journal(FRAMES)
    disk.put(FOLDER / name, b"?")
    with pytest.raises(JournalDamaged, match="20 digits"):
        read(disk)


def test_a_missing_first_segment_of_a_day_is_found() -> None:
    """J09: even in a day that is read alone."""
    disk = journal(FRAMES, segment_bytes_max=1000)
    disk.unlink(FIRST)
    with pytest.raises(JournalDamaged, match="expected segment 0 of the day, but this is segment 1"):
        read(disk)


def test_memory_is_bounded_by_the_frame_not_the_file() -> None:
    """No read asks for more than a chunk or a frame."""
    disk = MemoryDisk()
    disk.mkdir(ROOT)
    frames = [Draft(n + 1, 1, b"\x91" + bytes([n]) * 300_000) for n in range(12)]
    write(disk, frames, segment_bytes_max=1 << 30)

    class Watching(FaultyDisk):
        largest = 0

        def pread(self, fd: int, size: int, offset: int) -> bytes:
            self.largest = max(self.largest, size)
            return super().pread(fd, size, offset)

    watching = Watching(disk)
    assert sum(1 for _ in read_frames(FOLDER, disk=watching)) == 12
    assert 0 < watching.largest <= 1024 * 1024
