"""The Coinbase market data feed: trades, the best bid and ask, and the channels that the configuration names.

Owns the handling of frames, the requests that check or replace a stream, and the distribution of
subscriptions over connections. What is the same for every venue is in `adapters/transport/feed.py`. Made by
`client.py`.

The venue counts the messages of a connection and the trades of a product up by one. A number of a message
that is skipped breaks every book of the connection and puts all of its trades in doubt; ids of trades prove
what is missing. A heartbeat a second proves how far a connection has delivered.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

from adapters.coinbase.channels import Channel, MarketProtocol, share_out, venue_intervals
from adapters.coinbase.decode import PUSHED_NS, Decoder, rows_of
from adapters.coinbase.history import read_candles
from adapters.coinbase.info import CoinbaseInfo
from adapters.coinbase.networks import websocket_url
from adapters.coinbase.probes import Probes
from adapters.coinbase.wire import (
    BookEvent,
    BookFrame,
    CandleFrame,
    HeartbeatFrame,
    TickerFrame,
    TradesFrame,
    WireCandle,
    WireTicker,
)
from adapters.transport.books import Books
from adapters.transport.candles import CandleSource
from adapters.transport.connection import Loss
from adapters.transport.feed import Feed
from adapters.transport.gaps import Pieces
from adapters.transport.latest import quote_of
from adapters.transport.numbered import NumberedTracker, follows, split_message, whole
from adapters.transport.protocol import Damage, Salvaged, Subscription
from adapters.transport.sequence import UNNUMBERED, Snapshot
from adapters.transport.setup import FeedSetup
from adapters.transport.silence import Key, Probe
from adapters.transport.stream import Stream
from adapters.transport.synced import SyncedBook
from adapters.transport.values import iso_ns
from engine.errors import VenueProtocolError
from engine.events import BookRead, InstrumentListed
from engine.values import parse_interval

__all__ = ["CoinbaseFeed"]

_WINDOWS_MAX = 5000
"""Candles of an interval that a repair reads at most; the venue has all."""

_Row = WireTicker | BookEvent | WireCandle


class CoinbaseFeed(Feed):
    """A feed of a session's products. See `Feed`."""

    TRADES = "market_trades"
    CANDLES = "candles"

    def __init__(self, setup: FeedSetup, info: CoinbaseInfo) -> None:
        super().__init__("coinbase", setup)
        instruments = setup.instruments
        self._decoder = Decoder(instruments, self.health.dropped)  # of the stream
        self._answers = Decoder(instruments, self.health.dropped)  # of HTTP
        self.bound_times()
        self._info = info
        self._names = {listed.instrument: listed.name for listed in instruments}
        self._carry()
        self.track(self._recent_trades, follows, NumberedTracker)
        own = instruments if "level2" in setup.data.channels else ()
        self.books = Books(
            self._context,
            "level2",
            [SyncedBook(one, UNNUMBERED, pulled=False) for one in own],
            self._ask_book,
            self._take_read,
            self._damages.note,
        )
        if own:
            self._watchers.append(self.books.run)
        self._probes = Probes(info, self._answers, self.probe_parts())
        intervals_ns = tuple(map(parse_interval, venue_intervals(setup.intervals)))
        source = CandleSource(partial(read_candles, info), intervals_ns, _WINDOWS_MAX)
        self.watch(source, self._poll_quote)

    def receive(self, stream: Stream, frame: Any, recv_ns: int) -> None:
        """See `Feed.receive`."""
        damages: list[Damage] = []
        if isinstance(frame, Salvaged):
            frame, damages = frame.frame, list(frame.damages)
        pieces: Pieces = [[]]
        used = frame is not None
        if isinstance(frame, TradesFrame):
            rows = rows_of(frame)
            pieces = self._decoder.pieces(rows, recv_ns)
            for name in dict.fromkeys(row.product_id for row in rows if row is not None):
                self._silences.note_message("market_trades", name, recv_ns)
            used = any(pieces) or not rows
        elif isinstance(frame, BookFrame | TickerFrame | CandleFrame | HeartbeatFrame):
            used = self._read(stream, frame, recv_ns)
        damages += self._decoder.damages
        self._decoder.damages.clear()
        taken, missing = split_message(pieces, self._trackers, self._names, self.TRADES)
        damages += missing
        if damages:
            self.note_damages(stream, damages, recv_ns, pieces)
            if not used:
                self.health.frames_refused += 1
                stream.note_unusable(damages[-1].reason)
        for own in taken:
            self.take_trades(own, recv_ns, stream)

    def note_damages(self, stream: Stream, damages: Iterable[Damage], recv_ns: int, pieces: Pieces) -> None:
        """See `Feed.note_damages`. A book of which a message is missing is out of step."""
        damages = list(damages)
        super().note_damages(stream, damages, recv_ns, pieces)
        for damage in damages:
            if damage.channel in ("", "level2"):
                named = self._named.get(damage.name)
                self.books.lose(stream.instruments if named is None else (named,), damage.reason)

    def bound_times(self) -> None:
        """See `Feed.bound_times`."""
        super().bound_times()
        self._decoder.ahead_ns = self._answers.ahead_ns = self.ahead_ns

    def pieces_of(self, frame: Any, recv_ns: int) -> Pieces:
        """See `Feed.pieces_of`."""
        before: Pieces = []
        if isinstance(frame, Salvaged):
            frame, before = frame.frame, [[]]
        if not isinstance(frame, TradesFrame):
            return [*before, []]
        return [*before, *self._answers.pieces(rows_of(frame), recv_ns)]

    def key_of(self, subscription: Subscription) -> Key:
        """See `Feed.key_of`."""
        channel = subscription.key
        assert isinstance(channel, Channel), "all subscriptions of this feed are channels"
        return channel.kind, channel.name

    def probes(self, stream: Stream) -> Iterable[tuple[Key, Probe]]:
        """See `Feed.probes`."""
        channels = [one.key for one in stream.confirmed if isinstance(one.key, Channel)]
        return self._probes.of(channels, stream.instruments)

    async def stream_up(self, stream: Stream, recv_ns: int) -> None:
        """See `StreamHost`. The venue sends a snapshot of every book."""
        self.books.expect(stream.instruments)
        await super().stream_up(stream, recv_ns)

    async def stream_down(self, stream: Stream, loss: Loss, backoff_ms: int) -> None:
        """See `StreamHost`."""
        self.books.lose(stream.instruments)
        await super().stream_down(stream, loss, backoff_ms)

    def _read(
        self, stream: Stream, frame: BookFrame | TickerFrame | CandleFrame | HeartbeatFrame, recv_ns: int
    ) -> bool:
        """Emit the readings of a frame that are new; return whether any of it could be used."""
        channel = str(frame.__struct_config__.tag).replace("l2_data", "level2")
        try:
            sent_ns = iso_ns(frame.timestamp, channel)
        except VenueProtocolError as error:
            self._decoder.damages.append(Damage(channel, "", str(error)))
            return False
        rows = list(_rows(frame))
        used = not rows
        for kind, row in rows:
            name = row.product_id
            self._silences.note_message(channel, name, recv_ns)
            try:
                used = self._take(kind, row, sent_ns, recv_ns) or used
            except VenueProtocolError as error:
                self._decoder.damages.append(Damage(channel, name, str(error)))
        if used and not isinstance(frame, CandleFrame):
            self._proofs.note_message(stream, sent_ns, recv_ns)
        return used

    def _take(self, kind: str, row: _Row, sent_ns: int, recv_ns: int) -> bool:
        """Emit a reading if it is new; return whether it could be used. Raises VenueProtocolError."""
        if isinstance(row, WireTicker):
            quote = self._decoder.quote(row, sent_ns, recv_ns)
            if quote is not None:
                self.take_reading(quote)
            return quote is not None
        if isinstance(row, WireCandle):
            candle = self._decoder.candle(row, PUSHED_NS, recv_ns, "stream")
            if candle is not None:
                self.take_candle(candle)
            return candle is not None
        found = self._decoder.book(row, sent_ns, recv_ns)
        if found is None:
            return False
        listed, snapshot, diff = found
        if kind == "snapshot":
            self.books.take_snapshot(listed.instrument, snapshot, recv_ns)
        else:
            self.books.take_diff(listed.instrument, diff, recv_ns)
        return True

    def _take_read(self, book: BookRead) -> None:
        """Emit a book and its best bid and ask, which are newer than those of the last trade."""
        self.take_reading(book)
        quote = quote_of(book)
        if not self._latest.has(quote):
            self.take_reading(quote)

    async def _ask_book(self, listed: InstrumentListed) -> Snapshot | None:
        """Subscribe again to a book, for a new snapshot."""
        for stream in self._streams:
            own = [one for one in stream.confirmed if self.key_of(one) == ("level2", listed.name)]
            if own:
                stream.renew(own)
        return None

    def _carry(self) -> None:
        """Distribute the subscriptions over as few connections as the limits allow."""
        setup, url = self._setup, websocket_url(self._setup.base_url)
        shares = share_out(setup.instruments, setup.data.channels, self._limits.subscriptions_max)
        self.carry(
            [
                self.stream(url, MarketProtocol(), [one.subscription() for one in own], carried)
                for carried, own in shares
            ]
        )

    async def _poll_quote(self, listed: InstrumentListed) -> None:
        """Emit the best bid and ask read over HTTP."""
        row, time = await self._info.best(listed.name)
        await self.catch_up()
        quote = self._answers.quote(row, iso_ns(time, listed.name), self._clock.now_ns())
        if quote is not None:
            self.take_reading(quote)

    async def _recent_trades(self, listed: InstrumentListed) -> Pieces:
        """Return the newest trades of a product. Raises VenueError."""
        rows = await self._info.newest(listed.name)
        pieces = self._answers.pieces(rows, self._clock.now_ns())
        own = [[trade for trade in piece if trade.instrument == listed.instrument] for piece in pieces]
        if rows and not any(own):
            # An answer without usable trades proves nothing, and is an error.
            raise VenueProtocolError(f"{listed.name}: none of {len(rows)} recent trades can be used")
        return whole(own)


def _rows(
    frame: BookFrame | TickerFrame | CandleFrame | HeartbeatFrame,
) -> Iterable[tuple[str, _Row]]:
    """Yield the rows of a frame, each with its event's kind."""
    if isinstance(frame, BookFrame):
        for book in frame.events:
            yield book.type, book
    elif isinstance(frame, TickerFrame):
        for tickers in frame.events:
            yield from ((tickers.type, row) for row in tickers.tickers)
    elif isinstance(frame, CandleFrame):
        for candles in frame.events:
            yield from ((candles.type, row) for row in candles.candles)
