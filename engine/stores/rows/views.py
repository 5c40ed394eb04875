"""The views of a store in an SQL database: the usual questions, and tables under names that are expected."""

from __future__ import annotations

import itertools
from typing import Final

__all__ = ["VIEWS", "tables_of"]

VIEWS: Final[dict[str, str]] = {
    # Names that many programs expect.
    "ohlcv": """
        select "start" as "time", instrument as symbol, "interval", open, high, low, close, volume, trades,
               quote_volume, vwap, incomplete, revision, venue, seq
        from bars
    """,
    "price_ticks": """
        select venue_time as "time", instrument as symbol, price, size, side, trade_id, venue, seq from trades
    """,
    "funding": """
        select "time", instrument as symbol, rate, unit, premium, venue, seq from funding_rates
    """,
    "latest_equity": "select * from equity order by seq desc limit 1",
    "daily_pnl": """
        with marked as (
            select {day} as day, max(seq) as last_seq, min(seq) as first_seq
            from equity group by {day}
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
        select {day} as day, strategy, venue, instrument, count(*) as fills,
               sum(size) as size, sum(value) as value, sum(fee) as fees, max(seq) as seq
        from fills group by {day}, strategy, venue, instrument order by day
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
"""Queries by name. `{day}` stands for the day of the column `at`, which a database writes in its own way."""


def tables_of(view: str) -> set[str]:
    """Return the names of the tables, and of nothing else, that a view reads."""
    words = VIEWS[view].split()
    read = {after for word, after in itertools.pairwise(words) if word in ("from", "join")}
    return read - {"marked"}
