"""The known trades of one instrument: duplicates are dropped and gaps are detected.

A venue that numbers its trades without gaps proves by their numbers that none is missing. One that does
not, but sends its newest trades again on every subscribe, proves it by an overlap: a trade is known by (time,
trade id), the newest are remembered, and after a loss the trades sent again either contain the last known
one, or do not. Pure: no clock, no socket. Called by `gaps.py`.
"""

from __future__ import annotations

from operator import attrgetter
from typing import Final, NamedTuple

from adapters.transport.health import FeedHealth
from engine.events import Trade

__all__ = ["MEMORY_MAX", "LastTrade", "TradeMemory", "by_time"]

MEMORY_MAX: Final = 4096
"""Trades remembered per instrument: more than a hundred times a venue's backlog."""

_NOTHING: Final = object()


class LastTrade(NamedTuple):
    """The newest trade of an instrument in the journal: its venue time, and every trade id at that time."""

    venue_ns: int
    trade_ids: tuple[int, ...]


class TradeMemory:
    """One instrument's memory.

    A trade older than `since_ns` is never emitted, since a bar must not be built from part of its trades:
    trades that a venue sends on the first subscribe may be minutes old. With `last` (from the journal of an
    earlier session) that limit is the last trade itself, so trades between the sessions are emitted too.

    `resuming`: the next trades must be joined to the known ones.
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
        self._health = health  # counts duplicates, conflicts and old trades
        # Content by (venue_ns, trade_id), oldest first; None: known without its content.
        self._memory: dict[tuple[int, int | str], tuple[int, int, int] | None] = {}
        self._memory_max = memory_max
        self.proved = last is not None  # last_ns is the time of a trade, not only of a start
        self.last_ns = since_ns if last is None else last.venue_ns
        self._floor_ns = self.last_ns - 1
        if last is not None:
            for trade_id in last.trade_ids:
                self._memory[last.venue_ns, trade_id] = None
        self.resuming = last is not None
        self.doubtful = False
        self.waiting: list[Trade] | None = None  # trades held until the gap is resolved
        self.carried: list[Trade] = []  # trades that were held when the connection was lost

    def lose(self) -> None:
        """Note a lost connection: the next trades must be joined first, and held ones wait for that."""
        self.resuming = True
        if self.waiting is not None:
            self.carried = (self.carried + self.waiting)[-self._memory_max :]
            self.waiting = None

    def overlaps(self, trades: list[Trade]) -> bool:
        """Return whether trades sent again on subscribing overlap with the known ones.

        They do if the last trade is among them or, if none is known, one from before the start.
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
        """Return whether a trade is known, or too old to be emitted."""
        return trade.venue_ns <= self._floor_ns or (trade.venue_ns, trade.trade_id) in self._memory

    def join(self) -> None:
        """Note that the gap is resolved: the next trades are live."""
        self.resuming = False
        self.doubtful = False

    def take(self, trades: list[Trade]) -> list[Trade]:
        """Return the trades that are new, in their order, and remember them.

        A known id with other content is left out, counted, and sets `doubtful`: it is unknown which
        of the two is right, so the next trades prove nothing.
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
            # A dropped entry must not be emitted again.
            self._floor_ns = max(self._floor_ns, min(oldest[0], self.last_ns - 1))
        return fresh


def by_time(trades: list[Trade]) -> list[Trade]:
    """Return trades by rising venue time; equal times keep their order, which is the venue's."""
    last_ns = 0
    for trade in trades:
        if trade.venue_ns < last_ns:
            return sorted(trades, key=_venue_ns)
        last_ns = trade.venue_ns
    return trades


_venue_ns = attrgetter("venue_ns")
