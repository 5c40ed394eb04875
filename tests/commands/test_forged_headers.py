"""Headers that somebody has changed, with right CRCs and digests: verify and replay alike refuse them.

Each number in the header of a frame and of a segment is changed to others, one at a time. What a header may
say without harm is listed in `FREE`: it decides nothing.
"""

from __future__ import annotations

import shutil
import struct
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path
from zlib import crc32

import pytest

from engine.journal.frame import DIGESTED, HEADER, HEADER_BODY
from engine.journal.segment import SEGMENT_HEADER_SIZE

from .kit import engine

FRAME = ("magic", "inputs_length", "derived_length", "first_seq", "count", "flags", "reserved")
SEGMENT = {
    "magic": (0, 8),
    "version": (8, 2),
    "header length": (10, 2),
    "day": (12, 4),
    "first_seq": (32, 8),
    "previous digest": (40, 8),
    "number": (96, 4),
    "zeros": (100, 8),
}
FREE = {
    "flags": "bit 0 says that a session stopped cleanly, the others belong to the caller",
    "journal id": "a day that is copied out of its journal is verified alone",
    "salt": "any salt seeds the CRCs of its own segment",
    "created_ns": "for people only",
}


@pytest.fixture(scope="module")
def image(traded: Path) -> bytes:
    (segment,) = traded.glob("*.seg")
    return segment.read_bytes()


def frames_in(image: bytes) -> Iterator[tuple[list[int], bytes]]:
    """Yield the header fields and the payload of each frame."""
    at = SEGMENT_HEADER_SIZE
    while at < len(image):
        *fields, _ = HEADER.unpack_from(image, at)
        size = fields[1] + fields[2]
        yield fields, image[at + HEADER.size : at + HEADER.size + size]
        at += HEADER.size + size + 32


def forged(image: bytes, number: int, name: str, value: int) -> bytes:
    """Return the segment with one field of one frame changed, and all CRCs and digests right."""
    seed, digest = crc32(image[72:88]), image[40:72]
    made = image[:SEGMENT_HEADER_SIZE]
    for index, (fields, payload) in enumerate(frames_in(image)):
        if index == number:
            fields[FRAME.index(name)] = value.to_bytes(4, "little") if name == "magic" else value  # type: ignore[call-overload]
        body = HEADER_BODY.pack(*fields)
        _, inputs, derived, first_seq, count, flags, _ = fields
        covered = digest + DIGESTED.pack(first_seq, count, inputs, derived, flags) + payload
        digest = blake2b(covered, digest_size=32).digest()
        made += body + crc32(body, seed).to_bytes(4, "little") + payload + digest
    return made


def others(name: str, value: int) -> set[int]:
    """Return other values of a field: near it, impossible, the largest, the ends of signed numbers."""
    top = {"first_seq": 64, "reserved": 16, "flags": 16}.get(name, 32)
    near = {value - 1, value + 1, value + 5, value - 3, value * 2, value ^ 1}
    ends = {0, 1, 2**20 + 1, 2 ** (top - 1) - 1, 2 ** (top - 1), 2**top - 1, 64 * 2**20 + 1}
    return {one for one in near | ends if 0 <= one < 2**top and one != value}


def refused(day: Path) -> None:
    """Check that verify and replay refuse a day alike: exit 4, the same file and offset in one line."""
    places = set()
    for command in (["journal", "verify", day], ["replay", day]):
        done = engine(*command)
        assert done.code == 4, (command, done)
        assert done.err.count("\n") <= 2, done.err
        assert done.out.count("identical") == 0
        places.add(done.err.split(" (seq")[0])
    assert len(places) == 1, places


@pytest.fixture
def day(traded: Path, tmp_path: Path) -> Path:
    shutil.copytree(traded, tmp_path / traded.name)
    return tmp_path / traded.name


@pytest.mark.parametrize("name", [name for name in FRAME if name not in FREE])
def test_a_number_in_the_header_of_a_frame_is_checked_by_verify_and_replay(
    image: bytes, day: Path, name: str
) -> None:
    """X05, J24, J27."""
    frames = list(frames_in(image))
    assert len(frames) >= 2
    (path,) = day.glob("*.seg")
    tried = 0
    for number in (0, len(frames) // 2):
        field = frames[number][0][FRAME.index(name)]
        value = int.from_bytes(field, "little") if isinstance(field, bytes) else field
        for other in sorted(others(name, value)):
            path.write_bytes(forged(image, number, name, other))
            refused(day)
            tried += 1
    assert tried >= 10


@pytest.mark.parametrize("name", SEGMENT)
def test_a_number_in_the_header_of_a_segment_is_checked_by_verify_and_replay(
    image: bytes, day: Path, name: str
) -> None:
    offset, size = SEGMENT[name]
    value = int.from_bytes(image[offset : offset + size], "little")
    (path,) = day.glob("*.seg")
    for other in {value + 1, value ^ 2, 2 ** (8 * size) - 1} - {value}:
        head = bytearray(image[:SEGMENT_HEADER_SIZE])
        head[offset : offset + size] = other.to_bytes(size, "little")
        head[124:128] = struct.pack("<I", crc32(head[:124]))
        path.write_bytes(bytes(head) + image[SEGMENT_HEADER_SIZE:])
        refused(day)


def test_what_decides_nothing_may_be_anything(image: bytes, day: Path) -> None:
    """The list of what is free is complete: these are all other fields."""
    (path,) = day.glob("*.seg")
    path.write_bytes(forged(image, 1, "flags", 0xFFFE))
    for command in (["journal", "verify", day], ["replay", day]):
        assert engine(*command).code == 0
    assert {"flags", "journal id", "salt", "created_ns"} == set(FREE)
