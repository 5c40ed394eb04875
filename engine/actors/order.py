"""An order in its life cycle at the venue, as the execution actor keeps it.

Owns also what follows from the numbers that a real order has at the venue. A change gives it another one, a
higher one, and reports race: a fill may come after the report of the change that followed it, or before that
of the change that it followed.
"""

from __future__ import annotations

from typing import Protocol

import msgspec

from engine.actors.base import State
from engine.values import InstrumentId, Price, Size

__all__ = ["Order", "filled_ahead", "is_replaced"]


class Numbered(Protocol):
    """An order with its newest number, and what was filled by number since a change was sent for it."""

    venue_order_id: int
    by_number: dict[int, Size]


def is_replaced(order: Numbered, number: int, size: int) -> bool:
    """Count an execution; return whether what it filled is an order that a change has replaced."""
    if number:
        order.by_number[number] = order.by_number.get(number, 0) + size
    return 0 < number < order.venue_order_id


def filled_ahead(order: Numbered, number: int) -> int:
    """Take the number of a change; return how much of the changed order was reported as filled before."""
    ahead = order.by_number.get(number, 0) if number > order.venue_order_id else 0
    order.venue_order_id = max(order.venue_order_id, number)
    return ahead


class Order(State):
    """An order. `state` follows FIX. `size` is the filled and the open size together, at the size scale.

    `canceling` is the reason of a cancel, `modifying` the new limit price of a change, that was requested and
    is not confirmed yet. `trigger` and `parent` are as in its terms. `filled_at_end`: the venue
    has ended the order, and this much of it is filled; 0 before. `filled_ns`: the venue's time of the first
    answer that called it filled while a part was not. `by_number`: see `Numbered`. `margin_ns`: how long
    after its expiry it still counts as on its way; 0 for the margin of openings.
    """

    strategy: str
    instrument: InstrumentId
    side: int
    size: Size
    limit_price: Price
    tif: str
    reduce_only: bool
    expires_ns: int = 0
    state: str = "PendingNew"
    filled: Size = 0
    venue_order_id: int = 0
    canceling: str = ""
    modifying: Price = 0
    queries: int = 0
    role: str = ""
    trigger: str = ""
    parent: str = ""
    filled_at_end: Size = 0
    filled_ns: int = 0
    by_number: dict[int, Size] = msgspec.field(default_factory=dict)
    margin_ns: int = 0

    @property
    def working_state(self) -> str:
        """The state of the order while the venue works it."""
        if self.canceling:
            return "PendingCancel"
        if self.modifying:
            return "PendingReplace"
        return "PartiallyFilled" if self.filled else "New"
