"""Current market data of a local exchange: quote, recent trades, candles and generated levels of instruments.

A protocol reads this state and adds every event of the tape. Memory is bounded for tapes of any length.
Times are the exchange's own.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final

from adapters.exchange.candles import CandleBook
from adapters.exchange.grid import DEPTH, Level, levels
from engine.events import (
    BookRead,
    ContextRead,
    Event,
    FundingRead,
    InstrumentListed,
    LiquidationRead,
    Quote,
    Trade,
)

__all__ = ["LIQUIDATIONS_MAX", "RECENT_MAX", "InstrumentMarket", "Market", "Played"]

RECENT_MAX: Final = 500
"""Trades kept per instrument."""

LIQUIDATIONS_MAX: Final = 100
"""Liquidations kept per instrument."""

Played = Trade | Quote | BookRead | ContextRead | FundingRead | LiquidationRead
"""The events of a tape."""


class InstrumentMarket:
    """The market data of one instrument.

    `mark` is the mid of the last two-sided quote, truncated to the price scale. Until there is such a quote
    it is the price of the last trade, or 0. `context` and `liquidations` are what the tape has of them.
    """

    def __init__(self, listed: InstrumentListed) -> None:
        self.listed = listed
        self.name = listed.name
        self.recent: deque[Trade] = deque(maxlen=RECENT_MAX)
        self.candles = CandleBook()
        self.quote: Quote | None = None
        self.context: ContextRead | None = None
        self.liquidations: deque[LiquidationRead] = deque(maxlen=LIQUIDATIONS_MAX)
        self.mark = 0
        self._book: BookRead | None = None
        self._two_sided = False

    def add_trade(self, trade: Trade) -> None:
        """Add a trade."""
        self.recent.append(trade)
        self.candles.add(trade.venue_ns // 1_000_000, trade.price, trade.size)
        if not self._two_sided:
            self.mark = trade.price

    def add_quote(self, quote: Quote) -> bool:
        """Add a quote; return whether it differs from the previous one."""
        old = self.quote
        self.quote = quote
        self._two_sided = bool(quote.bid and quote.ask)
        if self._two_sided:
            self.mark = (quote.bid + quote.ask) // 2
        return old is None or (quote.bid, quote.bid_size, quote.ask, quote.ask_size) != (
            old.bid,
            old.bid_size,
            old.ask,
            old.ask_size,
        )

    def add(self, event: Event) -> None:
        """Add an event of the tape."""
        if isinstance(event, Trade):
            self.add_trade(event)
        elif isinstance(event, Quote):
            self.add_quote(event)
        elif isinstance(event, BookRead):
            self._book = event
        elif isinstance(event, ContextRead):
            self.context = event
        elif isinstance(event, LiquidationRead):
            self.liquidations.append(event)

    def levels(self, depth: int = DEPTH) -> tuple[list[Level], list[Level]]:
        """Return (bids, asks), best first: those of the tape's book, else generated around the quote."""
        if self._book is not None:
            return list(self._book.bids[:depth]), list(self._book.asks[:depth])
        return ([], []) if self.quote is None else levels(self.listed, self.quote, depth)


class Market:
    """All instruments, by name and by the instrument number of the tape's events."""

    def __init__(self, instruments: Sequence[InstrumentListed]) -> None:
        self.instruments = [InstrumentMarket(listed) for listed in instruments]
        self.by_name = {one.name: one for one in self.instruments}
        self.by_number = {one.listed.instrument: one for one in self.instruments}

    def add(self, event: Played) -> None:
        """Add an event of the tape."""
        self.by_number[event.instrument].add(event)
