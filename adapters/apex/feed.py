"""The ApeX Omni market data feed: trades, quotes, and the channels that the configuration names.

Owns the handling of frames, the requests that check or replace a stream, and the distribution of
subscriptions over connections. What is the same for every venue is in `adapters/transport/feed.py`. Made by
`client.py`.

Trades have ids without an order; on every subscribe the venue sends its newest 50 again. An overlap with the
last known trade therefore proves that none is missing. Books come as a snapshot and changes that count up by
one. Quotes are the best levels of the book.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any, Final

import trio
from msgspec.structs import replace

from adapters.apex.channels import (
    BOOK,
    TRADES,
    MarketProtocol,
    share_out,
    symbol_of,
    venue_intervals,
)
from adapters.apex.decode import Decoder
from adapters.apex.history import read_candles
from adapters.apex.info import ApexInfo
from adapters.apex.networks import websocket_url
from adapters.apex.probes import Probes, read_quote
from adapters.apex.wire import BookFrame, CandlesFrame, TickerFrame, Topic, TradesFrame, ns_of
from adapters.transport.books import Books
from adapters.transport.candles import CandleSource
from adapters.transport.connection import Loss
from adapters.transport.feed import Feed
from adapters.transport.gaps import Pieces
from adapters.transport.latest import quote_of
from adapters.transport.protocol import Damage, Salvaged, Subscription
from adapters.transport.sequence import CONTIGUOUS, Snapshot
from adapters.transport.setup import FeedSetup
from adapters.transport.silence import Key, Probe
from adapters.transport.stream import Stream
from adapters.transport.synced import EVERY_MS, SyncedBook
from adapters.transport.trades import TradeMemory
from engine.errors import VenueProtocolError
from engine.events import BookRead, InstrumentListed
from engine.values import parse_interval

__all__ = ["ApexFeed"]

_NS_PER_MS: Final = 1_000_000
_DEPTH: Final = 200
"""Levels of a side that the venue keeps up to date."""

_CANDLES_KEPT: Final = 5_000
"""Windows that are repaired at most; the venue does not say how many candles it keeps."""


class ApexFeed(Feed):
    """A feed of a session's contracts. See `Feed`. `info` checks and repairs what a stream cannot."""

    TRADES = TRADES
    CANDLES = "candle"

    def __init__(self, setup: FeedSetup, info: ApexInfo) -> None:
        super().__init__("apex", setup)
        instruments = setup.instruments
        self._names = {symbol_of(listed.name): listed.name for listed in instruments}
        self._decoder = Decoder(instruments, self._names, self.health.dropped)  # of the stream
        self._answers = Decoder(instruments, self._names, self.health.dropped)  # of HTTP
        self.bound_times()
        self._info = info
        self._carry()
        self.track(self._recent_trades, TradeMemory.overlaps)
        self.books = Books(
            self._context,
            BOOK,
            [
                SyncedBook(listed, CONTIGUOUS, pulled=False, every_ms=0, depth=_DEPTH)
                for listed in instruments
            ],
            self._ask_book,
            self._take_book,
            self._damages.note,
        )
        self._watchers.append(self.books.run)
        # Quotes are needed at once, books at most every EVERY_MS.
        self._shows_books = BOOK in setup.data.channels
        self._late_books: dict[int, BookRead] = {}
        self._book_ns: dict[int, int] = {}
        if self._shows_books:
            self._watchers.append(self._emit_late_books)
        by_symbol = {symbol_of(listed.name): listed for listed in instruments}
        self._probes = Probes(info, self._answers, self.probe_parts(), by_symbol)
        intervals_ns = tuple(map(parse_interval, venue_intervals(setup.intervals)))
        source = CandleSource(partial(read_candles, info), intervals_ns, _CANDLES_KEPT)
        self.watch(source, self._poll_quote)

    def receive(self, stream: Stream, frame: Any, recv_ns: int) -> None:
        """See `Feed.receive`."""
        damages: list[Damage] = []
        pieces: Pieces = [[]]
        used, whole = True, True
        if isinstance(frame, Salvaged):
            frame, damages = frame.frame, list(frame.damages)
            whole = False
        try:
            if frame is None:
                used = False
            else:
                self._silences.note_message(*self._key_of_topic(frame.topic), recv_ns)
                if isinstance(frame, TradesFrame):
                    pieces = self._decoder.prints(frame, recv_ns, whole=whole)
                    used = any(pieces) or not frame.data
                else:
                    used = self._read(frame, recv_ns)
                if frame.ts:
                    self._proofs.note_message(stream, ns_of(frame.ts), recv_ns)
        except VenueProtocolError as error:
            used = False
            damages.append(Damage(*self._key_of_topic(frame.topic), str(error)))
        if self._decoder.damages:
            damages += self._decoder.damages
            self._decoder.damages.clear()
        if damages:
            self.note_damages(stream, damages, recv_ns, pieces)
            if not used:
                self.health.frames_refused += 1
                stream.note_unusable(damages[-1].reason)
        if any(pieces):
            self.take_trades(pieces, recv_ns, stream)

    async def stream_up(self, stream: Stream, recv_ns: int) -> None:
        """See `StreamHost`."""
        await super().stream_up(stream, recv_ns)
        self.books.expect(stream.instruments)

    async def stream_down(self, stream: Stream, loss: Loss, backoff_ms: int) -> None:
        """See `StreamHost`."""
        await super().stream_down(stream, loss, backoff_ms)
        self.books.lose(stream.instruments)
        self._decoder.forget(stream.instruments)
        for listed in stream.instruments:
            self._late_books.pop(listed.instrument, None)

    def bound_times(self) -> None:
        """See `Feed.bound_times`."""
        super().bound_times()
        self._decoder.ahead_ns = self._answers.ahead_ns = self.ahead_ns

    def pieces_of(self, frame: Any, recv_ns: int) -> Pieces:
        """See `Feed.pieces_of`."""
        whole = True
        if isinstance(frame, Salvaged):
            if frame.frame is None:
                return [[], []]
            frame, whole = frame.frame, False
        if not isinstance(frame, TradesFrame):
            return [[]]
        pieces = self._answers.prints(frame, recv_ns, whole=whole)
        self._answers.damages.clear()
        return pieces

    def key_of(self, subscription: Subscription) -> Key:
        """See `Feed.key_of`."""
        topic = subscription.key
        assert isinstance(topic, Topic), "all subscriptions of this feed are topics"
        return self._key_of_topic(topic)

    def probes(self, stream: Stream) -> Iterable[tuple[Key, Probe]]:
        """See `Feed.probes`."""
        return self._probes.of(one.key for one in stream.confirmed if isinstance(one.key, Topic))

    def _key_of_topic(self, topic: Topic) -> Key:
        return topic.kind, self._names.get(topic.symbol, "")

    def _read(self, frame: Any, recv_ns: int) -> bool:
        """Emit the reading of a frame if it is new; return whether it could be used.

        Raises VenueProtocolError.
        """
        if isinstance(frame, CandlesFrame):
            candles = self._decoder.candles(frame, recv_ns)
            for candle in candles:
                self.take_candle(candle)
            return bool(candles) or not frame.data
        if isinstance(frame, BookFrame):
            found = self._decoder.book(frame, recv_ns)
            if found is None:
                return False
            listed, content = found
            if isinstance(content, Snapshot):
                self.books.take_snapshot(listed.instrument, content, recv_ns)
            else:
                self.books.take_diff(listed.instrument, content, recv_ns)
            return True
        context = self._decoder.context(frame, recv_ns) if isinstance(frame, TickerFrame) else None
        if context is not None:
            self.take_reading(context)
        return True

    def _take_book(self, book: BookRead) -> None:
        """Emit the best bid and ask of a book if they changed, and the book if it is due."""
        quote = quote_of(book)
        known = self._latest.quotes.get(book.instrument)
        if known is None or (known.bid, known.bid_size, known.ask, known.ask_size) != (
            quote.bid,
            quote.bid_size,
            quote.ask,
            quote.ask_size,
        ):
            self.take_reading(quote)
        if self._shows_books:
            self._emit_books(book.recv_ns)  # the one before, if it is due by now
            self._late_books[book.instrument] = book
            self._emit_books(book.recv_ns)

    def _emit_books(self, now_ns: int) -> None:
        for number, book in list(self._late_books.items()):
            if not 0 <= now_ns - self._book_ns.get(number, 0) < EVERY_MS * _NS_PER_MS:
                del self._late_books[number]
                self._book_ns[number] = now_ns
                self.take_reading(replace(book, recv_ns=now_ns))

    async def _emit_late_books(self) -> None:
        while True:
            await trio.sleep(EVERY_MS / 1000)
            self._emit_books(self._clock.now_ns())

    def _carry(self) -> None:
        """Distribute the subscriptions over as few connections as the limits allow."""
        setup, most = self._setup, self._limits.subscriptions_max
        protocol = MarketProtocol(self._names, self._clock.now_ns)

        def url() -> str:
            return websocket_url(setup.base_url, self._clock.now_ns() // _NS_PER_MS)

        shares = share_out(setup.instruments, setup.data.channels, setup.intervals, most)
        self.carry([self.stream(url, protocol, own, carried) for carried, own in shares])

    async def _ask_book(self, listed: InstrumentListed) -> Snapshot | None:
        """Subscribe to a book again, which sends it whole: first end the subscription, or it is refused."""
        key = Topic(BOOK, symbol_of(listed.name))
        for stream in self._streams:
            own = [one for one in stream.confirmed if one.key == key]
            if own:
                stream.renew(own)
        return None

    async def _poll_quote(self, listed: InstrumentListed) -> None:
        """Emit the best bid and ask read over HTTP."""
        quote = await read_quote(self._info, listed, self._venue_clock.now_ns())
        await self.catch_up()
        self.take_reading(quote)

    async def _recent_trades(self, listed: InstrumentListed) -> Pieces:
        """Return the newest trades of an instrument. Raises VenueError."""
        rows = await self._info.recent_trades(symbol_of(listed.name))
        valid = [row for row in rows if row is not None]
        pieces = self._answers.trades(valid, listed, self._clock.now_ns(), whole=len(valid) == len(rows))
        self._answers.damages.clear()
        if rows and not any(pieces):
            # An answer without usable trades proves nothing, and is an error.
            raise VenueProtocolError(f"{listed.name}: none of {len(rows)} recent trades can be used")
        return pieces
