"""Kraken's messages as events: exact integers, nanoseconds, only pairs of the session.

Validates values. A quote, book or candle with a number that is not a plain positive decimal on the scale of
its pair is a VenueProtocolError; of a list of trades only the invalid one is left out. A value of a pair that
is not of the session, with an impossible time, or crossed, is left out and counted. What was left out is in
`Decoder.damages`, so that a feed can report it. Promises: a trade has one time, whichever way it comes: REST
gives fewer digits than the websocket, so of two times of one id within a microsecond the first is kept.
Called by `feed.py` and `history.py` with the time of receipt of each message.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Final
from zlib import crc32

from adapters.kraken.answers import RestBook, RestCandle, RestTrade
from adapters.kraken.salvage import decode_or_salvage
from adapters.kraken.wire import (
    BookFrame,
    CandleFrame,
    Level,
    TickerFrame,
    TradesFrame,
    WireBook,
    WireCandle,
    WireTicker,
    WireTrade,
    number,
)
from adapters.transport.levels import OrderBook
from adapters.transport.protocol import Damage, Salvaged
from adapters.transport.sequence import Diff, Snapshot
from adapters.transport.trades import by_time
from adapters.transport.values import ValueDecoder, candle_of, iso_ns, positive
from engine.clock import DAY_NS, SECOND_NS
from engine.errors import NumberError, VenueProtocolError
from engine.events import BookRead, CandleRead, Event, InstrumentListed, Quote, Trade
from engine.values import BUY, SELL, parse_scaled

__all__ = ["CHECKED", "Decoder", "TradeTimes", "checksum", "verify"]

CHECKED: Final = 10
"""Levels of a side that the checksum is made of."""

_MINUTE_NS: Final = 60 * SECOND_NS
_MICRO_NS: Final = 1_000
_SIDES: Final = {"buy": BUY, "sell": SELL, "b": BUY, "s": SELL}
_TIMES_MAX: Final = 8192


def checksum(book: OrderBook) -> int:
    """Return the CRC32 of the best ten asks, then bids: the digits of price and size of each level.

    Source: docs.kraken.com, "Book checksum (v2)", 2026-11. The venue writes numbers with the decimals of the
    pair, so their digits without point and leading zeros are the exact integers.
    """
    bids, asks = book.top(CHECKED)
    return crc32("".join(f"{price}{size}" for price, size, _ in (*asks, *bids)).encode("ascii"))


def verify(book: OrderBook, check: object) -> bool:
    """Return whether the venue's checksum is that of a book."""
    return checksum(book) == check


class TradeTimes:
    """The times of the newest trades by pair and id, shared by the decoders of a feed."""

    def __init__(self) -> None:
        self._times: dict[int, dict[int, int]] = {}

    def settle(self, instrument: int, trade_id: int, venue_ns: int) -> int:
        """Return the time of a trade: the one that is known, unless it differs by more than digits."""
        times = self._times.setdefault(instrument, {})
        known = times.get(trade_id)
        if known is not None:
            return known if abs(known - venue_ns) <= _MICRO_NS else venue_ns
        times[trade_id] = venue_ns
        if len(times) > _TIMES_MAX:
            del times[next(iter(times))]
        return venue_ns


class Decoder(ValueDecoder):
    """Decodes for a fixed set of pairs. See `ValueDecoder`."""

    def __init__(
        self,
        instruments: Sequence[InstrumentListed],
        dropped: Counter[str] | None = None,
        times: TradeTimes | None = None,
    ) -> None:
        super().__init__(instruments, dropped)
        self._times = times or TradeTimes()

    def decode_frame(self, message: str | bytes, recv_ns: int) -> list[Event]:
        """Return the events of one websocket message that stand for themselves: trades and quotes.

        A pushed candle is not an event yet: only time shows whether it is closed. Nor is a change of a book.
        Raises VenueProtocolError if nothing can be used.
        """
        refused = self.refused
        frame: Any = decode_or_salvage(message)
        if isinstance(frame, Salvaged):
            if frame.frame is None:
                raise VenueProtocolError(frame.damages[0].reason)
            frame = frame.frame
        if isinstance(frame, TradesFrame):
            pieces = self.pieces(frame.data, recv_ns)
            trades = [trade for piece in pieces for trade in piece]
            if not trades and self.refused > refused:
                raise VenueProtocolError(self.damages[-1].reason)
            return list(by_time(trades))
        if isinstance(frame, TickerFrame):
            return [quote for row in frame.data if (quote := self.quote(row, recv_ns)) is not None]
        if isinstance(frame, CandleFrame):
            for candle in frame.data:
                self.candle(candle, recv_ns, "stream")
        if isinstance(frame, BookFrame):
            for book in frame.data:
                self.book(book, recv_ns)
        return []

    def pieces(self, rows: Iterable[WireTrade | None], recv_ns: int) -> list[list[Trade]]:
        """Return the valid trades of a list without a gap; an invalid one, or None, begins another piece."""
        pieces: list[list[Trade]] = [[]]
        for row in rows:
            listed = None if row is None else self._by_name.get(row.symbol)
            trade: Trade | None = None
            if row is not None and listed is None:
                self._leave_out("foreign", "trade", row.symbol, "not an instrument of this session")
            elif row is not None and listed is not None:
                trade = self._trade(row, listed, recv_ns)
            if trade is None:
                pieces.append([])
            else:
                pieces[-1].append(trade)
        return [_in_sequence(piece) for piece in pieces]

    def _trade(self, row: WireTrade, listed: InstrumentListed, recv_ns: int) -> Trade | None:
        try:
            venue_ns = iso_ns(row.timestamp, row.symbol)
            price = positive(number(row.price), listed.price_scale, listed.name)
            size = positive(number(row.qty), listed.size_scale, listed.name)
        except VenueProtocolError as error:
            self._refuse(Damage("trade", row.symbol, str(error), True))
            return None
        if not self._timely("trade", row.symbol, venue_ns, recv_ns, placed=True):
            return None
        venue_ns = self._times.settle(listed.instrument, row.trade_id, venue_ns)
        return Trade(recv_ns, venue_ns, listed.instrument, price, size, _SIDES[row.side], row.trade_id)

    def rest_pieces(
        self, rows: Iterable[RestTrade | None], listed: InstrumentListed, recv_ns: int
    ) -> list[list[Trade]]:
        """Return the valid trades of `Trades`, oldest first, in pieces as `pieces` does."""
        pieces: list[list[Trade]] = [[]]
        for row in rows:
            try:
                trade = None if row is None else self._rest_trade(row, listed, recv_ns)
            except VenueProtocolError as error:
                self._refuse(Damage("trade", listed.name, str(error), True))
                trade = None
            if trade is None:
                pieces.append([])
            else:
                pieces[-1].append(trade)
        return [_in_sequence(piece) for piece in pieces]

    def _rest_trade(self, row: RestTrade, listed: InstrumentListed, recv_ns: int) -> Trade | None:
        try:
            seconds_ns = parse_scaled(number(row.time), 9)
        except NumberError as error:
            raise VenueProtocolError(f"{listed.name}: {error}") from error
        # The websocket's times have microseconds.
        venue_ns = seconds_ns // _MICRO_NS * _MICRO_NS
        price = positive(row.price, listed.price_scale, listed.name)
        size = positive(row.volume, listed.size_scale, listed.name)
        if not self._timely("trade", listed.name, venue_ns, recv_ns, placed=True):
            return None
        venue_ns = self._times.settle(listed.instrument, row.trade_id, venue_ns)
        return Trade(recv_ns, venue_ns, listed.instrument, price, size, _SIDES[row.side], row.trade_id)

    def quote(self, row: WireTicker, recv_ns: int) -> Quote | None:
        """Return the best bid and ask as an event, None if it is left out. Raises VenueProtocolError."""
        listed = self._known("ticker", row.symbol)
        if listed is None:
            return None
        venue_ns = recv_ns if row.timestamp is None else iso_ns(row.timestamp, row.symbol)
        if not self._timely("ticker", row.symbol, venue_ns, recv_ns):
            return None
        bid, bid_size = _side_of(row.bid, row.bid_qty, listed)
        ask, ask_size = _side_of(row.ask, row.ask_qty, listed)
        if bid and ask and bid >= ask:
            self._leave_out("crossed", "ticker", row.symbol, "the best bid is not below the best ask")
            return None
        return Quote(recv_ns, venue_ns, listed.instrument, bid, bid_size, ask, ask_size)

    def book(self, row: WireBook, recv_ns: int) -> tuple[InstrumentListed, Snapshot, Diff] | None:
        """Return what a message says of a book, as a snapshot and as a diff; None if it is left out.

        Raises VenueProtocolError.
        """
        listed = self._known("book", row.symbol)
        if listed is None:
            return None
        venue_ns = recv_ns if row.timestamp is None else iso_ns(row.timestamp, row.symbol)
        if not self._timely("book", row.symbol, venue_ns, recv_ns):
            return None
        bids, asks = _levels(row.bids, listed), _levels(row.asks, listed)
        snapshot = Snapshot(0, bids, asks, venue_ns, True, row.checksum)
        return listed, snapshot, Diff(0, 0, bids, asks, venue_ns, None, row.checksum)

    def rest_book(self, row: RestBook, listed: InstrumentListed, recv_ns: int) -> BookRead:
        """Return the levels of `Depth` as a book of the time of receipt. Raises VenueProtocolError."""
        bids, asks = (
            tuple(
                (
                    positive(level.price, listed.price_scale, listed.name),
                    positive(level.volume, listed.size_scale, listed.name),
                    0,
                )
                for level in levels
            )
            for levels in (row.bids, row.asks)
        )
        return BookRead(recv_ns, recv_ns, listed.instrument, bids, asks)

    def candle(self, row: WireCandle, recv_ns: int, purpose: str) -> CandleRead | None:
        """Return a pushed candle as an event, as if it were closed; None if it is left out.

        Raises VenueProtocolError.
        """
        listed = self._known("ohlc", row.symbol)
        if listed is None:
            return None
        start_ns, interval_ns = iso_ns(row.interval_begin, row.symbol), row.interval * _MINUTE_NS
        if not self._timely("ohlc", row.symbol, start_ns, recv_ns):
            return None
        if interval_ns > DAY_NS:
            self.dropped["interval"] += 1
            return None
        texts = [number(one) for one in (row.open, row.high, row.low, row.close)]
        return _candle(listed, start_ns, interval_ns, texts, number(row.volume), row.trades, recv_ns, purpose)

    def rest_candle(
        self, row: RestCandle, listed: InstrumentListed, interval_ns: int, recv_ns: int, purpose: str
    ) -> CandleRead:
        """Return a row of `OHLC` as an event, as if it were closed. Raises VenueProtocolError."""
        texts = [row.open, row.high, row.low, row.close]
        return _candle(
            listed, row.time * SECOND_NS, interval_ns, texts, row.volume, row.count, recv_ns, purpose
        )


def _candle(
    listed: InstrumentListed,
    start_ns: int,
    interval_ns: int,
    texts: Sequence[str],
    volume_text: str,
    trades: int,
    recv_ns: int,
    purpose: str,
) -> CandleRead:
    name = listed.name
    prices = [positive(text, listed.price_scale, name) for text in texts]
    try:
        volume = parse_scaled(volume_text, listed.size_scale)
    except NumberError as error:
        raise VenueProtocolError(f"{name}: {error}") from error
    return candle_of(listed, interval_ns, start_ns, prices, volume, trades, recv_ns, purpose)


def _in_sequence(trades: list[Trade]) -> list[Trade]:
    """Return trades in the order of their ids, which is that of execution."""
    return sorted(trades, key=lambda one: (one.instrument, int(one.trade_id)))


def _side_of(price: Any, size: Any, listed: InstrumentListed) -> tuple[int, int]:
    """Return price and size of one side of a ticker; one without orders is null, or has the size 0."""
    texts = number(price), number(size)
    if "null" in texts:
        return 0, 0
    try:
        values = parse_scaled(texts[0], listed.price_scale), parse_scaled(texts[1], listed.size_scale)
    except NumberError as error:
        raise VenueProtocolError(f"{listed.name}: {error}") from error
    return values if all(values) else (0, 0)


def _levels(levels: Sequence[Level], listed: InstrumentListed) -> list[tuple[int, int]]:
    name, found = listed.name, []
    for level in levels:
        price = positive(number(level.price), listed.price_scale, name)
        try:
            found.append((price, parse_scaled(number(level.qty), listed.size_scale)))
        except NumberError as error:
            raise VenueProtocolError(f"{name}: {error}") from error
    return found
