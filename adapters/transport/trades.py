"""What of one instrument's prints has been seen: each is told once, and a hole is named.

The venue numbers nothing, and replays its newest prints untagged on every subscribe. So a print is
known by (time, trade id), the newest are remembered, and after a loss the replay either contains the last
print that was seen, which proves that nothing between is missing, or it does not. Pure: no clock,
no socket. Called by `feed.py`.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from adapters.transport.health import FeedHealth
from engine.events import Trade

__all__ = ["MEMORY_MAX", "LastTrade", "Prints"]

MEMORY_MAX: Final = 4096
"""Prints remembered per instrument: more than a hundred replays of the venue's 30."""

_NOTHING: Final = object()


class LastTrade(NamedTuple):
    """The newest print of an instrument in the journal: its venue time, and every trade id at that time."""

    venue_ns: int
    trade_ids: tuple[int, ...]


class Prints:
    """One instrument's memory.

    Nothing older than `since_ns` is ever told, since a bar must not be built from part of its prints:
    the replay on the first subscribe reaches minutes back. With `last` (from the journal of an earlier
    session) that limit is the last print itself, so what was printed between the sessions is told too.

    `resuming` says that the next frame is a replay that must be joined to what was seen before.
    """

    __slots__ = (
        "_floor_ns",
        "_health",
        "_memory",
        "_memory_max",
        "carried",
        "doubtful",
        "last_ns",
        "proved",
        "resuming",
        "waiting",
    )

    def __init__(
        self,
        health: FeedHealth,
        since_ns: int,
        last: LastTrade | None = None,
        memory_max: int = MEMORY_MAX,
    ) -> None:
        self._health = health  # counts duplicates, conflicts and old prints
        # Content by (venue_ns, trade_id), oldest first; None: seen, content not known.
        self._memory: dict[tuple[int, int | str], tuple[int, int, int] | None] = {}
        self._memory_max = memory_max
        self.proved = last is not None  # last_ns is the time of a print, not only of a start
        self.last_ns = since_ns if last is None else last.venue_ns
        self._floor_ns = self.last_ns - 1
        if last is not None:
            for trade_id in last.trade_ids:
                self._memory[last.venue_ns, trade_id] = None
        self.resuming = last is not None
        self.doubtful = False
        self.waiting: list[Trade] | None = None  # prints held until the hole is closed or given up
        self.carried: list[Trade] = []  # prints that were held when the connection was lost

    def lose(self) -> None:
        """The connection is gone: the next frame is a replay, and what is held waits for its judgement."""
        self.resuming = True
        if self.waiting is not None:
            self.carried = (self.carried + self.waiting)[-self._memory_max :]
            self.waiting = None

    def reaches(self, trades: list[Trade]) -> bool:
        """Say whether a replay joins what was seen.

        It does if it holds the last print or, where none was ever seen, reaches back beyond the start.
        """
        if self.doubtful:
            return False
        if not self.proved:
            return any(trade.venue_ns < self.last_ns for trade in trades)
        last_ns = self.last_ns
        return any(
            trade.venue_ns == last_ns and (last_ns, trade.trade_id) in self._memory for trade in trades
        )

    def has(self, trade: Trade) -> bool:
        """Say whether a print has been seen, or is too old to be told."""
        return trade.venue_ns <= self._floor_ns or (trade.venue_ns, trade.trade_id) in self._memory

    def join(self) -> None:
        """The replay has been judged: what comes next is live."""
        self.resuming = False
        self.doubtful = False

    def take(self, trades: list[Trade]) -> list[Trade]:
        """Return the prints that are new, in their order, and remember them.

        A known id with other content is left out, counted, and sets `doubtful`: which of the two is true
        cannot be told, so the next replay proves nothing.
        """
        memory = self._memory
        fresh = []
        for trade in trades:
            key = (trade.venue_ns, trade.trade_id)
            content = (trade.price, trade.size, trade.aggressor)
            known = memory.get(key, _NOTHING)
            if known is _NOTHING:
                if trade.venue_ns <= self._floor_ns:
                    self._health.dropped["old"] += 1
                    continue
                memory[key] = content
                fresh.append(trade)
                if trade.venue_ns >= self.last_ns:
                    self.last_ns = trade.venue_ns
                    self.proved = True
            elif known is None or known == content:
                self._health.duplicates += 1
            else:
                self._health.conflicts += 1
                self.doubtful = True
                memory[key] = None
        while len(memory) > self._memory_max:
            oldest = next(iter(memory))
            del memory[oldest]
            # What is forgotten must not come back as new.
            self._floor_ns = max(self._floor_ns, min(oldest[0], self.last_ns - 1))
        return fresh
