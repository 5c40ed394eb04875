"""What a session leaves: open books and what protects each, exits that are owed, orders that have not ended.

Reads the order manager's state, changes nothing. Called by the live session at its stop and when it fails.
"""

from __future__ import annotations

import msgspec

from engine.actors import OrderManager
from engine.actors.orders.state import Live
from engine.events import InstrumentListed
from engine.events.terms import PROTECTIVE
from engine.instruments import Instruments
from engine.values import format_scaled

__all__ = ["NOTHING", "OpenBook", "exits_owed", "open_books", "unsettled"]

NOTHING = "NOTHING"


class OpenBook(msgspec.Struct, frozen=True):
    """A position that a session leaves. `size` is signed; `protected_by` is empty if nothing protects it.

    `ended` are the stops that the engine held and that ended with it. `venue` is that of the market where the
    journal has several, else "".
    """

    market: str
    owner: str
    size: str
    protected_by: list[str]
    ended: list[str] = []
    venue: str = ""

    def __str__(self) -> str:
        protection = "; ".join(self.protected_by) or NOTHING
        ended = f"; ended with the engine: {', '.join(self.ended)}" if self.ended else ""
        named = not self.venue or self.market.startswith(f"{self.venue}:")
        market = self.market if named else f"{self.market} at {self.venue}"
        return f"{market} {self.owner} {self.size}, protected by {protection}{ended}"


def open_books(manager: OrderManager, instruments: Instruments) -> list[OpenBook]:
    """Return the books that are not flat, by market and owner."""
    found = []
    for number, books in sorted(manager.books.items()):
        listed = instruments[number]
        for owner, size in books.items():
            if size:
                text = format_scaled(size, listed.size_scale)
                protection = _protection(manager, listed, owner)
                label, ended = instruments.label(number), _ended(manager, listed, owner)
                venue = instruments.shown_venue(number)
                found.append(OpenBook(label, owner, text, protection, ended, venue))
    return found


def exits_owed(manager: OrderManager, instruments: Instruments) -> list[str]:
    """Return the exits that are not done: protective ones, and what targets still have to close."""
    found = []
    known = {owed.order for owed in manager.owed.values()}
    for name, order in manager.live.items():
        if order.immediate and order.exits and order.terms.purpose in PROTECTIVE and name not in known:
            listed = instruments[order.instrument]
            left = f"{_size(listed, order.left)} {instruments.label(order.instrument)}"
            found.append(f"{left} of {order.owner}: its {order.terms.purpose} has fired and works ({name})")
    for owed in manager.owed.values():
        if owed.left > 0:
            listed = instruments[owed.instrument]
            why = owed.reason or owed.purpose
            left = f"{_size(listed, owed.left)} {instruments.label(owed.instrument)}"
            found.append(f"{left} of {owed.owner}: {why}, {owed.tries} tries")
    for number, targets in sorted(manager.aims.items()):
        for owner, target in targets.items():
            left_steps = _closing(manager.book(owner, number), target.wanted)
            if left_steps:
                left = f"{_size(instruments[number], left_steps)} {instruments.label(number)}"
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
            what = "a trailing stop" if terms.purpose == "trail" else "a stop"
            where = "at the venue" if manager.real else "on paper"
            size, price = _size(listed, order.left), _price(listed, terms.trigger_price)
            found.append(f"{what} of {size} at {price} {where} ({name})")
    return found


def _ended(manager: OrderManager, listed: InstrumentListed, owner: str) -> list[str]:
    """Return the stop-losses of a book that only the engine watches."""
    found = [
        f"a stop of {_size(listed, stop.engine)} at {_price(listed, stop.trigger_price)}"
        for stop in manager.stops.get(listed.instrument, {}).values()
        if stop.owner == owner and stop.loss and stop.engine > 0
    ]
    trail = manager.trails.get(listed.instrument, {}).get(owner)
    if trail is not None and trail.held and trail.state in ("armed", "firing"):
        found.append(f"a trailing stop of {_size(listed, trail.size)} at {_price(listed, trail.stop)}")
    return found


def _closing(held: int, wanted: int | None) -> int:
    """Return how much of a position a target has to close."""
    if wanted is None or not held:
        return 0
    kept = max(0, min(held, wanted)) if held > 0 else min(0, max(held, wanted))
    return abs(held - kept)


def _size(listed: InstrumentListed, steps: int) -> str:
    return format_scaled(steps, listed.size_scale)


def _price(listed: InstrumentListed, price: int) -> str:
    return format_scaled(price, listed.price_scale)
