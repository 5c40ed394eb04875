"""Closes what a strategy holds at the end of its window, at the last price, and ends its orders at once.

A seam is the time at which a strategy of a walk-forward stops and another one goes on. The runner asks for a
`flatten` then; its orders, cancels and their reports take no time, so nothing of the piece that ended meets a
price of the next one. An exit takes the last trade or the close of the last candle, else the side of the
quotes that it would meet, made worse by slippage, and pays the fee of a taker. Called by the venue.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.actors.base import Emit
from engine.actors.simulated.state import At, VenueOrder
from engine.events import CancelOrder, SubmitOrder
from engine.values import BUY

if TYPE_CHECKING:
    from engine.actors.simulated.venue import SimulatedVenue

__all__ = ["close_at_seam", "end_at_seam", "ends", "is_exit"]


def is_exit(venue: SimulatedVenue, order: SubmitOrder) -> bool:
    """Return whether an order closes a position at a seam."""
    return order.terms.purpose == "flatten" and _is_seam(venue, order.strategy, order.at_ns)


def ends(venue: SimulatedVenue, cancel: CancelOrder) -> bool:
    """Return whether a cancel ends an order at a seam."""
    key = cancel.client_order_id
    order = venue.in_transit.get(key) or venue.find(key)
    return order is not None and _is_seam(venue, order.owner, cancel.at_ns)


def _is_seam(venue: SimulatedVenue, owner: str, at_ns: int) -> bool:
    return venue.seams.get(owner, 0) - 1 <= at_ns <= venue.seams.get(owner, 0)


def _now(venue: SimulatedVenue, at_ns: int, emit: Emit) -> At:
    """Return now: what happens at a seam is known at once, after all reports that are on their way."""
    if venue.timing is not None:
        venue.timing.flush(at_ns, emit)
    return At(at_ns, at_ns, emit)


def close_at_seam(venue: SimulatedVenue, order: VenueOrder, at_ns: int, emit: Emit) -> None:
    """Accept an exit and fill it at the last price; without one it waits for the next."""
    at = _now(venue, at_ns, emit)
    venue.arrival.accept(order, at)
    market = venue.market(order.instrument)
    price = market.last if market.priced else (market.ask if order.side == BUY else market.bid)
    if price and order.remaining:
        venue.fills.take(order, price, order.remaining, venue.slippage_bps, 0, at)


def end_at_seam(venue: SimulatedVenue, client_order_id: str, at_ns: int, emit: Emit) -> None:
    """End an order, also one that has not arrived."""
    at = _now(venue, at_ns, emit)
    venue.apply(f"order {client_order_id}", at)
    venue.apply(f"cancel {client_order_id}", at)
