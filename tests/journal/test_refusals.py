"""Journals that a start refuses: damage that a crash cannot cause, and losses that only a witness shows."""

from __future__ import annotations

import pytest

from engine.errors import JournalBehindWitness, JournalDamaged, JournalError
from engine.journal import (
    Draft,
    Witness,
    ensure_identity,
    recover,
    repair,
    seal_day,
)

from .disks import MemoryDisk
from .kit import (
    FIRST,
    FOLDER,
    NEXT_FOLDER,
    NEXT_NOON,
    ROOT,
    SMALL,
    drafts,
    five_segments,
    forged_frame,
    forged_header,
    journal,
    offsets,
    read,
    refused,
    segments_of,
    write,
)

FRAMES = drafts(9, size=340)


def test_a_segment_of_zeros_longer_than_a_header_is_refused() -> None:
    """J08, I3: it has held frames, since the header is synced before the first frame is written."""
    disk = journal(FRAMES)
    disk.put(FOLDER / f"{28:020d}.seg", bytes(4096))
    refused(disk)


@pytest.mark.parametrize("name", [1, 27, 29, 40])
def test_an_unfinished_segment_that_is_not_the_next_one_is_refused(name: int) -> None:
    """J08, J09: its name shows that acknowledged frames are missing."""
    disk = journal(FRAMES if name > 1 else [])
    disk.put(FOLDER / f"{name if name > 1 else 4:020d}.seg", b"")
    refused(disk, match=r"expected seq \d+ next")


def test_an_unfinished_segment_between_others_is_refused() -> None:
    """J08 applies to the newest one only."""
    disk = five_segments()
    disk.put(segments_of(disk)[2], b"")
    refused(disk)


def test_a_missing_segment_is_refused() -> None:
    """J09: each segment but the newest in turn; the newest is J11."""
    whole = five_segments()
    for path in segments_of(whole)[:-1]:
        disk = whole.copy()
        disk.unlink(path)
        refused(disk)


def test_a_missing_day_is_refused() -> None:
    """J09: a day between others, sealed or not, and the first day of a journal."""
    for sealed in (False, True):
        disk = journal(SMALL[:4])
        tail = recover(ROOT, disk=disk).tail
        tail = write(disk, SMALL[4:8], tail=tail, at_ns=NEXT_NOON)
        write(disk, SMALL[8:], tail=tail, at_ns=NEXT_NOON + 86_400 * 10**9)
        if sealed:
            seal_day(FOLDER, disk=disk)
            seal_day(NEXT_FOLDER, disk=disk)
        assert recover(ROOT, disk=disk).days == (20241205, 20241206, 20241207)
        for path in segments_of(disk, NEXT_FOLDER):
            disk.unlink(path)
        refused(disk, match=r"expected seq \d+ next")


def test_the_oldest_days_may_be_removed() -> None:
    """J31."""
    disk = journal(SMALL[:4])
    write(disk, SMALL[4:], tail=recover(ROOT, disk=disk).tail, at_ns=NEXT_NOON)
    for path in segments_of(disk):
        disk.unlink(path)
    assert recover(ROOT, disk=disk).end_seq == 36


def test_exchanged_segments_are_refused() -> None:
    """J10: every pair of names swapped."""
    whole = five_segments()
    paths = segments_of(whole)
    for index, left in enumerate(paths):
        for right in paths[index + 1 :]:
            disk = whole.copy()
            disk.put(left, whole.get(right))
            disk.put(right, whole.get(left))
            refused(disk)


def test_a_segment_of_another_journal_is_refused() -> None:
    """J10: the same place in a journal that recorded the same events, each segment in turn."""
    whole = five_segments()
    other = journal(SMALL, segment_bytes_max=500, journal_id=bytes(16))
    for path in segments_of(whole):
        disk = whole.copy()
        disk.put(path, other.get(path))
        refused(disk, match="another journal")


def test_an_unsealed_day_of_another_journal_is_refused_and_a_sealed_one_accepted() -> None:
    """J10: a sample day may be in the same root."""
    disk = journal(SMALL[:4])
    other = journal(SMALL, journal_id=bytes(16))
    sample = ROOT / "2024-11-30"
    image = other.get(FIRST)
    disk.put(sample / FIRST.name, image)
    refused(disk, match="another journal")
    disk.unlink(sample / FIRST.name)
    seal_day(FOLDER, newest=True, disk=other)
    disk.put(sample / f"{FIRST.name}.zst", other.get(FOLDER / f"{FIRST.name}.zst"))
    recovered = recover(ROOT, disk=disk)
    assert (recovered.days, recovered.archives) == ((20241205,), (20241130,))
    assert recovered.end_seq == 12


def test_a_deleted_newest_segment_is_found_by_a_witness() -> None:
    """J11, R10: without a witness it cannot be found."""
    disk = five_segments()
    end = recover(ROOT, disk=disk)
    witness = Witness(end.end_seq, end.digest, "the database")
    disk.unlink(segments_of(disk)[-1])
    before = disk.files()
    with pytest.raises(JournalBehindWitness, match=r"the database has seq 36"):
        recover(ROOT, witness=witness, disk=disk)
    assert disk.files() == before
    assert recover(ROOT, disk=disk).end_seq < end.end_seq


@pytest.mark.parametrize("sealed", [False, True], ids=["plain", "sealed"])
def test_a_witness_is_compared_in_whichever_day_it_is(sealed: bool) -> None:
    """J11, R10: in the newest day or in an older, sealed one."""
    disk = journal(SMALL[:6])
    write(disk, SMALL[6:], tail=recover(ROOT, disk=disk).tail, at_ns=NEXT_NOON)
    if sealed:
        seal_day(FOLDER, disk=disk)
    frames = read(disk, FOLDER) + read(disk, NEXT_FOLDER)
    for frame in frames:
        recover(ROOT, witness=Witness(frame.last_seq, frame.digest), disk=disk)
        with pytest.raises(JournalBehindWitness, match="differs from the record"):
            recover(ROOT, witness=Witness(frame.last_seq, bytes(32)), disk=disk)
        with pytest.raises(JournalBehindWitness, match="differs from the record"):
            recover(ROOT, witness=Witness(frame.first_seq, frame.digest), disk=disk)
    assert recover(ROOT, witness=Witness(0, bytes(32)), disk=disk).end_seq == 36


@pytest.mark.parametrize(
    ("inputs_length", "derived_length", "count", "reserved"),
    [
        (0, 0, 1, 0),
        (2**32 - 1, 0, 1, 0),
        (0, 2**32 - 1, 1, 0),
        (2**32 - 1, 2**32 - 1, 1, 0),
        (64 * 1024 * 1024, 1, 1, 0),
        (5, 5, 0, 0),
        (5, 5, 2**20 + 1, 0),
        (5, 5, 2**32 - 1, 0),
        (5, 5, 1, 1),
    ],
)
def test_a_header_with_impossible_numbers_and_a_right_crc_is_refused_without_allocating(
    inputs_length: int, derived_length: int, count: int, reserved: int
) -> None:
    """J24: a crash cannot write such a header, so it is not a torn tail, even at the end."""
    disk = journal(FRAMES)
    image = disk.get(FIRST)
    header = forged_header(
        image,
        inputs_length=inputs_length,
        derived_length=derived_length,
        first_seq=28,
        count=count,
        reserved=reserved,
    )
    disk.put(FIRST, image + header + b"some bytes after it")
    damage = refused(disk, match="impossible")
    assert (damage.offset, damage.seq) == (len(image), 28)
    with pytest.raises(JournalDamaged, match="impossible"):
        read(disk)


@pytest.mark.parametrize("first_seq", [0, 1, 25, 27, 29, 2**63], ids=str)
def test_a_seq_repeated_skipped_or_going_back_is_refused(first_seq: int) -> None:
    """J27: in a frame that passes every other check."""
    disk = journal(FRAMES)
    image = disk.get(FIRST)
    digest = read(disk)[-1].digest
    disk.put(FIRST, image + forged_frame(image, Draft(first_seq, 1, b"\x90", b"\x90"), digest))
    damage = refused(disk, match=r"expected seq \d+ next")
    assert (damage.offset, damage.seq) == (len(image), 28)


def test_a_byte_changed_in_any_segment_of_a_journal_in_use_is_found() -> None:
    """J28: one byte in each segment, of the newest day and of an older one that is not sealed."""
    whole = five_segments()
    tail = recover(ROOT, disk=whole).tail
    write(whole, drafts(8, first_seq=37, size=60), tail=tail, at_ns=NEXT_NOON, segment_bytes_max=500)
    paths = segments_of(whole) + segments_of(whole, NEXT_FOLDER)
    assert len(paths) >= 8
    for path in paths:
        disk = whole.copy()
        image = bytearray(disk.get(path))
        image[128 + 40] ^= 1
        disk.put(path, bytes(image))
        assert refused(disk).file == str(path)


def test_a_replaced_sealed_day_is_found_by_its_link() -> None:
    """J28, J10: a start links sealed days by header and trailer; verify reads them completely."""
    disk = journal(SMALL[:6])
    write(disk, SMALL[6:], tail=recover(ROOT, disk=disk).tail, at_ns=NEXT_NOON)
    seal_day(FOLDER, disk=disk)
    other = journal([*SMALL[:5], Draft(16, 3, b"\x91\xa5other")])
    seal_day(FOLDER, newest=True, disk=other)
    path = FOLDER / f"{FIRST.name}.zst"
    disk.put(path, other.get(path))
    refused(disk, match="does not continue")


def test_an_edited_frame_with_its_own_checks_recomputed_breaks_at_the_next_frame() -> None:
    """S17: each frame in turn; a chain recomputed to its end is caught by a witness."""
    whole = journal(FRAMES)
    image = whole.get(FIRST)
    starts = offsets(whole)
    frames = read(whole)
    witness = Witness(frames[-1].last_seq, frames[-1].digest)
    for number, frame in enumerate(frames):
        previous = frames[number - 1].digest if number else bytes(32)
        edited = Draft(frame.first_seq, frame.count, frame.inputs[::-1], frame.derived, frame.flags)
        forged = image[: starts[number]] + forged_frame(image, edited, previous)
        disk = whole.copy()
        disk.put(FIRST, forged + image[starts[number + 1] :])
        if number + 1 < len(frames) - 1:
            damage = refused(disk, match="digest differs")
            assert (damage.offset, damage.seq) == (starts[number + 1], frames[number + 1].first_seq)
        digest = read_digest(forged, disk)
        for later in frames[number + 1 :]:
            draft = Draft(later.first_seq, later.count, later.inputs, later.derived, later.flags)
            forged += forged_frame(image, draft, digest)
            digest = read_digest(forged, disk)
        disk.put(FIRST, forged)
        assert recover(ROOT, disk=disk).end_seq == 27
        with pytest.raises(JournalBehindWitness, match="differs from the record"):
            recover(ROOT, witness=witness, disk=disk)


def read_digest(image: bytes, disk: MemoryDisk) -> bytes:
    disk.put(FIRST, image)
    return read(disk)[-1].digest


def test_a_start_without_a_journal_is_refused() -> None:
    disk = MemoryDisk()
    disk.mkdir(ROOT)
    with pytest.raises(JournalError, match=r"journal\.id"):
        recover(ROOT, disk=disk)


def test_a_lost_identity_is_not_replaced_while_there_are_unsealed_days() -> None:
    disk = journal(FRAMES)
    disk.unlink(ROOT / "journal.id")
    with pytest.raises(JournalDamaged, match=r"journal\.id"):
        ensure_identity(ROOT, bytes(16), disk)
    assert not disk.exists(ROOT / "journal.id")


def test_a_later_frame_is_found_wherever_the_search_divides_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """J02, X04: the last header lies across the boundary of two reads, at every position."""
    disk = journal(FRAMES)
    image = bytearray(disk.get(FIRST))
    start = offsets(disk)[-2]
    image[start - 1] ^= 1  # the digest of the last frame but one
    disk.put(FIRST, bytes(image))
    for chunk in range(32, 700):
        monkeypatch.setattr(repair, "_CHUNK", chunk)
        refused(disk, match=f"a valid frame follows at offset {start}")
