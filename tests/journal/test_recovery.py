"""What a start does with a journal after a crash, a disk failure or a manual change."""

from __future__ import annotations

import errno
import functools
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.errors import JournalError
from engine.journal import (
    Draft,
    JournalWriter,
    Recovered,
    ensure_identity,
    recover,
    verify_journal,
)

from .disks import FaultyDisk, MemoryDisk, PowerCut, error
from .kit import (
    FIRST,
    FOLDER,
    JOURNAL_ID,
    NEXT_FOLDER,
    NEXT_NOON,
    NOON,
    ROOT,
    SMALL,
    Salts,
    content,
    drafts,
    five_segments,
    forged_frame,
    journal,
    offsets,
    read,
    segments_of,
    write,
)

FRAMES = drafts(9, size=340)


def check_append(disk: MemoryDisk, recovered: Recovered, frames: list[Draft]) -> None:
    """Append the missing frames and check that the journal then holds all `frames`."""
    rest = [frame for frame in frames if frame.first_seq > recovered.end_seq]
    write(disk, rest, tail=recovered.tail, salts=Salts(500))
    assert content(read(disk)) == content(frames)
    verify_journal(ROOT, disk=disk)


def test_a_file_cut_at_any_byte_keeps_every_whole_frame_before_the_cut() -> None:
    """J01, J29: the cut bytes are saved, and a frame of many records is kept or cut as a whole."""
    whole = journal(FRAMES)
    image = whole.get(FIRST)
    starts = offsets(whole)
    for cut in range(len(image) + 1):
        disk = MemoryDisk()
        disk.put(ROOT / "journal.id", whole.get(ROOT / "journal.id"))
        disk.put(FIRST, image[:cut])
        recovered = recover(ROOT, disk=disk)
        kept = max(0, sum(start <= cut for start in starts) - 1)
        assert recovered.end_seq == 3 * kept
        if cut < 128:
            assert [repair.kind for repair in recovered.repairs] == ["segment_removed"]
            assert not disk.exists(FIRST)
        elif cut in starts:
            assert recovered.repairs == ()
            assert disk.get(FIRST) == image[:cut]
        else:
            (repair,) = recovered.repairs
            assert (repair.kind, repair.offset, repair.seq) == ("tail_cut", starts[kept], 3 * kept + 1)
            assert disk.get(FIRST) == image[: starts[kept]]
            assert repair.saved is not None
            assert disk.get(Path(repair.saved)) == image[starts[kept] : cut]
        if cut % 97 == 0:
            check_append(disk, recovered, FRAMES)


def imitation(image: bytes) -> bytes:
    """Return data in an event that looks like a frame, with a CRC computed without the salt."""
    return forged_frame(image[:72] + bytes(16) + image[88:], Draft(28, 3, b"\x91\xa3pay"), bytes(32))


def other_frames(image: bytes) -> bytes:
    """Return frames of another segment, which has another salt."""
    other = MemoryDisk()
    other.mkdir(ROOT)
    write(other, FRAMES, salts=Salts(77))
    return other.get(FIRST)[128:]


@pytest.mark.parametrize(
    "garbage",
    [lambda _: bytes(700), lambda _: b"\xff" * 700, other_frames, imitation],
    ids=["zeros", "0xFF", "frames of another segment", "data that looks like a frame"],
)
def test_bytes_after_the_cut_do_not_matter_unless_they_are_a_frame_of_the_segment(
    garbage: Callable[[bytes], bytes],
) -> None:
    """J04, J07: garbage after the cut, at every cut in the last two frames and some before."""
    whole = journal(FRAMES)
    image = whole.get(FIRST)
    starts = offsets(whole)
    filler = garbage(image)
    for cut in [*range(128, starts[-3], 37), *starts, *range(starts[-3], len(image))]:
        disk = MemoryDisk()
        disk.put(ROOT / "journal.id", whole.get(ROOT / "journal.id"))
        disk.put(FIRST, image[:cut] + filler)
        recovered = recover(ROOT, disk=disk)
        kept = sum(start <= cut for start in starts) - 1
        assert recovered.end_seq == 3 * kept
        assert disk.get(FIRST) == image[: starts[kept]]
        (repair,) = recovered.repairs
        assert repair.size == cut + len(filler) - starts[kept]


def test_data_that_looks_like_a_frame_does_not_prevent_the_repair_of_a_torn_tail() -> None:
    """J04: the payload of the torn frame itself contains bytes that look like a frame."""
    image = journal(FRAMES).get(FIRST)
    disk = journal([*FRAMES, Draft(28, 1, b"\x91" + imitation(image) * 3, b"")])
    torn = disk.get(FIRST)
    disk.put(FIRST, torn[: len(image)] + b"\x00" + torn[len(image) + 1 :])
    assert recover(ROOT, disk=disk).end_seq == 27


def test_a_sector_lost_in_the_unsynced_frame_is_a_torn_tail() -> None:
    """J05: each sector of the last write in turn."""
    frames = [*FRAMES, Draft(28, 4, b"\x91" + bytes(range(1, 250)) * 20, b"\x91" + b"d" * 600)]
    whole = journal(frames)
    image = whole.get(FIRST)
    start = offsets(whole)[-2]
    lost = 0
    for sector in range(start // 512, -(-len(image) // 512)):
        begin, end = max(start, sector * 512), min(len(image), sector * 512 + 512)
        disk = whole.copy()
        disk.put(FIRST, image[:begin] + bytes(end - begin) + image[end:])
        assert recover(ROOT, disk=disk).end_seq == 27
        assert disk.get(FIRST) == image[:start]
        lost += 1
    assert lost >= 10


@pytest.mark.parametrize("size", [1, 20, 31, 32, 33, 511, 512, 4096])
def test_a_file_that_grew_without_its_data_is_a_torn_tail(size: int) -> None:
    """J07."""
    disk = journal(FRAMES)
    image = disk.get(FIRST)
    disk.put(FIRST, image + bytes(size))
    recovered = recover(ROOT, disk=disk)
    assert (recovered.end_seq, recovered.repairs[0].size) == (27, size)
    assert disk.get(FIRST) == image


@pytest.mark.parametrize("left", [b"", b"\x00" * 60, b"\x00" * 128, b"retape\r\n\x01\x00\x80"])
@pytest.mark.parametrize("folder", [FOLDER, NEXT_FOLDER], ids=["same day", "new day"])
def test_a_segment_without_a_header_is_removed_and_reported(left: bytes, folder: Path) -> None:
    """J08: the newest segment was being created."""
    disk = journal(FRAMES)
    unfinished = folder / f"{28:020d}.seg"
    disk.put(unfinished, left)
    recovered = recover(ROOT, disk=disk)
    (repair,) = recovered.repairs
    assert (repair.kind, repair.file, repair.size) == ("segment_removed", str(unfinished), len(left))
    assert not disk.exists(unfinished)
    assert repair.saved is not None
    assert disk.get(Path(repair.saved)) == left
    more = drafts(2, first_seq=28)
    write(disk, more, tail=recovered.tail, at_ns=NEXT_NOON, salts=Salts(7))
    assert content(read(disk, NEXT_FOLDER)) == content(more)


def test_a_crash_at_any_call_of_creating_a_segment_leaves_a_journal_that_opens() -> None:
    """J08, J12: power fails at each call of a run; unsynced names and bytes are lost or kept."""
    counting = FaultyDisk(empty := MemoryDisk())
    run(counting, empty, [])
    total = counting.calls["any"]
    assert total > 50
    for nth in range(total):
        for kept in (0, 1, 100, 10**6):
            for names_kept in (False, True):
                inner = MemoryDisk()
                disk = FaultyDisk(inner).fail("any", nth, PowerCut())
                acknowledged: list[Draft] = []
                with pytest.raises(PowerCut):
                    run(disk, inner, acknowledged)
                assert disk.fired == 1
                after = inner.after_power_cut(functools.partial(min, kept), names_kept=names_kept)
                recovered = recover(ROOT, disk=after)
                assert 3 * len(acknowledged) <= recovered.end_seq <= 3 * len(acknowledged) + 3
                found = []
                for folder in (FOLDER, NEXT_FOLDER):
                    if after.exists(folder) and segments_of(after, folder):
                        found += content(read(after, folder))
                assert found == content(SMALL[: len(found)])


def run(disk: FaultyDisk, inner: MemoryDisk, acknowledged: list[Draft]) -> None:
    inner.mkdir(ROOT)
    inner.fsync_dir(ROOT.parent)
    ensure_identity(ROOT, JOURNAL_ID, inner)
    tail = recover(ROOT, disk=disk).tail
    writer = JournalWriter(ROOT, tail, salts=Salts(), segment_bytes_max=500, disk=disk)
    for index, frame in enumerate(SMALL):
        writer.append(frame, NOON if index < 8 else NEXT_NOON)
        acknowledged.append(frame)


def test_frames_only_in_the_page_cache_after_a_failed_sync_survive_the_next_start() -> None:
    """J15: the pages are in the cache, marked clean, not on the disk; power fails after the next start."""
    inner = journal(SMALL[:4])
    tail = recover(ROOT, disk=inner).tail
    disk = FaultyDisk(inner).fail("fdatasync", 0, error(errno.EIO))
    disk.on_sync_error = lambda: inner.sync_fails(FIRST)
    writer = JournalWriter(ROOT, tail, salts=Salts(), disk=disk)
    with pytest.raises(JournalError):
        writer.append(SMALL[4], NOON)
    writer.close()
    assert disk.fired == 1
    recovered = recover(ROOT, disk=inner)
    assert recovered.end_seq == 15  # not acknowledged, but complete in the cache
    write(inner, SMALL[5:6], tail=recovered.tail)
    after = inner.after_power_cut()
    assert recover(ROOT, disk=after).end_seq == 18
    assert content(read(after)) == content(SMALL[:6])


@pytest.mark.parametrize("op", ["open_read", "pread", "size", "size_of", "listdir"])
def test_a_read_error_refuses_the_start_and_is_never_a_torn_tail(op: str) -> None:
    """J19: every read of a recovery that would cut a tail."""
    whole = five_segments()
    last = segments_of(whole)[-1]
    whole.put(last, whole.get(last)[:-3])
    counting = FaultyDisk(whole.copy())
    assert recover(ROOT, disk=counting).repairs[0].kind == "tail_cut"
    survey = counting.log.index("mkdir")  # the first change
    reads = counting.log[:survey].count(op)
    assert reads >= 1
    for nth in range(reads):
        inner = whole.copy()
        before = inner.files()
        disk = FaultyDisk(inner).fail(op, nth, error(errno.EIO))
        with pytest.raises(JournalError, match="Input/output error"):
            recover(ROOT, disk=disk)
        assert disk.fired == 1
        assert inner.files() == before
        assert inner.open_files() == 0


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC], ids=["EIO", "ENOSPC"])
def test_a_recovery_that_fails_at_any_step_loses_nothing_and_can_be_repeated(number: int) -> None:
    """J16, J13: every call of the repair."""
    whole = five_segments()
    last = segments_of(whole)[-1]
    torn = whole.get(last)[:-3]
    whole.put(last, torn)
    counting = FaultyDisk(whole.copy())
    end = recover(ROOT, disk=counting).end_seq
    for nth in range(counting.calls["any change"]):
        inner = whole.copy()
        disk = FaultyDisk(inner).fail("any change", nth, error(number))
        with pytest.raises(JournalError, match="could not be repaired"):
            recover(ROOT, disk=disk)
        assert disk.fired == 1
        saved = [data for name, data in inner.files().items() if "/damaged/" in name]
        assert inner.get(last) == torn or torn in (inner.get(last) + data for data in saved)
        again = recover(ROOT, disk=inner)
        assert again.end_seq == end
        check_append(inner, again, SMALL)


def test_a_recovery_can_be_repeated_after_a_power_cut_at_any_call() -> None:
    """J01, J12: the bytes to cut are at all times in the segment or in the saved file."""
    whole = five_segments()
    last = segments_of(whole)[-1]
    torn = whole.get(last)[:-3]
    whole.put(last, torn)
    counting = FaultyDisk(whole.copy())
    end = recover(ROOT, disk=counting).end_seq
    for nth in range(counting.calls["any"]):
        for names_kept in (False, True):
            inner = whole.copy()
            disk = FaultyDisk(inner).fail("any", nth, PowerCut())
            with pytest.raises(PowerCut):
                recover(ROOT, disk=disk)
            after = inner.after_power_cut(names_kept=names_kept)
            saved = [data for name, data in after.files().items() if "/damaged/" in name]
            assert after.get(last) == torn or torn in (after.get(last) + data for data in saved)
            assert recover(ROOT, disk=after).end_seq == end


def test_a_torn_frame_of_many_records_is_kept_or_cut_as_a_whole() -> None:
    """J29: a frame of a thousand records, cut at every byte of its last kilobyte and some before."""
    batch = Draft(28, 1000, b"\x91" + b"r" * 9000, b"\x91" + b"d" * 3000)
    disk = journal([*FRAMES, batch])
    image = disk.get(FIRST)
    start = offsets(disk)[-2]
    for cut in [*range(start, len(image) - 1024, 211), *range(len(image) - 1024, len(image) + 1)]:
        torn = disk.copy()  # each cut begins without the pieces that earlier repairs have saved
        torn.put(FIRST, image[:cut])
        assert recover(ROOT, disk=torn).end_seq == (1027 if cut == len(image) else 27)


def test_bytes_cut_repeatedly_at_one_offset_are_all_kept() -> None:
    disk = journal(FRAMES)
    image = disk.get(FIRST)
    for garbage in (b"first", b"second", b"third"):
        disk.put(FIRST, image + garbage)
        (repair,) = recover(ROOT, disk=disk).repairs
        assert repair.saved is not None
        assert disk.get(Path(repair.saved)) == garbage
    assert len(disk.listdir(FOLDER / "damaged")) == 3


def test_the_flags_of_the_last_frame_show_a_clean_stop() -> None:
    disk = journal([*FRAMES, Draft(28, 1, b"\x91\x01", flags=1)])
    assert recover(ROOT, disk=disk).flags == 1
