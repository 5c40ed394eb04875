"""The bytes of a sealed segment: the same frames, compressed. Every byte of the file is checked.

    size  container header (144 bytes)
       8  magic              "retapez\\n"
       2  container version  1
       2  header length      144
     128  the segment header, unchanged
       4  crc32 of the 140 bytes before

    size  chunks, each of at most 4 MiB of the segment, the segment header included
       4  packed size        bytes of zstd data that follow
       4  raw size           bytes after unpacking
      16  blake2b-128 of (chunk index u64, packed size, raw size, zstd data)
     ...  zstd data, one zstd frame

    size  trailer (112 bytes), at the very end of the file
       8  zeros              an empty chunk
      16  blake2b-128 of (number of chunks u64, those zeros, the 88 bytes that follow)
       8  number of chunks
       8  raw size           bytes of the whole segment
       8  end seq            seq of its last record
      32  chain digest       digest of its last frame
      32  blake2b-256 of the whole segment

The segment header is stored uncompressed at the front, and the trailer holds the end of the chain, so a
start can link a year of sealed days by reading 256 bytes of each segment.
"""

from __future__ import annotations

import struct
from hashlib import blake2b
from zlib import crc32

import msgspec
import zstandard

from engine.errors import JournalVersionError

from .frame import Digest

__all__ = [
    "CHUNK_HEADER_SIZE",
    "CHUNK_RAW_MAX",
    "SEALED_HEADER_SIZE",
    "SEALED_VERSION",
    "TRAILER_SIZE",
    "ChunkHeader",
    "SealedFault",
    "Trailer",
    "pack_chunk",
    "pack_sealed_header",
    "pack_trailer",
    "parse_chunk_header",
    "parse_sealed_header",
    "parse_trailer",
    "unpack_chunk",
]

SEALED_MAGIC = b"retapez\n"
SEALED_VERSION = 1
SEALED_HEADER_SIZE = 144
CHUNK_HEADER_SIZE = 24
TRAILER_SIZE = 112
CHUNK_RAW_MAX = 4 * 1024 * 1024
"""Upper bound on the bytes of a segment in one chunk. A reader holds one chunk in memory."""

_PACKED_MAX = CHUNK_RAW_MAX + CHUNK_RAW_MAX // 128 + 1024  # the bound that zstd guarantees, rounded up
_WINDOW_MAX = 2 * CHUNK_RAW_MAX  # of zstd; a frame that needs more memory was not written here
_HEADER = struct.Struct("<8sHH128s")
_SIZES = struct.Struct("<II")
_CHECKED = struct.Struct("<QII")
_TRAILER = struct.Struct("<QQQ32s32s")
_LEVEL = 9


class SealedFault(Exception):
    """The container is damaged."""


class ChunkHeader(msgspec.Struct, frozen=True):
    """Sizes in bytes, and the checksum of the chunk."""

    packed_size: int
    raw_size: int
    check: bytes


class Trailer(msgspec.Struct, frozen=True):
    """The end of a sealed segment. `raw_size` is the unpacked size in bytes, `raw_digest` covers them."""

    chunks: int
    raw_size: int
    end_seq: int
    digest: Digest
    raw_digest: bytes


def pack_sealed_header(segment_header: bytes) -> bytes:
    """Return the container header. `segment_header` is the first 128 bytes of the segment."""
    body = _HEADER.pack(SEALED_MAGIC, SEALED_VERSION, SEALED_HEADER_SIZE, segment_header)
    return body + crc32(body).to_bytes(4, "little")


def parse_sealed_header(data: bytes) -> bytes:
    """Return the 128 bytes of the segment header. Raises SealedFault, JournalVersionError."""
    magic, version, length, segment_header = _HEADER.unpack_from(data)
    if magic != SEALED_MAGIC:
        raise SealedFault("the file does not begin with the magic of a sealed segment")
    if crc32(data[:140]) != int.from_bytes(data[140:144], "little"):
        raise SealedFault("the CRC of the container header is wrong")
    if version != SEALED_VERSION or length != SEALED_HEADER_SIZE:
        raise JournalVersionError(
            f"sealed segment of container version {version}; this program reads version {SEALED_VERSION}"
        )
    return bytes(segment_header)


def pack_chunk(index: int, raw: bytes) -> bytes:
    """Return one chunk: header and compressed data. `raw` has 1 byte to 4 MiB."""
    assert 0 < len(raw) <= CHUNK_RAW_MAX
    packed = zstandard.ZstdCompressor(level=_LEVEL).compress(raw)
    return _SIZES.pack(len(packed), len(raw)) + _check(index, len(packed), len(raw), packed) + packed


def parse_chunk_header(data: bytes) -> ChunkHeader:
    """Return the header of a chunk. Raises SealedFault for impossible sizes, before memory is allocated."""
    packed_size, raw_size = _SIZES.unpack_from(data)
    if packed_size > _PACKED_MAX or raw_size > CHUNK_RAW_MAX or (packed_size == 0) != (raw_size == 0):
        raise SealedFault(
            f"a chunk header says {packed_size} packed and {raw_size} raw bytes, which is impossible"
        )
    return ChunkHeader(packed_size, raw_size, data[8:CHUNK_HEADER_SIZE])


def unpack_chunk(chunk: ChunkHeader, index: int, packed: bytes) -> bytes:
    """Return the unpacked bytes of a chunk, after checking it. Raises SealedFault."""
    if _check(index, chunk.packed_size, chunk.raw_size, packed) != chunk.check:
        raise SealedFault(f"chunk {index} is not the one that was written")
    try:
        if zstandard.get_frame_parameters(packed).content_size != chunk.raw_size:
            raise SealedFault(f"chunk {index} does not unpack to {chunk.raw_size} bytes")
        raw = zstandard.ZstdDecompressor(max_window_size=_WINDOW_MAX).decompress(packed)
    except zstandard.ZstdError as error:
        raise SealedFault(f"chunk {index} cannot be unpacked: {error}") from error
    if len(raw) != chunk.raw_size:
        raise SealedFault(f"chunk {index} does not unpack to {chunk.raw_size} bytes")
    return raw


def pack_trailer(trailer: Trailer) -> bytes:
    """Return the 112 bytes at the end of a sealed segment."""
    body = _TRAILER.pack(
        trailer.chunks, trailer.raw_size, trailer.end_seq, trailer.digest, trailer.raw_digest
    )
    return _SIZES.pack(0, 0) + _check(trailer.chunks, 0, 0, body) + body


def parse_trailer(data: bytes) -> Trailer:
    """Return the trailer stored in 112 bytes. Raises SealedFault."""
    body = data[CHUNK_HEADER_SIZE:]
    trailer = Trailer(*_TRAILER.unpack(body))
    if data[:8] != bytes(8) or _check(trailer.chunks, 0, 0, body) != data[8:CHUNK_HEADER_SIZE]:
        raise SealedFault("the trailer is not the one that was written")
    return trailer


def _check(index: int, packed_size: int, raw_size: int, data: bytes) -> bytes:
    state = blake2b(_CHECKED.pack(index, packed_size, raw_size), digest_size=16)
    state.update(data)
    return state.digest()
