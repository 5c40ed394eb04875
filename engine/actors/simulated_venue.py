"""The matching model: fills the engine's orders against recorded market data.

Used for paper trading and backtests; an ordinary actor. The rules (each is a function in `matching.py`, or a
few lines here):

- An order, a change or a cancel arrives `latency_ms` after it was sent. It can fill only on a market event
  after its arrival, so never on the event that caused it.
- An order that can trade on its first market event does so, as a taker: at the trade's price (or the other
  side of the quote, or the next candle's open), made worse by `slippage_bps` and put on the grid to the
  order's disadvantage, but never beyond its limit. Otherwise it rests, or is canceled if it is Ioc. An Alo
  order that could trade on its first market event, even at its own price, is rejected.
- A resting order is a maker at its own price. It fills when a trade or the other side of the quote goes
  through that price. On a trade exactly at its price it fills only with `fill_on_touch`, and at most the
  trade's size.
- A reduce-only order never adds to a position and never turns it. The position is the account's, over all
  strategies, as a venue sees it. An order larger than the position is cut (`OrderModified`) when it arrives
  and whenever the position shrinks. With nothing to reduce, it is rejected when it arrives, and canceled
  ("reduce only") when the position is closed later.
- A trigger order waits until a trade, the side of the quote it would trade with, or an end of a candle is
  at or through its trigger price: falling for a sell's stop-loss and a buy's take-profit, rising for the
  others. From the next market event on it is a market or limit order. A reduce-only trigger order is cut to
  the position when it triggers; before that it is canceled if the position is closed.
- An attached order is dormant until its parent is completely filled, and can trigger from the next market
  event on. It is canceled if the parent ends in another way, even partly filled. When one of two attached
  orders is completely filled, the other is canceled ("sibling filled").
- A changed order is a new order under the same client order id: it loses its place in the queue, has a new
  venue order id, and may take. Only an order in the book can be changed; a trigger order has to be canceled
  and placed again.
- A cancel of an order that has ended is not answered: the end of the order has already been reported.
- The engine's orders do not move the market, and do not use up the size at the best bid and ask.
- Fees are price * size * rate, rounded up at price scale + size scale.
"""

from __future__ import annotations

from engine.actors.base import Actor, Because, Emit, RoutesChanged, SetTimer, handles
from engine.actors.matching import (
    DORMANT,
    WAITING,
    WORKING,
    VenueOrder,
    can_trade,
    is_triggered,
    may_reduce,
    taker_price,
)
from engine.config import FEE_SCALE, PaperConfig
from engine.events import (
    CancelOrder,
    Candle,
    Event,
    LeverageAnswered,
    ModifyOrder,
    ModifyRejected,
    OrderAccepted,
    OrderCanceled,
    OrderFilled,
    OrderModified,
    OrderRejected,
    Quote,
    SetLeverage,
    SubmitOrder,
    TimerFired,
    Trade,
)
from engine.values import BUY, format_scaled, parse_scaled, wide

__all__ = ["SimulatedVenue"]


class SimulatedVenue(Actor):
    """State: orders, changes and settings in transit; the orders by instrument in order of arrival; the
    account's signed positions; counters."""

    WIRING = Actor.WIRING | {"_latency_ns", "_taker", "_maker", "_slippage_bps", "_fill_on_touch"}

    def __init__(self, config: PaperConfig) -> None:
        super().__init__("venue")
        self._latency_ns = config.latency_ms * 1_000_000
        self._taker = parse_scaled(config.taker_fee, FEE_SCALE)
        self._maker = parse_scaled(config.maker_fee, FEE_SCALE, signed=True)
        self._slippage_bps = config.slippage_bps
        self._fill_on_touch = config.fill_on_touch
        self._under_way: dict[str, VenueOrder] = {}
        self._commands: dict[str, ModifyOrder | SetLeverage] = {}
        self._orders: dict[int, list[VenueOrder]] = {}
        self._positions: dict[int, int] = {}
        self._last_order_id = 0
        self._last_trade_id = 0

    def listens(self, event_type: type[Event]) -> bool:
        """Return whether events of a type are needed now: market data only while there is an order."""
        return bool(self._orders) or event_type not in (Trade, Quote, Candle)

    # Commands: in transit, then arrived.

    @handles(SubmitOrder)
    def receive_order(self, order: SubmitOrder, emit: Emit) -> None:
        """Put an order in transit."""
        terms = order.terms
        assert terms.trigger or not terms.parent, "an attached order must have a trigger"
        self._under_way[order.client_order_id] = VenueOrder(
            self.turn.seq,
            order.client_order_id,
            order.instrument,
            terms.side,
            terms.size,
            terms.worst,
            terms.tif,
            terms.reduce_only,
            terms.trigger,
            terms.trigger_price,
            terms.parent,
            DORMANT if terms.parent else WAITING if terms.trigger else WORKING,
        )
        emit(SetTimer(self.name, order.at_ns + self._latency_ns, f"order {order.client_order_id}"))

    @handles(CancelOrder)
    def receive_cancel(self, cancel: CancelOrder, emit: Emit) -> None:
        """Put a cancel in transit."""
        emit(SetTimer(self.name, cancel.at_ns + self._latency_ns, f"cancel {cancel.client_order_id}"))

    @handles(ModifyOrder, SetLeverage)
    def receive_command(self, command: ModifyOrder | SetLeverage, emit: Emit) -> None:
        """Put a change of an order or of a setting in transit."""
        key = f"command {self.turn.seq}"
        self._commands[key] = command
        emit(SetTimer(self.name, command.at_ns + self._latency_ns, key))

    @handles(TimerFired)
    def arrive(self, timer: TimerFired, emit: Emit) -> None:
        """Apply the command that arrives now."""
        at_ns = timer.at_ns
        what, _, client_order_id = timer.key.partition(" ")
        if what == "order":
            self._accept(self._under_way.pop(client_order_id), at_ns, emit)
        elif what == "cancel":
            order = self._find(client_order_id)
            if order is not None:
                self._end(order, "canceled", at_ns, at_ns, emit)
        else:
            command = self._commands.pop(timer.key)
            if isinstance(command, ModifyOrder):
                self._change(command, at_ns, emit)
            else:
                emit(LeverageAnswered(at_ns, command.instrument, command.leverage, command.cross, True))

    def _accept(self, order: VenueOrder, at_ns: int, emit: Emit) -> None:
        """Accept an order, or reject it."""
        if order.parent and self._find(order.parent) is None:
            self._reject(order, "the order it is attached to was refused", at_ns, at_ns, emit)
        elif order.phase == WORKING and not self._allowed(order, order.remaining):
            self._reject(order, "Reduce only order would increase position.", at_ns, at_ns, emit)
        else:
            order.venue_order_id = self._next_order_id()
            if not self._orders:
                emit(RoutesChanged())
            self._orders.setdefault(order.instrument, []).append(order)
            emit(OrderAccepted(at_ns, at_ns, order.client_order_id, order.venue_order_id))
            if order.phase == WORKING:
                self._cut(order, at_ns, at_ns, emit)

    def _change(self, change: ModifyOrder, at_ns: int, emit: Emit) -> None:
        """Replace an order in the book by a new one under the same client order id."""
        order = self._find(change.client_order_id)
        if order is None:
            reason = "Order was never placed, already canceled, or filled."
            emit(ModifyRejected(at_ns, at_ns, change.client_order_id, reason))
            return
        if order.phase != WORKING:
            reason = "A trigger order cannot be changed."
            emit(ModifyRejected(at_ns, at_ns, change.client_order_id, reason))
            return
        order.remaining = self._allowed(order, change.size)
        order.limit_price = change.limit_price
        order.resting = False
        order.venue_order_id = self._next_order_id()
        orders = self._orders[order.instrument]
        orders.remove(order)
        orders.append(order)
        self._report_change(order, at_ns, at_ns, emit)

    # The market.

    @handles(Trade)
    def match_trade(self, trade: Trade, emit: Emit) -> None:
        """Match the orders against a trade."""
        recv_ns, venue_ns, price = trade.recv_ns, trade.venue_ns, trade.price
        for order, phase in self._orders_of(trade.instrument):
            if not order.remaining:
                continue
            if phase == WAITING:
                self._trigger(order, price, price, recv_ns, venue_ns, emit)
            elif phase == WORKING:
                size = order.remaining
                if order.resting and order.limit_price == price:
                    size = min(size, trade.size) if self._fill_on_touch else 0
                if size:
                    self._match(order, price, size, recv_ns, venue_ns, emit)

    @handles(Quote)
    def match_quote(self, quote: Quote, emit: Emit) -> None:
        """Match the orders against the best bid and ask. An empty side matches nothing."""
        recv_ns, venue_ns = quote.recv_ns, quote.venue_ns
        for order, phase in self._orders_of(quote.instrument):
            price = quote.ask if order.side == BUY else quote.bid
            if not price or not order.remaining:
                continue
            if phase == WAITING:
                self._trigger(order, price, price, recv_ns, venue_ns, emit)
            elif phase == WORKING:
                self._match(order, price, order.remaining, recv_ns, venue_ns, emit)

    @handles(Candle)
    def match_candle(self, candle: Candle, emit: Emit) -> None:
        """Match the orders against a candle: its open, then its far end.

        Triggers are checked against both ends.
        """
        recv_ns, venue_ns = candle.recv_ns, candle.venue_ns
        for order, phase in self._orders_of(candle.instrument):
            if not order.remaining:
                continue
            if phase == WAITING:
                self._trigger(order, candle.low, candle.high, recv_ns, venue_ns, emit)
            elif phase == WORKING:
                self._match(order, candle.open, order.remaining, recv_ns, venue_ns, emit)
                far = candle.low if order.side == BUY else candle.high
                if order.remaining and order.resting and far != order.limit_price:
                    self._match(order, far, order.remaining, recv_ns, venue_ns, emit)

    def _orders_of(self, instrument: int) -> list[tuple[VenueOrder, str]]:
        """Return the orders of an instrument, each with its phase before a market event.

        The event applies to that phase. An order that is ended by another order's fill has `remaining` 0.
        """
        return [(order, order.phase) for order in self._orders.get(instrument, ())]

    def _match(
        self, order: VenueOrder, price: int, size: int, recv_ns: int, venue_ns: int, emit: Emit
    ) -> None:
        """Fill an order at a market price if it can trade there. Otherwise it rests or ends."""
        if not can_trade(order, price):
            if order.tif == "Ioc" and not order.resting:
                self._end(order, "Ioc found no match", recv_ns, venue_ns, emit)
            else:
                order.resting = True
        elif order.resting:
            self._fill(order, order.limit_price, size, self._maker, "maker", recv_ns, venue_ns, emit)
        elif order.tif == "Alo":
            market = format_scaled(price, self.instruments[order.instrument].price_scale)
            reason = f"Post only order would have immediately matched, bbo was {market}."
            self._remove(order, emit)
            self._reject(order, reason, recv_ns, venue_ns, emit)
        else:
            listed = self.instruments[order.instrument]
            price = taker_price(order, price, self._slippage_bps, listed)
            self._fill(order, price, size, self._taker, "taker", recv_ns, venue_ns, emit)

    def _trigger(
        self, order: VenueOrder, low: int, high: int, recv_ns: int, venue_ns: int, emit: Emit
    ) -> None:
        """Put a trigger order into the book if the market reaches its trigger price."""
        if not is_triggered(order, low, high):
            return
        order.phase = WORKING
        self._cut(order, recv_ns, venue_ns, emit)

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
        before = self._positions.get(order.instrument, 0)
        self._positions[order.instrument] = before + order.side * size
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
        if not order.remaining:
            self._note_filled(order, recv_ns, venue_ns, emit)
        self._note_position(order.instrument, before, recv_ns, venue_ns, emit)

    # Effects of a fill on other orders.

    def _note_filled(self, order: VenueOrder, recv_ns: int, venue_ns: int, emit: Emit) -> None:
        """Activate the orders attached to an order that is completely filled, and end its sibling."""
        for other in tuple(self._orders.get(order.instrument, ())):
            if other.parent == order.client_order_id:
                other.phase = WAITING
            elif order.parent and other.parent == order.parent:
                self._end(other, "sibling filled", recv_ns, venue_ns, emit)

    def _note_position(self, instrument: int, before: int, recv_ns: int, venue_ns: int, emit: Emit) -> None:
        """Cut or cancel reduce-only orders after the position shrank; waiting ones only if it is closed."""
        after = self._positions[instrument]
        for order in tuple(self._orders.get(instrument, ())):
            reducible = may_reduce(order.side, after)
            if not order.reduce_only or order.phase == DORMANT:
                continue
            if reducible < may_reduce(order.side, before) and (order.phase == WORKING or not reducible):
                self._cut(order, recv_ns, venue_ns, emit)

    def _cut(self, order: VenueOrder, recv_ns: int, venue_ns: int, emit: Emit) -> None:
        """Reduce an order to the allowed size, or cancel it if that is 0."""
        allowed = self._allowed(order, order.remaining)
        if not allowed:
            self._end(order, "reduce only", recv_ns, venue_ns, emit)
        elif allowed < order.remaining:
            order.remaining = allowed
            self._report_change(order, recv_ns, venue_ns, emit)

    def _allowed(self, order: VenueOrder, size: int) -> int:
        """Return how much of a size an order may have: all of it, unless the order is reduce-only."""
        if not order.reduce_only:
            return size
        return min(size, may_reduce(order.side, self._positions.get(order.instrument, 0)))

    # Ends.

    def _end(self, order: VenueOrder, reason: str, recv_ns: int, venue_ns: int, emit: Emit) -> None:
        self._remove(order, emit)
        end = OrderCanceled(
            recv_ns, venue_ns, order.client_order_id, order.instrument, order.remaining, reason
        )
        emit(Because(end, order.submit_seq))
        self._end_attached(order, recv_ns, venue_ns, emit)

    def _reject(self, order: VenueOrder, reason: str, recv_ns: int, venue_ns: int, emit: Emit) -> None:
        emit(Because(OrderRejected(recv_ns, venue_ns, order.client_order_id, reason), order.submit_seq))
        self._end_attached(order, recv_ns, venue_ns, emit)

    def _end_attached(self, order: VenueOrder, recv_ns: int, venue_ns: int, emit: Emit) -> None:
        """Mark an order as ended, and end the orders attached to it."""
        order.remaining = 0
        for other in tuple(self._orders.get(order.instrument, ())):
            if other.parent == order.client_order_id:
                self._end(other, "parent ended", recv_ns, venue_ns, emit)

    def _report_change(self, order: VenueOrder, recv_ns: int, venue_ns: int, emit: Emit) -> None:
        change = OrderModified(
            recv_ns,
            venue_ns,
            order.client_order_id,
            order.instrument,
            order.venue_order_id,
            order.remaining,
            order.limit_price,
        )
        emit(Because(change, order.submit_seq))

    # The list of orders.

    def _find(self, client_order_id: str) -> VenueOrder | None:
        for orders in self._orders.values():
            for order in orders:
                if order.client_order_id == client_order_id:
                    return order
        return None

    def _next_order_id(self) -> int:
        self._last_order_id += 1
        return self._last_order_id

    def _remove(self, order: VenueOrder, emit: Emit) -> None:
        orders = [other for other in self._orders[order.instrument] if other is not order]
        if orders:
            self._orders[order.instrument] = orders
        else:
            del self._orders[order.instrument]
            if not self._orders:
                emit(RoutesChanged())
