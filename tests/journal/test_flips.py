"""One flipped bit anywhere in a journal (J02, J03), through the real recovery."""

from __future__ import annotations

import pytest

from engine.errors import JournalBehindWitness, JournalDamaged, JournalError
from engine.journal import Witness, recover

from .disks import MemoryDisk
from .kit import FIRST, FOLDER, ROOT, content, drafts, journal, offsets, read

FRAMES = drafts(9, size=340)


@pytest.fixture(scope="module")
def whole() -> MemoryDisk:
    """A segment of about 4 KiB: its header and nine frames."""
    disk = journal(FRAMES)
    assert len(FRAMES) >= 8
    assert 3_500 < len(disk.get(FIRST)) < 4_500
    return disk


def test_a_bit_flipped_before_the_last_frame_refuses_the_start_and_changes_nothing(whole: MemoryDisk) -> None:
    """J02: every bit of the segment header and of all frames but the last."""
    image = bytearray(whole.get(FIRST))
    starts = offsets(whole)
    begins = [frame.first_seq for frame in read(whole)]
    disk = whole.copy()
    refused = 0
    for at in range(starts[-2]):
        frame = sum(start <= at for start in starts) - 1  # -1: the segment header
        for bit in range(8):
            image[at] ^= 1 << bit
            damaged = bytes(image)
            image[at] ^= 1 << bit
            disk.put(FIRST, damaged)
            with pytest.raises(JournalDamaged) as caught:
                recover(ROOT, disk=disk)
            refused += 1
            assert disk.get(FIRST) == damaged
            if frame >= 0:
                assert (caught.value.offset, caught.value.seq) == (starts[frame], begins[frame])
            assert caught.value.file == str(FIRST)
    assert refused == starts[-2] * 8
    assert disk.listdir(FOLDER) == [FIRST.name]


@pytest.mark.parametrize("witnessed", [False, True], ids=["no witness", "witness"])
def test_a_last_frame_with_a_flipped_bit_is_cut_unless_a_witness_shows_it_was_acknowledged(
    whole: MemoryDisk, witnessed: bool
) -> None:
    """J03: every bit of the last frame."""
    image = bytearray(whole.get(FIRST))
    starts = offsets(whole)
    last = read(whole)[-1]
    witness = Witness(last.last_seq, last.digest, "the database") if witnessed else None
    fired = 0
    disk = whole
    for at in range(starts[-2], starts[-1]):
        for bit in range(8):
            image[at] ^= 1 << bit
            damaged = bytes(image)
            image[at] ^= 1 << bit
            disk = MemoryDisk()
            disk.put(ROOT / "journal.id", whole.get(ROOT / "journal.id"))
            disk.put(FIRST, damaged)
            fired += 1
            if witness is not None:
                with pytest.raises(JournalBehindWitness, match="the database"):
                    recover(ROOT, witness=witness, disk=disk)
                assert disk.get(FIRST) == damaged
                assert disk.listdir(FOLDER) == [FIRST.name]
                continue
            recovered = recover(ROOT, disk=disk)
            (repair,) = recovered.repairs
            assert (repair.kind, repair.offset) == ("tail_cut", starts[-2])
            assert recovered.end_seq == last.first_seq - 1
            assert disk.get(FIRST) == damaged[: starts[-2]]
            assert repair.saved is not None
            assert disk.get(FIRST.parent / "damaged" / f"{FIRST.name}.{starts[-2]}") == damaged[starts[-2] :]
    assert fired == (starts[-1] - starts[-2]) * 8
    if not witnessed:
        assert content(read(disk)) == content(FRAMES[:-1])


def test_a_flipped_length_is_not_taken_for_a_frame_cut_short(whole: MemoryDisk) -> None:
    """J02, X05: the lengths are covered by the CRC of the header, so reading refuses them too."""
    image = bytearray(whole.get(FIRST))
    start = offsets(whole)[-2]
    for at in range(start + 4, start + 12):
        for bit in range(8):
            image[at] ^= 1 << bit
            disk = MemoryDisk()
            disk.put(FIRST, bytes(image))
            image[at] ^= 1 << bit
            with pytest.raises(JournalDamaged, match="no valid frame header"):
                read(disk)


def test_a_flipped_bit_in_the_identity_refuses_the_start(whole: MemoryDisk) -> None:
    """J02, J10: the identity file decides which days belong to the journal."""
    text = bytearray(whole.get(ROOT / "journal.id"))
    disk = whole.copy()
    for at in range(len(text)):
        for bit in range(8):
            text[at] ^= 1 << bit
            disk.put(ROOT / "journal.id", bytes(text))
            text[at] ^= 1 << bit
            with pytest.raises(JournalError):
                recover(ROOT, disk=disk)
