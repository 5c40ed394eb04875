"""Decodes the recorded raw messages of a feed with today's code, as the feed does, without its network.

Owns the state that the messages need: contexts and order books. A recording holds the answers of REST that
these began with, as if a stream had sent them. Called by `engine replay DAY --from-raw` through `venue.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from adapters.binance.decode import Decoder
from adapters.binance.feed import sequence_rule
from adapters.binance.markets import Market
from adapters.binance.salvage import decode_or_salvage
from adapters.binance.wire import Frame
from adapters.transport.protocol import Salvaged
from adapters.transport.synced import EVERY_NS, SyncedBook
from engine.errors import VenueProtocolError
from engine.events import Event, InstrumentListed

__all__ = ["BinanceRawDecoder"]


class BinanceRawDecoder:
    """See `engine.venue.RawDecoder`. Candles are returned even while they are open."""

    books_every_ns = EVERY_NS

    def __init__(self, market: Market, instruments: Sequence[InstrumentListed]) -> None:
        self._market = market
        # The messages show whether single or aggregate trades were read, and so what candles count.
        self._decoder = Decoder(instruments, counts=False)
        self._counted = Decoder(instruments, counts=True)
        self._raw_trades = False
        self._named = {listed.name: listed for listed in instruments}
        rule = sequence_rule(market)
        self._books = {one.instrument: SyncedBook(one, rule, pulled=True) for one in instruments}

    def decode(self, message: str | bytes, recv_ns: int) -> Sequence[Event]:
        """See `engine.venue.RawDecoder`."""
        frame = decode_or_salvage(message, self._named)
        if isinstance(frame, Salvaged):
            raise VenueProtocolError(frame.damages[0].reason)
        if not isinstance(frame, Frame):
            return []
        found = self._events(frame, recv_ns)
        self._decoder.damages.clear()
        self._counted.damages.clear()
        return [event for event in found if event is not None]

    def _events(self, frame: Frame, recv_ns: int) -> Sequence[Event | None]:
        kind, event, decoder = frame.kind, frame.event, self._decoder
        if kind in ("aggTrade", "trade"):
            self._raw_trades = kind == "trade"
            return [decoder.trade(kind, event, recv_ns)]
        if kind == "bookTicker":
            return [decoder.quote(event, recv_ns)]
        if kind == "depth":
            return self._book(event, recv_ns)
        if kind == "kline":
            own = self._counted if self._raw_trades else decoder
            return [own.candle(event.k, recv_ns, "stream")]
        if kind == "markPrice":
            return [decoder.context(event, recv_ns)]
        if kind == "forceOrder":
            return [decoder.liquidation(event.o, recv_ns)]
        return self._answer(frame, recv_ns)

    def _answer(self, frame: Frame, recv_ns: int) -> Sequence[Event | None]:
        """Return what an answer of REST leads to."""
        listed = next((one for name, one in self._named.items() if name.lower() == frame.symbol), None)
        if listed is None:
            return []
        if frame.kind == "openInterest":
            return [self._decoder.open_interest(listed, frame.event.open_interest, recv_ns)]
        book = self._books[listed.instrument]
        if frame.kind == "depthLost":
            book.lose("")
        if frame.kind == "depthSnapshot":
            levels_max = self._market.depth_levels
            book.take_snapshot(self._decoder.snapshot(listed, frame.event, levels_max, recv_ns))
            return [book.now(recv_ns)]
        return []

    def _book(self, row: Any, recv_ns: int) -> Sequence[Event | None]:
        found = self._decoder.diff(row, recv_ns)
        if found is None:
            return []
        book = self._books[found[0].instrument]
        book.refresh()  # a newer snapshot may come at any time
        book.take_diff(found[1])
        return [book.now(recv_ns)]
