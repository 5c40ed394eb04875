"""What the gateway remembers of orders while answers and streams race: so that things are told in order.

Owns three short memories, all bounded: which fills were told; how much of each order is told as filled, so
that an order's end is told after its fills; and under which venue id a modified order goes on, so that the
end of its old leg is not taken for its own.
"""

from __future__ import annotations

from typing import Final

import msgspec

from engine.events import Event, OrderCanceled, OrderFilled

__all__ = ["Orders", "Waiting"]

MEMORY_MAX: Final = 20_000


class Waiting(msgspec.Struct):
    """An end that is told once so much of an order is told as filled. `since` is trio's clock."""

    executed: int
    since: float
    end: Event | None


class Orders:
    """Memories by venue order id and client id; the oldest go first."""

    def __init__(self) -> None:
        self._told: dict[tuple[int, int], None] = {}
        self._filled: dict[int, int] = {}
        self._legs: dict[str, int] = {}
        self.modifying: dict[str, list[OrderCanceled]] = {}
        self.waiting: dict[int, Waiting] = {}

    def first(self, fill: OrderFilled) -> bool:
        """Return whether an execution is told for the first time, and remember it."""
        key = (int(fill.trade_id), fill.venue_order_id)
        if key in self._told:
            return False
        self._told[key] = None
        self._filled[fill.venue_order_id] = self._filled.get(fill.venue_order_id, 0) + fill.size
        for memory in (self._told, self._filled):
            if len(memory) > MEMORY_MAX:
                del memory[next(iter(memory))]  # type: ignore[arg-type]
        return True

    def missing(self, oid: int, executed: int) -> bool:
        """Return whether executions of an order are still to be told."""
        return self._filled.get(oid, 0) < executed

    def due(self, oid: int) -> Event | None:
        """Return the end that waited for an order's last fill, if that was it."""
        waiting = self.waiting.get(oid)
        if waiting is None or self.missing(oid, waiting.executed):
            return None
        del self.waiting[oid]
        return waiting.end

    def modified(self, client_order_id: str, oid: int) -> None:
        """From here on the order is this one."""
        self._legs[client_order_id] = oid
        if len(self._legs) > MEMORY_MAX:
            del self._legs[next(iter(self._legs))]

    def is_old_leg(self, client_order_id: str, oid: int) -> bool:
        """Return whether a venue id is one that a modified order no longer has."""
        return self._legs.get(client_order_id, oid) != oid
