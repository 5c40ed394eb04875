"""What a journal that somebody has made can have a reader allocate: sizes and counts are checked first."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec
import pytest
import zstandard

from engine.errors import JournalDamaged, JournalError
from engine.events.codec import encode_inputs
from engine.journal import Frame, read_frames, recover, seal_day, verify_day
from engine.journal.sealed import CHUNK_RAW_MAX, ChunkHeader, SealedFault, _check, unpack_chunk
from engine.records import records_of

from .disks import MemoryDisk
from .kit import FIRST, FOLDER, ROOT, SMALL, forged_header, journal

MIB = 1024 * 1024


@contextmanager
def at_most(limit: int) -> Iterator[None]:
    """Check that the block allocates at most so many bytes at a time."""
    tracemalloc.start()
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak <= limit, f"{peak:,} bytes"


@pytest.mark.parametrize("lengths", [(64 * MIB - 1, 1), (2**32 - 1, 0), (2**31, 2**31), (0, 2**32 - 1)])
@pytest.mark.parametrize("reader", [verify_day, recover])
def test_j24_a_length_that_the_file_does_not_have_allocates_nothing(
    lengths: tuple[int, int], reader: Callable[..., object]
) -> None:
    disk = journal(SMALL)
    image = disk.get(FIRST)
    forged = forged_header(image, inputs_length=lengths[0], derived_length=lengths[1], first_seq=37, count=1)
    disk.put(FIRST, image + forged + bytes(4096))
    with at_most(4 * MIB), suppress(JournalError):
        reader(ROOT if reader is recover else FOLDER, disk=disk)


def chunk(data: bytes, raw_size: int) -> ChunkHeader:
    return ChunkHeader(len(data), raw_size, _check(0, len(data), raw_size, data))


def test_a_chunk_that_unpacks_to_more_than_it_says_is_refused_before_it_is_unpacked() -> None:
    bomb = zstandard.ZstdCompressor(level=9).compress(bytes(256 * MIB))
    assert len(bomb) < 64 * 1024
    unsized = zstandard.ZstdCompressor(write_content_size=False).compress(bytes(256 * MIB))
    for data in (bomb, unsized):
        with at_most(2 * MIB), pytest.raises(SealedFault, match="does not unpack"):
            unpack_chunk(chunk(data, 1000), 0, data)


def test_a_chunk_that_needs_a_large_window_is_refused() -> None:
    data = b"\x28\xb5\x2f\xfd\x80\x98" + CHUNK_RAW_MAX.to_bytes(4, "little") + b"\x01\x00\x00"
    assert zstandard.get_frame_parameters(data).window_size == 2**29
    with at_most(CHUNK_RAW_MAX + MIB), pytest.raises(SealedFault, match="cannot be unpacked"):
        unpack_chunk(chunk(data, CHUNK_RAW_MAX), 0, data)


def test_a_chunk_header_of_a_sealed_segment_is_checked_before_its_bytes_are_read() -> None:
    disk = journal(SMALL)
    seal_day(FOLDER, newest=True, disk=disk)
    path = FOLDER / f"{1:020d}.seg.zst"
    data = bytearray(disk.get(path))
    data[144:152] = (2**32 - 1).to_bytes(4, "little") * 2
    disk.put(path, bytes(data))
    with at_most(4 * MIB), pytest.raises(JournalDamaged, match="impossible"):
        verify_day(FOLDER, disk=disk)


@pytest.mark.parametrize("blob", ["inputs", "derived"])
def test_more_records_than_a_frame_says_are_refused_before_they_are_decoded(blob: str) -> None:
    element = b"\x92\xa5clock\x00" if blob == "inputs" else b"\x93\x01\x00\x92\xa5clock\x00"
    many = b"\xdd" + (1_000_000).to_bytes(4, "big") + element * 1_000_000
    parts = {"inputs": encode_inputs([]), "derived": b"\x90", blob: many}
    frame = Frame(1, 2, 0, parts["inputs"], parts["derived"], bytes(32), "made.seg", 128)
    with at_most(MIB), pytest.raises(JournalDamaged, match="says 2 records, and it holds 1000000"):
        list(records_of(frame))


def test_a_count_without_contents_allocates_nothing() -> None:
    frame = Frame(1, 2**20, 0, b"\xdd\x00\x0f\xff\xff", b"", bytes(32), "made.seg", 128)
    with at_most(MIB), pytest.raises(JournalError):
        list(records_of(frame))


def test_a_journal_id_of_any_length_is_read_in_part(tmp_path: Path) -> None:
    disk = MemoryDisk()
    disk.put(ROOT / "journal.id", bytes(32 * MIB))
    with at_most(MIB), pytest.raises(JournalDamaged, match="32 hex digits"):
        recover(ROOT, disk=disk)


def test_the_example_frame_decodes() -> None:
    """The counts above are read where MessagePack has them: short, 16 and 32 bits."""
    for count in (3, 15, 16, 70_000):
        events = [["clock", number] for number in range(count)]
        frame = Frame(1, count, 0, msgspec.msgpack.encode(events), b"", bytes(32), "made.seg", 128)
        assert len(list(records_of(frame))) == count
    assert list(read_frames(FOLDER, disk=journal(SMALL)))
