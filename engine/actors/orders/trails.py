"""Trailing stops, kept by the engine on last trades, because venues do not offer them alike.

Owns one per book. It waits for a position, is armed by the first trade after that, which never fires it, and
then follows the best price at a distance. When a trade is at the stop or beyond, a protective exit is owed
(`exits`) until it is done. In data of candles the end that could fire it comes first, then the other end,
then the close; one asked for within a candle is armed at its close. Quotes do not move it, and neither does a
trade older than the newest one, or than its position: a gap may be filled with trades of half an hour ago. A
flat or turned book drops it. While the engine is stopped a stop at its present price may stand for it at the
venue (`placement`). Called by `protection`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.actors.base import Emit, RoutesChanged
from engine.actors.orders.placement import AGAIN_NS, Placement
from engine.actors.orders.protection_state import Trail
from engine.actors.orders.state import Live
from engine.events import FillBooked, OrderTerms, PathReached, Trade, TrailChanged, TrailRequested
from engine.events.terms import CLOSE
from engine.values import format_scaled

if TYPE_CHECKING:
    from engine.actors.orders.actor import OrderManager

__all__ = ["Trails"]


class Trails:
    """See the module."""

    def __init__(self, manager: OrderManager, placement: Placement) -> None:
        self.m = manager
        self.placement = placement

    def request(self, request: TrailRequested, number: int, emit: Emit) -> None:
        """Set a trail, which replaces that of the book; a size of 0 drops it."""
        m = self.m
        at_ns, owner, instrument = request.at_ns, request.strategy, request.instrument
        trail = m.trails.get(instrument, {}).get(owner)
        if trail is not None and trail.state == "firing":
            if request.size:
                terms = OrderTerms(request.side, request.size, role=CLOSE, purpose="trail")
                broken = "exit_budget", "the trailing stop has fired and closes the position"
                m.requests.report_refusal(at_ns, owner, instrument, terms, broken, m.turn.seq, emit)
            return
        if not request.size:
            if trail is not None:
                self._finish(at_ns, owner, instrument, trail, "dropped", emit)
            return
        if not m.stops and not m.trails:
            emit(RoutesChanged())
        trail = Trail(request.side, request.size, request.distance, number)
        m.trails.setdefault(instrument, {})[owner] = trail
        self._cancel_parked(at_ns, owner, instrument, "replaced", emit)
        self._change(at_ns, owner, instrument, trail, "waiting", emit)

    def measure(self, at_ns: int, instrument: int, emit: Emit) -> None:
        """Follow the books of a market: what is fired, dropped, or has a position now."""
        m = self.m
        for owner, trail in tuple(m.trails.get(instrument, {}).items()):
            held = m.book(owner, instrument)
            against = held * trail.side < 0
            need = min(trail.size, abs(held)) if against else 0
            if trail.state == "firing":
                owed = m.owed.get(f"{instrument} {owner} trail")
                at_venue = sum(order.left for order in self._orders(owner, instrument))
                if trail.placing:
                    continue  # Its answer leads back here.
                if owed is None and not need and not at_venue:
                    self._finish(at_ns, owner, instrument, trail, "fired", emit)
                elif need > at_venue + (owed.left if owed is not None else 0):
                    words = self._words(instrument, trail)
                    m.exits.owe(at_ns, owner, instrument, "trail", need - at_venue, "", words, emit)
            elif against:
                if not trail.held:
                    trail.held = True
                    trail.seen_ns = max(trail.seen_ns, m.price(instrument).venue_ns)
                last = m.price(instrument).last
                if not trail.best and last and m.candles.get(instrument) == "":
                    self._arm(at_ns, owner, instrument, trail, last, emit)
            elif trail.held:
                self._finish(at_ns, owner, instrument, trail, "dropped", emit)

    def traded(self, trade: Trade, emit: Emit) -> list[tuple[int, int, str]]:
        """Move the trails of a market; return those the trade hits: (minus the distance, number, owner)."""
        hits: list[tuple[int, int, str]] = []
        for owner, trail in tuple(self.m.trails.get(trade.instrument, {}).items()):
            if trade.venue_ns >= trail.seen_ns:
                trail.seen_ns = trade.venue_ns
                hits += self._move(owner, trade.instrument, trail, trade.recv_ns, trade.price, emit)
        return hits

    def led(self, reached: PathReached, emit: Emit) -> list[tuple[int, int, str]]:
        """Move the trail of a book that is led along a candle by its ends and its close; return it if hit."""
        if reached.part not in ("low", "high", "close"):
            return []
        trail = self.m.trails[reached.instrument][reached.owner]
        if not trail.best and reached.part != "close":
            return []  # Asked for within the candle: its close arms it.
        return self._move(reached.owner, reached.instrument, trail, reached.at_ns, reached.price, emit)

    def _move(
        self, owner: str, instrument: int, trail: Trail, at_ns: int, price: int, emit: Emit
    ) -> list[tuple[int, int, str]]:
        """Arm or move a trail by a price, or return it as hit."""
        if trail.state == "firing" or not trail.held or not self.m.known(instrument):
            return []
        if not trail.best:
            self._arm(at_ns, owner, instrument, trail, price, emit)
        elif trail.hit(price):
            if self.placement.holds_parked(owner, instrument):
                return []  # The venue fires it.
            return [(-abs(price - trail.stop), trail.number, owner)]
        else:
            before = trail.stop
            trail.follow(price)
            if trail.state == "parked" and not self.m.parking:
                # The engine follows it again.
                self._change(at_ns, owner, instrument, trail, "armed", emit)
                self._cancel_parked(at_ns, owner, instrument, "followed by the engine again", emit)
            elif trail.stop != before:
                self._change(at_ns, owner, instrument, trail, trail.state, emit)
        return []

    def fire(self, at_ns: int, owner: str, instrument: int, emit: Emit) -> None:
        """Close what the trail protects."""
        m = self.m
        trail = m.trails.get(instrument, {}).get(owner)
        held = m.book(owner, instrument)
        if trail is None or held * trail.side >= 0:
            return
        self._change(at_ns, owner, instrument, trail, "firing", emit)
        self._cancel_parked(at_ns, owner, instrument, "fired in the engine", emit)
        size = min(trail.size, abs(held))
        if instrument not in m.candles:
            m.exits.owe(at_ns, owner, instrument, "trail", size, "", self._words(instrument, trail), emit)
            return
        # The venue knows when the path passed the stop's price.
        trail.placing = True
        terms = self.placement.stand_in(instrument, trail, size)
        m.request(at_ns, owner, instrument, terms, self._words(instrument, trail), emit)

    def _orders(self, owner: str, instrument: int) -> list[Live]:
        """Return the live orders with a trigger that stand for a trail at the venue."""
        return [
            order
            for _, order in self.m.orders_of(owner, instrument)
            if order.terms.purpose == "trail" and order.terms.trigger and not order.canceling
        ]

    def filled(self, fill: FillBooked, emit: Emit) -> None:
        """Take off what a trail closed; what was traded before its position was opened does not count."""
        trail = self.m.trails.get(fill.instrument, {}).get(fill.owner)
        if trail is not None and not trail.held:
            trail.seen_ns = max(trail.seen_ns, fill.venue_ns)
        if trail is None or fill.purpose != "trail" or fill.over:
            return
        self.triggered(fill.at_ns, fill.owner, fill.instrument, emit)
        trail.size -= fill.size

    def triggered(self, at_ns: int, owner: str, instrument: int, emit: Emit) -> None:
        """Note that the stop that stands for a trail at the venue was reached."""
        trail = self.m.trails.get(instrument, {}).get(owner)
        if trail is not None and trail.state != "firing":
            self._change(at_ns, owner, instrument, trail, "firing", emit)

    def ended(self, at_ns: int, order: Live, emit: Emit) -> None:
        """Follow the end of the stop that stood for a trail: what it left open is owed."""
        trail = self.m.trails.get(order.instrument, {}).get(order.owner)
        if trail is None or not order.terms.trigger or order.left <= 0 or order.canceling:
            return
        words = order.why.lower()
        if trail.state == "firing":
            return  # What it left is owed.
        fired = order.fired or "trigger" in words or "tp/sl" in words
        if fired or trail.state == "parked":
            state = "firing" if fired else "armed"
            trail.next_ns = at_ns + AGAIN_NS
            self._change(at_ns, order.owner, order.instrument, trail, state, emit)

    def park(self, at_ns: int, instrument: int, emit: Emit) -> None:
        """Give each trail that has a position but no price yet its stop, before the engine stops."""
        for owner, trail in tuple(self.m.trails.get(instrument, {}).items()):
            if trail.held and not trail.best:
                self._arm(at_ns, owner, instrument, trail, self.m.price(instrument).last, emit)

    def submitted(self, owner: str, instrument: int, at_ns: int, emit: Emit) -> None:
        """Note that the stop that stands for a trail was sent to the venue."""
        trail = self.m.trails.get(instrument, {}).get(owner)
        if trail is not None:
            trail.placing = False
            if trail.state != "firing":
                self._change(at_ns, owner, instrument, trail, "parked", emit)

    def refused(self, at_ns: int, owner: str, instrument: int) -> None:
        """Note that the stop that stands for a trail was refused before it was sent."""
        trail = self.m.trails.get(instrument, {}).get(owner)
        if trail is not None:
            trail.placing = False
            trail.next_ns = at_ns + AGAIN_NS

    def drop(self, at_ns: int, emit: Emit) -> None:
        """Drop every trail that has not fired."""
        for instrument, trails in tuple(self.m.trails.items()):
            for owner, trail in tuple(trails.items()):
                if trail.state != "firing":
                    self._finish(at_ns, owner, instrument, trail, "dropped", emit)

    def _arm(self, at_ns: int, owner: str, instrument: int, trail: Trail, price: int, emit: Emit) -> None:
        trail.best = price
        self._change(at_ns, owner, instrument, trail, "armed", emit)

    def _finish(self, at_ns: int, owner: str, instrument: int, trail: Trail, state: str, emit: Emit) -> None:
        m = self.m
        trails = m.trails[instrument]
        del trails[owner]
        if not trails:
            del m.trails[instrument]
            if not m.trails and not m.stops:
                emit(RoutesChanged())
        self._cancel_parked(at_ns, owner, instrument, state, emit)
        self._change(at_ns, owner, instrument, trail, state, emit)

    def _cancel_parked(self, at_ns: int, owner: str, instrument: int, reason: str, emit: Emit) -> None:
        for client_order_id, order in self.placement.parked(owner, instrument):
            self.m.cancel(at_ns, client_order_id, order, reason, emit)

    def _words(self, instrument: int, trail: Trail) -> str:
        return f"trailing stop at {format_scaled(trail.stop, self.m.instruments[instrument].price_scale)}"

    def _change(self, at_ns: int, owner: str, instrument: int, trail: Trail, state: str, emit: Emit) -> None:
        trail.state = state
        emit(TrailChanged(at_ns, owner, instrument, trail.side, max(0, trail.size), trail.stop, state))
