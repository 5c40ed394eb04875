"""What an operator does to orders: one by hand, in the book `manual`, and cancels.

Owns the way from a request to the order manager's own terms: sizes and prices on the grid by the functions
that the verbs of strategies use, a value or a share of the equity at the newest price; and which orders a
cancel reaches. It reaches entries, resting exits and take-profits. Protective orders (stop-losses and
trailing stops) stay unless the request says so; an exit that is on its way or owed always goes on. Called by
`commands`.
"""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Final

from engine.actors.amounts import amount, children_of, price, steps, steps_for
from engine.actors.base import CALLS, Emit, Later
from engine.actors.books.book import EXTERNAL, MANUAL
from engine.actors.orders.command_state import Working
from engine.actors.orders.state import Live
from engine.errors import CommandError, NumberError
from engine.events import InstrumentListed, OrderRequested, OrderTerms, StopRequested, TrailRequested
from engine.operator.requests import Cancel, Order
from engine.values import BUY, NO_SIDE, SELL, power_of_ten

if TYPE_CHECKING:
    from engine.actors.orders.actor import OrderManager

__all__ = ["Tickets"]

ORDERED: Final = "operator: order"
CANCELED: Final = "operator: cancel"
PROTECTS: Final = "the order protects a position; say protective to cancel it"


class Tickets:
    """See the module."""

    def __init__(self, manager: OrderManager) -> None:
        self.m = manager

    # Orders by hand.

    def order(self, at_ns: int, one: Working, number: int, request: Order, emit: Emit) -> None:
        """Request an order or a stop in the book `manual`. Raises CommandError."""
        m = self.m
        listed = m.instruments[number]
        side = BUY if request.side == "buy" else SELL
        try:
            limit = price(listed, request.limit, side, "limit")
            trigger = price(listed, request.trigger, side, "trigger")
            size = self._size(listed, number, request, limit or trigger)
            children = children_of(listed, side, size, request.stop_loss, request.take_profit)
        except (NumberError, ValueError) as error:
            raise CommandError("number", str(error)) from None
        m.targets.release(at_ns, MANUAL, number, emit)  # what a flatten wanted of it
        one.handle, one.instrument, one.size = f"{MANUAL}-{one.seq}", number, size
        if request.reduce_only:
            held = m.book(MANUAL, number)
            one.size = min(size, abs(held)) if held * side < 0 else size
        if trigger and request.reduce_only:
            one.protects = True
            asked = (side, size, request.kind, trigger, limit)
            stop = StopRequested(at_ns, MANUAL, number, one.handle, *asked, "", ORDERED)
            emit(Later(stop, CALLS))
            return
        terms = OrderTerms(
            side,
            size,
            limit,
            "Alo" if request.post_only else "Gtc",
            reduce_only=request.reduce_only,
            trigger=request.kind if trigger else "",
            trigger_price=trigger,
            handle=one.handle,
        )
        emit(Later(OrderRequested(at_ns, MANUAL, number, terms, ORDERED, children), CALLS))

    def _size(self, listed: InstrumentListed, number: int, request: Order, at: int) -> int:
        """Return the size on the grid. Raises CommandError and NumberError."""
        m = self.m
        if request.size is not None:
            return steps(listed, request.size)
        at = at or m.price(number).any
        if not at:
            raise CommandError("no_price", f"no price of {m.instruments.label(number)} is known yet")
        if request.notional is not None:
            return steps_for(listed, amount(request.notional, "notional"), at)
        assert request.percent is not None, "a checked request has one of the three"
        if m.money.cash is None and m.real:
            raise CommandError("no_equity", "the equity is not known yet")
        scale = m.gates.margin.scale()
        equity = Fraction(max(0, m.gates.margin.equity(scale)), power_of_ten(scale))
        return steps_for(listed, amount(request.percent, "percent") * equity / 100, at)

    # Cancels.

    def cancel(self, at_ns: int, one: Working, number: int | None, request: Cancel, emit: Emit) -> None:
        """Cancel one order, or those of a market, of an owner, or all. Raises CommandError."""
        if request.order is not None:
            self._cancel_one(at_ns, one, request.order, request.protective, emit)
            return
        for instrument in sorted(self.m.instruments):
            for owner in self._owners(instrument):
                if request.strategy in (None, owner) and number in (None, instrument):
                    self._cancel_book(at_ns, one, owner, instrument, request.protective, emit)

    def _owners(self, instrument: int) -> list[str]:
        """Return who has orders, targets or protection in a market, in order of name."""
        m = self.m
        names = {order.owner for order in (*m.live.values(), *m.approved) if order.instrument == instrument}
        names |= {turn.owner for turn in m.turns.values() if turn.instrument == instrument}
        names |= {wait.owner for wait in m.waiting if wait.instrument == instrument}
        names |= {stop.owner for stop in m.stops.get(instrument, {}).values()}
        names |= {*m.aims.get(instrument, {}), *m.trails.get(instrument, {})}
        return sorted(names - {EXTERNAL})

    def _cancel_book(
        self, at_ns: int, one: Working, owner: str, number: int, protective: bool, emit: Emit
    ) -> None:
        m = self.m
        here = (owner, number)
        handles = [turn.terms.handle for turn in m.turns.values() if (turn.owner, turn.instrument) == here]
        handles += [
            wait.terms.handle
            for wait in m.waiting
            if (wait.owner, wait.instrument) == here and wait.terms.purpose == "own"
        ]
        for handle in dict.fromkeys(handles):
            self._cancel_handle(at_ns, one, owner, handle, emit)
        for client_order_id, order in m.orders_of(owner, number):
            if _ends(order, protective):
                self._cancel_order(at_ns, one, client_order_id, order, emit)
        for stop in tuple(m.stops.get(number, {}).values()):
            if stop.owner == owner and (protective or not stop.loss):
                self._cancel_handle(at_ns, one, owner, stop.handle, emit)
        if protective and owner in m.trails.get(number, {}):
            emit(TrailRequested(at_ns, owner, number, NO_SIDE, 0, 0, CANCELED))
        m.targets.clamp(at_ns, emit, owner=owner, instrument=number)

    def _cancel_one(self, at_ns: int, one: Working, name: str, protective: bool, emit: Emit) -> None:
        """Cancel what a client order id or a handle names. Raises CommandError."""
        m = self.m
        for client_order_id, order in [*m.live.items(), *(("", order) for order in m.approved)]:
            if name not in (client_order_id, order.terms.handle):
                continue
            stop = m.protection.stops.find(order.owner, order.terms.handle) if order.exits else None
            if not (stop is not None and not stop.loss) and not _ends(order, protective):
                self._refuse(order)
            if order.terms.handle:
                self._cancel_handle(at_ns, one, order.owner, order.terms.handle, emit)
            else:
                self._cancel_order(at_ns, one, client_order_id, order, emit)
                m.targets.clamp(at_ns, emit, owner=order.owner, instrument=order.instrument)
            return
        owners = [turn.owner for turn in m.turns.values() if turn.terms.handle == name]
        owners += [wait.owner for wait in m.waiting if wait.terms.handle == name]
        if owners:
            self._cancel_handle(at_ns, one, owners[0], name, emit)
            return
        for stops in m.stops.values():
            for stop in tuple(stops.values()):
                if stop.handle == name:
                    if stop.loss and not protective:
                        raise CommandError("protective", PROTECTS)
                    self._cancel_handle(at_ns, one, stop.owner, name, emit)
                    return
        raise CommandError("unknown_order", f"no order {name!r} is live")

    def _refuse(self, order: Live) -> None:
        if order.waiting:
            raise CommandError("protective", PROTECTS)
        raise CommandError("protective", "the exit is on its way, or owed: it goes on")

    def _cancel_handle(self, at_ns: int, one: Working, owner: str, handle: str, emit: Emit) -> None:
        """Cancel all that lives under a handle."""
        m = self.m
        for client_order_id, order in m.live.items():
            if (order.owner, order.terms.handle) == (owner, handle):
                one.orders[client_order_id] = None
        m.requests.cancel_handle(at_ns, owner, handle, CANCELED, emit)

    def _cancel_order(self, at_ns: int, one: Working, client_order_id: str, order: Live, emit: Emit) -> None:
        if client_order_id:
            one.orders[client_order_id] = None
        self.m.cancel(at_ns, client_order_id, order, CANCELED, emit)


def _ends(order: Live, protective: bool) -> bool:
    """Return whether a cancel ends an order: not an exit that is on its way, nor one that protects."""
    terms = order.terms
    if not order.exits:
        return True
    if terms.purpose == "own":
        return terms.trigger != "sl" or order.fired or protective
    if terms.purpose in ("stop", "take") and (order.waiting or order.resting):
        return protective or terms.purpose == "take"
    return terms.purpose == "trail" and order.waiting and protective
