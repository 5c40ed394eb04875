"""Binance's messages as events: exact integers, nanoseconds, only instruments of the session.

Validates values. A price or size that is not a plain positive decimal on the scale of its instrument is a
VenueProtocolError; values that may be finer than a grid (volumes, marks, rates, average prices) are rounded.
A value of an instrument that is not of the session, with an impossible time, crossed, or older than one
before, is left out and counted. Called by `feed.py`, `history.py` and `raw.py` with the time of receipt of
each message.

The best bid and ask of spot have no time: theirs is that of receipt, and their order is that of the venue's
update numbers.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import msgspec

from adapters.binance.wire import (
    AggTrade,
    BookTicker,
    DepthDiff,
    DepthSnapshot,
    FundingRate,
    Kline,
    KlineRow,
    LiquidationOrder,
    MarkPrice,
    PastInterest,
    PremiumIndex,
    RawTrade,
    RestAggTrade,
    RestTicker,
    RestTrade,
)
from adapters.transport.sequence import Diff, Snapshot
from adapters.transport.text import clip
from adapters.transport.values import EARLIEST_NS, ValueDecoder, candle_of, positive, rounded, within
from engine.clock import DAY_NS
from engine.errors import NumberError, UsageError, VenueProtocolError
from engine.events import (
    CandleRead,
    ContextRead,
    FundingRead,
    InstrumentListed,
    LiquidationRead,
    OpenInterestRead,
    Quote,
    Trade,
)
from engine.values import BUY, SELL, parse_interval, parse_scaled, wide

__all__ = ["CONTEXT_SCALE", "Decoder", "answered_interest"]

NS_PER_MS: Final = 1_000_000

CONTEXT_SCALE: Final = 12
"""Decimal places of contexts and rates: a rate of 8 decimals for 8 hours is exact for one."""

_PLAIN: Final = re.compile(r"[0-9]{1,18}(\.[0-9]{1,18})?", re.ASCII)
_SIDES: Final = {"BUY": BUY, "SELL": SELL}


class Decoder(ValueDecoder):
    """Decodes for a fixed set of instruments. See `ValueDecoder`.

    `counts`: candles state how many trades they have in the unit in which trades are read. Aggregate trades
    are fewer than trades, so the number is then unknown.
    """

    def __init__(
        self, instruments: Sequence[InstrumentListed], dropped: object = None, *, counts: bool
    ) -> None:
        super().__init__(instruments, dropped)  # type: ignore[arg-type]
        self._counts = counts
        self._updates: dict[int, int] = {}  # the newest update of the best bid and ask, by instrument
        self._contexts: dict[int, ContextRead] = {}

    def trade(self, channel: str, row: AggTrade | RawTrade, recv_ns: int) -> Trade | None:
        """Return a trade, None if it is left out. Raises VenueProtocolError."""
        listed = self._known(channel, row.s)
        if listed is None:
            return None
        number = row.a if isinstance(row, AggTrade) else row.t
        return self._trade(channel, listed, (number, row.p, row.q, row.T, row.m), recv_ns)

    def answered_trade(
        self, channel: str, listed: InstrumentListed, row: RestAggTrade | RestTrade, recv_ns: int
    ) -> Trade | None:
        """Return a trade of REST, None if it is left out. Raises VenueProtocolError."""
        if isinstance(row, RestAggTrade):
            values = (row.a, row.p, row.q, row.T, row.m)
        else:
            values = (row.id, row.price, row.qty, row.time, row.is_buyer_maker)
        return self._trade(channel, listed, values, recv_ns)

    def _trade(
        self,
        channel: str,
        listed: InstrumentListed,
        values: tuple[int, str, str, int, bool],
        recv_ns: int,
    ) -> Trade | None:
        number, price, size, time_ms, buyer_is_maker = values
        venue_ns = time_ms * NS_PER_MS
        if not self._timely(channel, listed.name, venue_ns, recv_ns):
            return None
        return Trade(
            recv_ns,
            venue_ns,
            listed.instrument,
            positive(price, listed.price_scale, listed.name),
            positive(size, listed.size_scale, listed.name),
            SELL if buyer_is_maker else BUY,
            number,
        )

    def quote(self, row: BookTicker, recv_ns: int) -> Quote | None:
        """Return the best bid and ask, None if it is left out. Raises VenueProtocolError."""
        listed = self._known("bookTicker", row.s)
        if listed is None or not self._is_newer(listed, row.u):
            return None
        return self._quote(listed, (row.b, row.B, row.a, row.A), row.T or row.E, recv_ns)

    def answered_quote(self, listed: InstrumentListed, row: RestTicker, recv_ns: int) -> Quote | None:
        """Return the best bid and ask of REST, None if it is left out. Raises VenueProtocolError."""
        texts = row.bid_price, row.bid_qty, row.ask_price, row.ask_qty
        return self._quote(listed, texts, row.time, recv_ns)

    def _quote(
        self, listed: InstrumentListed, texts: tuple[str, str, str, str], time_ms: int, recv_ns: int
    ) -> Quote | None:
        venue_ns = time_ms * NS_PER_MS if time_ms else recv_ns
        if not self._timely("bookTicker", listed.name, venue_ns, recv_ns):
            return None
        bid, bid_size = _level(listed, *texts[:2])
        ask, ask_size = _level(listed, *texts[2:])
        if bid and ask and bid >= ask:
            self._leave_out("crossed", "bookTicker", listed.name, "the best bid is not below the best ask")
            return None
        return Quote(recv_ns, venue_ns, listed.instrument, bid, bid_size, ask, ask_size)

    def _is_newer(self, listed: InstrumentListed, update: int) -> bool:
        if update <= self._updates.get(listed.instrument, -1):
            self.dropped["stale-quote"] += 1
            return False
        self._updates[listed.instrument] = update
        return True

    def forget_updates(self) -> None:
        """Accept any update number of the best bid and ask next: the venue may have begun to count again."""
        self._updates.clear()

    def diff(self, row: DepthDiff, recv_ns: int) -> tuple[InstrumentListed, Diff] | None:
        """Return a diff of a book, None if it is left out. Raises VenueProtocolError."""
        listed = self._known("depth", row.s)
        venue_ns = row.E * NS_PER_MS
        if listed is None or not self._timely("depth", row.s, venue_ns, recv_ns):
            return None
        if row.u < row.U:
            raise VenueProtocolError(f"{clip(row.s)}: a diff from update {row.U} to {row.u} is invalid")
        bids, asks = self._levels(listed, row.b), self._levels(listed, row.a)
        return listed, Diff(row.U, row.u, bids, asks, venue_ns, row.pu)

    def snapshot(
        self, listed: InstrumentListed, row: DepthSnapshot, levels_max: int, recv_ns: int
    ) -> Snapshot:
        """Return a snapshot of a book that was asked for with `levels_max`. Raises VenueProtocolError, also
        for a time that is impossible; spot has none.
        """
        if row.E and not EARLIEST_NS <= row.E * NS_PER_MS <= recv_ns + self.ahead_ns:
            raise VenueProtocolError(f"{clip(listed.name)}: {row.E} ms is an impossible time of a snapshot")
        bids, asks = self._levels(listed, row.bids), self._levels(listed, row.asks)
        whole = max(len(row.bids), len(row.asks)) < levels_max
        return Snapshot(row.last_update_id, bids, asks, row.E * NS_PER_MS, whole)

    def _levels(self, listed: InstrumentListed, rows: Sequence[tuple[str, str]]) -> list[tuple[int, int]]:
        """Return levels. One between two steps of the price, from before the step became coarser, is left
        out."""
        levels = []
        for price, size in rows:
            try:
                level = parse_scaled(price, listed.price_scale), parse_scaled(size, listed.size_scale)
            except NumberError as error:
                if not _PLAIN.fullmatch(price) or not _PLAIN.fullmatch(size):
                    raise VenueProtocolError(f"{clip(listed.name)}: {error}") from error
                self.dropped["grid"] += 1
                continue
            if not level[0]:
                raise VenueProtocolError(f"{clip(listed.name)}: {clip(price)} is no price of a level")
            levels.append(level)
        return levels

    def candle(self, row: Kline, recv_ns: int, purpose: str) -> CandleRead | None:
        """Return a pushed candle, as if it were closed; None if it is left out. Raises VenueProtocolError."""
        listed = self._known("kline", row.s)
        if listed is None:
            return None
        texts = (row.o, row.h, row.l, row.c)
        return self._candle(listed, row.i, (row.t, row.T), texts, (row.v, row.n), recv_ns, purpose)

    def answered_candle(
        self, listed: InstrumentListed, interval: str, row: KlineRow, recv_ns: int, purpose: str
    ) -> CandleRead | None:
        """Return a candle of REST as if it were closed; None if it is left out. Raises VenueProtocolError."""
        try:
            span = int(row[0]), row[6]
        except ValueError:
            raise VenueProtocolError(f"{clip(str(row[0]))} is no time of a candle") from None
        return self._candle(
            listed, interval, span, (row[1], row[2], row[3], row[4]), (row[5], row[8]), recv_ns, purpose
        )

    def _candle(
        self,
        listed: InstrumentListed,
        interval: str,
        span_ms: tuple[int, int],
        texts: tuple[str, str, str, str],
        amounts: tuple[str, int],
        recv_ns: int,
        purpose: str,
    ) -> CandleRead | None:
        start_ns = span_ms[0] * NS_PER_MS
        if not self._timely("kline", listed.name, start_ns, recv_ns):
            return None
        try:
            interval_ns = parse_interval(interval)
        except UsageError:
            interval_ns = 0
        if not 0 < interval_ns <= DAY_NS or DAY_NS % interval_ns:
            self.dropped["interval"] += 1
            return None
        if (span_ms[1] + 1) * NS_PER_MS != start_ns + interval_ns:
            raise VenueProtocolError(
                f"{clip(listed.name)}: a candle of {interval} from {span_ms[0]} to {span_ms[1]} is invalid"
            )
        prices = [positive(text, listed.price_scale, listed.name) for text in texts]
        volume = rounded(amounts[0], listed.size_scale, listed.name)
        trades = amounts[1] if self._counts else 0
        return candle_of(listed, interval_ns, start_ns, prices, volume, trades, recv_ns, purpose)

    def context(self, row: MarkPrice | PremiumIndex, recv_ns: int) -> ContextRead | None:
        """Return a context with new mark, index and rate; None if it is left out. Raises
        VenueProtocolError."""
        if isinstance(row, MarkPrice):
            name, time_ms, mark, index, rate = row.s, row.E, row.p, row.i, row.r
        else:
            name, time_ms, mark, index, rate = (
                *(row.symbol, row.time, row.mark_price, row.index_price),
                row.last_funding_rate,
            )
        listed = self._known("markPrice", name)
        if listed is None or not self._timely("markPrice", name, time_ms * NS_PER_MS, recv_ns):
            return None
        hours = max(1, listed.rules.funding_s // 3600)
        funding = None if not rate else wide(_hourly(rounded(rate, CONTEXT_SCALE, name), hours))
        oracle = None if not index else wide(rounded(index, CONTEXT_SCALE, name))
        return self._update_context(
            listed, recv_ns, mark=wide(rounded(mark, CONTEXT_SCALE, name)), oracle=oracle, funding=funding
        )

    def open_interest(self, listed: InstrumentListed, text: str, recv_ns: int) -> ContextRead:
        """Return the context with new open interest. Raises VenueProtocolError."""
        amount = wide(rounded(text, CONTEXT_SCALE, listed.name))
        return self._update_context(listed, recv_ns, open_interest=amount)

    def _update_context(
        self, listed: InstrumentListed, recv_ns: int, **values: int | str | None
    ) -> ContextRead:
        number = listed.instrument
        known = self._contexts.get(number)
        if known is None:
            known = ContextRead(recv_ns, number, CONTEXT_SCALE, None, None, None, None, None, None)
        self._contexts[number] = msgspec.structs.replace(known, recv_ns=recv_ns, **values)
        return self._contexts[number]

    def liquidation(self, row: LiquidationOrder, recv_ns: int) -> LiquidationRead | None:
        """Return a liquidation, None if it is left out. Raises VenueProtocolError.

        The venue shows only the newest of each second. The average price may be finer than the grid.
        """
        listed = self._known("forceOrder", row.s)
        venue_ns = row.T * NS_PER_MS
        if listed is None or not self._timely("forceOrder", row.s, venue_ns, recv_ns):
            return None
        side = _SIDES.get(row.S)
        if side is None:
            raise VenueProtocolError(f"{clip(row.s)}: {clip(row.S)} is no side")
        average, filled = rounded(row.ap, listed.price_scale, row.s), rounded(row.z, listed.size_scale, row.s)
        price = within(average, row.s) or positive(row.p, listed.price_scale, row.s)
        size = within(filled, row.s) or positive(row.q, listed.size_scale, row.s)
        if price < 0 or size < 0:
            raise VenueProtocolError(f"{clip(row.s)}: a liquidation has a negative price or size")
        return LiquidationRead(recv_ns, venue_ns, listed.instrument, side, price, size, "", True)

    def funding(self, listed: InstrumentListed, row: FundingRate, recv_ns: int) -> FundingRead | None:
        """Return a settled rate, None if it is left out. Raises VenueProtocolError."""
        venue_ns = row.funding_time * NS_PER_MS
        if row.symbol != listed.name or not self._timely("funding", row.symbol, venue_ns, recv_ns):
            return None
        rate = wide(rounded(row.funding_rate, CONTEXT_SCALE, row.symbol))
        return FundingRead(recv_ns, venue_ns, listed.instrument, CONTEXT_SCALE, rate, 0)


def answered_interest(listed: InstrumentListed, row: PastInterest, recv_ns: int) -> OpenInterestRead | None:
    """Return open interest of the past, None if it is of another symbol. Raises VenueProtocolError."""
    if row.symbol != listed.name:
        return None
    amount = rounded(row.sum_open_interest, CONTEXT_SCALE, row.symbol)
    if amount < 0:
        raise VenueProtocolError(f"{clip(row.symbol)}: open interest is negative")
    return OpenInterestRead(recv_ns, row.at_ms * NS_PER_MS, listed.instrument, CONTEXT_SCALE, wide(amount))


def _hourly(rate: int, hours: int) -> int:
    """Return a rate for one hour, rounded half away from 0 where it is not exact."""
    whole = (2 * abs(rate) + hours) // (2 * hours)
    return whole if rate >= 0 else -whole


def _level(listed: InstrumentListed, price: str, size: str) -> tuple[int, int]:
    """Return a side of the best bid and ask; an empty one has zeros."""
    if not price.strip("0.") or not size.strip("0."):
        return 0, 0
    return positive(price, listed.price_scale, listed.name), positive(size, listed.size_scale, listed.name)
