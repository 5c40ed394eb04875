"""Positions on margin of the local exchange, and what is counted in money.

Owns the position of one market: what it cost, and what closing a part of it realizes. All amounts are exact
decimals, rounded to 8 decimals against the account. Called by the exchanges of venues' protocols.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_DOWN, ROUND_UP, Decimal
from typing import Final

from engine.events import InstrumentListed

__all__ = ["UNIT", "Position", "fee_of", "worth_of"]

UNIT: Final = Decimal("0.00000001")


@dataclass(slots=True)
class Position:
    """A position on margin: signed size at the instrument's scale, and what it cost (signed)."""

    listed: InstrumentListed
    size: int = 0
    cost: Decimal = Decimal(0)
    updated_ms: int = 0

    def fill(self, side: int, size: int, worth: Decimal) -> Decimal:
        """Apply an execution; return the realized profit."""
        realized = Decimal(0)
        closing = min(size, abs(self.size)) if self.size * side < 0 else 0
        if closing:
            part = (self.cost * closing / abs(self.size)).quantize(UNIT, ROUND_UP)
            given = worth * closing / size
            realized = (-side * given - part).quantize(UNIT, ROUND_DOWN)
            self.cost = self.cost - part if closing < abs(self.size) else Decimal(0)
            worth -= given
        self.size += side * size
        if size > closing:
            self.cost += side * worth
        return realized

    def entry(self) -> Decimal:
        """Return the average price at which it was opened."""
        if not self.size:
            return Decimal(0)
        held = Decimal(self.size).scaleb(-self.listed.size_scale)
        return (self.cost / held).quantize(UNIT)


def worth_of(listed: InstrumentListed, price: int, size: int) -> Decimal:
    """Return price times size."""
    return Decimal(price * size).scaleb(-listed.price_scale - listed.size_scale)


def fee_of(worth: Decimal, rate: str) -> Decimal:
    """Return a fee, rounded up."""
    return (worth * Decimal(rate)).quantize(UNIT, ROUND_UP)
