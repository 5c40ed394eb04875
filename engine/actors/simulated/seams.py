"""Closes what a strategy holds at the end of its window, at the last price, and ends its orders at once.

A seam is the time at which a strategy of a walk-forward stops and another one goes on. The runner asks for a
`pause` and a `flatten` then. What was on its way arrives with the first, and orders, cancels and their
reports take no time at a seam, so nothing of the piece that ended meets a price of the next one. An exit
takes the last trade or the close of the last candle, else the side of the quotes that it would meet, made
worse by slippage, and pays the fee of a taker. Called by the venue.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.actors.base import Emit
from engine.actors.simulated.state import WORKING, At, VenueOrder
from engine.events import CancelOrder, OperatorCommand, OrderTerms, SubmitOrder
from engine.events.terms import CLOSE
from engine.values import BUY

if TYPE_CHECKING:
    from engine.actors.simulated.venue import SimulatedVenue

__all__ = ["cancels", "close_at_seam", "is_exit", "settle"]


def is_exit(venue: SimulatedVenue, order: SubmitOrder) -> bool:
    """Return whether an order closes a position at a seam."""
    terms = order.terms
    return not terms.trigger and _closes(terms) and _is_seam(venue, order.strategy, order.at_ns)


def cancels(venue: SimulatedVenue, cancel: CancelOrder, emit: Emit) -> bool:
    """End an order at a seam, and return True; before, note that its cancel is on its way."""
    key = cancel.client_order_id
    order = venue.in_transit.get(key) or venue.find(key)
    if order is None:
        return False
    order.canceling = True
    if not _is_seam(venue, order.owner, cancel.at_ns):
        return False
    _end(venue, key, cancel.at_ns, emit)
    return True


def _closes(terms: OrderTerms) -> bool:
    """Return whether an order closes, and once it works at once or not at all."""
    return terms.role == CLOSE and not terms.rests


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
    _fill(venue, order, at)


def _fill(venue: SimulatedVenue, order: VenueOrder, at: At) -> None:
    """Fill an exit at the last price; end one whose limit does not allow that, so that another one closes."""
    market = venue.market(order.instrument)
    shown = market.ask if order.side == BUY else market.bid
    # After an interruption the last price is that of before it.
    price = (shown if market.live and not market.priced else market.last) or shown
    if not price or not order.remaining:
        return
    if order.allows(price, order.limit):
        venue.fills.take(order, price, order.remaining, venue.slippage_bps, order.limit, at)
    else:
        venue.fills.end(order, "Ioc found no match", at)


def _end(venue: SimulatedVenue, client_order_id: str, at_ns: int, emit: Emit) -> None:
    """End an order, also one that has not arrived."""
    at = _now(venue, at_ns, emit)
    venue.apply(f"order {client_order_id}", at)
    venue.apply(f"cancel {client_order_id}", at)


def settle(venue: SimulatedVenue, command: OperatorCommand, emit: Emit) -> None:
    """Let all arrive and be reported that a strategy has on its way when its window ends.

    Its cancels end their orders, and its exits that work at once close at the last price. What else is on its
    way stays there: the command cancels openings, and an exit that rests ends when its position is closed.
    """
    owner, at_ns = command.target, command.recv_ns
    if not _is_seam(venue, owner, at_ns):
        return
    at = _now(venue, at_ns, emit)
    there = [order for orders in venue.orders.values() for order in orders if order.owner == owner]
    sent = [order for order in venue.in_transit.values() if order.owner == owner]
    for order in (*there, *sent):
        if order.canceling:
            _end(venue, order.client_order_id, at_ns, emit)
    for order in there:
        if order.remaining and order.phase == WORKING and _closes(order.terms):
            _fill(venue, order, at)
    for order in sent:
        if order.client_order_id in venue.in_transit and order.phase == WORKING and _closes(order.terms):
            del venue.in_transit[order.client_order_id]
            close_at_seam(venue, order, at_ns, emit)
