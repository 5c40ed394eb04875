"""A series of a recording as a part of an import: its messages as events.

Owns what an event of a recorded message says; what is counted as damage is that of `books`, and gaps in trade
ids. Called by the importer.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Final

from adapters.files.books import CROSSED, FEED, BookBuilder, Damages, Update, is_crossed
from adapters.files.kinds import BOOKS, CONTEXTS, QUOTES, TRADES
from adapters.files.market_rows import common_scale, exact
from adapters.files.merging import MarketEvent
from adapters.files.messages import AGGREGATED, Piece, Seen
from adapters.files.names import NameFacts
from adapters.files.numbers import number_reader
from adapters.files.recordings import BACKLOG_NS, RecordedSeries, Recording
from adapters.files.reports import FileReport, Meter
from adapters.files.streams import FileSource
from adapters.files.survey import IDS_REMEMBERED, Survey
from engine.errors import NumberError, UsageError
from engine.events import BookRead, ContextRead, FeedDamaged, FeedGap, InstrumentListed, Quote, Trade

__all__ = ["RecordedPart", "recorded_parts"]

_CONTEXT_DECIMALS_MAX: Final = 30


def recorded_parts(
    recording: Recording, meter: Meter, *, instrument: str | None, data: str | None, depth: int
) -> list[RecordedPart]:
    """Return the parts of a recording: of all its instruments, or of one; of all kinds, or of one.

    Raises UsageError if that is nothing, ImportRefused.
    """
    found = recording.survey(meter.measure)
    meter.measured(recording.path, sum(one.count for one in found))
    symbols = sorted({one.symbol for one in found})
    if not found:
        raise UsageError(f"{recording.path}: no message of market data in it")
    if instrument is not None and instrument not in symbols:
        raise UsageError(
            f"{recording.path}: has {', '.join(symbols[:20])}, not {instrument}; without --instrument all of "
            "them are imported"
        )
    parts = [RecordedPart(recording, one, depth) for one in found]
    wanted = [
        part
        for part in parts
        if part.instrument == (instrument or part.instrument) and data in (None, part.kind)
    ]
    if not wanted:
        kinds = ", ".join(sorted({part.kind for part in parts}))
        raise UsageError(f"{recording.path}: --data {data}: it has {kinds}")
    return wanted


class RecordedPart:
    """One series of a recording; see `parts.Part`."""

    facts: NameFacts | None = None
    silence: str | None = None
    interval_ns = 0

    def __init__(self, recording: Recording, series: RecordedSeries, depth: int) -> None:
        self.path: Path = recording.path
        self.instrument = series.symbol
        self.kind = TRADES if series.kind == AGGREGATED else series.kind
        self.found: Survey = series.found
        self.duplicates = 0
        self.damages = Damages()
        self._recording = recording
        self._series = series
        self._depth = depth
        self._deepest = 0
        self._backlog = 0
        self._missing = 0
        self._line = 0
        self._source: FileSource | None = None

    def source(self, listed: InstrumentListed, meter: Meter) -> FileSource:
        """See `Part`."""
        self._source = FileSource(str(self.path), self.found.first_ns, lambda: self._read(listed, meter))
        return self._source

    def report(self) -> FileReport:
        """See `Part`."""
        assert self._source is not None, "every part is a source"
        notes = self.damages.notes()
        if self._backlog:
            notes.append(
                f"{self._backlog} trades that are older than the recording, sent on subscribing, left out"
            )
        if self._missing:
            notes.append(
                f"{self._missing} trade ids are missing; the gaps are played, bars there are incomplete"
            )
        if self._deepest > self._depth:
            notes.append(
                f"{self._depth} levels of each side are kept, of {self._deepest} at most (--depth keeps more)"
            )
        return FileReport(
            file=str(self.path),
            instrument=self.instrument,
            kind=self.kind,
            interval="",
            layout=self._recording.layout,
            columns={},
            derived=("instrument",),
            events=self._source.count,
            duplicates=self.duplicates,
            notes=(*self._recording.notes, *(f"{self.instrument} {note}" for note in notes)),
        )

    def _read(self, listed: InstrumentListed, meter: Meter) -> Iterator[MarketEvent]:
        with closing(self._recording.open(self._series)) as reader:
            meter.opened(self, reader)
            events = _EVENTS[self.kind](self, listed)
            for recv_ns, piece in reader.of_series():
                self._line = reader.line
                try:
                    yield from events.of(recv_ns, piece)
                except NumberError as error:
                    raise reader.refused(str(error)) from error
            meter.closed(self, self.path)

    def where(self) -> str:
        """Return the line that is being read."""
        return f"line {self._line}"

    def note_depth(self, levels: int) -> int:
        """Note how deep a book is, and return how many levels of it are kept."""
        self._deepest = max(self._deepest, levels)
        return self._depth

    def note_trades(self, *, backlog: int = 0, missing: int = 0, duplicates: int = 0) -> None:
        """Count trades that are left out or missing."""
        self._backlog += backlog
        self._missing += missing
        self.duplicates += duplicates

    def is_backlog(self, venue_ns: int) -> bool:
        """Return whether a trade is older than the recording."""
        return venue_ns < self._recording.begin_ns - BACKLOG_NS

    @property
    def counts_ids(self) -> bool:
        """Whether the ids of trades count up by one."""
        return self._recording.layout == "binance-messages"


class _Events:
    """Makes events of the pieces of one series."""

    def __init__(self, part: RecordedPart, listed: InstrumentListed) -> None:
        self.part = part
        self.number = listed.instrument
        self.price = number_reader("price", listed.price_scale)
        self.size = number_reader("size", listed.size_scale)
        self.size_or_none = number_reader("size", listed.size_scale, zero=True)

    def of(self, recv_ns: int, piece: Piece) -> Iterator[MarketEvent]:
        """Yield the events of a piece. Raises NumberError."""
        raise NotImplementedError


class _Trades(_Events):
    """Each trade once, by its id."""

    def __init__(self, part: RecordedPart, listed: InstrumentListed) -> None:
        super().__init__(part, listed)
        self._new: set[int] = set()
        self._old: set[int] = set()
        self._last_id = -1
        self._last_ns = 0

    def of(self, recv_ns: int, piece: Piece) -> Iterator[MarketEvent]:
        price, size, side, trade_id = piece.data
        trade = Trade(
            recv_ns, piece.venue_ns, self.number, self.price(price), self.size(size), side, trade_id
        )
        if trade_id in self._new or trade_id in self._old:
            self.part.note_trades(duplicates=1)
            return
        self._new.add(trade_id)
        if len(self._new) >= IDS_REMEMBERED:
            self._old, self._new = self._new, set()
        if self.part.is_backlog(piece.venue_ns):
            self.part.note_trades(backlog=1)
            return
        if self.part.counts_ids:
            if 0 <= self._last_id < trade_id - 1:
                self.part.note_trades(missing=trade_id - 1 - self._last_id)
                yield FeedGap(recv_ns, FEED, self.number, self._last_ns, max(self._last_ns, piece.venue_ns))
            self._last_id = max(self._last_id, trade_id)
        self._last_ns = max(self._last_ns, piece.venue_ns)
        yield trade


class _Quotes(_Events):
    """Each best bid and ask; one that is crossed is shown as empty, once."""

    _was_crossed = False

    def of(self, recv_ns: int, piece: Piece) -> Iterator[Quote]:
        values = [
            read(cell) if cell else 0
            for read, cell in zip((self.price, self.size_or_none) * 2, piece.data, strict=True)
        ]
        venue_ns = piece.venue_ns or recv_ns
        crossed = is_crossed(values[0], values[2])
        if not crossed:
            yield Quote(recv_ns, venue_ns, self.number, *values)
        elif not self._was_crossed:
            self.part.damages.add(CROSSED, self.part.where(), recv_ns)
            yield Quote(recv_ns, venue_ns, self.number, 0, 0, 0, 0)
        self._was_crossed = crossed


class _Books(_Events):
    """The book after each message. One that a message has whole, and unnumbered, is recorded as it is."""

    def __init__(self, part: RecordedPart, listed: InstrumentListed) -> None:
        super().__init__(part, listed)
        depth = part.note_depth(0)
        self._builder = BookBuilder(self.number, part.damages, part.where, depth)
        self._was_crossed = False

    def of(self, recv_ns: int, piece: Piece) -> Iterator[BookRead | FeedDamaged]:
        seen: Seen = piece.data
        venue_ns = piece.venue_ns or recv_ns
        if seen.whole and seen.last is None:
            yield from self._complete(recv_ns, venue_ns, seen)
            return
        bids, asks = (
            [(self.price(price), self.size_or_none(size)) for price, size, _ in side]
            for side in (seen.bids, seen.asks)
        )
        if seen.whole:
            self._builder.snapshot(recv_ns, bids, asks, last=seen.last, limits=seen.limits)
        else:
            self._builder.update(recv_ns, Update(bids, asks, seen.after, seen.last))
        self.part.note_depth(max(map(len, self._builder.book.sizes)))
        yield from self._builder.show(recv_ns, venue_ns)

    def _complete(self, recv_ns: int, venue_ns: int, seen: Seen) -> Iterator[BookRead | FeedDamaged]:
        """Yield a complete book, with its counts of orders; an unknown one where it is crossed."""
        depth = self.part.note_depth(max(len(seen.bids), len(seen.asks)))
        bids, asks = (
            tuple((self.price(price), self.size(size), count) for price, size, count in side[:depth])
            for side in (seen.bids, seen.asks)
        )
        _check_order(bids, -1)
        _check_order(asks, 1)
        crossed = bool(bids and asks) and is_crossed(bids[0][0], asks[0][0])
        if not crossed:
            yield BookRead(recv_ns, venue_ns, self.number, bids, asks)
        elif not self._was_crossed:
            self.part.damages.add(CROSSED, self.part.where(), recv_ns)
            reason = "the bid of the book is not below its ask"
            yield FeedDamaged(recv_ns, FEED, "book", self.number, reason)
            yield BookRead(recv_ns, venue_ns, self.number, (), ())
        self._was_crossed = crossed


class _Contexts(_Events):
    """Each context."""

    def of(self, recv_ns: int, piece: Piece) -> Iterator[ContextRead]:
        found = [exact("a value", cell, _CONTEXT_DECIMALS_MAX) if cell else None for cell in piece.data]
        if any(one is not None for one in found):
            scale, values = common_scale(found)
            yield ContextRead(recv_ns, self.number, scale, *values)


_EVENTS: Final = {TRADES: _Trades, QUOTES: _Quotes, BOOKS: _Books, CONTEXTS: _Contexts}


def _check_order(levels: tuple[tuple[int, int, int], ...], sign: int) -> None:
    """Refuse levels that are not best first, each once."""
    if any((two[0] - one[0]) * sign <= 0 for one, two in pairwise(levels)):
        raise NumberError("the levels of a book are not in order of their prices, best first")
