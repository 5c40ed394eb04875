"""The tables and views of a QuestDB store, as statements.

A table is partitioned by the UTC day of its time and has its primary key as deduplication keys, so that a row
that is sent again replaces itself. Tables whose rows have no time in their key, or depend on earlier rows,
are not held: orders, fills, round trips, positions, sessions. Called by `store.py`. No I/O.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from engine.clock import DAY_NS
from engine.stores.rows.shapes import TableShape
from engine.stores.rows.tables import TABLES

__all__ = ["INTERVALS", "SHOWN", "SYMBOLS", "TIME_NS", "cursor_table", "instruments_table", "table", "view"]

INTERVALS: Final = ("10s", "1m", "5m", "15m", "30m", "1h", "4h", "1d")
"""The intervals of the candles that QuestDB makes of trades."""

SYMBOLS: Final = frozenset(
    ("instrument", "venue", "interval", "strategy", "side", "kind", "name", "source", "feed", "event")
)
"""Columns with few different texts."""

_DEPENDENT: Final = frozenset(("orders", "order_sums", "fills", "round_trips", "open_trips", "sessions"))


def _times() -> Iterator[tuple[str, str]]:
    for name, shape in TABLES.items():
        at_ns = shape.times.get(shape.time, "")
        if at_ns and name not in _DEPENDENT and ({"seq", at_ns} & set(shape.key)):
            yield name, at_ns


TIME_NS: Final = dict(_times())
"""The column with the nanoseconds of each table's time. Its time orders the rows."""

SHOWN: Final = frozenset(TIME_NS)
"""The tables that a store can hold besides `instruments`."""


def table(prefix: str, name: str, decimals: int, kept_ns: int | None) -> str:
    """Return the statement that creates a table, if it is not there."""
    shape = TABLES[name]
    columns = ", ".join(f'"{column}" {_type_of(shape, column, decimals)}' for column in shape.columns)
    keys = ", ".join([shape.time, *(one for one in shape.key if one != TIME_NS[name])])
    return (
        f'create table if not exists "{prefix}{name}" ({columns}) timestamp({shape.time})'
        f" partition by day{_ttl(kept_ns)} wal dedup upsert keys({keys})"
    )


def view(prefix: str, interval: str, kept_ns: int | None) -> str:
    """Return the statement that creates the candles of an interval, if they are not there."""
    return (
        f'create materialized view if not exists "{prefix}ohlcv_{interval}" as (select venue_time, venue,'
        " instrument, instrument_id, first(price) open, max(price) high, min(price) low, last(price) close,"
        f' sum(size) volume, count() trades from "{prefix}trades" sample by {interval})'
        f" partition by day{_ttl(kept_ns)}"
    )


def cursor_table(prefix: str) -> str:
    """Return the statement that creates the table of the cursor: one row, at the time 0."""
    return (
        f'create table if not exists "{prefix}retape_cursor" (ts timestamp_ns, made_with varchar,'
        " journal_id varchar, seq long, digest varchar, epoch long)"
        " timestamp(ts) partition by year wal dedup upsert keys(ts)"
    )


def instruments_table(prefix: str, decimals: int) -> str:
    """Return the statement that creates the instruments.

    Each listing is a row, with the cursor of the batch that brought it: after a crash listings may be ahead
    of the cursor, and rows must be read with the scales of their own time.
    """
    shape = TABLES["instruments"]
    columns = ", ".join(f'"{column}" {_type_of(shape, column, decimals)}' for column in shape.columns)
    return (
        f'create table if not exists "{prefix}instruments" (ts timestamp_ns, since long, {columns})'
        " timestamp(ts) partition by year wal dedup upsert keys(ts, instrument_id, since)"
    )


def _type_of(shape: TableShape, column: str, decimals: int) -> str:
    kind: Mapping[type, str] = {int: "long", bool: "boolean"}
    if column in shape.times:
        return "timestamp_ns"
    if shape.columns[column] is float:
        return "double" if column in shape.quotients else f"decimal(38, {decimals})"
    return kind.get(shape.columns[column], "symbol" if column in SYMBOLS else "varchar")


def _ttl(kept_ns: int | None) -> str:
    return f" ttl {max(1, kept_ns // DAY_NS)} days" if kept_ns else ""
