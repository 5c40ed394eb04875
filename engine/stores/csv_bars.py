"""Closed bars as CSV files that grow: one per instrument and interval, for `tail -f` and data frames.

    DIR/BTC-1m.csv               a header, then one line a closed bar, in the order they closed
    DIR/BTC-1m.corrections.csv   bars that were corrected later; the highest revision is the bar

In the name of a file every character of the instrument but ASCII letters, digits and `-_.` is written as in
a web address (`HYPE%2FUSDC-1m.csv`): no two instruments share a file, and the name can be read back. An
instrument whose name another one had first is `kraken%3ABTC`. A text that a spreadsheet would run as a
formula begins with an apostrophe.

Owns the folder, under a lock on `bars.lock` in it. A store without transactions: lines are whole and synced
before the cursor (`.cursor.json`, which also holds the instruments) moves past them. The `seq` of a line is
its record's, for `engine why`, and rises from line to line: a bar that is already in the file is recognized
by it, so each bar is written once, even across restarts and kills. Numbers are exact decimal text. What a
file holds beyond its size at the cursor may be torn anywhere after a loss of power: it is cut off and written
again. Deleted files are rebuilt from the journal. Registered as "csv".
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Final
from urllib.parse import quote

import msgspec

from engine.stores.errors import StoreUnavailable, unreachable
from engine.stores.kinds import StoreKind
from engine.stores.lock import WriterLock
from engine.stores.rows.tables import TABLES
from engine.stores.rows.units import as_text, no_formula
from engine.stores.store import Cursor, Row, Rows, Store

__all__ = ["CSV", "CsvSettings", "CsvStore"]

COLUMNS: Final = (
    *("start", "start_ns", "open", "high", "low", "close", "volume", "count", "complete"),
    *("incomplete_because", "source", "revision", "quote_volume", "buy_volume", "sell_volume"),
    *("first_id", "last_id", "seq"),
)
_HEADER: Final = ",".join(COLUMNS) + "\n"
_CURSOR: Final = ".cursor.json"
_VERSION: Final = 2
_TAIL_BYTES: Final = 1 << 16
"""Bytes at a file's end that are read to find its last line, which is much shorter."""


class _Saved(msgspec.Struct):
    """The content of the cursor file: the position of the files in the journal, their names and sizes.

    A file written by an older version has no digest, or other names of files: the journal is then read again
    from its first record. `sizes` are in bytes; an older version has none.
    """

    journal_id: str
    seq: int = 0
    files: list[str] = []
    digest: str = ""
    instruments: list[Row] = []
    version: int = 1
    sizes: dict[str, int] = {}
    epoch: int = 0


class CsvStore:
    """The files of one journal in one folder."""

    kind = "csv"
    remedy = "give the bars another folder"
    tables = frozenset({"instruments", "bars"})
    number = staticmethod(as_text)

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.place = str(folder)
        self._saved: _Saved | None = None
        self._last_seqs: dict[str, int] = {}  # of the last line of each file
        self._sizes: dict[str, int] = {}  # of each file, up to its last synced line
        self._synced: dict[str, int] | None = None  # the sizes at the cursor, when the store was opened
        self._lock: WriterLock | None = None

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """See `Store`. OSError becomes StoreUnavailable."""
        try:
            if self._lock is None:
                self._open()
            yield
        except OSError as error:
            raise unreachable(self.place, error) from error

    def cursor(self) -> Cursor | None:
        """See `Store`."""
        return None if self._saved is None else _cursor(self._saved)

    def instruments(self) -> Iterable[Row]:
        """See `Store`."""
        return self._saved.instruments if self._saved is not None else []

    def row(self, table: str, key: str) -> Row | None:
        """See `RowSource`. Always None: no bar depends on an earlier row."""
        return None

    def trade_ids(self, client_order_id: str) -> dict[str, int]:
        """See `RowSource`. Always empty: there are no fills."""
        return {}

    def write(self, rows: Rows, cursor: Cursor | None) -> None:
        """See `Store`. Appends bars that are not in their files yet, syncs them, then moves the cursor."""
        lines: dict[str, list[Row]] = {}
        listed = rows.changed.get("instruments", {})
        known = self._known(listed)
        for values in rows.appended.get("bars", ()):
            bar: Row = dict(zip(TABLES["bars"].columns, values, strict=True))
            file = _file_of(bar, known)
            if bar["seq"] > self._last_seq(file):
                lines.setdefault(file, []).append(bar)
        for file, bars in lines.items():
            self._append(file, [_line(bar) for bar in bars])
            self._last_seqs[file] = bars[-1]["seq"]
        if cursor is not None:
            self._move_cursor(cursor, listed)

    def witness(self) -> Cursor | None:
        """See `Store`."""
        saved = self._read_saved()
        return None if saved is None or not saved.digest else _cursor(saved)

    def rebuild(self, fill: Callable[[Store], int]) -> int:
        """See `Store`. Removes the files first: those in this folder that begin with our header."""
        self.close()
        with self.transaction():
            (self.folder / _CURSOR).unlink(missing_ok=True)
            for path in sorted(self.folder.glob("*.csv")):
                with path.open("rb") as stream:
                    ours = stream.read(len(_HEADER)) == _HEADER.encode()
                if ours:
                    path.unlink()
            self._saved = self._synced = None
            self._last_seqs.clear()
            self._sizes.clear()
        return fill(self)

    def close(self) -> None:
        """See `Store`."""
        lock, self._lock = self._lock, None
        self._last_seqs.clear()
        if lock is not None:
            lock.release()

    # Files.

    def _open(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock = WriterLock(self.folder / "bars")
        self._last_seqs.clear()
        self._saved = saved = self._read_saved()
        self._synced = (
            saved.sizes if saved is not None and saved.sizes and saved.version == _VERSION else None
        )
        self._sizes = dict(self._synced or {})
        if saved is not None:
            named = [file for file in saved.files if _is_name(file)]
            present = [file for file in named if self._is_whole(file) and self._last_seq(file)]
            if len(present) < len(saved.files) or not saved.digest or saved.version < _VERSION:
                # The journal is read from its first record; the files that are there are not written twice.
                self._saved = _Saved(saved.journal_id, files=present)

    def _known(self, listed: dict[object, Row]) -> dict[object, Row]:
        """Return the rows of the instruments by number, those `listed` now included."""
        return {row["instrument_id"]: row for row in self.instruments()} | listed

    def _last_seq(self, file: str) -> int:
        """Return the seq of a file's last line; 0 without one. Cuts off what may be torn."""
        known = self._last_seqs.get(file)
        if known is None:
            # A file that is not in the cursor was made after it.
            size = None if self._synced is None else self._synced.get(file, 0)
            known, self._sizes[file] = _mend(self.folder / file, size)
            self._last_seqs[file] = known
        return known

    def _is_whole(self, file: str) -> bool:
        """Return whether a file has all that was synced: it may be gone, or another one of that name."""
        try:
            return (self.folder / file).stat().st_size >= self._sizes.get(file, 0)
        except FileNotFoundError:
            return False

    def _append(self, file: str, lines: list[str]) -> None:
        path = self.folder / file
        _check_file(path)
        if self._saved is not None and file in self._saved.files and not path.exists():
            raise StoreUnavailable(
                f"{path}: was deleted; it is made again from the journal", reason="deleted"
            )
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as stream:
            if not os.fstat(descriptor).st_size:
                lines = [_HEADER, *lines]
            stream.write("".join(lines))
            stream.flush()
            os.fdatasync(descriptor)
            self._sizes[file] = os.fstat(descriptor).st_size

    def _read_saved(self) -> _Saved | None:
        try:
            _check_file(self.folder / _CURSOR)
            saved = msgspec.json.decode((self.folder / _CURSOR).read_bytes(), type=_Saved)
            _cursor(saved)  # its numbers are in hexadecimal
            return saved
        except (FileNotFoundError, msgspec.MsgspecError, ValueError, RecursionError):
            # Torn by a loss of power: the seqs in the files show the end of each.
            return None
        except OSError as error:
            raise unreachable(self.folder / _CURSOR, error) from error

    def _move_cursor(self, cursor: Cursor, listed: dict[object, Row]) -> None:
        before = self._saved or _Saved("")
        saved = _Saved(
            cursor.journal_id.hex(),
            cursor.seq,
            sorted({*before.files, *(file for file, seq in self._last_seqs.items() if seq)}),
            cursor.digest.hex(),
            list(self._known(listed).values()),
            _VERSION,
            {file: size for file, size in sorted(self._sizes.items()) if size},
            cursor.epoch,
        )
        scratch = self.folder / f"{_CURSOR}.new"
        scratch.write_bytes(msgspec.json.encode(saved))
        scratch.replace(self.folder / _CURSOR)
        self._saved = saved


def _cursor(saved: _Saved) -> Cursor:
    return Cursor(bytes.fromhex(saved.journal_id), saved.seq, bytes.fromhex(saved.digest), saved.epoch)


def _is_name(file: str) -> bool:
    """Return whether a name in a cursor is that of a file of bars, so in this folder."""
    return file.endswith(".csv") and Path(file).name == file and "\0" not in file


def _check_file(path: Path) -> None:
    """Raise OSError if something else than a file has this name: a pipe would be waited for."""
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISREG(path.stat().st_mode):
            raise OSError(errno.EINVAL, "is not a file")


def _mend(path: Path, size: int | None) -> tuple[int, int]:
    """Return the seq in the last whole line of a file and where that ends, after cutting off what follows.

    `size` is what is known to be synced. Without it, and if the file is not one of ours, it is read for bytes
    that a loss of power left out, which are zeros, and ends before the first.
    """
    _check_file(path)
    try:
        stream = path.open("r+b")
    except FileNotFoundError:
        return 0, 0
    with stream:
        end = stream.seek(0, os.SEEK_END)
        stream.seek(0)
        begins = stream.read(len(_HEADER)).partition(b"\0")[0]
        if size is None or not _HEADER.encode().startswith(begins):
            size = _zeros_at(stream)
        whole = min(end, max(0, size))
        begin = stream.seek(max(0, whole - _TAIL_BYTES))
        tail = stream.read(whole - begin)
        tail = tail[: tail.rfind(b"\n") + 1]
        if begin + len(tail) < end:
            stream.truncate(begin + len(tail))
    last = tail.rstrip(b"\n").rpartition(b"\n")[2].rpartition(b",")[2]
    return (int(last) if last.isdigit() and len(last) < 20 else 0), begin + len(tail)


def _zeros_at(stream: BinaryIO) -> int:
    """Return the offset of the first zero byte, or the size of the file."""
    offset = stream.seek(0)
    while block := stream.read(_TAIL_BYTES):
        at = block.find(0)
        if at >= 0:
            return offset + at
        offset += len(block)
    return offset


def _file_of(bar: Row, known: Mapping[object, Row]) -> str:
    """Return the name of a bar's file. A month is spelled out: not every disk distinguishes 1M from 1m.

    Of instruments with one name the first that was listed has the file of that name, the others `venue:NAME`.
    """
    interval = bar["interval"].replace("1M", "1month")
    name, number = bar["instrument"], bar["instrument_id"]
    if any(one["instrument"] == name and one["instrument_id"] < number for one in known.values()):
        name = f"{bar['venue']}:{name}"
    return f"{quote(name, safe='')}-{interval}{'.corrections' if bar['revision'] else ''}.csv"


def _line(bar: Row) -> str:
    values: dict[str, Any] = bar | {
        "count": bar["trades"],
        "complete": not bar["incomplete"],
        "incomplete_because": bar["because"] or ("not recorded" if bar["incomplete"] else None),
    }
    return ",".join(_cell(values[name]) for name in COLUMNS) + "\n"


def _cell(value: object) -> str:
    if not isinstance(value, str):
        return "" if value is None else str(value)
    value = no_formula(value)
    if any(one in value for one in ',"\r\n'):
        value = '"' + value.replace('"', '""') + '"'
    return value


class CsvSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The keys of a CSV store. `path` is the folder."""

    path: str


def _from_settings(settings: CsvSettings, root: Path) -> CsvStore:
    return CsvStore(settings.path)


CSV: Final = StoreKind(CsvSettings, _from_settings)
