"""What the gateway remembers of Lighter's orders beside what every gateway does (`transport/reports.py`).

The venue knows an order by an integer of 48 bits that the client chooses. Owns that number of every client
order id: a hash of it, so that it needs no storage and a restart finds it again. Which id a number belongs to
is known for the orders that the journal remembers and for those sent since; two ids with one number are told
apart by refusing the second. Called by the gateway.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from hashlib import blake2b
from typing import Final

from adapters.transport.reports import Reports, keep

__all__ = ["Orders", "client_index"]

_BYTES: Final = 6


def client_index(name: str) -> int:
    """Return the number of a client order id, 1 to 2 ** 48 - 1."""
    return int.from_bytes(blake2b(name.encode(), digest_size=_BYTES).digest()) or 1


class Orders(Reports):
    """See the module. `sent` returns the client order ids that the journal remembers."""

    def __init__(self, sent: Callable[[], Iterable[str]]) -> None:
        super().__init__()
        self._by_index: dict[int, str] = {}
        self._changing: dict[str, None] = {}
        self._fired: dict[str, None] = {}
        for name in sent():
            self._by_index.setdefault(client_index(name), name)

    def give(self, name: str) -> int:
        """Return the number for a new order, 0 if another order has it."""
        index = client_index(name)
        return index if self._by_index.setdefault(index, name) == name else 0

    def named(self, index: int) -> str:
        """Return the client order id of a number, "" for one that is not ours."""
        return self._by_index.get(index, "")

    # Changes: the answer says only that the venue took one; that it was made shows on the stream.

    def change(self, name: str, price: int, size: int) -> None:
        """Note that an order is to be changed to this limit price and whole size."""
        keep(self._changing, name, None)
        self.note_shape(name, price, size)

    def changed(self, name: str, price: int, size: int) -> bool:
        """Return whether an order of this price and whole size is the changed one; it is then no more."""
        if name not in self._changing or self.shape(name) != (price, size):
            return False
        del self._changing[name]
        return True

    def unchanged(self, name: str) -> None:
        """Note that a change is not made, or that how the order goes on was read."""
        self._changing.pop(name, None)

    def first_firing(self, name: str) -> bool:
        """Return whether it was not reported yet that an order's trigger price was reached."""
        if name in self._fired:
            return False
        keep(self._fired, name, None)
        return True
