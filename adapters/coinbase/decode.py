"""Coinbase's messages as events: exact integers, nanoseconds, only products of the session.

Validates values. A quote, book or candle with a number that is not a plain positive decimal on the scale of
its product is a VenueProtocolError; of a list of trades only the invalid one is left out. A value of a
product that is not of the session, with an impossible time, or crossed, is left out and counted. What was
left out is in `Decoder.damages`, so that a feed can report it. Called by `feed.py` and `history.py` with the
time of receipt of each message.

A trade's `side` is the maker's, so the taker's is the other one: in a capture of 2026-04-07 (product BTC-USD,
trade 995098663) a trade at the best ask has the side SELL. Nautilus' documentation says the same since 2026.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from adapters.coinbase.salvage import decode_or_salvage
from adapters.coinbase.wire import (
    BookEvent,
    BookFrame,
    CandleFrame,
    TickerFrame,
    TradesFrame,
    WireCandle,
    WireTicker,
    WireTrade,
)
from adapters.transport.protocol import Damage, Salvaged
from adapters.transport.sequence import Diff, Snapshot
from adapters.transport.trades import by_time
from adapters.transport.values import ValueDecoder, candle_of, iso_ns, positive
from engine.clock import SECOND_NS
from engine.errors import NumberError, VenueProtocolError
from engine.events import CandleRead, Event, InstrumentListed, Quote, Trade
from engine.values import BUY, NO_SIDE, SELL, parse_scaled

__all__ = ["PUSHED_NS", "Decoder", "rows_of"]

PUSHED_NS: Final = 300 * SECOND_NS
"""The only length of pushed candles."""

_TAKERS: Final = {"BUY": SELL, "SELL": BUY, "UNKNOWN_ORDER_SIDE": NO_SIDE}
"""The taker's side by the maker's."""


class Decoder(ValueDecoder):
    """Decodes for a fixed set of products. See `ValueDecoder`."""

    def decode_frame(self, message: str | bytes, recv_ns: int) -> list[Event]:
        """Return the events of one websocket message that stand for themselves: trades and quotes.

        A pushed candle is not an event yet: only time shows whether it is closed. Nor is a change of a book.
        Raises VenueProtocolError if nothing can be used.
        """
        refused = self.refused
        frame: Any = decode_or_salvage(message)
        if isinstance(frame, Salvaged):
            if frame.frame is None:
                raise VenueProtocolError(frame.damages[0].reason)
            frame = frame.frame
        if isinstance(frame, TradesFrame):
            trades = [trade for piece in self.pieces(rows_of(frame), recv_ns) for trade in piece]
            if not trades and self.refused > refused:
                raise VenueProtocolError(self.damages[-1].reason)
            return list(by_time(trades))
        if isinstance(frame, TickerFrame):
            venue_ns = iso_ns(frame.timestamp, "ticker")
            rows = [row for event in frame.events for row in event.tickers]
            quotes = [self.quote(row, venue_ns, recv_ns) for row in rows]
            return [quote for quote in quotes if quote is not None]
        if isinstance(frame, CandleFrame):
            for candle in [candle for event in frame.events for candle in event.candles]:
                self.candle(candle, PUSHED_NS, recv_ns, "stream")
        if isinstance(frame, BookFrame):
            for event in frame.events:
                self.book(event, iso_ns(frame.timestamp, event.product_id), recv_ns)
        return []

    def pieces(self, rows: Iterable[WireTrade | None], recv_ns: int) -> list[list[Trade]]:
        """Return the valid trades of a list without a gap; an invalid one, or None, begins another piece."""
        pieces: list[list[Trade]] = [[]]
        for row in rows:
            listed = None if row is None else self._by_name.get(row.product_id)
            trade: Trade | None = None
            if row is not None and listed is None:
                self._leave_out(
                    "foreign", "market_trades", row.product_id, "not an instrument of this session"
                )
            elif row is not None and listed is not None:
                trade = self._trade(row, listed, recv_ns)
            if trade is None:
                pieces.append([])
            else:
                pieces[-1].append(trade)
        return [sorted(piece, key=lambda one: (one.instrument, int(one.trade_id))) for piece in pieces]

    def _trade(self, row: WireTrade, listed: InstrumentListed, recv_ns: int) -> Trade | None:
        name = row.product_id
        try:
            venue_ns = iso_ns(row.time, name)
            price = positive(row.price, listed.price_scale, listed.name)
            size = positive(row.size, listed.size_scale, listed.name)
            taker = _TAKERS.get(row.side)
            if taker is None:
                raise VenueProtocolError(f"{name}: {row.side[:20]!r} is not a side")
        except VenueProtocolError as error:
            self._refuse(Damage("market_trades", name, str(error), True))
            return None
        if not self._timely("market_trades", name, venue_ns, recv_ns, placed=True):
            return None
        return Trade(recv_ns, venue_ns, listed.instrument, price, size, taker, int(row.trade_id))

    def quote(self, row: WireTicker, venue_ns: int, recv_ns: int) -> Quote | None:
        """Return the best bid and ask as an event, None if it is left out. Raises VenueProtocolError."""
        name = row.product_id
        listed = self._known("ticker", name)
        if listed is None or not self._timely("ticker", name, venue_ns, recv_ns):
            return None
        bid, bid_size = _side(row.best_bid, row.best_bid_quantity, listed)
        ask, ask_size = _side(row.best_ask, row.best_ask_quantity, listed)
        if bid and ask and bid >= ask:
            self._leave_out("crossed", "ticker", name, "the best bid is not below the best ask")
            return None
        return Quote(recv_ns, venue_ns, listed.instrument, bid, bid_size, ask, ask_size)

    def book(
        self, row: BookEvent, venue_ns: int, recv_ns: int
    ) -> tuple[InstrumentListed, Snapshot, Diff] | None:
        """Return what a message says of a book, as a snapshot and as a diff; None if it is left out.

        Raises VenueProtocolError.
        """
        listed = self._known("level2", row.product_id)
        if listed is None or not self._timely("level2", row.product_id, venue_ns, recv_ns):
            return None
        sides: dict[str, list[tuple[int, int]]] = {"bid": [], "offer": []}
        for change in row.updates:
            price = positive(change.price_level, listed.price_scale, listed.name)
            sides[change.side].append((price, _number(change.new_quantity, listed.size_scale, listed.name)))
        bids, asks = sides["bid"], sides["offer"]
        return listed, Snapshot(0, bids, asks, venue_ns), Diff(0, 0, bids, asks, venue_ns)

    def candle(self, row: WireCandle, interval_ns: int, recv_ns: int, purpose: str) -> CandleRead | None:
        """Return a candle as an event, as if it were closed; None if it is left out.

        The venue does not count the trades of a candle. Raises VenueProtocolError.
        """
        name, start_ns = row.product_id, int(row.start) * SECOND_NS
        listed = self._known("candles", name)
        if listed is None or not self._timely("candles", name, start_ns, recv_ns):
            return None
        prices = [
            positive(text, listed.price_scale, name) for text in (row.open, row.high, row.low, row.close)
        ]
        volume = _number(row.volume, listed.size_scale, name)
        return candle_of(listed, interval_ns, start_ns, prices, volume, 0, recv_ns, purpose)


def rows_of(frame: TradesFrame) -> list[WireTrade | None]:
    """Return all trades of a frame, None in place of one that cannot be read."""
    return [row for event in frame.events for row in event.trades]


def _number(text: str, scale: int, name: str) -> int:
    try:
        return parse_scaled(text, scale)
    except NumberError as error:
        raise VenueProtocolError(f"{name}: {error}") from error


def _side(price: str, size: str, listed: InstrumentListed) -> tuple[int, int]:
    """Return price and size of one side of a ticker; a side without orders is empty, or has the size 0."""
    if not price or not size:
        return 0, 0
    values = (
        _number(price, listed.price_scale, listed.name),
        _number(size, listed.size_scale, listed.name),
    )
    return values if all(values) else (0, 0)
