"""Data files as streams of rows of text cells: CSV, JSON lines, Parquet; CSV and JSON also gzipped.

Owns reading and naming of lines. Promises: memory does not grow with the file; every complete row is
returned before the error that ends the file; an error names file and line (Parquet: row, from 1). Cells
are the exact text of the file; a JSON or Parquet null is "", a boolean "true" or "false". Called by the
importer, which reads some files twice and so opens them twice.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import zlib
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO, Final, Protocol

from engine.errors import ImportRefused, UsageError

__all__ = ["CsvTable", "JsonTable", "Table", "open_table"]

_BLOCK_BYTES: Final = 256 * 1024
_LINE_BYTES_MAX: Final = 1024 * 1024
_DELIMITERS: Final = ",\t;|"
_BOM: Final = b"\xef\xbb\xbf"
_ENDINGS: Final = {
    ".csv": "csv",
    ".tsv": "csv",
    ".txt": "csv",
    ".jsonl": "json",
    ".ndjson": "json",
    ".parquet": "parquet",
    ".pq": "parquet",
}
_FOREIGN: Final = (
    (b"PK\x03\x04", "a zip archive"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ", "xz"),
)


class Table(Protocol):
    """One pass over a data file."""

    @property
    def first(self) -> tuple[str, ...]:
        """The first row of a CSV file; the column names of any other."""
        ...

    @property
    def headed(self) -> bool:
        """Whether `first` holds names, not data."""
        ...

    @property
    def line(self) -> int:
        """Line (or row) of the row returned last; 1 is the first."""
        ...

    def rows(
        self, at: Sequence[int], *, header: bool
    ) -> tuple[tuple[int, ...], int, Iterator[Sequence[str]]]:
        """Return where the columns `at` are in each row, how wide a row is, and the rows.

        A row with no cells is a blank line.
        """
        ...

    def time_unit(self, at: int) -> str | None:
        """Return the unit of a time column where the format gives it."""
        ...

    def bytes_read(self) -> int:
        """Return how far the file was read, in its own bytes."""
        ...

    def close(self) -> None:
        """Close the file."""
        ...


def open_table(path: Path) -> Table:
    """Open a data file. The ending decides the format; where it is unknown, the first bytes do.

    Raises UsageError when there is no such file or the format is not known, ImportRefused when it is empty.
    """
    name = path.name.lower()
    form = _ENDINGS.get(Path(name.removesuffix(".gz")).suffix)
    try:
        raw = path.open("rb")
        try:
            magic = raw.read(4)
            raw.seek(0)
            for start, what in _FOREIGN:
                if magic.startswith(start):
                    raise UsageError(f"{path}: {what}; unpack it first")
            if magic == b"PAR1" or (form == "parquet" and magic[:2] != b"\x1f\x8b"):
                return _open_parquet(path, raw)
            if form == "parquet":
                raise UsageError(f"{path}: gzipped Parquet; unpack it first (Parquet compresses by itself)")
            lines = _Lines(raw, str(path), packed=magic[:2] == b"\x1f\x8b")
            return _open_text(lines, form)
        except BaseException:
            raw.close()
            raise
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror or error}") from error


def _open_text(lines: _Lines, form: str | None) -> Table:
    head = lines.peek()
    if not head.strip():
        raise ImportRefused(lines.file, 1, "the file is empty")
    start = head.lstrip()[:1]
    if form is None:
        form = "json" if start in ("{", "[") else "csv"
    if form == "json":
        if start == "[":
            raise ImportRefused(lines.file, 1, "one JSON array; it must be one JSON object on each line")
        return JsonTable(lines)
    return CsvTable(lines)


def _open_parquet(path: Path, raw: BinaryIO) -> Table:
    try:
        from adapters.files.parquet import ParquetTable
    except ImportError:
        raise UsageError(f"{path}: reading Parquet needs pyarrow: pip install retape[parquet]") from None
    return ParquetTable(path, raw)


class _Lines:
    """The lines of a text file, with their ends, decoded block by block."""

    def __init__(self, raw: BinaryIO, file: str, *, packed: bool) -> None:
        self.file = file
        self._raw = raw
        # read1: what a damaged gzip gave before the damage is kept.
        self._next_block = gzip.GzipFile(fileobj=raw).read1 if packed else raw.read
        self._done = 0  # whole lines of the blocks before
        self._lines = self._read()

    def peek(self) -> str:
        """Return the first line that is not blank, "" at the end, and leave all lines to be read."""
        taken: list[str] = []
        for line in self._lines:
            taken.append(line)
            if line.strip() or len(taken) > 1000:
                break
        self._lines = chain(taken, self._lines)
        return taken[-1] if taken else ""

    def __iter__(self) -> Iterator[str]:
        return self._lines

    def bytes_read(self) -> int:
        return self._raw.tell()

    def close(self) -> None:
        self._raw.close()

    def _read(self) -> Iterator[str]:
        rest = b""
        first = True
        while True:
            try:
                block = self._next_block(_BLOCK_BYTES)
            except (EOFError, zlib.error, gzip.BadGzipFile, OSError) as error:
                reason = f"the file is cut short or damaged here ({error})"
                raise ImportRefused(self.file, self._done + 1, reason) from error
            if first:
                block = block.removeprefix(_BOM)
                first = False
            if not block:
                break
            block = rest + block
            cut = block.rfind(b"\n") + 1
            rest = block[cut:]
            if cut:
                yield from self._decode(block[:cut])
            if len(rest) > _LINE_BYTES_MAX:
                reason = f"longer than {_LINE_BYTES_MAX} bytes; is this a text file?"
                raise ImportRefused(self.file, self._done + 1, reason)
        if rest:
            yield from self._decode(rest)

    def _decode(self, block: bytes) -> Iterator[str]:
        """Yield the lines of a block; before a byte that is not text, all lines above it."""
        bad = block.find(b"\0")
        reason = "a NUL byte; is this a text file?"
        text = ""
        try:
            text = block.decode("utf-8")
        except UnicodeDecodeError as error:
            if bad < 0 or error.start < bad:
                bad = error.start
                reason = f"byte 0x{block[bad]:02x} is not UTF-8 text; save the file as UTF-8"
        if bad < 0:
            yield from io.StringIO(text, newline="\n")
            self._done += block.count(b"\n")
            return
        good = block[: block.rfind(b"\n", 0, bad) + 1]
        yield from io.StringIO(good.decode("utf-8"), newline="\n")
        raise ImportRefused(self.file, self._done + good.count(b"\n") + 1, reason)


class CsvTable:
    """Comma-separated text (also tab, semicolon or bar), with or without a line of names."""

    headed = False

    def __init__(self, lines: _Lines) -> None:
        self._source = lines
        self._file = lines.file
        head = lines.peek()
        delimiter = max(_DELIMITERS, key=lambda each: (head.count(each), -_DELIMITERS.index(each)))
        self._reader = csv.reader(iter(lines), delimiter=delimiter, strict=True)
        self._rows = self._read()
        self.first: tuple[str, ...] = next((tuple(row) for row in self._rows if row), ())

    @property
    def line(self) -> int:
        return self._reader.line_num

    def rows(
        self, at: Sequence[int], *, header: bool
    ) -> tuple[tuple[int, ...], int, Iterator[Sequence[str]]]:
        rows: Iterator[Sequence[str]] = self._rows if header else chain([self.first], self._rows)
        return tuple(at), len(self.first), rows

    def time_unit(self, at: int) -> str | None:
        return None

    def bytes_read(self) -> int:
        return self._source.bytes_read()

    def close(self) -> None:
        self._source.close()

    def _read(self) -> Iterator[Sequence[str]]:
        try:
            yield from self._reader
        except csv.Error as error:
            reason = f"not CSV: {error}"
            if str(error).startswith("new-line character"):
                reason = "a carriage return inside the line; save the file with ordinary line ends"
            elif str(error) == "unexpected end of data":
                reason = "the file ends inside a quoted cell"
            elif str(error).startswith("field larger"):
                reason = (
                    "a cell of more than 131072 characters; a quote may have been opened and never closed"
                )
            raise ImportRefused(self._file, self._reader.line_num, reason) from error


class JsonTable:
    """One JSON object on each line; the first line's keys are the columns. Numbers keep their exact text."""

    headed = True

    def __init__(self, lines: _Lines) -> None:
        self._source = lines
        self._file = lines.file
        self._lines = iter(lines)
        self._decode = json.JSONDecoder(
            object_pairs_hook=_unique, parse_float=str, parse_int=str, parse_constant=_no_constant
        ).decode
        self.line = 0
        self._first = next(self._objects())
        self.first: tuple[str, ...] = tuple(self._first)

    def rows(
        self, at: Sequence[int], *, header: bool
    ) -> tuple[tuple[int, ...], int, Iterator[Sequence[str]]]:
        keys = [self.first[position] for position in at]
        return tuple(range(len(keys))), len(keys), self._cells(keys)

    def time_unit(self, at: int) -> str | None:
        return None

    def bytes_read(self) -> int:
        return self._source.bytes_read()

    def close(self) -> None:
        self._source.close()

    def _objects(self) -> Iterator[dict[str, Any]]:
        for text in self._lines:
            self.line += 1
            if text.isspace():
                continue
            try:
                found = self._decode(text)
            except json.JSONDecodeError as error:
                reason = f"not JSON: {error.msg} at column {error.colno}"
                raise ImportRefused(self._file, self.line, reason) from None
            except ValueError as error:
                raise ImportRefused(self._file, self.line, str(error)) from None
            except RecursionError:
                raise ImportRefused(self._file, self.line, "JSON nested too deep") from None
            if not isinstance(found, dict):
                raise ImportRefused(self._file, self.line, "not a JSON object")
            yield found

    def _cells(self, keys: Sequence[str]) -> Iterator[list[str]]:
        for found in chain([self._first], self._objects()):
            row = []
            for key in keys:
                cell = found.get(key, "")
                if not isinstance(cell, str):
                    cell = self._plain(key, cell)
                row.append(cell)
            yield row

    def _plain(self, key: str, cell: object) -> str:
        if cell is None:
            return ""
        if isinstance(cell, bool):
            return "true" if cell else "false"
        raise ImportRefused(self._file, self.line, f"{key!r} is a {type(cell).__name__}, not a plain value")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{twice[:40]!r} is given twice")
    return found


def _no_constant(text: str) -> str:
    raise ValueError(f"{text} is not a number")
