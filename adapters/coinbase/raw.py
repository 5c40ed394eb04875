"""Decodes recorded messages with today's code: of Advanced Trade, and of the older Exchange feed.

Promises: trades, quotes and candles as the feed emits them, candles also while they are open; a book after
each message that changes it. Made by `venue.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

from adapters.coinbase.decode import PUSHED_NS, Decoder
from adapters.coinbase.older import decode_older
from adapters.coinbase.salvage import decode_or_salvage
from adapters.coinbase.wire import BookEvent, BookFrame, CandleFrame
from adapters.transport.protocol import Salvaged
from adapters.transport.sequence import UNNUMBERED
from adapters.transport.synced import EVERY_NS, SyncedBook
from adapters.transport.values import iso_ns
from engine.events import Event, InstrumentListed

__all__ = ["CoinbaseRawDecoder"]

_CHANNEL: Final = re.compile(r'"channel"\s*:')


class CoinbaseRawDecoder:
    """See `engine.venue.RawDecoder`."""

    books_every_ns = EVERY_NS

    def __init__(self, instruments: Sequence[InstrumentListed]) -> None:
        self._decoder = Decoder(instruments)
        self._books: dict[int, SyncedBook] = {}

    def decode(self, message: str | bytes, recv_ns: int) -> Sequence[Event]:
        """See `engine.venue.RawDecoder`."""
        text = message if isinstance(message, str) else message.decode("utf-8", "replace")
        if not _CHANNEL.search(text):
            return self._decode_older(text, recv_ns)
        frame = decode_or_salvage(message)
        if isinstance(frame, Salvaged):
            frame = frame.frame
        if isinstance(frame, CandleFrame):
            rows = [row for event in frame.events for row in event.candles]
            candles = [self._decoder.candle(row, PUSHED_NS, recv_ns, "stream") for row in rows]
            return [candle for candle in candles if candle is not None]
        if isinstance(frame, BookFrame):
            return self._read_books(frame.events, iso_ns(frame.timestamp, "level2"), recv_ns)
        return self._decoder.decode_frame(message, recv_ns)

    def _decode_older(self, text: str, recv_ns: int) -> list[Event]:
        batch = decode_older(text)
        venue_ns = iso_ns(batch.time, "time") if batch.time else recv_ns
        events: list[Event] = []
        for piece in self._decoder.pieces(batch.trades, recv_ns):
            events += piece
        for row in batch.tickers:
            quote = self._decoder.quote(row, venue_ns, recv_ns)
            events += [] if quote is None else [quote]
        return events + self._read_books(batch.books, venue_ns, recv_ns)

    def _read_books(self, rows: Iterable[BookEvent], venue_ns: int, recv_ns: int) -> list[Event]:
        books: list[Event] = []
        for row in rows:
            found = self._decoder.book(row, venue_ns, recv_ns)
            if found is None:
                continue
            listed, snapshot, diff = found
            if row.type == "snapshot":
                book = SyncedBook(listed, UNNUMBERED, pulled=False)
                self._books[listed.instrument] = book
                book.take_snapshot(snapshot)
            elif listed.instrument in self._books:
                book = self._books[listed.instrument]
                book.take_diff(diff)
            else:
                continue
            now = book.now(recv_ns)
            if now is not None:
                books.append(now)
        return books
