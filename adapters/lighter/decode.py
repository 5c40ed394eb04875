"""Lighter's messages as events: exact integers, nanoseconds, only instruments of the session.

Validates values. A quote, book, candle or context with a price or size that is not a plain decimal on the
scale of its instrument is a VenueProtocolError; of a list of trades only the invalid one is left out. Volumes
are sums in binary, and are rounded to the size scale; contexts and rates are rounded to FINE_SCALE. What was
left out is in `Decoder.damages`, so that a feed can report it.

Rates of the venue are percent for an hour. A trade of the type "liquidation" or "deleverage" is a trade and a
liquidation; its side is the taker's. Called by `feed.py`, `probes.py` and `history.py` with the time of
receipt of each message.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from adapters.lighter.info_wire import WireFunding
from adapters.lighter.wire import (
    BookFrame,
    CandlesFrame,
    Channel,
    Level,
    SpotStatsFrame,
    StatsFrame,
    TickerFrame,
    TradesFrame,
    WireCandle,
    WireTrade,
    text_of,
)
from adapters.transport.levels import Level as BookLevel
from adapters.transport.protocol import Damage
from adapters.transport.sequence import Diff, Snapshot
from adapters.transport.text import clip
from adapters.transport.trades import by_time
from adapters.transport.values import FINE_SCALE, ValueDecoder, candle_of, positive, rounded
from engine.errors import NumberError, UsageError, VenueProtocolError
from engine.events import (
    CandleRead,
    ContextRead,
    FundingRead,
    InstrumentListed,
    LiquidationRead,
    Quote,
    Trade,
)
from engine.values import BUY, SELL, parse_interval, parse_scaled, power_of_ten, wide

__all__ = ["Decoder", "Prints"]

_NS_PER_MS: Final = 1_000_000
_NS_PER_US: Final = 1_000
_FORCED: Final = frozenset({"liquidation", "deleverage"})
_PERCENT_DECIMALS: Final = 2


class Prints(NamedTuple):
    """The trades of a message, in pieces without a gap, and which of them are liquidations."""

    pieces: list[list[Trade]]
    liquidations: list[LiquidationRead]


class Decoder(ValueDecoder):
    """Decodes for a fixed set of instruments; `names` are those of markets by number. See `ValueDecoder`."""

    def __init__(
        self,
        instruments: Sequence[InstrumentListed],
        names: Mapping[int, str],
        dropped: Counter[str] | None = None,
    ) -> None:
        super().__init__(instruments, dropped)
        self._names = names

    def listed_of(self, channel: str, kind: str = "") -> InstrumentListed | None:
        """Return the instrument of a message's channel, None if it is not of the session.

        Raises VenueProtocolError for a channel of another kind.
        """
        found = Channel.of(channel)
        if kind and found.kind != kind:
            raise VenueProtocolError(f"{clip(channel)} is not the channel of such a message")
        name = self._names.get(found.market, "")
        return self._known(found.kind, name)

    def prints(self, frame: TradesFrame, recv_ns: int, *, whole: bool = True) -> Prints:
        """Return the valid trades of a message in the order of their ids.

        With one that is invalid, or if the message is not `whole`, it is not known between which trades one
        is missing: each is then a piece of its own, after an empty one. A trade of another market is invalid
        too. Raises VenueProtocolError.
        """
        market = Channel.of(frame.channel).market
        listed = self.listed_of(frame.channel, "trade")
        rows = [*(frame.trades or []), *(frame.liquidation_trades or [])]
        if listed is None:
            return Prints([[], []] if rows else [[]], [])
        return self.trades(rows, market, listed, recv_ns, whole=whole)

    def trades(
        self,
        rows: Iterable[WireTrade],
        market: int,
        listed: InstrumentListed,
        recv_ns: int,
        *,
        whole: bool = True,
    ) -> Prints:
        """Return the valid trades of a market. See `prints`."""
        trades: list[Trade] = []
        liquidations: list[LiquidationRead] = []
        for row in sorted(rows, key=lambda one: one.trade_id):
            trade = self._trade(row, market, listed, recv_ns)
            if trade is None:
                whole = False
                continue
            trades.append(trade)
            if row.type in _FORCED:
                liquidations.append(
                    LiquidationRead(
                        recv_ns,
                        trade.venue_ns,
                        listed.instrument,
                        trade.aggressor,
                        trade.price,
                        trade.size,
                        trade.trade_id,
                    )
                )
        trades = by_time(trades)
        return Prints([trades] if whole else [[], *([trade] for trade in trades)], liquidations)

    def _trade(self, row: WireTrade, market: int, listed: InstrumentListed, recv_ns: int) -> Trade | None:
        venue_ns = row.timestamp * _NS_PER_MS
        if row.market_id != market:
            self._leave_out("foreign", "trade", listed.name, f"a trade of market {row.market_id}")
            return None
        if not self._timely("trade", listed.name, venue_ns, recv_ns, placed=True):
            return None
        try:
            price = positive(row.price, listed.price_scale, listed.name)
            size = positive(row.size, listed.size_scale, listed.name)
        except VenueProtocolError as error:
            self._refuse(Damage("trade", listed.name, str(error), True))
            return None
        side = BUY if row.is_maker_ask else SELL
        return Trade(recv_ns, venue_ns, listed.instrument, price, size, side, row.trade_id)

    def quote(self, frame: TickerFrame, recv_ns: int) -> Quote | None:
        """Return the best bid and ask as an event, None if it is left out. Raises VenueProtocolError."""
        listed = self.listed_of(frame.channel, "ticker")
        ticker = frame.ticker
        changed_us = ticker.last_updated_at or frame.last_updated_at
        venue_ns = changed_us * _NS_PER_US if changed_us else frame.timestamp * _NS_PER_MS
        if listed is None or not self._timely("ticker", listed.name, venue_ns, recv_ns):
            return None
        if ticker.s != listed.name:
            raise VenueProtocolError(f"{clip(ticker.s)} is not the name of market {clip(frame.channel)}")
        bid, bid_size = _best(ticker.b, listed)
        ask, ask_size = _best(ticker.a, listed)
        if bid and ask and bid >= ask:
            self._leave_out("crossed", "ticker", listed.name, "the best bid is not below the best ask")
            return None
        return Quote(recv_ns, venue_ns, listed.instrument, bid, bid_size, ask, ask_size)

    def book(self, frame: BookFrame, recv_ns: int) -> tuple[InstrumentListed, Snapshot | Diff] | None:
        """Return a whole book or what changed of one, None if it is left out. Raises VenueProtocolError."""
        listed = self.listed_of(frame.channel, "order_book")
        row = frame.order_book
        changed_us = row.last_updated_at
        venue_ns = changed_us * _NS_PER_US if changed_us else frame.timestamp * _NS_PER_MS
        if listed is None or not self._timely("order_book", listed.name, venue_ns, recv_ns):
            return None
        bids, asks = _levels(row.bids, listed), _levels(row.asks, listed)
        if not row.begin_nonce:
            return listed, Snapshot(row.nonce, bids, asks, venue_ns)
        return listed, Diff(row.begin_nonce, row.nonce, bids, asks, venue_ns, before=row.begin_nonce)

    def context(self, frame: StatsFrame | SpotStatsFrame, recv_ns: int) -> ContextRead | None:
        """Return an instrument's context as an event, None if it is left out. Raises VenueProtocolError."""
        if isinstance(frame, StatsFrame):
            kind, row = "market_stats", frame.market_stats
        else:
            kind, row = "spot_market_stats", frame.spot_market_stats
        listed = self.listed_of(frame.channel, kind)
        if listed is None:
            return None
        if row.market_id != Channel.of(frame.channel).market:
            raise VenueProtocolError(f"{clip(frame.channel)} has statistics of market {row.market_id}")
        funding = row.current_funding_rate
        return ContextRead(
            recv_ns,
            listed.instrument,
            FINE_SCALE,
            _fine(row.mark_price, listed.name),
            _fine(row.index_price, listed.name),
            _fine(row.mid_price, listed.name),
            None if funding is None else _percent(funding, listed.name),
            None,
            _fine(row.open_interest, listed.name),
        )

    def candles(self, frame: CandlesFrame, recv_ns: int) -> list[CandleRead]:
        """Return the candles of a message, as if they were closed. Raises VenueProtocolError."""
        listed = self.listed_of(frame.channel, "candle")
        if listed is None:
            return []
        try:
            interval_ns = parse_interval(Channel.of(frame.channel).resolution)
        except UsageError as error:
            raise VenueProtocolError(f"{clip(frame.channel)} has no resolution") from error
        found = [self.candle(row, listed, interval_ns, recv_ns, "stream") for row in frame.candles or []]
        return [candle for candle in found if candle is not None]

    def candle(
        self, row: WireCandle, listed: InstrumentListed, interval_ns: int, recv_ns: int, purpose: str
    ) -> CandleRead | None:
        """Return a candle as an event, as if it were closed; None if it is left out.

        The venue does not count its trades: 0. Raises VenueProtocolError.
        """
        start_ns = row.t * _NS_PER_MS
        if not self._timely("candle", listed.name, start_ns, recv_ns):
            return None
        prices = [
            _on_grid(text_of(one), listed.price_scale, listed.name) for one in (row.o, row.h, row.l, row.c)
        ]
        volume = rounded(_plain(text_of(row.v), listed.name), listed.size_scale, listed.name)
        return candle_of(listed, interval_ns, start_ns, prices, volume, 0, recv_ns, purpose)

    def funding(self, row: WireFunding, listed: InstrumentListed, recv_ns: int) -> FundingRead | None:
        """Return a settled rate as an event, None if it is left out. Raises VenueProtocolError.

        The rate has no sign; the direction says who pays.
        """
        venue_ns = row.at_ns
        if not self._timely("funding", listed.name, venue_ns, recv_ns):
            return None
        rate = int(_percent(_plain(text_of(row.rate), listed.name), listed.name))
        if rate < 0:
            raise VenueProtocolError(f"{listed.name}: a rate with a sign and a direction")
        signed = rate if row.direction == "long" else -rate
        return FundingRead(recv_ns, venue_ns, listed.instrument, FINE_SCALE, wide(signed), 0)


def _best(level: Level | None, listed: InstrumentListed) -> tuple[int, int]:
    """Return price and size of the best level, zeros for an empty side."""
    if level is None or level.price in ("", "0") or not level.price.strip("0."):
        return 0, 0
    price = positive(level.price, listed.price_scale, listed.name)
    return price, positive(level.size, listed.size_scale, listed.name)


def _levels(levels: Sequence[Level] | None, listed: InstrumentListed) -> list[BookLevel]:
    name, price_scale, size_scale = listed.name, listed.price_scale, listed.size_scale
    try:
        return [
            (positive(one.price, price_scale, name), parse_scaled(one.size, size_scale))
            for one in levels or []
        ]
    except NumberError as error:
        raise VenueProtocolError(f"{clip(name)}: {error}") from error


def _fine(text: str | None, name: str) -> int | str | None:
    return None if not text else wide(rounded(text, FINE_SCALE, name))


def _percent(text: str, name: str) -> int | str:
    """Return percent as a fraction at FINE_SCALE."""
    return wide(rounded(text, FINE_SCALE - _PERCENT_DECIMALS, name))


def _plain(text: str, name: str) -> str:
    """Return a JSON number without an exponent. Raises VenueProtocolError."""
    if "e" not in text.lower():
        return text
    try:
        return f"{float(text):.18f}"
    except (ValueError, OverflowError):
        raise VenueProtocolError(f"{clip(name)}: {clip(text, 40)} is not a number") from None


def _on_grid(text: str, scale: int, name: str) -> int:
    """Return a price that is a JSON number: binary noise behind the grid is rounded away.

    Raises VenueProtocolError for a price between two steps of the grid.
    """
    plain = _plain(text, name)
    value = rounded(plain, scale, name)
    noise = rounded(plain, scale + 4, name) - value * power_of_ten(4)
    if value <= 0 or abs(noise) > 10:
        raise VenueProtocolError(f"{clip(name)}: {clip(text, 40)} is not a price on the grid")
    return value
