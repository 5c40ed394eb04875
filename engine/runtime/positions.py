"""What a session leaves: open books and what protects each, exits that are owed, orders that have not ended.

Reads the order manager's state, changes nothing. Called by the live session at its stop and when it fails.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from engine.actors import OrderManager
from engine.actors.orders.state import Live
from engine.events import InstrumentListed
from engine.values import format_scaled

__all__ = ["NOTHING", "OpenBook", "exits_owed", "open_books", "unsettled"]

NOTHING = "NOTHING"


class OpenBook(msgspec.Struct, frozen=True):
    """A position that a session leaves. `size` is signed; `protected_by` is empty if nothing protects it."""

    market: str
    owner: str
    size: str
    protected_by: list[str]

    def __str__(self) -> str:
        protection = "; ".join(self.protected_by) or NOTHING
        return f"{self.market} {self.owner} {self.size}, protected by {protection}"


def open_books(manager: OrderManager, instruments: Mapping[int, InstrumentListed]) -> list[OpenBook]:
    """Return the books that are not flat, by market and owner."""
    found = []
    for number, books in sorted(manager.books.items()):
        listed = instruments[number]
        for owner, size in books.items():
            if size:
                text = format_scaled(size, listed.size_scale)
                protection = _protection(manager, listed, owner)
                found.append(OpenBook(listed.name, owner, text, protection))
    return found


def exits_owed(manager: OrderManager, instruments: Mapping[int, InstrumentListed]) -> list[str]:
    """Return the exits that are not done: protective ones, and what targets still have to close."""
    found = []
    for owed in manager.owed.values():
        if owed.left > 0:
            left = _size(instruments[owed.instrument], owed.left)
            why = owed.reason or owed.purpose
            found.append(f"{left} of {owed.owner}: {why}, {owed.tries} tries")
    for number, targets in sorted(manager.aims.items()):
        for owner, target in targets.items():
            left_steps = _closing(manager.book(owner, number), target.wanted)
            if left_steps:
                left = _size(instruments[number], left_steps)
                found.append(f"{left} of {owner}: its target, {target.reason or target.state}")
    return found


def unsettled(manager: OrderManager) -> list[str]:
    """Return the client order ids of live orders that may not stay when a session ends.

    An exit that rests or waits for its price may stay; one on its way, and one that is not known, may not.
    """
    return [name for name, order in manager.live.items() if not _stays(order)]


def _stays(order: Live) -> bool:
    return order.exits and not order.immediate and order.state in ("New", "PartiallyFilled")


def _protection(manager: OrderManager, listed: InstrumentListed, owner: str) -> list[str]:
    """Return the stop-losses of a book that work after the session has ended."""
    found = []
    for name, order in manager.live.items():
        terms = order.terms
        if (order.owner, order.instrument, terms.trigger) == (owner, listed.instrument, "sl") and order.exits:
            price = format_scaled(terms.trigger_price, listed.price_scale)
            size = format_scaled(order.left, listed.size_scale)
            what = "trailing stop" if terms.purpose == "trail" else "stop"
            where = "at the venue" if manager.real else "on paper"
            found.append(f"{what} of {size} at {price} {where} ({name})")
    return found


def _closing(held: int, wanted: int | None) -> int:
    """Return how much of a position a target has to close."""
    if wanted is None or not held:
        return 0
    kept = max(0, min(held, wanted)) if held > 0 else min(0, max(held, wanted))
    return abs(held - kept)


def _size(listed: InstrumentListed, steps: int) -> str:
    return f"{format_scaled(steps, listed.size_scale)} {listed.name}"
