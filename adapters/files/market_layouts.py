"""The known layouts of quotes, books, funding rates, marks and open interest.

Promises nothing of its own: `layouts` recognises. The sources are cited in `docs/importing.md`, whose table
is checked against this one.
"""

from __future__ import annotations

from typing import Final

from adapters.files.kinds import BOOKS, CONTEXTS, FUNDING, QUOTES, UPDATES, Known

__all__ = ["MARKET_KNOWN"]

_TARDIS: Final = ("exchange", "symbol", "timestamp", "local_timestamp")

MARKET_KNOWN: Final[tuple[Known, ...]] = (
    Known(
        "tardis-quotes",
        "Tardis quotes",
        QUOTES,
        (),
        {
            "time": "timestamp",
            "bid": "bid_price",
            "bid_size": "bid_amount",
            "ask": "ask_price",
            "ask_size": "ask_amount",
            "symbol": "symbol",
        },
        (*_TARDIS, "ask_amount", "ask_price", "bid_price", "bid_amount"),
        units=("us",),
        sorts=True,
        says="in order of arrival",
    ),
    Known(
        "tardis-books",
        "Tardis book snapshots",
        BOOKS,
        (),
        {"time": "timestamp", "symbol": "symbol"},
        (*_TARDIS, "asks[0].price", "asks[0].amount", "bids[0].price", "bids[0].amount"),
        units=("us",),
        sorts=True,
        says="5 or 25 levels",
    ),
    Known(
        "tardis-book-updates",
        "Tardis incremental books",
        UPDATES,
        (),
        {
            "time": "timestamp",
            "snapshot": "is_snapshot",
            "side": "side",
            "price": "price",
            "size": "amount",
            "symbol": "symbol",
        },
        (*_TARDIS, "is_snapshot", "side", "price", "amount"),
        units=("us",),
        says="a snapshot begins the book again; the updates have no numbers, so a gap does not show",
    ),
    Known(
        "tardis-contexts",
        "Tardis derivative tickers",
        CONTEXTS,
        (),
        {
            "time": "timestamp",
            "mark": "mark_price",
            "oracle": "index_price",
            "open_interest": "open_interest",
            "symbol": "symbol",
        },
        (*_TARDIS, "funding_timestamp", "funding_rate", "open_interest", "index_price", "mark_price"),
        units=("us",),
        sorts=True,
        says="their funding rates are forecasts and are not read",
    ),
    Known(
        "binance-quotes",
        "Binance book tickers",
        QUOTES,
        (),
        {
            "time": "transaction_time",
            "bid": "best_bid_price",
            "bid_size": "best_bid_qty",
            "ask": "best_ask_price",
            "ask_size": "best_ask_qty",
        },
        ("update_id", "best_bid_price", "best_bid_qty", "best_ask_price", "best_ask_qty", "transaction_time"),
        units=("ms", "us"),
        sorts=True,
    ),
    Known(
        "binance-funding",
        "Binance funding rates",
        FUNDING,
        (),
        {"time": "calc_time", "rate": "last_funding_rate"},
        ("calc_time", "funding_interval_hours", "last_funding_rate"),
        units=("ms",),
        rates="fraction",
        says="rates are fractions, each for the time since the one before",
    ),
    Known(
        "binance-metrics",
        "Binance metrics",
        CONTEXTS,
        (),
        {"time": "create_time", "open_interest": "sum_open_interest", "symbol": "symbol"},
        ("create_time", "symbol", "sum_open_interest", "sum_open_interest_value"),
        says="open interest only",
    ),
    Known(
        "hyperliquid-funding",
        "Hyperliquid funding history",
        FUNDING,
        (),
        {"time": "time", "rate": "fundingrate", "symbol": "coin"},
        ("coin", "fundingrate", "premium", "time"),
        units=("ms",),
        rates="fraction",
        says="rates are fractions",
    ),
    Known(
        "kraken-funding",
        "Kraken Futures funding rates",
        FUNDING,
        (),
        {"time": "timestamp", "rate": "relativefundingrate"},
        ("timestamp", "fundingrate", "relativefundingrate"),
        rates="fraction",
        says="the relative rate, a fraction, is read",
    ),
    Known(
        "ccxt-funding",
        "ccxt funding rate history",
        FUNDING,
        (),
        {"time": "timestamp", "rate": "fundingrate", "symbol": "symbol"},
        ("symbol", "fundingrate", "timestamp", "datetime"),
        units=("ms",),
        rates="fraction",
        says="rates are fractions",
    ),
)
"""Known layouts of what is neither trades nor candles; each has names."""
