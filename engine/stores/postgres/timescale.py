"""TimescaleDB: partitions, compression, and candles that the database computes from the trades.

Promises: the candles of `ohlcv_10s` to `ohlcv_1d` equal the engine's own bars in windows with trades. They
build on each other and include what has come since they were last refreshed. The store refreshes them itself:
closed windows that are new, and windows below that mark whose trades came late, be it one or a whole day. It
never refreshes a window that still runs, since later trades of it would be missing until the next one, nor
one whose trades `retention` has dropped, since that would delete its candles.

Called by `store.py` where the database has the extension.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Final, NamedTuple

from engine.clock import DAY_NS, SECOND_NS, iso_text
from engine.stores.postgres.connecting import Connection
from engine.stores.postgres.schema import HYPERTABLES, Layout
from engine.stores.rows.tables import TABLES

__all__ = ["LEVELS", "Aggregates", "make_hypertables", "stop_aggregates"]


class Level(NamedTuple):
    """One view: its interval, the seconds of it, and the view it is built from, "" for the trades."""

    name: str
    seconds: int
    source: str

    @property
    def view(self) -> str:
        """The name of the view."""
        return f"ohlcv_{self.name}"


LEVELS: Final = (
    Level("10s", 10, ""),
    Level("1m", 60, "10s"),
    Level("5m", 300, "1m"),
    Level("15m", 900, "5m"),
    Level("30m", 1800, "15m"),
    Level("1h", 3600, "30m"),
    Level("4h", 14_400, "1h"),
    Level("1d", 86_400, "4h"),
)
MARKS: Final = "aggregates"
REFRESH_S: Final = 10.0
"""How long late trades may wait for their candles."""
REFRESH_TIMEOUT_S: Final = 3600.0
COMPRESS_AFTER: Final = "7 days"

_ORDER: Final = "venue_ns * 1000000000000000::numeric + seq"
"""The order of trades: one number, since the database cannot compare two columns here."""

_BY_INSTRUMENT: Final = {
    "trades": "instrument",
    "bars": "instrument, interval",
    "signals": "strategy, name, instrument",
    "marks": "instrument",
    "open_interest": "instrument",
}


def make_hypertables(conn: Connection, layout: Layout) -> None:
    """Partition the tables that grow fastest, and have their old chunks compressed."""
    for table, days in HYPERTABLES.items():
        if table not in layout.tables:
            continue
        shape = TABLES[table]
        name = layout.name(table)
        conn.execute(
            "select create_hypertable(%s::regclass, by_range(%s::name, %s::interval),"
            " create_default_indexes => false)",
            [name, shape.time, f"{days} days"],
        )
        order = ", ".join(column for column in (shape.time, "seq") if column in shape.columns)
        conn.execute(
            f"alter table {name} set (timescaledb.enable_columnstore, "
            f"timescaledb.segmentby = '{_BY_INSTRUMENT[table]}', timescaledb.orderby = '{order}')"
        )
        conn.execute(
            f"call add_columnstore_policy(%s::regclass, after => interval '{COMPRESS_AFTER}')", [name]
        )
    if "trades" in layout.tables:
        conn.execute(
            f"create table {layout.name(MARKS)} (view text primary key, done_ns bigint not null default 0,"
            " stale_from_ns bigint, stale_to_ns bigint, newest_ns bigint not null default 0,"
            " kept_ns bigint not null default 0)"
        )
        for level in LEVELS:
            conn.execute(f"insert into {layout.name(MARKS)} (view) values (%s)", [level.view])


def stop_aggregates(conn: Connection, layout: Layout) -> None:
    """Drop the views of candles, so that the trades can be dropped."""
    if layout.timescale:
        for level in reversed(LEVELS):
            conn.execute(f"drop materialized view if exists {layout.name(level.view)}")
        conn.execute(f"drop table if exists {layout.name(MARKS)}")


class Aggregates:
    """The candles of one store."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._due = time.monotonic() + REFRESH_S
        self._done_ns = 0  # the highest mark of a view
        self._covered_ns = 0  # the lowest
        self.hurried = False

    def make(self, conn: Connection) -> None:
        """Create the views that are missing: a view cannot be created in a transaction with others."""
        for level in LEVELS:
            found = conn.execute("select to_regclass(%s)", [self._layout.name(level.view)]).fetchone()
            if found is None or found[0] is None:
                conn.execute(self._definition(level))
        self._read_marks(conn)

    def note(self, conn: Connection, trades: Iterable[tuple[object, ...]], newest_ns: int) -> None:
        """Record, with the trades, which windows below the mark they change."""
        at = list(TABLES["trades"].columns).index("venue_ns")
        times = [int(str(trade[at])) for trade in trades]
        marks = self._layout.name(MARKS)
        if times and min(times) < self._done_ns:
            conn.execute(
                f"update {marks} set stale_from_ns = least(stale_from_ns, %s),"
                " stale_to_ns = greatest(stale_to_ns, %s) where done_ns > %s",
                [min(times), max(times), min(times)],
            )
            self._due = min(self._due, time.monotonic() + 1)
        conn.execute(f"update {marks} set newest_ns = greatest(newest_ns, %s)", [newest_ns])

    def covers(self, until_ns: int) -> bool:
        """Return whether all candles before a time are made; if not, they are with the next refresh, now."""
        self.hurried = self._covered_ns < until_ns
        return not self.hurried

    def drop_chunks(self, conn: Connection, table: str, from_ns: int) -> None:
        """Drop the chunks of a table that end before a time: much cheaper than to delete their rows."""
        if table in HYPERTABLES:
            conn.execute(
                "select drop_chunks(%s::regclass, older_than => %s::timestamptz)",
                [self._layout.name(table), iso_text(max(0, from_ns))],
            )
        if table == "trades":
            marks = self._layout.name(MARKS)
            conn.execute(f"update {marks} set kept_ns = greatest(kept_ns, %s)", [from_ns])

    def refresh_if_due(self, conn: Connection) -> None:
        """Refresh what is due; it is once in REFRESH_S."""
        if self.hurried or time.monotonic() >= self._due:
            self.refresh(conn)

    def refresh(self, conn: Connection, *, everything: bool = False) -> None:
        """Refresh the closed windows that are new or have changed, the shortest ones first."""
        conn.patiently(REFRESH_TIMEOUT_S, lambda: self._refresh(conn, everything=everything))
        self._due = time.monotonic() + REFRESH_S
        self.hurried = False

    def _read_marks(self, conn: Connection) -> None:
        marks = conn.execute(f"select max(done_ns), min(done_ns) from {self._layout.name(MARKS)}").fetchone()
        assert marks is not None
        self._done_ns, self._covered_ns = marks

    def _refresh(self, conn: Connection, *, everything: bool) -> None:
        marks = self._layout.name(MARKS)
        for level in LEVELS:
            found = conn.execute(
                "select done_ns, stale_from_ns, stale_to_ns, newest_ns, kept_ns"
                f" from {marks} where view = %s",
                [level.view],
            ).fetchone()
            assert found is not None
            done_ns, stale_from_ns, stale_to_ns, newest_ns, kept_ns = found
            span_ns = level.seconds * SECOND_NS
            end_ns = newest_ns // span_ns * span_ns
            spans = [(done_ns, end_ns)]
            if everything:
                spans = [(0, end_ns)]
            elif stale_from_ns is not None:
                late = (
                    stale_from_ns // span_ns * span_ns,
                    min(done_ns, (stale_to_ns // span_ns + 1) * span_ns),
                )
                spans.insert(0, late)
            for begin_ns, until_ns in spans:
                first_ns = max(begin_ns, -(-kept_ns // DAY_NS) * DAY_NS)
                if first_ns < until_ns:
                    conn.execute(
                        "call refresh_continuous_aggregate(%s::regclass, %s::timestamptz, %s::timestamptz)",
                        [
                            self._layout.name(level.view),
                            iso_text(first_ns) if first_ns else None,
                            iso_text(until_ns),
                        ],
                    )
            conn.execute(
                f"update {marks} set done_ns = %s, stale_from_ns = null, stale_to_ns = null where view = %s",
                [end_ns if everything else max(done_ns, end_ns), level.view],
            )
        self._read_marks(conn)

    def _definition(self, level: Level) -> str:
        """Return the statement that creates a view. Equal times are ordered by seq."""
        name, bucket = self._layout.name(level.view), f"interval '{level.seconds} seconds'"
        if level.seconds == 86_400:
            bucket = "interval '1 day'"
        if level.source:
            source = self._layout.name(f"ohlcv_{level.source}")
            moment, symbol = "bucket", "symbol"
            values = (
                "first(open, bucket) as open, max(high) as high, min(low) as low,"
                " last(close, bucket) as close, sum(volume) as volume,"
                " sum(quote_volume) as quote_volume, sum(buy_volume) as buy_volume, sum(trades) as trades"
            )
        else:
            source = self._layout.name("trades")
            moment, symbol = "venue_time", "instrument"
            values = (
                f"first(price, {_ORDER}) as open, max(price) as high, min(price) as low,"
                f" last(price, {_ORDER}) as close, sum(size) as volume,"
                " sum(price * size) as quote_volume,"
                " sum(case when side = 'buy' then size else 0 end) as buy_volume, count(*) as trades"
            )
        window = f"time_bucket({bucket}, {moment})"
        columns = f"{window} as bucket, {symbol} as symbol, instrument_id, venue, {values}"
        grouped = f"{window}, {symbol}, instrument_id, venue"
        return (
            f"create materialized view {name}"
            " with (timescaledb.continuous, timescaledb.materialized_only = false)"
            f" as select {columns} from {source} group by {grouped} with no data"
        )
