"""The tables of a store as PostgreSQL has them: types, keys, indexes, views, and statements that write them.

Exact numbers are `numeric`, quotients `double precision`, times `timestamptz` beside their nanoseconds. With
TimescaleDB the tables that grow fastest are hypertables, partitioned by the time of what happened, so that
their keys hold that time too. Pure: returns texts. Called by `store.py` and `timescale.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from engine.stores.postgres.copying import ZERO, time_text
from engine.stores.rows.shapes import TableShape
from engine.stores.rows.tables import TABLES
from engine.stores.rows.views import VIEWS, tables_of

__all__ = ["CURSOR", "DAY", "HYPERTABLES", "Layout", "as_numeric", "quoted"]

HYPERTABLES: Final = {"trades": 1, "bars": 7, "signals": 7, "marks": 1, "open_interest": 7}
"""Tables that are partitioned with TimescaleDB, and the days of one chunk."""
CURSOR: Final = "cursor"
DAY: Final = "(at at time zone 'UTC')::date"

_TYPES: Final = {int: "bigint", str: "text", float: "numeric", bool: "boolean"}


def as_numeric(value: int, scale: int) -> str:
    """Return an exact integer at a scale as text that the database reads as `numeric`: 4305997e-2."""
    return f"{value}e-{scale}"


def quoted(name: str) -> str:
    """Return a name for a statement."""
    return '"' + name.replace('"', '""') + '"'


class Layout:
    """The tables of one store in one schema of a database. `timescale`: some tables are hypertables."""

    def __init__(self, schema: str, tables: Iterable[str], *, timescale: bool) -> None:
        self.schema = schema
        self.tables = sorted(tables)
        self.timescale = timescale
        self.inserts = {table: self._insert(table) for table in self.tables}
        self.copies = {
            table: f"copy {self.name(table)} ({_columns(table)}) from stdin" for table in self.tables
        }
        self.selects = {table: self._select(table) for table in self.tables}
        self.convert = {table: _converter(TABLES[table]) for table in self.tables}

    def name(self, table: str) -> str:
        """Return the full name of a table or view."""
        return f"{quoted(self.schema)}.{quoted(table)}"

    def key(self, table: str) -> tuple[str, ...]:
        """Return the columns of a table's primary key."""
        shape = TABLES[table]
        if self.timescale and table in HYPERTABLES and shape.time not in shape.key:
            return (*shape.key, shape.time)
        return shape.key

    def creation(self) -> list[str]:
        """Return the statements that create the tables, without hypertables and views."""
        statements = []
        for table in self.tables:
            columns = ", ".join(f"{quoted(column)} {kind}" for column, kind in _types(TABLES[table]))
            key = ", ".join(map(quoted, self.key(table)))
            statements.append(f"create table {self.name(table)} ({columns}, primary key ({key}))")
            statements += [
                f"create index on {self.name(table)} ({_index(table, of)})" for of in TABLES[table].indexes
            ]
        return statements

    def cursor_table(self) -> str:
        """Return the statement that creates the table of the cursor, of one row at most."""
        return (
            f"create table {self.name(CURSOR)} (id int primary key check (id = 1), journal_id text,"
            " seq bigint, digest text, epoch bigint, version int not null, tables text not null,"
            " timescale boolean not null, newest_ns bigint not null default 0)"
        )

    def views(self) -> list[str]:
        """Return the statements that create the views whose tables the store holds."""
        held = [view for view in VIEWS if tables_of(view) <= set(self.tables)]
        return [f"create view {self.name(view)} as {VIEWS[view].format(day=DAY).strip()}" for view in held]

    def _insert(self, table: str) -> str:
        shape = TABLES[table]
        places = ", ".join(["%s"] * len(shape.columns))
        key = self.key(table)
        updates = ", ".join(
            f"{quoted(column)} = excluded.{quoted(column)}" for column in shape.columns if column not in key
        )
        newest = quoted(shape.newest) if shape.newest else ""
        only = f" where excluded.{newest} >= held.{newest}" if newest else ""
        return (
            f"insert into {self.name(table)} as held ({_columns(table)}) values ({places})"
            f" on conflict ({', '.join(map(quoted, key))}) do update set {updates}{only}"
        )

    def _select(self, table: str) -> str:
        where = " and ".join(f"{quoted(column)} = %s" for column in TABLES[table].key)
        return f"select {_columns(table)} from {self.name(table)} where {where}"


def _columns(table: str) -> str:
    return ", ".join(map(quoted, TABLES[table].columns))


def _types(shape: TableShape) -> list[tuple[str, str]]:
    def kind(column: str, python: type) -> str:
        if column in shape.times:
            return "timestamptz"
        return "double precision" if column in shape.quotients else _TYPES[python]

    return [(column, kind(column, python)) for column, python in shape.columns.items()]


def _index(table: str, columns: tuple[str, ...]) -> str:
    """Return the columns of an index. Questions ask for times, not for nanoseconds."""
    times = {ns: text for text, ns in TABLES[table].times.items()}
    return ", ".join(quoted(times.get(column, column)) for column in columns)


def _converter(shape: TableShape) -> Callable[[Iterable[Any]], list[Any]]:
    """Return a function that makes a row of the database of a row's values.

    Times are made of the nanoseconds beside them. A text cannot hold the character of code 0.
    """
    names = list(shape.columns)
    times = [(names.index(name), names.index(ns)) for name, ns in shape.times.items()]
    texts = [at for at, name in enumerate(names) if shape.columns[name] is str and name not in shape.times]
    flags = [at for at, name in enumerate(names) if shape.columns[name] is bool]

    def convert(values: Iterable[Any]) -> list[Any]:
        row = list(values)
        for at, of in times:
            row[at] = None if row[of] is None else time_text(row[of])
        for at in texts:
            if (text := row[at]) and "\x00" in text:
                row[at] = text.translate(ZERO)
        for at in flags:
            if row[at] is not None:
                row[at] = bool(row[at])
        return row

    return convert
