"""The disk of the simulated machine leaves only what a real one could."""

from __future__ import annotations

import errno
from random import Random

import pytest

from engine.errors import JournalPoisoned
from engine.journal import recover
from tests.journal.kit import NEXT_NOON, ROOT, drafts, write
from tests.simulation.disks import SimulatedDisk


@pytest.mark.parametrize("fails", [False, True])
def test_a_header_that_was_synced_outlasts_the_frame_after_it(fails: bool) -> None:
    repaired = 0
    for seed in range(60):
        disk = SimulatedDisk(lambda _: None)
        frames = drafts(3, size=700)
        tail = write(disk, frames[:2])
        disk.sync_all(ROOT)
        disk.deferring = True  # one call of the thread: a new day's folder, header and first frame
        if fails:
            disk.fails["fdatasync"] = errno.EIO
            with pytest.raises(JournalPoisoned):
                write(disk, frames[2:], tail=tail, at_ns=NEXT_NOON)
            disk.finish()
        else:
            write(disk, frames[2:], tail=tail, at_ns=NEXT_NOON)
        left = disk.crashed(Random(seed), power=True)
        found = recover(ROOT, disk=left)
        assert found.end_seq in (tail.seq, frames[2].first_seq + frames[2].count - 1)
        repaired += bool(found.repairs)
    assert repaired >= 20


def test_a_sync_that_has_not_ended_may_lose_what_it_covers() -> None:
    ends = set()
    for seed in range(60):
        disk = SimulatedDisk(lambda _: None)
        frames = drafts(2)
        tail = write(disk, frames[:1])
        disk.sync_all(ROOT)
        disk.deferring = True
        write(disk, frames[1:], tail=tail)
        ends.add(recover(ROOT, disk=disk.crashed(Random(seed), power=True)).end_seq)
    assert ends == {3, 6}
