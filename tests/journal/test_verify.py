"""Verify finds any changed byte of a journal and reports where it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.errors import JournalDamaged, JournalError
from engine.journal import Tail, recover, seal_day, verify_day, verify_journal

from .disks import FaultyDisk, MemoryDisk
from .kit import FOLDER, NEXT_FOLDER, NEXT_NOON, ROOT, drafts, journal, write

FRAMES = drafts(16, size=60)


@pytest.fixture
def disk() -> MemoryDisk:
    """Two days of a journal, the first one sealed."""
    disk = journal(FRAMES[:8], segment_bytes_max=600)
    tail = recover(ROOT, disk=disk).tail
    write(disk, FRAMES[8:], tail=tail, at_ns=NEXT_NOON, segment_bytes_max=600)
    seal_day(FOLDER, disk=disk)
    return disk


def test_verify_counts_days_frames_and_records_and_changes_nothing(disk: MemoryDisk) -> None:
    counting = FaultyDisk(disk)
    report = verify_journal(ROOT, disk=counting)
    assert counting.calls["any change"] == 0
    assert [day.day for day in report.days] == [20241205, 20241206]
    assert [(day.first_seq, day.end_seq, day.records) for day in report.days] == [(1, 24, 24), (25, 48, 24)]
    assert [day.frames for day in report.days] == [8, 8]
    assert report.torn is None
    assert report.days[-1].digest == recover(ROOT, disk=disk).digest
    assert verify_day(NEXT_FOLDER, disk=disk) == report.days[-1]


def test_every_byte_of_every_segment_is_covered(disk: MemoryDisk) -> None:
    """J02, J28: one changed byte at a time in all of the journal, the end of the newest segment included."""
    changed = 0
    for name, data in disk.files().items():
        if ".seg" not in name:
            continue
        image = bytearray(data)
        for at in range(len(image)):
            image[at] ^= 0x04
            disk.put(Path(name), bytes(image))
            image[at] ^= 0x04
            with pytest.raises(JournalDamaged) as caught:
                verify_journal(ROOT, disk=disk)
            assert caught.value.file == name
            assert caught.value.offset <= at
            changed += 1
        disk.put(Path(name), data)
    assert changed > 2000


def test_a_torn_tail_is_reported_only_at_the_very_end(disk: MemoryDisk) -> None:
    last = NEXT_FOLDER / max(disk.listdir(NEXT_FOLDER))
    disk.put(last, disk.get(last)[:-2])
    torn = verify_journal(ROOT, disk=disk).torn
    assert torn is not None
    assert torn.file == str(last)
    other = journal(FRAMES[:8])
    tail = recover(ROOT, disk=other).tail
    write(other, FRAMES[8:], tail=tail, at_ns=NEXT_NOON)
    first = FOLDER / min(other.listdir(FOLDER))
    other.put(first, other.get(first)[:-2])
    with pytest.raises(JournalDamaged):
        verify_journal(ROOT, disk=other)


def test_days_must_follow_one_another(disk: MemoryDisk) -> None:
    """J09, J10: each day alone is valid."""
    for name in disk.listdir(FOLDER):
        disk.unlink(FOLDER / name)
    other = journal(drafts(8, size=61), segment_bytes_max=600)
    for name in other.listdir(FOLDER):
        disk.put(FOLDER / name, other.get(FOLDER / name))
    verify_day(FOLDER, disk=disk)
    verify_day(NEXT_FOLDER, disk=disk)
    with pytest.raises(JournalDamaged, match="does not continue"):
        verify_journal(ROOT, disk=disk)


def test_archives_are_verified_too(disk: MemoryDisk) -> None:
    """Beside a journal, and in a root without one."""
    other = journal(FRAMES, journal_id=bytes(16))
    seal_day(FOLDER, newest=True, disk=other)
    image = other.get(FOLDER / f"{1:020d}.seg.zst")
    sample = FOLDER / f"{1:020d}.seg.zst"
    lone = MemoryDisk()
    lone.put(sample, image)
    assert [day.records for day in verify_journal(ROOT, disk=lone).archives] == [48]
    later = journal(FRAMES, journal_id=bytes(range(16)))
    for name in later.listdir(FOLDER):
        later.unlink(FOLDER / name)
    write(later, FRAMES, tail=Tail(journal_id=bytes(range(16))), at_ns=NEXT_NOON)
    later.put(sample, image)
    report = verify_journal(ROOT, disk=later)
    assert [day.day for day in report.archives] == [20241205]
    assert [day.day for day in report.days] == [20241206]
    for root in (lone, later):
        root.put(sample, image[:300] + bytes([image[300] ^ 1]) + image[301:])
        with pytest.raises(JournalDamaged):
            verify_journal(ROOT, disk=root)


def test_progress_ends_at_the_total(disk: MemoryDisk) -> None:
    calls: list[tuple[int, int]] = []
    report = verify_journal(ROOT, progress=lambda *at: calls.append(at), disk=disk)
    total = sum(day.size for day in report.days)
    assert calls[-1] == (total, total)
    assert calls == sorted(calls)


def test_a_folder_without_a_journal_is_an_error() -> None:
    disk = MemoryDisk()
    disk.mkdir(ROOT)
    disk.mkdir(FOLDER)
    for call, path in ((verify_day, FOLDER), (verify_journal, ROOT)):
        with pytest.raises(JournalError, match="no journal"):
            call(path, disk=disk)


def test_the_days_of_a_root_without_an_identity_are_archives() -> None:
    """Recorded or imported days in a data folder, sealed or not."""
    disk = journal(FRAMES)
    disk.unlink(ROOT / "journal.id")
    report = verify_journal(ROOT, disk=disk)
    assert (report.days, [day.records for day in report.archives]) == ((), [48])
