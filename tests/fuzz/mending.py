"""Computes the checks of a changed segment again, so that what is behind them is read too.

An attacker can do the same: neither CRC nor digest is a signature.
"""

from __future__ import annotations

import struct
from hashlib import blake2b
from zlib import crc32

from engine.journal.frame import (
    DIGEST_SIZE,
    DIGESTED,
    FRAME_HEADER_SIZE,
    FRAME_MAGIC,
    HEADER,
)
from engine.journal.sealed import CHUNK_HEADER_SIZE, SEALED_HEADER_SIZE, TRAILER_SIZE
from engine.journal.segment import SEGMENT_HEADER_SIZE

__all__ = ["mended"]

_HEADER_BODY = FRAME_HEADER_SIZE - 4


def mended(data: bytes, *, sealed: bool) -> bytes:
    """Return a segment with every CRC and digest right, as far as its structure can be followed."""
    return _sealed(data) if sealed else _plain(data)


def _plain(data: bytes) -> bytes:
    if len(data) < SEGMENT_HEADER_SIZE:
        return data
    body = bytearray(data)
    body[124:128] = crc32(bytes(body[:124])).to_bytes(4, "little")
    seed = crc32(bytes(body[72:88]))
    previous = bytes(body[40:72])
    at = SEGMENT_HEADER_SIZE
    while at + FRAME_HEADER_SIZE <= len(body):
        magic, inputs, derived, first_seq, count, flags, _, _ = HEADER.unpack_from(body, at)
        end = at + FRAME_HEADER_SIZE + inputs + derived
        if magic != FRAME_MAGIC:
            break
        check = crc32(bytes(body[at : at + _HEADER_BODY]), seed)
        body[at + _HEADER_BODY : at + FRAME_HEADER_SIZE] = check.to_bytes(4, "little")
        if end + DIGEST_SIZE > len(body):
            break
        sizes = DIGESTED.pack(first_seq, count, inputs, derived, flags)
        state = blake2b(previous + sizes, digest_size=DIGEST_SIZE)
        state.update(bytes(body[at + FRAME_HEADER_SIZE : end]))
        previous = state.digest()
        body[end : end + DIGEST_SIZE] = previous
        at = end + DIGEST_SIZE
    return bytes(body)


def _sealed(data: bytes) -> bytes:
    if len(data) < SEALED_HEADER_SIZE:
        return data
    body = bytearray(data)
    body[12 + 124 : 12 + 128] = crc32(bytes(body[12 : 12 + 124])).to_bytes(4, "little")
    body[140:144] = crc32(bytes(body[:140])).to_bytes(4, "little")
    at, index = SEALED_HEADER_SIZE, 0
    while at + CHUNK_HEADER_SIZE <= len(body):
        packed, raw = struct.unpack_from("<II", body, at)
        begin = at + CHUNK_HEADER_SIZE
        if packed == 0:
            trailer = bytes(body[begin : at + TRAILER_SIZE])
            if len(trailer) == TRAILER_SIZE - CHUNK_HEADER_SIZE:
                chunks = int.from_bytes(trailer[:8], "little")
                body[at + 8 : begin] = _check(chunks, 0, 0, trailer)
            break
        body[at + 8 : begin] = _check(index, packed, raw, bytes(body[begin : begin + packed]))
        at, index = begin + packed, index + 1
    return bytes(body)


def _check(index: int, packed: int, raw: int, data: bytes) -> bytes:
    state = blake2b(struct.pack("<QII", index, packed, raw), digest_size=16)
    state.update(data)
    return state.digest()
