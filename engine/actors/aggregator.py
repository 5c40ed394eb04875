"""Builds time bars from trades: several intervals at once, each bar once, silence included.

The shortest interval is built from prints; every longer one from closed bars of the shortest, so a print
costs the same however many intervals there are. A bar closes `grace_ms` after its end: by timer, or by a
print from then; until then a late print counts where it belongs. With `close = "trade"` the first print of
a later window closes it at once. A print that comes after its bar closed corrects it: the same bar again,
one revision higher. Within a bar prints are in the venue's order, not that of arrival. A window without
prints is flat at the last close, or has no bar, as the venue's custom is.

A bar that was open or closed while the feed was down is doubtful, which reads as incomplete, until a
`FeedGap` settles it. What candles do is in `candle_bars.py`, what a bar's life is in `closing.py`.
"""

from __future__ import annotations

from collections.abc import Iterator

from engine.actors.bars import (
    ENDED_INSIDE,
    GAP,
    Market,
    OpenBar,
    Series,
    add_print,
    event_of,
    flatten,
    is_absurd,
    no_bar,
    precedes,
)
from engine.actors.base import Emit, handles
from engine.actors.candle_bars import CANDLES, CandleBars
from engine.clock import SECOND_NS, window_end, window_start
from engine.config import BarsConfig
from engine.events import (
    FeedDown,
    FeedGap,
    FeedPolling,
    FeedUp,
    PriceMarked,
    SessionStarted,
    SessionStopped,
    TimerFired,
    Trade,
)

__all__ = ["Aggregator"]

_NO_BAR = no_bar()
INTERRUPTION_NS_MAX = 3600 * SECOND_NS
"""After an interruption longer than this no flat bars are made for the time between."""


class Aggregator(CandleBars):
    """Handles prints, time, and what is known of the feed. `_absurd` and `_too_late` count prints left
    out."""

    def __init__(self, config: BarsConfig) -> None:
        super().__init__(config)
        self._absurd = 0

    @handles(Trade)
    def add(self, trade: Trade, emit: Emit) -> None:
        """Add a print to its bar. The hot path: one lookup, a few comparisons and stores."""
        venue_ns = trade.venue_ns
        try:
            bar = self._open[trade.instrument]  # half the time of a get
        except KeyError:
            bar = _NO_BAR
        # Many prints share a time stamp: one that is the next of them in the venue's order goes on too.
        if not bar.last_ns < venue_ns < bar.until_ns and (
            not venue_ns == bar.last_ns < bar.until_ns or self._is_behind(trade, bar)
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

    def _is_behind(self, trade: Trade, bar: OpenBar) -> bool:
        """Return whether a print of the last one's time stamp comes before that one in the venue's order."""
        return self._markets[trade.instrument].by_id and precedes(trade.trade_id, bar.last_id)

    def _place(self, trade: Trade, bar: OpenBar, emit: Emit) -> None:
        """Add a print that is not simply the next one of the open bar."""
        if bar is not _NO_BAR and trade.venue_ns < bar.start_ns:
            self._add_late(trade, bar, emit)
            return
        if not bar.trades or trade.venue_ns >= bar.end_ns:
            rolled = self._roll(trade, None if bar is _NO_BAR else bar, emit)
            if rolled is None:
                return
            bar = rolled
        add_print(bar, trade, self._markets[trade.instrument].by_id)

    def _roll(self, trade: Trade, bar: OpenBar | None, emit: Emit) -> OpenBar | None:
        """Return the bar that a print opens, after ending all bars before it; None for a print left out."""
        venue_ns = trade.venue_ns
        if is_absurd(trade):
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
        self._close_until(instrument, venue_ns - self._early_ns, "trade", trade.recv_ns, emit)
        self._ask(instrument, bar, emit)
        return bar

    @handles(TimerFired)
    def close_due(self, timer: TimerFired, emit: Emit) -> None:
        """Close an instrument's bars whose grace is over, silent windows too, and go on waiting."""
        number, _, what = timer.key.partition(" ")
        instrument = int(number)
        if what == CANDLES:
            self._close_longer(instrument, timer.at_ns, emit)
            return
        bar = self._open.get(instrument)
        if bar is None:
            return
        market = self._markets[instrument]
        limit_ns = timer.at_ns - self._patience_ns()
        while bar.end_ns <= limit_ns:
            bar = self._end(instrument, market, bar)
        self._close_until(instrument, limit_ns, "timer", timer.at_ns, emit)
        self._ask_again(instrument, emit)

    # Prints that come late.

    def _add_late(self, trade: Trade, open_bar: OpenBar, emit: Emit) -> None:
        """Add a print of an earlier window than the newest: to a bar that waits, or to closed ones."""
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
                self._ask(trade.instrument, waiting[at], emit)
            add_print(waiting[at], trade, market.by_id)
            self._flatten_after(market, open_bar, at)

    def _insert(self, trade: Trade, market: Market, open_bar: OpenBar, at: int, start_ns: int) -> None:
        """Let a window that has no bar yet wait for its prints, and the silent ones behind it.

        There is none before the first print's window, and for silent windows where the venue has none.
        """
        first_ns = market.waiting[at].start_ns if at < len(market.waiting) else open_bar.start_ns
        price = trade.price
        while start_ns < first_ns:
            end_ns = window_end(self._base_ns, start_ns)
            market.waiting.insert(at, OpenBar(start_ns, end_ns, start_ns, price, price, price, price))
            start_ns = end_ns
            at += 1
            if not market.flat:
                return

    def _correct(self, trade: Trade, market: Market, open_bar: OpenBar, emit: Emit) -> None:
        """Add a late print to the closed bars it belongs to, and publish each again.

        Where it becomes the last print of its bar, the silent windows behind that are flat at its price. A
        longer interval's bars reach back further than the shortest one's: some may take what others cannot.
        """
        venue_ns = trade.venue_ns
        base = market.series[0].closed
        reached = bool(base) and base[0].start_ns <= venue_ns
        if any(bar.proved and bar.start_ns <= venue_ns < bar.end_ns for bar in base):
            return  # the venue's candle has it
        for series in market.series:
            if reached and not market.flat:
                self._make_room(series, trade, market.done_ns)
            # What is not merged yet comes with its part.
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
                    add_print(bar, trade, market.by_id)
                    price = bar.close
                elif price is None or bar.trades or bar.volume or bar.proved:
                    break
                elif not flatten(bar, price):
                    continue
                if not is_open:
                    bar.revision += 1
                    emit(event_of(bar, trade.instrument, series.interval_ns, "trade", trade.recv_ns))
            if price is None and not series.source_ns:
                self._too_late += 1  # its window has no bar: nothing was heard then

    def _make_room(self, series: Series, trade: Trade, done_ns: int) -> None:
        """Give a window that was taken for silent, and has no bar, one for its late print."""
        start_ns = window_start(series.interval_ns, trade.venue_ns)
        if any(bar.start_ns == start_ns for bar in (*series.closed, series.bar)):
            return
        end_ns, price = window_end(series.interval_ns, start_ns), trade.price
        bar = OpenBar(start_ns, end_ns, 0, price, price, price, price)
        if end_ns <= done_ns:
            series.closed.append(bar)
            series.closed.sort(key=lambda one: one.start_ns)
        elif trade.venue_ns < window_start(series.source_ns, done_ns):
            series.bar = bar

    # What is known of the feed.

    @handles(FeedPolling)
    def poll(self, polling: FeedPolling, emit: Emit) -> None:
        """While candles are polled, a bar waits for its own longer than for a late print."""
        self._polling = polling.active

    @handles(SessionStarted, FeedDown)
    def doubt(self, event: SessionStarted | FeedDown, emit: Emit) -> None:
        """From here until the feed is up, prints may be missing."""
        if isinstance(event, FeedDown) or self._open:
            self._blind = True
            for instrument, open_bar in self._open.items():
                market = self._markets[instrument]
                for bar in (open_bar, *market.waiting, *(series.bar for series in market.series)):
                    bar.doubtful = True
        if isinstance(event, SessionStarted):
            self._give_up(event.recv_ns, emit)

    @handles(FeedUp)
    def trust(self, up: FeedUp, emit: Emit) -> None:
        """Bars opened from here on are whole again; what happened before is for a `FeedGap` to say."""
        self._blind = False

    @handles(FeedGap)
    def settle(self, gap: FeedGap, emit: Emit) -> None:
        """Clear the doubt about the bars a gap touched, or mark them incomplete for good.

        An open gap can reach into a window whose bar has not begun yet: that one will be incomplete too.
        """
        market = self._markets.get(gap.instrument)
        if market is None:
            if gap.closed:
                return
            market = self._market(gap.instrument)
        if not gap.closed:
            market.hole_ns = max(market.hole_ns, gap.to_ns)
        for series in market.series:
            for bar, is_open in self._touched(gap, market, series):
                before = bool(bar.because) or bar.doubtful
                bar.doubtful = False
                if not (gap.closed or bar.proved):
                    bar.because = bar.because or GAP
                if not is_open and before != bool(bar.because):
                    bar.revision += 1
                    emit(event_of(bar, gap.instrument, series.interval_ns, "gap", gap.recv_ns))

    def _touched(self, gap: FeedGap, market: Market, series: Series) -> Iterator[tuple[OpenBar, bool]]:
        """Yield (bar, is open) for the bars of a series that a gap overlaps, oldest first."""
        unclosed = [series.bar]
        if series is market.series[0] and gap.instrument in self._open:
            unclosed = [*market.waiting, self._open[gap.instrument]]
        for bar in series.closed:
            if bar.end_ns > gap.from_ns and bar.start_ns <= gap.to_ns:
                yield bar, False
        for bar in unclosed:
            if bar.end_ns > gap.from_ns and bar.start_ns <= gap.to_ns:
                yield bar, True
            elif not self._blind:
                bar.doubtful = False

    # Sessions.

    @handles(SessionStopped)
    def mark_prices(self, stopped: SessionStopped, emit: Emit) -> None:
        """Tell the last price of each instrument, so that the account can be valued to the last print."""
        for instrument in sorted(self._markets):
            closed = self._markets[instrument].series[0].closed
            bar = self._open.get(instrument) or (closed[-1] if closed else None)
            if bar is not None:
                emit(PriceMarked(stopped.recv_ns, instrument, bar.close))

    def _give_up(self, now_ns: int, emit: Emit) -> None:
        """Publish the open bars of a session that ended long ago: the time between is no silent market."""
        for instrument in sorted(self._open):
            bar = self._open[instrument]
            if bar.end_ns + INTERRUPTION_NS_MAX < now_ns:
                bar.because = ENDED_INSIDE
                market = self._markets[instrument]
                self._end(instrument, market, bar)
                self._close_until(instrument, bar.end_ns, "timer", now_ns, emit)
                del self._open[instrument]
