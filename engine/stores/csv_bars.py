"""Closed bars as CSV files that grow: one per instrument and interval, for `tail -f` and data frames.

    DIR/BTC-1m.csv               a header, then one line a closed bar, in the order they closed
    DIR/BTC-1m.corrections.csv   bars that were corrected later; the highest revision is the bar

Owns the folder, under a lock on `bars.lock` in it. Promises: a bar is written once, after its record is
durable, also over restarts and kills; lines are whole and synced before the cursor (`.cursor.json`) moves
past them; numbers are exact decimal text. A last line that a kill tore is written again. The `seq` of a
line is its record's, for `engine why`, and rises from line to line: that is how a bar that is in the file
is known. Files that were deleted are made again from the journal. Called by the runtime's projector, in a
worker thread, one call at a time.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import msgspec

from engine.events import BarClosed, DayOpened, InstrumentListed
from engine.events.codec import Record
from engine.journal import Frame
from engine.records import records_of
from engine.stores.errors import StoreOutOfStep, StoreUnavailable
from engine.stores.rows.bars import exact_row
from engine.stores.sqlite.reading import unavailable
from engine.stores.sqlite.store import WriterLock
from engine.values import format_interval

__all__ = ["CsvStore"]

COLUMNS: Final = (
    *("start", "start_ns", "open", "high", "low", "close", "volume", "count", "complete"),
    *("incomplete_because", "source", "revision", "quote_volume", "buy_volume", "sell_volume"),
    *("first_id", "last_id", "seq"),
)
_HEADER: Final = ",".join(COLUMNS) + "\n"
_CURSOR: Final = ".cursor.json"
_BATCH_RECORDS: Final = 20_000
_TAIL_BYTES: Final = 1 << 16
"""How much of a file's end is read to find its last line, which is much shorter."""


class _Cursor(msgspec.Struct):
    """How far the files are, of which journal, and which files there are."""

    journal_id: str
    seq: int = 0
    files: list[str] = []


class CsvStore:
    """The files of one journal in one folder. Raises StoreUnavailable when they cannot be written.

    `journal_id` is the id of the journal (16 bytes). Opening raises StoreOutOfStep where the folder
    holds the bars of another journal.
    """

    def __init__(self, folder: Path, *, journal_id: bytes) -> None:
        self.folder = folder
        self._instruments: dict[int, InstrumentListed] = {}
        self._written: dict[str, int] = {}  # the seq of each file's last line
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise unavailable(folder, error) from error
        self._lock = WriterLock(folder / "bars")
        self._cursor = self._read_cursor(journal_id.hex())

    @property
    def seq(self) -> int:
        """The last record whose bar, if it is one, is in its file."""
        return self._cursor.seq

    def apply(self, records: Iterable[Record], *, seq: int, digest: bytes) -> int:
        """Append the bars among the records of whole frames, and move the cursor to `seq`."""
        lines: dict[str, list[str]] = {}
        count = 0
        for number, _, event in records:
            if isinstance(event, InstrumentListed):
                self._instruments[event.instrument] = event
            elif isinstance(event, DayOpened):
                for listed in event.instruments:
                    self._instruments.setdefault(listed.instrument, listed)
            elif isinstance(event, BarClosed):
                listed = self._instruments[event.instrument]
                file = _file_of(listed, event)
                if number > self._last_seq(file):
                    lines.setdefault(file, []).append(_line(listed, event, number))
                    count += 1
        try:
            for file, new in lines.items():
                self._append(file, new)
                self._written[file] = int(new[-1].rstrip().rpartition(",")[2])
            self._move_cursor(seq)
        except OSError as error:
            self._written.clear()
            raise unavailable(self.folder, error) from error
        return count

    def catch_up(self, frames: Iterable[Frame], until_seq: int) -> int:
        """Apply the records of a journal's frames up to a durable seq; return the seq reached."""
        records: list[Record] = []
        last: Frame | None = None
        for frame in frames:
            if frame.first_seq > until_seq:
                break
            records += records_of(frame)
            last = frame
            if len(records) >= _BATCH_RECORDS:
                self.apply(records, seq=max(frame.last_seq, self.seq), digest=frame.digest)
                records, last = [], None
        if last is not None:
            self.apply(records, seq=max(last.last_seq, self.seq), digest=last.digest)
        return self.seq

    def close(self) -> None:
        """Give the folder back."""
        self._lock.release()

    # Files.

    def _last_seq(self, file: str) -> int:
        """Return the seq of a file's last line; 0 without one. Cuts off a line that a kill tore."""
        known = self._written.get(file)
        if known is None:
            try:
                known = self._written[file] = _mend(self.folder / file)
            except OSError as error:
                raise unavailable(self.folder / file, error) from error
        return known

    def _append(self, file: str, lines: list[str]) -> None:
        path = self.folder / file
        if file in self._cursor.files and not path.exists():
            # Somebody took it away: it is made again from the first record, the others go on where they are.
            others = [one for one in self._cursor.files if one != file]
            self._cursor = _Cursor(self._cursor.journal_id, 0, others)
            self._written.clear()
            raise StoreUnavailable(f"{path}: is gone; it is made again from the journal", reason="deleted")
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as stream:
            if not os.fstat(descriptor).st_size:
                lines = [_HEADER, *lines]
            stream.write("".join(lines))
            stream.flush()
            os.fdatasync(descriptor)
        if file not in self._cursor.files:
            self._cursor.files = sorted([*self._cursor.files, file])

    def _read_cursor(self, journal_id: str) -> _Cursor:
        """Return where the files are; from the beginning where one of them is gone."""
        try:
            cursor = msgspec.json.decode((self.folder / _CURSOR).read_bytes(), type=_Cursor)
        except (FileNotFoundError, msgspec.MsgspecError):
            # Torn by a loss of power: the files know themselves how far they go.
            return _Cursor(journal_id)
        except OSError as error:
            raise unavailable(self.folder / _CURSOR, error) from error
        if cursor.journal_id != journal_id:
            raise StoreOutOfStep(
                f"{self.folder}: holds the bars of another journal; give --csv another folder"
            )
        present = [file for file in cursor.files if (self.folder / file).exists()]
        ends = [self._last_seq(file) for file in present]
        if len(present) < len(cursor.files) or 0 in ends:
            return _Cursor(journal_id, 0, present)
        return cursor

    def _move_cursor(self, seq: int) -> None:
        self._cursor.seq = seq
        scratch = self.folder / f"{_CURSOR}.new"
        scratch.write_bytes(msgspec.json.encode(self._cursor))
        scratch.replace(self.folder / _CURSOR)


def _mend(path: Path) -> int:
    """Return the seq in the last whole line of a file, after cutting off what follows it."""
    try:
        stream = path.open("r+b")
    except FileNotFoundError:
        return 0
    with stream:
        size = stream.seek(0, os.SEEK_END)
        begin = stream.seek(max(0, size - _TAIL_BYTES))
        tail = stream.read()
        whole = tail[: tail.rfind(b"\n") + 1]
        if len(whole) < len(tail):
            stream.truncate(begin + len(whole))
    last = whole.rstrip(b"\n").rpartition(b"\n")[2].rpartition(b",")[2]
    return int(last) if last.isdigit() else 0


def _file_of(listed: InstrumentListed, bar: BarClosed) -> str:
    """Return the name of a bar's file. A month is spelled out: not every disk tells 1M from 1m."""
    interval = format_interval(bar.interval_ns).replace("1M", "1month")
    return f"{_safe(listed.name)}-{interval}{'.corrections' if bar.revision else ''}.csv"


def _safe(name: str) -> str:
    return "".join(one if one.isalnum() or one in "-_." else "_" for one in name)


def _line(listed: InstrumentListed, bar: BarClosed, seq: int) -> str:
    row = exact_row(listed, bar) | {"seq": seq}
    cells = ("" if row[name] is None else str(row[name]) for name in COLUMNS)
    return ",".join(f'"{cell}"' if "," in cell else cell for cell in cells) + "\n"
