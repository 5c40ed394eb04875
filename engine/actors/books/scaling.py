"""Moves amounts between scales, rounding only where the target is coarser. Called by the parts of `books`."""

from __future__ import annotations

from engine.values import power_of_ten

__all__ = ["at_scale", "fine_price", "shifted"]


def at_scale(value: int, scale: int, to: int, *, up: bool = False) -> int:
    """Return an amount at another scale: exactly if that is finer, else rounded down, or `up`."""
    if to >= scale:
        return value * power_of_ten(to - scale)
    unit = power_of_ten(scale - to)
    return -(-value // unit) if up else value // unit


def shifted(price: int, finer: int, by: int) -> tuple[int, int]:
    """Return (price, finer) of the same price where prices have `by` more decimals."""
    used = min(finer, by)
    return price * power_of_ten(by - used), finer - used


def fine_price(value: int, scale: int, price_scale: int, finer_max: int) -> tuple[int, int]:
    """Return a price as (price, finer): at `price_scale` and as few further decimals as it has.

    Rounded down if it has more than `finer_max` of them.
    """
    finer = max(0, scale - price_scale)
    price = at_scale(value, scale, price_scale + finer)
    while finer and (finer > finer_max or not price % 10):
        price //= 10
        finer -= 1
    return price, finer
