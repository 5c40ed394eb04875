"""The Kraken market data feed: trades, the best bid and ask, and the channels that the configuration names.

Owns the handling of frames, the requests that check or replace a stream, and the distribution of
subscriptions over connections. What is the same for every venue is in `adapters/transport/feed.py`. Made by
`client.py`.

The venue counts the trades of a pair up by one, and sends its newest 50 on subscribing: ids prove that none
is missing, also within a connection. A book has no number; the checksum in every message proves it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Final

from adapters.kraken.channels import Channel, MarketProtocol, share_out, venue_intervals
from adapters.kraken.decode import Decoder, TradeTimes, verify
from adapters.kraken.history import CANDLES_MAX, read_candles
from adapters.kraken.info import KrakenInfo
from adapters.kraken.networks import websocket_url
from adapters.kraken.probes import COMPARED, Probes
from adapters.kraken.wire import (
    BookFrame,
    CandleFrame,
    TickerFrame,
    TradesFrame,
    WireBook,
    WireCandle,
    WireTicker,
    WireTrade,
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
from engine.errors import VenueProtocolError
from engine.events import InstrumentListed
from engine.values import parse_interval

__all__ = ["KrakenFeed"]

_RECENT: Final = 1000
"""Trades of one answer of `Trades`."""


class KrakenFeed(Feed):
    """A feed of `instruments` from the venue at `base_url`. See `Feed`.

    `rest_names` are the names that `info` takes of the pairs, `depth` the levels of a book that are
    subscribed to.
    """

    TRADES = "trade"
    CANDLES = "ohlc"

    def __init__(
        self, setup: FeedSetup, info: KrakenInfo, rest_names: Mapping[str, str], depth: int = 100
    ) -> None:
        super().__init__("kraken", setup)
        instruments, times = setup.instruments, TradeTimes()
        self._decoder = Decoder(instruments, self.health.dropped, times)  # of the stream
        self._answers = Decoder(instruments, self.health.dropped, times)  # of HTTP
        self.bound_times()
        self._info = info
        self._rest_names = rest_names
        self._names = {listed.instrument: listed.name for listed in instruments}
        self._carry(depth)
        self.track(self._recent_trades, follows, NumberedTracker)
        for listed in instruments:
            last = setup.last_seen.get(listed.instrument)
            if last is not None:
                for trade_id in last.trade_ids:
                    times.settle(listed.instrument, int(trade_id), last.venue_ns)
        own = instruments if "book" in setup.data.channels else ()
        self.books = Books(
            self._context,
            "book",
            [SyncedBook(one, UNNUMBERED, pulled=False, depth=depth, verify=verify) for one in own],
            self._ask_book,
            self.take_reading,
            self._damages.note,
        )
        if own:
            self._watchers.append(self.books.run)
        self._probes = Probes(info, self._answers, self.probe_parts(), rest_names)
        intervals_ns = tuple(map(parse_interval, venue_intervals(setup.intervals)))
        source = CandleSource(partial(read_candles, info, rest_names), intervals_ns, CANDLES_MAX)
        self.watch(source, self._poll_quote)

    def receive(self, stream: Stream, frame: Any, recv_ns: int) -> None:
        """See `Feed.receive`."""
        damages: list[Damage] = []
        if isinstance(frame, Salvaged):
            frame, damages = frame.frame, list(frame.damages)
        pieces: Pieces = [[]]
        used = frame is not None
        if isinstance(frame, TradesFrame):
            rows: Sequence[WireTrade | None] = frame.data
            pieces = self._decoder.pieces(rows, recv_ns)
            for name in dict.fromkeys(row.symbol for row in rows if row is not None):
                self._silences.note_message("trade", name, recv_ns)
            used = any(pieces) or not rows
        elif isinstance(frame, CandleFrame | TickerFrame | BookFrame):
            used = self._read(stream, frame, recv_ns)
        damages += self._decoder.damages
        self._decoder.damages.clear()
        taken, missing = split_message(pieces, self._trackers, self._names, self.TRADES)
        damages += missing
        if damages:
            self.note_damages(stream, damages, recv_ns, pieces)
            self._lose_books(stream, damages)
            if not used:
                self.health.frames_refused += 1
                stream.note_unusable(damages[-1].reason)
        for own in taken:
            self.take_trades(own, recv_ns, stream)

    def bound_times(self) -> None:
        """See `Feed.bound_times`."""
        super().bound_times()
        self._decoder.ahead_ns = self._answers.ahead_ns = self.ahead_ns

    def pieces_of(self, frame: Any, recv_ns: int) -> Pieces:
        """See `Feed.pieces_of`."""
        if isinstance(frame, Salvaged):
            if frame.frame is None:
                return [[], []]
            frame = frame.frame
        return self._answers.pieces(frame.data, recv_ns) if isinstance(frame, TradesFrame) else [[]]

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

    def _read(self, stream: Stream, frame: CandleFrame | TickerFrame | BookFrame, recv_ns: int) -> bool:
        """Emit the readings of a frame that are new; return whether any of it could be used."""
        channel = str(frame.__struct_config__.tag)
        used = not frame.data
        for row in frame.data:
            self._silences.note_message(channel, row.symbol, recv_ns)
            try:
                if isinstance(row, WireCandle):
                    used = self._take_candle(row, recv_ns) or used
                    continue
                if isinstance(row, WireTicker):
                    venue_ns = self._take_quote(row, recv_ns)
                else:
                    venue_ns = self._take_book(frame.type, row, recv_ns)
            except VenueProtocolError as error:
                self._decoder.damages.append(Damage(channel, row.symbol, str(error)))
                continue
            if venue_ns:
                used = True
                if row.timestamp is not None:
                    self._proofs.note_message(stream, venue_ns, recv_ns)
        return used

    def _take_candle(self, row: WireCandle, recv_ns: int) -> bool:
        """Take a pushed candle; return whether it could be used."""
        candle = self._decoder.candle(row, recv_ns, "stream")
        if candle is not None:
            self.take_candle(candle)
        return candle is not None

    def _take_quote(self, row: WireTicker, recv_ns: int) -> int:
        """Take a best bid and ask; return its time, 0 if it is left out."""
        quote = self._decoder.quote(row, recv_ns)
        if quote is None:
            return 0
        self.take_reading(quote)
        return quote.venue_ns

    def _take_book(self, kind: str, row: WireBook, recv_ns: int) -> int:
        """Take a snapshot or a change of a book; return its time, 0 if it is left out."""
        found = self._decoder.book(row, recv_ns)
        if found is None:
            return 0
        listed, snapshot, diff = found
        if kind == "snapshot":
            self.books.take_snapshot(listed.instrument, snapshot, recv_ns)
        else:
            self.books.take_diff(listed.instrument, diff, recv_ns)
        return diff.venue_ns

    def _lose_books(self, stream: Stream, damages: Iterable[Damage]) -> None:
        """Leave the books out of step of which a message cannot be used."""
        for damage in damages:
            if damage.channel in ("", "book"):
                named = self._named.get(damage.name)
                lost = stream.instruments if named is None else (named,)
                self.books.lose(lost, "a message of it cannot be used")

    async def _ask_book(self, listed: InstrumentListed) -> Snapshot | None:
        """Subscribe again to a book, for a new snapshot."""
        for stream in self._streams:
            own = [one for one in stream.confirmed if self.key_of(one) == ("book", listed.name)]
            if own:
                stream.renew(own)
        return None

    def _carry(self, depth: int) -> None:
        """Distribute the subscriptions over as few connections as the limits allow."""
        setup, url = self._setup, websocket_url(self._setup.base_url)
        most = self._limits.subscriptions_max
        self.carry(
            [
                self.stream(
                    url,
                    MarketProtocol(own),
                    [one.subscription(number, depth) for number, one in enumerate(own, start=1)],
                    carried,
                )
                for carried, own in share_out(setup.instruments, setup.data.channels, setup.intervals, most)
            ]
        )

    async def _poll_quote(self, listed: InstrumentListed) -> None:
        """Emit the quote of a book read over HTTP."""
        row = await self._info.depth(self._rest_names[listed.name], COMPARED)
        await self.catch_up()
        self.take_reading(quote_of(self._answers.rest_book(row, listed, self._clock.now_ns())))

    async def _recent_trades(self, listed: InstrumentListed) -> Pieces:
        """Return the newest trades of a pair, and those after the last known one. Raises VenueError."""
        memory = self._trackers[listed.instrument].memory
        pair = self._rest_names[listed.name]
        rows = await self._info.trades(pair)
        pieces = self._answers.rest_pieces(rows, listed, self._clock.now_ns())
        if rows and not any(pieces):
            # An answer without usable trades proves nothing, and is an error.
            raise VenueProtocolError(f"{listed.name}: none of {len(rows)} recent trades can be used")
        trades = [trade for piece in pieces for trade in piece]
        if len(rows) >= _RECENT and memory.proved and not follows(memory, trades):
            rows = await self._info.trades(pair, memory.last_ns - 1)
            pieces = [*self._answers.rest_pieces(rows, listed, self._clock.now_ns()), *pieces]
        return whole(pieces)
