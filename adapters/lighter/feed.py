"""The Lighter market data feed: trades, quotes, and the channels that the configuration names.

Owns the handling of frames, the requests that check or replace a stream, and the distribution of
subscriptions over connections. What is the same for every venue is in `adapters/transport/feed.py`. Made by
`client.py`.

The venue numbers its trades over all markets, so a number that is missing proves nothing; on every subscribe
it sends its newest trades again. An overlap with the last known trade therefore proves that none is missing.
Books come as a snapshot and changes, each of which names the one before (`begin_nonce`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any, Final

from adapters.lighter.channels import (
    MarketProtocol,
    share_out,
    venue_intervals,
)
from adapters.lighter.decode import Decoder, Prints
from adapters.lighter.history import read_candles
from adapters.lighter.info import LighterInfo
from adapters.lighter.networks import websocket_url
from adapters.lighter.probes import Probes, read_quote
from adapters.lighter.wire import (
    BookFrame,
    CandlesFrame,
    Channel,
    SpotStatsFrame,
    StatsFrame,
    TickerFrame,
    TradesFrame,
)
from adapters.transport.books import Books
from adapters.transport.candles import CandleSource
from adapters.transport.connection import Loss
from adapters.transport.feed import Feed
from adapters.transport.gaps import Pieces
from adapters.transport.latest import Reading
from adapters.transport.protocol import Damage, Salvaged, Subscription
from adapters.transport.sequence import CHAINED, Snapshot
from adapters.transport.setup import FeedSetup
from adapters.transport.silence import Key, Probe
from adapters.transport.stream import Stream
from adapters.transport.synced import SyncedBook
from adapters.transport.trades import MEMORY_MAX, TradeMemory
from engine.errors import VenueProtocolError
from engine.events import InstrumentListed, LiquidationRead
from engine.values import parse_interval

__all__ = ["LighterFeed"]

_NS_PER_MS: Final = 1_000_000
_CANDLES_KEPT: Final = 5_000
"""Windows that are repaired at most; the venue does not say how many candles it keeps."""


class LighterFeed(Feed):
    """A feed of a session's markets. See `Feed`.

    `markets` are the venue's numbers of the instruments, by name. `info` checks and repairs what a stream
    cannot. `readonly` uses the address for regions that may only read.
    """

    TRADES = "trade"
    CANDLES = "candle"

    def __init__(
        self, setup: FeedSetup, info: LighterInfo, markets: Mapping[str, int], *, readonly: bool = False
    ) -> None:
        super().__init__("lighter", setup)
        instruments = setup.instruments
        self._markets = {listed.name: markets[listed.name] for listed in instruments}
        self._names = {market: name for name, market in self._markets.items()}
        self._decoder = Decoder(instruments, self._names, self.health.dropped)  # of the stream
        self._answers = Decoder(instruments, self._names, self.health.dropped)  # of HTTP
        self.bound_times()
        self._info = info
        self._carry(websocket_url(setup.base_url, readonly=readonly))
        self.track(self._recent_trades, TradeMemory.overlaps)
        self._liquidations = {
            listed.instrument: _Liquidations(self._trackers[listed.instrument].memory.last_ns)
            for listed in instruments
        }
        self.books = Books(
            self._context,
            "order_book",
            [SyncedBook(listed, CHAINED, pulled=False) for listed in instruments],
            self._ask_book,
            self.take_reading,
            self._damages.note,
        )
        if "order_book" in setup.data.channels:
            self._watchers.append(self.books.run)
        by_market = {self._markets[listed.name]: listed for listed in instruments}
        self._probes = Probes(info, self._answers, self.probe_parts(), by_market)
        intervals_ns = tuple(map(parse_interval, venue_intervals(setup.intervals)))
        source = CandleSource(partial(read_candles, info, self._markets), intervals_ns, _CANDLES_KEPT)
        self.watch(source, self._poll_quote)

    def receive(self, stream: Stream, frame: Any, recv_ns: int) -> None:
        """See `Feed.receive`."""
        damages: list[Damage] = []
        prints = Prints([[]], [])
        used, whole = True, True
        if isinstance(frame, Salvaged):
            frame, damages = frame.frame, list(frame.damages)
            whole = False
        try:
            if isinstance(frame, TradesFrame):
                prints = self._decoder.prints(frame, recv_ns, whole=whole)
                self._silences.note_message(*self._key_of_channel(frame.channel), recv_ns)
                used = any(prints.pieces) or not (frame.trades or frame.liquidation_trades)
            elif frame is None:
                used = False
            else:
                used = self._read(frame, recv_ns)
            if frame is not None and frame.timestamp:
                self._proofs.note_message(stream, frame.timestamp * _NS_PER_MS, recv_ns)
        except VenueProtocolError as error:
            used = False
            damages.append(Damage(*self._key_of_channel(frame.channel), str(error)))
        if self._decoder.damages:
            damages += self._decoder.damages
            self._decoder.damages.clear()
        if damages:
            self.note_damages(stream, damages, recv_ns, prints.pieces)
            if not used:
                self.health.frames_refused += 1
                stream.note_unusable(damages[-1].reason)
        if any(prints.pieces):
            self.take_trades(prints.pieces, recv_ns, stream)
        for one in prints.liquidations:
            if self._liquidations[one.instrument].take(one):
                self._emit(one)

    async def stream_up(self, stream: Stream, recv_ns: int) -> None:
        """See `StreamHost`."""
        await super().stream_up(stream, recv_ns)
        self.books.expect(stream.instruments)

    async def stream_down(self, stream: Stream, loss: Loss, backoff_ms: int) -> None:
        """See `StreamHost`."""
        await super().stream_down(stream, loss, backoff_ms)
        self.books.lose(stream.instruments)

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
        try:
            pieces = self._answers.prints(frame, recv_ns, whole=whole).pieces
        except VenueProtocolError:
            pieces = [[], []]
        self._answers.damages.clear()
        return pieces

    def key_of(self, subscription: Subscription) -> Key:
        """See `Feed.key_of`."""
        channel = subscription.key
        assert isinstance(channel, Channel), "all subscriptions of this feed are channels"
        return channel.kind, self._names[channel.market]

    def probes(self, stream: Stream) -> Iterable[tuple[Key, Probe]]:
        """See `Feed.probes`."""
        return self._probes.of(one.key for one in stream.confirmed if isinstance(one.key, Channel))

    def _key_of_channel(self, text: str) -> Key:
        try:
            channel = Channel.of(text)
        except VenueProtocolError:
            return "", ""
        return channel.kind, self._names.get(channel.market, "")

    def _read(self, frame: Any, recv_ns: int) -> bool:
        """Emit the reading of a frame if it is new; return whether it could be used.

        Raises VenueProtocolError.
        """
        self._silences.note_message(*self._key_of_channel(frame.channel), recv_ns)
        if isinstance(frame, CandlesFrame):
            candles = self._decoder.candles(frame, recv_ns)
            for candle in candles:
                self.take_candle(candle)
            return bool(candles) or not frame.candles
        if isinstance(frame, BookFrame):
            found = self._decoder.book(frame, recv_ns)
            if found is not None:
                listed, content = found
                take = self.books.take_snapshot if isinstance(content, Snapshot) else self.books.take_diff
                take(listed.instrument, content, recv_ns)  # type: ignore[arg-type]
            return found is not None
        reading: Reading | None = None
        if isinstance(frame, TickerFrame):
            reading = self._decoder.quote(frame, recv_ns)
        elif isinstance(frame, StatsFrame | SpotStatsFrame):
            reading = self._decoder.context(frame, recv_ns)
        if reading is not None:
            self.take_reading(reading)
        return reading is not None

    def _carry(self, url: str) -> None:
        """Distribute the subscriptions over as few connections as the limits allow."""
        setup, protocol = self._setup, MarketProtocol(self._names)
        shares = share_out(
            *(setup.instruments, self._markets, setup.data.channels, setup.intervals),
            self._limits.subscriptions_max,
        )
        self.carry([self.stream(url, protocol, own, carried) for carried, own in shares])

    async def _ask_book(self, listed: InstrumentListed) -> Snapshot | None:
        """Subscribe to a book again, which sends it whole."""
        key = Channel("order_book", self._markets[listed.name])
        for stream in self._streams:
            own = [one for one in stream.confirmed if one.key == key]
            if own:
                stream.renew(own)
        return None

    async def _poll_quote(self, listed: InstrumentListed) -> None:
        """Emit the best bid and ask read over HTTP."""
        now_ns = self._venue_clock.now_ns()
        quote = await read_quote(self._info, self._markets[listed.name], listed, now_ns)
        await self.catch_up()
        self.take_reading(quote)

    async def _recent_trades(self, listed: InstrumentListed) -> Pieces:
        """Return the newest trades of an instrument. Raises VenueError."""
        market = self._markets[listed.name]
        rows = await self._info.recent_trades(market)
        valid = [row for row in rows if row is not None]
        prints = self._answers.trades(
            valid, market, listed, self._clock.now_ns(), whole=len(valid) == len(rows)
        )
        self._answers.damages.clear()
        if rows and not any(prints.pieces):
            # An answer without usable trades proves nothing, and is an error.
            raise VenueProtocolError(f"{listed.name}: none of {len(rows)} recent trades can be used")
        for one in prints.liquidations:
            if self._liquidations[one.instrument].take(one):
                self._emit(one)
        return prints.pieces


class _Liquidations:
    """The liquidations of one instrument that were emitted: the venue sends its newest again."""

    def __init__(self, floor_ns: int) -> None:
        self._floor_ns = floor_ns
        self._order: deque[int | str] = deque()
        self._known: set[int | str] = set()

    def take(self, one: LiquidationRead) -> bool:
        """Return whether a liquidation is new."""
        if one.venue_ns <= self._floor_ns or one.trade_id in self._known:
            return False
        self._known.add(one.trade_id)
        self._order.append(one.trade_id)
        if len(self._order) > MEMORY_MAX:
            self._known.discard(self._order.popleft())
        return True
