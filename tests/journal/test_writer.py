"""What an append promises when the disk fails."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from engine.errors import JournalError, JournalPoisoned
from engine.journal import Draft, JournalWriter, Tail, ensure_identity, recover, verify_journal

from .disks import CHANGES, FaultyDisk, MemoryDisk, error
from .kit import (
    FIRST,
    FOLDER,
    JOURNAL_ID,
    NEXT_FOLDER,
    NEXT_NOON,
    NOON,
    ROOT,
    Salts,
    content,
    drafts,
    journal,
    read,
    write,
)

FRAMES = drafts(10, size=60)
SMALL = 600  # three frames to a segment


def fresh() -> MemoryDisk:
    disk = MemoryDisk()
    disk.mkdir(ROOT)
    ensure_identity(ROOT, JOURNAL_ID, disk)
    return disk


def open_writer(disk: FaultyDisk | MemoryDisk, *, sync: bool = True) -> JournalWriter:
    return JournalWriter(
        ROOT, Tail(journal_id=JOURNAL_ID), salts=Salts(), segment_bytes_max=SMALL, sync=sync, disk=disk
    )


def append_until_poisoned(disk: FaultyDisk) -> int:
    """Appends FRAMES over two days until the writer is poisoned; returns how many were acknowledged."""
    writer = open_writer(disk)
    acknowledged = 0
    try:
        for index, frame in enumerate(FRAMES):
            writer.append(frame, NOON if index < 7 else NEXT_NOON)
            acknowledged += 1
    except JournalPoisoned:
        pass
    assert acknowledged < len(FRAMES)
    for _ in range(2):
        calls = dict(disk.calls)
        with pytest.raises(JournalPoisoned, match="no more records are written"):
            writer.append(FRAMES[acknowledged], NEXT_NOON)
        with pytest.raises(JournalPoisoned):
            writer.flush()
        assert disk.calls == calls, "a poisoned writer accessed the disk"
    assert writer.durable_seq == sum(frame.count for frame in FRAMES[:acknowledged])
    writer.close()
    assert disk.fired == 1
    return acknowledged


def calls_of_a_whole_run() -> dict[str, int]:
    disk = FaultyDisk(fresh())
    with open_writer(disk) as writer:
        for index, frame in enumerate(FRAMES):
            writer.append(frame, NOON if index < 7 else NEXT_NOON)
    return disk.calls


WHOLE_RUN = calls_of_a_whole_run()


def recorded(disk: MemoryDisk) -> list[tuple[int, int, int, bytes, bytes]]:
    found = []
    for folder in (FOLDER, NEXT_FOLDER):
        if disk.exists(folder) and any(name.endswith(".seg") for name in disk.listdir(folder)):
            found += content(read(disk, folder))
    return found


@pytest.mark.parametrize("op", ["fdatasync", "fsync", "fsync_dir"])
def test_a_failed_sync_poisons_the_writer_permanently(op: str) -> None:
    """J13, J14: every sync of a run in turn fails once and would work afterwards."""
    assert WHOLE_RUN[op] >= 3
    for nth in range(WHOLE_RUN[op]):
        inner = fresh()
        disk = FaultyDisk(inner).fail(op, nth, error(errno.EIO))
        acknowledged = append_until_poisoned(disk)
        assert recover(ROOT, disk=inner).end_seq >= 3 * acknowledged


@pytest.mark.parametrize("op", ["create", "write", "mkdir", "fsync_dir"])
def test_a_full_disk_poisons_the_writer_and_the_next_start_succeeds_once_there_is_space(op: str) -> None:
    """J16: every call of the writer that needs disk space."""
    assert WHOLE_RUN[op] >= 2
    for nth in range(WHOLE_RUN[op]):
        inner = fresh()
        disk = FaultyDisk(inner).fail(op, nth, error(errno.ENOSPC))
        acknowledged = append_until_poisoned(disk)
        recovered = recover(ROOT, disk=inner)
        assert content(FRAMES[:acknowledged]) == recorded(inner)[:acknowledged]
        rest = [frame for frame in FRAMES if frame.first_seq > recovered.end_seq]
        write(inner, rest, tail=recovered.tail, at_ns=NEXT_NOON, salts=Salts(99))
        assert recorded(inner) == content(FRAMES)


@pytest.mark.parametrize("nth", range(CHANGES.index("rmdir") + 1))
def test_every_changing_call_of_the_writer_is_covered_by_the_faults(nth: int) -> None:
    """The list of calls is complete: those of the writer are counted, recovery uses the others."""
    used = {name for name in CHANGES if WHOLE_RUN[name]}
    assert used == {"create", "write", "fdatasync", "fsync", "fsync_dir", "mkdir"}
    assert (CHANGES[nth] in used) == bool(WHOLE_RUN[CHANGES[nth]])


def test_a_short_write_is_continued_without_a_gap() -> None:
    """J17: every write writes only k bytes, for every k up to the size of a frame."""
    whole = journal(FRAMES[:2]).get(FIRST)
    size = max(len(frame.inputs) + len(frame.derived) for frame in FRAMES[:2]) + 64
    for taken in range(1, size):
        inner = fresh()
        disk = FaultyDisk(inner)
        for nth in range(2, 2 * size):
            disk.short(nth, taken)
        write(disk, FRAMES[:2])
        assert disk.fired >= 2
        assert inner.get(FIRST) == whole


def test_a_write_of_zero_bytes_poisons_the_writer() -> None:
    """J17: a write of zero bytes is an error; the writer does not retry forever."""
    disk = FaultyDisk(fresh()).short(3, 0)
    append_until_poisoned(disk)


@pytest.mark.parametrize("op", [name for name in CHANGES if WHOLE_RUN[name]])
def test_an_interrupted_call_is_repeated_without_writing_twice(op: str) -> None:
    """J18: EINTR three times at every call of the writer."""
    for nth in range(WHOLE_RUN[op]):
        inner = fresh()
        disk = FaultyDisk(inner).fail(op, nth, error(errno.EINTR), times=3)
        with open_writer(disk) as writer:
            for index, frame in enumerate(FRAMES):
                writer.append(frame, NOON if index < 7 else NEXT_NOON)
        assert disk.fired == 3
        assert recorded(inner) == content(FRAMES)


def test_endless_interruption_is_an_error_not_a_hang() -> None:
    """J18: the number of retries is bounded."""
    disk = FaultyDisk(fresh()).fail("fdatasync", 0, error(errno.EINTR), times=10**6)
    writer = open_writer(disk)
    with pytest.raises(JournalPoisoned):
        writer.append(FRAMES[0], NOON)
    assert disk.fired == 1000


def test_each_frame_is_synced_before_the_next_is_written() -> None:
    """X01, X03: the order of calls is write, sync, write, sync."""
    disk = FaultyDisk(fresh())
    writer = JournalWriter(ROOT, Tail(journal_id=JOURNAL_ID), salts=Salts(), disk=disk)
    writer.append(FRAMES[0], NOON)
    disk.log.clear()
    for number, frame in enumerate(FRAMES[1:], start=1):
        writer.append(frame, NOON)
        assert disk.log == ["write", "fdatasync"] * number
    writer.close()
    assert disk.log == ["write", "fdatasync"] * 9


def test_an_append_survives_a_power_cut_as_soon_as_it_returns() -> None:
    """I1, J12, X01, X02: unsynced bytes and unsynced names are lost, acknowledged frames are not."""
    inner = fresh()
    inner.fsync_dir(ROOT.parent)
    writer = open_writer(inner)
    for index, frame in enumerate(FRAMES):
        writer.append(frame, NOON if index < 5 else NEXT_NOON)
        after = inner.after_power_cut()
        assert recorded(after) == content(FRAMES[: index + 1])
        assert recover(ROOT, disk=after).digest == writer.digest
    writer.close()


def test_bulk_frames_are_durable_after_the_flush_and_after_each_segment() -> None:
    inner = fresh()
    inner.fsync_dir(ROOT.parent)
    writer = open_writer(inner, sync=False)
    for frame in FRAMES:
        writer.append(frame, NOON)
        after = inner.after_power_cut()
        assert len(recorded(after)) * 3 == writer.durable_seq
    assert writer.syncs < len(FRAMES) * 2
    writer.flush()
    assert recorded(inner.after_power_cut()) == content(FRAMES)
    writer.close()


def test_segments_roll_by_size_and_at_midnight() -> None:
    disk = fresh()
    with open_writer(disk) as writer:
        for index, frame in enumerate(FRAMES):
            writer.append(frame, NOON if index < 7 else NEXT_NOON)
        assert (writer.day, writer.seq, writer.frames) == (20241206, 30, 10)
        assert writer.bytes_written == sum(len(data) for name, data in disk.files().items() if ".seg" in name)
    assert len(disk.listdir(FOLDER)) >= 3
    assert min(disk.listdir(NEXT_FOLDER)) == f"{22:020d}.seg"
    assert all(len(data) <= SMALL for name, data in disk.files().items() if name.endswith(".seg"))
    report = verify_journal(ROOT, disk=disk)
    assert [day.records for day in report.days] == [21, 9]


def test_a_frame_larger_than_a_segment_gets_a_segment_of_its_own() -> None:
    disk = fresh()
    large = Draft(4, 1, b"\x91" + b"x" * 5 * SMALL)
    with open_writer(disk) as writer:
        writer.append(FRAMES[0], NOON)
        writer.append(large, NOON)
        writer.append(Draft(5, 1, b"\x91\x00"), NOON)
    assert [frame.first_seq for frame in read(disk)] == [1, 4, 5]
    assert len(disk.listdir(FOLDER)) == 3


def test_the_digest_depends_on_the_events_and_not_on_salt_segment_size_or_time() -> None:
    ends = {
        write(fresh(), FRAMES, segment_bytes_max=size, salts=Salts(salt), at_ns=at).digest
        for size, salt, at in [(SMALL, 1, NOON), (1 << 20, 50, NOON), (1 << 20, 50, NEXT_NOON)]
    }
    assert len(ends) == 1
    other = [*FRAMES[:-1], Draft(28, 3, FRAMES[-1].derived, FRAMES[-1].inputs)]
    assert write(fresh(), other).digest not in ends


def test_a_day_in_the_past_is_refused_and_the_writer_continues() -> None:
    disk = fresh()
    with open_writer(disk) as writer:
        writer.append(FRAMES[0], NEXT_NOON)
        with pytest.raises(JournalError, match="2024-12-05"):
            writer.append(FRAMES[1], NOON)
        writer.append(FRAMES[1], NEXT_NOON)
    assert len(read(disk, NEXT_FOLDER)) == 2


@pytest.mark.parametrize(
    "draft",
    [
        Draft(1, 0, b"\x90"),
        Draft(1, 1, b""),
        Draft(1, 2**20 + 1, b"\x90"),
        Draft(1, 1, bytes(64 * 1024 * 1024 + 1)),
        Draft(1, 1, b"\x90", flags=1 << 16),
    ],
    ids=["no records", "no bytes", "too many records", "too many bytes", "flags"],
)
def test_a_frame_the_reader_would_refuse_is_not_written(draft: Draft) -> None:
    """J24: the writer keeps the bounds that the reader enforces."""
    disk = FaultyDisk(fresh())
    with open_writer(disk) as writer:
        with pytest.raises(ValueError):
            writer.append(draft, NOON)
        assert disk.calls["any change"] == 0
        writer.append(FRAMES[0], NOON)


def test_a_segment_that_changed_since_recovery_is_not_appended_to() -> None:
    disk = journal(FRAMES[:2])
    tail = recover(ROOT, disk=disk).tail
    disk.put(FIRST, disk.get(FIRST) + b"x")
    with pytest.raises(JournalError, match="recovery left"):
        JournalWriter(ROOT, tail, salts=Salts(), disk=disk)


def test_a_day_folder_of_another_journal_is_not_written_into() -> None:
    """J10: the sample day of the same date is not changed."""
    disk = journal(FRAMES[:2], journal_id=bytes(16))
    before = disk.files()
    writer = JournalWriter(ROOT, Tail(journal_id=JOURNAL_ID), salts=Salts(), disk=disk)
    with pytest.raises(JournalError, match="another journal"):
        writer.append(FRAMES[0], NOON)
    with pytest.raises(JournalPoisoned):
        writer.append(FRAMES[0], NOON)
    writer.close()
    assert disk.files() == before


def test_only_the_owner_can_read_the_files(tmp_path: Path) -> None:
    ensure_identity(tmp_path, JOURNAL_ID)
    with JournalWriter(tmp_path, Tail(journal_id=JOURNAL_ID), salts=Salts()) as writer:
        writer.append(FRAMES[0], NOON)
        assert writer.segment is not None
        assert writer.segment.stat().st_mode & 0o777 == 0o600
        assert writer.segment.parent.stat().st_mode & 0o777 == 0o700
    recovered = recover(tmp_path)
    assert recovered.digest == writer.digest
