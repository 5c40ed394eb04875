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

__all__ = ["MEMORY_MAX", "Key", "LastTrade", "TradeMemory", "by_time"]

MEMORY_MAX: Final = 4096
"""Trades remembered per instrument: more than a hundred times a venue's backlog."""

Key = tuple[int, int | str]
"""Time and id of a trade."""

_NOTHING: Final = object()


class LastTrade(NamedTuple):
    """The newest trade of an instrument in the journal: its venue time, and every trade id at that time."""

    venue_ns: int
    trade_ids: tuple[int | str, ...]


class TradeMemory:
    """One instrument's memory.

    A trade older than `since_ns` is never emitted, since a bar must not be built from part of its trades:
    trades that a venue sends on the first subscribe may be minutes old. With `last` (from the journal of an
    earlier session) that limit is the last trade itself, so trades between the sessions are emitted too.

    `resuming`: the next trades must be joined to the known ones. `conflict` and `too_old` are the newest
    trades that `take` left out: of a known id with other content, and older than all that is remembered. The
    caller clears them.
    """

    __slots__ = (
        "_floor_ns",
        "_health",
        "_memory",
        "_memory_max",
        "carried",
        "conflict",
        "last_key",
        "last_ns",
        "proved",
        "resuming",
        "too_old",
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
        # Time and id of the newest trade, None if none is known.
        self.last_key: Key | None = (last.venue_ns, last.trade_ids[-1]) if last and last.trade_ids else None
        if last is not None:
            for trade_id in last.trade_ids:
                self._memory[last.venue_ns, trade_id] = None
        self.resuming = last is not None
        self.conflict: Trade | None = None
        self.too_old: Trade | None = None
        # Pieces of trades, each without a gap, oldest first: held until the gap is resolved, and those that
        # were held when the connection was lost.
        self.waiting: list[list[Trade]] | None = None
        self.carried: list[list[Trade]] = []

    def lose(self) -> None:
        """Note a lost connection: the next trades must be joined first, and held ones wait for that."""
        self.resuming = True
        if self.waiting is not None:
            self.carry(self.waiting)
            self.waiting = None

    def carry(self, pieces: list[list[Trade]]) -> None:
        """Keep trades for the next join; the oldest pieces beyond the memory's size are dropped."""
        self.carried += [piece for piece in pieces if piece]
        while sum(map(len, self.carried)) > self._memory_max:
            del self.carried[0]

    def overlaps(self, trades: list[Trade], key: Key | None = None) -> bool:
        """Return whether trades without a gap begin at or before a known trade, by default the last one.

        They do if it is among them or, if none is known, one from before the start. The last one may be any
        of its time.
        """
        if key is not None:
            return any(trade.venue_ns == key[0] and trade.trade_id == key[1] for trade in trades)
        last_ns = self.last_ns
        if not self.proved:
            return any(trade.venue_ns < last_ns for trade in trades)
        return any(
            trade.venue_ns == last_ns and (last_ns, trade.trade_id) in self._memory for trade in trades
        )

    def has(self, trade: Trade) -> bool:
        """Return whether a trade is known, or too old to be emitted."""
        return trade.venue_ns <= self._floor_ns or (trade.venue_ns, trade.trade_id) in self._memory

    def join(self) -> None:
        """Note that the gap is resolved: the next trades are live."""
        self.resuming = False

    def take(self, trades: list[Trade]) -> list[Trade]:
        """Return the trades that are new, in their order, and remember them.

        A known id with other content is left out and counted: it is unknown which of the two is right.
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
                    self.too_old = trade
                    continue
                memory[key] = content
                fresh.append(trade)
                if trade.venue_ns >= self.last_ns:
                    self.last_ns = trade.venue_ns
                    self.last_key = key
                    self.proved = True
            elif known is None or known == content:
                self._health.duplicates += 1
            else:
                self._health.conflicts += 1
                self.conflict = trade
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
