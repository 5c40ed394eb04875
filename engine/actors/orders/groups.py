"""Groups: of the orders and stops that a strategy put into one, a fill of one cancels the others.

A fill that closes cuts the other exits of the group by its size and cancels the openings; a fill that opens
cancels all others. Called by `protection`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.actors.base import Emit
from engine.actors.orders.stops import Stops
from engine.events import FillBooked, ModifyApproved
from engine.events.terms import CLOSE

if TYPE_CHECKING:
    from engine.actors.orders.actor import OrderManager

__all__ = ["Groups"]

_WHY = "another order of its group was filled"


class Groups:
    """See the module."""

    def __init__(self, manager: OrderManager, stops: Stops) -> None:
        self.m = manager
        self.stops = stops

    def filled(self, fill: FillBooked, emit: Emit) -> None:
        """Cancel or cut the other members of the group of a fill."""
        m = self.m
        order = m.live.get(fill.client_order_id) or m.ended.get(fill.client_order_id)
        stop = self.stops.of(fill.owner, fill.instrument, fill.handle)
        group = order.terms.group if order is not None else ""
        group = group or (stop.group if stop is not None else "")
        if not group:
            return
        closes = fill.role == CLOSE
        for handle, turn in tuple(m.turns.items()):
            member = (turn.owner, turn.instrument, turn.terms.group) == (fill.owner, fill.instrument, group)
            if member and handle != fill.handle:
                del m.turns[handle]
                m.requests.drop(fill.at_ns, turn, _WHY, emit)
        for client_order_id, other in m.orders_of(fill.owner, fill.instrument):
            terms = other.terms
            if terms.group != group or terms.purpose != "own" or terms.handle == fill.handle:
                continue
            kept = m.instruments[fill.instrument].size_to_grid(other.kept - fill.size)
            if other.canceling:
                continue
            cut = closes and other.resting and other.exits and kept > 0
            if not cut or other.modifying or not client_order_id:
                m.cancel(fill.at_ns, client_order_id, other, _WHY, emit)
                continue
            other.modifying, other.cut_to = True, kept
            emit(
                ModifyApproved(
                    fill.at_ns,
                    m.turn.seq,
                    other.owner,
                    client_order_id,
                    other.instrument,
                    kept,
                    terms.limit,
                )
            )
        for stop in tuple(m.stops.get(fill.instrument, {}).values()):
            if (stop.owner, stop.group) != (fill.owner, group) or stop.handle == fill.handle:
                continue
            stop.size -= fill.size
            if not closes or stop.size <= 0:
                self.stops.cancel(fill.at_ns, stop.owner, stop.handle, _WHY, emit)
