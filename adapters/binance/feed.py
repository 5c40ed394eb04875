"""The Binance market data feed: trades, the best bid and ask, and the channels that the configuration names.

Owns the handling of frames and the requests that check or replace a stream. What is the same for every venue
is in `adapters/transport/feed.py`, order books in `adapters/transport/books.py`. Made by `client.py`.

The venue counts its trades up by one, so an id that is left out proves that a trade is missing, and the
missed ones are read by their ids. It sends nothing again on subscribing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any, ClassVar, Final

import msgspec
import trio

from adapters.binance.channels import Channel, MarketProtocol, check_channels, share_out, venue_intervals
from adapters.binance.decode import NS_PER_MS, Decoder
from adapters.binance.history import WINDOWS_MAX, read_candles, read_trades
from adapters.binance.markets import Market, websocket_root
from adapters.binance.probes import Probes
from adapters.binance.rest import BinanceRest
from adapters.binance.wire import AggTrade, Frame, RawTrade
from adapters.transport.books import Books
from adapters.transport.candles import CandleSource
from adapters.transport.connection import Loss
from adapters.transport.feed import Feed
from adapters.transport.gaps import Pieces
from adapters.transport.numbered import follows, split
from adapters.transport.protocol import Damage, Salvaged, Subscription
from adapters.transport.sequence import CHAINED, CONTIGUOUS, Snapshot
from adapters.transport.setup import FeedSetup
from adapters.transport.silence import Key, Probe
from adapters.transport.stream import Stream
from adapters.transport.synced import SyncedBook
from engine.errors import VenueError, VenueProtocolError
from engine.events import ClockJumped, InstrumentListed, Trade
from engine.values import parse_interval

__all__ = ["BinanceFeed", "RawTradesFeed", "sequence_rule"]

_PAGES_MAX: Final = 10
"""Answers of trades that fill one gap; a longer one stays open, and its bars are repaired from candles."""

_INTEREST_S: Final = 60.0
"""How often the open interest of each instrument is read."""


class BinanceFeed(Feed):
    """A feed of one market, with aggregate trades. See `Feed`. Raises UsageError for channels, or more
    instruments, than the venue has."""

    TRADES: ClassVar[str] = "aggTrade"
    CANDLES: ClassVar[str] = "kline"

    def __init__(self, setup: FeedSetup, market: Market, rest: BinanceRest) -> None:
        check_channels(market, setup.data.channels)
        super().__init__(market.venue, setup)
        self._market = market
        self._rest = rest
        counts = self.TRADES == "trade"
        self._decoder = Decoder(setup.instruments, self.health.dropped, counts=counts)  # of the stream
        self._answers = Decoder(setup.instruments, self.health.dropped, counts=counts)  # of REST
        self.bound_times()
        self.track(self._missed_trades, follows)
        self._books: Books | None = None
        if "depth" in setup.data.channels:
            books = [SyncedBook(listed, sequence_rule(market), pulled=True) for listed in setup.instruments]
            self._books = Books(
                self._context, "depth", books, self._snapshot, self.take_reading, self._damages.note
            )
            self._watchers.append(self._books.run)
        if "openInterest" in setup.data.channels:
            self._watchers.append(self._poll_interest)
        self._carry()
        self._probes = Probes(rest, self._answers, self.probe_parts(), self._named)
        intervals_ns = tuple(map(parse_interval, venue_intervals(market, setup.intervals)))
        source = CandleSource(partial(read_candles, self._rest, counts=counts), intervals_ns, WINDOWS_MAX)
        self.watch(source, self._poll_quote)

    @property
    def books(self) -> str:
        """The states of the order books, for people; "" without books."""
        return "" if self._books is None else str(self._books)

    def receive(self, stream: Stream, frame: Any, recv_ns: int) -> None:
        """See `Feed.receive`."""
        if isinstance(frame, Salvaged):
            self._refuse(stream, frame.damages, recv_ns)
            return
        try:
            used = self._read(stream, frame, recv_ns)
        except VenueProtocolError as error:
            used = False
            self._decoder.damages.append(Damage(frame.kind, self._name_of(frame), str(error)))
        if self._decoder.damages:
            damages = list(self._decoder.damages)
            self._decoder.damages.clear()
            if used:
                self.note_damages(stream, damages, recv_ns, [[]])
            else:
                self._refuse(stream, damages, recv_ns)

    def _refuse(self, stream: Stream, damages: Sequence[Damage], recv_ns: int) -> None:
        self.health.frames_refused += 1
        self.note_damages(stream, damages, recv_ns, [[]])
        stream.note_unusable(damages[-1].reason)

    def note_damages(self, stream: Stream, damages: Iterable[Damage], recv_ns: int, pieces: Pieces) -> None:
        """See `Feed.note_damages`. A damaged diff of a book leaves it out of step."""
        damages = list(damages)
        super().note_damages(stream, damages, recv_ns, pieces)
        for damage in damages:
            if self._books is not None and damage.channel in ("", "depth"):
                named = self._named.get(damage.name)
                carried = [one.key.name for one in stream.subscriptions if one.key.kind == "depth"]  # type: ignore[attr-defined]
                lost = [self._named[name] for name in carried] if named is None else [named]
                self._lose_books(lost, "a diff cannot be used")

    def bound_times(self) -> None:
        """See `Feed.bound_times`."""
        super().bound_times()
        self._decoder.ahead_ns = self._answers.ahead_ns = self.ahead_ns

    def note_jump(self, jumped: ClockJumped) -> None:
        """See `Feed.note_jump`. Quotes of spot have our time, which may have gone back."""
        self._latest.quotes.clear()
        super().note_jump(jumped)

    def pieces_of(self, frame: Any, recv_ns: int) -> Pieces:
        """See `Feed.pieces_of`."""
        if isinstance(frame, Salvaged):
            return [[], []]
        if not isinstance(frame, Frame) or not isinstance(frame.event, AggTrade | RawTrade):
            return [[]]
        try:
            trade = self._answers.trade(self.TRADES, frame.event, recv_ns)
        except VenueProtocolError:
            trade = None
        return [[], []] if trade is None else [[trade]]

    def key_of(self, subscription: Subscription) -> Key:
        """See `Feed.key_of`."""
        channel = subscription.key
        assert isinstance(channel, Channel), "all subscriptions of this feed are channels"
        return channel.kind, channel.name

    def probes(self, stream: Stream) -> Iterable[tuple[Key, Probe]]:
        """See `Feed.probes`."""
        return self._probes.of(one.key for one in stream.confirmed if isinstance(one.key, Channel))

    async def stream_up(self, stream: Stream, recv_ns: int) -> None:
        """See `StreamHost`. Another server of the venue may count updates from another start."""
        self._decoder.forget_updates()
        await super().stream_up(stream, recv_ns)

    async def stream_down(self, stream: Stream, loss: Loss, backoff_ms: int) -> None:
        """See `StreamHost`."""
        carried = map(self.key_of, stream.subscriptions)
        self._lose_books([self._named[name] for kind, name in carried if kind == "depth"])
        await super().stream_down(stream, loss, backoff_ms)

    def _lose_books(self, lost: Sequence[InstrumentListed], reason: str = "") -> None:
        if self._books is not None:
            self._books.lose(lost, reason)
            for listed in lost:
                self._record(listed, "depthLost", "{}")

    # ---- frames

    def _read(self, stream: Stream, frame: Frame, recv_ns: int) -> bool:
        """Handle an event; return whether it could be used. Raises VenueProtocolError."""
        kind, event = frame.kind, frame.event
        name = self._name_of(frame)
        self._silences.note_message(kind, name, recv_ns)
        if kind == self.TRADES:
            trade = self._decoder.trade(kind, event, recv_ns)
            if trade is not None:
                self._take_trade(stream, trade, recv_ns)
        elif kind == "bookTicker":
            quote = self._decoder.quote(event, recv_ns)
            if quote is not None:
                self.take_reading(quote)
        elif kind == "depth" and self._books is not None:
            found = self._decoder.diff(event, recv_ns)
            if found is not None:
                self._books.take_diff(found[0].instrument, found[1], recv_ns)
        elif kind == "kline":
            self._take_kline(event.k, recv_ns)
        elif kind == "markPrice":
            context = self._decoder.context(event, recv_ns)
            if context is not None:
                self.take_reading(context)
        elif kind == "forceOrder":
            liquidation = self._decoder.liquidation(event.o, recv_ns)
            if liquidation is not None:
                self._emit(liquidation)
        else:
            self.health.dropped["channel"] += 1
            return True
        if not self._decoder.damages and event.E:
            self._proofs.note_message(stream, event.E * NS_PER_MS, recv_ns)
        return not self._decoder.damages

    def _take_trade(self, stream: Stream, trade: Trade, recv_ns: int) -> None:
        """Emit a trade; ids that are left out before it are missing trades."""
        listed = next(one for one in self._instruments if one.instrument == trade.instrument)
        pieces, missing = split([[trade]], self._trackers[trade.instrument].memory)
        for one in missing:
            reason = f"{listed.name}: trades between {one.after} and {one.before} are missing"
            self._doubt_trades(stream, listed, Damage(self.TRADES, listed.name, reason), placed=True)
        self._trackers[trade.instrument].receive(pieces, recv_ns, stream)

    def _take_kline(self, row: Any, recv_ns: int) -> None:
        """Take a pushed candle; one that says that it is closed is compared with its bar, too."""
        candle = self._decoder.candle(row, recv_ns, "stream")
        if candle is None:
            return
        self.take_candle(candle)
        if row.x:
            self._emit(msgspec.structs.replace(candle, purpose="check"))

    def _name_of(self, frame: Frame) -> str:
        name = frame.symbol.upper()
        if name in self._named:
            return name
        return next((one for one in self._named if one.lower() == frame.symbol), name)

    # ---- connections

    def _carry(self) -> None:
        """Distribute the subscriptions over as few connections as the roots and the limits allow."""
        setup, market = self._setup, self._market
        root = websocket_root(market, setup.base_url)
        shares = share_out(
            *(market, setup.instruments, self.TRADES, setup.data.channels, setup.intervals),
            self._limits.subscriptions_max,
        )
        streams = []
        for share in shares:
            protocol = MarketProtocol(share.channels)
            own = [one.subscription() for one in share.channels]
            url = f"{root}{share.root}/stream"
            streams.append(self.stream(url, protocol, own, share.instruments, protocol.merge))
        self.carry(streams)

    # ---- REST

    async def _missed_trades(self, listed: InstrumentListed) -> Pieces:
        """Return the trades since the last known one. Raises VenueError."""
        last = self._trackers[listed.instrument].known
        return await read_trades(
            *(self._rest, self._answers, listed, self.TRADES),
            None if last is None else (last[0], int(last[1])),
            self._clock.now_ns(),
            _PAGES_MAX,
        )

    async def _snapshot(self, listed: InstrumentListed) -> Snapshot:
        """Return a snapshot of a book. Raises VenueError."""
        text, row = await self._rest.depth(listed.name)
        at_ns = self._record(listed, "depthSnapshot", text)
        snapshot = self._answers.snapshot(listed, row, self._market.depth_levels, at_ns)
        return snapshot._replace(recv_ns=at_ns)  # as a decoder of the recording has it

    async def _poll_quote(self, listed: InstrumentListed) -> None:
        """Emit the best bid and ask read over REST."""
        row = await self._rest.ticker(listed.name)
        await self.catch_up()
        quote = self._answers.answered_quote(listed, row, self._clock.now_ns())
        if quote is not None:
            self.take_reading(quote)

    async def _poll_interest(self) -> None:
        """Read the open interest of all instruments again and again, until cancelled."""
        while True:
            for listed in self._instruments:
                try:
                    text, row = await self._rest.open_interest(listed.name)
                    await self.catch_up()
                    self._record(listed, "openInterest", text)
                    # The stream's decoder has mark and rate of the same context.
                    self.take_reading(
                        self._decoder.open_interest(listed, row.open_interest, self._clock.now_ns())
                    )
                except VenueError:
                    self.health.venue_errors += 1
                await trio.sleep(_INTEREST_S / len(self._instruments))

    def _record(self, listed: InstrumentListed, kind: str, text: str) -> int:
        """Record an answer among the raw messages, which later messages are decoded with. Return when."""
        at_ns = self._clock.now_ns()
        if self._setup.tap is not None:
            named = msgspec.json.encode(f"{listed.name.lower()}@{kind}").decode()
            self._setup.tap(at_ns, f'{{"stream":{named},"data":{text}}}')
        return at_ns


class RawTradesFeed(BinanceFeed):
    """The same with every single trade. Each answer that fills a gap costs more weight."""

    TRADES: ClassVar[str] = "trade"


def sequence_rule(market: Market) -> Any:
    """Return how the market numbers the diffs of a book."""
    return CONTIGUOUS if market.kind == "spot" else CHAINED
