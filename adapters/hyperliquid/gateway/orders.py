"""The gateway's memory of orders, which puts reports in order although answers and streams race.

Owns bounded memories: which fills, payments and transfers were reported; how much of each order is reported
as filled, so that an order's end follows its fills; which ends were reported; and the venue id under which a
modified order continues, so that the end of its old id is not taken for its own. Venue ids are the venue's
numbers of orders, sizes exact integers.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from engine.events import (
    Event,
    FundingPaid,
    ModifyOrder,
    OrderCanceled,
    OrderFilled,
    OrderRead,
    TransferSeen,
)

__all__ = ["Orders", "Waiting"]

MEMORY_MAX: Final = 20_000
"""Entries of each memory; the venue itself keeps 10,000 fills."""

_HOUR_NS: Final = 3_600_000_000_000
_ABSENT: Final = object()


class Waiting(msgspec.Struct):
    """An order of which `executed` must be reported as filled before its `end`. `since` is trio's clock."""

    executed: int
    since: float
    end: Event | None


class Orders:
    """Memories by venue id and client id; the oldest entries are dropped first."""

    def __init__(self) -> None:
        self._reported: dict[tuple[int, int], object] = {}
        self._paid: dict[tuple[int, int], None] = {}
        self._moved: dict[str, None] = {}
        self._filled: dict[int, int] = {}
        self._ended: dict[int, None] = {}
        self._legs: dict[str, int] = {}
        self._modifying: dict[str, dict[int, OrderCanceled]] = {}
        self._sent: dict[
            str, tuple[int, int]
        ] = {}  # the number before the newest modification, and its proof
        self._waiting: dict[int, Waiting] = {}

    # Fills, payments and transfers.

    def first_payment(self, paid: FundingPaid) -> bool:
        """Return whether a payment is new, and remember it: there is one an hour."""
        key = (paid.instrument, paid.venue_ns // _HOUR_NS)
        if key in self._paid:
            return False
        _keep(self._paid, key, None)
        return True

    def first_transfer(self, moved: TransferSeen) -> bool:
        """Return whether a transfer is new, and remember it."""
        if moved.transfer_id in self._moved:
            return False
        _keep(self._moved, moved.transfer_id, None)
        return True

    def first(self, fill: OrderFilled) -> bool:
        """Return whether an execution is new, and remember it."""
        key = (int(fill.trade_id), fill.venue_order_id)
        if key in self._reported:
            return False
        _keep(self._reported, key, None)
        _keep(self._filled, fill.venue_order_id, self._filled.get(fill.venue_order_id, 0) + fill.size)
        return True

    def discard(self, event: OrderFilled | FundingPaid | TransferSeen) -> None:
        """Remove an event that could not be sent."""
        if isinstance(event, TransferSeen):
            self._moved.pop(event.transfer_id, None)
        elif isinstance(event, FundingPaid):
            self._paid.pop((event.instrument, event.venue_ns // _HOUR_NS), None)
        elif self._reported.pop((int(event.trade_id), event.venue_order_id), _ABSENT) is not _ABSENT:
            self._filled[event.venue_order_id] = self._filled.get(event.venue_order_id, 0) - event.size

    def missing(self, oid: int, executed: int) -> bool:
        """Return whether executions of an order are still to be reported."""
        return self._filled.get(oid, 0) < executed

    def filled(self, oid: int, further: list[OrderFilled]) -> int:
        """Return how much of an order is reported as filled once `further` fills are."""
        more = {
            (int(one.trade_id), oid): one.size
            for one in further
            if one.venue_order_id == oid and (int(one.trade_id), oid) not in self._reported
        }
        return self._filled.get(oid, 0) + sum(more.values())

    # Ends.

    def end(self, oid: int, end: Event) -> list[Event]:
        """Return an order's end to report, if it was not reported before."""
        if oid in self._ended:
            return []
        _keep(self._ended, oid, None)
        return [end]

    def ended(self, oid: int) -> bool:
        """Return whether the end of an order was reported, or waits for its fills."""
        return oid in self._ended or oid in self._waiting

    def await_fills(self, oid: int, executed: int, since: float, end: Event | None = None) -> list[Event]:
        """Hold `end` until so much of an order is reported as filled; return it at once if it already is."""
        if self.missing(oid, executed):
            waiting = self._waiting.get(oid)
            kept = end if end is not None or waiting is None else waiting.end
            _keep(self._waiting, oid, Waiting(executed, since, kept))
            return []
        return [] if end is None else self.end(oid, end)

    def due(self, oid: int) -> list[Event]:
        """Return the end that waited for an order's last fill, if that was it."""
        waiting = self._waiting.get(oid)
        if waiting is None or self.missing(oid, waiting.executed):
            return []
        return self.give_up(oid)

    def late(self, before: float) -> list[int]:
        """Return the orders that have waited for their fills since before a time."""
        return [oid for oid, waiting in self._waiting.items() if waiting.since <= before]

    def give_up(self, oid: int) -> list[Event]:
        """Stop waiting for fills; return the end that was held back."""
        waiting = self._waiting.pop(oid, None)
        return [] if waiting is None or waiting.end is None else self.end(oid, waiting.end)

    # Modifications. The end of the old leg comes before or after the answer, and names the same client id.

    def modify(self, command: ModifyOrder) -> None:
        """A modification is sent: hold ends of this order back until it is known which leg they are of."""
        _keep(self._modifying, command.client_order_id, {})
        _keep(self._sent, command.client_order_id, (command.venue_order_id, command.proof_ns))

    def hold(self, client_order_id: str, oid: int, end: OrderCanceled) -> bool:
        """Hold an end back; return False for an order that is not being modified."""
        held = self._modifying.get(client_order_id)
        if held is None:
            return False
        held[oid] = end
        return True

    def continue_as(self, client_order_id: str, oid: int) -> list[Event]:
        """Set the order's current number; return the end held back for that number."""
        _keep(self._legs, client_order_id, oid)
        held = self._modifying.pop(client_order_id, {})
        return self.end(oid, held[oid]) if oid in held else []

    def unmodified(self, client_order_id: str) -> list[Event]:
        """The modification was refused: return the end that was held back."""
        held = self._modifying.pop(client_order_id, {})
        return [one for oid, end in held.items() for one in self.end(oid, end)]

    def is_refused_change(self, client_order_id: str, oid: int) -> bool:
        """Return whether a number that the venue rejects is that of a modification, not of the order."""
        number, _ = self._sent.get(client_order_id, (0, 0))
        return 0 < number < oid and self._legs.get(client_order_id) != oid

    def is_settled_by(self, read: OrderRead) -> bool:
        """Return whether a reading shows under which number an order continues, which was not known."""
        name = read.client_order_id
        known = read.venue_order_id and name in self._modifying
        return bool(known) and not read.leaves_open(*self._sent[name])

    def modified(self, client_order_id: str) -> bool:
        """Return whether an order has, or may have, more than one number."""
        return client_order_id in self._modifying or client_order_id in self._legs

    def is_old_leg(self, client_order_id: str, oid: int) -> bool:
        """Return whether a venue id is one that a modified order no longer has."""
        return self._legs.get(client_order_id, oid) != oid


def _keep(memory: dict[Any, Any], key: object, value: object) -> None:
    memory[key] = value
    if len(memory) > MEMORY_MAX:
        del memory[next(iter(memory))]
