"""Raw frames: every websocket message of a feed, unchanged and compressed, beside the journal.

    <journal>/raw/2024-12-05/000001.zst          a session with one venue
    <journal>/raw/VENUE/2024-12-05/000001.zst    one of several venues of a session

A file is zstd frames; together, text of one line per message:

        # raw 1 run 9f2c0a51 part 0 from 1733356800000000000
        1733356801250000000 {"channel":"trades","data":[...]}
        # lost 12 from 1733356805000000000 to 1733356806000000000
        # end 1733356900000000000

A message with a line break, or one that is not text, stands as "~" and base64. The day is that of the time
of receipt. A run is one session's recorder; its parts follow each other without a gap.

Owns the files under `raw/`, which are not part of the journal: they serve to check the decoder, may be
deleted, and lose the last seconds at a kill. Promises: recording never waits for the disk and never takes
more memory or disk than its bounds; what was not kept is counted in `health` and noted in the file. Written
by the feed through `RawRecorder.record`, read by `engine replay --from-raw`.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

import trio
import zstandard

from engine.clock import day_of
from engine.errors import JournalError
from engine.ports import Clock

__all__ = ["RAW_BYTES_MAX", "RawHealth", "RawMessage", "RawReader", "RawRecorder", "raw_folder", "raw_venues"]

RAW_BYTES_MAX: Final = 4 << 30
"""Upper bound on all files of a journal together; the oldest are removed first."""

FLUSH_S: Final = 2.0
FILE_BYTES_MAX: Final = 64 << 20
WAITING_BYTES_MAX: Final = 32 << 20
"""Upper bound on messages waiting for the disk: half a minute of the busiest market recorded."""
BLOCK_BYTES: Final = 1 << 18
FRAME_BYTES: Final = 1 << 20
"""Plain bytes after which a zstd frame, and with it a checksum, ends."""

_LEVEL: Final = 3
_CHUNK: Final = 1 << 16
_LINE_BYTES_MAX: Final = 4 << 20
_SUFFIX: Final = ".zst"
_FILE: Final = re.compile(r"[0-9]{6}\.zst")
_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_NOTE: Final = re.compile(rb"# raw 1 run (?P<run>[0-9a-f]{1,32}) part (?P<part>[0-9]+) from (?P<from>[0-9]+)")
_LOST: Final = re.compile(rb"# lost [0-9]+ from (?P<from>[0-9]+) to (?P<to>[0-9]+)")
_END: Final = re.compile(rb"# end (?P<end>[0-9]+)")


def raw_folder(root: Path, venue: str = "") -> Path:
    """Return where the raw frames of the journal in `root` are: of one of several venues, if it is given."""
    return root / "raw" / venue


def raw_venues(root: Path) -> list[str]:
    """Return the venues whose raw frames are in folders of their own."""
    folder = raw_folder(root)
    if not folder.is_dir():
        return []
    return sorted(path.name for path in folder.iterdir() if path.is_dir() and not _DAY.fullmatch(path.name))


@dataclass(slots=True)
class RawHealth:
    """Counts since the recorder was made; `lost` are messages that were not kept."""

    messages: int = 0
    lost: int = 0
    bytes_taken: int = 0
    bytes_written: int = 0
    files: int = 0
    files_removed: int = 0
    waiting_high: int = 0


class RawRecorder:
    """Records one session. `run_id` is up to 32 hex digits; `bytes_max` bounds all files under `folder`, and
    with `root` all files there, of every venue.

    `record` is called from the event loop, `run` writes in a worker thread, one block at a time.
    """

    def __init__(
        self,
        folder: Path,
        clock: Clock,
        run_id: str,
        bytes_max: int = RAW_BYTES_MAX,
        root: Path | None = None,
    ) -> None:
        self.health = RawHealth()
        self._folder = folder
        self._root = root or folder
        self._run_id = run_id
        self._bytes_max = max(bytes_max, 2 * FILE_BYTES_MAX)
        self._clock = clock
        self._from_ns = clock.now_ns()
        self._part = 0
        self._waiting: deque[tuple[int, bytes]] = deque()  # at most WAITING_BYTES_MAX
        self._waiting_bytes = 0
        self._lost: list[int] = []  # how many, and from when to when; noted with the next block
        self._filled = trio.Event()
        self._file: _RawFile | None = None

    def record(self, recv_ns: int, message: str | bytes) -> None:
        """Queue a message; never waits. Drops and counts it when too many wait for the disk."""
        line = _line(recv_ns, message)
        if self._waiting_bytes + len(line) > WAITING_BYTES_MAX:
            self._lose(1, recv_ns, recv_ns)
            return
        health = self.health
        health.messages += 1
        health.bytes_taken += len(line)
        self._waiting.append((recv_ns, line))
        self._waiting_bytes += len(line)
        health.waiting_high = max(health.waiting_high, self._waiting_bytes)
        if self._waiting_bytes >= BLOCK_BYTES:
            self._filled.set()

    async def run(self) -> None:
        """Write until cancelled, then write the rest. Raises JournalError when a write fails.

        May be called again after that; it continues in a new file.
        """
        try:
            while True:
                with trio.move_on_after(FLUSH_S):
                    await self._filled.wait()
                await self.flush()
        finally:
            with trio.CancelScope(shield=True):
                await self.flush(last=True)

    async def flush(self, *, last: bool = False) -> None:
        """Write what waits, day by day; one call at a time. Raises JournalError."""
        self._filled = trio.Event()
        lines = list(self._waiting)
        self._waiting.clear()
        self._waiting_bytes = 0
        lost, self._lost = self._lost, []
        notes = []
        if lost:
            at_ns = lines[-1][0] if lines else lost[2]
            notes.append((at_ns, b"# lost %d from %d to %d\n" % tuple(lost)))
        try:
            await trio.to_thread.run_sync(self._write, lines + notes, self._clock.now_ns() if last else None)
        except OSError as error:
            file, self._file = self._file, None
            if file is not None:
                file.abandon()
            self._lost = lost
            if lines:
                self._lose(len(lines), lines[0][0], lines[-1][0])
            raise JournalError(f"{self._folder}: raw frames: {error.strerror or error}") from error

    def _lose(self, count: int, from_ns: int, to_ns: int) -> None:
        self.health.lost += count
        self._lost = [self._lost[0] + count, self._lost[1], to_ns] if self._lost else [count, from_ns, to_ns]

    # In the worker thread, one call at a time:

    def _write(self, lines: list[tuple[int, bytes]], end_ns: int | None) -> None:
        start = 0
        while start < len(lines):
            day = day_of(lines[start][0])
            end = start + 1
            while end < len(lines) and day_of(lines[end][0]) == day:
                end += 1
            file = self._file_of(day, lines[start][0])
            self.health.bytes_written += file.write(b"".join(line for _, line in lines[start:end]))
            start = end
        if end_ns is not None and self._file is not None:
            self._file.write(f"# end {end_ns}\n".encode())
            self._file.close()
            self._file = None

    def _file_of(self, day: str, recv_ns: int) -> _RawFile:
        """Return the file to write to: a new one for a new day, or when the current one is full."""
        file = self._file
        if file is not None and file.day == day and file.bytes_written < FILE_BYTES_MAX:
            return file
        if file is not None:
            self._file = None
            file.close()
        self._folder.mkdir(parents=True, exist_ok=True)
        self._make_room()
        folder = self._folder / day
        folder.mkdir(exist_ok=True)
        number = max((int(path.name[:6]) for path in _files(folder)), default=0) + 1
        from_ns = recv_ns if self._part else self._from_ns
        self._file = file = _RawFile(folder / f"{number:06d}{_SUFFIX}", day)
        self.health.files += 1
        file.write(f"# raw 1 run {self._run_id} part {self._part} from {from_ns}\n".encode())
        self._part += 1
        return file

    def _make_room(self) -> None:
        """Remove the oldest files until a new one fits."""
        days = [path for path in self._root.glob("**/") if _DAY.fullmatch(path.name)]
        files = [path for day in sorted(days, key=lambda path: path.name) for path in _files(day)]
        sizes = {path: path.stat().st_size for path in files if path.exists()}
        total = sum(sizes.values())
        for path, size in sizes.items():
            if total + FILE_BYTES_MAX <= self._bytes_max:
                return
            path.unlink(missing_ok=True)  # the recorder of another venue may do the same
            total -= size
            self.health.files_removed += 1
            with contextlib.suppress(OSError):
                path.parent.rmdir()


class _RawFile:
    """One open file: a zstd frame, flushed with every block and ended at intervals."""

    def __init__(self, path: Path, day: str) -> None:
        self.day = day
        self.bytes_written = 0
        self._file: BinaryIO = path.open("xb")
        self._compressor = _compressor()
        self._plain = 0

    def write(self, block: bytes) -> int:
        """Compress whole lines and write them; return the number of bytes written."""
        data = self._compressor.compress(block)
        self._plain += len(block)
        if self._plain < FRAME_BYTES:
            data += self._compressor.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)
        else:
            data += self._compressor.flush()
            self._compressor, self._plain = _compressor(), 0
        self._file.write(data)
        self._file.flush()
        self.bytes_written += len(data)
        return len(data)

    def close(self) -> None:
        """End the frame and the file."""
        try:
            if self._plain:
                self._file.write(self._compressor.flush())
        finally:
            self._file.close()

    def abandon(self) -> None:
        """Close after a failure, without writing the rest."""
        try:
            self._file.close()
        except OSError:
            return


class RawMessage(NamedTuple):
    """A recorded message: `file` is its file's name, `number` its position in the file, from 1."""

    file: str
    number: int
    recv_ns: int
    message: str | bytes


class RawReader:
    """The messages of a day's folder in the order of their receipt, in bounded memory.

    `holes` grows while it is read: spans of receipt times (from, to; None: open) without complete records:
    before and after the runs, after a torn end, around lost messages. `notes` gives the reasons, for people.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.holes: list[tuple[int, int | None]] = []
        self.notes: list[str] = []
        self.continued = False
        self._run = b""
        self._reached_ns = 0  # of the last message, or the end of a run

    def __iter__(self) -> Iterator[RawMessage]:
        """Yield the messages. Raises JournalError when a file cannot be read."""
        for path in _files(self.folder):
            try:
                yield from self._read(path)
            except OSError as error:
                raise JournalError(f"{path}: cannot be read: {error.strerror or error}") from error
        self.holes.append((self._reached_ns, None))

    def _read(self, path: Path) -> Iterator[RawMessage]:
        number = 0
        for line in self._lines(path):
            if line.startswith(b"#"):
                self._note(path, line)
                continue
            number += 1
            message = _message(line)
            if message is None:
                self._doubt(path, f"message {number} cannot be read")
                continue
            self._reached_ns = message[0]
            yield RawMessage(path.name, number, *message)

    def _note(self, path: Path, line: bytes) -> None:
        if found := _NOTE.fullmatch(line):
            from_ns = int(found["from"])
            if found["run"] != self._run:
                self.continued = self.continued or (not self._run and found["part"] != b"0")
                self.holes.append((self._reached_ns, from_ns))
                self._run = found["run"]
                self._reached_ns = from_ns
        elif found := _LOST.fullmatch(line):
            self.holes.append((int(found["from"]), int(found["to"])))
            self.notes.append(f"{path.name}: {line[2:].decode()}")
        elif found := _END.fullmatch(line):
            self._reached_ns = max(self._reached_ns, int(found["end"]))
        else:
            self._doubt(path, "a note that cannot be read")

    def _doubt(self, path: Path, what: str) -> None:
        """Note damage: the messages up to the next readable one are unknown."""
        self.notes.append(f"{path.name}: {what}")
        self._run = b"?"

    def _lines(self, path: Path) -> Iterator[bytes]:
        """Yield whole lines; note a torn end or damaged bytes."""
        inflate = zstandard.ZstdDecompressor().decompressobj()
        rest = b""
        ended = True
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                while chunk:
                    ended = False
                    try:
                        text = rest + inflate.decompress(chunk)
                    except zstandard.ZstdError as error:
                        self._doubt(path, f"damaged: {error}")
                        return
                    *lines, rest = text.split(b"\n")
                    yield from lines
                    if len(rest) > _LINE_BYTES_MAX:
                        self._doubt(path, "damaged: a line without end")
                        return
                    chunk = b""
                    if inflate.eof:
                        ended = True
                        chunk = inflate.unused_data
                        inflate = zstandard.ZstdDecompressor().decompressobj()
        if not ended or rest:
            self.notes.append(f"{path.name}: the end is torn; up to {FLUSH_S:g} seconds may be missing")
            self._run = b"?"


def _compressor() -> zstandard.ZstdCompressionObj:
    return zstandard.ZstdCompressor(level=_LEVEL, write_checksum=True).compressobj()


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if _FILE.fullmatch(path.name))


def _line(recv_ns: int, message: str | bytes) -> bytes:
    data = message.encode("utf-8", "surrogatepass") if isinstance(message, str) else message
    if isinstance(message, bytes) or b"\n" in data or data.startswith(b"~"):
        kind = b"~" if isinstance(message, str) else b"~~"
        data = kind + base64.b64encode(data)
    return b"%d %b\n" % (recv_ns, data)


def _message(line: bytes) -> tuple[int, str | bytes] | None:
    """Return (recv_ns, message) of a line, None if it cannot be read."""
    time, _, data = line.partition(b" ")
    if not time.isdigit() or len(time) > 20:
        return None
    try:
        if data.startswith(b"~~"):
            return int(time), base64.b64decode(data[2:], validate=True)
        if data.startswith(b"~"):
            data = base64.b64decode(data[1:], validate=True)
        return int(time), data.decode("utf-8", "surrogatepass")
    except (binascii.Error, UnicodeDecodeError):
        return None
