"""A gateway's memory of orders, which puts reports in order although answers and the stream race.

Owns bounded memories: which fills, payments and transfers were reported; how much of each own order is
reported as filled, so that its end follows its fills; which ends were reported; which client id an order's
number belongs to; and price and size of orders. A number is (instrument, number), since a venue may number
the orders of each market apart. Sizes are exact integers. What only one venue needs is in a subclass of its
gateway.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from engine.events import Event, FundingPaid, OrderFilled, TransferSeen

__all__ = ["Reports", "Waiting", "keep"]

MEMORY_MAX: Final = 20_000
"""Entries of each memory."""

_ABSENT: Final = object()

Number = tuple[int, int]


class Waiting(msgspec.Struct):
    """An order of which `executed` must be reported as filled before its `end`. `since` is trio's clock."""

    executed: int
    since: float
    end: Event | None


class Reports:
    """Memories; the oldest entries are dropped first. `name` is a client order id."""

    def __init__(self) -> None:
        self._reported: dict[tuple[int, int, int], object] = {}
        self._money: dict[str, object] = {}
        self._filled: dict[str, int] = {}
        self._ended: dict[str, None] = {}
        self._waiting: dict[str, Waiting] = {}
        self._names: dict[Number, str] = {}
        self._numbers: dict[str, int] = {}
        self._shapes: dict[str, tuple[int, int]] = {}  # limit price and whole size

    # Numbers.

    def note_number(self, instrument: int, number: int, name: str) -> None:
        """Note whose number it is; `name` is the client id that the venue shows, ours or not."""
        if number:
            keep(self._names, (instrument, number), name)
            keep(self._numbers, name, max(number, self._numbers.get(name, 0)))

    def name_of(self, instrument: int, number: int) -> str | None:
        """Return the client id of an order's number, None if it is not known yet."""
        return self._names.get((instrument, number))

    def number_of(self, name: str) -> int:
        """Return the newest known number of an order, 0 for none."""
        return self._numbers.get(name, 0)

    def note_shape(self, name: str, price: int, size: int) -> None:
        """Note the limit price and the whole size of an order, what is filled included."""
        keep(self._shapes, name, (price, size))

    def shape(self, name: str) -> tuple[int, int]:
        """Return the limit price and the whole size of an order, (0, 0) if they are not known."""
        return self._shapes.get(name, (0, 0))

    # Fills, payments and transfers.

    def first(self, fill: OrderFilled) -> bool:
        """Return whether an execution is new, and remember it."""
        key = (fill.instrument, fill.trade_id, int(fill.side))
        if key in self._reported:
            return False
        keep(self._reported, key, None)
        if fill.client_order_id:
            self.note_filled(fill.client_order_id, self.filled(fill.client_order_id) + fill.size)
        return True

    def first_payment(self, paid: FundingPaid) -> bool:
        """Return whether a payment is new, and remember it."""
        return self._first_money(f"funding {paid.instrument} {paid.venue_ns}")

    def first_transfer(self, moved: TransferSeen) -> bool:
        """Return whether a transfer is new, and remember it."""
        return self._first_money(f"transfer {moved.transfer_id}")

    def discard(self, event: OrderFilled | FundingPaid | TransferSeen) -> None:
        """Remove an event that could not be sent."""
        if isinstance(event, TransferSeen):
            self._money.pop(f"transfer {event.transfer_id}", None)
        elif isinstance(event, FundingPaid):
            self._money.pop(f"funding {event.instrument} {event.venue_ns}", None)
        else:
            key = (event.instrument, event.trade_id, int(event.side))
            if self._reported.pop(key, _ABSENT) is not _ABSENT and event.client_order_id:
                name = event.client_order_id
                self.note_filled(name, self.filled(name) - event.size)

    def filled(self, name: str) -> int:
        """Return how much of an order is reported as filled."""
        return self._filled.get(name, 0)

    def filled_with(self, name: str, further: list[OrderFilled]) -> int:
        """Return how much of an order is reported as filled once `further` fills are."""
        more = {
            (one.instrument, one.trade_id, int(one.side)): one.size
            for one in further
            if one.client_order_id == name
        }
        return self.filled(name) + sum(size for key, size in more.items() if key not in self._reported)

    def note_filled(self, name: str, executed: int) -> None:
        """Note that so much of an order is known to the engine, also from before this process."""
        keep(self._filled, name, executed)

    # Ends.

    def end(self, name: str, end: Event) -> list[Event]:
        """Return an order's end to report, if it was not reported before."""
        if name in self._ended:
            return []
        keep(self._ended, name, None)
        return [end]

    def ended(self, name: str) -> bool:
        """Return whether the end of an order was reported, or waits for its fills."""
        return name in self._ended or name in self._waiting

    def await_fills(self, name: str, executed: int, since: float, end: Event | None = None) -> list[Event]:
        """Hold `end` until so much of an order is reported as filled; return it at once if it already is."""
        if self.filled(name) < executed:
            waiting = self._waiting.get(name)
            kept = end if end is not None or waiting is None else waiting.end
            keep(self._waiting, name, Waiting(executed, since, kept))
            return []
        return [] if end is None else self.end(name, end)

    def due(self, name: str) -> list[Event]:
        """Return the end that waited for an order's last fill, if that was it."""
        waiting = self._waiting.get(name)
        if waiting is None or self.filled(name) < waiting.executed:
            return []
        return self.give_up(name)

    def late(self, before: float) -> list[str]:
        """Return the orders that have waited for their fills since before a time."""
        return [name for name, waiting in self._waiting.items() if waiting.since <= before]

    def give_up(self, name: str) -> list[Event]:
        """Stop waiting for fills; return the end that was held back."""
        waiting = self._waiting.pop(name, None)
        return [] if waiting is None or waiting.end is None else self.end(name, waiting.end)

    def _first_money(self, key: str) -> bool:
        if key in self._money:
            return False
        keep(self._money, key, None)
        return True


def keep(memory: dict[Any, Any], key: object, value: object) -> None:
    """Set an entry of a memory, and drop its oldest one beyond the bound."""
    memory[key] = value
    if len(memory) > MEMORY_MAX:
        del memory[next(iter(memory))]
