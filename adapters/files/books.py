"""Builds the order book of one instrument from snapshots and updates, and says what was wrong with them.

Owns the rules of sequence. An update says which change it follows (`Update.after`) and which is its last. It
is applied if the book has all changes up to there; an older one is left out; one that leaves changes out is a
gap, and the book is unknown from there to the next snapshot. Updates that come before their snapshot are held
and applied after it, as Binance describes it (developers.binance.com, "How to manage a local order book
correctly", read 2026-11-29). Sizes are absolute; a size of 0 removes the level.

Promises: what is shown has bids below asks, best first, and at most `depth` levels a side. A gap, and a book
whose bid is not below its ask, is shown as `FeedDamaged` and an empty book, once, until the book is known
again; each is counted with its first place. Memory is bounded, whatever the file holds. Pure. Called by the
readers of rows and of recordings.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

import msgspec

from engine.clock import iso_text
from engine.events import BookRead, FeedDamaged

__all__ = [
    "CROSSED",
    "DEPTH",
    "DEPTH_MAX",
    "FEED",
    "GAP",
    "HELD_MAX",
    "LEVELS_MAX",
    "OLD",
    "Book",
    "BookBuilder",
    "Damages",
    "Update",
    "is_crossed",
]

FEED: Final = "import"
"""The feed of damage in imported data."""

DEPTH: Final = 20
"""Levels of each side that are kept unless asked otherwise: as many as Hyperliquid shows."""

DEPTH_MAX: Final = 1000

LEVELS_MAX: Final = 50_000
"""Most levels of a side in memory; of more, the worst ones are left out."""

HELD_MAX: Final = 1000
"""Most updates that wait for a snapshot; of more, the oldest are left out."""

GAP: Final = "gapped"
CROSSED: Final = "crossed"
OLD: Final = "out of order"
EARLY: Final = "before a snapshot"
DEEP: Final = "too deep"

_SAYS: Final = {
    GAP: "gaps in the updates of the book; it is unknown until the next snapshot, and played as empty",
    CROSSED: "times the bid was not below the ask; played as empty until it is",
    OLD: "updates that are older than the book were left out",
    EARLY: "updates came before the first snapshot; those that are not newer than it are not played",
    DEEP: f"levels beyond {LEVELS_MAX:,} of a side were left out",
}

Levels = Sequence[tuple[int, int]]
"""Price and size."""


class Update(msgspec.Struct, frozen=True):
    """Changed levels. `after` and `last` are numbers of changes: it holds all between them; None: not
    known."""

    bids: Levels
    asks: Levels
    after: int | None = None
    last: int | None = None


class Damages:
    """Counts what is wrong with a file, by kind, with the first place and time of each."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self._first: dict[str, str] = {}

    def add(self, kind: str, where: str, at_ns: int, count: int = 1) -> None:
        """Count one; `where` is a line."""
        if kind not in self.counts:
            self._first[kind] = f"{where}, {iso_text(at_ns)}"
        self.counts[kind] = self.counts.get(kind, 0) + count

    def notes(self) -> list[str]:
        """Return a line for each kind."""
        return [
            f"{kind}: {count:,} {_SAYS[kind]} (first: {self._first[kind]})"
            for kind, count in sorted(self.counts.items())
        ]


class Book:
    """Both sides of a book. `bounds`: levels beyond them are not complete and not shown; 0: none."""

    def __init__(self) -> None:
        self.sizes: tuple[dict[int, int], dict[int, int]] = ({}, {})
        self._prices: tuple[list[int], list[int]] = ([], [])
        self.bounds = [0, 0]

    def clear(self) -> None:
        """Remove all levels."""
        for side in (0, 1):
            self.sizes[side].clear()
            self._prices[side].clear()
        self.bounds = [0, 0]

    def change(self, bids: Iterable[tuple[int, int]], asks: Iterable[tuple[int, int]]) -> int:
        """Set levels to sizes. Return how many were left out because a side has too many."""
        left_out = 0
        for side, levels in enumerate((bids, asks)):
            sizes, prices = self.sizes[side], self._prices[side]
            for price, size in levels:
                if size:
                    if price not in sizes:
                        insort(prices, price)
                    sizes[price] = size
                elif sizes.pop(price, 0):
                    del prices[bisect_left(prices, price)]
            while len(prices) > LEVELS_MAX:
                del sizes[prices.pop(-1 if side else 0)]
                left_out += 1
        return left_out

    def top(self, depth: int) -> tuple[tuple[tuple[int, int, int], ...], tuple[tuple[int, int, int], ...]]:
        """Return the best levels of both sides as an event has them; the number of orders is unknown: 0."""
        low, high = self.bounds
        bids, asks = self.sizes
        return (
            tuple((price, bids[price], 0) for price in self._prices[0][: -depth - 1 : -1] if price >= low),
            tuple((price, asks[price], 0) for price in self._prices[1][:depth] if not high or price <= high),
        )

    def is_crossed(self) -> bool:
        """Return whether the best bid is not below the best ask."""
        bids, asks = self._prices
        return bool(bids and asks and bids[-1] >= asks[0])


def is_crossed(bid: int, ask: int) -> bool:
    """Return whether a best bid is not below the best ask; 0 is an empty side."""
    return bool(bid and ask and bid >= ask)


class BookBuilder:
    """The book of `instrument`. `where` returns the line that is being read."""

    def __init__(
        self, instrument: int, damages: Damages, where: Callable[[], str], depth: int = DEPTH
    ) -> None:
        self.known = False
        self.book = Book()
        self._instrument = instrument
        self._damages = damages
        self._where = where
        self._depth = depth
        self._last: int | None = None
        self._held: deque[Update] = deque(maxlen=HELD_MAX)
        self._begun = False
        self._shown: object = None
        self._reason = ""

    def snapshot(
        self,
        at_ns: int,
        bids: Levels,
        asks: Levels,
        *,
        last: int | None = None,
        limits: Sequence[int] = (),
    ) -> None:
        """Take over a complete book, as it was after the change `last`; one that is older is left out.

        A side with as many levels as one of the `limits` was cut there.
        """
        if self.known and last is not None and self._last is not None and last <= self._last:
            return
        self.book.clear()
        self._change(at_ns, bids, asks)
        if len(bids) in limits:
            self.book.bounds[0] = min(price for price, _ in bids)
        if len(asks) in limits:
            self.book.bounds[1] = max(price for price, _ in asks)
        self.known = self._begun = True
        self._last, self._reason = last, ""
        held, self._held = self._held, deque(maxlen=HELD_MAX)
        for update in held:
            if update.last is not None and last is not None and update.last > last:
                self.update(at_ns, update)

    def update(self, at_ns: int, update: Update) -> None:
        """Apply an update, if it follows what the book has; `at_ns` is its time."""
        if not self.known:
            if not self._begun:
                self._damages.add(EARLY, self._where(), at_ns)
            self._held.append(update)
            return
        if update.last is not None and self._last is not None:
            if update.last <= self._last:
                self._damages.add(OLD, self._where(), at_ns)
                return
            if update.after is not None and update.after > self._last:
                self.lose(at_ns, f"an update that follows {update.after} came after {self._last}")
                self._held.append(update)
                return
        if update.last is not None:
            self._last = update.last
        self._change(at_ns, update.bids, update.asks)

    def lose(self, at_ns: int, reason: str) -> None:
        """Note a gap: the book is unknown until the next snapshot."""
        if self.known:
            self._damages.add(GAP, self._where(), at_ns)
            self.known, self._reason = False, f"the book has a gap: {reason}"
            self._held.clear()
            self.book.clear()

    def show(self, recv_ns: int, venue_ns: int) -> Iterator[BookRead | FeedDamaged]:
        """Yield what is to be recorded now: the book if its best levels changed, or that it is unknown."""
        if not self._begun:
            return
        reason = self._reason
        if self.known and self.book.is_crossed():
            reason = "the bid of the book is not below its ask"
            if self._shown != reason:
                self._damages.add(CROSSED, self._where(), recv_ns)
        if reason:
            if self._shown != reason:
                yield FeedDamaged(recv_ns, FEED, "book", self._instrument, reason)
                yield BookRead(recv_ns, venue_ns, self._instrument, (), ())
            self._shown = reason
            return
        bids, asks = self.book.top(self._depth)
        if self._shown != (bids, asks):
            self._shown = (bids, asks)
            yield BookRead(recv_ns, venue_ns, self._instrument, bids, asks)

    def _change(self, at_ns: int, bids: Levels, asks: Levels) -> None:
        left_out = self.book.change(bids, asks)
        if left_out:
            self._damages.add(DEEP, self._where(), at_ns, left_out)
