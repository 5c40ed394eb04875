"""Hyperliquid's messages as events: exact integers, nanoseconds, only instruments of the session.

Validates values. A quote, book, candle or context with a price or size that is not a plain positive decimal
on the scale of its instrument is a VenueProtocolError; of a list of trades, and of mids, only the invalid
value is left out. Values that may be finer than a grid are rounded: volumes to the size scale, since the
venue adds them up in binary, and contexts, mids and rates to FINE_SCALE. A value of an instrument that is not
of the session, with an impossible time, or crossed, is left out and counted. What was left out is in
`Decoder.damages`, so that a feed can report it.
Called by `feed.py` and `history.py` with the time of receipt of each message.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Any, Final

from adapters.hyperliquid.answers import WireFunding
from adapters.hyperliquid.salvage import decode_or_salvage
from adapters.hyperliquid.wire import (
    Bbo,
    BboFrame,
    BookFrame,
    BookLevel,
    ContextFrame,
    Level,
    MidsFrame,
    SpotContextFrame,
    TradesFrame,
    WireBook,
    WireCandle,
    WireContext,
    WireTrade,
)
from adapters.transport.protocol import Damage, Salvaged
from adapters.transport.text import clip
from adapters.transport.trades import by_time
from adapters.transport.values import FINE_SCALE, ValueDecoder, candle_of, positive, rounded
from engine.clock import DAY_NS
from engine.errors import UsageError, VenueProtocolError
from engine.events import (
    BookRead,
    CandleRead,
    ContextRead,
    Event,
    FundingRead,
    InstrumentListed,
    MidsRead,
    Quote,
    Trade,
)
from engine.values import BUY, SELL, parse_interval, wide

__all__ = ["Decoder"]

_NS_PER_MS: Final = 1_000_000
_SIDES: Final = {"B": BUY, "A": SELL}


class Decoder(ValueDecoder):
    """Decodes for a fixed set of instruments. See `ValueDecoder`."""

    def decode_frame(self, message: str | bytes, recv_ns: int) -> list[Event]:
        """Return the events of one websocket message; none for a message that is not market data.

        Trades are in the order of their times. A pushed candle is not an event yet: only time shows whether
        it is closed (see `adapters/transport/candles.py`). Raises VenueProtocolError if nothing can be used.
        """
        refused = self.refused
        frame: Any = decode_or_salvage(message)
        if isinstance(frame, Salvaged):
            if frame.frame is None:
                raise VenueProtocolError(frame.damages[0].reason)
            frame = frame.frame
        if isinstance(frame, TradesFrame):
            trades = self.trades(frame.data, recv_ns)
            if not trades and self.refused > refused:
                raise VenueProtocolError(self.damages[-1].reason)
            return list(trades)
        reading: Event | None = None
        if isinstance(frame, BboFrame):
            reading = self.quote(frame.data, recv_ns)
        elif isinstance(frame, BookFrame):
            reading = self.book(frame.data, recv_ns)
        elif isinstance(frame, ContextFrame | SpotContextFrame):
            reading = self.context(frame.data, recv_ns)
        elif isinstance(frame, MidsFrame):
            reading = self.mids(frame.data.mids, recv_ns)
        return [] if reading is None else [reading]

    def trades(self, rows: Iterable[WireTrade | None], recv_ns: int) -> list[Trade]:
        """Return the valid trades as events, in the order of their times."""
        pieces = self.pieces(rows, recv_ns)
        return pieces[0] if len(pieces) == 1 else by_time([trade for piece in pieces for trade in piece])

    def pieces(self, rows: Iterable[WireTrade | None], recv_ns: int) -> list[list[Trade]]:
        """Return the valid trades of a list without a gap; each invalid one, or None, begins another piece.

        A piece is in the order of times. A trade of an unknown instrument is invalid too: its name may be
        damaged.
        """
        pieces: list[list[Trade]] = [[]]
        for row in rows:
            if row is None:
                pieces.append([])
                continue
            listed = self._by_name.get(row.coin)
            if listed is None:
                self._leave_out("foreign", "trades", row.coin, "not an instrument of this session")
                pieces.append([])
                continue
            trade = self._trade(row, listed, recv_ns)
            if trade is None:
                pieces.append([])
            else:
                pieces[-1].append(trade)
        return [by_time(piece) for piece in pieces]

    def _trade(self, row: WireTrade, listed: InstrumentListed, recv_ns: int) -> Trade | None:
        venue_ns = row.time * _NS_PER_MS
        if not self._timely("trades", row.coin, venue_ns, recv_ns, placed=True):
            return None
        try:
            price = positive(row.px, listed.price_scale, listed.name)
            size = positive(row.sz, listed.size_scale, listed.name)
        except VenueProtocolError as error:
            self._refuse(Damage("trades", row.coin, str(error), True))
            return None
        return Trade(recv_ns, venue_ns, listed.instrument, price, size, _SIDES[row.side], row.tid)

    def quote(self, row: Bbo, recv_ns: int) -> Quote | None:
        """Return the best bid and ask as an event, None if it is left out. Raises VenueProtocolError."""
        listed = self._known("bbo", row.coin)
        venue_ns = row.time * _NS_PER_MS
        if listed is None or not self._timely("bbo", row.coin, venue_ns, recv_ns):
            return None
        bid, bid_size = _level(row.bbo[0], listed)
        ask, ask_size = _level(row.bbo[1], listed)
        if bid and ask and bid >= ask:
            self._leave_out("crossed", "bbo", row.coin, "the best bid is not below the best ask")
            return None
        return Quote(recv_ns, venue_ns, listed.instrument, bid, bid_size, ask, ask_size)

    def book(self, row: WireBook, recv_ns: int) -> BookRead | None:
        """Return a whole book as an event, None if it is left out. Raises VenueProtocolError."""
        listed = self._known("l2Book", row.coin)
        venue_ns = row.time * _NS_PER_MS
        if listed is None or not self._timely("l2Book", row.coin, venue_ns, recv_ns):
            return None
        bids, asks = _side(row.levels[0], listed), _side(row.levels[1], listed)
        falling = all(better[0] > worse[0] for better, worse in pairwise(bids))
        rising = all(better[0] < worse[0] for better, worse in pairwise(asks))
        if not falling or not rising or (bids and asks and bids[0][0] >= asks[0][0]):
            self._leave_out(
                "crossed", "l2Book", row.coin, "the levels of the book are crossed or out of order"
            )
            return None
        return BookRead(recv_ns, venue_ns, listed.instrument, bids, asks, bool(row.fast))

    def candle(self, row: WireCandle, recv_ns: int, purpose: str) -> CandleRead | None:
        """Return a candle as an event, as if it were closed; None if it is left out.

        Raises VenueProtocolError.
        """
        listed = self._known("candle", row.coin)
        start_ns = row.start * _NS_PER_MS
        if listed is None or not self._timely("candle", row.coin, start_ns, recv_ns):
            return None
        try:
            interval_ns = parse_interval(row.interval)
        except UsageError:
            self.dropped["interval"] += 1
            return None
        if interval_ns > DAY_NS:
            # Where the venue's weeks and months begin is not confirmed, so they are not compared with bars.
            self.dropped["interval"] += 1
            return None
        if (row.end + 1) * _NS_PER_MS != start_ns + interval_ns:
            raise VenueProtocolError(
                f"{clip(row.coin)}: a candle of {row.interval} from {row.start} to {row.end} is invalid"
            )
        prices = [
            positive(text, listed.price_scale, listed.name)
            for text in (row.open, row.high, row.low, row.close)
        ]
        volume = rounded(row.volume, listed.size_scale, listed.name)
        return candle_of(listed, interval_ns, start_ns, prices, volume, row.trades, recv_ns, purpose)

    def context(self, row: WireContext, recv_ns: int) -> ContextRead | None:
        """Return an instrument's context as an event, None if it is left out. Raises VenueProtocolError."""
        listed = self._known("activeAssetCtx", row.coin)
        if listed is None:
            return None
        values = row.ctx
        texts = (
            values.mark_px,
            values.oracle_px,
            values.mid_px,
            values.funding,
            values.premium,
            values.open_interest,
        )
        fine = (None if text is None else wide(rounded(text, FINE_SCALE, row.coin)) for text in texts)
        return ContextRead(recv_ns, listed.instrument, FINE_SCALE, *fine)

    def mids(self, mids: Mapping[str, str], recv_ns: int) -> MidsRead | None:
        """Return the instruments' valid mids as an event, None if there are none."""
        found = []
        for name, listed in self._by_name.items():
            if name in mids:
                try:
                    found.append((listed.instrument, wide(rounded(mids[name], FINE_SCALE, name))))
                except VenueProtocolError as error:
                    self._refuse(Damage("allMids", name, str(error)))
        if not found:
            return None
        numbers, values = zip(*found, strict=True)
        return MidsRead(recv_ns, FINE_SCALE, numbers, values)

    def funding(self, row: WireFunding, recv_ns: int) -> FundingRead | None:
        """Return a settled rate as an event, None if it is left out. Raises VenueProtocolError."""
        listed = self._known("funding", row.coin)
        venue_ns = row.time * _NS_PER_MS
        if listed is None or not self._timely("funding", row.coin, venue_ns, recv_ns):
            return None
        rate = wide(rounded(row.funding_rate, FINE_SCALE, row.coin))
        premium = wide(rounded(row.premium, FINE_SCALE, row.coin))
        return FundingRead(recv_ns, venue_ns, listed.instrument, FINE_SCALE, rate, premium)


def _side(levels: list[BookLevel], listed: InstrumentListed) -> tuple[tuple[int, int, int], ...]:
    name, price_scale, size_scale = listed.name, listed.price_scale, listed.size_scale
    return tuple(
        (positive(level.px, price_scale, name), positive(level.sz, size_scale, name), level.n)
        for level in levels
    )


def _level(level: Level | None, listed: InstrumentListed) -> tuple[int, int]:
    if level is None:
        return 0, 0
    return (
        positive(level.px, listed.price_scale, listed.name),
        positive(level.sz, listed.size_scale, listed.name),
    )
