"""Two writers of one journal whose lock does not keep them apart: the older one stops, nothing is lost."""

from __future__ import annotations

from pathlib import Path

import pytest
from trio.abc import Clock

from engine.errors import JournalDamaged, JournalError, JournalPoisoned
from engine.events import SessionStarted
from engine.journal import Disk, Fence, JournalWriter, ensure_identity, recover, verify_journal
from tests.runtime.kit import assert_replays, config, of
from tests.runtime.rig import Rig, use_disk
from tests.runtime.test_disk_faults import command_seqs, until_poisoned

from .disks import FaultyDisk, MemoryDisk, PowerCut
from .kit import JOURNAL_ID, NOON, ROOT, SMALL, Salts, content, read


def opened(disk: Disk, name: bytes, root: Path = ROOT) -> JournalWriter:
    """Open the journal as an engine does, but without its lock."""
    ensure_identity(root, JOURNAL_ID, disk)
    fence = Fence(root, name * 16, disk)
    return JournalWriter(root, recover(root, disk=disk).tail, salts=Salts(ord(name)), disk=disk, fence=fence)


def memory() -> MemoryDisk:
    disk = MemoryDisk()
    disk.mkdir(ROOT)
    disk.fsync_dir(ROOT.parent)
    return disk


def test_the_older_of_two_writers_is_poisoned_and_the_newer_goes_on() -> None:
    disk = memory()
    older = opened(disk, b"a")
    older.append(SMALL[0], NOON)
    newer = opened(disk, b"b")
    with pytest.raises(
        JournalPoisoned, match=r"another engine has opened this journal \(epoch 2, ours is 1\)"
    ):
        older.append(SMALL[1], NOON)
    newer.append(SMALL[1], NOON)
    with pytest.raises(JournalPoisoned):
        older.append(SMALL[1], NOON)
    assert content(read(disk)) == content(SMALL[:2])
    assert verify_journal(ROOT, disk=disk).torn is None


class OpensAt(FaultyDisk):
    """Lets another engine open and recover the journal before the nth call of the first."""

    def __init__(self, inner: MemoryDisk, nth: int) -> None:
        super().__init__(inner)
        self.nth = nth
        self.other: JournalWriter | None = None

    def _before(self, op: str) -> int:
        if self.calls["any"] == self.nth:
            self.other = opened(self.inner, b"b")
        return super()._before(op)


def test_what_the_older_writer_acknowledged_is_in_the_journal_of_the_newer_one() -> None:
    """The newer one opens before any call of the older: I1 for two writers."""
    counting = FaultyDisk(inner := memory())
    writer = opened(inner, b"a")
    writer._disk = counting
    for frame in SMALL[:3]:
        writer.append(frame, NOON)
    found = stopped = 0
    for nth in range(counting.calls["any"]):
        inner = memory()
        older = opened(inner, b"a")
        older._disk = disk = OpensAt(inner, nth)
        with pytest.raises(JournalPoisoned):
            continued(older)
        assert disk.other is not None
        assert disk.other.seq >= older.durable_seq
        found += disk.other.seq - older.durable_seq
        try:
            continued(disk.other)
        except JournalError:
            # The older one was making the segment that the newer needs. The next opening removes it.
            stopped += 1
            continued(opened(inner, b"c"))
        assert content(read(inner)) == content(SMALL[:6])
    assert found, "the newer one never found a frame that the older had not acknowledged"
    assert stopped < counting.calls["any"] / 2


def continued(writer: JournalWriter) -> None:
    for frame in SMALL[:6]:
        if frame.first_seq > writer.seq:
            writer.append(frame, NOON)


def test_two_writers_that_take_the_same_number_are_told_apart() -> None:
    disk = memory()
    first, second = Fence(ROOT, b"a" * 16, disk), Fence(ROOT, b"b" * 16, disk)
    assert (first.epoch, second.epoch) == (1, 2)
    disk.put(ROOT / "EPOCH", b"1 " + b"62" * 16 + b"\n")
    with pytest.raises(OSError, match="another engine"):
        first.check()


@pytest.mark.parametrize("left", [None, b"", b"7", b"7 abc\n"])
def test_a_removed_or_changed_epoch_stops_the_writer(left: bytes | None) -> None:
    disk = memory()
    writer = opened(disk, b"a")
    writer.append(SMALL[0], NOON)
    if left is None:
        disk.unlink(ROOT / "EPOCH")
    else:
        disk.put(ROOT / "EPOCH", left)
    with pytest.raises(JournalPoisoned, match="EPOCH was removed or changed"):
        writer.append(SMALL[1], NOON)


@pytest.mark.parametrize("left", [b"7", b"7 abc\n", b"-1 " + b"0" * 32 + b"\n", b"9" * 30])
def test_a_file_that_is_no_epoch_refuses_the_start_and_is_not_changed(left: bytes) -> None:
    disk = memory()
    ensure_identity(ROOT, JOURNAL_ID, disk)
    disk.put(ROOT / "EPOCH", left)
    with pytest.raises(JournalDamaged, match="EPOCH"):
        Fence(ROOT, b"a" * 16, disk)
    assert disk.get(ROOT / "EPOCH") == left


def test_a_crash_at_any_call_leaves_an_epoch_that_rises() -> None:
    counting = FaultyDisk(memory())
    for _ in range(2):
        Fence(ROOT, b"a" * 16, counting)
    for nth in range(counting.calls["any"]):
        for names_kept in (False, True):
            inner = memory()
            disk = FaultyDisk(inner).fail("any", nth, PowerCut())
            taken: list[int] = []
            with pytest.raises(PowerCut):
                taken.extend(Fence(ROOT, b"a" * 16, disk).epoch for _ in range(2))
            after = inner.after_power_cut(names_kept=names_kept)
            assert Fence(ROOT, b"b" * 16, after).epoch > max(taken, default=0)


async def test_a_session_ends_when_another_engine_opens_its_journal(
    paced_clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lock is not there for it: a mount of another machine. The first sends no more commands."""

    class Shared(Disk):
        syncs = 0

        def fdatasync(self, fd: int) -> None:
            self.syncs += 1
            if self.syncs == 7:
                Fence(tmp_path, b"b" * 16)
            super().fdatasync(fd)

    use_disk(monkeypatch, Shared())
    rig = Rig(tmp_path, config("Steady"))
    error = await until_poisoned(rig)
    assert error.exit_code == 4
    assert "another engine has opened this journal (epoch 2, ours is 1)" in str(error)
    durable = rig.live.committer.durable_seq
    assert durable < recover(tmp_path).end_seq, "a frame after the opening was not acknowledged"
    kept = [seq for seq in command_seqs(tmp_path) if seq <= durable]
    assert rig.live.effects.released == len(kept)

    async def script(again: Rig) -> None:
        await again.send(100)

    await Rig(tmp_path, config("Steady")).run(script)
    epochs = [event.epoch for event in of(SessionStarted, tmp_path) if isinstance(event, SessionStarted)]
    assert epochs == [1, 3]
    assert_replays(tmp_path)
