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

import msgspec

__all__ = ["SCHEMA_VERSION", "TABLES", "VIEWS", "TableShape"]

SCHEMA_VERSION: Final = 3
"""Kept in the database as `user_version`; a database of another version is rebuilt."""


class TableShape(msgspec.Struct, frozen=True):
    """One table. `columns` in order with their types, `pk` the primary key, `indexes` beyond it.

    `float` stands for an exact number as the store holds it. With `newest`, a row replaces the one with the
    same key only if it is not lower in that column; otherwise it always does.
    """

    columns: dict[str, type]
    pk: str | tuple[str, ...]
    indexes: tuple[tuple[str, ...], ...] = ()
    newest: str = ""

    @property
    def key(self) -> tuple[str, ...]:
        """The columns of the primary key."""
        return (self.pk,) if isinstance(self.pk, str) else self.pk


_RECORD: Final[dict[str, type]] = {"seq": int, "cause": int, "at": str, "at_ns": int}
_INSTRUMENT: Final[dict[str, type]] = {"instrument": str, "instrument_id": int, "venue": str}
_WINDOW: Final[dict[str, type]] = {**_INSTRUMENT, "interval": str, "start": str, "start_ns": int}
_PRINT: Final[dict[str, type]] = {"price": float, "size": float, "side": str, "trade_id": str}
_TRADED: Final[dict[str, type]] = {
    **dict.fromkeys(("open", "high", "low", "close", "volume"), float),
    **dict.fromkeys(("quote_volume", "vwap", "buy_volume", "sell_volume"), float),
    "trades": int,
    "first_id": str,
    "last_id": str,
    "incomplete": int,
    "because": str,
}

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
            **_RECORD,
            "venue_time": str,
            "venue_ns": int,
            **_INSTRUMENT,
            **_PRINT,
        },
        pk="seq",
        indexes=(("instrument", "at_ns"),),
    ),
    "bars": TableShape(
        {
            **_INSTRUMENT,
            "interval": str,
            "start": str,
            "start_ns": int,
            **_TRADED,
            "source": str,
            "revision": int,
            "closed_by": str,
            **_RECORD,
        },
        pk=("instrument_id", "interval", "start_ns"),
        indexes=(("instrument", "interval", "start_ns"), ("start_ns",)),
        newest="revision",
    ),
    "activity_bars": TableShape(
        {
            **_INSTRUMENT,
            "kind": str,
            "number": int,
            "start": str,
            "start_ns": int,
            "end": str,
            "end_ns": int,
            **_TRADED,
            **_RECORD,
        },
        pk="seq",
        indexes=(("instrument", "kind", "start_ns"),),
    ),
    "footprints": TableShape(
        {**_RECORD, **_WINDOW, "level": float, "delta": float, "day_delta": float, "revision": int},
        pk="seq",
        indexes=(("instrument", "interval", "start_ns"),),
    ),
    "footprint_levels": TableShape(
        {
            **_RECORD,
            **_WINDOW,
            **dict.fromkeys(("price", "bought", "sold", "unsided"), float),
            "revision": int,
        },
        pk=("seq", "price"),
        indexes=(("instrument", "interval", "start_ns"),),
    ),
    "stacked_imbalances": TableShape(
        {**_RECORD, **_WINDOW, "side": str, "low": float, "high": float, "run": int, "revision": int},
        pk="seq",
        indexes=(("instrument", "interval", "start_ns"),),
    ),
    "profiles": TableShape(
        {
            **_RECORD,
            **_WINDOW,
            **dict.fromkeys(("volume", "level", "point", "value_low", "value_high"), float),
        },
        pk="seq",
        indexes=(("instrument", "interval", "start_ns"),),
    ),
    "profile_levels": TableShape(
        {**_RECORD, **_WINDOW, "price": float, "volume": float},
        pk=("seq", "price"),
        indexes=(("instrument", "interval", "start_ns"),),
    ),
    "large_prints": TableShape(
        {
            **_RECORD,
            **_INSTRUMENT,
            "venue_time": str,
            "venue_ns": int,
            **_PRINT,
        },
        pk="seq",
        indexes=(("instrument", "venue_ns"),),
    ),
    "book_samples": TableShape(
        {
            **_RECORD,
            **_WINDOW,
            **dict.fromkeys(("bid", "ask", "spread", "imbalance", "depth_imbalance"), float),
        },
        pk="seq",
        indexes=(("instrument", "interval", "start_ns"),),
    ),
    "marks": TableShape({**_RECORD, **_INSTRUMENT, "price": float}, pk="seq"),
    "signals": TableShape(
        {**_RECORD, "strategy": str, **_INSTRUMENT, "name": str, "value": float},
        pk="seq",
        indexes=(("strategy", "name", "instrument", "at_ns"),),
    ),
    "targets": TableShape(
        {**_RECORD, "strategy": str, **_INSTRUMENT, "size": float, "reason": str},
        pk="seq",
        indexes=(("strategy", "instrument", "at_ns"),),
    ),
    "orders": TableShape(
        {
            "client_order_id": str,
            "strategy": str,
            **_INSTRUMENT,
            "side": str,
            "size": float,
            "limit_price": float,
            "tif": str,
            "reduce_only": int,
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
    ),
    # The exact sums behind avg_price and fees, as decimal text, so that a restart continues exactly.
    "order_sums": TableShape(
        {"client_order_id": str, "filled": str, "cost": str, "fees": str, "seq": int},
        pk="client_order_id",
    ),
    "fills": TableShape(
        {
            **_RECORD,
            "venue_time": str,
            "venue_ns": int,
            "client_order_id": str,
            "strategy": str,
            **_INSTRUMENT,
            "side": str,
            "price": float,
            "size": float,
            "value": float,
            "fee": float,
            "liquidity": str,
            "trade_id": str,
        },
        pk="seq",
        indexes=(("client_order_id", "trade_id"), ("instrument", "at_ns"), ("strategy", "at_ns"), ("at_ns",)),
    ),
    "refusals": TableShape(
        {
            **_RECORD,
            "strategy": str,
            **_INSTRUMENT,
            "side": str,
            "size": float,
            "rule": str,
            "reason": str,
            "request_seq": int,
        },
        pk="seq",
        indexes=(("rule",),),
    ),
    "positions": TableShape(
        {
            "strategy": str,
            **_INSTRUMENT,
            "size": float,
            "avg_price": float,
            "cost": float,
            "realized": float,
            "fees": float,
            **_RECORD,
        },
        pk=("strategy", "instrument_id"),
    ),
    "position_changes": TableShape(
        {
            **_RECORD,
            "strategy": str,
            **_INSTRUMENT,
            "size": float,
            "avg_price": float,
            "cost": float,
            "realized": float,
            "fees": float,
        },
        pk="seq",
        indexes=(("strategy", "instrument", "at_ns"),),
    ),
    "equity": TableShape(
        {
            **_RECORD,
            "realized": float,
            "unrealized": float,
            "fees": float,
            "equity": float,
            "funding": float,
        },
        pk="seq",
        indexes=(("at_ns",),),
    ),
    "feed_events": TableShape(
        {
            **_RECORD,
            "feed": str,
            "event": str,
            **_INSTRUMENT,
            "from_time": str,
            "from_ns": int,
            "to_time": str,
            "to_ns": int,
            "closed": int,
            "reason": str,
            "backoff_ms": int,
            "subscriptions": int,
            "attempt": int,
        },
        pk="seq",
        indexes=(("feed", "at_ns"),),
    ),
    "candles": TableShape(
        {
            **_INSTRUMENT,
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
            **_RECORD,
        },
        pk=("instrument_id", "interval", "start_ns"),
        indexes=(("instrument", "interval", "start_ns"),),
    ),
    "funding_rates": TableShape(
        {
            **_INSTRUMENT,
            "time": str,
            "time_ns": int,
            "rate": float,
            "premium": float,
            **_RECORD,
        },
        pk=("instrument_id", "time_ns"),
    ),
    "funding_payments": TableShape(
        {
            **_INSTRUMENT,
            "time": str,
            "time_ns": int,
            "size": float,
            "amount": float,
            "rate": float,
            **_RECORD,
        },
        pk=("instrument_id", "time_ns"),
    ),
    "bar_differences": TableShape(
        {
            **_RECORD,
            **_INSTRUMENT,
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
        {**_RECORD, **_INSTRUMENT, "own": float, "venue_size": float, "adopted": int}, pk="seq"
    ),
    "account": TableShape(
        {
            **_RECORD,
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
            **_RECORD,
            **_INSTRUMENT,
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
        {**_RECORD, "event": str, "actor": str, "failed_seq": int, "error": str, "policy": str},
        pk="seq",
    ),
    "lifecycle": TableShape(
        {**_RECORD, "event": str, "actor": str, "state": str, "detail": str, "restarts": int},
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
               closing.equity - coalesce(lag(closing.equity) over days, opening.equity) as pnl,
               closing.fees - coalesce(lag(closing.fees) over days, opening.fees) as fees,
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
    "feed_gaps": "select * from feed_events where event = 'gap' order by seq",
}
