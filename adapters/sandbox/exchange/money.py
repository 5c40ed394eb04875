"""Money on the exchange: exact integers with 12 decimals, shown with 6 as the venue does."""

from __future__ import annotations

from typing import Final

from engine.events import InstrumentListed
from engine.values import format_scaled, power_of_ten

__all__ = ["SCALE", "fee_of", "money_text", "notional"]

SCALE: Final = 12
_SHOWN: Final = 6
_UNIT: Final = power_of_ten(SCALE - _SHOWN)
TAKER: Final = 450
MAKER: Final = 150
_RATE: Final = 1_000_000
"""Fees of tier 0, in millionths: 0.045 % and 0.015 %."""


def notional(listed: InstrumentListed, price: int, size: int) -> int:
    """Return price * size in money."""
    return price * size * power_of_ten(SCALE - listed.money_scale)


def fee_of(value: int, *, taker: bool) -> int:
    """Return the fee of an execution worth `value`, rounded up to the decimals that are shown."""
    rate = TAKER if taker else MAKER
    return -(-value * rate // (_RATE * _UNIT)) * _UNIT


def money_text(value: int, decimals: int = _SHOWN) -> str:
    """Return money as the venue writes it: at most 6 decimals, cut towards zero, at least one."""
    unit = power_of_ten(SCALE - decimals)
    cut = abs(value) // unit
    text = format_scaled(-cut if value < 0 else cut, decimals)
    return text if "." in text else text + ".0"
