"""A range of time within recorded days: which inputs a backtest reads, and from when on it trades.

A range is half-open, [begin, end), in UTC, and goes by the time of receipt. A candle that is received at its
own end belongs to the time before: one that ends at `end` is read, one that ends at `begin` is not. What was
known before the first input of a range without prices (instruments, the newest state of each feed, the
clock's speed) is received at its start. Called by `replay.joining` and `replay.backtesting`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec

from engine.clock import DAY_NS, iso_text, parse_iso
from engine.errors import NumberError, UsageError
from engine.events import (
    Candle,
    ClockAdopted,
    Event,
    FeedDown,
    FeedLagging,
    FeedUp,
    InstrumentListed,
    engine_time,
)
from engine.values import format_span, parse_span
from replay.merging import Batch

__all__ = ["WHOLE", "Range", "clipped", "parse_range"]


class Range(msgspec.Struct, frozen=True):
    """A range of time, UTC nanoseconds. 0: from the first input, or to the last one.

    Inputs are read from `warmup_ns` before `begin_ns`; until `begin_ns` they are history, which strategies
    warm up on and do not trade on.
    """

    begin_ns: int = 0
    end_ns: int = 0
    warmup_ns: int = 0

    @property
    def from_ns(self) -> int:
        """From when on inputs are read."""
        return max(0, self.begin_ns - self.warmup_ns)

    @property
    def whole(self) -> bool:
        """Whether everything is in the range."""
        return not self.from_ns and not self.end_ns

    def has(self, event: Event) -> bool:
        """Return whether an input is in the range."""
        at_ns = engine_time(event)
        if isinstance(event, Candle) and at_ns == event.venue_ns:
            at_ns -= 1
        return self.from_ns <= at_ns and (not self.end_ns or at_ns < self.end_ns)

    def has_day(self, start_ns: int) -> bool:
        """Return whether a UTC day that begins then has a part in the range."""
        return self.from_ns < start_ns + DAY_NS and (not self.end_ns or start_ns < self.end_ns)

    def text(self) -> str:
        """Return the range as people read it: `2025-03-01T00:00:00 to 2025-04-01T12:00:00`."""
        begin = iso_text(self.begin_ns)[:19] if self.begin_ns else "the first input"
        end = iso_text(self.end_ns)[:19] if self.end_ns else "the last input"
        warmup = f", after a warm-up of {format_span(self.warmup_ns)}" if self.warmup_ns else ""
        return f"{begin} to {end}{warmup}"


WHOLE: Final = Range()


def parse_range(begin: str | None, end: str | None, warmup: str | None = None) -> Range:
    """Return the range of two ISO 8601 times, such as 2025-03-01 or 2025-04-01T12:00, and of the length of a
    warm-up, such as 2d. Raises UsageError."""
    begin_ns, end_ns = _parse("begin", begin), _parse("end", end)
    if begin is not None and end is not None and end_ns <= begin_ns:
        raise UsageError(
            f"end {end} is not after begin {begin}; the range is [begin, end), so give a later end"
        )
    try:
        return Range(begin_ns, end_ns, 0 if warmup is None else parse_span(warmup))
    except NumberError as error:
        raise UsageError(f"warmup: {error}") from None


def _parse(name: str, text: str | None) -> int:
    if text is None:
        return 0
    try:
        at_ns = parse_iso(text)
    except UsageError as error:
        raise UsageError(f"{name}: {error}; write it as 2025-03-01 or 2025-03-01T12:00, UTC") from None
    if at_ns <= 0:
        raise UsageError(f"{name}: {text} is before 1970; write it as 2025-03-01 or 2025-03-01T12:00, UTC")
    return at_ns


def clipped(stream: Iterator[Batch], within: Range) -> Iterator[Batch]:
    """Yield the part of a stream in order of time that is in a range, its state before that first.

    The stream is not read beyond the first batch that goes past the end of the range.
    """
    known: dict[tuple[str, str | int], Event] = {}
    begun = False
    for events, lists in stream:
        if not begun and engine_time(events[-1]) < within.from_ns:
            _note(events, known)
            continue
        kept = [event for event in events if within.has(event)]
        if not begun:
            _note([event for event in events if engine_time(event) < within.from_ns], known)
            if not kept:
                continue
            begun = True
            kept = [*(msgspec.structs.replace(one, recv_ns=within.from_ns) for one in known.values()), *kept]
            lists = True
        ended = bool(within.end_ns) and engine_time(events[-1]) > within.end_ns
        if kept:
            yield kept, lists
        if ended:
            return


def _note(events: list[Event], known: dict[tuple[str, str | int], Event]) -> None:
    """Note the newest state that the events say of instruments, feeds and the clock."""
    for event in events:
        if isinstance(event, InstrumentListed):
            known["listed", event.instrument] = event
        elif isinstance(event, FeedUp | FeedDown):
            known["feed", event.feed] = event
        elif isinstance(event, FeedLagging):
            known["lag", event.feed] = event
        elif isinstance(event, ClockAdopted):
            known["clock", event.venue] = event
