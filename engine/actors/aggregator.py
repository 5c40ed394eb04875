"""Builds time bars from trades: several intervals at once, including windows without trades.

The shortest interval is built from trades, longer ones from closed shorter bars, so the cost of a trade
does not depend on the number of intervals. A bar closes `grace_ms` after its end, by timer or by a later
trade; until then a late trade is added to the bar it belongs to. With `close = "trade"` the first trade of
a later window closes the bar at once. A trade that arrives after its bar closed corrects it: the bar is
emitted again with the next revision, once for all late trades of a while (`corrections.py`). Within a bar,
trades are in the venue's order, not in order of arrival. A window without trades has a flat bar at the last
close, or no bar, depending on the venue.

A bar that was open, or closed, while the feed was down is doubtful, and reported as incomplete, until a
`FeedGap` settles it. So are the bars of one instrument after a `FeedDamaged` that leaves its trades in doubt.
`candle_bars.py` handles candles, `closing.py` the closing of bars, `skipping.py` jumps of the clock.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator

from engine.actors.bars import (
    ENDED_INSIDE,
    GAP,
    Market,
    OpenBar,
    Series,
    add_trade,
    flatten,
    is_implausible,
    no_bar,
    precedes,
)
from engine.actors.base import Emit, handles
from engine.actors.candle_bars import CANDLES
from engine.actors.corrections import LATE
from engine.actors.doubts import in_hole, settle
from engine.actors.skipping import Skipping
from engine.actors.successions import Count, add_following
from engine.clock import SECOND_NS, window_end, window_start
from engine.config import BarsConfig
from engine.events import (
    Event,
    FeedDamaged,
    FeedDown,
    FeedGap,
    FeedHeard,
    FeedPolling,
    FeedUp,
    PriceMarked,
    SessionStarted,
    SessionStopped,
    TimerFired,
    Trade,
)
from engine.instruments import of_feed
from engine.values import INT64_MAX

__all__ = ["Aggregator"]

_NO_BAR = no_bar()
AHEAD_NS = SECOND_NS
"""A trade that is further than this ahead of the engine's clock closes no window that is not proved."""

INTERRUPTION_NS_MAX = 3600 * SECOND_NS
"""After a longer interruption, no flat bars are made for the time between."""


class Aggregator(Skipping):
    """Handles trades, timers and the state of the feed.

    `_absurd` counts the trades left out because of an implausible time, `_too_late` those left out because
    they arrived too late.
    """

    def __init__(self, config: BarsConfig) -> None:
        super().__init__(config)
        self._absurd = 0

    @handles(Trade)
    def add(self, trade: Trade, emit: Emit) -> None:
        """Add a trade to its bar. This is the hot path: one lookup, a few comparisons and stores."""
        venue_ns = trade.venue_ns
        try:
            bar = self._open[trade.instrument]  # half the time of a get
        except KeyError:
            bar = _NO_BAR
        # Trades often share a time stamp. The next one in the venue's order takes this path too.
        if not bar.last_ns < venue_ns < bar.until_ns and (
            not venue_ns == bar.last_ns < bar.until_ns or self._precedes_last(trade, bar)
        ):
            self._place(trade, bar, emit)
            return
        price = trade.price
        size = trade.size
        side = trade.aggressor
        if price > bar.high:
            bar.high = price
        elif price < bar.low:
            bar.low = price
        bar.close = price
        bar.last_ns = venue_ns
        bar.last_id = trade.trade_id
        bar.trades += 1
        bar.quote += price * size
        if side > 0:
            bar.bought += size
        elif side < 0:
            bar.sold += size
        else:
            bar.unsided += size

    def passing(
        self, first: Event, events: Iterator[Event], now_ns: int, due_ns: int, count: Count, *, shown: bool
    ) -> Generator[Trade] | None:
        """Add trades from `first` on as long as each is the next one of its open bar (`successions.py`)."""
        bar = self._open.get(first.instrument) if isinstance(first, Trade) else None
        if bar is None or not isinstance(first, Trade):
            return None
        by_id = self._markets[first.instrument].by_id
        return add_following(events, first.instrument, bar, now_ns, due_ns, count, by_id=by_id, shown=shown)

    def _precedes_last(self, trade: Trade, bar: OpenBar) -> bool:
        """Return whether a trade with the time stamp of the last one precedes it in the venue's order."""
        return self._markets[trade.instrument].by_id and precedes(trade.trade_id, bar.last_id)

    def _place(self, trade: Trade, bar: OpenBar, emit: Emit) -> None:
        """Add a trade that is not the next one of the open bar."""
        if bar is not _NO_BAR and trade.venue_ns < bar.start_ns:
            self._add_late(trade, bar, emit)
            return
        if not bar.trades or trade.venue_ns >= bar.end_ns:
            rolled = self._roll(trade, None if bar is _NO_BAR else bar, emit)
            if rolled is None:
                return
            bar = rolled
        add_trade(bar, trade, self._markets[trade.instrument].by_id)

    def _roll(self, trade: Trade, bar: OpenBar | None, emit: Emit) -> OpenBar | None:
        """End all bars before a trade and return the bar it opens, or None if the trade is left out."""
        venue_ns = trade.venue_ns
        if is_implausible(trade):
            self._absurd += 1
            return None
        instrument = trade.instrument
        market = self._market(instrument)
        if bar is None:
            start_ns = window_start(self._base_ns, venue_ns)
            if start_ns < market.done_ns:
                self._too_late += 1
                return None
            bar = self._begin(instrument, start_ns, trade.price)
            market.fresh = True
            market.done_ns = max(market.done_ns, window_start(self._base_ns, venue_ns - self._early_ns))
        while bar.end_ns <= venue_ns:
            bar = self._end(instrument, market, bar)
        bar.until_ns = bar.end_ns
        if self._by_trade and venue_ns <= trade.recv_ns + AHEAD_NS:
            market.reached_ns = max(market.reached_ns, bar.start_ns)
        self._close_until(instrument, venue_ns - self._early_ns, "trade", trade.recv_ns, emit)
        self._set_timer(instrument, bar, emit)
        return bar

    @handles(TimerFired)
    def close_due(self, timer: TimerFired, emit: Emit) -> None:
        """Close an instrument's bars whose grace period is over, and set the next timer.

        Windows without trades are closed too.
        """
        number, _, what = timer.key.partition(" ")
        instrument = int(number)
        if what == CANDLES:
            self._close_longer(instrument, timer.at_ns, emit)
            return
        if what == LATE:
            self._emit_corrections(instrument, timer.at_ns, emit)
        elif instrument in self._open:
            limit_ns = timer.at_ns - self._wait_ns()
            self._close_through(instrument, limit_ns, "timer", timer.at_ns, emit)
            for bar in (*self._markets[instrument].waiting, self._open[instrument]):
                if bar.end_ns <= limit_ns:
                    bar.timer_seq = bar.timer_seq or self.turn.seq

    # Late trades.

    def _add_late(self, trade: Trade, open_bar: OpenBar, emit: Emit) -> None:
        """Add a trade of an earlier window than the newest, to a waiting bar or to closed bars."""
        market = self._markets[trade.instrument]
        start_ns = window_start(self._base_ns, trade.venue_ns)
        if start_ns < market.done_ns:
            self._correct(trade, market, open_bar, emit)
            return
        waiting = market.waiting
        at = len(waiting)
        while at and waiting[at - 1].start_ns >= start_ns:
            at -= 1
        if at == len(waiting) or waiting[at].start_ns != start_ns:
            self._insert(trade, market, open_bar, at, start_ns)
        if not waiting[at].proved:
            if not waiting[at].trades:
                self._set_timer(trade.instrument, waiting[at], emit)
            add_trade(waiting[at], trade, market.by_id)
            self._flatten_after(market, open_bar, at)

    def _insert(self, trade: Trade, market: Market, open_bar: OpenBar, at: int, start_ns: int) -> None:
        """Insert a waiting bar for a window that has none, and for the windows without trades after it.

        A window has no bar if it is before the first trade's, or if it had no trades and the venue has no
        candles for such windows.
        """
        first_ns = market.waiting[at].start_ns if at < len(market.waiting) else open_bar.start_ns
        price = trade.price
        while start_ns < first_ns:
            end_ns = window_end(self._base_ns, start_ns)
            bar = OpenBar(start_ns, end_ns, start_ns, price, price, price, price)
            bar.doubtful = in_hole(market, bar)
            market.waiting.insert(at, bar)
            start_ns = end_ns
            at += 1
            if not market.flat:
                return

    def _correct(self, trade: Trade, market: Market, open_bar: OpenBar, emit: Emit) -> None:
        """Add a late trade to the closed bars it belongs to; each of them is emitted again a little later.

        If it becomes the last trade of its bar, the windows without trades after the bar become flat at its
        price. Longer intervals keep closed bars for a longer time, so some may still be corrected when
        shorter ones cannot.
        """
        venue_ns = trade.venue_ns
        base = market.series[0].closed
        reached = bool(base) and base[0].start_ns <= venue_ns
        if any(bar.proved and bar.start_ns <= venue_ns < bar.end_ns for bar in base):
            return  # the venue's candle includes it
        for series in market.series:
            if reached and not market.flat:
                self._insert_closed(series, trade, market)
            # An open longer bar receives the trade later, if the part that has it is not merged yet.
            merged_ns = window_start(series.source_ns or self._base_ns, market.done_ns)
            unclosed = [series.bar] if series.source_ns else [*market.waiting, open_bar]
            price = None
            for number, bar in enumerate((*series.closed, *unclosed)):
                is_open = number >= len(series.closed)
                if bar.end_ns <= venue_ns:
                    continue
                if bar.start_ns <= venue_ns:
                    if bar.proved or (is_open and venue_ns >= merged_ns):
                        break
                    add_trade(bar, trade, market.by_id)
                    price = bar.close
                elif price is None or bar.trades or bar.volume or bar.proved:
                    break
                elif not flatten(bar, price):
                    continue
                if is_open:
                    continue
                bar.unsent = True
                if not bar.lagging:  # otherwise it is emitted with its proof
                    self._correct_later(bar, trade.instrument, trade.recv_ns, emit)
            if price is None and not series.source_ns:
                self._too_late += 1  # its window has no bar

    def _insert_closed(self, series: Series, trade: Trade, market: Market) -> None:
        """Insert a bar for the window of a late trade that had no trades before, and so no bar."""
        start_ns = window_start(series.interval_ns, trade.venue_ns)
        if any(bar.start_ns == start_ns for bar in (*series.closed, series.bar)):
            return
        end_ns, price = window_end(series.interval_ns, start_ns), trade.price
        bar = OpenBar(start_ns, end_ns, 0, price, price, price, price)
        bar.doubtful = in_hole(market, bar)
        if end_ns <= market.done_ns:
            series.closed.append(bar)
            series.closed.sort(key=lambda one: one.start_ns)
        elif trade.venue_ns < window_start(series.source_ns, market.done_ns):
            series.bar = bar

    # The state of the feed.

    @handles(FeedPolling)
    def note_polling(self, polling: FeedPolling, emit: Emit) -> None:
        """Note whether candles are polled: a bar then waits longer, for its candle."""
        self._polling = polling.active

    @handles(SessionStarted, FeedDown)
    def note_feed_down(self, event: SessionStarted | FeedDown, emit: Emit) -> None:
        """Mark open bars as doubtful: until the feed is up, trades may be missing."""
        numbers = of_feed(event.feed, self.instruments) if isinstance(event, FeedDown) else None
        if numbers is not None:
            for instrument in numbers:
                self._market(instrument).blind = True
                self._doubt(instrument, event.recv_ns, emit)
        elif isinstance(event, FeedDown) or self._open:
            self._blind = True
            for instrument in sorted(self._open):
                self._doubt(instrument, event.recv_ns, emit)
        if isinstance(event, SessionStarted):
            for market in self._markets.values():
                market.blind = False  # the new session's feed joins its trades to the recorded ones
            self._end_interrupted(event.recv_ns, emit)
        elif self._proves:
            self._close_overdue("timer", event.recv_ns, emit)

    @handles(FeedDamaged)
    def note_damage(self, damaged: FeedDamaged, emit: Emit) -> None:
        """Mark the open bars of the instrument as doubtful if trades may be missing."""
        if damaged.in_doubt:
            self._market(damaged.instrument).blind = True
            self._doubt(damaged.instrument, damaged.recv_ns, emit)

    @handles(FeedUp)
    def note_feed_up(self, up: FeedUp, emit: Emit) -> None:
        """Note that bars opened from now on are complete. A `FeedGap` settles the earlier ones."""
        numbers = of_feed(up.feed, self.instruments)
        if numbers is not None:
            self._note_one_up(up, numbers, emit)
            return
        self._proves = up.proves
        if up.proves and self._blind:
            for market in self._markets.values():
                market.doubt_ns = up.recv_ns + self._grace_ns
        self._blind = False
        if not up.proves:
            self._settle(up.recv_ns, emit)

    def _note_one_up(self, up: FeedUp, numbers: list[int], emit: Emit) -> None:
        """Note that the feed of one of several venues is up. Each instrument has its own proof then."""
        self._proves = True
        for instrument in numbers:
            market = self._market(instrument)
            if not up.proves:
                market.reached_ns = INT64_MAX  # its bars need no proof
            elif market.blind or self._blind:
                market.doubt_ns = up.recv_ns + self._grace_ns
            market.blind = False
        self._blind = False
        self._settle(up.recv_ns, emit)

    @handles(FeedHeard)
    def note_proof(self, heard: FeedHeard, emit: Emit) -> None:
        """Close the bars that waited for this proof, and emit those again that closed without it."""
        numbers = of_feed(heard.feed, self.instruments) if heard.proved_ns else None
        if numbers is not None:
            self._proves = True
            for instrument in numbers:
                market = self._market(instrument)
                market.reached_ns = max(market.reached_ns, heard.proved_ns)
            self._close_overdue("proof", heard.recv_ns, emit)
            self._settle(heard.recv_ns, emit)
            return
        if heard.proved_ns <= self._proved_ns:
            return
        self._proves = True  # in a backtest of a later day, its `FeedUp` was on the day before
        self._proved_ns = heard.proved_ns
        self._close_overdue("proof", heard.recv_ns, emit)
        self._settle(heard.recv_ns, emit)

    def _settle(self, at_ns: int, emit: Emit) -> None:
        for instrument in sorted(self._markets):
            if self._markets[instrument].lagging:
                self._settle_lagging(instrument, at_ns, emit)

    def _close_overdue(self, closed_by: str, at_ns: int, emit: Emit) -> None:
        """Close the bars whose grace period is over and that need not wait any more."""
        limit_ns = at_ns - self._wait_ns()
        for instrument in sorted(self._open):
            waiting = self._markets[instrument].waiting
            if (waiting[0] if waiting else self._open[instrument]).end_ns <= limit_ns:
                self._close_through(instrument, limit_ns, closed_by, at_ns, emit)

    @handles(FeedGap)
    def settle_gap(self, gap: FeedGap, emit: Emit) -> None:
        """Clear the mark of the bars a closed gap overlaps, or mark them as incomplete for good.

        The mark stays if a part of the bar is in an earlier hole, which this gap does not cover. A gap that
        was not closed can reach into a window whose bar is not open yet. That bar will be incomplete.
        """
        market = self._markets.get(gap.instrument)
        if market is None:
            if gap.closed:
                return
            market = self._market(gap.instrument)
        market.blind = False
        market.doubt_ns = 0
        settle(market, gap.from_ns, gap.to_ns)
        if not gap.closed:
            market.hole_ns = max(market.hole_ns, gap.to_ns)
        for series in market.series:
            for bar, is_open in self._overlapped(gap, market, series):
                before = bar.uncertain, bar.lagging
                bar.doubtful = bar.doubtful and in_hole(market, bar)
                if not (gap.closed or bar.proved):
                    bar.because = bar.because or GAP
                    bar.lagging = False  # what it lacks does not come any more
                if is_open or before == (bar.uncertain, bar.lagging):
                    continue
                if bar.uncertain:
                    self._emit_again(bar, gap.instrument, series, "gap", gap.recv_ns, emit)
                else:  # the trades that were missed follow, and it is not complete without them
                    self._correct_later(bar, gap.instrument, gap.recv_ns, emit)

    def _overlapped(self, gap: FeedGap, market: Market, series: Series) -> Iterator[tuple[OpenBar, bool]]:
        """Yield (bar, is open) for the bars of a series that a gap overlaps, oldest first.

        A bar that closed between its own gap and the return of the last stream of the feed is in no hole: the
        gap that follows settles it too.
        """
        unclosed = [series.bar]
        if series is market.series[0] and gap.instrument in self._open:
            unclosed = [*market.waiting, self._open[gap.instrument]]
        for bar in series.closed:
            settled = gap.closed and bar.doubtful and not (self._blind or in_hole(market, bar))
            if settled or (bar.end_ns > gap.from_ns and bar.start_ns <= gap.to_ns):
                yield bar, False
        for bar in unclosed:
            if bar.end_ns > gap.from_ns and bar.start_ns <= gap.to_ns:
                yield bar, True
            elif not self._blind:
                bar.doubtful = bar.doubtful and in_hole(market, bar)

    # Sessions.

    @handles(SessionStopped)
    def mark_prices(self, stopped: SessionStopped, emit: Emit) -> None:
        """Emit the last price of each instrument, so that the account is valued at the last trade.

        Corrections do not wait for a next session.
        """
        for instrument in sorted(self._markets):
            self._emit_corrections(instrument, stopped.recv_ns, emit, all_of_them=True)
            closed = self._markets[instrument].series[0].closed
            bar = self._open.get(instrument) or (closed[-1] if closed else None)
            if bar is not None:
                emit(PriceMarked(stopped.recv_ns, instrument, bar.close))

    def _end_interrupted(self, now_ns: int, emit: Emit) -> None:
        """Close the open bars of a session that ended long ago, without flat bars for the time between."""
        for instrument in sorted(self._open):
            bar = self._open[instrument]
            if bar.end_ns + INTERRUPTION_NS_MAX < now_ns:
                bar.because = ENDED_INSIDE
                market = self._markets[instrument]
                self._end(instrument, market, bar)
                self._close_until(instrument, bar.end_ns, "timer", now_ns, emit)
                del self._open[instrument]
