"""ApeX Omni's messages as events: exact integers, nanoseconds, only instruments of the session.

Validates values. A book, candle or context with a price or size that is not a plain decimal on the scale of
its instrument is a VenueProtocolError; of a list of trades only the invalid one is left out. Contexts and
rates are rounded to FINE_SCALE, volumes to the size scale. What was left out is in `Decoder.damages`, so
that a feed can report it.

The venue has no channel of the best bid and ask: quotes are those of the book. Its oracle price is the mark.
Called by `feed.py`, `probes.py` and `history.py` with the time of receipt of each message.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from msgspec.structs import asdict, replace

from adapters.apex.info_wire import WireFunding
from adapters.apex.rules import INTERVALS
from adapters.apex.wire import (
    BookFrame,
    CandlesFrame,
    Level,
    TickerFrame,
    Topic,
    TradesFrame,
    WireCandle,
    WireKline,
    WireTicker,
    WireTrade,
    ns_of,
)
from adapters.transport.levels import Level as BookLevel
from adapters.transport.protocol import Damage
from adapters.transport.sequence import Diff, Snapshot
from adapters.transport.text import clip
from adapters.transport.trades import by_time
from adapters.transport.values import FINE_SCALE, ValueDecoder, candle_of, positive, rounded
from engine.errors import NumberError, VenueProtocolError
from engine.events import CandleRead, ContextRead, FundingRead, InstrumentListed, Trade
from engine.values import BUY, SELL, parse_interval, parse_scaled, wide

__all__ = ["Decoder"]

_NS_PER_MS: Final = 1_000_000
_OWN_INTERVALS: Final = {theirs: parse_interval(ours) for ours, theirs in INTERVALS.items()}


class Decoder(ValueDecoder):
    """Decodes for a fixed set of instruments; `names` are theirs by symbol. See `ValueDecoder`.

    State: the newest statistics of each instrument, since a delta has only what changed.
    """

    def __init__(
        self,
        instruments: Sequence[InstrumentListed],
        names: Mapping[str, str],
        dropped: Counter[str] | None = None,
    ) -> None:
        super().__init__(instruments, dropped)
        self._names = names
        self._tickers: dict[int, WireTicker] = {}

    def listed_of(self, topic: Topic) -> InstrumentListed | None:
        """Return the instrument of a topic, None if it is not of the session."""
        return self._known(topic.kind, self._names.get(topic.symbol, topic.symbol))

    def forget(self, instruments: Iterable[InstrumentListed]) -> None:
        """Forget the statistics of instruments whose connection is lost."""
        for listed in instruments:
            self._tickers.pop(listed.instrument, None)

    def prints(self, frame: TradesFrame, recv_ns: int, *, whole: bool = True) -> list[list[Trade]]:
        """Return the valid trades of a message in pieces without a gap, oldest first.

        With one that is invalid, or if the message is not `whole`, it is not known between which trades one
        is missing: each is then a piece of its own, after an empty one.
        """
        listed = self.listed_of(frame.topic)
        if listed is None:
            return [[], []] if frame.data else [[]]
        rows = reversed(frame.data) if frame.snapshot else frame.data
        return self.trades(rows, listed, recv_ns, whole=whole)

    def trades(
        self, rows: Iterable[WireTrade], listed: InstrumentListed, recv_ns: int, *, whole: bool = True
    ) -> list[list[Trade]]:
        """Return the valid trades of an instrument, given oldest first. See `prints`."""
        trades: list[Trade] = []
        for row in rows:
            trade = self._trade(row, listed, recv_ns)
            if trade is None:
                whole = False
            else:
                trades.append(trade)
        trades = by_time(trades)
        return [trades] if whole else [[], *([trade] for trade in trades)]

    def _trade(self, row: WireTrade, listed: InstrumentListed, recv_ns: int) -> Trade | None:
        venue_ns = row.T * _NS_PER_MS
        if self._names.get(row.s) != listed.name:
            self._leave_out("foreign", "recentlyTrade", listed.name, f"a trade of {clip(row.s)}")
            return None
        if not self._timely("recentlyTrade", listed.name, venue_ns, recv_ns, placed=True):
            return None
        try:
            price = positive(row.p, listed.price_scale, listed.name)
            size = positive(row.v, listed.size_scale, listed.name)
        except VenueProtocolError as error:
            self._refuse(Damage("recentlyTrade", listed.name, str(error), True))
            return None
        side = BUY if row.S.upper() == "BUY" else SELL
        return Trade(recv_ns, venue_ns, listed.instrument, price, size, side, row.i)

    def book(self, frame: BookFrame, recv_ns: int) -> tuple[InstrumentListed, Snapshot | Diff] | None:
        """Return a whole book or what changed of one, None if it is left out. Raises VenueProtocolError."""
        listed = self.listed_of(frame.topic)
        venue_ns = ns_of(frame.ts) if frame.ts else recv_ns
        if listed is None or not self._timely("orderBook200", listed.name, venue_ns, recv_ns):
            return None
        row = frame.data
        if self._names.get(row.s) != listed.name:
            raise VenueProtocolError(f"{listed.name}: a book of {clip(row.s)}")
        bids, asks = _levels(row.b, listed), _levels(row.a, listed)
        if frame.snapshot:
            return listed, Snapshot(row.u, bids, asks, venue_ns)
        return listed, Diff(row.u, row.u, bids, asks, venue_ns)

    def context(self, frame: TickerFrame, recv_ns: int) -> ContextRead | None:
        """Return an instrument's context as an event, None if it is left out. Raises VenueProtocolError.

        A change before the first whole statistics is left out.
        """
        listed = self.listed_of(frame.topic)
        if listed is None:
            return None
        if self._names.get(frame.data.symbol) != listed.name:
            raise VenueProtocolError(f"{listed.name}: statistics of {clip(frame.data.symbol)}")
        row = frame.data
        if not frame.snapshot:
            before = self._tickers.get(listed.instrument)
            if before is None:
                return None
            row = replace(before, **{name: value for name, value in asdict(row).items() if value is not None})
        funding = row.predicted_funding_rate or row.funding_rate
        context = ContextRead(
            recv_ns,
            listed.instrument,
            FINE_SCALE,
            _fine(row.oracle_price, listed.name),
            _fine(row.index_price, listed.name),
            None,
            _fine(funding, listed.name),
            None,
            _fine(row.open_interest, listed.name),
        )
        self._tickers[listed.instrument] = row
        return context

    def candles(self, frame: CandlesFrame, recv_ns: int) -> list[CandleRead]:
        """Return the candles of a message, as if they were closed. Raises VenueProtocolError."""
        listed = self.listed_of(frame.topic)
        if listed is None:
            return []
        found = [self._pushed(row, frame.topic, listed, recv_ns) for row in frame.data]
        return [candle for candle in found if candle is not None]

    def _pushed(
        self, row: WireCandle, topic: Topic, listed: InstrumentListed, recv_ns: int
    ) -> CandleRead | None:
        interval_ns = _OWN_INTERVALS.get(topic.interval)
        if interval_ns is None or row.interval != topic.interval:
            raise VenueProtocolError(f"{listed.name}: a candle of {clip(row.interval)} on {clip(topic.text)}")
        prices = (row.open, row.high, row.low, row.close)
        return self._candle(row.start, prices, row.volume, listed, interval_ns, recv_ns, "stream")

    def candle(
        self, row: WireKline, listed: InstrumentListed, interval_ns: int, recv_ns: int, purpose: str
    ) -> CandleRead | None:
        """Return a candle over HTTP as an event, as if it were closed; None if it is left out.

        Raises VenueProtocolError.
        """
        prices = (row.o, row.h, row.l, row.c)
        return self._candle(int(row.t), prices, row.v, listed, interval_ns, recv_ns, purpose)

    def _candle(
        self,
        start_ms: int,
        texts: Sequence[str],
        volume: str,
        listed: InstrumentListed,
        interval_ns: int,
        recv_ns: int,
        purpose: str,
    ) -> CandleRead | None:
        """Return a candle. The venue does not count its trades: 0."""
        start_ns = start_ms * _NS_PER_MS
        if not self._timely("candle", listed.name, start_ns, recv_ns):
            return None
        prices = [positive(text, listed.price_scale, listed.name) for text in texts]
        size = rounded(volume, listed.size_scale, listed.name)
        return candle_of(listed, interval_ns, start_ns, prices, size, 0, recv_ns, purpose)

    def funding(self, row: WireFunding, listed: InstrumentListed, recv_ns: int) -> FundingRead | None:
        """Return a settled rate as an event, None if it is left out. Raises VenueProtocolError."""
        if not self._timely("funding", listed.name, row.at_ns, recv_ns):
            return None
        rate = wide(rounded(row.rate, FINE_SCALE, listed.name))
        return FundingRead(recv_ns, row.at_ns, listed.instrument, FINE_SCALE, rate, 0)


def _levels(levels: Sequence[Level], listed: InstrumentListed) -> list[BookLevel]:
    name, price_scale, size_scale = listed.name, listed.price_scale, listed.size_scale
    try:
        return [
            (positive(price, price_scale, name), parse_scaled(size, size_scale)) for price, size in levels
        ]
    except NumberError as error:
        raise VenueProtocolError(f"{clip(name)}: {error}") from error


def _fine(text: str | None, name: str) -> int | str | None:
    return None if not text else wide(rounded(text, FINE_SCALE, name))
