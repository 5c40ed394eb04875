"""An order book as levels by price: replaced by snapshots, changed by diffs, read from the best level on.

Owns the levels of one book. Promises: prices and sizes are exact integers; the best levels are in order;
memory is bounded; levels that it cannot know are never shown. A snapshot with as many levels as the venue
sends at most shows nothing of the levels behind its last one (the *edge*): those are unknown until the next
snapshot, though diffs may name some of them. Pure. Called by `synced.py`.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable
from typing import Final

from engine.events.readings import BookLevels

__all__ = ["LEVELS_KEPT", "Level", "OrderBook"]

Level = tuple[int, int]
"""A price and the whole size at it, at the instrument's scales. In a diff, size 0 removes the level."""

LEVELS_KEPT: Final = 10_000
"""Levels of one side that are kept; above that the worst half is forgotten."""


class OrderBook:
    """The levels of one instrument.

    `depth`: the venue sends the best so many levels of a side only, and names each that enters or leaves;
    those that fall out are dropped after every change. 0: diffs name levels at any depth.
    """

    def __init__(self, depth: int = 0) -> None:
        self._depth = depth
        self._bids = _Side(1)
        self._asks = _Side(-1)

    def replace(self, bids: Iterable[Level], asks: Iterable[Level], *, whole: bool = True) -> None:
        """Take a snapshot. `whole`: it has every level, or the `depth` that the venue keeps up to date."""
        for side, levels in ((self._bids, bids), (self._asks, asks)):
            side.replace(levels, whole=whole)
        self._trim()

    def apply(self, bids: Iterable[Level], asks: Iterable[Level]) -> None:
        """Take a diff: set the sizes at its prices. To remove a level that does not exist is allowed."""
        for side, levels in ((self._bids, bids), (self._asks, asks)):
            for price, size in levels:
                side.set(price, size)
        self._trim()

    def top(self, levels: int) -> tuple[BookLevels, BookLevels]:
        """Return the best levels of both sides that are known, at most `levels` of each."""
        return self._bids.top(levels), self._asks.top(levels)

    def knows(self, levels: int) -> bool:
        """Return whether the best `levels` of both sides are known; a side may have fewer."""
        return self._bids.knows(levels) and self._asks.knows(levels)

    @property
    def crossed(self) -> bool:
        """Whether the best bid is at or above the best ask."""
        bid, ask = self._bids.best, self._asks.best
        return bid is not None and ask is not None and bid >= ask

    def __len__(self) -> int:
        """Return the number of levels that are kept."""
        return len(self._bids.keys) + len(self._asks.keys)

    def _trim(self) -> None:
        for side in (self._bids, self._asks):
            if self._depth:
                side.drop_worst(len(side.keys) - self._depth)
            elif len(side.keys) > LEVELS_KEPT:
                side.drop_worst(len(side.keys) - LEVELS_KEPT // 2)
                side.edge = max(side.keys[0], side.keys[0] if side.edge is None else side.edge)


class _Side:
    """One side. A key is the price times `sign`, so that the best level has the highest key and is last."""

    def __init__(self, sign: int) -> None:
        self._sign = sign
        self._sizes: dict[int, int] = {}
        self.keys: list[int] = []
        self.edge: int | None = None  # keys below it may be missing; None: all are known

    @property
    def best(self) -> int | None:
        return self._sign * self.keys[-1] if self.keys else None

    def replace(self, levels: Iterable[Level], *, whole: bool) -> None:
        sizes = {self._sign * price: size for price, size in levels}
        self._sizes = {key: size for key, size in sizes.items() if size}
        self.keys = sorted(self._sizes)
        self.edge = self.keys[0] if self.keys and not whole else None

    def set(self, price: int, size: int) -> None:
        key = self._sign * price
        known = key in self._sizes
        if size:
            self._sizes[key] = size
            if not known:
                insort(self.keys, key)
        elif known:
            del self._sizes[key]
            del self.keys[bisect_left(self.keys, key)]

    def top(self, levels: int) -> BookLevels:
        best = self.keys[: -levels - 1 : -1]
        edge = self.edge
        return tuple((self._sign * key, self._sizes[key], 0) for key in best if edge is None or key >= edge)

    def knows(self, levels: int) -> bool:
        return self.edge is None or (len(self.keys) >= levels and self.keys[-levels] >= self.edge)

    def drop_worst(self, count: int) -> None:
        if count > 0:
            for key in self.keys[:count]:
                del self._sizes[key]
            del self.keys[:count]
