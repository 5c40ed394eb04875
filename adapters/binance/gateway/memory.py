"""What the gateway remembers of Binance's orders beside what every gateway does (`transport/reports.py`).

Executions name only the number of their order, so the numbers of orders are remembered; so is which own
orders are conditional and what they fired, and the ends that wait until it is known how an order that is
being changed goes on.
"""

from __future__ import annotations

from adapters.transport.reports import Reports, keep
from engine.events import Event, ModifyOrder, OrderCanceled, OrderRead

__all__ = ["Orders"]


class Orders(Reports):
    """See the module. `name` is a client order id."""

    def __init__(self) -> None:
        super().__init__()
        self._conditional: dict[str, int] = {}  # the number of the fired order, 0 before
        self._changing: dict[str, OrderCanceled | None] = {}
        self._sent: dict[str, tuple[int, int]] = {}  # the number before the newest replacement, and its proof
        self._replaced: dict[str, int] = {}  # the first number of an order that was replaced

    def note_conditional(self, name: str, instrument: int = 0, fired: int = 0) -> None:
        """Note that an own order is conditional, and the number of the order that it fired."""
        keep(self._conditional, name, fired or self._conditional.get(name, 0))
        if fired:
            keep(self._names, (instrument, fired), name)

    def is_conditional(self, name: str) -> bool:
        """Return whether an own order is known to be conditional."""
        return name in self._conditional

    def fired(self, name: str) -> int:
        """Return the number of the order that a conditional order fired, 0 before."""
        return self._conditional.get(name, 0)

    def conditionals(self) -> list[str]:
        """Return the own orders that are known to be conditional and have not ended."""
        return [name for name in self._conditional if name not in self._ended]

    # Orders that are replaced: the end of the old one comes before or after the answer, with the same id.

    def replace(self, command: ModifyOrder) -> None:
        """A replacement is sent: hold an end back until it is known which of the two it is of."""
        name = command.client_order_id
        keep(self._changing, name, None)
        keep(self._sent, name, (command.venue_order_id, command.proof_ns))
        keep(self._replaced, name, self._replaced.get(name) or self.number_of(name))

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

    def is_settled_by(self, name: str, read: OrderRead) -> bool:
        """Return whether a reading shows how an order goes on of which that was not known."""
        return name in self._changing and not read.leaves_open(*self._sent[name])

    def first_number(self, name: str) -> int:
        """Return the first number of an order that was, or may have been, replaced; 0 for any other."""
        return self._replaced.get(name, 0)

    def is_old(self, name: str, number: int) -> bool:
        """Return whether a number is one that a replaced order no longer has."""
        return name in self._replaced and number < self.number_of(name)
