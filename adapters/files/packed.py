"""The bytes of a data file, unpacked: plain, gzip, xz, zstd, bzip2, or the members of a zip archive in order.

Owns which compressions are known and which members of an archive belong together. Promises: memory does not
grow with the file; what a damaged file holds before the damage is returned first. Called by `tables`.

A path may go on inside an archive: `Kraken.zip/XBTUSD.csv` is one member. Without it the archive must hold
one data file, or several whose names differ in their dates only, which are read in the order of their names.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, Final, Protocol, cast

import zstandard

from engine.errors import UsageError

__all__ = ["DAMAGES", "PACKED_ENDINGS", "Packed", "open_packed"]

DAMAGES: Final = (
    EOFError,
    OSError,
    RuntimeError,  # a member that is encrypted
    NotImplementedError,
    zlib.error,
    lzma.LZMAError,
    zipfile.BadZipFile,
    zstandard.ZstdError,
)
"""What reading a damaged or foreign archive raises."""

PACKED_ENDINGS: Final = (".gz", ".xz", ".zst", ".bz2", ".zip")

_BLOCK_BYTES: Final = 256 * 1024
_ZSTD_BYTES: Final = 64 * 1024
_MEMBERS_MAX: Final = 100_000
_LAYERS_MAX: Final = 3
_ZIP: Final = b"PK\x03\x04"
_EMPTY_ZIP: Final = b"PK\x05\x06"
_DATES: Final = re.compile(r"(?:19|20)[0-9]{2}(?:[-_]?[0-9]{2}){0,2}", re.ASCII)


class Stream(Protocol):
    """A file of bytes: `read` for the start, `read1` for what can be had without waiting for a full block."""

    def read(self, size: int = -1, /) -> bytes: ...
    def read1(self, size: int = -1, /) -> bytes: ...


def _xz(stream: Stream) -> Stream:
    return cast("Stream", lzma.open(cast("BinaryIO", stream)))


class _Zstd:
    """Unpacks zstd frames. The reader of `zstandard` would take a file that is cut short for a whole one."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._frame = zstandard.ZstdDecompressor().decompressobj()
        self._begun = False
        self._packed = b""
        self._ready = b""

    def read(self, size: int = -1, /) -> bytes:
        found = bytearray()
        while len(found) < size or size < 0:
            block = self.read1(size if size < 0 else size - len(found))
            if not block:
                break
            found += block
        return bytes(found)

    def read1(self, size: int = -1, /) -> bytes:
        while not self._ready:
            self._packed = self._packed or self._stream.read1(_ZSTD_BYTES)
            if not self._packed:
                if self._begun:
                    raise EOFError("Compressed file ended before the end-of-stream marker was reached")
                return b""
            self._begun = True
            self._ready = self._frame.decompress(self._packed)
            self._packed = b""
            if self._frame.eof:
                self._packed = self._frame.unused_data
                self._frame = zstandard.ZstdDecompressor().decompressobj()
                self._begun = False
        size = len(self._ready) if size < 0 else size
        block, self._ready = self._ready[:size], self._ready[size:]
        return block


_UNPACKERS: Final[tuple[tuple[bytes, Callable[[Stream], Stream]], ...]] = (
    (b"\x1f\x8b", lambda stream: cast("Stream", gzip.GzipFile(fileobj=cast("BinaryIO", stream)))),
    (b"\xfd7zXZ", _xz),
    (b"\x28\xb5\x2f\xfd", _Zstd),
    (b"BZh", lambda stream: cast("Stream", bz2.BZ2File(cast("BinaryIO", stream)))),
)


class Packed:
    """An open data file. `members` are the names of the parts it is read from, "" for a plain file."""

    def __init__(
        self, path: Path, raw: BinaryIO, archive: zipfile.ZipFile | None, members: list[str]
    ) -> None:
        self.path = path
        self.raw = raw
        self.members = members
        self._archive = archive

    def place(self, member: str) -> str:
        """Return the name of a member for errors."""
        return f"{self.path}/{_shown(member)}" if len(self.members) > 1 else str(self.path)

    def blocks(self, member: str) -> Iterator[bytes]:
        """Yield the bytes of a member. Raises one of `DAMAGES`, after what could be read."""
        stream: Stream
        if self._archive is not None:
            stream = cast("Stream", self._archive.open(member))
        else:
            self.raw.seek(0)
            stream = cast("Stream", self.raw)
        for _ in range(_LAYERS_MAX):
            start = stream.read(6)
            unpack = next((one for magic, one in _UNPACKERS if start.startswith(magic)), None)
            joined = _Joined(start, stream)
            stream = joined if unpack is None else unpack(joined)
            if unpack is None:
                break
        while block := stream.read1(_BLOCK_BYTES):
            yield block

    def bytes_read(self) -> int:
        """Return how far the file was read, in its own bytes."""
        return 0 if self.raw.closed else self.raw.tell()

    def close(self) -> None:
        """Close the file."""
        self.raw.close()


class _Joined(io.RawIOBase):
    """A stream whose first bytes were read already."""

    def __init__(self, start: bytes, stream: Stream) -> None:
        self._start = start
        self._stream = stream

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        start, self._start = self._start, b""
        if not start:
            return self._stream.read(size)
        if 0 <= size < len(start):
            self._start = start[size:]
            return start[:size]
        return start + self._stream.read(size if size < 0 else size - len(start))

    def read1(self, size: int = -1, /) -> bytes:
        if self._start:
            return self.read(min(len(self._start), size) if size >= 0 else len(self._start))
        return self._stream.read1(size)


def open_packed(path: Path) -> Packed:
    """Open a data file or a member of an archive. Raises UsageError."""
    within = ""
    archive_path = path
    if not path.exists():
        inside = next((one for one in path.parents if one.suffix.lower() == ".zip" and one.is_file()), None)
        if inside is not None:
            archive_path, within = inside, path.relative_to(inside).as_posix()
    try:
        raw = archive_path.open("rb")
        try:
            magic = raw.read(4)
            raw.seek(0)
            if magic not in (_ZIP, _EMPTY_ZIP):
                return Packed(path, raw, None, [""])
            archive = zipfile.ZipFile(raw)
            return Packed(path, raw, archive, _members(archive_path, archive, within))
        except BaseException:
            raw.close()
            raise
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
        raise UsageError(f"{path}: a damaged zip archive ({error})") from error


def _members(path: Path, archive: zipfile.ZipFile, within: str) -> list[str]:
    """Return the names of the members to be read, in order. Raises UsageError if they are unlike."""
    entries = archive.infolist()
    if len(entries) > _MEMBERS_MAX:
        raise UsageError(f"{path}: an archive of more than {_MEMBERS_MAX} files")
    names = sorted(entry.filename for entry in entries if _is_data(entry))
    if within:
        found = [name for name in names if name == within or Path(name).name == within]
        if len(found) != 1:
            raise UsageError(f"{path}: has no file {within!r}; it has {_list(names)}")
        return found
    if not names:
        raise UsageError(f"{path}: the archive holds no data file")
    if len({_DATES.sub("", Path(name).name) for name in names}) > 1:
        raise UsageError(
            f"{path}: holds files of several kinds or instruments ({_list(names)}); "
            f"name one of them as {path}/{_shown(names[0])}"
        )
    return names


def _is_data(entry: zipfile.ZipInfo) -> bool:
    """Return whether an archive's entry may hold data: no folder, no checksum, nothing hidden."""
    path = Path(entry.filename)
    hidden = any(part.startswith((".", "__MACOSX")) for part in path.parts)
    return not entry.is_dir() and not hidden and path.suffix.lower() not in (".checksum", ".md", ".pdf")


def _shown(name: str) -> str:
    """Return the name of a member on one line."""
    return name if name.isprintable() else repr(name)[1:-1]


def _list(names: list[str]) -> str:
    shown = ", ".join(map(_shown, names[:6]))
    return shown + (f" and {len(names) - 6} more" if len(names) > 6 else "")
