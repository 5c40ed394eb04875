"""The bytes of one frame: a group commit of whole turns.

Owns the frame header, its CRC and the chained digest. Promises that a frame read back is the frame
written, or that the difference is detected. Used by the writer, the reader and recovery; no other code
packs or unpacks these bytes. All numbers are little-endian. `journal/README.md` describes the same
format for a reader with only a hex editor.

    offset  size  header
         0     4  magic              ab 46 52 4d ("\\xabFRM")
         4     4  inputs_length      bytes of the inputs blob
         8     4  derived_length     bytes of the derived blob
        12     8  first_seq          seq of the first record of the frame
        20     4  count              records in the frame, inputs + derived
        24     2  flags              bit 0: last frame of a session that stopped cleanly;
                                     the others belong to the caller
        26     2  reserved           zero
        28     4  crc32 of the 28 bytes before, seeded with crc32 of the segment's salt
        32        inputs blob, then derived blob (msgpack; opaque to this package)
       ...    32  digest = blake2b-256(previous digest, first_seq, count, inputs_length,
                                       derived_length, flags, inputs blob, derived blob)

The digest covers neither salt nor CRC, so two runs that record the same events in the same frames
end with the same digest. The CRC is seeded with the salt, so bytes of another segment, or data that looks
like a frame, do not pass for a header of this one.
"""

from __future__ import annotations

import struct
from hashlib import blake2b
from zlib import crc32

import msgspec

__all__ = [
    "COUNT_MAX",
    "DIGEST_SIZE",
    "FLAG_CLEAN_STOP",
    "FRAME_BYTES_MAX",
    "FRAME_HEADER_SIZE",
    "FRAME_MAGIC",
    "FRAME_OVERHEAD",
    "ZERO_DIGEST",
    "Digest",
    "Draft",
    "Frame",
    "chained_digest",
    "check_draft",
    "header_is_valid",
    "pack_frame",
    "packed",
    "salt_seed",
]

Digest = bytes
"""Chain digest: 32 bytes, blake2b-256."""

DIGEST_SIZE = 32
ZERO_DIGEST: Digest = bytes(DIGEST_SIZE)
FRAME_MAGIC = b"\xabFRM"
FRAME_HEADER_SIZE = 32
FRAME_OVERHEAD = FRAME_HEADER_SIZE + DIGEST_SIZE
FRAME_BYTES_MAX = 64 * 1024 * 1024
"""Upper bound on the payload of one frame (inputs + derived), in bytes."""
COUNT_MAX = 2**20
"""Upper bound on the records of one frame."""
FLAG_CLEAN_STOP = 1
"""Flag bit 0: this frame ends a session that stopped cleanly."""

HEADER_BODY = struct.Struct("<4sIIQIHH")  # the 28 bytes that the CRC covers
HEADER = struct.Struct("<4sIIQIHHI")  # the whole header: 32 bytes
DIGESTED = struct.Struct("<QIIIH")  # the header fields that the digest covers


class Draft(msgspec.Struct, frozen=True, gc=False):
    """A frame that is not written yet. `inputs` and `derived` are msgpack blobs, opaque here."""

    first_seq: int
    count: int
    inputs: bytes
    derived: bytes = b""
    flags: int = 0


class Frame(msgspec.Struct, frozen=True, gc=False):
    """A frame as read. `offset` is the position of its header in the plain segment `file`, in bytes."""

    first_seq: int
    count: int
    flags: int
    inputs: bytes
    derived: bytes
    digest: Digest
    file: str
    offset: int

    @property
    def last_seq(self) -> int:
        """Seq of the last record of the frame."""
        return self.first_seq + self.count - 1


def salt_seed(salt: bytes) -> int:
    """Return the CRC32 of a segment's salt: the seed of the CRC of every frame header in that segment."""
    return crc32(salt)


def chained_digest(previous: Digest, draft: Draft) -> Digest:
    """Return the digest of the chain after `draft` is appended to `previous`."""
    sizes = DIGESTED.pack(draft.first_seq, draft.count, len(draft.inputs), len(draft.derived), draft.flags)
    state = blake2b(previous + sizes, digest_size=DIGEST_SIZE)
    state.update(draft.inputs)
    state.update(draft.derived)
    return state.digest()


def pack_frame(draft: Draft, previous: Digest, seed: int) -> tuple[bytes, Digest]:
    """Return the bytes of a frame and the digest of the chain after it.

    `seed` is the `salt_seed` of the segment it is written to. Raises ValueError as `check_draft` does.
    """
    check_draft(draft)
    inputs_length, derived_length = len(draft.inputs), len(draft.derived)
    body = HEADER_BODY.pack(
        FRAME_MAGIC, inputs_length, derived_length, draft.first_seq, draft.count, draft.flags, 0
    )
    check = crc32(body, seed).to_bytes(4, "little")
    digest = chained_digest(previous, draft)
    return b"".join((body, check, draft.inputs, draft.derived, digest)), digest


def packed(frame: Frame, seed: int) -> bytes:
    """Return the bytes of a frame that was read from a segment with this seed."""
    sizes = len(frame.inputs), len(frame.derived)
    body = HEADER_BODY.pack(FRAME_MAGIC, *sizes, frame.first_seq, frame.count, frame.flags, 0)
    check = crc32(body, seed).to_bytes(4, "little")
    return b"".join((body, check, frame.inputs, frame.derived, frame.digest))


def check_draft(draft: Draft) -> None:
    """Raise ValueError if a draft is empty or above a bound. A reader would refuse such a frame."""
    size = len(draft.inputs) + len(draft.derived)
    if not 0 < size <= FRAME_BYTES_MAX:
        raise ValueError(f"a frame holds 1 to {FRAME_BYTES_MAX} payload bytes, not {size}")
    if not 0 < draft.count <= COUNT_MAX:
        raise ValueError(f"a frame holds 1 to {COUNT_MAX} records, not {draft.count}")
    if not 0 < draft.first_seq < 2**64 - COUNT_MAX or not 0 <= draft.flags < 2**16:
        raise ValueError(f"seq {draft.first_seq} or flags {draft.flags:#x} do not fit in a frame header")


def header_is_valid(data: bytes, at: int, seed: int) -> bool:
    """Return whether 32 bytes at `at` are a frame header of the segment with this seed: magic and CRC."""
    end = at + FRAME_HEADER_SIZE
    if len(data) < end or data[at : at + 4] != FRAME_MAGIC:
        return False
    return crc32(data[at : end - 4], seed) == int.from_bytes(data[end - 4 : end], "little")
