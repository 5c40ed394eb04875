"""Days built in the staging folder appear whole or not at all, and a day is replaced whole or not at all."""

from __future__ import annotations

import errno
import random
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from engine.errors import JournalError, JournalLocked
from engine.journal import (
    Disk,
    Draft,
    JournalWriter,
    Staging,
    Tail,
    ensure_identity,
    read_frames,
    recover,
    seal_day,
    verify_day,
    verify_journal,
)
from engine.journal import staging as staging_module

from .disks import FaultyDisk, MemoryDisk, PowerCut, error
from .kit import DAY, JOURNAL_ID, NEXT_NOON, NOON, Salts, content, drafts

FRAMES = drafts(10, size=60)
OTHERS = drafts(14, size=40)
NAME, NEXT = "2024-12-05", "2024-12-06"
NEXT_DAY = 20241206


class Bytes:
    """Counts up instead of drawing random bytes."""

    def __init__(self) -> None:
        self._next = 0

    def __call__(self, count: int) -> bytes:
        self._next += 1
        return self._next.to_bytes(count, "big")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def build(
    root: Path,
    days: dict[int, list[Draft]],
    *,
    disk: Disk | None = None,
    replace: tuple[int, ...] = (),
) -> dict[int, bytes]:
    """Build days and put them in place. Return their digests."""
    digests = {}
    with Staging(root, random=Bytes(), disk=disk or Disk()) as staging:
        for day, frames in days.items():
            builder = staging.begin(day)
            for frame in frames:
                builder.append(frame, NOON if day == DAY else NEXT_NOON)
            staging.complete(replace=day in replace)
            digests[day] = builder.digest
        staging.publish()
    return digests


def test_a_built_day_reads_back_and_no_other_file_is_left(tmp_path: Path) -> None:
    digests = build(tmp_path, {DAY: FRAMES})
    assert names(tmp_path) == [NAME]
    assert names(tmp_path / NAME) == ["00000000000000000001.seg.zst"]
    reader = read_frames(tmp_path / NAME)
    assert content(list(reader)) == content(FRAMES)
    assert reader.digest == digests[DAY] == verify_day(tmp_path / NAME).digest


def test_a_built_day_is_the_sealed_form_of_one_that_was_written_plain(tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    writer = JournalWriter(tmp_path / "plain", Tail(journal_id=JOURNAL_ID), salts=Salts())
    with writer:
        for frame in FRAMES:
            writer.append(frame, NOON)
    seal_day(tmp_path / "plain" / NAME)
    build(tmp_path, {DAY: FRAMES})
    assert verify_day(tmp_path / NAME).digest == verify_day(tmp_path / "plain" / NAME).digest


def test_a_day_of_several_chunks_is_one_segment(tmp_path: Path) -> None:
    large = [Draft(at + 1, 1, random.Random(at).randbytes(700_000)) for at in range(8)]
    build(tmp_path, {DAY: large})
    assert names(tmp_path / NAME) == ["00000000000000000001.seg.zst"]
    assert content(list(read_frames(tmp_path / NAME))) == content(large)
    assert verify_day(tmp_path / NAME).records == 8


def test_a_built_day_can_be_in_the_root_of_a_journal(tmp_path: Path) -> None:
    """J10: it is an archive there."""
    build(tmp_path, {DAY: FRAMES})
    ensure_identity(tmp_path, bytes(16))
    recovered = recover(tmp_path)
    assert (recovered.archives, recovered.end_seq) == ((DAY,), 0)
    with JournalWriter(tmp_path, recovered.tail, salts=Salts()) as writer:
        writer.append(FRAMES[0], NEXT_NOON)
    assert len(verify_journal(tmp_path).archives) == 1


def test_a_day_that_exists_is_replaced_whole_only_when_asked(tmp_path: Path) -> None:
    first = build(tmp_path, {DAY: FRAMES})
    with pytest.raises(JournalError, match="was created by another process"):
        build(tmp_path, {DAY: OTHERS})
    assert verify_day(tmp_path / NAME).digest == first[DAY]
    second = build(tmp_path, {DAY: OTHERS}, replace=(DAY,))
    assert verify_day(tmp_path / NAME).digest == second[DAY] != first[DAY]
    assert (names(tmp_path), len(names(tmp_path / NAME))) == ([NAME], 1)


def test_a_day_of_other_files_is_not_replaced(tmp_path: Path) -> None:
    build(tmp_path, {DAY: FRAMES})
    (tmp_path / NAME / "00000000000000000099.seg").write_bytes(b"x")
    with pytest.raises(JournalError, match="is not one sealed segment"):
        build(tmp_path, {DAY: OTHERS}, replace=(DAY,))
    assert names(tmp_path) == [NAME]


def test_an_error_in_the_middle_leaves_nothing(tmp_path: Path) -> None:
    def half() -> None:
        with Staging(tmp_path, random=Bytes()) as staging:
            staging.begin(DAY).append(FRAMES[0], NOON)
            raise LookupError("line 2 of the file")

    with pytest.raises(LookupError):
        half()
    assert names(tmp_path) == []


def test_a_day_without_frames_is_refused(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="no frames were written"):
        build(tmp_path, {DAY: []})
    assert names(tmp_path) == []


def test_a_dropped_day_leaves_nothing(tmp_path: Path) -> None:
    with Staging(tmp_path, random=Bytes()) as staging:
        staging.begin(DAY).append(FRAMES[0], NOON)
        staging.drop()
        staging.publish()
    assert names(tmp_path) == []


def test_a_frame_of_another_day_is_refused(tmp_path: Path) -> None:
    with Staging(tmp_path, random=Bytes()) as staging:
        builder = staging.begin(DAY)
        with pytest.raises(ValueError, match=NEXT):
            builder.append(FRAMES[0], NEXT_NOON)


BOTH = {DAY: OTHERS, NEXT_DAY: FRAMES}


def whole(disk: Disk, root: Path) -> tuple[object, object]:
    """Return what the two days hold, None for one that is not there."""
    found = []
    for name in (NAME, NEXT):
        there = disk.exists(root / name)
        found.append(content(list(read_frames(root / name, disk=disk))) if there else None)
    return found[0], found[1]


def test_a_kill_or_an_error_at_any_call_leaves_each_day_as_it_was_or_whole(tmp_path: Path) -> None:
    """J16: one day is replaced and one is new. The next build completes what a kill left."""
    old, new = content(FRAMES), content(OTHERS)
    counting = FaultyDisk(Disk())
    build(tmp_path, {DAY: FRAMES})
    build(tmp_path, BOTH, disk=counting, replace=(DAY,))
    seen = set()
    for nth in range(counting.calls["any change"]):
        for fault, times in ((PowerCut(), 10**6), (error(errno.ENOSPC), 1)):
            shutil.rmtree(tmp_path)
            tmp_path.mkdir()
            build(tmp_path, {DAY: FRAMES})
            disk = FaultyDisk(Disk()).fail("any change", nth, fault, times=times)
            try:
                build(tmp_path, BOTH, disk=disk, replace=(DAY,))
                done = True  # only the empty staging folder was not removed
            except (PowerCut, JournalError):
                done = False
            assert disk.fired >= 1
            first, second = whole(Disk(), tmp_path)
            assert not done or (first, second) == (new, old)
            assert first in (old, new)
            assert second in (None, old)
            seen.add((first == new, second is not None))
            replace = (DAY,) if second is None else (DAY, NEXT_DAY)
            build(tmp_path, BOTH, replace=replace)
            assert whole(Disk(), tmp_path) == (new, old)
            assert names(tmp_path) == [NAME, NEXT]
    assert seen >= {(False, False), (True, False), (True, True)}


@pytest.mark.parametrize("few", [0, staging_module.FEW_DAYS], ids=["one pass", "each by itself"])
@pytest.mark.parametrize("names_kept", [0.0, 0.5, 1.0])
def test_a_power_cut_at_any_call_leaves_each_day_as_it_was_or_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, names_kept: float, few: int
) -> None:
    """Whatever the disk kept of bytes and names that were not synced."""
    monkeypatch.setattr(staging_module, "FEW_DAYS", few)
    old, new = content(FRAMES), content(OTHERS)
    chance = random.Random(names_kept)
    start = MemoryDisk()
    start.put(tmp_path / "x", b"")
    build(tmp_path, {DAY: FRAMES}, disk=start)
    counting = FaultyDisk(start.copy())
    build(tmp_path, BOTH, disk=counting, replace=(DAY,))
    seen = set()
    for nth in range(counting.calls["any change"] + 1):
        memory = start.copy()
        disk = FaultyDisk(memory).fail("any change", nth, PowerCut(), times=10**6)
        with suppress(PowerCut):
            build(tmp_path, BOTH, disk=disk, replace=(DAY,))
        for _ in range(4):
            after = memory.after_power_cut(
                lambda size: chance.randint(0, size), names_kept=lambda _: chance.random() < names_kept
            )
            first, second = whole(after, tmp_path)
            assert first in (old, new)
            assert second in (None, old)
            seen.add((first == new, second is not None))
        build(tmp_path, BOTH, disk=after, replace=(DAY,) if second is None else (DAY, NEXT_DAY))
        assert whole(after, tmp_path) == (new, old)
    assert seen >= {(False, False), (True, True)}


BUILDER = """
import sys
from pathlib import Path
from engine.journal import Draft, Staging
with Staging(Path(sys.argv[1]), random=bytes) as staging:
    builder = staging.begin(20241205)
    builder.append(Draft(1, 1, b"x90"), 1733400000000000000)
    staging.complete()
    print("half", flush=True)
    sys.stdin.read()
"""


def test_one_build_at_a_time_and_a_killed_one_is_removed(tmp_path: Path) -> None:
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
        with pytest.raises(JournalLocked, match="another import is running"):
            build(tmp_path, {NEXT_DAY: FRAMES})
        other.send_signal(signal.SIGKILL)
        other.wait(timeout=300)
    assert names(tmp_path) == [".staging"]
    build(tmp_path, {DAY: FRAMES})
    assert names(tmp_path) == [NAME]


def test_a_staging_folder_that_is_something_else_is_refused_and_kept(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "mine.txt").write_text("mine")
    roots = [tmp_path / "link", tmp_path / "file"]
    for root in roots:
        root.mkdir()
    (roots[0] / ".staging").symlink_to(other)
    (roots[1] / ".staging").write_text("mine")
    for root in roots:
        with pytest.raises(JournalError, match=r"\.staging: cannot be"):
            build(root, {DAY: FRAMES})
        assert names(root) == [".staging"]
    assert (other / "mine.txt").read_text() == "mine"
