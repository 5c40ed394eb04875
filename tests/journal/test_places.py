"""Where a journal is: its folders survive a loss of power, and a file that was moved takes no records."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.errors import JournalPoisoned
from engine.journal import JournalWriter, Tail, ensure_identity, make_root, read_identity

from .disks import MemoryDisk
from .kit import JOURNAL_ID, NOON, SMALL, Salts, read

DEEP = Path("/data/venues/hyperliquid/journal")


@pytest.mark.parametrize("names_kept", [False, True])
def test_a_new_journal_in_new_folders_is_there_after_a_loss_of_power(names_kept: bool) -> None:
    disk = MemoryDisk()
    make_root(DEEP, disk)
    ensure_identity(DEEP, JOURNAL_ID, disk)
    with JournalWriter(DEEP, Tail(journal_id=JOURNAL_ID), salts=Salts(), disk=disk) as writer:
        for frame in SMALL:
            writer.append(frame, NOON)
            found = disk.after_power_cut(names_kept=names_kept)
            assert len(read(found, DEEP / "2024-12-05")) == writer.frames
            assert read_identity(DEEP, found) == JOURNAL_ID


def test_folders_that_a_killed_process_made_are_made_durable_by_the_next() -> None:
    disk = MemoryDisk()
    for folder in reversed([DEEP, *DEEP.parents[:-1]]):
        disk.mkdir(folder)  # and killed before a sync
    ensure_identity(DEEP, JOURNAL_ID, disk)
    assert read_identity(DEEP, disk.after_power_cut()) == JOURNAL_ID


@pytest.mark.parametrize("change", ["removed", "moved", "replaced", "folder moved"])
def test_a_segment_that_was_taken_away_takes_no_more_records(tmp_path: Path, change: str) -> None:
    root = tmp_path / "journal"
    make_root(root)
    ensure_identity(root, JOURNAL_ID)
    with JournalWriter(root, Tail(journal_id=JOURNAL_ID), salts=Salts()) as writer:
        writer.append(SMALL[0], NOON)
        segment = writer.segment
        assert segment is not None
        if change == "removed":
            segment.unlink()
        elif change == "folder moved":
            root.rename(tmp_path / "elsewhere")
        else:
            content = segment.read_bytes()
            segment.rename(tmp_path / "taken")
            if change == "replaced":
                segment.write_bytes(content)
        with pytest.raises(JournalPoisoned, match="moved or removed"):
            writer.append(SMALL[1], NOON)
        assert writer.durable_seq == SMALL[0].count, "the second frame was never acknowledged"
        with pytest.raises(JournalPoisoned):
            writer.append(SMALL[1], NOON)
