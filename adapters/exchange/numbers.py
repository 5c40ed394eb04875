"""Exact decimal text of scaled integers, as venues write numbers. Used by the protocols."""

from __future__ import annotations

from functools import lru_cache

from engine.values import format_scaled

__all__ = ["decimal", "padded"]


@lru_cache(maxsize=65_536)
def decimal(value: int, scale: int) -> str:
    """Return a number without superfluous zeros: `decimal(12300, 3)` is "12.3"."""
    return format_scaled(value, scale)


@lru_cache(maxsize=65_536)
def padded(value: int, scale: int, places: int) -> str:
    """Return a number with at least `places` decimals: `padded(123, 1, 4)` is "12.3000"."""
    whole, _, part = format_scaled(value, scale).partition(".")
    return f"{whole}.{part.ljust(places, '0')}" if places or part else whole
