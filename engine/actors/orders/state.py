"""The records in the state of the order manager: live orders, targets, exits that are owed, waiting parts.

Sizes and prices are exact integers at the instrument's scales. A snapshot stores these records as they are.
"""

from __future__ import annotations

from typing import Final

import msgspec

from engine.actors.base import State
from engine.events import OrderTerms
from engine.events.terms import CLOSE
from engine.values import InstrumentId, Price, Size

__all__ = ["ENGINE", "Live", "Owed", "Prices", "Target", "Turn", "Waiting"]

ENGINE: Final = "orders"
"""The name of the order manager in timers and events."""


class Prices(State):
    """What is known of the prices of one market; 0 for unknown.

    `last` is the last trade or close, `mark` the venue's, which is of `mark_ns`. The newest trade, quote or
    book was received at `seen_ns`; `venue_ns` is the venue's time of it.
    """

    last: Price = 0
    mark: Price = 0
    bid: Price = 0
    bid_size: Size = 0
    ask: Price = 0
    ask_size: Size = 0
    mark_ns: int = 0
    seen_ns: int = 0
    venue_ns: int = 0

    @property
    def any(self) -> int:
        """The best known single price: the mark, else the last, else a side of the quote; 0 for none."""
        return self.mark or self.last or self.bid or self.ask

    def best(self, side: int) -> int:
        """Return the price that an order of `side` would trade at: the opposite side of the quote."""
        return self.ask if side > 0 else self.bid


class Live(State):
    """An order that may still fill, from its approval to the evidence of its end.

    `left` is what it can still fill. `canceling`: its cancel has been requested. `modifying`: a change has,
    to an open size of `cut_to`. `fired`: its trigger price
    has been reached, so far as the venue has said. `why`: the venue's reason for its end. `venue_order_id`,
    `by_number` and the last fields are as in `engine/actors/order.py`. `read_limit` is that of the newest
    reading since a change was sent.
    """

    owner: str
    instrument: InstrumentId
    terms: OrderTerms
    left: Size
    request_seq: int
    state: str = "PendingNew"
    canceling: bool = False
    modifying: bool = False
    cut_to: Size = 0
    fired: bool = False
    why: str = ""
    venue_order_id: int = 0
    by_number: dict[int, Size] = msgspec.field(default_factory=dict)
    read_limit: Price = 0
    proof_ns: int = 0
    changed_from: int = 0
    changes: int = 0

    @property
    def kept(self) -> int:
        """What it can fill once the requested change is carried out."""
        return min(self.left, self.cut_to) if self.modifying else self.left

    @property
    def exits(self) -> bool:
        """Whether the order closes."""
        return self.terms.role == CLOSE

    @property
    def waiting(self) -> bool:
        """Whether the order waits for its trigger price: it cannot fill yet."""
        return bool(self.terms.trigger) and not self.fired

    @property
    def resting(self) -> bool:
        """Whether the order can rest in the book."""
        return not self.waiting and not self.terms.market and self.terms.tif != "Ioc"

    @property
    def immediate(self) -> bool:
        """Whether the order fills at once or ends."""
        return not self.waiting and not self.resting


class Target(State):
    """The position that a strategy wants in a market.

    `wanted` None: no target. `order` is the client order id of its live order; `requested`: its request is on
    the way, `judged`: and can no longer be replaced. `tries` counts attempts since the last progress;
    `next_ns` is when the next is due, `closing`: it is an exit. `blocked`: what it waits for is an event, not
    a time. `given` is the strategy's reason. `refused_ns`: since when openings wait for a condition that time
    may not mend.
    """

    wanted: Size | None = None
    state: str = "none"
    reason: str = ""
    requested: bool = False
    judged: bool = False
    order: str = ""
    tries: int = 0
    next_ns: int = 0
    closing: bool = False
    blocked: bool = False
    refused_ns: int = 0
    since_ns: int = 0
    reported_ns: int = 0
    given: str = ""
    shown: tuple[Size | None, str, str] = (None, "none", "")


class Owed(State):
    """A protective exit that is owed until the size is closed or the book is flat.

    `left` is the size still to close; `order` the client order id of its live order, "" between tries.
    """

    owner: str
    instrument: InstrumentId
    purpose: str
    left: Size
    handle: str
    reason: str
    since_ns: int
    order: str = ""
    requested: bool = False
    tries: int = 0
    next_ns: int = 0
    reported_ns: int = 0


class Turn(State):
    """The part of an own order that opens, which waits until the part that closes is wholly filled."""

    owner: str
    instrument: InstrumentId
    terms: OrderTerms
    reason: str
    children: tuple[tuple[str, Price, Size], ...]
    request_seq: int
    closes: Size


class Waiting(State):
    """An own exit that waits for evidence that the orders it takes its size from have ended.

    `unpriced`: it waits for the first price of its market.
    """

    owner: str
    instrument: InstrumentId
    terms: OrderTerms
    reason: str
    request_seq: int
    unpriced: bool = False
