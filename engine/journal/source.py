"""The bytes of a segment: from a plain file, or from a sealed one unpacked chunk by chunk.

Both sources return the same bytes in order and keep at most one chunk in memory. A sealed source also
checks every byte of its container (see `sealed.py` for the format). Faults are raised as `SourceFault`
with the offset in the file; the reader, which knows the seq, turns them into `JournalDamaged`.
"""

from __future__ import annotations

from hashlib import blake2b
from pathlib import Path
from typing import Protocol

from engine.errors import JournalVersionError

from .catalog import SegmentFile
from .disk import Disk, uninterrupted
from .frame import Digest
from .sealed import (
    CHUNK_HEADER_SIZE,
    SEALED_HEADER_SIZE,
    TRAILER_SIZE,
    SealedFault,
    Trailer,
    parse_chunk_header,
    parse_sealed_header,
    parse_trailer,
    unpack_chunk,
)
from .segment import SEGMENT_HEADER_SIZE

__all__ = ["PlainSource", "SealedSource", "Source", "SourceFault", "open_source", "same_bytes"]


class SourceFault(Exception):
    """The bytes cannot be read. Carries the offset in the file, in bytes."""

    def __init__(self, reason: str, offset: int) -> None:
        super().__init__(reason)
        self.reason = reason
        self.offset = offset


class Source(Protocol):
    """The bytes of one segment, from start to end."""

    def read(self, size: int) -> bytes:
        """Return the next bytes, about `size` of them; b"" at the end. Raises SourceFault."""

    def may_hold(self, size: int) -> bool:
        """Return whether `size` more bytes can follow, as far as is known without reading them."""

    def check_end(self, seq: int, digest: Digest) -> None:
        """Check, at the end, that the chain may end at `seq` and `digest`. Raises SourceFault."""

    def close(self) -> None: ...


class PlainSource:
    """A plain segment from `offset` on, up to its length when it was opened: a writer may be appending."""

    def __init__(self, path: Path, disk: Disk, offset: int = 0) -> None:
        self._disk = disk
        self._offset = offset
        try:
            self._fd = uninterrupted(disk.open_read, path)
        except OSError as error:
            raise SourceFault(f"cannot be opened: {error.strerror or error}", 0) from error
        try:
            self.size = disk.size(self._fd)
        except OSError as error:
            disk.close(self._fd)
            raise SourceFault(f"cannot be read: {error.strerror or error}", 0) from error

    def read(self, size: int) -> bytes:
        wanted = min(size, self.size - self._offset)
        if wanted <= 0:
            return b""
        try:
            data = uninterrupted(self._disk.pread, self._fd, wanted, self._offset)
        except OSError as error:
            raise SourceFault(f"cannot be read: {error.strerror or error}", self._offset) from error
        self._offset += len(data)
        return data

    def may_hold(self, size: int) -> bool:
        return size <= self.size - self._offset

    def check_end(self, seq: int, digest: Digest) -> None:
        """Do nothing: a plain segment does not store its end."""

    def close(self) -> None:
        self._disk.close(self._fd)


class SealedSource:
    """A sealed segment. Each chunk is checked before it is unpacked, and the trailer at the end.

    `whole` also checks the digest of all unpacked bytes, which is redundant when the chain is checked.
    """

    def __init__(self, path: Path, disk: Disk, *, whole: bool = False) -> None:
        self._hash = blake2b(digest_size=32) if whole else None
        self._file = PlainSource(path, disk)
        self._index = 0
        self._offset = 0
        self._given = 0
        self.trailer: Trailer | None = None
        try:
            self.header = parse_sealed_header(self._exactly(SEALED_HEADER_SIZE))
        except SealedFault as fault:
            self.close()
            raise SourceFault(str(fault), 0) from fault
        except (SourceFault, JournalVersionError):
            self.close()
            raise
        self._offset = SEALED_HEADER_SIZE

    @property
    def size(self) -> int:
        """The size of the sealed file in bytes."""
        return self._file.size

    def read(self, size: int) -> bytes:
        if self.trailer is not None:
            return b""
        try:
            return self._next()
        except SealedFault as fault:
            raise SourceFault(str(fault), self._offset) from fault

    def may_hold(self, size: int) -> bool:
        return self.trailer is None

    def check_end(self, seq: int, digest: Digest) -> None:
        if self.trailer is None or (self.trailer.end_seq, self.trailer.digest) != (seq, digest):
            raise SourceFault("the trailer does not match the last frame", self._offset)
        if self._hash is not None and self._hash.digest() != self.trailer.raw_digest:
            raise SourceFault("the unpacked bytes differ from those that were sealed", self._offset)

    def close(self) -> None:
        self._file.close()

    def _next(self) -> bytes:
        head = self._exactly(CHUNK_HEADER_SIZE)
        chunk = parse_chunk_header(head)
        if chunk.packed_size == 0:
            self._end(head)
            return b""
        data = unpack_chunk(chunk, self._index, self._exactly(chunk.packed_size))
        if self._index == 0 and data[:SEGMENT_HEADER_SIZE] != self.header:
            raise SealedFault(
                "the segment header in the first chunk differs from the one in the container header"
            )
        if self._hash is not None:
            self._hash.update(data)
        self._index += 1
        self._given += len(data)
        self._offset += CHUNK_HEADER_SIZE + chunk.packed_size
        return data

    def _end(self, head: bytes) -> None:
        trailer = parse_trailer(head + self._exactly(TRAILER_SIZE - CHUNK_HEADER_SIZE))
        if (trailer.chunks, trailer.raw_size) != (self._index, self._given):
            raise SealedFault(
                f"the chunks unpack to {self._given} bytes, but the trailer says {trailer.raw_size}"
            )
        if self._file.may_hold(1):
            self._offset += TRAILER_SIZE
            raise SealedFault("the file has bytes after the trailer")
        self.trailer = trailer

    def _exactly(self, size: int) -> bytes:
        if not self._file.may_hold(size):
            raise SealedFault("the file ends too early")
        data = self._file.read(size)
        while len(data) < size:
            more = self._file.read(size - len(data))
            if not more:
                raise SealedFault("the file ends too early")
            data += more
        return data


def open_source(segment: SegmentFile, disk: Disk, *, whole: bool = False) -> Source:
    """Open a segment, plain or sealed. Raises SourceFault, JournalVersionError."""
    if segment.sealed:
        return SealedSource(segment.path, disk, whole=whole)
    return PlainSource(segment.path, disk)


def same_bytes(sealed: SegmentFile, plain: Path, disk: Disk) -> bool:
    """Return whether a sealed segment unpacks to exactly the bytes of a plain one.

    Raises SourceFault if either cannot be read to its end.
    """
    left = SealedSource(sealed.path, disk, whole=True)
    try:
        right = PlainSource(plain, disk)
        try:
            while data := left.read(0):
                while data:
                    other = right.read(len(data))
                    if not other or data[: len(other)] != other:
                        return False
                    data = data[len(other) :]
            assert left.trailer is not None
            left.check_end(left.trailer.end_seq, left.trailer.digest)
            return not right.may_hold(1)
        finally:
            right.close()
    finally:
        left.close()
