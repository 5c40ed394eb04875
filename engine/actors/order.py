"""An order in its life cycle at the venue, as the execution actor keeps it.

Owns also what follows from the numbers that a real order has at the venue. A change gives it another one, a
higher one, and reports race: a fill may come after the report of the change that followed it, or before that
of the change that it followed.
"""

from __future__ import annotations

from typing import Protocol

import msgspec

from engine.actors.base import State
from engine.events import ModifyOrder
from engine.values import InstrumentId, Price, Size

__all__ = ["Order", "filled_ahead", "is_decided", "is_replaced", "note_sent"]


class Numbered(Protocol):
    """An order with its newest number, and what was filled by number since a change was sent for it.

    `changes` are those on their way, `changed_from` is the number when the newest was sent, and `proof_ns` is
    that of the newest (`ModifyOrder`).
    """

    venue_order_id: int
    by_number: dict[int, Size]
    proof_ns: int
    changed_from: int
    changes: int


def note_sent(order: Numbered, command: ModifyOrder) -> None:
    """Note that a change is on its way."""
    if command.proof_ns:
        order.proof_ns, order.changed_from = command.proof_ns, command.venue_order_id
        order.changes += 1


def is_decided(order: Numbered) -> bool:
    """Take the answer to a change; return whether no other is on its way."""
    order.changes = max(0, order.changes - 1)
    return not order.changes


def is_replaced(order: Numbered, number: int, size: int) -> bool:
    """Count an execution; return whether what it filled is an order that a change has replaced."""
    if number:
        order.by_number[number] = order.by_number.get(number, 0) + size
    return 0 < number < order.venue_order_id


def filled_ahead(order: Numbered, number: int) -> int:
    """Take the number of a change; return how much of the changed order was reported as filled before."""
    before = order.changed_from if order.proof_ns else order.venue_order_id
    ahead = order.by_number.get(number, 0) if number > before else 0
    order.venue_order_id = max(order.venue_order_id, number)
    return ahead


class Order(State):
    """An order. `state` follows FIX. `size` is the filled and the open size together, at the size scale.

    `canceling` is the reason of a cancel, `modifying` the new limit price of a change, that was requested and
    is not confirmed yet. `trigger` and `parent` are as in its terms. `filled_at_end`: the venue
    has ended the order, and this much of it is filled; 0 before. `filled_ns`: the venue's time of the first
    answer that called it filled while a part was not. `by_number`: see `Numbered`. `margin_ns`: how long
    after its expiry it still counts as on its way; 0 for the margin of openings. `changing` is the open size
    that the newest change asks for. `proof_ns`, `changed_from`, `changes`: see `Numbered`.
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
    changing: Size = 0
    proof_ns: int = 0
    changed_from: int = 0
    changes: int = 0

    @property
    def may_grow(self) -> bool:
        """Whether a change that was sent may leave the order open when what was open before is filled."""
        return bool(self.modifying and self.proof_ns) and self.changing > self.size - self.filled

    @property
    def working_state(self) -> str:
        """The state of the order while the venue works it."""
        if self.canceling:
            return "PendingCancel"
        if self.modifying:
            return "PendingReplace"
        return "PartiallyFilled" if self.filled else "New"
