"""The gateway's memory of orders, which puts reports in order although answers and the stream race.

Owns bounded memories: which fills, payments and transfers were reported; how much of each own order is
reported as filled, so that its end follows its fills; which ends were reported; which client id an order's
number belongs to, since executions name only the number; which own orders are conditional and what they
fired; and the ends that wait until it is known how an order that is being changed goes on. Orders of one
market are numbered apart, so a number is (instrument, number). Sizes are exact integers.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from engine.events import Event, FundingPaid, OrderCanceled, OrderFilled, TransferSeen

__all__ = ["Orders", "Waiting"]

MEMORY_MAX: Final = 20_000
"""Entries of each memory."""

_ABSENT: Final = object()

Number = tuple[int, int]


class Waiting(msgspec.Struct):
    """An order of which `executed` must be reported as filled before its `end`. `since` is trio's clock."""

    executed: int
    since: float
    end: Event | None


class Orders:
    """Memories; the oldest entries are dropped first. `name` is a client order id."""

    def __init__(self) -> None:
        self._reported: dict[tuple[int, int, int], object] = {}
        self._money: dict[str, object] = {}
        self._filled: dict[str, int] = {}
        self._ended: dict[str, None] = {}
        self._waiting: dict[str, Waiting] = {}
        self._names: dict[Number, str] = {}
        self._numbers: dict[str, int] = {}
        self._conditional: dict[str, int] = {}  # the number of the fired order, 0 before
        self._changing: dict[str, OrderCanceled | None] = {}
        self._replaced: dict[str, int] = {}  # the first number of an order that was replaced
        self._shapes: dict[str, tuple[int, int]] = {}  # limit price and whole size

    # Numbers.

    def note_number(self, instrument: int, number: int, name: str) -> None:
        """Note whose number it is; `name` is the client id that the venue shows, ours or not."""
        if number:
            _keep(self._names, (instrument, number), name)
            _keep(self._numbers, name, max(number, self._numbers.get(name, 0)))

    def name_of(self, instrument: int, number: int) -> str | None:
        """Return the client id of an order's number, None if it is not known yet."""
        return self._names.get((instrument, number))

    def number_of(self, name: str) -> int:
        """Return the newest known number of an order, 0 for none."""
        return self._numbers.get(name, 0)

    def note_conditional(self, name: str, instrument: int = 0, fired: int = 0) -> None:
        """Note that an own order is conditional, and the number of the order that it fired."""
        _keep(self._conditional, name, fired or self._conditional.get(name, 0))
        if fired:
            _keep(self._names, (instrument, fired), name)

    def is_conditional(self, name: str) -> bool:
        """Return whether an own order is known to be conditional."""
        return name in self._conditional

    def fired(self, name: str) -> int:
        """Return the number of the order that a conditional order fired, 0 before."""
        return self._conditional.get(name, 0)

    def conditionals(self) -> list[str]:
        """Return the own orders that are known to be conditional and have not ended."""
        return [name for name in self._conditional if name not in self._ended]

    def note_shape(self, name: str, price: int, size: int) -> None:
        """Note the limit price and the whole size of an order, what is filled included."""
        _keep(self._shapes, name, (price, size))

    def shape(self, name: str) -> tuple[int, int]:
        """Return the limit price and the whole size of an order, (0, 0) if they are not known."""
        return self._shapes.get(name, (0, 0))

    # Fills, payments and transfers.

    def first(self, fill: OrderFilled) -> bool:
        """Return whether an execution is new, and remember it."""
        key = (fill.instrument, fill.trade_id, int(fill.side))
        if key in self._reported:
            return False
        _keep(self._reported, key, None)
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
        _keep(self._filled, name, executed)

    # Ends.

    def end(self, name: str, end: Event) -> list[Event]:
        """Return an order's end to report, if it was not reported before."""
        if name in self._ended:
            return []
        _keep(self._ended, name, None)
        return [end]

    def ended(self, name: str) -> bool:
        """Return whether the end of an order was reported, or waits for its fills."""
        return name in self._ended or name in self._waiting

    def await_fills(self, name: str, executed: int, since: float, end: Event | None = None) -> list[Event]:
        """Hold `end` until so much of an order is reported as filled; return it at once if it already is."""
        if self.filled(name) < executed:
            waiting = self._waiting.get(name)
            kept = end if end is not None or waiting is None else waiting.end
            _keep(self._waiting, name, Waiting(executed, since, kept))
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

    # Orders that are replaced: the end of the old one comes before or after the answer, with the same id.

    def replace(self, name: str) -> None:
        """A replacement is sent: hold an end back until it is known which of the two it is of."""
        _keep(self._changing, name, None)
        _keep(self._replaced, name, self._replaced.get(name) or self.number_of(name))

    def hold(self, name: str, end: OrderCanceled) -> bool:
        """Hold an end back; return False for an order that is not being replaced."""
        if name not in self._changing:
            return False
        self._changing[name] = end
        return True

    def settled(self, name: str, *, replaced: bool) -> list[Event]:
        """It is known how the order goes on. Return the end that was held back, if it is the order's."""
        end = self._changing.pop(name, None)
        return [] if replaced or end is None else self.end(name, end)

    def changing(self, name: str) -> bool:
        """Return whether it is not known yet how an order goes on."""
        return name in self._changing

    def first_number(self, name: str) -> int:
        """Return the first number of an order that was, or may have been, replaced; 0 for any other."""
        return self._replaced.get(name, 0)

    def is_old(self, name: str, number: int) -> bool:
        """Return whether a number is one that a replaced order no longer has."""
        return name in self._replaced and number < self.number_of(name)

    def _first_money(self, key: str) -> bool:
        if key in self._money:
            return False
        _keep(self._money, key, None)
        return True


def _keep(memory: dict[Any, Any], key: object, value: object) -> None:
    memory[key] = value
    if len(memory) > MEMORY_MAX:
        del memory[next(iter(memory))]
