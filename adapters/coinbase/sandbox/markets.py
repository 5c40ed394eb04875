"""The products of a sandbox: their names, and their trades with ids that count up by one.

Owns how a tape's instruments become products: a name with a slash has a hyphen, one without is quoted in USD.
Called by `protocol.py` and `rest.py`.
"""

from __future__ import annotations

from typing import Any

from adapters.exchange.candles import OpenCandle
from adapters.exchange.instruments import InstrumentMarket
from adapters.exchange.numbers import decimal
from adapters.exchange.spot import Numbered, SpotMarket, time_text
from engine.events import Quote
from engine.values import BUY, NO_SIDE

__all__ = ["ProductMarket", "product_name"]


class ProductMarket(SpotMarket):
    """One product and its rows."""

    def __init__(self, market: InstrumentMarket) -> None:
        super().__init__(market, product_name(market.name))

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
