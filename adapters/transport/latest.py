"""The newest quote, book, context and candle of each instrument: older or unchanged ones are not emitted.

Owns the newest quote, book, context, candle and mids. Called by a feed for readings of a stream or a poll,
and by a venue's probes of silent subscriptions, which compare. Pure: no clock, no socket.
"""

from __future__ import annotations

import msgspec

from adapters.transport.health import FeedHealth
from engine.events import BookRead, CandleRead, ContextRead, MidsRead, Quote

__all__ = ["Latest", "Reading", "quote_of"]

Reading = Quote | BookRead | ContextRead | MidsRead


class Latest:
    """Newest events by instrument; mids by the instruments they are of."""

    def __init__(self, health: FeedHealth) -> None:
        self._health = health
        self.quotes: dict[int, Quote] = {}
        self.books: dict[int, BookRead] = {}
        self.contexts: dict[int, ContextRead] = {}
        self.candles: dict[tuple[int, int], CandleRead] = {}  # by instrument and interval
        self.mids: dict[tuple[int, ...], MidsRead] = {}

    def is_new(self, reading: Reading) -> bool:
        """Return whether to emit a reading, and remember it if so. Books are emitted, changed or not."""
        if isinstance(reading, Quote):
            before = self.quotes.get(reading.instrument)
            if before is not None and reading.venue_ns < before.venue_ns:
                self._health.dropped["stale-quote"] += 1
                return False
            self.quotes[reading.instrument] = reading
            return True
        if isinstance(reading, BookRead):
            older = self.books.get(reading.instrument)
            if older is not None and reading.venue_ns < older.venue_ns:
                self._health.dropped["stale-book"] += 1
                return False
            self.books[reading.instrument] = reading
            return True
        if isinstance(reading, ContextRead):
            if self.has(reading):
                return False
            self.contexts[reading.instrument] = reading
            return True
        if self.has(reading):
            return False
        self.mids[reading.instruments] = reading
        return True

    def has(self, reading: Reading) -> bool:
        """Return whether a reading holds nothing new: the same values, or older ones."""
        if isinstance(reading, Quote):
            quote = self.quotes.get(reading.instrument)
            return quote is not None and (
                quote.venue_ns >= reading.venue_ns or _sides(quote) == _sides(reading)
            )
        if isinstance(reading, BookRead):
            book = self.books.get(reading.instrument)
            return book is not None and (book.venue_ns >= reading.venue_ns or _top(book) == _top(reading))
        known: ContextRead | MidsRead | None
        if isinstance(reading, ContextRead):
            known = self.contexts.get(reading.instrument)
        else:
            known = self.mids.get(reading.instruments)
        return known is not None and msgspec.structs.replace(known, recv_ns=reading.recv_ns) == reading


def quote_of(book: BookRead) -> Quote:
    """Return the best bid and ask of a book."""
    bid, ask = ((side[0] if side else (0, 0, 0)) for side in (book.bids, book.asks))
    return Quote(book.recv_ns, book.venue_ns, book.instrument, *bid[:2], *ask[:2])


def _sides(quote: Quote) -> tuple[int, int, int, int]:
    return quote.bid, quote.bid_size, quote.ask, quote.ask_size


def _top(book: BookRead) -> tuple[object, object]:
    """Return the levels that fast books have too."""
    return book.bids[:5], book.asks[:5]
