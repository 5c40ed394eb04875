"""The table of known layouts of trades and candles, and the customs of venues.

Owns what each layout's columns are called or, without names, what their cells look like, and what its source
says about times, sides and silence. Promises nothing of its own: `layouts` recognises. The sources are cited
in `docs/importing.md`, whose table is checked against this one.
"""

from __future__ import annotations

from typing import Final

from adapters.files.columns import BY_COLUMNS
from adapters.files.kinds import CANDLES, TRADES, Known
from adapters.files.market_layouts import MARKET_KNOWN
from adapters.files.messages import LAYOUTS

__all__ = ["ALL_KNOWN", "CUSTOMS", "KNOWN", "LAYOUT_NAMES", "customs_of"]

CUSTOMS: Final = {
    "hyperliquid": ("flat", "arrival"),
    "kraken": ("flat", "sequence"),
    "binance": ("flat", "sequence"),
    "binance-usdm": ("flat", "sequence"),
    "binance-coinm": ("flat", "sequence"),
    "coinbase": ("none", "sequence"),
}
"""By venue: what its candles do in a window without trades, and what orders trades of one time stamp; see
`InstrumentListed`. A layout may say otherwise: Kraken's archive leaves out what its REST candles have."""


def customs_of(venue: str, kind: str) -> tuple[str, str]:
    """Return the customs of a venue, for instruments of a kind.

    A venue that is not known has flat candles, and its file is in order; but stocks have no candles
    while their exchange is closed.
    """
    return CUSTOMS.get(venue.lower(), ("none" if kind == "stock" else "flat", "arrival"))


def _columns(text: str) -> tuple[tuple[str, str], ...]:
    return tuple((name, kind) for name, _, kind in (one.partition(":") for one in text.split()))


_OHLCV: Final = {role: role for role in ("open", "high", "low", "close", "volume")}

KNOWN: Final[tuple[Known, ...]] = (
    Known(
        "binance-klines",
        "Binance klines",
        CANDLES,
        _columns(
            "open_time:t open:n high:n low:n close:n volume:n close_time:t quote_volume:n count:i "
            "taker_buy_volume:n taker_buy_quote_volume:n ignore:x"
        ),
        {"time": "open_time", "trades": "count", "until": "close_time", **_OHLCV},
        ("open_time", "open", "high", "low", "close", "volume", "close_time", "quote_volume", "count"),
        widths=(12,),
        units=("ms", "us"),
        silence="flat",
        says="ms until 2024, us from 2025",
    ),
    Known(
        "binance-trades",
        "Binance trades",
        TRADES,
        _columns("id:i price:n qty:n quote_qty:n time:t is_buyer_maker:b is_best_match:b"),
        {"id": "id", "price": "price", "size": "qty", "time": "time", "maker": "is_buyer_maker"},
        ("id", "price", "qty", "quote_qty", "time", "is_buyer_maker"),
        widths=(6, 7),
        units=("ms", "us"),
        says="ms until 2024, us from 2025",
    ),
    Known(
        "binance-aggtrades",
        "Binance aggregate trades",
        TRADES,
        _columns(
            "agg_trade_id:i price:n quantity:n first_trade_id:i last_trade_id:i transact_time:t "
            "is_buyer_maker:b is_best_match:b"
        ),
        {
            "id": "agg_trade_id",
            "price": "price",
            "size": "quantity",
            "time": "transact_time",
            "maker": "is_buyer_maker",
        },
        ("agg_trade_id", "price", "quantity", "first_trade_id", "transact_time", "is_buyer_maker"),
        widths=(7, 8),
        units=("ms", "us"),
        says="ms until 2024, us from 2025",
    ),
    Known(
        "kraken-trades",
        "Kraken trades",
        TRADES,
        _columns("time:t price:n volume:n"),
        {"time": "time", "price": "price", "size": "volume"},
        (),
        widths=(3,),
        units=("s",),
        says="no ids, no sides",
    ),
    Known(
        "kraken-ohlcvt",
        "Kraken OHLCVT",
        CANDLES,
        _columns("time:t open:n high:n low:n close:n volume:n trades:i"),
        {"time": "time", "trades": "trades", **_OHLCV},
        (),
        widths=(7,),
        units=("s",),
        silence="none",
        says="windows without trades are left out",
    ),
    Known(
        "cryptodatadownload",
        "cryptodatadownload candles",
        CANDLES,
        (),
        {"time": "unix", "symbol": "symbol", "trades": "tradecount", **_OHLCV},
        ("unix", "date", "symbol", "open", "high", "low", "close"),
        units=("s", "ms", "us"),
        says="an address in the first line, newest first",
    ),
    Known(
        "ccxt-ohlcv",
        "ccxt OHLCV lists",
        CANDLES,
        _columns("timestamp:t open:n high:n low:n close:n volume:n"),
        {"time": "timestamp", **_OHLCV},
        (),
        widths=(6,),
        arrays=True,
        units=("ms",),
    ),
    Known(
        "ccxt-trades",
        "ccxt trades",
        TRADES,
        (),
        {
            "time": "timestamp",
            "price": "price",
            "size": "amount",
            "id": "id",
            "side": "side",
            "symbol": "symbol",
        },
        ("timestamp", "datetime", "symbol", "side", "takerormaker", "price", "amount"),
        units=("ms",),
    ),
    Known(
        "coinbase-candles",
        "Coinbase Exchange candles",
        CANDLES,
        _columns("time:t low:n high:n open:n close:n volume:n"),
        {"time": "time", **_OHLCV},
        (),
        widths=(6,),
        arrays=True,
        units=("s",),
        silence="none",
        says="low and high before open and close; newest first; windows without trades are left out",
    ),
    Known(
        "coinbase-trades",
        "Coinbase Exchange trades",
        TRADES,
        (),
        {"time": "time", "price": "price", "size": "size", "id": "trade_id", "side": "side"},
        ("time", "trade_id", "price", "size", "side"),
        exact=True,
        turned=True,
        says="the side is the maker's and is turned",
    ),
    Known(
        "coinbase-matches",
        "Coinbase Exchange matches",
        TRADES,
        (),
        {
            "time": "time",
            "price": "price",
            "size": "size",
            "id": "trade_id",
            "side": "side",
            "symbol": "product_id",
        },
        ("time", "trade_id", "price", "size", "side", "maker_order_id", "taker_order_id", "product_id"),
        turned=True,
        says="the side is the maker's and is turned",
    ),
    Known(
        "tardis-trades",
        "Tardis trades",
        TRADES,
        (),
        {
            "time": "timestamp",
            "price": "price",
            "size": "amount",
            "id": "id",
            "side": "side",
            "symbol": "symbol",
        },
        ("exchange", "symbol", "timestamp", "local_timestamp", "id", "side", "price", "amount"),
        units=("us",),
        sorts=True,
        says="in order of arrival; sides may be unknown",
    ),
    Known(
        "bybit-trades",
        "Bybit trades",
        TRADES,
        (),
        {
            "time": "timestamp",
            "price": "price",
            "size": "size",
            "id": "trdmatchid",
            "side": "side",
            "symbol": "symbol",
        },
        ("timestamp", "symbol", "side", "size", "price", "tickdirection", "trdmatchid"),
        units=("s", "ms"),
        sorts=True,
        says="sizes of inverse contracts are in the quote currency",
    ),
    Known(
        "okx-trades",
        "OKX trades",
        TRADES,
        (),
        {
            "time": "created_time",
            "price": "price",
            "size": "size",
            "id": "trade_id",
            "side": "side",
            "symbol": "instrument_name",
        },
        ("instrument_name", "trade_id", "side", "price", "size", "created_time"),
        units=("ms",),
        sorts=True,
        says="sizes of swaps and futures are contracts",
    ),
    Known(
        "databento-trades",
        "Databento trades",
        TRADES,
        (),
        {
            "time": "ts_event",
            "price": "price",
            "size": "size",
            "side": "side",
            "symbol": "instrument_id",
            "action": "action",
        },
        ("ts_event", "rtype", "publisher_id", "instrument_id", "action", "side", "price", "size"),
        sorts=True,
        says="integer prices count 1e-9 and are scaled",
    ),
    Known(
        "databento-ohlcv",
        "Databento OHLCV",
        CANDLES,
        (),
        {"time": "ts_event", "symbol": "instrument_id", "span": "rtype", **_OHLCV},
        ("ts_event", "rtype", "publisher_id", "instrument_id", "open", "high", "low", "close", "volume"),
        silence="none",
        says="integer prices count 1e-9 and are scaled; windows without trades are left out",
    ),
)
"""Every known layout of trades and candles. Without names no row fits two of them."""

ALL_KNOWN: Final = (*KNOWN, *MARKET_KNOWN)
"""Every known layout. By its names the first that fits is taken."""

LAYOUT_NAMES: Final = (BY_COLUMNS, *(one.name for one in ALL_KNOWN), *LAYOUTS)
