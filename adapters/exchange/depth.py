"""Differences between two books of levels, as venues send them. Used by protocols whose books are diffs."""

from __future__ import annotations

from collections.abc import Iterable

from adapters.exchange.grid import Level

__all__ = ["changes"]


def changes(before: Iterable[Level], after: Iterable[Level]) -> list[tuple[int, int]]:
    """Return the (price, size) of one side that make `after` of `before`; size 0 removes a level."""
    old = {price: size for price, size, _ in before}
    new = {price: size for price, size, _ in after}
    gone = [(price, 0) for price in old if price not in new]
    return gone + [(price, size) for price, size in new.items() if old.get(price) != size]
