"""Opens bars, holds them for late trades, closes them, and merges them into longer bars, for all sources.

Owns the open bars of every instrument. Promises: a window closes once, in order, and not before its grace
period is over; a longer bar is emitted after the last of its parts; no window is skipped if the venue has
candles for windows without trades. Called by the aggregator's handlers.

If the feed proves how far it has delivered (`FeedUp.proves`), a window also waits for the proof of its end
(`FeedHeard`). Without it, the bar closes as incomplete once `proof_ms` are over, and is emitted again when
the proof arrives. A window that is incomplete in any case, because the feed was down in it, does not wait. A
later trade is no proof, since trades that were read over HTTP are ahead of a connection that is late; only
with `close = "trade"` it closes the earlier windows, as configured.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

from engine.actors.bars import (
    BEGUN_INSIDE,
    GAP,
    PART_MISSING,
    Market,
    OpenBar,
    Series,
    bar_event,
    fold,
    no_bar,
    series_of,
)
from engine.actors.base import Actor, Because, Emit, SetTimer
from engine.actors.corrections import Corrections
from engine.actors.doubts import in_hole
from engine.clock import DAY_NS, MONTH_NS, SECOND_NS, window_end, window_start
from engine.config import BarsConfig
from engine.values import InstrumentId, parse_interval

__all__ = ["REVISABLE_BARS_MAX", "Closing", "End"]

REVISABLE_BARS_MAX = 60
"""Number of closed bars per instrument and interval that a late trade or a candle can still correct."""

REVISABLE_CANDLES_MAX = 4
"""The same in data of candles, where only a repeated candle corrects. Each midnight stores them."""

POLL_GRACE_NS = 20 * SECOND_NS
"""Additional time that a bar waits for its candle while candles are polled."""


class End(NamedTuple):
    """Arguments shared by the methods that close bars. `cause`: of what they emit; 0: the present event."""

    instrument: int
    market: Market
    closed_by: str
    at_ns: int
    emit: Emit
    cause: int = 0


class Closing(Corrections):
    """State: per instrument, the open bar of the shortest interval and its other bars; the feed's state."""

    _open: dict[InstrumentId, OpenBar]
    _markets: dict[InstrumentId, Market]

    WIRING = Actor.WIRING | {
        "_spans_ns",
        "_base_ns",
        "_grace_ns",
        "_early_ns",
        "_proof_ns",
        "_timers",
        "_by_trade",
    }

    def __init__(self, config: BarsConfig) -> None:
        super().__init__("aggregator")
        self._spans_ns = sorted({parse_interval(name) for name in config.intervals})
        self._base_ns = self._spans_ns[0]
        self._grace_ns = config.grace_ms * 1_000_000
        self._early_ns = self._grace_ns if config.close == "grace" else 0
        self._proof_ns = config.proof_ms * 1_000_000
        self._by_trade = config.close == "trade"
        # The number of bars that can wait at once. Each has its own timer, caused by its first trade.
        self._timers = 1 + -(-self._early_ns // self._base_ns)
        self._open = {}
        self._markets = {}
        self._blind = False
        self._polling = False
        self._proves = False
        self._proved_ns = 0
        self._resumed_ns = 0

    def _market(self, instrument: int, spans_ns: list[int] | None = None) -> Market:
        """Return an instrument's bars; created, with a series for each interval, on first use."""
        market = self._markets.get(instrument)
        if market is None:
            listed = self.instruments[instrument]
            series = series_of(spans_ns or self._spans_ns)
            market = Market(series, listed.silence == "flat", listed.ids == "sequence", deque())
            market.done_ns = window_start(self._base_ns, self._resumed_ns)
            self._markets[instrument] = market
        return market

    def unclosed(self, interval_ns: int) -> Iterator[tuple[int, OpenBar]]:
        """Yield (instrument, bar) for the bars of an interval that are not closed and have volume."""
        for instrument, market in sorted(self._markets.items()):
            for series in market.series:
                if series.interval_ns == interval_ns:
                    newest = self._open.get(instrument, series.bar)
                    bars = [series.bar] if series.source_ns else [*market.waiting, newest]
                    yield from ((instrument, bar) for bar in bars if bar.trades or bar.volume)

    # The shortest interval.

    def _begin(self, instrument: int, start_ns: int, price: int) -> OpenBar:
        """Open a bar, flat at a price until it has a trade."""
        fresh = OpenBar(start_ns, window_end(self._base_ns, start_ns), 0, price, price, price, price)
        market = self._markets[instrument]
        fresh.because = GAP if start_ns <= market.hole_ns else ""
        fresh.doubtful = self._blind or market.blind or start_ns < market.doubt_ns or in_hole(market, fresh)
        self._open[instrument] = fresh
        return fresh

    def _end(self, instrument: int, market: Market, bar: OpenBar) -> OpenBar:
        """End an open bar, which then waits for late trades. Return the next open bar, flat at its close."""
        bar.lagging = not self._is_proved(market, bar)
        if market.flat or bar.trades or bar.uncertain or bar.proved:
            market.waiting.append(bar)
        return self._begin(instrument, bar.end_ns, bar.close)

    def _close_until(self, instrument: int, limit_ns: int, closed_by: str, at_ns: int, emit: Emit) -> None:
        """Publish the waiting bars that end by a time, each with the longer bars it completes."""
        market = self._markets[instrument]
        waiting = market.waiting
        end = End(instrument, market, closed_by, at_ns, emit)
        while waiting and waiting[0].end_ns <= limit_ns and self._may_close(market, waiting[0], at_ns):
            bar = waiting.popleft()
            bar.lagging = not self._is_proved(market, bar)
            market.lagging = market.lagging or bar.lagging
            if market.fresh:
                market.fresh = False
                if not bar.proved and bar.first_ns != bar.start_ns:
                    bar.because = bar.because or BEGUN_INSIDE
            if not market.flat:
                self._finish(bar.start_ns, end)
            # The proof is why it closes now; why it closes is its timer, and so its first trade.
            cause = bar.timer_seq if closed_by == "proof" else 0
            self._publish(market.series[0], bar, end._replace(cause=cause))
        if waiting and waiting[0].end_ns <= limit_ns:
            self._set_proof_timer(instrument, waiting[0], emit)
        first_ns = waiting[0].start_ns if waiting else self._open[instrument].start_ns
        market.done_ns = max(market.done_ns, min(window_start(self._base_ns, limit_ns), first_ns))
        if not market.flat:
            self._finish(market.done_ns, end)

    def _close_through(self, instrument: int, limit_ns: int, closed_by: str, at_ns: int, emit: Emit) -> None:
        """End and publish the bars that end by a time and may close, and set the next timer."""
        market, bar = self._markets[instrument], self._open[instrument]
        while bar.end_ns <= limit_ns and self._may_close(market, bar, at_ns):
            bar = self._end(instrument, market, bar)
        self._close_until(instrument, limit_ns, closed_by, at_ns, emit)
        self._set_next_timer(instrument, limit_ns, emit)

    def _publish(self, series: Series, bar: OpenBar, end: End) -> None:
        """Emit a closed bar, keep it for corrections, and merge it into longer bars."""
        bar.doubtful = not bar.proved and (bar.doubtful or self._blind or end.market.blind)
        event = bar_event(bar, end.instrument, series.interval_ns, end.closed_by, end.at_ns)
        end.emit(Because(event, end.cause) if end.cause else event)
        series.closed.append(bar)
        if len(series.closed) > (REVISABLE_CANDLES_MAX if end.closed_by == "candle" else REVISABLE_BARS_MAX):
            oldest = series.closed.pop(0)
            if oldest.unsent or oldest.due_ns:
                self._emit_again(oldest, end.instrument, series, "trade", end.at_ns, end.emit)
        for at in series.makes:
            self._merge(end.market.series[at], bar, end)

    # Proof.

    def _is_proved(self, market: Market, bar: OpenBar) -> bool:
        """Return whether the feed has delivered all trades of a window, or does not say so."""
        return bar.proved or self._reaches(market, bar.end_ns)

    def _reaches(self, market: Market, until_ns: int) -> bool:
        return not self._proves or until_ns <= max(self._proved_ns, market.reached_ns)

    def _may_close(self, market: Market, bar: OpenBar, at_ns: int) -> bool:
        """Return whether a window is proved, is incomplete in any case, or has waited long enough."""
        return (
            self._is_proved(market, bar)
            or (self._blind or market.blind or bar.doubtful or bool(bar.because))
            or self._patience_ns(bar) <= at_ns
        )

    def _settle_lagging(self, instrument: int, at_ns: int, emit: Emit) -> None:
        """Emit the bars that closed without proof again, once all their trades have arrived."""
        market = self._markets[instrument]
        market.lagging = False
        for series in market.series:
            for bar in (*series.closed, series.bar):
                if not bar.lagging:
                    continue
                is_open = bar is series.bar
                if not self._reaches(market, bar.merged_ns if is_open else bar.end_ns):
                    market.lagging = True
                    continue
                bar.lagging = False
                if not is_open and (bar.unsent or not bar.uncertain):
                    self._emit_again(bar, instrument, series, "proof", at_ns, emit)

    def _doubt_lagging(self, instrument: int, at_ns: int, emit: Emit) -> None:
        """Mark the bars that closed without proof as doubtful: what they lack may be lost now."""
        for series in self._markets[instrument].series:
            for bar in series.closed:
                if bar.lagging and not bar.doubtful:
                    bar.doubtful = True
                    self._emit_again(bar, instrument, series, "gap", at_ns, emit)

    # Longer intervals.

    def _merge(self, series: Series, part: OpenBar, end: End) -> None:
        """Merge a closed bar into a longer one. Publish the longer bar after its last part."""
        whole = series.bar
        if series.closed and part.start_ns < series.closed[-1].end_ns:
            self._merge_late(series, part, end)
            return
        if part.start_ns >= whole.end_ns:
            self._end_overdue(series, part.start_ns, end)
            whole = series.bar = _begin_longer(end.market, series, part)
        elif part.start_ns != whole.merged_ns and end.market.flat:
            whole.because = whole.because or PART_MISSING
        fold(whole, part)
        if part.end_ns >= whole.end_ns:
            series.bar = no_bar()
            self._publish(series, whole, end)

    def _merge_late(self, series: Series, part: OpenBar, end: End) -> None:
        """Merge a part whose longer bar is already closed.

        Publish that bar again, and the bars it is part of.
        """
        for whole in (*series.closed, series.bar):
            if not whole.start_ns <= part.start_ns < whole.end_ns:
                continue
            merged_ns = whole.merged_ns
            fold(whole, part)
            whole.merged_ns = max(merged_ns, part.end_ns)
            if whole is not series.bar:
                self._emit_again(whole, end.instrument, series, end.closed_by, end.at_ns, end.emit)
            for at in series.makes:
                self._merge_late(end.market.series[at], part, end)

    def _end_overdue(self, series: Series, next_ns: int, end: End) -> None:
        """Publish a longer bar whose last parts are missing, because the next part begins after its end."""
        whole = series.bar
        if whole.merged_ns < whole.end_ns <= next_ns:
            if end.market.flat:
                whole.because = whole.because or PART_MISSING
            series.bar = no_bar()
            self._publish(series, whole, end)

    def _finish(self, until_ns: int, end: End) -> None:
        """Publish the longer bars that end by a time. Needed if windows without trades have no bars."""
        for series in end.market.series[1:]:
            self._end_overdue(series, until_ns, end)

    # Timers.

    def _set_timer(self, instrument: int, bar: OpenBar, emit: Emit) -> None:
        """Set the timer that closes a bar. The bar's first trade sets it again, and so becomes its cause."""
        key = str(instrument)
        if self._timers > 1:
            # Months differ in length, so the starts of months are counted in days.
            base_ns, places = (self._base_ns, self._timers) if self._base_ns < MONTH_NS else (DAY_NS, 366)
            key += f" {bar.start_ns // base_ns % places}"
        emit(SetTimer(self.name, bar.end_ns + self._wait_ns(), key))

    def _set_next_timer(self, instrument: int, limit_ns: int, emit: Emit) -> None:
        """Set the timer of the bar that closes next, unless its first trade has set it.

        A bar that ended by `limit_ns` waits for its proof.
        """
        waiting = self._markets[instrument].waiting
        bar = waiting[0] if waiting else self._open[instrument]
        if bar.end_ns <= limit_ns:
            self._set_proof_timer(instrument, bar, emit)
        elif not bar.trades or self._polling:
            self._set_timer(instrument, bar, emit)

    def _set_proof_timer(self, instrument: int, bar: OpenBar, emit: Emit) -> None:
        """Set the timer that closes a bar without proof."""
        emit(SetTimer(self.name, self._patience_ns(bar), f"{instrument} proof"))

    def _patience_ns(self, bar: OpenBar) -> int:
        """Return until when a bar waits for its proof: none could arrive during a jump of the clock."""
        return max(bar.end_ns + self._wait_ns(), self._resumed_ns) + self._proof_ns

    def _wait_ns(self) -> int:
        return self._grace_ns + (POLL_GRACE_NS if self._polling else 0)


def _begin_longer(market: Market, series: Series, part: OpenBar) -> OpenBar:
    start_ns = window_start(series.interval_ns, part.start_ns)
    end_ns = window_end(series.interval_ns, start_ns)
    whole = OpenBar(start_ns, end_ns, 0, part.open, part.high, part.low, part.close)
    if part.start_ns != start_ns:
        if not series.closed:
            whole.because = BEGUN_INSIDE
        elif market.flat or start_ns <= market.hole_ns:
            whole.because = PART_MISSING
    return whole
