"""The bytes of a segment header, and the name of a segment file.

A segment is one file: a header, then frames up to the end of the file, with nothing between them.
Every byte is covered by a CRC or a digest, or is a constant that is checked.

    offset  size  segment header (128 bytes, little-endian)
         0     8  magic              "retape\\r\\n"
         8     2  format version     1
        10     2  header length      128
        12     4  day                yyyymmdd as a number
        16    16  journal id
        32     8  first_seq          seq of the first record of the segment; also its name
        40    32  previous digest    digest of the frame before, zeros at the start of a journal
        72    16  salt               random; seeds the CRC of every frame header in this file
        88     8  created_ns         engine time of the first frame, UTC nanoseconds
        96     4  number             which segment of its day this is, from 0
       100    24  zeros
       124     4  crc32 of the 124 bytes before

Every later format version keeps the fields up to `first_seq`, and in the last four bytes of the header
a CRC32 of the bytes before it. So any version can read which version wrote a segment.
"""

from __future__ import annotations

import re
import struct
from zlib import crc32

import msgspec

from engine.errors import JournalDamaged, JournalVersionError

from .frame import DIGEST_SIZE, Digest

__all__ = [
    "FORMAT_VERSION",
    "JOURNAL_ID_SIZE",
    "SALT_SIZE",
    "SEALED_SUFFIX",
    "SEGMENT_HEADER_SIZE",
    "SEGMENT_HEADER_SIZE_MAX",
    "SEGMENT_MAGIC",
    "SegmentHeader",
    "SegmentInfo",
    "header_is_whole",
    "pack_segment_header",
    "parse_segment_header",
    "parse_segment_info",
    "segment_name",
]

SEGMENT_MAGIC = b"retape\r\n"
SEGMENT_HEADER_SIZE = 128
SEGMENT_HEADER_SIZE_MAX = 4096  # in any format version
FORMAT_VERSION = 1
JOURNAL_ID_SIZE = 16
SALT_SIZE = 16
SEGMENT_SUFFIX = ".seg"
SEALED_SUFFIX = ".seg.zst"

_COMMON = struct.Struct("<8sHHI16sQ")  # the same in every format version
_BODY = struct.Struct("<8sHHI16sQ32s16sQI24x")
_NAME = re.compile(r"([0-9]{20})\.seg(\.zst)?")


class SegmentInfo(msgspec.Struct, frozen=True):
    """The header fields that every format version has."""

    file: str
    version: int
    day: int
    journal_id: bytes
    first_seq: int
    sealed: bool


class SegmentHeader(msgspec.Struct, frozen=True):
    """A segment header. `day` is yyyymmdd, `created_ns` UTC nanoseconds, `number` counts within the day."""

    day: int
    journal_id: bytes
    first_seq: int
    previous: Digest
    salt: bytes
    created_ns: int
    number: int


def segment_name(first_seq: int, *, sealed: bool = False) -> str:
    """Return the file name of the segment that begins with `first_seq`."""
    return f"{first_seq:020d}{SEALED_SUFFIX if sealed else SEGMENT_SUFFIX}"


def parse_segment_name(name: str) -> tuple[int, bool] | None:
    """Return (first_seq, sealed) of a file name, or None if it is not the name of a segment."""
    match = _NAME.fullmatch(name)
    return None if match is None else (int(match[1]), match[2] is not None)


def pack_segment_header(header: SegmentHeader) -> bytes:
    """Return the 128 bytes of a header. Raises ValueError if an id, salt or digest has the wrong length."""
    sizes = (len(header.journal_id), len(header.salt), len(header.previous))
    if sizes != (JOURNAL_ID_SIZE, SALT_SIZE, DIGEST_SIZE):
        raise ValueError(f"journal id, salt and digest must have 16, 16 and 32 bytes, not {sizes}")
    body = _BODY.pack(
        SEGMENT_MAGIC,
        FORMAT_VERSION,
        SEGMENT_HEADER_SIZE,
        header.day,
        header.journal_id,
        header.first_seq,
        header.previous,
        header.salt,
        header.created_ns,
        header.number,
    )
    return body + crc32(body).to_bytes(4, "little")


def header_is_whole(data: bytes) -> bool:
    """Return whether the 128 bytes of a header, of any version, are those that were written."""
    return data[:8] == SEGMENT_MAGIC and crc32(data[:-4]) == int.from_bytes(data[-4:], "little")


def parse_segment_info(data: bytes, *, file: str, sealed: bool) -> SegmentInfo:
    """Return the common header fields at the start of a segment (`data`, up to 4096 bytes) of any version.

    Raises JournalDamaged if `data` is not a segment header or its CRC is wrong.
    """
    if len(data) < SEGMENT_HEADER_SIZE:
        raise _damaged(f"the file has {len(data)} bytes, too few for a segment header", file)
    magic, version, length, day, journal_id, first_seq = _COMMON.unpack_from(data)
    if magic != SEGMENT_MAGIC:
        raise _damaged("the file does not begin with the magic of a segment", file)
    if not SEGMENT_HEADER_SIZE <= length <= min(SEGMENT_HEADER_SIZE_MAX, len(data)):
        raise _damaged(f"segment header length {length} is impossible", file)
    if crc32(data[: length - 4]) != int.from_bytes(data[length - 4 : length], "little"):
        raise _damaged("the CRC of the segment header is wrong", file)
    return SegmentInfo(file, version, day, journal_id, first_seq, sealed)


def parse_segment_header(data: bytes, *, file: str) -> SegmentHeader:
    """Return the header of a segment. `data` is the start of the file, at least 128 bytes if it has as many.

    Raises JournalDamaged if a byte is wrong, JournalVersionError for another format version.
    """
    info = parse_segment_info(data, file=file, sealed=False)
    if info.version != FORMAT_VERSION:
        raise JournalVersionError(
            f"{file}: journal format version {info.version}; this program reads version {FORMAT_VERSION}. "
            "Use the version that wrote it, or a newer one."
        )
    _, _, length, day, journal_id, first_seq, previous, salt, created_ns, number = _BODY.unpack_from(data)
    if length != SEGMENT_HEADER_SIZE or any(data[100:124]):
        raise _damaged("bytes of the segment header that must be zero are not", file)
    return SegmentHeader(day, journal_id, first_seq, previous, salt, created_ns, number)


def _damaged(reason: str, file: str) -> JournalDamaged:
    named = parse_segment_name(file.rsplit("/", 1)[-1])
    return JournalDamaged(reason, file=file, offset=0, seq=named[0] if named else 0)
