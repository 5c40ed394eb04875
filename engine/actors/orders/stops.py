"""Stops and take-profits: when one is accepted, when it fires, and what follows the end of its orders.

Owns the life of a `Stop`: asked for, waiting for its price (at the venue or in the engine, see `placement`),
firing, done. A stop-loss that fires in the engine, or whose order at the venue fired and ended unfilled, is
a protective exit that is owed (`exits`). A take-profit that fires is an ordinary exit, and is armed again for
what did not fill. With a limit price either becomes a resting exit, and no more is promised. A stop lasts as
long as its book has something to protect or an opening works that will. Called by `protection`.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Final

from engine.actors.base import Emit, RoutesChanged
from engine.actors.orders.placement import AGAIN_NS, REFUSED_NS, Placement
from engine.actors.orders.protection_state import Stop
from engine.actors.orders.state import Live
from engine.events import (
    FillBooked,
    InstrumentListed,
    ModifyRequested,
    OrderTerms,
    StopChanged,
    StopRequested,
)
from engine.values import format_scaled

if TYPE_CHECKING:
    from engine.actors.orders.actor import OrderManager
    from engine.actors.orders.brackets import Brackets

__all__ = ["Stops"]

_REACHED: Final = ("triggerpx", "tp/sl price", "trigger price")
"""In a venue's refusal of a stop: its trigger price had been reached when it arrived."""

_BY_A_PERSON: Final = ("", "canceled")
"""Reasons of a cancel that the engine did not ask for and the venue did not decide."""


class Stops:
    """See the module."""

    def __init__(self, manager: OrderManager, placement: Placement, brackets: Brackets) -> None:
        self.m = manager
        self.placement = placement
        self.brackets = brackets

    def find(self, owner: str, handle: str) -> Stop | None:
        """Return the stop of a handle."""
        for stops in self.m.stops.values():
            stop = stops.get(handle)
            if stop is not None and stop.owner == owner:
                return stop
        return None

    def of(self, owner: str, instrument: int, handle: str) -> Stop | None:
        """Return the stop of a handle in a book."""
        stop = self.m.stops.get(instrument, {}).get(handle)
        return stop if stop is not None and stop.owner == owner else None

    # Requests.

    def request(self, request: StopRequested, emit: Emit) -> None:
        """Accept a stop, or refuse it."""
        m = self.m
        owner, instrument, side = request.strategy, request.instrument, request.side
        stop = Stop(
            owner,
            instrument,
            request.handle,
            side,
            request.size,
            request.kind,
            request.trigger_price,
            self.number(),
            request.limit_price,
            request.group,
            request.reason,
        )
        broken: tuple[str, str] | None = None
        if request.size <= 0:
            broken = "size", "the size is 0 on the venue's grid"
        elif m.book(owner, instrument) * side >= 0 and not self.placement.entry_works(
            owner, instrument, -side
        ):
            broken = "nothing_to_close", "the book holds nothing that this stop could protect"
        else:
            broken = self.wrong_side(request.at_ns, stop)
        if broken is not None:
            m.requests.report_refusal(
                request.at_ns, owner, instrument, stop.terms(stop.size), broken, m.turn.seq, emit
            )
            return
        self.add(request.at_ns, stop, emit)

    def add(self, at_ns: int, stop: Stop, emit: Emit) -> None:
        """Keep a stop."""
        if not self.m.stops and not self.m.trails:
            emit(RoutesChanged())
        self.m.stops.setdefault(stop.instrument, {})[stop.handle] = stop
        self.show(at_ns, stop, "waiting", stop.reason, emit)

    def put_on_grid(self, listed: InstrumentListed, emit: Emit) -> None:
        """Move the prices of a market's stops to a grid that has become coarser, rounded as in a request."""
        for stop in self.m.stops.get(listed.instrument, {}).values():
            before = stop.trigger_price, stop.limit
            stop.trigger_price = listed.price_to_grid(stop.trigger_price, stop.side)
            stop.limit = listed.price_to_grid(stop.limit, stop.side) if stop.limit else 0
            if (stop.trigger_price, stop.limit) != before:
                self.show(listed.recv_ns, stop, stop.state, "the grid of the venue changed", emit)

    def number(self) -> int:
        """Return the number of a new stop or trail."""
        self.m.protections += 1
        return self.m.protections

    def wrong_side(self, at_ns: int, stop: Stop) -> tuple[str, str] | None:
        """Return why a stop is refused whose price has been reached already, None if it has not."""
        price = self.placement.price(at_ns, stop.instrument, stop.side)
        if not price or not stop.reached(price):
            return None
        scale = self.m.instruments[stop.instrument].price_scale
        words = f"the price is {format_scaled(price, scale)}, at or beyond the trigger price"
        return "trigger_side", f"{words} {format_scaled(stop.trigger_price, scale)}"

    def modify(self, request: ModifyRequested, emit: Emit) -> bool:
        """Change trigger, limit or size of a stop; return whether the handle is a stop's."""
        stop = self.find(request.strategy, request.handle)
        if stop is None:
            return False
        at_ns = request.at_ns
        before = (stop.trigger_price, stop.limit)
        broken: tuple[str, str] | None = None
        if stop.final or self.placement.exiting(stop):
            broken = "modify", "the stop has fired"
        elif request.trigger_price:
            stop.trigger_price = request.trigger_price
            broken = self.wrong_side(at_ns, stop)
        if broken is not None:
            terms = stop.terms(stop.size)
            stop.trigger_price, stop.limit = before
            m = self.m
            m.requests.report_refusal(at_ns, stop.owner, stop.instrument, terms, broken, m.turn.seq, emit)
            return True
        stop.limit = request.limit_price or stop.limit
        stop.size = request.size or stop.size
        self.show(at_ns, stop, stop.state, request.reason, emit)
        return True

    def cancel(self, at_ns: int, owner: str, handle: str, reason: str, emit: Emit) -> Stop | None:
        """Drop a stop; what has fired of it goes on. Return it."""
        stop = self.find(owner, handle)
        if stop is None:
            return None
        if self.placement.exiting(stop):
            stop.final = True
        else:
            self.finish(at_ns, stop, "dropped", reason or "canceled", emit)
        return stop

    # What there is to protect.

    def measure(self, at_ns: int, instrument: int, emit: Emit) -> None:
        """Compute what each stop of a market has to protect; end those that have nothing to wait for."""
        m = self.m
        for stop in tuple(m.stops.get(instrument, {}).values()):
            held = m.book(stop.owner, instrument)
            against = held * stop.side < 0
            stop.cap = self.brackets.cap(stop) if stop.parent else stop.size
            stop.need = min(stop.cap, abs(held)) if against else 0
            if self.placement.exiting(stop):
                continue
            why = self._over(stop, against)
            if why:
                self.finish(at_ns, stop, "fired" if stop.state == "firing" else "dropped", why, emit)
            else:
                self.show(at_ns, stop, "parked" if m.parking else "waiting", "", emit)

    def _over(self, stop: Stop, against: bool) -> str:
        """Return why a stop without an exit on its way is over, "" if it is not."""
        if stop.final or stop.size <= 0:
            return "done"
        if stop.parent:
            bracket = self.m.brackets.get(stop.parent)
            if bracket is None:
                return "its order is unknown"
            if not bracket.ended:
                return ""
            if not bracket.filled:
                return "its order ended unfilled"
            return "" if bracket.left and against else "the position is closed"
        if against or self.placement.entry_works(stop.owner, stop.instrument, -stop.side):
            return ""
        return "the position is closed"

    def finish(self, at_ns: int, stop: Stop, state: str, reason: str, emit: Emit) -> None:
        """End a stop, and cancel its orders that wait for the price."""
        stops = self.m.stops[stop.instrument]
        stops.pop(stop.handle, None)
        if not stops:
            del self.m.stops[stop.instrument]
        for client_order_id, order in self.placement.orders(stop):
            self.m.cancel(at_ns, client_order_id, order, reason, emit)
        self.show(at_ns, stop, state, reason, emit)
        if not self.m.stops and not self.m.trails:
            emit(RoutesChanged())

    # Firing.

    def hits(self, at_ns: int, instrument: int) -> list[tuple[int, int, Stop]]:
        """Return the stops in the engine that the price has reached: (minus the distance, number, stop)."""
        found: list[tuple[int, int, Stop]] = []
        if not self.m.known(instrument) or instrument in self.m.candles or instrument not in self.m.priced:
            return found
        for stop in self.m.stops.get(instrument, {}).values():
            if stop.engine > 0 and at_ns >= stop.fire_ns:
                price = self.placement.price(at_ns, instrument, stop.side)
                if price and stop.reached(price):
                    found.append((-abs(price - stop.trigger_price), stop.number, stop))
        return found

    def fire(self, at_ns: int, stop: Stop, size: int, emit: Emit) -> None:
        """Close a size, because the price was reached."""
        m = self.m
        size = min(size, stop.need - self.placement.exiting(stop))
        if size <= 0 or stop.final:
            return
        for client_order_id, order in self.placement.orders(stop):
            if not self.placement.stands(stop, order):
                m.cancel(at_ns, client_order_id, order, "fired in the engine", emit)
        scale = m.instruments[stop.instrument].price_scale
        reason = stop.reason or f"{stop.purpose} at {format_scaled(stop.trigger_price, scale)}"
        self._note_fired(at_ns, stop, emit)
        stop.engine = 0
        if stop.loss and not stop.limit:
            owner, instrument, late = stop.owner, stop.instrument, stop.late
            stop.late = ""
            owed = m.owed.get(f"{stop.instrument} {stop.owner} {stop.handle}")
            size += owed.left if owed is not None else 0
            m.exits.owe(at_ns, owner, instrument, "stop", size, stop.handle, reason, emit, late=late)
            return
        if stop.limit:
            stop.size -= size  # From now on it is a resting exit like any other.
        else:
            stop.asked = size
        m.request(at_ns, stop.owner, stop.instrument, stop.terms(size, fired=True), reason, emit)

    def _note_fired(self, at_ns: int, stop: Stop, emit: Emit) -> None:
        self.show(at_ns, stop, "firing", "its price was reached", emit)
        if stop.parent:
            self.brackets.fired(at_ns, stop, emit)

    # Orders and fills.

    def filled(self, fill: FillBooked, emit: Emit) -> None:
        """Take off what an order of a stop closed."""
        stop = self.of(fill.owner, fill.instrument, fill.handle)
        if stop is None or fill.purpose != stop.purpose:
            return
        order = self.m.live.get(fill.client_order_id) or self.m.ended.get(fill.client_order_id)
        by_venue = order is not None and bool(order.terms.trigger)
        if stop.limit and not by_venue:
            return
        if by_venue:
            self._note_fired(fill.at_ns, stop, emit)
        if not fill.over:
            stop.size -= fill.size
            if stop.parent:
                self.brackets.closed(stop, fill.size)

    def triggered(self, at_ns: int, order: Live, emit: Emit) -> None:
        """Note that the venue fired an order of a stop."""
        stop = self.of(order.owner, order.instrument, order.terms.handle)
        if stop is not None:
            self._note_fired(at_ns, stop, emit)

    def ended(self, at_ns: int, order: Live, emit: Emit) -> None:
        """Follow the end of an order of a stop."""
        stop = self.of(order.owner, order.instrument, order.terms.handle)
        if stop is None or not order.exits or order.left <= 0:
            return
        if not order.terms.trigger:
            if not stop.loss and not stop.limit:
                self._arm_again(at_ns, stop, emit)
        elif order.canceling:
            return
        elif order.state == "Rejected":
            self._rejected(at_ns, stop, order, emit)
        elif self.placement.dormant(order):
            return  # With its parent.
        elif order.fired or self.placement.through(at_ns, stop):
            # The message that it fired may be lost; an end beyond its trigger is no person's cancel.
            stop.late = order.why or "the order of its stop ended"
            self._unfilled(at_ns, stop, order.left, emit)
        elif not self.m.known(stop.instrument):
            # The first reading of the account decides what follows.
            stop.late = "the order of its stop ended while the engine was down"
        elif order.why.strip().lower() in _BY_A_PERSON:
            self.finish(at_ns, stop, "dropped", "canceled at the venue by somebody else", emit)
        else:
            self._refused(at_ns, stop, AGAIN_NS if not stop.refusals else REFUSED_NS)

    def _rejected(self, at_ns: int, stop: Stop, order: Live, emit: Emit) -> None:
        """Follow the venue's refusal: the price was reached on the way, or the engine keeps the stop."""
        words = order.why.lower().replace("_", "")
        if any(part in words for part in _REACHED) and not self.placement.dormant(order):
            stop.next_ns = at_ns + AGAIN_NS
            self.fire(at_ns, stop, order.left, emit)
            return
        self._refused(at_ns, stop, REFUSED_NS)
        for client_order_id, other in self.placement.orders(stop):
            # An order with an older trigger may stay only if it is the later one to fire.
            further = other.terms.trigger_price - stop.trigger_price
            if (further > 0) == stop.falling and further:
                self.m.cancel(at_ns, client_order_id, other, "its trigger changed", emit)

    def _unfilled(self, at_ns: int, stop: Stop, left: int, emit: Emit) -> None:
        """Follow an order that fired at the venue and ended without closing all."""
        if not self.m.known(stop.instrument):
            stop.missed += left
        elif stop.limit:
            stop.size -= left
        elif stop.loss:
            self.fire(at_ns, stop, left, emit)
        else:
            self._arm_again(at_ns, stop, emit)

    def after_downtime(self, at_ns: int, markets: Collection[int], emit: Emit) -> None:
        """Close what orders left in these markets that fired at the venue while the engine was down."""
        for stops in tuple(self.m.stops.values()):
            for stop in tuple(stops.values()):
                if stop.missed and stop.instrument in markets:
                    left, stop.missed = stop.missed, 0
                    self._unfilled(at_ns, stop, left, emit)

    def await_price(self, at_ns: int, instrument: int, emit: Emit) -> None:
        """Give a price a second to say whether stops that ended during a downtime have to fire."""
        if instrument in self.m.priced:
            return
        for stop in self.m.stops[instrument].values():
            if stop.late:
                stop.next_ns = at_ns + AGAIN_NS
                self.m.timer(stop.next_ns, f"protection {instrument} {stop.handle}", emit)

    def submitted(self, owner: str, instrument: int, terms: OrderTerms) -> None:
        """Note that a request of a stop was approved and sent."""
        stop = self.of(owner, instrument, terms.handle)
        if stop is not None:
            if terms.trigger:
                stop.placing = False
            else:
                stop.asked = 0

    def refused(self, at_ns: int, owner: str, instrument: int, terms: OrderTerms, emit: Emit) -> None:
        """Note that a request of a stop was refused before it was sent."""
        stop = self.of(owner, instrument, terms.handle)
        if stop is None:
            return
        if terms.trigger:
            stop.placing = False
            self._refused(at_ns, stop, REFUSED_NS)
        elif stop.asked:
            stop.asked = 0
            self._arm_again(at_ns, stop, emit)

    def _arm_again(self, at_ns: int, stop: Stop, emit: Emit) -> None:
        stop.fire_ns = stop.next_ns = at_ns + AGAIN_NS
        self.m.timer(stop.fire_ns, f"protection {stop.instrument} {stop.handle}", emit)

    def _refused(self, at_ns: int, stop: Stop, wait_ns: int) -> None:
        """Keep a stop in the engine for a while: the venue does not hold it."""
        stop.refusals += 1
        stop.next_ns = at_ns + wait_ns

    def begin(self) -> None:
        """Begin a session: requests that were under way are gone."""
        waiting = {one.terms.handle for one in self.m.waiting}
        for stops in self.m.stops.values():
            for stop in stops.values():
                stop.placing = False
                if stop.handle not in waiting:
                    stop.asked = 0

    def show(self, at_ns: int, stop: Stop, state: str, reason: str, emit: Emit) -> None:
        """Set the state of a stop; emit a change of it, of its size or of its prices."""
        size = min(stop.size, self.brackets.most(stop)) if stop.parent else stop.size
        stop.state = state
        shown = (max(0, size), stop.trigger_price, stop.limit, state)
        if shown == stop.shown:
            return
        stop.shown = shown
        emit(
            StopChanged(
                at_ns,
                stop.owner,
                stop.instrument,
                stop.handle,
                stop.side,
                shown[0],
                stop.kind,
                stop.trigger_price,
                state,
                stop.limit,
                reason,
            )
        )
