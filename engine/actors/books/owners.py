"""Whose an order is: live orders, and ended ones for as long as a late fill may come.

Owns the memory of orders by client order id and the judgement whether an execution is new. Promises: the
owner of a live order is always known; with real orders that of an ended one for seven days, and of the last
10,000 always. The simulated venue reports nothing late, so on paper the last few are enough.
Called by `Books`, and by the gateway's account through `knows`.
"""

from __future__ import annotations

from typing import Final

import msgspec

from engine.actors.base import State
from engine.clock import DAY_NS
from engine.events import OrderFilled, SubmitOrder

__all__ = ["KEPT_MIN", "KEPT_NS", "Executions", "Owned", "Owners"]

KEPT_NS: Final = 7 * DAY_NS
KEPT_MIN: Final = 10_000
"""An ended real order is forgotten once it is older than `KEPT_NS` and this many ended after it.

Of real executions at least this many are remembered, at most twice as many.
"""

SESSIONS_MAX: Final = 10_000


class Owned(State):
    """Whose an order is and what it is for, as in its terms. `changed`: a change was sent for it."""

    owner: str
    role: str
    purpose: str
    handle: str
    ended_ns: int = 0
    changed: bool = False


class Owners(State):
    """Orders by client order id: those that may still fill, and ended ones in order of their end."""

    live: dict[str, Owned] = msgspec.field(default_factory=dict)
    ended: dict[str, Owned] = msgspec.field(default_factory=dict)
    sessions: dict[str, None] = msgspec.field(default_factory=dict)

    def begin(self, session: str) -> None:
        """Note a session of this journal: its id begins the ids of its orders."""
        self.sessions[session] = None
        if len(self.sessions) > SESSIONS_MAX:
            del self.sessions[next(iter(self.sessions))]

    def submitted(self, order: SubmitOrder) -> None:
        """Note an order."""
        terms = order.terms
        self.live[order.client_order_id] = Owned(order.strategy, terms.role, terms.purpose, terms.handle)

    def note_end(self, client_order_id: str, at_ns: int, *, kept: int, kept_ns: int) -> None:
        """Note that an order ended; forget those that ended `kept_ns` earlier, but not the last `kept`."""
        owned = self.live.pop(client_order_id, None)
        if owned is None:
            return
        owned.ended_ns = at_ns
        self.ended[client_order_id] = owned
        while len(self.ended) > kept:
            oldest = next(iter(self.ended))
            if self.ended[oldest].ended_ns > at_ns - kept_ns:
                return
            del self.ended[oldest]

    def of(self, client_order_id: str) -> Owned | None:
        """Return whose an order is, None if it is not remembered."""
        return self.live.get(client_order_id) or self.ended.get(client_order_id)

    def knows(self, client_order_id: str) -> bool:
        """Return whether an order was sent by this journal, even if its owner is forgotten."""
        return client_order_id[2:18] in self.sessions or self.of(client_order_id) is not None


class Executions(State):
    """The latest executions, so that one the venue reports twice is booked once."""

    newer: dict[str, None] = msgspec.field(default_factory=dict)
    older: dict[str, None] = msgspec.field(default_factory=dict)

    def first(self, fill: OrderFilled, kept: int) -> bool:
        """Return whether an execution is new, and remember it. One without an id is always new."""
        return not fill.trade_id or self.first_of(f"{fill.instrument} {fill.trade_id} {fill.side}", kept)

    def first_of(self, key: str, kept: int) -> bool:
        """Return whether a key is new, and remember it; of the earlier ones at least `kept`."""
        if key in self.newer or key in self.older:
            return False
        self.newer[key] = None
        if len(self.newer) >= kept:
            self.older, self.newer = self.newer, {}
        return True
