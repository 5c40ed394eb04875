"""Data files as streams of rows of text cells: CSV, JSON lines, JSON arrays, Parquet; text also packed.

Owns reading and naming of lines. Promises: memory does not grow with the file; every complete row is
returned before the error that ends the file; an error names file and line (Parquet and JSON arrays: row, from
1). Cells are the exact text of the file; a JSON or Parquet null is "", a boolean "true" or "false". Called by
the survey and by the importer, which open a file each for itself.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, Final, Protocol

from adapters.files.arrays import ArrayTable, json_decoder, plain_cell
from adapters.files.columns import holds_data
from adapters.files.packed import DAMAGES, PACKED_ENDINGS, Packed, open_packed
from engine.errors import ImportRefused, UsageError

__all__ = ["CsvTable", "JsonTable", "Lines", "Table", "open_table"]

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
_ADDRESS: Final = re.compile(r"\s*\"?(?:https?://|www\.)[^\s,;|]+\"?[,;]*\s*", re.IGNORECASE)


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
        """Line (or row) of the row returned last; 1 is the first of its file or member."""
        ...

    @property
    def place(self) -> str:
        """The file, or the member of an archive, of the row returned last."""
        ...

    @property
    def address(self) -> str:
        """The web address that the first line of a CSV file is; "" otherwise."""
        ...

    @property
    def rows_are_arrays(self) -> bool:
        """Whether the rows are arrays of JSON."""
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
    packed = open_packed(path)
    try:
        name = packed.members[0].lower() or path.name.lower()
        while name.endswith(PACKED_ENDINGS):
            name = name.rpartition(".")[0]
        form = _ENDINGS.get(Path(name).suffix)
        magic = packed.raw.read(6)
        packed.raw.seek(0)
        if magic[:4] == b"PAR1":
            return _open_parquet(path, packed)
        lines = Lines(packed)
        if lines.start[:4] == b"PAR1":
            raise UsageError(f"{path}: packed Parquet; unpack it first (Parquet compresses by itself)")
        if form == "parquet":
            return _open_parquet(path, packed)
        head = lines.peek()
        if not head.strip():
            raise ImportRefused(lines.file, 1, "the file is empty")
        start = head.lstrip()[:1]
        if start == "[" and form != "csv":
            lines.close()
            return ArrayTable(open_packed(path))
        if form is None:
            form = "json" if start == "{" else "csv"
        return JsonTable(lines) if form == "json" else CsvTable(lines)
    except BaseException:
        packed.close()
        raise


def _open_parquet(path: Path, packed: Packed) -> Table:
    try:
        from adapters.files.parquet import ParquetTable
    except ImportError:
        raise UsageError(f"{path}: reading Parquet needs pyarrow: pip install retape[parquet]") from None
    packed.raw.seek(0)
    return ParquetTable(path, packed.raw)


class Lines:
    """The lines of a text file, with their ends, decoded block by block, member by member.

    A member of an archive that begins as the first one did, with an address or names of columns, is read
    without these lines.
    """

    def __init__(self, packed: Packed) -> None:
        self.file = packed.place(packed.members[0])
        self.start = b""
        self.before = 0  # lines of the members before this one, less the lines that it was read without
        self._packed = packed
        self._done = 0  # whole lines of the blocks before, in this member
        self._given = 0
        self._head: list[str] = []
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

    def drop(self) -> None:
        """Leave out the first line that is not blank."""
        for line in self._lines:
            if line.strip():
                break

    def __iter__(self) -> Iterator[str]:
        return self._lines

    def bytes_read(self) -> int:
        return self._packed.bytes_read()

    def close(self) -> None:
        self._packed.close()

    def _read(self) -> Iterator[str]:
        for number, member in enumerate(self._packed.members):
            self.file = self._packed.place(member)
            self._done = 0
            skipping = number > 0
            self.before = self._given
            for at, line in enumerate(self._read_member(member)):
                if not number and at < 2 and not holds_data(re.split(r"[,;\t|]", line)):
                    self._head.append(line.rstrip())
                if skipping and at < len(self._head) and line.rstrip() == self._head[at]:
                    self.before -= 1
                    continue
                skipping = False
                self._given += 1
                yield line if line.endswith("\n") else line + "\n" * (member != self._packed.members[-1])

    def _read_member(self, member: str) -> Iterator[str]:
        rest = b""
        first = True
        blocks = self._packed.blocks(member)
        while True:
            try:
                block = next(blocks, b"")
            except DAMAGES as error:
                reason = f"the file is cut short or damaged here ({error})"
                raise ImportRefused(self.file, self._done + 1, reason) from error
            if first:
                self.start = self.start or block[:16]
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
                if self.start.lstrip()[:1] == b"[" and not self._done:
                    yield rest.decode("utf-8", "replace")  # one long array, which is read otherwise
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
    rows_are_arrays = False

    def __init__(self, lines: Lines) -> None:
        self._source = lines
        self.address = ""
        head = lines.peek()
        self._dropped = 0
        if _ADDRESS.fullmatch(head):
            self.address = head.strip(' \t\r\n",;')
            lines.drop()
            self._dropped = 1
            head = lines.peek()
        delimiter = max(_DELIMITERS, key=lambda each: (head.count(each), -_DELIMITERS.index(each)))
        self._reader = csv.reader(iter(lines), delimiter=delimiter, strict=True)
        self._rows = self._read()
        self.first: tuple[str, ...] = next((tuple(row) for row in self._rows if row), ())

    @property
    def line(self) -> int:
        # The csv module counts the lines of all members in one go.
        return max(1, self._reader.line_num + self._dropped - self._source.before)

    @property
    def place(self) -> str:
        return self._source.file

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
            raise ImportRefused(self.place, self.line, reason) from error


class JsonTable:
    """One JSON object on each line; the first line's keys are the columns. Numbers keep their exact text."""

    headed = True
    address = ""
    rows_are_arrays = False

    def __init__(self, lines: Lines) -> None:
        self._source = lines
        self._lines = iter(lines)
        self._decode = json_decoder().decode
        self._line = 0
        self._first = next(self._objects())
        self.first: tuple[str, ...] = tuple(self._first)

    @property
    def line(self) -> int:
        return max(1, self._line - self._source.before)

    @property
    def place(self) -> str:
        return self._source.file

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
            self._line += 1
            if text.isspace():
                continue
            try:
                found = self._decode(text)
            except json.JSONDecodeError as error:
                reason = f"not JSON: {error.msg} at column {error.colno}"
                raise ImportRefused(self.place, self.line, reason) from None
            except ValueError as error:
                raise ImportRefused(self.place, self.line, str(error)) from None
            except RecursionError:
                raise ImportRefused(self.place, self.line, "JSON nested too deep") from None
            if not isinstance(found, dict):
                raise ImportRefused(self.place, self.line, "not a JSON object")
            yield found

    def _cells(self, keys: Sequence[str]) -> Iterator[list[str]]:
        for found in chain([self._first], self._objects()):
            row = []
            for key in keys:
                cell = found.get(key, "")
                if not isinstance(cell, str):
                    try:
                        cell = plain_cell(repr(key), cell)
                    except ValueError as error:
                        raise ImportRefused(self.place, self.line, str(error)) from None
                row.append(cell)
            yield row
