"""Protection: stops, brackets, trailing stops and groups of every book.

Owns the order in which they act. Each has a part of its own: `stops` (when one fires, what follows its
orders), `placement` (which the venue holds, which the engine), `brackets`, `trails`, `groups`. Promises: of
every stop, what the venue holds, what the engine watches and what is being closed add up to what it has to
protect; each change of a book's protection is recorded (`ProtectionChanged`). Its state is in attributes of
the manager, which is its only caller.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from engine.actors.base import Emit
from engine.actors.orders.brackets import Brackets, Children
from engine.actors.orders.groups import Groups
from engine.actors.orders.placement import Placement
from engine.actors.orders.state import Live
from engine.actors.orders.stops import Stops
from engine.actors.orders.trails import Trails
from engine.events import (
    Candle,
    FillBooked,
    ModifyRequested,
    OrderTerms,
    PathReached,
    ProtectionChanged,
    SessionStarted,
    StopRequested,
    SubmitOrder,
    Trade,
    TrailRequested,
)
from engine.events.terms import CLOSE

if TYPE_CHECKING:
    from engine.actors.orders.actor import OrderManager

__all__ = ["Protection"]

_PURPOSES = ("stop", "take", "trail")


class Protection:
    """See the module."""

    def __init__(self, manager: OrderManager) -> None:
        self.m = manager
        self.placement = Placement(manager)
        self.brackets = Brackets(manager, self.placement)
        self.stops = Stops(manager, self.placement, self.brackets)
        self.trails = Trails(manager, self.placement)
        self.groups = Groups(manager, self.stops)

    def follows(self) -> bool:
        """Return whether trades and quotes are needed: while there is a stop or a trail."""
        return bool(self.m.stops or self.m.trails)

    # Sessions.

    def begin(self, started: SessionStarted, emit: Emit) -> None:
        """Begin a session: with real orders nothing fires before the account is read, and in any case not
        before a fresh price."""
        m = self.m
        m.reconciled = not m.real
        m.unread = dict.fromkeys(m.config.named_accounts if m.real else ())
        m.parking = False
        m.priced.clear()
        self.stops.begin()
        for trails in m.trails.values():
            for trail in trails.values():
                trail.placing = False

    def account_read(self, at_ns: int, venue: str, markets: Collection[int], emit: Emit) -> None:
        """Place again, or close, what ended in these markets while the engine was down."""
        m = self.m
        first = not m.reconciled and (venue in m.unread or not m.unread)
        m.unread.pop(venue, None)
        m.reconciled = not m.unread
        if first:
            self.stops.after_downtime(at_ns, markets, emit)
            for instrument in [number for number in m.stops if number in markets]:
                self.stops.await_price(at_ns, instrument, emit)
        for instrument in self._markets():
            if instrument in markets:
                self.plan(at_ns, instrument, emit)

    def park(self, at_ns: int, emit: Emit) -> None:
        """On an orderly stop, hand what the engine watches to the venue, or drop it."""
        m = self.m
        if m.config.risk.on_stop == "flatten":
            return
        if m.config.risk.on_stop == "cancel":
            for stops in tuple(m.stops.values()):
                for stop in tuple(stops.values()):
                    self.stops.cancel(at_ns, stop.owner, stop.handle, "the engine stops", emit)
            self.trails.drop(at_ns, emit)
        else:
            m.parking = True
            for stops in m.stops.values():
                for stop in stops.values():
                    stop.next_ns = 0
            for instrument in m.trails:
                self.trails.park(at_ns, instrument, emit)
        for instrument in self._markets():
            self.plan(at_ns, instrument, emit)

    def due(self, at_ns: int, key: str, emit: Emit) -> None:
        """Look again at the stops of a market; the key begins with its number."""
        self.plan(at_ns, int(key.partition(" ")[0]), emit)

    # Requests.

    def stop(self, request: StopRequested, emit: Emit) -> None:
        """Protect a position with a stop, or refuse (`nothing_to_close`, `trigger_side`)."""
        self.stops.request(request, emit)
        self.plan(request.at_ns, request.instrument, emit)

    def trail(self, request: TrailRequested, emit: Emit) -> None:
        """Protect a position with a trailing stop; a size of 0 drops it."""
        self.trails.request(request, self.stops.number(), emit)
        self.plan(request.at_ns, request.instrument, emit)

    def broken(
        self, at_ns: int, instrument: int, terms: OrderTerms, children: Children
    ) -> tuple[str, str] | None:
        """Return why an opening with these children is refused, None if it is not."""
        return self.brackets.broken(at_ns, instrument, terms, children)

    def wants(self, owner: str, instrument: int, terms: OrderTerms) -> bool:
        """Return whether a trigger order is still needed: that of a stop or trail only while it lasts."""
        if terms.purpose == "trail":
            return owner in self.m.trails.get(instrument, {})
        stop = self.stops.of(owner, instrument, terms.handle)
        return terms.purpose not in _PURPOSES or (stop is not None and not stop.final)

    def attach(
        self,
        at_ns: int,
        owner: str,
        instrument: int,
        terms: OrderTerms,
        children: Children,
        emit: Emit,
    ) -> None:
        """Note the bracket of an opening part that was just approved; `terms.handle` names its parent."""
        if terms.role == CLOSE:
            return
        numbers = [self.stops.number() for _ in children]
        for stop in self.brackets.make(owner, instrument, terms, children, numbers):
            self.stops.add(at_ns, stop, emit)

    def cancel(self, at_ns: int, owner: str, handle: str, reason: str, emit: Emit) -> bool:
        """Drop the stop of a handle, or the children of an order that has ended; return whether any was."""
        m = self.m
        bracket = m.brackets.get(handle)
        handles = [handle]
        if bracket is not None and bracket.owner == owner and bracket.ended:
            handles += bracket.children
        dropped = [self.stops.cancel(at_ns, owner, one, reason, emit) for one in handles]
        found = [stop for stop in dropped if stop is not None]
        for stop in found:
            self.plan(at_ns, stop.instrument, emit)
        return bool(found)

    def modify(self, request: ModifyRequested, emit: Emit) -> bool:
        """Change the trigger, the limit or the size of a stop; return whether the handle is a stop's."""
        found = self.stops.modify(request, emit)
        if found:
            self.plan(request.at_ns, request.instrument, emit)
        return found

    def keeps(self, owner: str, instrument: int, handle: str) -> bool:
        """Return whether a stop lives under a handle."""
        return self.stops.of(owner, instrument, handle) is not None

    def refused(self, at_ns: int, owner: str, instrument: int, terms: OrderTerms, emit: Emit) -> None:
        """Note that a request of a stop or trail was refused before it was sent."""
        if terms.purpose == "trail" and terms.trigger:
            self.trails.refused(at_ns, owner, instrument)
            self.plan(at_ns, instrument, emit)
        elif terms.purpose in _PURPOSES:
            self.stops.refused(at_ns, owner, instrument, terms, emit)

    # Prices.

    def traded(self, trade: Trade, emit: Emit) -> None:
        """Move and fire trails, and fire stops in the engine: the nearest trigger first, then the older."""
        m = self.m
        instrument = trade.instrument
        m.priced[instrument] = True
        if instrument not in m.stops and instrument not in m.trails:
            return
        self._fire(trade.recv_ns, instrument, self.trails.traded(trade, emit), emit)

    def priced(self, instrument: int, at_ns: int, emit: Emit) -> None:
        """Fire stops in the engine after a quote, a book or a mark."""
        self.m.priced.setdefault(instrument, False)
        if instrument in self.m.stops:
            self._fire(at_ns, instrument, [], emit)

    def candle(self, candle: Candle) -> None:
        """Note that the data of a market has candles: the simulated venue holds its stops."""
        self.m.priced[candle.instrument] = True
        self.m.candles[candle.instrument] = ""

    def path(self, reached: PathReached, emit: Emit) -> None:
        """Move and fire the trail of a book that is led along a candle."""
        m = self.m
        m.candles[reached.instrument] = "" if reached.part == "close" else reached.owner
        if reached.owner in m.trails.get(reached.instrument, {}):
            hits = self.trails.led(reached, emit)
            self._fire(reached.at_ns, reached.instrument, hits, emit)

    def _fire(self, at_ns: int, instrument: int, trails: list[tuple[int, int, str]], emit: Emit) -> None:
        """Fire the trails and stops that a price has reached."""
        stops = self.stops.hits(at_ns, instrument)
        hits = sorted([(*hit, None) for hit in trails] + [(*hit[:2], "", hit[2]) for hit in stops])
        for _, _, owner, stop in hits:
            if stop is None:
                self.trails.fire(at_ns, owner, instrument, emit)
            else:
                self.stops.fire(at_ns, stop, stop.engine, emit)
        if hits:
            self.plan(at_ns, instrument, emit)

    # Orders and fills.

    def submitted(self, order: SubmitOrder, emit: Emit) -> None:
        """Note the client order id of a parent or of a stop at the venue."""
        terms = order.terms
        if terms.purpose == "trail" and terms.trigger:
            self.trails.submitted(order.strategy, order.instrument, order.at_ns, emit)
        elif terms.purpose in _PURPOSES:
            self.stops.submitted(order.strategy, order.instrument, terms)
        else:
            self.brackets.submitted(order, emit)

    def filled(self, fill: FillBooked, emit: Emit) -> None:
        """Count a fill for brackets, stops, trails and groups."""
        self.brackets.filled(fill)
        self.stops.filled(fill, emit)
        self.trails.filled(fill, emit)
        self.groups.filled(fill, emit)

    def triggered(self, at_ns: int, order: Live, emit: Emit) -> None:
        """Note that an order at the venue has reached its trigger price: it fires."""
        if order.terms.purpose in ("stop", "take"):
            self.stops.triggered(at_ns, order, emit)
        elif order.terms.purpose == "trail":
            self.trails.triggered(at_ns, order.owner, order.instrument, emit)
        self.plan(at_ns, order.instrument, emit)

    def changed(self, at_ns: int, order: Live, emit: Emit) -> None:
        """Follow a new state of a live order: one that the venue accepted replaces older ones."""
        if order.terms.trigger and order.terms.purpose in _PURPOSES:
            self.plan(at_ns, order.instrument, emit)

    def ended(self, at_ns: int, client_order_id: str, order: Live, emit: Emit) -> None:
        """Follow the end of an order: of a parent, or of a stop at the venue."""
        self.brackets.ended(client_order_id, order)
        if order.terms.purpose == "trail":
            self.trails.ended(at_ns, order, emit)
        elif order.terms.purpose in _PURPOSES:
            self.stops.ended(at_ns, order, emit)

    def settle(self, at_ns: int, owner: str, instrument: int, emit: Emit) -> None:
        """Look again at a book after anything changed in it: place, resize, drop stops."""
        m = self.m
        held = m.book(owner, instrument)
        for client_order_id, order in m.orders_of(owner, instrument):
            # A strategy's own trigger order that closes ends with the position.
            own = order.waiting and order.exits and order.terms.purpose == "own"
            if own and held * order.terms.side >= 0:
                m.cancel(at_ns, client_order_id, order, "the position is closed", emit)
        self.plan(at_ns, instrument, emit)

    # What all of them lead to.

    def plan(self, at_ns: int, instrument: int, emit: Emit) -> None:
        """Compute what the stops of a market protect, fire what the price has reached, place the rest."""
        m = self.m
        if instrument in m.stops or instrument in m.trails:
            with self.placement.gathered(instrument):
                self.stops.measure(at_ns, instrument, emit)
                self.brackets.prune(instrument)
                self.trails.measure(at_ns, instrument, emit)
                self.placement.watch(instrument)
                for _, _, stop in sorted(self.stops.hits(at_ns, instrument), key=lambda hit: hit[:2]):
                    self.stops.fire(at_ns, stop, stop.engine, emit)
                self.placement.place(at_ns, instrument, emit)
                self._show(at_ns, instrument, emit)
        elif instrument in m.protected:
            self._show(at_ns, instrument, emit)

    def _markets(self) -> list[int]:
        return sorted({*self.m.stops, *self.m.trails, *self.m.protected})

    def _show(self, at_ns: int, instrument: int, emit: Emit) -> None:
        """Emit what protects each book of a market if it has changed. Take-profits do not protect."""
        m = self.m
        sums: dict[str, list[int]] = {owner: [0, 0, 0] for owner in m.protected.get(instrument, {})}
        for stop in m.stops.get(instrument, {}).values():
            if stop.loss:
                one = sums.setdefault(stop.owner, [0, 0, 0])
                waits = max(0, stop.need - self.placement.exiting(stop))
                one[0] += waits - stop.engine if not stop.final else 0
                one[1] += stop.engine
        for owner, trail in m.trails.get(instrument, {}).items():
            if trail.held and trail.state != "firing":
                one = sums.setdefault(owner, [0, 0, 0])
                one[0 if trail.state == "parked" else 1] += min(trail.size, abs(m.book(owner, instrument)))
        for owner, one in sums.items():
            one[2] = m.exits.exiting(owner, instrument) + sum(
                order.left
                for _, order in m.orders_of(owner, instrument)
                if order.terms.trigger and order.terms.purpose in ("stop", "trail") and order.fired
            )
            known = m.protected.setdefault(instrument, {})
            held = m.book(owner, instrument)
            shown = (held, one[0], one[1], one[2])
            if any(one):
                if known.get(owner) == shown:
                    continue
                known[owner] = shown
            elif known.pop(owner, None) is None:
                continue
            emit(ProtectionChanged(at_ns, owner, instrument, *shown))
        if not m.protected.get(instrument, True):
            del m.protected[instrument]
