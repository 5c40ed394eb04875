"""Decodes the raw messages of a day with the current decoder, and compares the events with the journal.

Compared are all trades, quotes, books, contexts, mids and pushed candles among the journal's inputs, without
their time of receipt, which the feed changes if it holds a message back. Conversely, every decoded event
must be in the journal, unless the feed had a reason to leave it out: venues repeat trades on every subscribe,
a context may not have changed, a book may be older than the last, and messages before the confirmation of a
connection may be dropped.

Events that cannot be compared are only counted: what the feed read over HTTP (trades that fill a gap, polls
while the stream is down, the first value of a channel without messages), and spans that no raw file covers.
Open candles are not recorded; of a closed one the last restatement counts. Memory is bounded by
`ENTRIES_MAX`. The venue's decoder is an argument, so this module is independent of venues. Called by `engine
replay DAY --from-raw`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final

import msgspec

from adapters.transport.latest import quote_of
from adapters.transport.raw import RawMessage, RawReader
from engine.clock import SECOND_NS
from engine.config import parse_config
from engine.errors import VenueProtocolError
from engine.events import (
    BookRead,
    CandleRead,
    ClockAdopted,
    ContextRead,
    DayOpened,
    Event,
    FeedDamaged,
    FeedDown,
    FeedGap,
    FeedPolling,
    FeedUp,
    InstrumentListed,
    LiquidationRead,
    MidsRead,
    Quote,
    SessionStarted,
    Trade,
)
from engine.events.codec import Record
from engine.venue import RawDecoder
from replay.event_keys import Key, content_of, is_same, key_of
from replay.recorded_feed import RecordedFeed
from replay.thinned import BookState, ThinnedBooks

__all__ = ["DecoderOf", "Mismatch", "Redecoded", "redecode"]

HELD_NS: Final = 60 * SECOND_NS
"""How long a feed may hold a message back, in real time: confirmations and queries take less."""

ENTRIES_MAX: Final = 200_000
"""Upper bound on decoded events that wait for their records: many minutes of the busiest market recorded."""

CANDLES_KEPT: Final = 4

_QUERY_SHARE: Final = 12
"""A probe of a silent channel is answered within this part of `HELD_NS`: 5 s."""

_READINGS: Final = (Trade, Quote, BookRead, ContextRead, MidsRead, LiquidationRead)
DecoderOf = Callable[[Sequence[InstrumentListed]], RawDecoder | None]
"""Returns the decoder of the venue that lists these instruments, None if there is none so far."""


class Mismatch(msgspec.Struct, frozen=True):
    """One difference: the raw message by `file` and `number`, the record by `seq`, each if it exists.

    `kind`: "differs", "missing" (no raw message gives the recorded event) or "extra" (there is no record of
    it).
    """

    kind: str
    file: str = ""
    number: int = 0
    seq: int = 0
    recorded: Event | None = None
    decoded: Event | None = None


class Redecoded(msgspec.Struct):
    """The result: messages that cannot be decoded are `refused`; the other fields count events.

    `books` of the missing and extra ones are books.

    Left out by rule: `thinned` books, see `thinned.py`. Not compared: `repeated` (emitted before, older, or
    unchanged), `unconfirmed` (before a connection was confirmed, after the session's last event, or of a book
    that the feed reported as damaged), `over_rest` and `uncovered` records.
    """

    frames: int = 0
    refused: int = 0
    equal: int = 0
    differing: int = 0
    missing: int = 0
    extra: int = 0
    books: int = 0
    thinned: int = 0
    repeated: int = 0
    unconfirmed: int = 0
    over_rest: int = 0
    uncovered: int = 0
    first: Mismatch | None = None
    notes: list[str] = []

    @property
    def same(self) -> bool:
        """Whether the current decoder returns the events of the journal."""
        return not (self.differing or self.missing or self.extra)


class _Entry:
    """A decoded event that waits for its record. `known`: a repetition; `down`: the feed was not up."""

    __slots__ = ("down", "event", "known", "raw", "state", "used")

    def __init__(
        self, event: Any, raw: RawMessage, *, known: bool, down: bool, state: BookState | None = None
    ) -> None:
        self.event = event
        self.raw = raw
        self.state = state
        self.known = known
        self.down = down
        self.used = False


class _Waiting(msgspec.Struct, frozen=True):
    """A record without a raw message, classified once all messages of its time are decoded."""

    seq: int
    event: Any
    over_rest: bool


def redecode(records: Iterable[Record], raw: RawReader, decoder_of: DecoderOf) -> Redecoded:
    """Compare the records of a day with its raw messages. Raises what reading either raises."""
    comparison = _Comparison(raw, decoder_of)
    for seq, cause, event in records:
        if isinstance(event, DayOpened):
            comparison.open_day(event)
        elif not cause:
            comparison.take(seq, event)
    return comparison.finish()


class _Comparison:
    def __init__(self, raw: RawReader, decoder_of: DecoderOf) -> None:
        self.found = Redecoded()
        self._raw = raw
        self._messages: Iterator[RawMessage] = iter(raw)
        self._next: RawMessage | None = next(self._messages, None)
        self._instruments: dict[int, InstrumentListed] = {}
        self._decoder_of = decoder_of
        self._decoder: RawDecoder | None = None
        self._fast = False
        self._held_ns = HELD_NS
        # Decoded and not yet recorded: by key, and in the order of receipt.
        self._entries: dict[Key, list[_Entry]] = {}
        self._order: deque[_Entry] = deque()
        self._waiting: deque[_Waiting] = deque()
        self._candles: dict[tuple[int, int], dict[int, _Entry]] = {}
        self._feed = RecordedFeed()
        self._books = ThinnedBooks()

    # ---- the journal

    def open_day(self, opened: DayOpened) -> None:
        """Restore what continues over midnight."""
        self._learn(opened.instruments)
        if opened.started is not None:
            self._begin(opened.started)
        self._feed.open_day(opened.at_ns)

    def take(self, seq: int, event: Event) -> None:
        """Compare an input of the journal."""
        if isinstance(event, InstrumentListed):
            self._learn([event])
        elif isinstance(event, SessionStarted):
            self._advance(event.recv_ns)
            self._end_session()
            self._begin(event)
        elif isinstance(event, ClockAdopted):
            self._held_ns = int(HELD_NS * max(1.0, event.speed))
        elif isinstance(event, FeedUp | FeedDown | FeedDamaged | FeedPolling | FeedGap):
            self._advance(event.recv_ns)
            self._note(event)
        elif isinstance(event, _READINGS):
            self._advance(event.recv_ns)
            self._match(seq, event)
        elif isinstance(event, CandleRead) and event.purpose == "stream":
            self._advance(event.recv_ns)
            self._match_candle(seq, event)

    def finish(self) -> Redecoded:
        """Classify the remaining events, and return the result."""
        self._advance(None)
        self._end_session()
        self.found.notes = self._raw.notes
        return self.found

    def _learn(self, instruments: Iterable[InstrumentListed]) -> None:
        self._instruments |= {listed.instrument: listed for listed in instruments}
        self._decoder = self._decoder_of(list(self._instruments.values()))
        self._books.every_ns = self._decoder.books_every_ns if self._decoder is not None else 0

    def _begin(self, started: SessionStarted) -> None:
        self._fast = "l2BookFast" in parse_config(started.config).data.channels
        self._feed.begin()

    def _note(self, event: FeedUp | FeedDown | FeedDamaged | FeedPolling | FeedGap) -> None:
        self._feed.note(event)
        if isinstance(event, FeedDamaged) and not event.in_doubt:
            self._books.damage(event.instrument, event.recv_ns)
        elif isinstance(event, FeedDown):
            self._books.lose(event.recv_ns, self._held_ns // HELD_NS, event.instruments)

    def _match(self, seq: int, event: Any) -> None:
        """Find the raw message of a record."""
        self._feed.last_emitted_ns = event.recv_ns
        entries = [entry for entry in self._entries.get(key_of(event), ()) if not entry.used]
        # Its own message first, then one with the same content, then a repetition.
        entries.sort(key=lambda one: (one.raw.recv_ns != event.recv_ns, one.known))
        entry = next((one for one in entries if content_of(one.event) == content_of(event)), None)
        if entry is not None:
            self.found.equal += 1
            entry.used = True
        elif isinstance(event, Quote) and self._is_of_book(event):
            self.found.equal += 1
        elif same := next((one for one in entries if is_same(one.event, event)), None):
            same.used = True
            self._differs("differs", seq, event, same)
        else:
            over_rest = self._feed.may_be_over_rest(event, self._held_ns // _QUERY_SHARE)
            self._waiting.append(_Waiting(seq, event, over_rest))
        self._feed.remember(event)
        if isinstance(event, BookRead):
            self._books.record(event)

    def _match_candle(self, seq: int, candle: CandleRead) -> None:
        self._feed.last_emitted_ns = candle.recv_ns
        entry = self._candles.get((candle.instrument, candle.interval_ns), {}).get(candle.start_ns)
        if entry is None:
            self._waiting.append(_Waiting(seq, candle, over_rest=False))
        elif content_of(entry.event) == content_of(candle):
            self.found.equal += 1
        else:
            self._differs("differs", seq, candle, entry)

    # ---- the raw messages

    def _advance(self, until_ns: int | None) -> None:
        """Decode messages received by then (None: all); classify what can no longer have a counterpart."""
        while self._next is not None and (until_ns is None or self._next.recv_ns <= until_ns):
            self._decode(self._next)
            self._next = next(self._messages, None)
        if until_ns is None:
            return
        due_ns = until_ns - self._held_ns
        while self._order and (self._order[0].raw.recv_ns < due_ns or len(self._order) > ENTRIES_MAX):
            entry = self._order[0]
            late = isinstance(entry.event, Trade) and len(self._order) <= ENTRIES_MAX
            if late and not (entry.used or self._is_explained(entry)):
                # A trade may be held while a connection is down.
                break
            self._order.popleft()
            self._drop(entry)
        while self._waiting and self._waiting[0].event.recv_ns < due_ns:
            self._finish_record(self._waiting.popleft())

    def _decode(self, raw: RawMessage) -> None:
        self.found.frames += 1
        if self._decoder is None:
            return
        try:
            events = self._decoder.decode(raw.message, raw.recv_ns)
        except VenueProtocolError:
            self.found.refused += 1
            return
        for event in events:
            if isinstance(event, CandleRead):
                self._keep_candle(event, raw)
            else:
                self._keep(event, raw)

    def _is_recorded(self, book: BookRead) -> bool:
        """Match a book with a record before its message.

        A feed emits a book of diffs when it is due; a decoder has it with the next message.
        """
        for one in self._waiting:
            if isinstance(one.event, BookRead) and content_of(one.event) == content_of(book):
                self._waiting.remove(one)
                self.found.equal += 1
                return True
        return False

    def _is_of_book(self, quote: Quote) -> bool:
        """Return whether a feed may have made this quote of a book that it did not record."""
        key = (BookRead, quote.instrument, quote.venue_ns, False)
        books = [entry.event for entry in self._entries.get(key, ()) if entry.state is not None]
        return any(content_of(quote_of(book)) == content_of(quote) for book in books)

    def _keep(self, event: Any, raw: RawMessage) -> None:
        """Keep a decoded event for its record."""
        key = key_of(event)
        self._feed.note_message(event, raw.recv_ns)
        thins = isinstance(event, BookRead) and self._books.every_ns
        state = self._books.decode(event) if thins else None
        if isinstance(event, BookRead) and self._is_recorded(event):
            return
        waiting = self._entries.setdefault(key, [])
        other = isinstance(event, BookRead) and event.fast != self._fast
        known = other or self._feed.is_known(event, waiting=bool(waiting))
        entry = _Entry(event, raw, known=known, down=self._feed.is_down(event), state=state)
        waiting.append(entry)
        self._order.append(entry)

    def _keep_candle(self, candle: CandleRead, raw: RawMessage) -> None:
        """Keep the last restatement of a candle for its record."""
        series = self._candles.setdefault((candle.instrument, candle.interval_ns), {})
        series[candle.start_ns] = _Entry(candle, raw, known=False, down=self._feed.is_down(candle))
        if len(series) > CANDLES_KEPT:
            del series[min(series)]

    # ---- classification

    def _end_session(self) -> None:
        """Classify all waiting events at the end of a session, or of the day."""
        self._books.lose(self._feed.last_emitted_ns, self._held_ns // HELD_NS)
        while self._order:
            self._drop(self._order.popleft(), ended=True)
        while self._waiting:
            self._finish_record(self._waiting.popleft())
        self._entries.clear()
        self._candles.clear()
        self._feed.end()
        self._books.clear()

    def _drop(self, entry: _Entry, *, ended: bool = False) -> None:
        """Classify a decoded event that has no record, and drop it."""
        key = key_of(entry.event)
        entries = self._entries.get(key, [])
        if entry in entries:
            entries.remove(entry)
            if not entries:
                del self._entries[key]
        if entry.used:
            return
        if self._is_explained(entry):
            self.found.repeated += 1
        elif entry.state is not None and self._books.leaves_out(entry.state):
            self.found.thinned += 1
        elif entry.down or (ended and self._is_later(entry)) or self._is_damaged(entry):
            self.found.unconfirmed += 1
        else:
            self._differs("extra", 0, None, entry)

    def _is_damaged(self, entry: _Entry) -> bool:
        return entry.state is not None and self._books.is_damaged(entry.state)

    def _is_later(self, entry: _Entry) -> bool:
        """Return whether an event was due after the feed's last one: a book with the next message."""
        late_ns = entry.raw.recv_ns - self._feed.last_emitted_ns
        return late_ns >= 0 if entry.state is None else late_ns + (entry.state.lasted_ns or 0) > 0

    def _is_explained(self, entry: _Entry) -> bool:
        """Return whether the feed left this out on purpose: it was emitted before, or is too old."""
        return entry.known or self._feed.leaves_out(entry.event)

    def _finish_record(self, waiting: _Waiting) -> None:
        """Classify a record without a raw message."""
        recv_ns = waiting.event.recv_ns
        if self._is_uncovered(recv_ns):
            self.found.uncovered += 1
        elif waiting.over_rest:
            self.found.over_rest += 1
        else:
            self._differs("missing", waiting.seq, waiting.event, None)

    def _is_uncovered(self, recv_ns: int) -> bool:
        for place, (from_ns, to_ns) in enumerate(self._raw.holes):
            # The first minute of a run that continues from the day before may belong to messages of that day.
            more_ns = self._held_ns if not place and self._raw.continued else 0
            if from_ns < recv_ns and (to_ns is None or recv_ns <= to_ns + more_ns):
                return True
        return False

    def _differs(self, kind: str, seq: int, recorded: Event | None, entry: _Entry | None) -> None:
        found = self.found
        found.differing += kind == "differs"
        found.missing += kind == "missing"
        found.extra += kind == "extra"
        event = entry.event if entry else recorded
        found.books += kind != "differs" and isinstance(event, BookRead)
        if found.first is None:
            file, number = (entry.raw.file, entry.raw.number) if entry else ("", 0)
            found.first = Mismatch(kind, file, number, seq, recorded, entry.event if entry else None)
