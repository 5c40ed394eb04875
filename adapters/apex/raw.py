"""Decodes recorded messages of ApeX Omni's stream, for `engine replay --from-raw`.

Promises: every event that the feed could emit of a message, candles before they are closed too. A quote is
made of each change of a book.
"""

from __future__ import annotations

from collections.abc import Sequence

from adapters.apex.channels import symbol_of
from adapters.apex.decode import Decoder
from adapters.apex.salvage import Reader
from adapters.apex.wire import BookFrame, CandlesFrame, TickerFrame, TradesFrame
from adapters.transport.latest import quote_of
from adapters.transport.protocol import Salvaged
from adapters.transport.sequence import CONTIGUOUS, Snapshot
from adapters.transport.synced import EVERY_NS, SyncedBook
from engine.errors import VenueProtocolError
from engine.events import Event, InstrumentListed

__all__ = ["ApexRawDecoder"]

_DEPTH = 200


class ApexRawDecoder:
    """See `engine.venue.RawDecoder`."""

    books_every_ns = EVERY_NS

    def __init__(self, instruments: Sequence[InstrumentListed]) -> None:
        names = {symbol_of(listed.name): listed.name for listed in instruments}
        self._reader = Reader(names)
        self._decoder = Decoder(instruments, names)
        self._books = {
            listed.instrument: SyncedBook(listed, CONTIGUOUS, pulled=False, every_ms=0, depth=_DEPTH)
            for listed in instruments
        }
        self._quotes: dict[int, tuple[int, int, int, int]] = {}

    def decode(self, message: str | bytes, recv_ns: int) -> Sequence[Event]:
        """See `RawDecoder`."""
        frame = self._reader.decode(message)
        whole = True
        if isinstance(frame, Salvaged):
            if frame.frame is None:
                raise VenueProtocolError(frame.damages[0].reason)
            frame, whole = frame.frame, False
        if isinstance(frame, TradesFrame):
            pieces = self._decoder.prints(frame, recv_ns, whole=whole)
            return [trade for piece in pieces for trade in piece]
        if isinstance(frame, CandlesFrame):
            return list(self._decoder.candles(frame, recv_ns))
        if isinstance(frame, TickerFrame):
            context = self._decoder.context(frame, recv_ns)
            return [] if context is None else [context]
        return self._book_of(frame, recv_ns) if isinstance(frame, BookFrame) else []

    def _book_of(self, frame: BookFrame, recv_ns: int) -> list[Event]:
        """Return the quote and the book after a change: the feed emits some of these."""
        found = self._decoder.book(frame, recv_ns)
        if found is None:
            return []
        listed, content = found
        book = self._books[listed.instrument]
        if isinstance(content, Snapshot):
            book.take_snapshot(content)
        else:
            book.take_diff(content)
        read = book.read(recv_ns)
        if read is None:
            return []
        quote = quote_of(read)
        best = (quote.bid, quote.bid_size, quote.ask, quote.ask_size)
        if self._quotes.get(quote.instrument) == best:
            return [read]
        self._quotes[quote.instrument] = best
        return [quote, read]
