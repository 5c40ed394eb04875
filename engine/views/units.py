"""Numbers as answers have them: exact decimal text, milliseconds, finite floats.

Owns the arithmetic of display: averages are rounded to `AVERAGE_FINER` decimals beyond the market's grid, all
else is exact. Called by every part of `engine.views`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from fractions import Fraction
from typing import Any, Final

from engine.events import InstrumentListed
from engine.values import Amount, format_scaled, power_of_ten, rescale

__all__ = [
    "AVERAGE_FINER",
    "average_text",
    "finite",
    "ms",
    "percent",
    "plain",
    "price_text",
    "size_text",
    "sum_text",
]

AVERAGE_FINER: Final = 4
"""Decimals of an average price beyond those of its market."""

_SAFE: Final = 2**53
"""Beyond this JavaScript rounds integers."""


def ms(at_ns: int) -> int:
    """Return a time in nanoseconds as whole milliseconds, rounded down."""
    return at_ns // 1_000_000


def price_text(listed: InstrumentListed, price: int, finer: int = 0) -> str | None:
    """Return a price; None for 0, which in events says that there is none."""
    return format_scaled(price, listed.price_scale + finer) if price else None


def size_text(listed: InstrumentListed, size: Amount) -> str:
    """Return a size."""
    return format_scaled(size, listed.size_scale)


def average_text(listed: InstrumentListed, paid: Fraction, size: Fraction) -> str | None:
    """Return what one unit cost on average; None without a size."""
    if not size:
        return None
    scale = listed.price_scale + AVERAGE_FINER
    return format_scaled(round(paid / size * power_of_ten(scale)), scale)


def sum_text(amounts: Iterable[tuple[int, int]]) -> str:
    """Return the exact sum of (value, scale)."""
    known = list(amounts)
    finest = max((scale for _, scale in known), default=0)
    return format_scaled(sum(rescale(value, scale, finest) for value, scale in known), finest)


def percent(part: Fraction | int, whole: Fraction | int) -> float | None:
    """Return a part in percent of the whole, rounded to four decimals; None of nothing."""
    return round(float(Fraction(part) * 100 / Fraction(whole)), 4) if whole else None


def finite(value: float | None) -> float | None:
    """Return a number as JSON can have it: None for NaN and infinity."""
    return value if value is not None and math.isfinite(value) else None


def plain(value: Any) -> Any:
    """Return a rendered value with the integers that JavaScript would round as text."""
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items()}
    if isinstance(value, list):
        return [plain(one) for one in value]
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > _SAFE:
        return str(value)
    return value
