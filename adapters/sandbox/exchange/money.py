"""Amounts of money: exact integers with 12 decimals, booked and shown with 6 as the venue does.

Every change of an account's cash is a multiple of `UNIT`, so the amounts reported to clients add up to the
cash exactly. Only the cost of a position uses all 12 decimals.
"""

from __future__ import annotations

from typing import Final

from engine.events import InstrumentListed
from engine.values import format_scaled, power_of_ten

__all__ = ["DOLLAR", "SCALE", "UNIT", "fee_of", "money_text", "notional"]

SCALE: Final = 12
_SHOWN: Final = 6

DOLLAR: Final = power_of_ten(SCALE)
UNIT: Final = power_of_ten(SCALE - _SHOWN)
"""The smallest amount that can be booked."""

_TAKER: Final = 450
_MAKER: Final = 150
_RATE: Final = 1_000_000
"""Denominator of the fees, which are those of tier 0: 0.045 % and 0.015 %."""


def notional(listed: InstrumentListed, price: int, size: int) -> int:
    """Return price * size as money, with the sign of the size."""
    return price * size * power_of_ten(SCALE - listed.money_scale)


def fee_of(value: int, *, taker: bool) -> int:
    """Return the fee of a fill worth `value`, rounded up to a whole unit."""
    rate = _TAKER if taker else _MAKER
    return -(-value * rate // (_RATE * UNIT)) * UNIT


def money_text(value: int, decimals: int = _SHOWN) -> str:
    """Return money as the venue writes it: 1 to `decimals` decimals, rounded towards zero."""
    unit = power_of_ten(SCALE - decimals)
    cut = abs(value) // unit
    text = format_scaled(-cut if value < 0 else cut, decimals)
    return text if "." in text else text + ".0"
