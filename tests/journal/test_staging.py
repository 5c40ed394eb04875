"""A day built in a temporary folder appears complete or not at all."""

from __future__ import annotations

import errno
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from engine.errors import JournalError, JournalLocked, JournalPoisoned
from engine.journal import (
    DayBuilder,
    Disk,
    Draft,
    JournalLock,
    JournalWriter,
    ensure_identity,
    read_frames,
    recover,
    staged_day,
    verify_journal,
)

from .disks import FaultyDisk, PowerCut, error
from .kit import DAY, JOURNAL_ID, NEXT_NOON, NOON, Salts, content, drafts

FRAMES = drafts(10, size=60)
NAME = "2024-12-05"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def build(
    root: Path, frames: list[Draft] = FRAMES, *, disk: Disk | None = None, seal: bool = True
) -> DayBuilder:
    with staged_day(
        root,
        DAY,
        journal_id=JOURNAL_ID,
        salts=Salts(),
        seal=seal,
        segment_bytes_max=600,
        disk=disk or Disk(),
    ) as builder:
        for frame in frames:
            builder.append(frame)
    return builder


@pytest.mark.parametrize("seal", [False, True], ids=["plain", "sealed"])
def test_a_built_day_reads_back_and_no_other_file_is_left(tmp_path: Path, seal: bool) -> None:
    built = build(tmp_path, seal=seal)
    assert names(tmp_path) == [NAME]
    assert {name.endswith(".zst") for name in names(tmp_path / NAME)} == {seal}
    reader = read_frames(tmp_path / NAME)
    assert content(list(reader)) == content(FRAMES)
    assert (reader.end_seq, reader.digest) == (built.seq, built.digest)


def test_a_sealed_day_can_be_in_the_root_of_a_journal(tmp_path: Path) -> None:
    """J10: it is an archive there."""
    build(tmp_path)
    ensure_identity(tmp_path, bytes(16))
    recovered = recover(tmp_path)
    assert (recovered.archives, recovered.end_seq) == ((DAY,), 0)
    with JournalWriter(tmp_path, recovered.tail, salts=Salts()) as writer:
        writer.append(FRAMES[0], NEXT_NOON)
    assert len(verify_journal(tmp_path).archives) == 1


def test_a_day_that_exists_is_refused_and_kept(tmp_path: Path) -> None:
    first = build(tmp_path)
    counting = FaultyDisk(Disk())
    with pytest.raises(JournalError, match="exists already"):
        build(tmp_path, FRAMES[:2], disk=counting)
    assert counting.calls["any"] == 0, "the disk was accessed for a day that cannot be written"
    assert read_digest(tmp_path) == first.digest


def read_digest(root: Path) -> bytes:
    reader = read_frames(root / NAME)
    for _ in reader:
        pass
    return reader.digest


def test_an_error_in_the_middle_leaves_nothing(tmp_path: Path) -> None:
    def half() -> None:
        with staged_day(tmp_path, DAY, journal_id=JOURNAL_ID, salts=Salts()) as builder:
            builder.append(FRAMES[0])
            raise LookupError("line 2 of the file")

    with pytest.raises(LookupError):
        half()
    assert names(tmp_path) == []


def test_a_day_without_frames_is_refused(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="no frames were written"):
        build(tmp_path, [])
    assert names(tmp_path) == []


def test_a_frame_of_another_day_is_refused(tmp_path: Path) -> None:
    with staged_day(tmp_path, DAY, journal_id=JOURNAL_ID, salts=Salts()) as builder:
        with pytest.raises(ValueError, match="2024-12-06"):
            builder.append(FRAMES[0], NEXT_NOON)
        builder.append(FRAMES[0], NOON)


def test_a_kill_at_any_call_leaves_no_day_or_a_complete_one(tmp_path: Path) -> None:
    counting = FaultyDisk(Disk())
    build(tmp_path, disk=counting)
    shutil.rmtree(tmp_path / NAME)
    stood = 0
    for nth in range(counting.calls["any"]):
        disk = FaultyDisk(Disk()).fail("any", nth, PowerCut(), times=10**6)
        with pytest.raises(PowerCut):
            build(tmp_path, disk=disk)
        assert disk.fired >= 1
        if (tmp_path / NAME).exists():
            assert content(list(read_frames(tmp_path / NAME))) == content(FRAMES)
            shutil.rmtree(tmp_path / NAME)
            stood += 1
        build(tmp_path)
        assert names(tmp_path) == [NAME]
        shutil.rmtree(tmp_path / NAME)
    assert 1 <= stood < 5


def test_a_full_disk_at_any_call_leaves_no_day_or_a_complete_one(tmp_path: Path) -> None:
    """J16."""
    counting = FaultyDisk(Disk())
    build(tmp_path, disk=counting)
    shutil.rmtree(tmp_path / NAME)
    for nth in range(counting.calls["any change"]):
        disk = FaultyDisk(Disk()).fail("any change", nth, error(errno.ENOSPC))
        with pytest.raises((JournalError, JournalPoisoned)):
            build(tmp_path, disk=disk)
        assert disk.fired == 1
        shutil.rmtree(tmp_path / NAME, ignore_errors=True)
        build(tmp_path)
        shutil.rmtree(tmp_path / NAME)


BUILDER = """
import sys
from pathlib import Path
from engine.journal import Draft, staged_day
with staged_day(Path(sys.argv[1]), 20241205, journal_id=bytes(16), salts=lambda: bytes(16)) as builder:
    builder.append(Draft(1, 1, b"x90"))
    print("half", flush=True)
    sys.stdin.read()
"""


def test_a_running_build_is_not_disturbed_and_a_killed_one_is_removed(tmp_path: Path) -> None:
    """J23: two real processes."""
    with subprocess.Popen(
        [sys.executable, "-c", BUILDER, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "half\n"
        with pytest.raises(JournalLocked):
            build(tmp_path)
        with staged_day(tmp_path, 20241206, journal_id=JOURNAL_ID, salts=Salts()) as builder:
            builder.append(FRAMES[0])
        assert (tmp_path / f".{NAME}.partial").exists()
        other.send_signal(signal.SIGKILL)
        other.wait(timeout=300)
    build(tmp_path)
    assert names(tmp_path) == [NAME, "2024-12-06"]


def test_the_lock_of_a_build_does_not_stay_in_the_day(tmp_path: Path) -> None:
    build(tmp_path)
    assert "LOCK" not in names(tmp_path / NAME)
    JournalLock(tmp_path).release()
