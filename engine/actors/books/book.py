"""One book: the position of one owner in one market, in exact integers.

Owns the arithmetic of cost and realized profit. Money is at the ledger's scale, where every product of a
price and a size is exact; only a quotient is rounded, once and against the account: realized profit down.
Called by the other parts of `books`.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import msgspec

from engine.actors.base import State
from engine.values import Size, Value, power_of_ten

__all__ = [
    "EXTERNAL",
    "FINER",
    "MANUAL",
    "Book",
    "Executed",
    "Net",
    "Part",
    "in_succession",
    "parts",
    "unrealized",
]

MANUAL = "manual"
"""Owner of orders that a person placed through the engine."""

EXTERNAL = "external"
"""Owner of fills that were not ordered through the engine."""


FINER: Final = 4
"""Decimals that a price of a fill may have beyond the instrument's."""


class Book(State):
    """`size` is signed, at the instrument's scale. Money is at the ledger's scale.

    `cost` is what the open size cost, negative for a short; `realized`, `fees` and `funding` are sums since
    the account began. `fills` counts the bookings. `base_fees` are fees in base units, with `FINER`
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

    def left(self, price_scale: int) -> int:
        """Return what fees in base units left of the steps that they took, at the scale of `base_fees`.

        It is in the account and in no book; the next such fee takes it first. Below 0: fees that are owed.
        """
        return self.base_taken * power_of_ten(price_scale + FINER) - self.base_fees

    def refine(self, factor: int) -> None:
        """Move the money to a finer scale, exactly."""
        self.cost *= factor
        self.realized *= factor
        self.fees *= factor
        self.funding *= factor


def unrealized(size: int, cost: int, scale: int, price: int, price_scale: int) -> int:
    """Return the profit of an open position at a price, rounded down, at the scale of its cost.

    `price_scale` are the decimals of price times size.
    """
    if price_scale <= scale:
        return size * price * power_of_ten(scale - price_scale) - cost
    unit = power_of_ten(price_scale - scale)
    return (size * price - cost * unit) // unit


class Executed(State):
    """An execution of the account: its time at the venue, and the position before it. Money as in `Net`.

    `found` is the position before it as the venue says, None if it does not.
    """

    venue_ns: int
    side: int
    size: Size
    value: int
    held: Size = 0
    cost: int = 0
    found: Size | None = None


class Net(State):
    """The position of the account in one market as the venue has it: one, whatever the books hold.

    `cost` is what its open size cost. `fills` counts the bookings. `recent` are the latest executions in the
    venue's order: the average price of a position depends on it, and reports can come in another one. What is
    older than all of them counts as the first of them. Those of one time are in the order in which each found
    what the one before it left; if the venue does not say what they found, in that of their reports.
    """

    size: Size = 0
    cost: int = 0
    fills: int = 0
    recent: list[Executed] = msgspec.field(default_factory=list)

    def fill(
        self,
        venue_ns: int,
        side: int,
        size: int,
        value: int,
        kept: int,
        found: int | None = None,
        begun: Executed | None = None,
    ) -> Executed:
        """Book an execution of `size` for `value`; keep the latest `kept`. `begun`: the first part of it."""
        self.fills += 1
        recent, end = self.recent, len(self.recent)
        while end and recent[end - 1].venue_ns > venue_ns:
            end -= 1
        at = end
        while found is not None and at and recent[at - 1].venue_ns == venue_ns:
            at -= 1
        self._return_to(at)
        if begun is not None and any(one is begun for one in recent[at:end]):
            executed = begun
            executed.size += size
            executed.value += value
        else:
            executed = Executed(venue_ns, side, size, value, found=found)
            recent.insert(end, executed)
            end += 1
        if found is not None:
            recent[at:end] = in_succession(self.size, recent[at:end])
        self._apply(at)
        del recent[: max(0, len(recent) - kept)]
        return executed

    def take_back(self, venue_ns: int, side: int, size: int, value: int) -> bool:
        """Undo a part of an execution, as if it had never been; return False if it is not kept."""
        for at in range(len(self.recent) - 1, -1, -1):
            one = self.recent[at]
            if (one.venue_ns, one.side) == (venue_ns, side) and one.size >= size:
                if one.value * size != value * one.size:
                    continue
                self._return_to(at)
                one.size -= size
                one.value -= value
                if not one.size:
                    del self.recent[at]
                self._apply(at)
                return True
        return False

    def gained_since(self, venue_ns: int) -> int:
        """Return the profit that the executions after a time have realized."""
        later = [one for one in self.recent if one.venue_ns > venue_ns]
        return self.cost - later[0].cost - sum(one.side * one.value for one in later) if later else 0

    def _return_to(self, at: int) -> None:
        """Return to the position before an execution."""
        if at < len(self.recent):
            self.size, self.cost = self.recent[at].held, self.recent[at].cost

    def _apply(self, at: int) -> None:
        """Apply the executions from one on, in their order."""
        for one in self.recent[at:]:
            one.held, one.cost = self.size, self.cost
            for part in parts(self.size, one.side, one.size):
                held, value = abs(self.size), one.side * part.size * one.value // one.size
                if not part.opens:
                    value += (-value * held - self.cost * part.size) // held
                self.cost += value
                self.size += one.side * part.size

    def refine(self, factor: int) -> None:
        """Move the money to a finer scale, exactly."""
        self.cost *= factor
        for one in self.recent:
            one.value *= factor
            one.cost *= factor


def in_succession(held: int, together: list[Executed]) -> list[Executed]:
    """Return executions of one time so that each found what the one before it left, the first one `held`.

    What does not follow comes when nothing else does, in the order given. So do all if it is not known what
    one of them found.
    """
    if any(one.found is None for one in together):
        return together
    left, ordered = list(together), []
    while left:
        following = [one for one in left if one.found == held] or left[:1]
        # What leads on comes first: an execution that nothing follows is the last.
        one = next((one for one in following if _leads_on(one, left)), following[0])
        left = [other for other in left if other is not one]
        ordered.append(one)
        held = (held if one.found is None else one.found) + one.side * one.size
    return ordered


def _leads_on(one: Executed, left: list[Executed]) -> bool:
    ends = (one.found or 0) + one.side * one.size
    return any(other is not one and other.found == ends for other in left)


class Part(NamedTuple):
    """A part of an execution that does not cross 0. `opens`: it takes the book away from 0."""

    size: int
    opens: bool


def parts(held: int, side: int, size: int) -> list[Part]:
    """Divide an execution on a book that holds `held`: what closes it, then what opens."""
    closes = min(size, abs(held)) if held * side < 0 else 0
    return [Part(part, opens) for part, opens in ((closes, False), (size - closes, True)) if part]
