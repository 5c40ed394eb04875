"""Decodes recorded messages of the stream with today's code.

Promises: trades, quotes and candles as the feed emits them, candles also while they are open; a book after
each message that changes it, while its checksum is right. Made by `venue.py`.
"""

from __future__ import annotations

from collections.abc import Sequence

from adapters.kraken.decode import Decoder, verify
from adapters.kraken.salvage import decode_or_salvage
from adapters.kraken.wire import BookFrame, CandleFrame
from adapters.transport.protocol import Salvaged
from adapters.transport.sequence import UNNUMBERED
from adapters.transport.synced import EVERY_NS, SyncedBook
from engine.events import Event, InstrumentListed

__all__ = ["KrakenRawDecoder"]


class KrakenRawDecoder:
    """See `engine.venue.RawDecoder`. `depth` cuts books; 0 for the depth of their first snapshot."""

    books_every_ns = EVERY_NS

    def __init__(self, instruments: Sequence[InstrumentListed], depth: int = 0) -> None:
        self._instruments = {listed.instrument: listed for listed in instruments}
        self._decoder = Decoder(instruments)
        self._depth = depth
        self._books: dict[int, SyncedBook] = {}

    def decode(self, message: str | bytes, recv_ns: int) -> Sequence[Event]:
        """See `engine.venue.RawDecoder`."""
        frame = decode_or_salvage(message)
        if isinstance(frame, Salvaged):
            frame = frame.frame
        if isinstance(frame, CandleFrame):
            candles = [self._decoder.candle(row, recv_ns, "stream") for row in frame.data]
            return [candle for candle in candles if candle is not None]
        if isinstance(frame, BookFrame):
            return self._read_books(frame, recv_ns)
        return self._decoder.decode_frame(message, recv_ns)

    def _read_books(self, frame: BookFrame, recv_ns: int) -> list[Event]:
        books: list[Event] = []
        for row in frame.data:
            found = self._decoder.book(row, recv_ns)
            if found is None:
                continue
            listed, snapshot, diff = found
            if frame.type == "snapshot":
                depth = self._depth or max(len(snapshot.bids), len(snapshot.asks))
                book = SyncedBook(listed, UNNUMBERED, pulled=False, depth=depth, verify=verify)
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
