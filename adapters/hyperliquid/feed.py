"""The Hyperliquid market data feed: trades, quotes, and the channels that the configuration names.

Owns the handling of frames, the requests that check or replace a stream, and the distribution of
subscriptions over connections. What is the same for every venue is in `adapters/transport/feed.py`. Made by
`client.py`.

The venue numbers neither messages nor trades, and sends its newest trades again, unmarked, after every
subscribe. An overlap with the last known trade therefore proves that none is missing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from adapters.hyperliquid.channels import Channel, MarketProtocol, check_channels, share_out, venue_intervals
from adapters.hyperliquid.decode import Decoder
from adapters.hyperliquid.history import CANDLES_MAX, read_candles
from adapters.hyperliquid.info import MarketInfo
from adapters.hyperliquid.limits import LIMITS
from adapters.hyperliquid.networks import websocket_url
from adapters.hyperliquid.probes import Probes
from adapters.hyperliquid.wire import (
    BboFrame,
    BookFrame,
    CandleFrame,
    ContextFrame,
    MidsFrame,
    SpotContextFrame,
    TradesFrame,
    WireCandle,
    WireTrade,
)
from adapters.transport.candles import CandleSource
from adapters.transport.connection import Dial, dial_url
from adapters.transport.feed import Feed
from adapters.transport.gaps import Pieces
from adapters.transport.governor import Governor
from adapters.transport.health import FeedLimits
from adapters.transport.latest import Reading, quote_of
from adapters.transport.proof import VenueClock
from adapters.transport.protocol import Damage, Salvaged, Subscription
from adapters.transport.setup import FeedSetup
from adapters.transport.silence import Key, Probe
from adapters.transport.stream import Stream
from adapters.transport.trades import LastTrade, TradeMemory
from engine.config import DataConfig
from engine.errors import VenueProtocolError
from engine.events import Event, InstrumentListed
from engine.ports import Clock
from engine.values import parse_interval
from engine.venue import Tap

__all__ = ["HyperliquidFeed"]

_NS_PER_MS = 1_000_000

Recent = Callable[[str], Awaitable[list[WireTrade | None]]]
"""Returns the newest trades of an instrument, newest first, None for an unreadable one. Raises VenueError."""


class HyperliquidFeed(Feed):
    """A feed of `instruments` from the venue at `base_url`. See `Feed`.

    `since_ns` is when the session started, in the venue's time: a trade from before is never emitted, since a
    bar must not be built from part of its trades, and the venue sends trades of minutes ago on subscribing.
    `last_seen` gives, by instrument number, the last trade in the journal: for these the limit is that trade,
    and what comes first shows whether trades are missing since, as after a loss.

    `data` says what is read beside trades and quotes, and how it is watched; `intervals` are the session's
    bars. `info` checks and repairs what a stream cannot; without it, only `recent` is used, for missed
    trades. `tap` receives every message unchanged. Raises UsageError for channels, or more instruments, than
    the venue has.
    """

    def __init__(
        self,
        *,
        name: str,
        base_url: str,
        instruments: Sequence[InstrumentListed],
        clock: Clock,
        jitter: Callable[[], float],
        send: Callable[[list[Event]], Awaitable[None]],
        offer: Callable[[list[Event]], bool] | None = None,
        since_ns: int,
        last_seen: Mapping[int, LastTrade] | None = None,
        recent: Recent | None = None,
        limits: FeedLimits | None = None,
        dial: Dial | None = None,
        info: MarketInfo | None = None,
        data: DataConfig | None = None,
        intervals: Sequence[str] = (),
        governor: Governor | None = None,
        tap: Tap | None = None,
        venue_clock: VenueClock | None = None,
    ) -> None:
        data = data or DataConfig()
        check_channels(data.channels)
        super().__init__(
            name,
            FeedSetup(
                base_url=base_url,
                instruments=instruments,
                clock=clock,
                jitter=jitter,
                send=send,
                offer=offer,
                since_ns=since_ns,
                last_seen=last_seen or {},
                data=data,
                intervals=intervals,
                governor=governor or Governor(LIMITS),
                limits=limits or FeedLimits(),
                dials=dial_url if dial is None else lambda _: dial,
                venue_clock=venue_clock,
                tap=tap,
            ),
        )
        self._decoder = Decoder(instruments, self.health.dropped)  # of the stream
        self._answers = Decoder(instruments, self.health.dropped)  # of HTTP
        self.bound_times()
        self._fast = "l2BookFast" in data.channels
        self._books = self._fast or "l2Book" in data.channels
        self._info = info
        self._recent = info.recent_trades if recent is None and info is not None else recent
        self._carry(websocket_url(base_url))
        recent_trades = None if self._recent is None else self._recent_trades
        self.track(recent_trades, TradeMemory.overlaps)
        self._probes: Probes | None = None
        if info is not None:
            self._probes = Probes(info, self._answers, self.probe_parts())
            intervals_ns = tuple(map(parse_interval, venue_intervals(intervals)))
            source = CandleSource(partial(read_candles, info), intervals_ns, CANDLES_MAX)
            self.watch(source, self._poll_quote)

    def receive(self, stream: Stream, frame: Any, recv_ns: int) -> None:
        """See `Feed.receive`."""
        damages: list[Damage] = []
        if isinstance(frame, Salvaged):
            frame, damages = frame.frame, list(frame.damages)
        pieces: Pieces = [[]]
        used = True
        if isinstance(frame, TradesFrame):
            trades: Sequence[WireTrade | None] = frame.data
            pieces = self._decoder.pieces(trades, recv_ns)
            named = next((row.coin for row in trades if row is not None), None)
            if named is not None:
                self._silences.note_message("trades", named, recv_ns)
            used = any(pieces) or not frame.data
        elif frame is None:
            used = False
        else:
            try:
                used = self._read(frame, recv_ns)
                if isinstance(frame, BboFrame | BookFrame):
                    self._proofs.note_message(stream, frame.data.time * _NS_PER_MS, recv_ns)
            except VenueProtocolError as error:
                used = False
                damages.append(Damage(*_key_of_frame(frame), str(error)))
        if self._decoder.damages:
            damages += self._decoder.damages
            self._decoder.damages.clear()
        if damages:
            self.note_damages(stream, damages, recv_ns, pieces)
            if not used:
                self.health.frames_refused += 1
                stream.note_unusable(damages[-1].reason)
        if pieces != [[]]:
            self.take_trades(pieces, recv_ns, stream)

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
        return channel.kind, channel.coin or channel.dex

    def _read(self, frame: Any, recv_ns: int) -> bool:
        """Emit the reading of a frame if it is new; return whether it could be used.

        Raises VenueProtocolError.
        """
        if isinstance(frame, CandleFrame):
            rows = frame.data if isinstance(frame.data, list) else [frame.data]
            taken = [self._take_row(row, recv_ns) for row in rows]
            return any(taken)
        if isinstance(frame, BookFrame) and bool(frame.data.fast) != self._fast:
            self.health.dropped["channel"] += 1
            return True
        self._silences.note_message(*_key_of_frame(frame), recv_ns)
        reading: Reading | None = None
        if isinstance(frame, BboFrame):
            reading = self._decoder.quote(frame.data, recv_ns)
        elif isinstance(frame, BookFrame):
            reading = self._decoder.book(frame.data, recv_ns)
        elif isinstance(frame, ContextFrame | SpotContextFrame):
            reading = self._decoder.context(frame.data, recv_ns)
        elif isinstance(frame, MidsFrame):
            reading = self._decoder.mids(frame.data.mids, recv_ns)
        if reading is not None:
            self.take_reading(reading)
        return reading is not None

    def probes(self, stream: Stream) -> Iterable[tuple[Key, Probe]]:
        """See `Feed.probes`."""
        if self._probes is None:
            return ()
        channels = [one.key for one in stream.confirmed if isinstance(one.key, Channel)]
        return self._probes.of(channels, stream.instruments)

    def _carry(self, url: str) -> None:
        """Distribute the subscriptions over as few connections as the limits allow."""
        setup, protocol = self._setup, MarketProtocol()
        most = self._limits.subscriptions_max
        self.carry(
            [
                self.stream(url, protocol, [one.subscription() for one in own], carried)
                for carried, own in share_out(setup.instruments, setup.data.channels, setup.intervals, most)
            ]
        )

    def _take_row(self, row: WireCandle, recv_ns: int) -> bool:
        """Take a pushed candle; return whether it could be used."""
        self._silences.note_message("candle", row.coin, recv_ns)
        try:
            candle = self._decoder.candle(row, recv_ns, "stream")
        except VenueProtocolError as error:
            self._decoder.damages.append(Damage("candle", row.coin, str(error)))
            return False
        if candle is not None:
            self.take_candle(candle)
        return True

    async def _poll_quote(self, listed: InstrumentListed) -> None:
        """Emit the quote of a book read over HTTP, and the book if books are configured."""
        assert self._info is not None, "polls need HTTP"
        row = await self._info.book(listed.name)
        await self.catch_up()
        book = self._answers.book(row, self._clock.now_ns())
        if book is not None:
            self.take_reading(quote_of(book))
            if self._books:
                self.take_reading(book)

    async def _recent_trades(self, listed: InstrumentListed) -> Pieces:
        """Return the newest trades of an instrument. Raises VenueError."""
        assert self._recent is not None, "missed trades are read over HTTP"
        rows = await self._recent(listed.name)
        pieces = self._answers.pieces(reversed(rows), self._clock.now_ns())
        own = [[trade for trade in piece if trade.instrument == listed.instrument] for piece in pieces]
        if rows and not any(own):
            # An answer without usable trades proves nothing, and is an error.
            raise VenueProtocolError(f"{listed.name}: none of {len(rows)} recent trades can be used")
        return own


def _key_of_frame(frame: Any) -> Key:
    """Return the channel and the name of a frame's instrument, as its subscription has them."""
    if isinstance(frame, MidsFrame):
        return "allMids", frame.data.dex or ""
    if isinstance(frame, BboFrame):
        return "bbo", frame.data.coin
    if isinstance(frame, BookFrame):
        return "l2Book", frame.data.coin
    return "activeAssetCtx", frame.data.coin
