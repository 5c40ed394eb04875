"""Streams of events, one for each series of an instrument, read from its files.

Owns which files are open. Promises: events in order of time; a file is opened when its first time is reached
and closed at its end, so files that do not overlap are open one at a time; an error in a file is raised when
all events before it, of all files, were taken. Created by the importer, read by the days.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from adapters.files.merging import (
    PRICE_SERIES,
    SERIES_NAMES,
    Combiner,
    Group,
    MarketEvent,
    Origin,
    union,
)
from engine.errors import ImportRefused, UsageError
from engine.events import Candle, InstrumentListed
from engine.values import format_interval

__all__ = ["NEVER", "FileSource", "InstrumentStream", "kind_text"]

NEVER: Final = 1 << 63
"""Later than every time."""


class FileSource:
    """The events of one file, read ahead by one. `count` are those taken.

    `open_file` begins to read it. `head_ns` is the time of the next event, NEVER at the end; before it is
    open a time that is not later, `first_ns`.
    """

    def __init__(self, name: str, first_ns: int, open_file: Callable[[], Iterator[MarketEvent]]) -> None:
        self.origin = Origin(name)
        self.head_ns = first_ns
        self.count = 0
        self._open = open_file
        self._events: Iterator[MarketEvent] = iter(())
        self._head: MarketEvent | None = None
        self._error: ImportRefused | None = None

    def open(self) -> None:
        """Begin to read."""
        self._events = self._open()
        self._advance()

    def run(self, until_ns: int) -> Iterator[MarketEvent]:
        """Take the events before a time. Raises ImportRefused."""
        event, last = self._head, None
        taken = 0
        while event is not None and event.recv_ns < until_ns:
            yield event
            taken += 1
            last = event
            try:
                event = next(self._events, None)
            except ImportRefused as error:
                self._fail(error)
                event = None
        self.count += taken
        if last is not None:
            self.origin.note(last)
        self._set_head(event)
        if self._error is not None and self.head_ns < until_ns:
            raise self._error

    def group(self) -> list[MarketEvent]:
        """Take the events of the next time stamp. Raises ImportRefused."""
        ns = self.head_ns
        events = [self._take()]
        while self.head_ns == ns and self._error is None:
            events.append(self._take())
        return events

    def _take(self) -> MarketEvent:
        event = self._head
        if event is None:
            assert self._error is not None, "the source has ended"
            raise self._error
        self.count += 1
        self._advance()
        return event

    def _advance(self) -> None:
        try:
            self._set_head(next(self._events, None))
        except ImportRefused as error:
            self._fail(error)
            self._set_head(None)

    def _set_head(self, event: MarketEvent | None) -> None:
        self._head = event
        if event is not None:
            self.head_ns = event.recv_ns
        elif self._error is None:
            self.head_ns = NEVER

    def _fail(self, error: ImportRefused) -> None:
        self._error = error
        self.head_ns = max(self.head_ns, error.at_ns)


class InstrumentStream:
    """One series of an instrument; of prices, trades, or candles of `interval_ns` if that is not 0.

    `listed.instrument` is its number in them. `repeated` counts the events that were in several files and
    count once, `count` all others.
    """

    def __init__(
        self,
        listed: InstrumentListed,
        sources: Sequence[FileSource],
        *,
        series: int = PRICE_SERIES,
        interval_ns: int = 0,
    ) -> None:
        self.listed = listed
        self.series = series
        self._interval_ns = interval_ns
        self.repeated = 0
        self.combiner = Combiner(listed.name, sequence=listed.ids == "sequence", what=SERIES_NAMES[series])
        self._sources = sources
        self._waiting = deque(sorted(sources, key=lambda source: source.head_ns))
        self._open: list[FileSource] = []

    @property
    def count(self) -> int:
        """The number of events taken so far, each once."""
        return sum(source.count for source in self._sources) - self.repeated

    def next_ns(self) -> int:
        """Return the time of the next event, NEVER at the end."""
        self._open_due()
        return min((source.head_ns for source in self._open), default=NEVER)

    def run(self, until_ns: int) -> Iterator[MarketEvent]:
        """Take the events before a time. Raises ImportRefused, UsageError for a contradiction."""
        while self.next_ns() < until_ns:
            if len(self._open) == 1:
                alone_ns = self._waiting[0].head_ns if self._waiting else NEVER
                yield from self._open[0].run(min(until_ns, alone_ns))
            else:
                groups, begun = self.groups(), self.begun
                yield from self.combiner.combine(groups, begun)

    def groups(self) -> list[Group]:
        """Take what the files have at the next time stamp. The caller lets `combiner` combine it."""
        ns = self.next_ns()
        groups: list[Group] = [
            (source.origin, source.group()) for source in self._open if source.head_ns == ns
        ]
        self.repeated += sum(len(events) for _, events in groups) - len(union(groups))
        return groups

    def check_kind(self, event: MarketEvent, where: str) -> None:
        """Raise UsageError if an event of the series elsewhere is of another kind."""
        if self.series != PRICE_SERIES:
            return
        interval_ns = event.interval_ns if isinstance(event, Candle) else 0
        if interval_ns != self._interval_ns:
            raise UsageError(
                f"{self.listed.name}: {where} has {kind_text(interval_ns)} of it, the files have "
                f"{kind_text(self._interval_ns)}; import them into another journal folder"
            )

    @property
    def begun(self) -> list[Origin]:
        """The files that have had events and may have more."""
        return [source.origin for source in self._open if source.origin.last_ns >= 0]

    def _open_due(self) -> None:
        """Open the files that begin by the next time stamp, and leave those that have ended."""
        while True:
            for source in [source for source in self._open if source.head_ns == NEVER]:
                self.combiner.forget(source.origin)
                self._open.remove(source)
            next_ns = min((source.head_ns for source in self._open), default=NEVER)
            if not self._waiting or self._waiting[0].head_ns > next_ns:
                return
            self._waiting[0].open()
            self._open.append(self._waiting.popleft())


def kind_text(interval_ns: int) -> str:
    """Return "trades" for 0, else "candles of" the interval."""
    return f"candles of {format_interval(interval_ns)}" if interval_ns else "trades"
