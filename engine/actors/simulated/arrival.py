"""What happens to an order, a change or a cancel when it arrives at the simulated venue.

Owns the venue's refusals: they follow the market's rules (`InstrumentListed.rules`), in the venue's own
words. An order is accepted or rejected on arrival. What takes a price (the side of a trigger, distance from
the mark, margin) is decided then if the price is known, else with the first price after it. Called by the
venue when a command arrives, and by the matching for orders that are not judged yet. Without a price on
arrival the side of a trigger is not judged any more: the price may have reached it since, and then it fires.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.actors.base import Because
from engine.actors.simulated.state import DORMANT, UNIT, WAITING, WORKING, At, VenueOrder
from engine.events import ModifyOrder, ModifyRejected, OrderAccepted

if TYPE_CHECKING:
    from engine.actors.simulated.venue import SimulatedVenue

__all__ = ["Arrival"]

TICK = "Price must be divisible by tick size."
SIZE = "Order has invalid size."
REDUCE_ONLY = "Reduce only order would increase position."
BAD_TRIGGER = "Invalid TP/SL price."
FAR = "Order price cannot be more than {percent}% away from the reference price"
KIND = "This market does not take such orders."
GONE = "Order was never placed, already canceled, or filled."
NO_PARENT = "the order it is attached to was refused"
WAITS = "A trigger order cannot be changed."
MODIFY_FAILED = "Error placing new order during modify: "


class Arrival:
    """See the module."""

    def __init__(self, venue: SimulatedVenue) -> None:
        self.v = venue

    def accept(self, order: VenueOrder, at: At) -> None:
        """Accept an order, or reject it."""
        v = self.v
        order.arrived_ns = at.venue_ns
        reason = self._refused_then(order, at) or self._refusal(order)
        if not reason and not order.judged and self._can_judge(order):
            reason, order.judged = self._priced_refusal(order), True
        if reason:
            v.fills.reject(order, reason, at)
            return
        order.venue_order_id = v.next_order_id()
        v.orders.setdefault(order.instrument, []).append(order)
        self._report(order, at)
        if order.phase == WORKING:
            v.fills.cut(order, at)
        self._join(order)

    def judge(self, order: VenueOrder, at: At) -> None:
        """Reject an accepted order that the first price shows to be one that the venue refuses."""
        if self._can_judge(order):
            order.judged = True
            reason = "" if order.phase == WAITING else self._priced_refusal(order)
            if reason:
                self.v.fills.reject(order, reason, at)

    def fire(self, order: VenueOrder, at: At) -> None:
        """Make a stop whose trigger is reached an ordinary order, cut to the position if it only reduces."""
        order.phase, order.fired = WORKING, True
        self._report(order, at)
        self.v.fills.cut(order, at)
        if order.remaining and self.v.margin.refusal(order):
            self.v.fills.end(order, "margin", at)
        self._join(order)

    def _report(self, order: VenueOrder, at: At) -> None:
        """Report that the venue works an order, or that its trigger has been reached."""
        accepted = OrderAccepted(
            at.recv_ns, at.venue_ns, order.client_order_id, order.venue_order_id, order.fired
        )
        at.emit(Because(accepted, order.submit_seq))

    def change(self, change: ModifyOrder, at: At) -> None:
        """Replace an order in the book by a new one under the same client order id."""
        v = self.v
        order = v.find(change.client_order_id)
        reason = ""
        if order is None:
            reason = GONE
        elif order.phase != WORKING:
            reason = WAITS
        else:
            reason = self._off_grid(order.instrument, change.size, change.limit_price)
        if order is None or reason:
            at.emit(ModifyRejected(at.recv_ns, at.venue_ns, change.client_order_id, reason))
            return
        order.remaining = v.fills.allowed(order, change.size)
        order.limit = change.limit_price
        order.resting = order.judged = False
        if v.timing is not None:
            order.arrived_ns = at.venue_ns
        order.venue_order_id = v.next_order_id()
        orders = v.orders[order.instrument]
        orders.remove(order)
        orders.append(order)
        reason = self._below_minimum(order)
        if not reason and self._can_judge(order):
            reason, order.judged = self._priced_refusal(order), True
        if reason:
            # The venue has canceled the old order by then.
            v.fills.end(order, MODIFY_FAILED + reason, at)
            return
        v.fills.report_change(order, at)
        self._join(order)

    def _join(self, order: VenueOrder) -> None:
        """Put an order at the back of the queue at its price."""
        if self.v.queue is not None and order.remaining:
            self.v.queue.join(order)

    # Refusals.

    def _refused_then(self, order: VenueOrder, at: At) -> str:
        """Return why the venue refuses orders at this time by the configuration, "" if it does not."""
        key = self.v.instruments[order.instrument].key
        for one in self.v.refusals:
            if one.instrument == key and one.from_ns <= at.venue_ns <= one.to_ns:
                return one.reason
        return ""

    def _refusal(self, order: VenueOrder) -> str:
        """Return why the venue refuses an order whatever the price, "" if it does not."""
        v, terms = self.v, order.terms
        rules = v.instruments[order.instrument].rules
        if terms.parent and v.find(terms.parent) is None:
            return NO_PARENT
        unknown = terms.tif not in rules.tifs or (terms.reduce_only and not rules.reduce_only)
        if unknown or (terms.trigger and not rules.triggers) or (terms.parent and not rules.attached):
            return KIND
        prices = [price for price in (order.limit, terms.bound, terms.trigger_price) if price]
        reason = self._off_grid(order.instrument, order.remaining, *prices)
        if reason:
            return reason
        if order.phase == WORKING and not v.fills.allowed(order, order.remaining):
            return REDUCE_ONLY
        return self._below_minimum(order)

    def _off_grid(self, instrument: int, size: int, *prices: int) -> str:
        listed = self.v.instruments[instrument]
        if any(price % listed.price_step_at(price) for price in prices):
            return TICK
        if size <= 0 or size % listed.size_step or (listed.rules.size_max and size > listed.rules.size_max):
            return SIZE
        return ""

    def _below_minimum(self, order: VenueOrder) -> str:
        """Return why the value of an order is too small. Closing may be exempt; without a price it passes."""
        v, terms = self.v, order.terms
        listed = v.instruments[order.instrument]
        least = v.account.amount(listed.rules.value_min)
        price = order.worst or terms.trigger_price or v.market(order.instrument).last
        if not price or v.account.money(order.instrument, price * UNIT, order.remaining) >= least:
            return ""
        if listed.rules.value_min_exempts_close and (terms.reduce_only or v.fills.closes(order)):
            return ""
        return f"Order must have minimum value of ${listed.rules.value_min}."

    def _can_judge(self, order: VenueOrder) -> bool:
        """Return whether the price that the rest of the rules take is known."""
        return bool(self.v.ticks.trigger_price(order))

    def _priced_refusal(self, order: VenueOrder) -> str:
        """Return why the venue refuses an order at the price known now, "" if it does not.

        An attached order is not looked at: once it is active, a trigger on the wrong side fires it.
        """
        v, terms = self.v, order.terms
        if order.phase == DORMANT:
            return ""
        price = v.ticks.trigger_price(order)
        percent = v.instruments[order.instrument].rules.far_percent
        if order.phase == WAITING:
            if order.reached_by(price, terms.trigger_price * UNIT):
                return BAD_TRIGGER
        elif percent and order.limit and abs(order.limit * UNIT - price) * 100 > percent * price:
            return FAR.format(percent=percent)
        return v.margin.refusal(order)
