"""The records of protection in the state of the order manager: stops, brackets and trailing stops.

Sizes and prices are exact integers at the instrument's scales. A snapshot stores these records as they are.
"""

from __future__ import annotations

from engine.actors.base import State
from engine.events.terms import CLOSE, OrderTerms
from engine.values import SELL, InstrumentId, Price, Size

__all__ = ["Bracket", "Stop", "Trail"]


class Stop(State):
    """A stop ("sl") or take-profit ("tp") of a book; a child of the bracket `parent` if that is set.

    `size` is what it protects at most: what it closes is taken off. `number` counts requests, so a lower one
    is older. `cap` is what it would protect of a book without end: its size, or its part of a bracket; `need`
    what it has to protect now, `engine` the part of that which the engine watches.
    `placing`: the request of an order at the venue is on its way. `asked`: the size of an exit that is
    requested and not answered yet. `placed_ns`: when it was last placed; `next_ns`: not placed again before;
    `fire_ns`: not fired again before. `refusals`: how often in a row the venue did not keep it. `missed`:
    what an order left that fired while the engine was down; `late`: why an order at the venue did not close
    what it should have. `final`: canceled after it fired, so that nothing follows what is under way.
    """

    owner: str
    instrument: InstrumentId
    handle: str
    side: int
    size: Size
    kind: str
    trigger_price: Price
    number: int
    limit: Price = 0
    group: str = ""
    reason: str = ""
    parent: str = ""
    cap: Size = 0
    need: Size = 0
    engine: Size = 0
    placing: bool = False
    asked: Size = 0
    placed_ns: int = 0
    next_ns: int = 0
    fire_ns: int = 0
    refusals: int = 0
    missed: Size = 0
    late: str = ""
    state: str = "waiting"
    final: bool = False
    shown: tuple[Size, Price, Price, str] = (0, 0, 0, "")

    @property
    def loss(self) -> bool:
        """Whether it is a stop-loss."""
        return self.kind == "sl"

    @property
    def purpose(self) -> str:
        """The purpose of its orders."""
        return "stop" if self.loss else "take"

    @property
    def falling(self) -> bool:
        """Whether the price has to fall to the trigger price."""
        return (self.side == SELL) == self.loss

    def terms(self, size: int, *, fired: bool = False) -> OrderTerms:
        """Return the order that closes a size. It waits for its trigger or, once `fired`, has none."""
        return OrderTerms(
            self.side,
            size,
            self.limit,
            role=CLOSE,
            purpose=self.purpose,
            trigger="" if fired else self.kind,
            trigger_price=0 if fired else self.trigger_price,
            group=self.group,
            handle=self.handle,
        )

    def reached(self, price: int) -> bool:
        """Return whether a price is at the trigger price or beyond."""
        return price <= self.trigger_price if self.falling else price >= self.trigger_price


class Bracket(State):
    """The children of one order: a stop-loss, take-profits or both.

    `order` is the client order id of the parent, "" until it is submitted. The children protect `filled` less
    `closed`: what the parent filled less what they closed. `ended`: the parent can no longer fill; `whole`:
    it was filled completely, so that orders attached to it are active.
    """

    owner: str
    instrument: InstrumentId
    side: int
    size: Size
    children: list[str]
    order: str = ""
    filled: Size = 0
    closed: Size = 0
    ended: bool = False
    whole: bool = False

    @property
    def left(self) -> int:
        """What the children have to protect."""
        return max(0, self.filled - self.closed)


class Trail(State):
    """A trailing stop of a book.

    `best` is 0 until a trade arms it; older trades than `seen_ns`, in the venue's time, do not count. `held`:
    the book has had a position for it. `placing`: the request of the stop that stands for it at the venue
    while the engine is stopped is on its way; after a refusal none is sent before `next_ns`.
    """

    side: int
    size: Size
    distance: Price
    number: int
    state: str = "waiting"
    best: Price = 0
    seen_ns: int = 0
    held: bool = False
    placing: bool = False
    next_ns: int = 0

    @property
    def stop(self) -> int:
        """The stop's price; 0 before it is armed, or if the distance is greater than the best price."""
        return max(0, self.best + self.side * self.distance) if self.best else 0

    def hit(self, price: int) -> bool:
        """Return whether a price is at the stop or beyond."""
        return price <= self.stop if self.side == SELL else price >= self.stop

    def follow(self, price: int) -> None:
        """Move the stop if a price is better than the best so far."""
        self.best = max(self.best, price) if self.side == SELL else min(self.best, price)
