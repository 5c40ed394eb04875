"""One book: the position of one owner in one market, in exact integers.

Owns the arithmetic of cost and realized profit. Money is at the ledger's scale, where every product of a
price and a size is exact; only a quotient is rounded, once and against the account: realized profit down.
Called by the other parts of `books`.
"""

from __future__ import annotations

from typing import NamedTuple

from engine.actors.base import State
from engine.values import Size, Value

__all__ = ["EXTERNAL", "MANUAL", "Book", "Net", "Part", "parts"]

MANUAL = "manual"
"""Owner of orders that a person placed through the engine."""

EXTERNAL = "external"
"""Owner of fills that were not ordered through the engine."""


class Book(State):
    """`size` is signed, at the instrument's scale. Money is at the ledger's scale.

    `cost` is what the open size cost, negative for a short; `realized`, `fees` and `funding` are sums since
    the account began. `fills` counts the bookings. `base_fees` are fees in base units, with `ledger.FINER`
    decimals more than the instrument's money, of which `base_taken` have been taken from the size.
    """

    size: Size = 0
    cost: int = 0
    realized: int = 0
    fees: int = 0
    funding: int = 0
    fills: int = 0
    base_fees: Value = 0
    base_taken: Size = 0

    def fill(self, side: int, size: int, value: int) -> None:
        """Book an execution of `size` for `value`, price times size. It never takes the book across 0."""
        assert size > 0, "an execution has a size"
        if self.size * side < 0:
            held = abs(self.size)
            assert size <= held, "an execution that crosses 0 is two"
            gain = (-side * value * held - self.cost * size) // held
            self.realized += gain
            self.cost += side * value + gain
        else:
            self.cost += side * value
        self.size += side * size
        self.fills += 1

    def refine(self, factor: int) -> None:
        """Move the money to a finer scale, exactly."""
        self.cost *= factor
        self.realized *= factor
        self.fees *= factor
        self.funding *= factor


class Net(State):
    """The position of the account in one market as the venue has it: one, whatever the books hold.

    `cost` is what its open size cost. `fills` counts the bookings.
    """

    size: Size = 0
    cost: int = 0
    fills: int = 0

    def fill(self, side: int, size: int, price: int) -> None:
        """Book an execution at a price per step of size, at the ledger's scale."""
        for part in parts(self.size, side, size):
            held, value = abs(self.size), side * part.size * price
            if not part.opens:
                value += (-value * held - self.cost * part.size) // held
            self.cost += value
            self.size += side * part.size
        self.fills += 1

    def refine(self, factor: int) -> None:
        """Move the money to a finer scale, exactly."""
        self.cost *= factor


class Part(NamedTuple):
    """A part of an execution that does not cross 0. `opens`: it takes the book away from 0."""

    size: int
    opens: bool


def parts(held: int, side: int, size: int) -> list[Part]:
    """Divide an execution on a book that holds `held`: what closes it, then what opens."""
    closes = min(size, abs(held)) if held * side < 0 else 0
    return [Part(part, opens) for part, opens in ((closes, False), (size - closes, True)) if part]
