"""SQL on a Parquet store: DuckDB over the files and the rows that wait for a file, at one moment.

Promises that a query sees each row once, as of the cursor or later, under the names of the other stores'
tables and views, and changes nothing: only statements that read are run, and no file but those of the store
can be opened. DuckDB is an extra, imported here only. Called by `store.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import pyarrow.parquet as pq

from engine.errors import UsageError
from engine.stores.errors import first_line
from engine.stores.parquet.reading import ParquetSnapshot
from engine.stores.rows.tables import TABLES
from engine.stores.rows.views import VIEWS, tables_of

__all__ = ["queried"]

_DAY: Final = 'cast("at" as date)'


def queried(found: ParquetSnapshot, sql: str, place: str) -> tuple[list[str], Iterator[tuple[object, ...]]]:
    """Return the columns and the rows of a query on a snapshot. Raises UsageError."""
    try:
        import duckdb
    except ModuleNotFoundError:
        raise UsageError("SQL on Parquet needs DuckDB: pip install 'retape[duckdb]'") from None
    with duckdb.connect(":memory:") as conn:
        _prepare(conn, found)
        try:
            statements = duckdb.extract_statements(sql)
            if len(statements) != 1:
                raise UsageError(f"{place}: give one query, not {len(statements)}")
            for statement in statements:
                if statement.type != duckdb.StatementType.SELECT:
                    raise UsageError(f"{place}: only queries are run here, such as select or with")
            asked = conn.execute(sql)
            columns = [name for name, *_ in asked.description]
            return columns, iter(asked.fetchall())
        except duckdb.Error as error:
            raise UsageError(f"{place}: {first_line(error)}") from None


def _prepare(conn: Any, found: ParquetSnapshot) -> None:
    """Make the tables and views, and then close the way to everything else."""
    conn.execute("set timezone = 'UTC'")
    for table in sorted(found.tables):
        _make_table(conn, found, table)
    for name, view in VIEWS.items():
        if tables_of(name) <= found.tables:
            conn.execute(f'create view "{name}" as {view.format(day=_DAY)}')
    conn.execute(f"set allowed_directories = [{_text(str(found.folder))}]")
    conn.execute("set enable_external_access = false")
    conn.execute("set lock_configuration = true")


def _make_table(conn: Any, found: ParquetSnapshot, table: str) -> None:
    shape = TABLES[table]
    columns = ", ".join(f'"{column}"' for column in shape.columns)
    waiting, parts = found.waiting(table), found.parts(table)
    conn.register(f"{table} waiting", waiting)
    every = f'select {columns}, true as "is new" from "{table} waiting"'
    if parts:
        paths = ", ".join(_text(path) for path, _ in parts)
        ends = " and ".join(
            f"not (filename = {_text(path)} and file_row_number >= {rows})"
            for path, rows in parts
            if pq.read_metadata(path).num_rows > rows  # a crash left them, and they come again
        )
        every += (
            f' union all select {columns}, false as "is new" from read_parquet([{paths}], filename = true,'
            f" file_row_number = true, hive_partitioning = false) where {ends or 'true'}"
        )
    if "seq" not in shape.key and waiting.num_rows:
        key = ", ".join(f'"{column}"' for column in shape.key)
        newest = f'"{shape.newest}" desc, ' if shape.newest else ""
        every = (
            f"select * from ({every}) qualify"
            f' row_number() over (partition by {key} order by {newest}"is new" desc) = 1'
        )
    conn.execute(f'create view "{table}" as select {columns} from ({every})')


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
