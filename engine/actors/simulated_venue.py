"""The matching model: fills our orders against the market as it was recorded.

Serves paper trading and backtests; it is an ordinary actor. The rules, stated so that nobody has to guess:

- An order or a cancel arrives `latency_ms` after it was sent. It can fill only on a market event after
  its arrival, so never on the event that caused it.
- On its first market event an order that can trade does, as a taker: at the print (or the other side of
  the quote, or the next candle's open), worsened by `slippage_bps` and put on the grid against us, but
  never beyond its limit. What cannot trade rests, or is canceled if it is Ioc.
- A resting order is a maker at its own price. It fills when a print or the other side of the quote goes
  through that price; on a print exactly at it only with `fill_on_touch`, and then no more than the
  print's size.
- We are small: our orders do not move the market, and size at the touch is not used up.
- Fees are price * size * rate, rounded against us to the last digit of price scale + size scale.
"""

from __future__ import annotations

from engine.actors.base import Actor, Because, Emit, RoutesChanged, SetTimer, State, handles
from engine.config import FEE_SCALE, PaperConfig
from engine.events import (
    CancelOrder,
    Candle,
    Event,
    OrderAccepted,
    OrderCanceled,
    OrderFilled,
    Quote,
    SubmitOrder,
    TimerFired,
    Trade,
)
from engine.values import BUY, grid_step, parse_scaled, wide

__all__ = ["SimulatedVenue", "VenueOrder"]


class VenueOrder(State):
    """An order on its way to the venue, or in its book. `resting` once it has missed its first chance.

    `submit_seq` is the seq of its `SubmitOrder`: the cause of what becomes of it.
    """

    submit_seq: int
    client_order_id: str
    instrument: int
    side: int
    remaining: int
    limit_price: int
    tif: str
    venue_order_id: int = 0
    resting: bool = False


class SimulatedVenue(Actor):
    """State: orders under way and orders in the book by instrument, in the order of arrival; counters."""

    WIRING = Actor.WIRING | {"_latency_ns", "_taker", "_maker", "_slippage_bps", "_fill_on_touch"}

    def __init__(self, config: PaperConfig) -> None:
        super().__init__("venue")
        self._latency_ns = config.latency_ms * 1_000_000
        self._taker = parse_scaled(config.taker_fee, FEE_SCALE)
        self._maker = parse_scaled(config.maker_fee, FEE_SCALE, signed=True)
        self._slippage_bps = config.slippage_bps
        self._fill_on_touch = config.fill_on_touch
        self._under_way: dict[str, VenueOrder] = {}
        self._book: dict[int, list[VenueOrder]] = {}
        self._last_order_id = 0
        self._last_trade_id = 0

    def listens(self, event_type: type[Event]) -> bool:
        """The market matters only while an order is in the book."""
        return bool(self._book) or event_type not in (Trade, Quote, Candle)

    @handles(SubmitOrder)
    def take(self, order: SubmitOrder, emit: Emit) -> None:
        """Put an order on its way."""
        self._under_way[order.client_order_id] = VenueOrder(
            self.turn.seq,
            order.client_order_id,
            order.instrument,
            order.side,
            order.size,
            order.limit_price,
            order.tif,
        )
        emit(SetTimer(self.name, order.at_ns + self._latency_ns, f"order {order.client_order_id}"))

    @handles(CancelOrder)
    def take_cancel(self, cancel: CancelOrder, emit: Emit) -> None:
        """Put a cancel on its way."""
        emit(SetTimer(self.name, cancel.at_ns + self._latency_ns, f"cancel {cancel.client_order_id}"))

    @handles(TimerFired)
    def arrive(self, timer: TimerFired, emit: Emit) -> None:
        """Let an order or a cancel arrive."""
        what, _, client_order_id = timer.key.partition(" ")
        if what == "cancel":
            self._cancel(client_order_id, timer.at_ns, emit)
            return
        order = self._under_way.pop(client_order_id)
        self._last_order_id += 1
        order.venue_order_id = self._last_order_id
        if not self._book:
            emit(RoutesChanged())
        self._book.setdefault(order.instrument, []).append(order)
        emit(OrderAccepted(timer.at_ns, timer.at_ns, client_order_id, order.venue_order_id))

    @handles(Trade)
    def match_trade(self, trade: Trade, emit: Emit) -> None:
        """Match the book against a print."""
        for order in tuple(self._book.get(trade.instrument, ())):
            size = order.remaining
            if order.resting and order.limit_price == trade.price:
                size = min(size, trade.size) if self._fill_on_touch else 0
            if size:
                self._match(order, trade.price, size, trade.recv_ns, trade.venue_ns, emit)

    @handles(Quote)
    def match_quote(self, quote: Quote, emit: Emit) -> None:
        """Match the book against the best bid and ask; an empty side matches nothing."""
        for order in tuple(self._book.get(quote.instrument, ())):
            price = quote.ask if order.side == BUY else quote.bid
            if price:
                self._match(order, price, order.remaining, quote.recv_ns, quote.venue_ns, emit)

    @handles(Candle)
    def match_candle(self, candle: Candle, emit: Emit) -> None:
        """Match the book against a candle: its open first, then its far end."""
        for order in tuple(self._book.get(candle.instrument, ())):
            self._match(order, candle.open, order.remaining, candle.recv_ns, candle.venue_ns, emit)
            if order.remaining and order.resting:
                far = candle.low if order.side == BUY else candle.high
                if far != order.limit_price:
                    self._match(order, far, order.remaining, candle.recv_ns, candle.venue_ns, emit)

    def _match(
        self, order: VenueOrder, price: int, size: int, recv_ns: int, venue_ns: int, emit: Emit
    ) -> None:
        """Fill an order at a market price if it can trade there; otherwise let it rest or end."""
        limit = order.limit_price
        if limit and (limit - price) * order.side < 0:
            if order.tif == "Ioc" and not order.resting:
                self._end(order, "Ioc found no match", recv_ns, venue_ns, emit)
            else:
                order.resting = True
            return
        if order.resting:
            self._fill(order, limit, size, self._maker, "maker", recv_ns, venue_ns, emit)
        else:
            self._fill(order, self._worsen(order, price), size, self._taker, "taker", recv_ns, venue_ns, emit)

    def _worsen(self, order: VenueOrder, price: int) -> int:
        """Return the price after slippage, on the grid against us, never beyond the limit."""
        if self._slippage_bps:
            listed = self.instruments[order.instrument]
            step = grid_step(
                price, scale=listed.price_scale, step=listed.price_step, figures=listed.price_figures
            )
            worse, divisor = price * (10_000 + order.side * self._slippage_bps), 10_000 * step
            price = -(-worse // divisor) * step if order.side == BUY else max(worse // divisor, 1) * step
        if order.limit_price:
            price = min(price, order.limit_price) if order.side == BUY else max(price, order.limit_price)
        return price

    def _fill(
        self,
        order: VenueOrder,
        price: int,
        size: int,
        rate: int,
        liquidity: str,
        recv_ns: int,
        venue_ns: int,
        emit: Emit,
    ) -> None:
        order.remaining -= size
        self._last_trade_id += 1
        fee = -(-price * size * rate // 10**FEE_SCALE)
        if not order.remaining:
            self._remove(order, emit)
        fill = OrderFilled(
            recv_ns,
            venue_ns,
            order.client_order_id,
            order.instrument,
            order.side,
            price,
            size,
            wide(fee),
            liquidity,
            self._last_trade_id,
        )
        emit(Because(fill, order.submit_seq))

    def _cancel(self, client_order_id: str, at_ns: int, emit: Emit) -> None:
        """Cancel an order if it is still there; a cancel that comes too late finds nothing to do."""
        for orders in self._book.values():
            for order in orders:
                if order.client_order_id == client_order_id:
                    self._end(order, "canceled", at_ns, at_ns, emit)
                    return

    def _end(self, order: VenueOrder, reason: str, recv_ns: int, venue_ns: int, emit: Emit) -> None:
        self._remove(order, emit)
        end = OrderCanceled(
            recv_ns, venue_ns, order.client_order_id, order.instrument, order.remaining, reason
        )
        emit(Because(end, order.submit_seq))

    def _remove(self, order: VenueOrder, emit: Emit) -> None:
        orders = [other for other in self._book[order.instrument] if other is not order]
        if orders:
            self._book[order.instrument] = orders
        else:
            del self._book[order.instrument]
            if not self._book:
                emit(RoutesChanged())
