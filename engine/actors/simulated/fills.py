"""Fills at the simulated venue, and the ends of its orders with all that they entail.

Owns fees, trade ids, and the effects of a fill on other orders: attached orders become active, siblings end,
reduce-only orders shrink with the position. Promises: the fee is exact, rounded up at the scale of the fill;
every report of an order names its submission as its cause. Called by the matching of ticks and candles, by
`arrival` and `margin`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.actors.base import Because
from engine.actors.simulated.state import DORMANT, FINER, UNIT, WAITING, WORKING, At, VenueOrder
from engine.config import FEE_SCALE
from engine.events import OrderCanceled, OrderFilled, OrderModified, OrderRejected
from engine.events.terms import CLOSE
from engine.values import BUY, INT64_MAX, power_of_ten, wide

if TYPE_CHECKING:
    from engine.actors.simulated.venue import SimulatedVenue

__all__ = ["Fills"]


class Fills:
    """See the module."""

    def __init__(self, venue: SimulatedVenue) -> None:
        self.v = venue

    # Fills.

    def take(self, order: VenueOrder, price: int, size: int, slippage_bps: int, limit: int, at: At) -> None:
        """Fill a taker at a price made worse by slippage, but never beyond its limit."""
        fine = price * (UNIT + order.side * slippage_bps)
        if limit:
            fine = min(fine, limit * UNIT) if order.side == BUY else max(fine, limit * UNIT)
        self._fill(order, fine, size, "taker", at)

    def make(self, order: VenueOrder, size: int, at: At) -> int:
        """Fill a resting order at its own price and return the size.

        One that the account cannot carry is canceled.
        """
        size = min(size, order.remaining)
        if not size:
            return 0
        if not self.v.margin.may_fill(order, size):
            self.end(order, "margin", at)
            return 0
        self._fill(order, order.limit * UNIT, size, "maker", at)
        return size

    def liquidate(self, instrument: int, side: int, fine: int, size: int, at: At) -> None:
        """Close a part of the account's position for the venue."""
        at.emit(self._book(instrument, side, fine, size, "taker", at))

    def _fill(self, order: VenueOrder, fine: int, size: int, liquidity: str, at: At) -> None:
        v = self.v
        reducing = [
            (other, self._reducible(other))
            for other in v.orders[order.instrument]
            if other.phase != DORMANT and self._only_reduces(other)
        ]
        order.remaining -= size
        if not order.remaining:
            self.remove(order)
        fill = self._book(order.instrument, order.side, fine, size, liquidity, at, order=order)
        at.emit(Because(fill, order.submit_seq))
        v.candles.note_fill(order, fill)
        if not order.remaining:
            self._note_filled(order, at)
        for other, before in reducing:
            after = self._reducible(other)
            if other.remaining and after < before and (other.phase == WORKING or not after):
                self.cut(other, at)

    def _book(
        self,
        instrument: int,
        side: int,
        fine: int,
        size: int,
        liquidity: str,
        at: At,
        *,
        order: VenueOrder | None = None,
    ) -> OrderFilled:
        """Book a fill in the account, and return its report. Without an order it is a liquidation.

        A price beyond 64 bits is reported at the instrument's own scale.
        """
        v = self.v
        finer, unit = FINER, 1
        if fine > INT64_MAX:
            finer, unit = 0, UNIT
        price = max(1, -(-fine // unit) if side == BUY else fine // unit)
        rate = v.fee_rate(instrument, liquidity)
        fee = -(-price * size * rate // power_of_ten(FEE_SCALE))
        listed = v.instruments[instrument]
        more = power_of_ten(v.scale - listed.money_scale - finer)
        owner = order.owner if order is not None else ""
        v.account.fill(owner, instrument, side, price * unit, size, fee * more)
        if order is None:
            v.account.close_books(instrument, side, size)
        if v.fees is not None:
            v.fees.note(v.account.money(instrument, price * unit, size))
        v.funding.note_fill(instrument, at)
        v.last_trade_id += 1
        return OrderFilled(
            at.recv_ns,
            at.venue_ns,
            order.client_order_id if order is not None else "",
            instrument,
            side,
            price,
            size,
            wide(fee),
            liquidity,
            v.last_trade_id,
            order.venue_order_id if order is not None else 0,
            finer=finer,
            cause="" if order is not None else "liquidation",
        )

    # Effects of a fill on other orders.

    def _note_filled(self, order: VenueOrder, at: At) -> None:
        """Activate the orders attached to an order that is completely filled, and end its sibling."""
        for other in tuple(self.v.orders.get(order.instrument, ())):
            if other.terms.parent == order.client_order_id:
                other.phase = WAITING
            elif order.terms.parent and other.terms.parent == order.terms.parent:
                self.end(other, "sibling filled", at)

    def cut(self, order: VenueOrder, at: At) -> None:
        """Reduce an order to the allowed size, or cancel it if that is 0."""
        allowed = self.allowed(order, order.remaining)
        if not allowed:
            self.end(order, "reduce only", at)
        elif allowed < order.remaining:
            order.remaining = allowed
            self.report_change(order, at)

    def allowed(self, order: VenueOrder, size: int) -> int:
        """Return how much of a size an order may have: all of it, unless it only reduces."""
        return min(size, self._reducible(order)) if self._only_reduces(order) else size

    def closes(self, order: VenueOrder) -> bool:
        """Return whether an order of its size would only reduce."""
        return self._reducible(order) >= order.remaining

    def _only_reduces(self, order: VenueOrder) -> bool:
        """Return whether an order must not go beyond 0.

        Along a candle no exit does, flagged or not: there is no time within it for the engine to cancel one.
        """
        by_book = self.v.market(order.instrument).candles
        return order.terms.reduce_only or (by_book and order.terms.role == CLOSE)

    def _reducible(self, order: VenueOrder) -> int:
        """Return the size by which an order can reduce: its owner's book on candles, else the account."""
        v = self.v
        if v.market(order.instrument).candles:
            held = v.account.book(order.owner, order.instrument)
        else:
            held = v.account.size(order.instrument)
        return max(0, -order.side * held)

    # Ends.

    def end(self, order: VenueOrder, reason: str, at: At) -> None:
        """Cancel an order, and those attached to it."""
        left, order.remaining = order.remaining, 0
        self.remove(order)
        end = OrderCanceled(at.recv_ns, at.venue_ns, order.client_order_id, order.instrument, left, reason)
        at.emit(Because(end, order.submit_seq))
        self._end_attached(order, at)

    def reject(self, order: VenueOrder, reason: str, at: At) -> None:
        """Reject an order, and cancel those attached to it."""
        order.remaining = 0
        self.remove(order)
        rejected = OrderRejected(at.recv_ns, at.venue_ns, order.client_order_id, reason)
        at.emit(Because(rejected, order.submit_seq))
        self._end_attached(order, at)

    def report_change(self, order: VenueOrder, at: At) -> None:
        """Report the open size and the limit of an order that has changed."""
        change = OrderModified(
            at.recv_ns,
            at.venue_ns,
            order.client_order_id,
            order.instrument,
            order.venue_order_id,
            order.remaining,
            order.limit,
        )
        at.emit(Because(change, order.submit_seq))

    def remove(self, order: VenueOrder) -> None:
        """Remove an order from the list of orders, if it is there."""
        if self.v.queue is not None:
            self.v.queue.leave(order)
        orders = [other for other in self.v.orders.get(order.instrument, ()) if other is not order]
        if orders:
            self.v.orders[order.instrument] = orders
        else:
            self.v.orders.pop(order.instrument, None)

    def _end_attached(self, order: VenueOrder, at: At) -> None:
        for other in tuple(self.v.orders.get(order.instrument, ())):
            if other.remaining and other.terms.parent == order.client_order_id:
                self.end(other, "parent ended", at)
