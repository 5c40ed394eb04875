"""Brackets: the stop-loss and the take-profits of one order, its parent.

Owns what the children protect: what the parent has filled less what they have closed, and never more than
the position. The stop-loss protects all of it, take-profits their own sizes, nearest first. A child that
fires cancels what is left of the parent. Where the venue has attached orders, the stop-loss and a single
take-profit are sent attached to the parent: they live once the parent is completely filled, and protect while
the engine is down. Until then, and when the parent ends partly filled, children of their own stand beside
them. Of several take-profits none is attached: the venue would cancel the others with the first that fills.
Called by `protection`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.actors.base import Emit
from engine.actors.orders.placement import Placement
from engine.actors.orders.protection_state import Bracket, Stop
from engine.actors.orders.state import Live
from engine.events import FillBooked, OrderTerms, SubmitOrder
from engine.events.terms import CLOSE, OPEN
from engine.values import format_scaled

if TYPE_CHECKING:
    from engine.actors.orders.actor import OrderManager

__all__ = ["Brackets", "Children"]

Children = tuple[tuple[str, int, int], ...]
"""The children of a request: (kind, trigger price, size) each."""


class Brackets:
    """See the module."""

    def __init__(self, manager: OrderManager, placement: Placement) -> None:
        self.m = manager
        self.placement = placement

    def broken(
        self, at_ns: int, instrument: int, terms: OrderTerms, children: Children
    ) -> tuple[str, str] | None:
        """Return why an opening is refused whose child would fire at its own entry, None if none would."""
        side = terms.side
        known = self.placement.price(at_ns, instrument, side)
        prices = [price for price in (terms.limit or terms.trigger_price, known) if price]
        if terms.trigger_price:
            prices = [terms.trigger_price]
        if not prices:
            return None
        entry = min(prices) if side > 0 else max(prices)
        for kind, trigger_price, _ in children:
            beyond = (trigger_price - entry) * side
            if beyond >= 0 if kind == "sl" else beyond <= 0:
                scale = self.m.instruments[instrument].price_scale
                words = f"{kind} at {format_scaled(trigger_price, scale)} with an entry at"
                return "trigger_side", f"{words} {format_scaled(entry, scale)}"
        return None

    def make(
        self, owner: str, instrument: int, terms: OrderTerms, children: Children, numbers: list[int]
    ) -> list[Stop]:
        """Note a bracket, and return the stops that are its children."""
        stops: list[Stop] = []
        profits = 0
        for (kind, trigger_price, size), number in zip(children, numbers, strict=True):
            profits += kind == "tp"
            name = f"tp{profits}" if kind == "tp" else "sl"
            stops.append(
                Stop(
                    owner,
                    instrument,
                    f"{terms.handle}/{name}",
                    -terms.side,
                    min(size, terms.size),
                    kind,
                    trigger_price,
                    number,
                    parent=terms.handle,
                )
            )
        handles = [stop.handle for stop in stops]
        self.m.brackets[terms.handle] = Bracket(owner, instrument, terms.side, terms.size, handles)
        return stops

    def submitted(self, order: SubmitOrder, emit: Emit) -> None:
        """Send the children that the venue can attach to their parent, right after it."""
        m = self.m
        bracket = m.brackets.get(order.terms.handle)
        if bracket is None or bracket.order or order.terms.role != OPEN:
            return
        bracket.order = order.client_order_id
        if not self.placement.attaches(order.instrument):
            return
        stops = [m.stops.get(order.instrument, {}).get(handle) for handle in bracket.children]
        children = [stop for stop in stops if stop is not None]
        profits = sum(not stop.loss for stop in children)
        for stop in children:
            if stop.loss or profits == 1:
                stop.placing = True
                terms = OrderTerms(
                    stop.side,
                    min(stop.size, bracket.size),
                    role=CLOSE,
                    purpose=stop.purpose,
                    trigger=stop.kind,
                    trigger_price=stop.trigger_price,
                    parent=order.client_order_id,
                    handle=stop.handle,
                )
                m.request(order.at_ns, stop.owner, stop.instrument, terms, "", emit)

    def filled(self, fill: FillBooked) -> None:
        """Count what a parent fills."""
        bracket = self.m.brackets.get(fill.handle)
        if bracket is None or fill.client_order_id != bracket.order or fill.role != OPEN:
            return
        bracket.filled += fill.size
        more = bracket.filled - bracket.size
        if more > 0:
            # The parent was changed to a larger size: its stop-loss grows with it.
            bracket.size += more
            for handle in bracket.children:
                stop = self.m.stops.get(bracket.instrument, {}).get(handle)
                if stop is not None and stop.loss:
                    stop.size += more

    def ended(self, client_order_id: str, order: Live) -> None:
        """Note the end of a parent."""
        bracket = self.m.brackets.get(order.terms.handle)
        if bracket is not None and bracket.order == client_order_id:
            bracket.ended = True
            bracket.whole = order.left <= 0

    def cap(self, stop: Stop) -> int:
        """Return how much of the position a child protects."""
        bracket = self.m.brackets.get(stop.parent)
        if bracket is None:
            return 0
        left = bracket.left
        if stop.loss:
            return min(stop.size, left)
        stops = self.m.stops.get(stop.instrument, {})
        profits = [
            one
            for one in (stops.get(handle) for handle in bracket.children)
            if one is not None and not one.loss
        ]
        for one in sorted(profits, key=lambda one: (-one.trigger_price * one.side, one.number)):
            share = min(one.size, left)
            if one is stop:
                return share
            left -= share
        return 0

    def most(self, stop: Stop) -> int:
        """Return how much of the position a child can still come to protect."""
        bracket = self.m.brackets.get(stop.parent)
        return bracket.size - bracket.closed if bracket is not None else 0

    def closed(self, stop: Stop, size: int) -> None:
        """Count what a child closed: its siblings have less to protect."""
        bracket = self.m.brackets.get(stop.parent)
        if bracket is not None:
            bracket.closed += size

    def fired(self, at_ns: int, stop: Stop, emit: Emit) -> None:
        """Cancel what is left of the parent of a child that fired."""
        bracket = self.m.brackets.get(stop.parent)
        order = self.m.live.get(bracket.order) if bracket is not None else None
        if bracket is not None and order is not None:
            self.m.cancel(at_ns, bracket.order, order, "its stop fired", emit)

    def prune(self, instrument: int) -> None:
        """Forget the brackets of a market that are over."""
        stops = self.m.stops.get(instrument, {})
        for handle, bracket in tuple(self.m.brackets.items()):
            done = bracket.ended and not any(child in stops for child in bracket.children)
            if done and bracket.instrument == instrument:
                del self.m.brackets[handle]
