"""The products of a sandbox: their names, and their trades with ids that count up by one.

Owns how a tape's instruments become products: a name with a slash has a hyphen, one without is quoted in USD.
Called by `protocol.py` and `rest.py`.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Final, NamedTuple

from adapters.exchange.candles import OpenCandle
from adapters.exchange.instruments import InstrumentMarket
from adapters.exchange.numbers import decimal
from engine.clock import iso_text
from engine.events import Quote, Trade
from engine.values import BUY, NO_SIDE

__all__ = ["Numbered", "ProductMarket", "product_name", "time_text"]

_KEPT: Final = 10_000


class Numbered(NamedTuple):
    """A trade and its id."""

    number: int
    trade: Trade


class ProductMarket:
    """One product. `trades` are the newest, oldest first."""

    def __init__(self, market: InstrumentMarket) -> None:
        self.market = market
        self.name = product_name(market.name)
        self.price_scale = market.listed.price_scale
        self.size_scale = market.listed.size_scale
        self.trades: deque[Numbered] = deque(maxlen=_KEPT)
        self._count = 0

    def add(self, trade: Trade) -> Numbered:
        """Number a trade of the tape and keep it."""
        self._count += 1
        numbered = Numbered(self._count, trade)
        self.trades.append(numbered)
        return numbered

    def price(self, value: int) -> str:
        """Return a price as text, "" for none."""
        return decimal(value, self.price_scale) if value else ""

    def size(self, value: int) -> str:
        """Return a size as text."""
        return decimal(value, self.size_scale)

    def trade(self, one: Numbered) -> dict[str, Any]:
        """Return a trade, with the maker's side."""
        trade = one.trade
        side = "SELL" if trade.aggressor == BUY else "BUY"
        return {
            "trade_id": str(one.number),
            "product_id": self.name,
            "price": self.price(trade.price),
            "size": self.size(trade.size),
            "side": "UNKNOWN_ORDER_SIDE" if trade.aggressor == NO_SIDE else side,
            "time": time_text(trade.venue_ns),
        }

    def ticker(self, quote: Quote) -> dict[str, Any]:
        """Return the best bid and ask."""
        last = self.trades[-1].trade.price if self.trades else 0
        return {
            "type": "ticker",
            "product_id": self.name,
            "price": self.price(last),
            "best_bid": self.price(quote.bid),
            "best_bid_quantity": self.size(quote.bid_size),
            "best_ask": self.price(quote.ask),
            "best_ask_quantity": self.size(quote.ask_size),
        }

    def candle(self, one: OpenCandle) -> dict[str, Any]:
        """Return a candle."""
        return {
            "start": str(one.start_ms // 1000),
            "low": self.price(one.low),
            "high": self.price(one.high),
            "open": self.price(one.open),
            "close": self.price(one.close),
            "volume": self.size(one.volume),
            "product_id": self.name,
        }


def product_name(name: str) -> str:
    """Return the product of an instrument of the tape."""
    name = name.replace("/", "-")
    return name if "-" in name else f"{name}-USD"


def time_text(ns: int) -> str:
    """Return a time with microseconds."""
    return iso_text(ns)[:26] + "Z"
