"""The pairs of a sandbox: their names, their trades with ids that count up by one, and the frames about them.

Owns how a tape's instruments become pairs: a name without a slash, such as that of a perp, is quoted in USD.
Promises: numbers have the decimals of the pair, trailing zeros included, as the checksum needs. Called by
`protocol.py` and `rest.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from zlib import crc32

import msgspec

from adapters.exchange.candles import OpenCandle
from adapters.exchange.instruments import InstrumentMarket
from adapters.exchange.numbers import padded
from adapters.exchange.spot import Numbered, SpotMarket, time_text
from engine.clock import iso_text
from engine.events import Quote
from engine.values import BUY

__all__ = ["BACKLOG", "Pair", "Sides", "checksum", "frame", "old_name", "row", "symbol_of"]

BACKLOG: Final = 50
"""Trades that a subscription begins with."""

_CHECKED: Final = 10
_OLD: Final = {"BTC": "XBT", "DOGE": "XDG"}

Sides = tuple[tuple[tuple[int, int, int], ...], tuple[tuple[int, int, int], ...]]
"""Bids and asks of a book: price, size, number of orders."""


class Pair(SpotMarket):
    """One pair and its rows."""

    def __init__(self, market: InstrumentMarket) -> None:
        super().__init__(market, symbol_of(market.name))

    def price(self, value: int) -> str:
        """Return a price as the venue writes it."""
        return padded(value, self.price_scale, self.price_scale)

    def size(self, value: int) -> str:
        """Return a size as the venue writes it."""
        return padded(value, self.size_scale, self.size_scale)

    def trade_row(self, one: Numbered) -> str:
        """Return a trade of the websocket."""
        trade = one.trade
        return row(
            symbol=self.name,
            side="buy" if trade.aggressor == BUY else "sell",
            price=_number(self.price(trade.price)),
            qty=_number(self.size(trade.size)),
            ord_type="market",
            trade_id=one.number,
            timestamp=time_text(trade.venue_ns),
        )

    def ticker_row(self, quote: Quote) -> str:
        """Return the best bid and ask."""
        last = self.trades[-1].trade.price if self.trades else quote.bid
        return row(
            symbol=self.name,
            bid=_number(self.price(quote.bid)),
            bid_qty=_number(self.size(quote.bid_size)),
            ask=_number(self.price(quote.ask)),
            ask_qty=_number(self.size(quote.ask_size)),
            last=_number(self.price(last)),
            timestamp=time_text(quote.venue_ns),
        )

    def book_row(self, levels: Sequence[Sequence[tuple[int, int]]], check: int, venue_ns: int) -> str:
        """Return a snapshot or the changes of a book: (price, size) of bids and asks."""
        bids, asks = (
            msgspec.Raw(
                (
                    "[" + ",".join(f'{{"price":{self.price(p)},"qty":{self.size(s)}}}' for p, s in side) + "]"
                ).encode()
            )
            for side in levels
        )
        return row(symbol=self.name, bids=bids, asks=asks, checksum=check, timestamp=time_text(venue_ns))

    def candle_row(self, candle: OpenCandle, minutes: int) -> str:
        """Return a candle, open or not."""
        end_ns = (candle.start_ms + minutes * 60_000) * 1_000_000
        return row(
            symbol=self.name,
            open=_number(self.price(candle.open)),
            high=_number(self.price(candle.high)),
            low=_number(self.price(candle.low)),
            close=_number(self.price(candle.close)),
            trades=candle.trades,
            volume=_number(self.size(candle.volume)),
            interval_begin=iso_text(candle.start_ms * 1_000_000),
            interval=minutes,
            timestamp=time_text(end_ns),
        )


def symbol_of(name: str) -> str:
    """Return the websocket's name of an instrument of the tape."""
    return name if "/" in name else f"{name}/USD"


def old_name(symbol: str) -> str:
    """Return the name of a pair as REST has it, with a slash."""
    base, _, quote = symbol.partition("/")
    return f"{_OLD.get(base, base)}/{_OLD.get(quote, quote)}"


def checksum(sides: Sides) -> int:
    """Return the CRC32 of the best ten levels: asks, then bids."""
    bids, asks = sides
    return crc32("".join(f"{p}{s}" for p, s, _ in (*asks[:_CHECKED], *bids[:_CHECKED])).encode())


def frame(channel: str, kind: str, rows: Sequence[str]) -> str:
    """Return a message of data."""
    return f'{{"channel":"{channel}","type":"{kind}","data":[{",".join(rows)}]}}'


def row(**members: object) -> str:
    """Return an object of a list."""
    return msgspec.json.encode(members).decode()


def _number(text: str) -> msgspec.Raw:
    return msgspec.Raw(text.encode())
