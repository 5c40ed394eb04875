"""What a journal has of a venue's history, and what it does not have yet: the holes of a series.

A series is the candles of one instrument and interval, its funding rates, or its open interest. Its windows
have one length, `step_ns`; a rate or a reading of open interest belongs to the window of its time. A window
is *known* if the journal has its candle or rate, or if the venue has none by its custom and said so
`SETTLED_NS` or more after the window's end, when it still kept that window. Every other window is missing.

A missing or silent window is requested again as soon as its age has doubled since the last answer, and an
hour after it at the latest, so a candle that the venue publishes late is found. A candle that was read within
the venue's grace after its end may lack trades: it counts as missing. Pure. Called by `backfill.py`.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import msgspec

from engine.clock import SECOND_NS
from engine.events import CandleRead, FundingRead, HistoryRead, OpenInterestRead

__all__ = [
    "AGAIN_NS",
    "FUNDING",
    "OPEN_INTEREST",
    "SETTLED_NS",
    "HistorySeries",
    "Row",
    "Spans",
    "merged",
    "series_of",
    "without",
]

Row = CandleRead | FundingRead | OpenInterestRead
"""What a venue has of a window."""

FUNDING: Final = 0
"""In place of an interval: the series of funding rates."""

OPEN_INTEREST: Final = -1
"""In place of an interval: the series of open interest."""

AGAIN_NS: Final = 3_600 * SECOND_NS
"""After which time a window without a candle is requested again."""

SETTLED_NS: Final = 600 * SECOND_NS
"""How long after a window's end a venue may still be about to publish its candle."""

_JOIN_WINDOWS: Final = 500
"""Holes with at most so many windows between them are one request: the rows cost less than a request."""

Spans = list[tuple[int, int]]
"""Ranges (start, end) in UTC nanoseconds, ascending and disjoint; each end is exclusive."""


class HistorySeries(msgspec.Struct):
    """The record of one series. `times` are starts of candles or times of rates.

    `step_ns` is set before windows are asked for: in a journal a rate has no length.
    """

    step_ns: int = 0
    times: set[int] = msgspec.field(default_factory=set)
    answers: list[HistoryRead] = msgspec.field(default_factory=list)

    def add(self, event: Row | HistoryRead, grace_ns: int = 0) -> None:
        """Add what the journal has. A candle that was read less than `grace_ns` after its end is left out."""
        if isinstance(event, HistoryRead):
            self.answers.append(event)
        elif isinstance(event, FundingRead | OpenInterestRead):
            self.times.add(event.venue_ns)
        elif not 0 <= event.recv_ns - event.venue_ns < grace_ns:
            self.times.add(event.start_ns)

    def without_rows(self, first_ns: int, last_ns: int) -> Spans:
        """Return the windows from `first_ns` to `last_ns` that have no candle or rate."""
        step = self.step_ns
        held = sorted({at // step * step for at in self.times if first_ns <= at < last_ns})
        return list(without([(first_ns, last_ns)], ((at, at + step) for at in held)))

    def due(self, first_ns: int, last_ns: int, venue_ns: int) -> Spans:
        """Return what to request at the venue's time `venue_ns`: few spans that cover all that is due."""
        holes = self.without_rows(first_ns, last_ns)
        for answer in self.answers:
            age_ns = venue_ns - answer.venue_ns
            if 0 <= age_ns < AGAIN_NS:
                # Windows whose age has not doubled: those that ended `age_ns` or more before the answer.
                recent = (answer.venue_ns - age_ns) // self.step_ns * self.step_ns
                holes = list(without(holes, [(answer.from_ns, min(answer.to_ns, recent))]))
        return merged(holes, self.step_ns * _JOIN_WINDOWS)

    def missing(self, first_ns: int, last_ns: int, *, silent: bool) -> Spans:
        """Return the windows that are not known. `silent`: the venue has no candle of a quiet window."""
        holes = self.without_rows(first_ns, last_ns)
        for answer in self.answers if silent else ():
            settled = (answer.venue_ns - SETTLED_NS) // self.step_ns * self.step_ns
            known = max(answer.from_ns, answer.kept_ns), min(answer.to_ns, settled)
            holes = list(without(holes, [known]))
        return holes


def series_of(event: Row | HistoryRead) -> int:
    """Return the interval of the series that a record belongs to, or what stands for it."""
    if isinstance(event, FundingRead):
        return FUNDING
    return OPEN_INTEREST if isinstance(event, OpenInterestRead) else event.interval_ns


def without(spans: Sequence[tuple[int, int]], taken: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Yield what is left of `spans` without `taken`; both ascending and disjoint, empty ones are ignored."""
    cuts = [one for one in taken if one[0] < one[1]]
    starts = [start for start, _ in cuts]
    for start, end in spans:
        at = start
        place = max(0, bisect_left(starts, start) - 1)
        while place < len(cuts) and cuts[place][0] < end:
            cut_start, cut_end = cuts[place]
            if cut_end > at:
                if at < cut_start:
                    yield at, cut_start
                at = cut_end
            place += 1
        if at < end:
            yield at, end


def merged(spans: Sequence[tuple[int, int]], within: int) -> Spans:
    """Return the spans, those with at most `within` between them as one."""
    joined: Spans = []
    for start, end in spans:
        if joined and start - joined[-1][1] <= within:
            joined[-1] = joined[-1][0], end
        else:
            joined.append((start, end))
    return joined
