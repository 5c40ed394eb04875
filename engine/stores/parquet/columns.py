"""Rows as Arrow tables: decimals of 38 digits made of integers, times with nanoseconds.

Owns the types of the columns. A store holds an exact number as an integer with a fixed count of decimals, so
no `Decimal` is made on the way. A value that a column cannot hold raises ValueError. Called by `store.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from engine.clock import iso_text
from engine.stores.rows.shapes import TableShape
from engine.stores.selecting import Selection
from engine.stores.store import Row
from engine.values import power_of_ten

__all__ = ["DIGITS", "arrow_table", "exact_number", "rows_in", "schema_of", "selected"]

DIGITS: Final = 38
"""Digits of a decimal; the most that DuckDB, Polars and pandas read."""
_LIMIT: Final = power_of_ten(DIGITS)
_ROWS: Final = 1_024
"""Rows that are plain values at a time."""
_COMPARE: Final = {"=": pc.equal, ">=": pc.greater_equal, "<": pc.less}
_INSTANT: Final = pa.timestamp("ns", tz="UTC")


def exact_number(decimals: int) -> Callable[[int, int], int]:
    """Return the function that makes an exact integer at a scale one at `decimals`."""

    def number(value: int, scale: int) -> int:
        if scale <= decimals:
            return value * power_of_ten(decimals - scale)
        whole, rest = divmod(value, power_of_ten(scale - decimals))
        if rest:
            raise ValueError(f"a number has more than {decimals} decimals; set `decimals = {scale}`")
        return whole

    return number


def schema_of(shape: TableShape, decimals: int) -> pa.Schema:
    """Return the types of a table's columns."""
    return pa.schema([(name, _type_of(shape, name, decimals)) for name in shape.columns])


def arrow_table(shape: TableShape, schema: pa.Schema, rows: Sequence[Sequence[object]]) -> pa.Table:
    """Return rows, each with the values of all columns in order, as a table."""
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(schema)
    places = {name: at for at, name in enumerate(shape.columns)}
    arrays = []
    for name, values in zip(shape.columns, columns, strict=True):
        kind = schema.field(name).type
        if pa.types.is_decimal(kind):
            arrays.append(_decimals(values, kind))
        elif kind == _INSTANT:
            at_ns = columns[places[shape.times[name]]]
            arrays.append(pa.array(at_ns, pa.int64()).cast(kind))
        elif pa.types.is_integer(kind):
            arrays.append(pa.array([None if one is None else int(one) for one in values], kind))
        else:
            arrays.append(pa.array(values, kind))
    return pa.Table.from_arrays(arrays, schema=schema)


def selected(table: pa.Table, only: Selection) -> pa.Table:
    """Return the rows of a table that are asked for."""
    for column, operator, value in only.terms():
        table = table.filter(_COMPARE[operator](table.column(column), value))
    return table


def rows_in(shape: TableShape, table: pa.Table) -> Iterator[Row]:
    """Yield the rows of a table as plain values: exact numbers as decimals, times as text."""
    for name in shape.times:
        at = table.schema.get_field_index(name)
        table = table.set_column(at, name, table.column(name).cast(pa.int64()))
    for batch in table.to_batches(max_chunksize=_ROWS):
        for row in batch.to_pylist():
            for name in shape.times:
                row[name] = None if row[name] is None else iso_text(row[name])
            yield row


def _type_of(shape: TableShape, name: str, decimals: int) -> pa.DataType:
    kind = shape.columns[name]
    if name in shape.times:
        return _INSTANT
    if kind is float:
        return pa.float64() if name in shape.quotients else pa.decimal128(DIGITS, decimals)
    return {int: pa.int64(), bool: pa.bool_()}.get(kind, pa.string())


def _decimals(values: Iterable[Any], kind: pa.DataType) -> pa.Array:
    """Return integers at the type's scale as decimals: 16 bytes each, little-endian."""
    numbers = [0 if value is None else value for value in values]
    present = [value is not None for value in values]
    if numbers and max(map(abs, numbers)) >= _LIMIT:
        raise ValueError(
            f"a number has more than {DIGITS - kind.scale} digits before the point; set fewer `decimals`"
        )
    data = b"".join([number.to_bytes(16, "little", signed=True) for number in numbers])
    valid = None if all(present) else pa.array(present, pa.bool_()).buffers()[1]
    return pa.Array.from_buffers(kind, len(numbers), [valid, pa.py_buffer(data)])
