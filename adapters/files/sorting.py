"""A table whose rows come in order of their times, whatever their order in the file.

Promises: at most `ROWS_HELD` rows are in memory, and `_ROWS_AT_ONCE` more for each `ROWS_HELD` rows of the
file; the others lie in a temporary file, about as large as the unpacked data, that goes away with the table.
Rows of one time keep their order, or are reversed where the newest row is the first of the file. Each
row knows its line in the file. Called by `datafile`.
"""

from __future__ import annotations

import heapq
import tempfile
from collections.abc import Iterator, Sequence
from operator import itemgetter
from typing import IO, Final

import msgspec

from adapters.files.columns import Layout
from adapters.files.tables import Table
from adapters.files.times import TimeReader
from engine.errors import ImportRefused, NumberError, UsageError

__all__ = ["ROWS_HELD", "SortedTable"]

ROWS_HELD: Final = 65_536
"""Rows that are sorted in memory at once."""

_ROWS_AT_ONCE: Final = 128

Held = tuple[int, int, int, str, tuple[str, ...]]

_ENCODE: Final = msgspec.msgpack.Encoder().encode
_DECODE: Final = msgspec.msgpack.Decoder(list[Held]).decode


class SortedTable:
    """Wraps a table; `newest_first` tells which of two rows of one time came first."""

    headed: bool
    address = ""

    def __init__(self, table: Table, layout: Layout, times: TimeReader, *, newest_first: bool) -> None:
        self.first = table.first
        self.headed = table.headed
        self.rows_are_arrays = table.rows_are_arrays
        self.line = 0
        self.place = table.place
        self._table = table
        self._layout = layout
        self._times = times
        self._sign = -1 if newest_first else 1
        self._spill: IO[bytes] | None = None

    def rows(
        self, at: Sequence[int], *, header: bool
    ) -> tuple[tuple[int, ...], int, Iterator[Sequence[str]]]:
        where, width, rows = self._table.rows(at, header=header)
        time_at = where[list(self._layout.at).index("time")]
        return where, width, self._sorted(rows, width, time_at)

    def time_unit(self, at: int) -> str | None:
        return self._table.time_unit(at)

    def bytes_read(self) -> int:
        return self._table.bytes_read()

    def close(self) -> None:
        self._table.close()
        if self._spill is not None:
            self._spill.close()

    def _sorted(self, rows: Iterator[Sequence[str]], width: int, time_at: int) -> Iterator[Sequence[str]]:
        runs: list[list[tuple[int, int]]] = []
        held: list[Held] = []
        for number, row in enumerate(rows):
            if len(row) != width:
                if not row:
                    continue
                raise self._refused(f"{len(row)} columns; the first line has {width}")
            try:
                ns = self._times.read(row[time_at])
            except NumberError as error:
                raise self._refused(str(error)) from error
            held.append((ns, self._sign * number, self._table.line, self._table.place, tuple(row)))
            if len(held) >= ROWS_HELD:
                runs.append(self._write(held))
                held = []
        held.sort(key=_ORDER)
        for _, _, line, place, cells in heapq.merge(*map(self._run, runs), held, key=_ORDER):
            self.line, self.place = line, place
            yield cells

    def _write(self, held: list[Held]) -> list[tuple[int, int]]:
        """Sort rows and write them to the temporary file; return where their pieces are."""
        held.sort(key=_ORDER)
        try:
            if self._spill is None:
                self._spill = tempfile.TemporaryFile()  # noqa: SIM115 (closed with the table)
            pieces = []
            for start in range(0, len(held), _ROWS_AT_ONCE):
                data = _ENCODE(held[start : start + _ROWS_AT_ONCE])
                pieces.append((self._spill.tell(), len(data)))
                self._spill.write(data)
        except OSError as error:
            raise UsageError(
                f"{self._table.place}: no space to sort the rows in {tempfile.gettempdir()}: "
                f"{error.strerror or error}; choose another folder with TMPDIR"
            ) from error
        return pieces

    def _run(self, pieces: list[tuple[int, int]]) -> Iterator[Held]:
        assert self._spill is not None
        for start, length in pieces:
            self._spill.seek(start)
            yield from _DECODE(self._spill.read(length))

    def _refused(self, reason: str) -> ImportRefused:
        return ImportRefused(self._table.place, self._table.line, reason)


_ORDER: Final = itemgetter(0, 1)
