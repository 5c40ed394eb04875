"""The shapes of Coinbase's REST answers (Advanced Trade, public), and their decoder.

Owns shapes only, with the promises of `wire.py`. Called by `info.py`, `listing.py` and `decode.py`. Source:
docs.cdp.coinbase.com, "Advanced Trade REST API", public endpoints, 2026-11; captures of 2026.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from adapters.coinbase.wire import Name, Text

__all__ = ["Candles", "MarketTrades", "Product", "ProductBook", "Products", "ServerTime"]

_Rows = Annotated[list[msgspec.Raw], msgspec.Meta(max_length=10_000)]


class Product(msgspec.Struct, frozen=True):
    """A product. `alias` is the product whose market it shares, "" for one of its own."""

    product_id: Name
    base_increment: Text
    quote_increment: Text
    price_increment: Text = ""
    quote_min_size: Text = "0"
    base_currency_id: Text = ""
    quote_currency_id: Text = ""
    product_type: Text = "SPOT"
    status: Text = "online"
    is_disabled: bool = False
    trading_disabled: bool = False
    alias: Text = ""


class Products(msgspec.Struct, frozen=True):
    """All products."""

    products: _Rows


class Candles(msgspec.Struct, frozen=True):
    """Candles, newest first."""

    candles: _Rows


class MarketTrades(msgspec.Struct, frozen=True):
    """The newest trades, newest first."""

    trades: _Rows


class _Level(msgspec.Struct, frozen=True, gc=False):
    price: Text
    size: Text


_Levels = Annotated[list[_Level], msgspec.Meta(max_length=10_000)]


class _Book(msgspec.Struct, frozen=True):
    product_id: Name
    bids: _Levels
    asks: _Levels
    time: Text


class ProductBook(msgspec.Struct, frozen=True):
    """The best levels of a product."""

    pricebook: _Book


class ServerTime(msgspec.Struct, frozen=True, rename="camel"):
    """The venue's clock."""

    epoch_millis: Annotated[str, msgspec.Meta(pattern=r"^[0-9]{1,13}$")]
