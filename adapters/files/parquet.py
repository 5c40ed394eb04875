"""Parquet files as rows of exact text cells; the only module that needs pyarrow.

Promises: integers, decimals and text are exact; a float becomes the shortest text that reads back as the
same float, which is what its writer meant. Nothing is rounded. Imported by `tables` when the first
Parquet file is opened, so that pyarrow stays an optional extra (`retape[parquet]`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Final

import pyarrow as pa
import pyarrow.parquet as pq

from engine.errors import ImportRefused, UsageError

__all__ = ["ParquetTable"]

_ROWS_AT_ONCE: Final = 8192

Convert = Callable[[Any], list[str | None]]


class ParquetTable:
    """The columns of a Parquet file; its rows count as lines from 1."""

    headed = True
    address = ""
    rows_are_arrays = False

    def __init__(self, path: Path, raw: BinaryIO) -> None:
        self._file = self.place = str(path)
        self._raw = raw
        self.line = 0
        try:
            self._parquet = pq.ParquetFile(raw)
            self._schema = self._parquet.schema_arrow
        except (pa.ArrowException, OSError, ValueError) as error:
            raise ImportRefused(self._file, 1, f"not a Parquet file, or damaged: {_short(error)}") from error
        self.first: tuple[str, ...] = tuple(self._schema.names)

    def rows(
        self, at: Sequence[int], *, header: bool
    ) -> tuple[tuple[int, ...], int, Iterator[Sequence[str]]]:
        names = [self.first[position] for position in at]
        converts = [self._convert(position) for position in at]
        return tuple(range(len(names))), len(names), self._cells(names, converts)

    def time_unit(self, at: int) -> str | None:
        """Return the unit of a timestamp column ("s", "ms", "us", "ns"; dates are cells of ISO text)."""
        kind = self._schema.field(at).type
        if pa.types.is_timestamp(kind):
            unit: str = kind.unit
            return unit
        return "iso" if pa.types.is_date(kind) else None

    def bytes_read(self) -> int:
        return self._raw.tell() if not self._raw.closed else 0

    def close(self) -> None:
        self._parquet.close()
        self._raw.close()

    def _cells(self, names: list[str], converts: list[Convert]) -> Iterator[Sequence[str]]:
        try:
            for batch in self._parquet.iter_batches(
                batch_size=_ROWS_AT_ONCE, columns=list(dict.fromkeys(names)), use_threads=False
            ):
                columns = []
                for name, convert in zip(names, converts, strict=True):
                    cells = convert(batch.column(name))
                    columns.append(["" if cell is None else cell for cell in cells])
                for row in zip(*columns, strict=True):
                    self.line += 1
                    yield row
        except (pa.ArrowException, OSError) as error:
            raise ImportRefused(self._file, self.line + 1, f"damaged: {_short(error)}") from error

    def _convert(self, at: int) -> Convert:
        """Return the conversion of a column to text. Raises UsageError for a type without plain values."""
        kind = self._schema.field(at).type
        if pa.types.is_dictionary(kind):
            kind = kind.value_type
        is_text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
        if is_text or pa.types.is_integer(kind) or pa.types.is_boolean(kind) or pa.types.is_date32(kind):
            return _cast
        if pa.types.is_float64(kind):
            return _shortest
        if pa.types.is_float32(kind):
            return _cast  # the shortest text of 32 bits; widened to 64 bits it would have more digits
        if pa.types.is_decimal(kind):
            return _decimals
        if pa.types.is_timestamp(kind):
            return _ticks
        if pa.types.is_null(kind):
            return lambda column: [None] * len(column)
        raise UsageError(
            f"{self._file}: column {self.first[at]!r} is of type {kind}, which cannot be imported"
        )


def _cast(column: Any) -> list[str | None]:
    texts: list[str | None] = column.cast(pa.string()).to_pylist()
    return texts


def _shortest(column: Any) -> list[str | None]:
    return [None if value is None else repr(value) for value in column.to_pylist()]


def _decimals(column: Any) -> list[str | None]:
    return [None if value is None else format(value, "f") for value in column.to_pylist()]


def _ticks(column: Any) -> list[str | None]:
    return _cast(column.cast(pa.int64()))


def _short(error: Exception) -> str:
    return str(error).splitlines()[0][:160] if str(error) else type(error).__name__
