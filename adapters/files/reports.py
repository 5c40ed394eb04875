"""What an import reports: its progress, and its result for each file and each instrument.

Created by the importer, read by the command and by programs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import msgspec

__all__ = ["FileReport", "ImportProgress", "ImportReport", "InstrumentReport", "Meter"]


class ImportProgress(msgspec.Struct, frozen=True):
    """The progress of an import. `stage` is "measuring" (a first pass over all files) or "importing"."""

    stage: str
    rows: int
    bytes_read: int
    bytes_total: int
    day: str = ""


class FileReport(msgspec.Struct, frozen=True):
    """One file of an import.

    `kind` is one of `kinds.KINDS_OF_DATA`, `interval` that of candles, `layout` the name of the layout;
    `columns` goes from role to the file's name. `derived` says which of "instrument" and "interval" were
    taken from its name. `events` counts what came of it, without the `duplicates`: trades with the time and
    id of an earlier one. `notes` say what was recognised, doubted, sorted, rounded or left out.
    """

    file: str
    instrument: str
    kind: str
    interval: str
    layout: str
    columns: Mapping[str, str]
    derived: tuple[str, ...]
    events: int
    duplicates: int
    notes: tuple[str, ...]


class InstrumentReport(msgspec.Struct, frozen=True):
    """One instrument of an import.

    `kind` has the kinds of its files. `duplicates` counts what came again, in one file or in another one;
    `trades`, `candles`, `quotes`, `books` (with what says that a book is unknown), `contexts` and `rates`
    count each once. `measured` says which of "price_decimals", "size_decimals" and "interval" were found in
    its files rather than given.
    """

    venue: str
    instrument: str
    kind: str
    interval: str
    files: int
    trades: int
    candles: int
    duplicates: int
    price_decimals: int
    size_decimals: int
    measured: tuple[str, ...]
    quotes: int = 0
    books: int = 0
    contexts: int = 0
    rates: int = 0


class ImportReport(msgspec.Struct, frozen=True):
    """The result of an import.

    `days` are complete, `digests` the last digest of each. `unchanged` are those that had all of it before,
    `extended` goes from those that had a part to their digest before. `bytes` are those written.
    """

    instruments: tuple[InstrumentReport, ...]
    files: tuple[FileReport, ...]
    days: tuple[str, ...]
    digests: Mapping[str, str]
    extended: Mapping[str, str]
    unchanged: tuple[str, ...]
    bytes: int
    first_ns: int
    last_ns: int

    @property
    def trades(self) -> int:
        """The trades of all instruments, each once."""
        return sum(one.trades for one in self.instruments)

    @property
    def candles(self) -> int:
        """The candles of all instruments, each once."""
        return sum(one.candles for one in self.instruments)

    @property
    def duplicates(self) -> int:
        """The trades and candles of all instruments that came again."""
        return sum(one.duplicates for one in self.instruments)

    @property
    def notes(self) -> tuple[str, ...]:
        """The notes of all files, each once."""
        return tuple(dict.fromkeys(note for one in self.files for note in one.notes))


class _Reading(Protocol):
    """What is being read."""

    def bytes_read(self) -> int:
        """Return how far the file was read, in its own bytes."""
        ...


class Meter:
    """Sends the progress of an import over all its files to `send`."""

    def __init__(self, paths: Sequence[Path], send: Callable[[ImportProgress], None] | None) -> None:
        self._send = send
        self._stage = "measuring"
        self._sizes = {path: path.stat().st_size if path.is_file() else 0 for path in paths}
        self._total = sum(self._sizes[path] for path in paths)
        self._rows = self._bytes = 0
        self._open: dict[object, _Reading] = {}

    def measure(self, table: _Reading, rows: int) -> None:
        """Report the rows of a file that is being measured."""
        self._report(self._rows + rows, self._bytes + table.bytes_read(), "")

    def measured(self, path: Path, rows: int) -> None:
        """Note that a file was measured."""
        self._rows += rows
        self._bytes += self._sizes[path]

    def begin_importing(self) -> None:
        """Note that every file was measured."""
        self._stage, self._bytes = "importing", 0

    def opened(self, part: object, reader: _Reading) -> None:
        """Note that a part of a file is being imported."""
        self._open[part] = reader

    def closed(self, part: object, path: Path) -> None:
        """Note that a part was read to the end of its file."""
        del self._open[part]
        self._bytes += self._sizes[path]

    def written(self, rows: int, day: str) -> None:
        """Report the events written so far."""
        self._report(rows, self._bytes + sum(reader.bytes_read() for reader in self._open.values()), day)

    def _report(self, rows: int, done: int, day: str) -> None:
        if self._send is not None:
            # A recording is read once for each of its series.
            self._send(ImportProgress(self._stage, rows, min(done, self._total), self._total, day))
