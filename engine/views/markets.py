"""What is known of each market: its newest prices, its latest trades, books, bars, contexts and order flow.

Owns the rings that bound what a view remembers of market data. A trade costs two appends; everything else is
computed when it is asked for (`market_rows.py`). When an instrument is listed with finer scales, what is
remembered moves to them. Called by `View`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from engine.actors.rescaling import Change, rescaled
from engine.clock import SECOND_NS, window_end, window_start
from engine.events import (
    ActivityBarClosed,
    BarClosed,
    BarCorrected,
    BookRead,
    BookSampled,
    Candle,
    CandleRead,
    ContextRead,
    Event,
    FootprintClosed,
    FundingRead,
    InstrumentListed,
    LargePrintSeen,
    LiquidationLevelsClosed,
    LiquidationRead,
    OpenInterestRead,
    ProfileClosed,
    Quote,
    Trade,
)
from engine.instruments import Instruments
from engine.values import parse_interval

__all__ = [
    "ACTIVITY_MAX",
    "BARS_MAX",
    "CONTEXTS_MAX",
    "FLOW_MAX",
    "TRADES_MAX",
    "Forming",
    "Kept",
    "Market",
    "Markets",
]

Kept = tuple[int, Any]
"""(seq, event) of a record that is remembered."""

TRADES_MAX: Final = 20_000
"""Upper bound on the trades remembered, of all markets together; each has an equal part."""

TRADES_EACH: Final = (20, 1_000)
"""Fewest and most trades of one market."""

BARS_MAX: Final = 100_000
"""Upper bound on the bars remembered, of all markets and intervals together; each series has an equal
part."""

BARS_EACH: Final = (100, 2_000)
"""Fewest and most bars of one series."""

ACTIVITY_MAX: Final = 500
"""Activity bars of one market and kind."""

FLOW_MAX: Final = 300
"""Windows of one series of order flow; large trades, liquidations and settled rates of a market."""

CONTEXTS_MAX: Final = 100_000
"""Upper bound on the contexts remembered, of all markets together; each has an equal part."""

CONTEXTS_EACH: Final = (60, 2_000)
"""Fewest and most contexts of one market. Of each minute the newest is remembered."""

_MINUTE_NS: Final = 60 * SECOND_NS

_FOLD: Final = 2_048
"""Trades of the bar that forms before they are summed up."""


class Forming:
    """The sums of the trades since the newest bar of the shortest interval, from `start_ns` of venue time."""

    __slots__ = ("buy", "close", "high", "low", "open", "sell", "seq", "start_ns", "trades", "volume")

    def __init__(self, start_ns: int, trade: Trade) -> None:
        self.start_ns = start_ns
        self.open = self.high = self.low = self.close = trade.price
        self.volume = self.buy = self.sell = self.trades = self.seq = 0

    def add(self, seq: int, trade: Trade) -> None:
        """Add a trade."""
        price, size = trade.price, trade.size
        if price > self.high:
            self.high = price
        elif price < self.low:
            self.low = price
        self.close = price
        self.volume += size
        if trade.aggressor > 0:
            self.buy += size
        elif trade.aggressor < 0:
            self.sell += size
        self.trades += 1
        self.seq = seq

    def move(self, change: Change) -> None:
        """Move to finer scales."""
        for name in ("open", "high", "low", "close"):
            setattr(self, name, getattr(self, name) * change.price)
        for name in ("volume", "buy", "sell"):
            setattr(self, name, getattr(self, name) * change.size)

    def copy(self) -> Forming:
        """Return a copy."""
        twin = object.__new__(Forming)
        for name in Forming.__slots__:
            setattr(twin, name, getattr(self, name))
        return twin


class Market:
    """One market. Rings hold (seq, event), oldest first.

    `bars` are by interval and start, each in its newest revision, `activity` bars by kind. `since` are the
    trades that `forming` does not have yet. `heat` are windows of liquidations, `forced` the liquidations of
    others, `contexts` the newest of each minute, `rates` settled funding rates. `shortest` is the interval
    that trades build, 0 before the first bar.
    """

    def __init__(self, listed: InstrumentListed, trades: int) -> None:
        self.listed = listed
        self.trades: deque[Kept] = deque(maxlen=trades)
        self.since: list[Kept] = []
        self.forming: Forming | None = None
        self.intervals: list[int] = []
        self.shortest = 0
        self.last: Kept | None = None
        self.quote: Kept | None = None
        self.book: Kept | None = None
        self.context: Kept | None = None
        self.close: Kept | None = None
        self.bars: dict[int, dict[int, Kept]] = {}
        self.activity: dict[str, deque[Kept]] = {}
        self.footprints: dict[int, dict[int, Kept]] = {}
        self.profiles: dict[int, dict[int, Kept]] = {}
        self.samples: dict[int, dict[int, Kept]] = {}
        self.large: deque[Kept] = deque(maxlen=FLOW_MAX)
        self.heat: dict[int, dict[int, Kept]] = {}
        self.forced: deque[Kept] = deque(maxlen=FLOW_MAX)
        self.contexts: dict[int, Kept] = {}
        self.rates: deque[Kept] = deque(maxlen=FLOW_MAX)

    def build(self, intervals: Sequence[int]) -> None:
        """Note which bars are built, the shortest first."""
        self.intervals = list(intervals)
        if intervals and intervals[0] != self.shortest:
            self.shortest, self.forming = intervals[0], None

    def built(self) -> list[int]:
        """Return the intervals of which there are bars, or will be, the shortest first."""
        return sorted({*self.intervals, *self.bars})

    def price(self) -> tuple[int, int] | None:
        """Return the price that positions are valued at, as the ledger does, and its scale; None before."""
        if self.context is not None and self.context[1].mark is not None:
            return int(self.context[1].mark), self.context[1].scale
        newest = self.last or self.close
        if newest is None:
            return None
        return _price_of(newest[1]), self.listed.price_scale

    def trigger_price(self) -> tuple[int, int] | None:
        """Return the price that stops of this market go by, and its scale; None before any."""
        if self.listed.rules.trigger_price != "mark" and self.last is not None:
            return _price_of(self.last[1]), self.listed.price_scale
        return self.price()

    def against(self, side: int) -> tuple[int, int] | None:
        """Return the price that an order of `side` would trade at, and its scale; None before any."""
        best = self.best()
        price = 0 if best is None else best[4] if side > 0 else best[2]
        return (price, self.listed.price_scale) if price else self.price()

    def best(self) -> tuple[int, int, int, int, int, int] | None:
        """Return (seq, time, bid, its size, ask, its size) of the newest quote or book; 0 for no price."""
        if self.quote is not None and (self.book is None or self.quote[0] > self.book[0]):
            seq, quote = self.quote
            return seq, quote.recv_ns, quote.bid, quote.bid_size, quote.ask, quote.ask_size
        if self.book is None:
            return None
        seq, book = self.book
        bid = book.bids[0] if book.bids else (0, 0, 0)
        ask = book.asks[0] if book.asks else (0, 0, 0)
        return seq, book.recv_ns, bid[0], bid[1], ask[0], ask[1]

    def fold(self) -> Forming | None:
        """Return the bar of the shortest interval that is under way, None without a trade in it."""
        span = self.shortest
        for seq, trade in self.since:
            if self.forming is None or (span and trade.venue_ns >= window_end(span, self.forming.start_ns)):
                start_ns = window_start(span, trade.venue_ns) if span else trade.venue_ns
                self.forming = Forming(start_ns, trade)
            self.forming.add(seq, trade)
        self.since.clear()
        return self.forming

    def closed(self, end_ns: int) -> None:
        """Forget what a closed bar of the shortest interval has: the trades before its end."""
        forming = self.forming
        if forming is not None and forming.start_ns < end_ns:
            self.forming = None
        self.since = [kept for kept in self.since if kept[1].venue_ns >= end_ns]

    def move(self, listed: InstrumentListed) -> None:
        """Use a new listing, and its scales for what is remembered."""
        change = Change.between(self.listed, listed)
        self.listed = listed
        if (change.price, change.size) == (1, 1):
            return
        if self.forming is not None:
            self.forming.move(change)
        # Their levels are not scaled one by one.
        self.book, self.footprints, self.profiles, self.heat = None, {}, {}, {}
        ring, series = deque[tuple[int, Event]], dict[int, dict[int, tuple[int, Event]]]
        self.trades = rescaled(self.trades, ring, change, inside=True)
        self.large = rescaled(self.large, ring, change, inside=True)
        self.forced = rescaled(self.forced, ring, change, inside=True)
        self.since = rescaled(self.since, list[tuple[int, Event]], change, inside=True)
        self.bars = rescaled(self.bars, series, change, inside=True)
        self.activity = rescaled(self.activity, dict[str, ring], change, inside=True)  # type: ignore[valid-type]
        self.samples = rescaled(self.samples, series, change, inside=True)
        one = tuple[int, Event]
        self.last = rescaled(self.last, one, change, inside=True)
        self.quote = rescaled(self.quote, one, change, inside=True)
        self.context = rescaled(self.context, one, change, inside=True)
        self.close = rescaled(self.close, one, change, inside=True)

    @property
    def weight(self) -> int:
        """How many trades, bars and windows are remembered."""
        series = (self.bars, self.footprints, self.profiles, self.samples, self.heat)
        count = len(self.trades) + len(self.contexts) + sum(map(len, self.activity.values()))
        return count + sum(len(one) for kind in series for one in kind.values())

    def copy(self) -> Market:
        """Return a copy whose rings change on their own; what they hold never changes."""
        twin = object.__new__(Market)
        vars(twin).update(vars(self))
        twin.trades, twin.large, twin.since = self.trades.copy(), self.large.copy(), self.since.copy()
        twin.forced, twin.rates = self.forced.copy(), self.rates.copy()
        twin.contexts = self.contexts.copy()
        twin.activity = {kind: ring.copy() for kind, ring in self.activity.items()}
        twin.forming = None if self.forming is None else self.forming.copy()
        for name in ("bars", "footprints", "profiles", "samples", "heat"):
            setattr(twin, name, {key: one.copy() for key, one in getattr(self, name).items()})
        return twin


class Markets:
    """Every market by number. Records of an instrument that was never listed are left out."""

    def __init__(self) -> None:
        self.instruments = Instruments()
        self.by_number: dict[int, Market] = {}
        self.intervals: list[int] = []
        self.handlers: dict[type[Event], Callable[[int, Any], None]] = {
            InstrumentListed: self.list,
            BookRead: self._book,
            ContextRead: self._context,
            BarClosed: self._bar,
            BarCorrected: self._bar,
            Candle: self._candle,
            CandleRead: self._history,
            ActivityBarClosed: self._activity,
            FootprintClosed: self._footprint,
            ProfileClosed: self._profile,
            BookSampled: self._sample,
            LargePrintSeen: self._large,
            LiquidationLevelsClosed: self._heat,
            LiquidationRead: self._forced,
            FundingRead: self._rate,
            OpenInterestRead: self._interest,
        }

    def build(self, intervals: Iterable[str]) -> None:
        """Note which bars the session builds, as its configuration names them."""
        self.intervals = sorted(map(parse_interval, intervals))
        for market in self.by_number.values():
            market.build(self.intervals)

    @property
    def fast(self) -> tuple[Callable[[int, Any], None], Callable[[int, Any], None]]:
        """The handlers of trades and of quotes, which are most of all records."""
        return self._trade, self._quote

    def list(self, _seq: int, listed: InstrumentListed) -> None:
        """Add an instrument, or put its new listing in force."""
        number = listed.instrument
        self.instruments[number] = listed
        market = self.by_number.get(number)
        if market is not None:
            market.move(listed)
            return
        least, most = TRADES_EACH
        part = max(least, min(most, TRADES_MAX // (len(self.by_number) + 1)))
        self.by_number[number] = market = Market(listed, part)
        market.build(self.intervals)
        for other in self.by_number.values():
            if other.trades.maxlen != part:
                other.trades = deque(other.trades, part)

    def copy(self) -> Markets:
        """Return a copy that is changed on its own."""
        twin = Markets()
        twin.instruments = self.instruments.copy()
        twin.by_number = {number: market.copy() for number, market in self.by_number.items()}
        twin.intervals = self.intervals
        return twin

    def _trade(self, seq: int, trade: Trade) -> None:
        market = self.by_number.get(trade.instrument)
        if market is not None:
            market.last = kept = (seq, trade)
            market.trades.append(kept)
            market.since.append(kept)
            if len(market.since) > _FOLD:
                market.fold()

    def _quote(self, seq: int, quote: Quote) -> None:
        market = self.by_number.get(quote.instrument)
        if market is not None:
            market.quote = seq, quote

    def _book(self, seq: int, book: BookRead) -> None:
        market = self.by_number.get(book.instrument)
        if market is not None:
            market.book = seq, book

    def _context(self, seq: int, context: ContextRead) -> None:
        market = self.by_number.get(context.instrument)
        if market is not None:
            market.context = kept = (seq, context)
            if context.open_interest is None and context.funding is None:
                return
            self._keep_context(market.contexts, context.recv_ns // _MINUTE_NS, kept)

    def _interest(self, seq: int, read: OpenInterestRead) -> None:
        """Keep open interest of the past where there is no context of its minute."""
        market, minute = self.by_number.get(read.instrument), read.venue_ns // _MINUTE_NS
        if market is not None and minute not in market.contexts:
            self._keep_context(market.contexts, minute, (seq, read))

    def _keep_context(self, contexts: dict[int, Kept], minute: int, kept: Kept) -> None:
        contexts[minute] = kept
        least, most = CONTEXTS_EACH
        while len(contexts) > least and len(contexts) > min(most, CONTEXTS_MAX // len(self.by_number)):
            del contexts[next(iter(contexts))]

    def _rate(self, seq: int, read: FundingRead) -> None:
        market = self.by_number.get(read.instrument)
        if market is not None:
            market.rates.append((seq, read))

    def _forced(self, seq: int, read: LiquidationRead) -> None:
        market = self.by_number.get(read.instrument)
        if market is not None:
            market.forced.append((seq, read))

    def _heat(self, seq: int, event: LiquidationLevelsClosed) -> None:
        self._window("heat", seq, event)

    def _bar(self, seq: int, bar: BarClosed) -> None:
        market = self.by_number.get(bar.instrument)
        if market is None:
            return
        self._keep_bar(market, seq, bar)
        span = bar.interval_ns
        if not market.shortest or span < market.shortest:
            market.shortest = span
        if span == market.shortest and bar.__class__ is BarClosed:
            market.closed(window_end(span, bar.start_ns))
        if bar.__class__ is BarClosed:
            market.close = seq, bar

    def _keep_bar(self, market: Market, seq: int, bar: Any) -> None:
        series = market.bars.get(bar.interval_ns)
        if series is None:
            series = market.bars[bar.interval_ns] = {}
        late = bar.start_ns not in series and series and bar.start_ns < next(reversed(series))
        series[bar.start_ns] = seq, bar
        if late:  # a window that is filled in later
            market.bars[bar.interval_ns] = series = dict(sorted(series.items()))
        if len(series) > BARS_EACH[0] and len(series) > self._bars_each():
            del series[next(iter(series))]

    def _bars_each(self) -> int:
        number = sum(len(market.bars) for market in self.by_number.values())
        return max(BARS_EACH[0], min(BARS_EACH[1], BARS_MAX // number))

    def _candle(self, seq: int, candle: Candle) -> None:
        market = self.by_number.get(candle.instrument)
        if market is not None:
            market.last = seq, candle

    def _history(self, seq: int, candle: CandleRead) -> None:
        """Keep a candle of the time before the session where there is no bar of its window."""
        market = self.by_number.get(candle.instrument)
        if market is None or candle.purpose not in ("history", "flat"):
            return
        if candle.start_ns not in market.bars.get(candle.interval_ns, ()):
            self._keep_bar(market, seq, candle)

    def _activity(self, seq: int, bar: ActivityBarClosed) -> None:
        market = self.by_number.get(bar.instrument)
        if market is not None:
            ring = market.activity.get(bar.kind)
            if ring is None:
                ring = market.activity[bar.kind] = deque(maxlen=ACTIVITY_MAX)
            ring.append((seq, bar))

    def _footprint(self, seq: int, event: FootprintClosed) -> None:
        self._window("footprints", seq, event)

    def _profile(self, seq: int, event: ProfileClosed) -> None:
        self._window("profiles", seq, event)

    def _sample(self, seq: int, event: BookSampled) -> None:
        self._window("samples", seq, event)

    def _large(self, seq: int, event: LargePrintSeen) -> None:
        market = self.by_number.get(event.instrument)
        if market is not None:
            market.large.append((seq, event))

    def _window(
        self,
        name: str,
        seq: int,
        event: FootprintClosed | ProfileClosed | BookSampled | LiquidationLevelsClosed,
    ) -> None:
        market = self.by_number.get(event.instrument)
        if market is not None:
            series = getattr(market, name).setdefault(event.interval_ns, {})
            series[event.start_ns] = seq, event
            if len(series) > FLOW_MAX:
                del series[next(iter(series))]


def _price_of(event: Any) -> int:
    """Return the price of a trade, or the close of a bar or a candle."""
    price: int = event.price if event.__class__ is Trade else event.close
    return price
