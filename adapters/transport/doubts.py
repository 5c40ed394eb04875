"""Holes in one instrument's trades after damage, and the gaps that report them.

A hole begins at the last trade known before a message or print that cannot be used, and ends at the first one
known after it. Promises: a hole is closed only by a piece of trades without a gap that begins at or before it
and ends after it; two contents of one trade, or orders of trades of one time, are never closed so; the number
of holes is bounded. No I/O. Called by `gaps.py`.

Doubts that follow each other are settled less and less often: after 1, 2, 4, 8, then 16 s, so that a flood of
damage costs few requests and few events. A doubt that begins `calm_s` after the last one was settled begins
with 1 s again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import trio

from adapters.transport.health import FeedLimits
from adapters.transport.trades import Key
from engine.events import Trade

__all__ = ["Doubt", "Hole", "gaps_of"]

_HOLES_MAX: Final = 100
"""Further holes are joined with the last one."""


@dataclass(slots=True)
class Hole:
    """Trades may be missing between two venue times; `to_ns` is 0 while none is known after it.

    `after` is the last trade known before it, None if none is known. `conflict`: of two contents of one
    trade, or of two orders of trades of one time, no list of trades shows which is right.
    """

    from_ns: int
    to_ns: int = 0
    after: Key | None = None
    conflict: bool = False


class Doubt:
    """The holes of one instrument that are not settled. `settling`: a task is at it."""

    def __init__(self, limits: FeedLimits) -> None:
        self._limits = limits
        self._wait_s = limits.doubt_s
        self._settled_at = -1e9  # trio's clock
        self._from_ns: int | None = None
        self.holes: list[Hole] = []
        self.settling = False

    @property
    def begun(self) -> bool:
        """Whether a gap must still be reported."""
        return self._from_ns is not None

    @property
    def provable(self) -> bool:
        """Whether more trades may close a hole."""
        return any(not hole.conflict for hole in self.holes)

    def begin(self, from_ns: int) -> None:
        """Note that bars are in doubt from a venue time on."""
        self._from_ns = from_ns if self._from_ns is None else min(self._from_ns, from_ns)

    def end(self, from_ns: int) -> int:
        """End the doubt; return where its gap begins, at most `from_ns`."""
        begin_ns = from_ns if self._from_ns is None else min(self._from_ns, from_ns)
        self._from_ns = None
        self.holes = []
        self._settled_at = trio.current_time()
        return begin_ns

    def waits_s(self) -> Iterator[float]:
        """Yield how long to wait before each try to settle the doubt."""
        if trio.current_time() - self._settled_at < self._limits.calm_s:
            self._wait_s = min(2 * self._wait_s, self._limits.doubt_s_max)
        else:
            self._wait_s = self._limits.doubt_s
        for _ in range(self._limits.doubt_tries_max):
            yield self._wait_s

    def open_hole(self, from_ns: int, after: Key | None) -> None:
        """Add a hole after the last known trade."""
        last = self.holes[-1] if self.holes else None
        if last is not None and not last.conflict and (last.to_ns == 0 or len(self.holes) >= _HOLES_MAX):
            last.to_ns = 0
        else:
            self.holes.append(Hole(from_ns, 0, after))

    def close_hole(self, to_ns: int) -> None:
        """Note the first trade after the newest hole."""
        for hole in self.holes[-2:]:  # a conflict may have come after it
            if hole.to_ns == 0 and to_ns >= hole.from_ns:
                hole.to_ns = to_ns

    def add_conflict(self, at_ns: int) -> None:
        """Add a time whose trades, or their order, are unknown."""
        if len(self.holes) < _HOLES_MAX and not any(
            one.conflict and one.from_ns == at_ns for one in self.holes
        ):
            self.holes.append(Hole(at_ns, at_ns, conflict=True))

    def add_holes(self, holes: Iterable[Hole]) -> None:
        """Add holes that were found after a loss."""
        self.holes += holes
        self.holes.sort(key=lambda hole: (hole.to_ns == 0, hole.from_ns))

    def prove(self, piece: list[Trade], reaches: Callable[[Key], bool]) -> None:
        """Close the holes that a piece covers, and shorten those that it covers in part.

        `reaches` returns whether the piece begins at or before a known trade. Several trades may have one
        time, so a piece that begins in the middle of them proves nothing about the others.
        """
        if not piece:
            return
        first_ns, last_ns = piece[0].venue_ns, piece[-1].venue_ns
        left = []
        for hole in self.holes:
            ends = hole.to_ns == 0 or last_ns >= hole.to_ns
            if hole.conflict or not ends:
                left.append(hole)
            elif not (reaches(hole.after) if hole.after else first_ns < hole.from_ns):
                if first_ns >= hole.from_ns and (hole.to_ns == 0 or first_ns < hole.to_ns):
                    hole.to_ns = first_ns
                left.append(hole)
        self.holes = left


def gaps_of(from_ns: int, holes: Iterable[Hole], until_ns: int) -> Iterator[tuple[int, int, bool]]:
    """Yield (from, to, closed) of an interruption's gaps: each hole open, and the spans between closed."""
    reached_ns = from_ns
    found = False
    for hole_ns, to_ns in sorted((hole.from_ns, hole.to_ns or until_ns) for hole in holes):
        if reached_ns < hole_ns:
            yield reached_ns, hole_ns, True
        yield hole_ns, to_ns, False
        reached_ns = max(reached_ns, to_ns)
        found = True
    if reached_ns < until_ns or not found:
        yield reached_ns, until_ns, True
