"""Combines the trades or candles of one instrument that several sources have: files, and a day that exists.

Owns what counts once and what is a contradiction. A contradiction is a UsageError that names both sources
and the time. Called by the streams of the import (`streams.py`) and by the days (`days.py`), with what each
source has at one time stamp.

Candles: those of one window are equal. Trades with ids: those of one time and id are equal; where the
venue's ids count up (`InstrumentListed.ids`) they still do so together, or they are two kinds of ids, such as
those of trades and of aggregated trades. Trades without ids differ by their place only: where the times of
two sources overlap, both have the same trades, or all of one lie between two trades of the other. At the
first and the last time stamp of such an overlap, where a file may begin or end in the middle, a trade counts
as often as it does in the source that has most of it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Final

from engine.clock import iso_text
from engine.errors import UsageError
from engine.events import Candle, Trade

__all__ = ["Combiner", "Group", "MarketEvent", "Origin", "union"]

MarketEvent = Trade | Candle

# How two sources without ids may follow each other, as runs of time stamps. A, B: only one has trades. c:
# both have the same trades, at one time stamp, C: at several. d: they differ; D: they differ at the last of
# several.
_IN_PLACE: Final = re.compile(r"[AB]?[cCdD]?[AB]?|A[cd]?B[cd]?A?|B[cd]?A[cd]?B?")
_TOGETHER: Final = {"cc": "C", "dc": "C", "Cc": "C", "cd": "D", "dd": "D", "Cd": "D"}


class Origin:
    """What is known of a source.

    `name` is for people, `last_ns` its newest time, -1 before its first event; `by_id` says whether its
    trades have ids, and `number` is the newest integer one.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.last_ns = -1
        self.by_id = False
        self.number = -1

    def note(self, event: MarketEvent) -> None:
        """Note an event of this source: the newest of those that came alone, or each of a group."""
        self.last_ns = event.recv_ns
        if isinstance(event, Trade) and event.trade_id:
            self.by_id = True
            if isinstance(event.trade_id, int):
                self.number = max(self.number, event.trade_id)


Group = tuple[Origin, Sequence[MarketEvent]]
"""A source and what it has at one time stamp: at least one event."""


class Combiner:
    """Combines the sources of one instrument. `sequence`: the venue's ids count up."""

    def __init__(self, instrument: str, *, sequence: bool) -> None:
        self._instrument = instrument
        self._sequence = sequence
        self._runs: dict[tuple[Origin, Origin], str] = {}

    def combine(self, groups: Sequence[Group], begun: Sequence[Origin]) -> list[MarketEvent]:
        """Return the events of one time stamp, each once. Raises UsageError for a contradiction.

        `begun` are the sources that have had events and may have more. The first of `groups` begins first.
        """
        if len(groups) > 1 or len(begun) > 1 or (begun and begun[0] is not groups[0][0]):
            groups = self._checked(groups, begun)
        for origin, events in groups:
            for event in events:
                origin.note(event)
        return union(groups)

    def forget(self, origin: Origin) -> None:
        """Forget a source that has no more."""
        for pair in [pair for pair in self._runs if origin in pair]:
            del self._runs[pair]

    def _checked(self, groups: Sequence[Group], begun: Sequence[Origin]) -> Sequence[Group]:
        """Check each two sources against each other and return the groups in the order of their trades."""
        self._check_equal(groups)
        if not isinstance(groups[0][1][0], Trade):
            return groups
        for origin, events in groups:
            origin.by_id = origin.by_id or (origin.last_ns < 0 and _has_id(events[0]))
        present = [origin for origin, _ in groups]
        ahead: set[Origin] = set()
        for at, (origin, events) in enumerate(groups):
            for other, others in groups[at + 1 :]:
                if not (origin.by_id and other.by_id):
                    mark = "c" if _same(events, others) else "d"
                    ahead |= self._follow(origin, other, mark, events[0].venue_ns)
            for other in begun:
                if other is origin:
                    continue
                if origin.by_id and other.by_id:
                    self._check_sequence(origin, events, other)
                elif other not in present:
                    self._follow(origin, other, "A", events[0].venue_ns)
        return sorted(groups, key=lambda group: (group[0] not in ahead, -len(group[1])))

    def _check_equal(self, groups: Sequence[Group]) -> None:
        """Check that candles of one window, and trades of one id, are equal."""
        held: dict[int | str, tuple[MarketEvent, Origin]] = {}
        for origin, events in groups:
            for event in events:
                key = event.trade_id if isinstance(event, Trade) else "candle"
                if key:
                    first, holder = held.setdefault(key, (event, origin))
                    if first != event:
                        what = f"trades with id {key}" if isinstance(event, Trade) else "candles"
                        raise self._contradiction(holder, origin, event.venue_ns, f"have different {what}")

    def _check_sequence(self, origin: Origin, events: Sequence[MarketEvent], other: Origin) -> None:
        """Check that ids which count up come after those that another source has had so far."""
        for event in events if self._sequence else ():
            assert isinstance(event, Trade)
            if isinstance(event.trade_id, int) and 0 < event.trade_id <= other.number:
                what = f"have ids that do not count up together: {event.trade_id} comes after {other.number}"
                raise self._contradiction(other, origin, event.venue_ns, what)

    def _follow(self, one: Origin, other: Origin, mark: str, ns: int) -> set[Origin]:
        """Note that `one` has trades alone ("A"), or both, the same ("c") or not ("d").

        Return those of the two that were alone before: the trades of their last time stamp come first.
        """
        if (other, one) in self._runs:
            one, other = other, one
            mark = "B" if mark == "A" else mark
        runs = self._runs.get((one, other), "B" if other.last_ns >= 0 else "A" if one.last_ns >= 0 else "")
        before = runs[-1:]
        if mark in "cd" and before in set("cCdD"):
            runs = runs[:-1] + _TOGETHER.get(before + mark, "?")
        elif mark != before:
            runs += mark
        if not _IN_PLACE.fullmatch(runs):
            what = "overlap in time, do not have the same trades there, and have no ids"
            raise self._contradiction(one, other, ns, what)
        self._runs[one, other] = runs
        return {"A": {one}, "B": {other}}.get(before, set())

    def _contradiction(self, one: Origin, other: Origin, ns: int, what: str) -> UsageError:
        return UsageError(
            f"{self._instrument}: {one.name} and {other.name} {what} ({iso_text(ns)}); import one of them"
        )


def union(groups: Sequence[Group]) -> list[MarketEvent]:
    """Return the events of one time stamp: each id once, others as often as one group has them at most."""
    if len(groups) == 1:
        return list(groups[0][1])
    taken: Counter[object] = Counter()
    events: list[MarketEvent] = []
    by_id = all(_has_id(event) for _, group in groups for event in group)
    for _, group in groups:
        own: Counter[object] = Counter()
        for event in group:
            key = event.trade_id if by_id and isinstance(event, Trade) else _content(event)
            own[key] += 1
            if own[key] > taken[key]:
                taken[key] = own[key]
                events.append(event)
    if by_id and all(isinstance(event, Trade) and isinstance(event.trade_id, int) for event in events):
        events.sort(key=lambda event: int(event.trade_id) if isinstance(event, Trade) else 0)
    return events


def _has_id(event: MarketEvent) -> bool:
    return isinstance(event, Trade) and bool(event.trade_id)


def _content(event: MarketEvent) -> object:
    return (event.price, event.size, event.aggressor) if isinstance(event, Trade) else event.start_ns


def _same(one: Sequence[MarketEvent], other: Sequence[MarketEvent]) -> bool:
    return Counter(map(_content, one)) == Counter(map(_content, other))
