"""The part of the order manager that follows prices.

Owns what is known of the prices of each market: the last trade, the best bid and ask, the venue's mark, and
how new they are. After each change it lets protection act, and exits that waited for a first price.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.actors.base import Actor, Emit, RoutesChanged, handles
from engine.actors.orders.conditions import Conditions
from engine.actors.orders.protection_state import Stop, Trail
from engine.actors.orders.state import Prices, Waiting
from engine.events import BarClosed, BookRead, Candle, ContextRead, Event, PathReached, Quote, Trade

if TYPE_CHECKING:
    from engine.actors.orders.gates import Gates
    from engine.actors.orders.protection import Protection
    from engine.actors.orders.requests import Requests

__all__ = ["PriceFollower"]


class PriceFollower(Actor):
    """Base class of the order manager. State: `prices` by instrument."""

    prices: dict[int, Prices]
    gate: Conditions
    gates: Gates
    waiting: list[Waiting]
    stops: dict[int, dict[str, Stop]]
    trails: dict[int, dict[str, Trail]]
    priced: dict[int, bool]
    requests: Requests
    protection: Protection

    def price(self, instrument: int) -> Prices:
        """Return what is known of the prices of a market."""
        return self.prices.get(instrument) or Prices()

    def keeps_newest(self, event_type: type[Event]) -> bool:
        """See `Actor.keeps_newest`: of trades, while nothing waits for a price."""
        waits = self.gate.doubted or self.waiting or self.stops or self.trails
        return event_type is Trade and not waits and len(self.prices) >= len(self.instruments)

    @handles(Trade)
    def note_trade(self, trade: Trade, emit: Emit) -> None:
        """Use the price of a trade."""
        known = self.prices.get(trade.instrument) or self._known(trade.instrument, emit)
        known.last = trade.price
        known.seen_ns = trade.recv_ns
        known.venue_ns = trade.venue_ns
        if self.gate.doubted:
            self.gates.priced(trade.instrument, emit)
        if self.waiting:
            self.requests.priced(trade.recv_ns, trade.instrument, emit)
        if self.stops or self.trails:
            self.protection.traded(trade, emit)
        else:
            self.priced[trade.instrument] = True

    @handles(Quote)
    def note_quote(self, quote: Quote, emit: Emit) -> None:
        """Use the best bid and ask."""
        known = self.prices.get(quote.instrument) or self._known(quote.instrument, emit)
        known.bid, known.bid_size = quote.bid, quote.bid_size
        known.ask, known.ask_size = quote.ask, quote.ask_size
        known.seen_ns = quote.recv_ns
        known.venue_ns = quote.venue_ns
        if self.gate.doubted:
            self.gates.priced(quote.instrument, emit)
        if self.waiting:
            self.requests.priced(quote.recv_ns, quote.instrument, emit)
        self.protection.priced(quote.instrument, quote.recv_ns, emit)

    @handles(BookRead)
    def note_book(self, book: BookRead, emit: Emit) -> None:
        """Use the best levels of a book."""
        known = self._known(book.instrument, emit)
        known.bid, known.bid_size = book.bids[0][:2] if book.bids else (0, 0)
        known.ask, known.ask_size = book.asks[0][:2] if book.asks else (0, 0)
        known.seen_ns = book.recv_ns
        known.venue_ns = book.venue_ns
        if self.gate.doubted:
            self.gates.priced(book.instrument, emit)
        self.requests.priced(book.recv_ns, book.instrument, emit)
        self.protection.priced(book.instrument, book.recv_ns, emit)

    @handles(ContextRead)
    def note_context(self, context: ContextRead, emit: Emit) -> None:
        """Use the venue's mark."""
        if context.mark is not None:
            listed = self.instruments[context.instrument]
            known = self._known(context.instrument, emit)
            known.mark = listed.nearest_price(int(context.mark), context.scale)
            known.mark_ns = context.recv_ns
            self.requests.priced(context.recv_ns, context.instrument, emit)
            self.protection.priced(context.instrument, context.recv_ns, emit)

    @handles(Candle)
    def note_candle(self, candle: Candle, emit: Emit) -> None:
        """Use the close of a candle, in data that has no trades."""
        known = self.prices.get(candle.instrument) or self._known(candle.instrument, emit)
        known.last = candle.close
        if self.waiting:
            self.requests.priced(candle.recv_ns, candle.instrument, emit)
        self.protection.candle(candle)

    @handles(PathReached)
    def note_path(self, reached: PathReached, emit: Emit) -> None:
        """Use the price that a book has been led to within a candle."""
        self._known(reached.instrument, emit).last = reached.price
        self.protection.path(reached, emit)

    @handles(BarClosed)
    def note_bar(self, bar: BarClosed, emit: Emit) -> None:
        """Use the close of a bar while trades are not followed."""
        known = self.prices.get(bar.instrument)
        if known is not None and known.last == bar.close:
            return
        if not self.listens(Trade):
            self._known(bar.instrument, emit).last = bar.close

    def _known(self, instrument: int, emit: Emit) -> Prices:
        """Return what is known of a market's prices, to be changed; a new market changes what is needed."""
        known = self.prices.get(instrument)
        if known is None:
            known = self.prices[instrument] = Prices()
            emit(RoutesChanged())
        return known
