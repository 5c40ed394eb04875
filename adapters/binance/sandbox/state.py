"""The market data of one symbol on the sandbox, as Binance numbers it: trades, updates of the book, candles.

Owns what the venue counts up: ids of trades, and update numbers of the best bid and ask and of the book.
Promises: ids have no hole; each diff of the book follows the one before it by the rule of its market (spot:
contiguous; USD-M: chained, with numbers left out between); memory is bounded. Called by `protocol.py` and
`answers.py`.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Final, NamedTuple

from adapters.exchange.candles import INTERVALS, OpenCandle, candle_end, candle_start
from adapters.exchange.depth import changes
from adapters.exchange.grid import Level
from adapters.exchange.instruments import InstrumentMarket
from adapters.exchange.numbers import decimal
from engine.events import Trade
from engine.values import SELL

__all__ = ["DEPTH", "Print", "SymbolState"]

DEPTH: Final = 50
"""Levels of a side of the sandbox's books."""

_PRINTS_MAX: Final = 50_000
_SKIP: Final = 3
"""Numbers that USD-M leaves out between two updates."""


class Print(NamedTuple):
    """A trade as the venue numbers it. On the sandbox each trade is an aggregate trade of its own."""

    number: int
    price: str
    size: str
    time_ms: int
    buyer_is_maker: bool


class SymbolState:
    """One symbol. `spot` decides how the book is numbered."""

    def __init__(self, market: InstrumentMarket, *, spot: bool) -> None:
        self.market = market
        self.name = market.listed.name
        self.prints: deque[Print] = deque(maxlen=_PRINTS_MAX)
        self.update = 1000  # the newest update number, of the best bid and ask or of the book
        self.book_update = self.update  # the `u` of the newest diff
        self.bids: list[Level] = []
        self.asks: list[Level] = []
        self._spot = spot
        self._number = 0
        self._touched = False
        self._stated: dict[str, OpenCandle] = {}  # the candle that was stated last, by interval

    def add(self, trade: Trade) -> Print:
        """Number a trade of the tape, which the market has already."""
        self._number += 1
        listed = self.market.listed
        found = Print(
            self._number,
            self.price(trade.price),
            self.size(trade.size),
            trade.venue_ns // 1_000_000,
            trade.aggressor == SELL,
        )
        self.prints.append(found)
        assert listed.instrument == trade.instrument, "a trade belongs to its own symbol"
        return found

    def touch(self) -> int:
        """Number a change of the best bid and ask."""
        self.update += 1 if self._spot else 1 + _SKIP
        return self.update

    def diff(self) -> tuple[int, int, int, list[tuple[int, int]], list[tuple[int, int]]] | None:
        """Return U, u, pu and the changed levels since the last diff; None if nothing changed."""
        bids, asks = self.market.levels(DEPTH)
        changed = changes(self.bids, bids), changes(self.asks, asks)
        if not any(changed):
            return None
        before = self.book_update
        if self.update == before:
            self.touch()
        self.book_update = self.update
        self.bids, self.asks = bids, asks
        first = before + 1 if self._spot else before + 1 + _SKIP
        return min(first, self.book_update), self.book_update, before, *changed

    def candles(self, interval: str, now_ms: int) -> list[tuple[OpenCandle, bool]]:
        """Return the candles of an interval to state now, each with whether it is closed; none if
        unchanged."""
        stated = self._stated.get(interval)
        history = self.market.candles.history(interval, now_ms) if interval in INTERVALS else []
        found = []
        for candle in history[-3:]:
            closed = candle_end(interval, candle.start_ms) <= now_ms
            if stated is not None and (
                candle.start_ms < stated.start_ms
                or (candle.start_ms == stated.start_ms and not closed and candle.trades == stated.trades)
            ):
                continue
            if stated is None and closed:
                continue
            found.append((candle, closed))
        if found:
            newest, closed = found[-1]
            # The next one to be stated is later than one that is closed.
            self._stated[interval] = (
                OpenCandle(candle_end(interval, newest.start_ms), 0, 0, 0, 0, 0, 0, -1)
                if closed
                else OpenCandle(newest.start_ms, 0, 0, 0, 0, 0, 0, newest.trades)
            )
        return found

    def kline(self, interval: str, candle: OpenCandle, *, closed: bool) -> dict[str, Any]:
        """Return a candle as the stream states it."""
        return {
            "t": candle.start_ms,
            "T": candle_end(interval, candle.start_ms) - 1,
            "s": self.name,
            "i": interval,
            "f": -1 if not candle.trades else 0,
            "L": -1 if not candle.trades else candle.trades - 1,
            "o": self.price(candle.open),
            "c": self.price(candle.close),
            "h": self.price(candle.high),
            "l": self.price(candle.low),
            "v": self.size(candle.volume),
            "n": candle.trades,
            "x": closed,
            "q": decimal(candle.notional, self.market.listed.money_scale),
            "V": "0",
            "Q": "0",
            "B": "0",
        }

    def rows(self, interval: str, start_ms: int, end_ms: int, limit: int, now_ms: int) -> list[list[Any]]:
        """Return the candles that open from `start_ms` to `end_ms` as REST answers them."""
        history = self.market.candles.history(interval, now_ms) if interval in INTERVALS else []
        found = [one for one in history if start_ms <= one.start_ms <= end_ms]
        found = found[:limit] if start_ms else found[-limit:]
        rows = []
        for candle in found:
            row = self.kline(interval, candle, closed=False)
            rows.append([row[key] for key in ("t", "o", "h", "l", "c", "v", "T", "q", "n", "V", "Q", "B")])
        return rows

    def price(self, value: int) -> str:
        """Return a price as text."""
        return decimal(value, self.market.listed.price_scale)

    def size(self, value: int) -> str:
        """Return a size as text."""
        return decimal(value, self.market.listed.size_scale)

    def levels(self, rows: list[tuple[int, int]]) -> list[list[str]]:
        """Return levels as text."""
        return [[self.price(price), self.size(size)] for price, size in rows]

    def window_of(self, interval: str, now_ms: int) -> int:
        """Return the start of the window that contains a time."""
        return candle_start(interval, now_ms)
