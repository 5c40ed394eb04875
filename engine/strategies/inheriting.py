"""Gives a strategy that begins without its state what the engine still holds for it.

Its book, its orders and its stops outlive its state: the books and the order manager keep them, and a
strategy reads copies. Owns how the copies are made from the actors that decide. Called by the registry.
"""

from __future__ import annotations

from collections.abc import Iterable

from engine.actors import Actor, Books, OrderManager
from engine.actors.books.book import Book
from engine.actors.orders.protection_state import Stop
from engine.actors.orders.state import Live
from engine.events.terms import CLOSE
from engine.strategies.account_views import OwnOrder
from engine.strategies.own import Aim, Holding, Own

__all__ = ["inherit"]


def inherit(own: Own, name: str, actors: Iterable[Actor]) -> None:
    """Set a strategy's copies to what the other actors hold for it: positions, orders, stops, targets."""
    for actor in actors:
        if isinstance(actor, Books):
            own.holdings = {
                instrument: Holding(Book(book.size, book.cost), actor.scale)
                for instrument, owner, book in actor.all_books()
                if owner == name and book.size
            }
        elif isinstance(actor, OrderManager):
            own.stops = {
                handle: _stop(stop)
                for stops in actor.stops.values()
                for handle, stop in stops.items()
                if stop.owner == name
            }
            own.live = {key: _order(key, live) for key, live in actor.live.items() if live.owner == name}
            own.aims = {
                instrument: Aim(targets[name].wanted, targets[name].state, targets[name].given)
                for instrument, targets in actor.aims.items()
                if name in targets
            }


def _order(client_order_id: str, live: Live) -> OwnOrder:
    terms = live.terms
    return OwnOrder(
        live.instrument,
        terms.side,
        terms.size,
        live.left,
        terms.limit,
        terms.trigger,
        terms.trigger_price,
        terms.handle,
        terms.role,
        terms.purpose,
        live.state,
        name=client_order_id,
        filled=max(0, terms.size - live.left),
    )


def _stop(stop: Stop) -> OwnOrder:
    return OwnOrder(
        stop.instrument,
        stop.side,
        stop.size,
        stop.size,
        stop.limit,
        stop.kind,
        stop.trigger_price,
        stop.handle,
        CLOSE,
        stop.purpose,
        "Waiting",
        stop.reason,
    )
