"""What a strategy wants to hold in one market, and what changes it: calls, fills, halts.

Written from the rules alone. `Wanted` follows one strategy and market. It does not order anything; it says
what `wanted()` has to be, whether openings are still worked, and how far the position is from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from tests.orders.ledger import ZERO, sign

TARGET, CANCELED, OVER, OWN, OUTSIDE, FEE = "target", "canceled", "over", "own", "outside", "fee"
"""Kinds of fills: of a target's order; of an open order that is being canceled; the part beyond 0 of an exit
that came too late; anything else that was ordered, external fills included; a liquidation; what a fee in the
base asset took of a purchase."""


@dataclass
class Wanted:
    """The target of one strategy in one market. `size` is None without one.

    `withdrawn`: only closings are worked, until the next call.
    """

    size: Fraction | None = None
    withdrawn: bool = False

    def call(self, size: Fraction | None) -> None:
        """The strategy calls `target`; None stops working it."""
        self.size = size
        self.withdrawn = False

    def fill(self, kind: str, before: Fraction, after: Fraction) -> None:
        """A fill moves the position from `before` to `after`, without crossing 0."""
        if self.size is None or kind in (TARGET, CANCELED, OVER):
            return
        if kind == FEE:  # it is not bought again
            if self.size * before > 0:
                self.size = max(ZERO, self.size + after - before)
        elif kind == OUTSIDE:
            self.size, self.withdrawn = after, True
        elif abs(after) > abs(before):
            self.size += after - before
        else:
            capped = min(self.size, after) if before > 0 else max(self.size, after)
            self.withdrawn = self.withdrawn or capped != self.size
            self.size = capped

    def clamp(self, held: Fraction) -> None:
        """Withdraw the opening part: a halt, a failure, or an opening that waited too long."""
        if self.size is None:
            return
        nearest = min(max(self.size, min(held, ZERO)), max(held, ZERO))
        if nearest != self.size:
            self.size, self.withdrawn = nearest, True

    def distance(self, held: Fraction) -> tuple[Fraction, Fraction]:
        """Return how much is to close and how much to open, signed; the opening part 0 once withdrawn."""
        if self.size is None or self.size == held:
            return ZERO, ZERO
        nearest = min(max(self.size, min(held, ZERO)), max(held, ZERO))
        opening = ZERO if self.withdrawn else self.size - nearest
        return nearest - held, opening

    def may_trade(self, side: int, size: Fraction, held: Fraction) -> bool:
        """Return whether an order of the target moves `held` towards the target, and not past it."""
        closing, opening = self.distance(held)
        if closing:
            return side == sign(closing) and size <= abs(closing)
        return bool(opening) and side == sign(opening) and size <= abs(opening)
