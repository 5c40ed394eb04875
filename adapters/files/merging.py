"""Combines one series of an instrument that several sources have: files, and a day that exists.

Owns what counts once and what is a contradiction. A contradiction is a UsageError that names both sources
and the time. Called by the streams of the import (`streams.py`) and by the days (`days.py`), with what each
source has at one time stamp.

A series is one kind of data: trades or candles, quotes, books, contexts, funding rates (`series_of`).

Candles of one window, and funding rates of one time, are equal. Contexts of one time agree in what both have.
Quotes and books are known by their place only, as trades without ids are, and so are trades of recordings,
whose time of receipt is another one than the venue's. Trades with ids: those of one time and id are equal;
where the venue's ids count up (`InstrumentListed.ids`) they still do so together, or they are two kinds of
ids, such as those of trades and of aggregated trades. Trades without ids differ by their place only: where
the times of two sources overlap, both have the same trades, or all of one lie between two trades of the
other. At the first and the last time stamp of such an overlap, where a file may begin or end in the middle, a
trade counts as often as it does in the source that has most of it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

from engine.clock import iso_text
from engine.errors import UsageError
from engine.events import (
    BookRead,
    Candle,
    ContextRead,
    FeedDamaged,
    FeedGap,
    FundingRead,
    Quote,
    Trade,
)
from engine.values import rescale

__all__ = [
    "BOOK_SERIES",
    "CONTEXT_SERIES",
    "PRICE_SERIES",
    "QUOTE_SERIES",
    "RATE_SERIES",
    "SERIES_NAMES",
    "Combiner",
    "Group",
    "MarketEvent",
    "Origin",
    "series_of",
    "union",
]

MarketEvent = Trade | FeedGap | Candle | Quote | BookRead | FeedDamaged | ContextRead | FundingRead

PRICE_SERIES: Final = 0
QUOTE_SERIES: Final = 1
BOOK_SERIES: Final = 2
CONTEXT_SERIES: Final = 3
RATE_SERIES: Final = 4
"""The kinds of data of an instrument, in the order of their events of one time stamp: a trade comes before
the book that shows what it left, and a settlement last."""

_SERIES: Final[dict[type, int]] = {
    Trade: PRICE_SERIES,
    FeedGap: PRICE_SERIES,
    Candle: PRICE_SERIES,
    Quote: QUOTE_SERIES,
    BookRead: BOOK_SERIES,
    FeedDamaged: BOOK_SERIES,
    ContextRead: CONTEXT_SERIES,
    FundingRead: RATE_SERIES,
}
_BY_PLACE: Final = (Trade, FeedGap, Quote, BookRead, FeedDamaged)
SERIES_NAMES: Final = ("trades", "quotes", "books", "contexts", "rates")
"""What the series are called, by their place."""

_VALUES: Final = ("mark", "oracle", "mid", "funding", "premium", "open_interest")

# How two sources without ids may follow each other, as runs of time stamps. A, B: only one has trades. c:
# both have the same trades, at one time stamp, C: at several. d: they differ; D: they differ at the last of
# several.
_IN_PLACE: Final = re.compile(r"[AB]?[cCdD]?[AB]?|A[cd]?B[cd]?A?|B[cd]?A[cd]?B?")
_SCALE_MAX: Final = 60
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
        if isinstance(event, Trade) and _has_id(event):
            self.by_id = True
            if isinstance(event.trade_id, int):
                self.number = max(self.number, event.trade_id)


Group = tuple[Origin, Sequence[MarketEvent]]
"""A source and what it has at one time stamp: at least one event."""


class Combiner:
    """Combines the sources of one series, which is called `what`. `sequence`: the venue's ids count up."""

    def __init__(self, instrument: str, *, sequence: bool, what: str = "trades") -> None:
        self._instrument = instrument
        self._what = what
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
        if not isinstance(groups[0][1][0], _BY_PLACE):
            return groups
        for origin, events in groups:
            origin.by_id = origin.by_id or (origin.last_ns < 0 and _has_id(events[0]))
        present = [origin for origin, _ in groups]
        ahead: set[Origin] = set()
        for at, (origin, events) in enumerate(groups):
            for other, others in groups[at + 1 :]:
                if not (origin.by_id and other.by_id):
                    mark = "c" if _same(events, others) else "d"
                    ahead |= self._follow(origin, other, mark, events[0].recv_ns)
            for other in begun:
                if other is origin:
                    continue
                if origin.by_id and other.by_id:
                    self._check_sequence(origin, events, other)
                elif other not in present:
                    self._follow(origin, other, "A", events[0].recv_ns)
        return sorted(groups, key=lambda group: (group[0] not in ahead, -len(group[1])))

    def _check_equal(self, groups: Sequence[Group]) -> None:
        """Check that what must be equal is: candles of one window, trades of one id, rates of one time."""
        held: dict[int | str, tuple[object, Origin]] = {}
        for origin, events in groups:
            for event in events:
                for key, value, what in _claims(event):
                    first, holder = held.setdefault(key, (value, origin))
                    if first != value:
                        raise self._contradiction(holder, origin, event.recv_ns, f"have different {what}")

    def _check_sequence(self, origin: Origin, events: Sequence[MarketEvent], other: Origin) -> None:
        """Check that ids which count up come after those that another source has had so far."""
        for event in events if self._sequence else ():
            number = event.trade_id if isinstance(event, Trade) else 0
            if isinstance(number, int) and 0 < number <= other.number:
                what = f"have ids that do not count up together: {number} comes after {other.number}"
                raise self._contradiction(other, origin, event.recv_ns, what)

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
            what = f"overlap in time, do not have the same {self._what} there, and have no ids"
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


def series_of(event: MarketEvent) -> int:
    """Return the series that an event belongs to."""
    return _SERIES[event.__class__]


def _has_id(event: MarketEvent) -> bool:
    """Return whether an event is known by its id: a trade that was not received at another time."""
    return isinstance(event, Trade) and bool(event.trade_id) and event.recv_ns == event.venue_ns


def _content(event: MarketEvent) -> object:
    if isinstance(event, Trade) and event.recv_ns == event.venue_ns:
        return event.price, event.size, event.aggressor
    return event.start_ns if isinstance(event, Candle) else event


def _claims(event: MarketEvent) -> Iterator[tuple[int | str, object, str]]:
    """Yield what an event says that no other one of its time may contradict: key, value, name."""
    if isinstance(event, Trade):
        if event.trade_id:
            yield event.trade_id, event, f"trades with id {event.trade_id}"
    elif isinstance(event, Candle):
        yield "candle", event, "candles"
    elif isinstance(event, FundingRead):
        yield "rate", event, "funding rates"
    elif isinstance(event, ContextRead):
        for name in _VALUES:
            value = getattr(event, name)
            if value is not None:
                yield name, rescale(value, event.scale, _SCALE_MAX), name.replace("_", " ")


def _same(one: Sequence[MarketEvent], other: Sequence[MarketEvent]) -> bool:
    return Counter(map(_content, one)) == Counter(map(_content, other))
