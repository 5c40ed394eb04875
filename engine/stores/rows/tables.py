"""The tables of a store: names, columns, keys, indexes and views.

Promises that they are readable in Datasette and pandas: prices,
sizes and money are in the instrument's units, times are ISO 8601 text beside integer nanoseconds (`at`,
`at_ns`), instruments have their name and number, and every row has the `seq` of the event it comes from, so
that `engine why DAY SEQ` works from any row. Used by the builder of rows and by stores.

`at` is the engine's time of the event; other times have names of their own (`start`, `venue_time`,
`submitted`). Where a store holds floats they are for reading: the exact value is in the journal. Ids given by
a venue are text, because they may outgrow the 64 bits of a database.
"""

from __future__ import annotations

from typing import Final

from engine.stores.rows.flow_tables import FLOW_TABLES
from engine.stores.rows.shapes import INSTRUMENT, PRINT, RECORD, TRADED, TableShape

__all__ = ["SCHEMA_VERSION", "TABLES", "VIEWS", "TableShape"]

SCHEMA_VERSION: Final = 5
"""Kept in the database as `user_version`; a database of another version is rebuilt."""


TABLES: Final[dict[str, TableShape]] = {
    "instruments": TableShape(
        {
            "instrument_id": int,
            "instrument": str,
            "venue": str,
            "kind": str,
            "price_scale": int,
            "size_scale": int,
            "price_step": float,
            "size_step": float,
            "price_figures": int,
            "listed": str,
            "listed_ns": int,
            "seq": int,
        },
        pk="instrument_id",
        indexes=(("instrument",),),
    ),
    "trades": TableShape(
        {
            **RECORD,
            "venue_time": str,
            "venue_ns": int,
            **INSTRUMENT,
            **PRINT,
        },
        pk="seq",
        indexes=(("instrument", "at_ns"),),
    ),
    "bars": TableShape(
        {
            **INSTRUMENT,
            "interval": str,
            "start": str,
            "start_ns": int,
            **TRADED,
            "source": str,
            "revision": int,
            "closed_by": str,
            **RECORD,
        },
        pk=("instrument_id", "interval", "start_ns"),
        indexes=(("instrument", "interval", "start_ns"), ("start_ns",)),
        newest="revision",
        quotients=("vwap",),
    ),
    **FLOW_TABLES,
    "marks": TableShape({**RECORD, **INSTRUMENT, "price": float}, pk="seq"),
    "signals": TableShape(
        {**RECORD, "strategy": str, **INSTRUMENT, "name": str, "value": float},
        pk="seq",
        indexes=(("strategy", "name", "instrument", "at_ns"),),
        quotients=("value",),
    ),
    "targets": TableShape(
        {**RECORD, "strategy": str, **INSTRUMENT, "size": float, "reason": str},
        pk="seq",
        indexes=(("strategy", "instrument", "at_ns"),),
    ),
    "orders": TableShape(
        {
            "client_order_id": str,
            "strategy": str,
            **INSTRUMENT,
            "side": str,
            "size": float,
            "kind": str,
            "limit_price": float,
            "bound": float,
            "tif": str,
            "role": str,
            "purpose": str,
            "reduce_only": int,
            "trigger": str,
            "trigger_price": float,
            "parent": str,
            "order_group": str,
            "handle": str,
            "asked_for": str,
            "state": str,
            "filled": float,
            "remaining": float,
            "avg_price": float,
            "fees": float,
            "reason": str,
            "venue_order_id": str,
            "submitted": str,
            "submitted_ns": int,
            "updated": str,
            "updated_ns": int,
            "seq": int,
            "cause": int,
            "updated_seq": int,
        },
        pk="client_order_id",
        indexes=(("seq",), ("state",), ("strategy", "submitted_ns"), ("instrument", "submitted_ns")),
        quotients=("avg_price",),
    ),
    # The exact sums behind avg_price and fees, as decimal text, so that a restart continues exactly.
    "order_sums": TableShape(
        {"client_order_id": str, "filled": str, "cost": str, "fees": str, "seq": int},
        pk="client_order_id",
    ),
    "fills": TableShape(
        {
            **RECORD,
            "venue_time": str,
            "venue_ns": int,
            "client_order_id": str,
            "strategy": str,
            **INSTRUMENT,
            "side": str,
            "price": float,
            "size": float,
            "value": float,
            "fee": float,
            "liquidity": str,
            "trade_id": str,
            "role": str,
            "purpose": str,
            "external": int,
            "why": str,
            "fee_asset": str,
        },
        pk="seq",
        indexes=(("client_order_id", "trade_id"), ("instrument", "at_ns"), ("strategy", "at_ns"), ("at_ns",)),
    ),
    "refusals": TableShape(
        {
            **RECORD,
            "strategy": str,
            **INSTRUMENT,
            "side": str,
            "size": float,
            "rule": str,
            "reason": str,
            "request_seq": int,
        },
        pk="seq",
        indexes=(("rule",),),
    ),
    # From flat to flat. `size` is what was opened; prices are averages; `net` is the profit after fees.
    "round_trips": TableShape(
        {
            "strategy": str,
            **INSTRUMENT,
            "side": str,
            "size": float,
            "entry_price": float,
            "exit_price": float,
            "profit": float,
            "fees": float,
            "net": float,
            "seconds": float,
            "exit_by": str,
            "entered": str,
            "entered_ns": int,
            "exited": str,
            "exited_ns": int,
            "entry_seq": int,
            "reason": str,
            "seq": int,
            "cause": int,
        },
        pk="seq",
        indexes=(("strategy", "instrument", "exited_ns"), ("exited_ns",)),
        quotients=("entry_price", "exit_price", "seconds"),
    ),
    # The exact sums of trips under way, as decimal text.
    "open_trips": TableShape(
        {
            "book": str,
            "side": str,
            "entered": str,
            "entered_ns": int,
            "entry_seq": int,
            **dict.fromkeys(("held", "opened", "entry_value", "exit_value", "fees"), str),
            "seq": int,
        },
        pk="book",
    ),
    "positions": TableShape(
        {
            "strategy": str,
            **INSTRUMENT,
            "size": float,
            "avg_price": float,
            "cost": float,
            "realized": float,
            "fees": float,
            "funding": float,
            **RECORD,
        },
        pk=("strategy", "instrument_id"),
        quotients=("avg_price",),
    ),
    "position_changes": TableShape(
        {
            **RECORD,
            "strategy": str,
            **INSTRUMENT,
            "size": float,
            "avg_price": float,
            "cost": float,
            "realized": float,
            "fees": float,
            "funding": float,
        },
        pk="seq",
        indexes=(("strategy", "instrument", "at_ns"),),
        quotients=("avg_price",),
    ),
    "equity": TableShape(
        {
            **RECORD,
            "realized": float,
            "unrealized": float,
            "fees": float,
            "equity": float,
            "funding": float,
            "start": float,
            "adjustments": float,
            "unvalued": str,
        },
        pk="seq",
        indexes=(("at_ns",),),
    ),
    "feed_events": TableShape(
        {
            **RECORD,
            "feed": str,
            "event": str,
            **INSTRUMENT,
            "from_time": str,
            "from_ns": int,
            "to_time": str,
            "to_ns": int,
            "closed": int,
            "reason": str,
            "backoff_ms": int,
            "subscriptions": int,
            "attempt": int,
            "channel": str,
            "count": int,
            "raw": str,
        },
        pk="seq",
        indexes=(("feed", "at_ns"),),
    ),
    "candles": TableShape(
        {
            **INSTRUMENT,
            "interval": str,
            "start": str,
            "start_ns": int,
            "open": float,
            "high": float,
            "low": float,
            "close": float,
            "volume": float,
            "trades": int,
            "purpose": str,
            **RECORD,
        },
        pk=("instrument_id", "interval", "start_ns"),
        indexes=(("instrument", "interval", "start_ns"),),
    ),
    "funding_rates": TableShape(
        {
            **INSTRUMENT,
            "time": str,
            "time_ns": int,
            "rate": float,
            "premium": float,
            **RECORD,
        },
        pk=("instrument_id", "time_ns"),
    ),
    "funding_payments": TableShape(
        {
            **INSTRUMENT,
            "time": str,
            "time_ns": int,
            "size": float,
            "amount": float,
            "rate": float,
            **RECORD,
        },
        pk=("instrument_id", "time_ns"),
    ),
    "bar_differences": TableShape(
        {
            **RECORD,
            **INSTRUMENT,
            "interval": str,
            "start": str,
            "start_ns": int,
            "open": float,
            "high": float,
            "low": float,
            "close": float,
            "volume": float,
            "trades": int,
            "venue_open": float,
            "venue_high": float,
            "venue_low": float,
            "venue_close": float,
            "venue_volume": float,
            "venue_trades": int,
        },
        pk="seq",
    ),
    "position_differences": TableShape(
        {**RECORD, **INSTRUMENT, "own": float, "venue_size": float, "adopted": int}, pk="seq"
    ),
    "account": TableShape(
        {
            **RECORD,
            "gateway": str,
            "equity": float,
            "withdrawable": float,
            "open_orders": int,
            "foreign_orders": int,
        },
        pk="seq",
    ),
    "foreign_orders": TableShape(
        {
            **RECORD,
            **INSTRUMENT,
            "venue_order_id": str,
            "client_order_id": str,
            "side": str,
            "size": float,
            "limit_price": float,
        },
        pk="seq",
    ),
    "sessions": TableShape(
        {
            "session": str,
            "mode": str,
            "started": str,
            "started_ns": int,
            "stopped": str,
            "stopped_ns": int,
            "stop_reason": str,
            "version": str,
            "schema": str,
            "code": str,
            "strategies": str,
            "config": str,
            "seq": int,
            "stop_seq": int,
        },
        pk="session",
        indexes=(("seq",),),
    ),
    "failures": TableShape(
        {**RECORD, "event": str, "actor": str, "failed_seq": int, "error": str, "policy": str},
        pk="seq",
    ),
    "lifecycle": TableShape(
        {**RECORD, "event": str, "actor": str, "state": str, "detail": str, "restarts": int},
        pk="seq",
        indexes=(("actor",),),
    ),
    # The position of the rows in the journal: one row, written in the same transaction.
    "cursor": TableShape(
        {"id": int, "journal_id": str, "seq": int, "digest": str, "with_trades": int},
        pk="id",
    ),
}

VIEWS: Final[dict[str, str]] = {
    "latest_equity": "select * from equity order by seq desc limit 1",
    "daily_pnl": """
        with marked as (
            select substr(at, 1, 10) as day, max(seq) as last_seq, min(seq) as first_seq
            from equity group by substr(at, 1, 10)
        )
        select marked.day, closing.equity,
               closing.equity
                   - coalesce(lag(closing.equity) over days, nullif(closing.start, 0), opening.equity)
                   - closing.adjustments + coalesce(lag(closing.adjustments) over days, 0) as pnl,
               closing.fees - coalesce(lag(closing.fees) over days, 0) as fees,
               closing.funding - coalesce(lag(closing.funding) over days, 0) as funding,
               closing.adjustments - coalesce(lag(closing.adjustments) over days, 0) as adjustments,
               closing.seq
        from marked
        join equity as closing on closing.seq = marked.last_seq
        join equity as opening on opening.seq = marked.first_seq
        window days as (order by marked.day)
        order by marked.day
    """,
    "daily_fills": """
        select substr(at, 1, 10) as day, strategy, venue, instrument, count(*) as fills,
               sum(size) as size, sum(value) as value, sum(fee) as fees, max(seq) as seq
        from fills group by substr(at, 1, 10), strategy, venue, instrument order by day
    """,
    "open_orders": """
        select * from orders
        where state in
            ('PendingNew', 'New', 'PartiallyFilled', 'PendingCancel', 'PendingReplace', 'Unknown')
        order by seq
    """,
    "open_positions": "select * from positions where size != 0 order by strategy, instrument",
    "feed_damages": "select * from feed_events where event = 'damaged' order by seq",
    "feed_gaps": "select * from feed_events where event = 'gap' order by seq",
}
