"""Builds time bars from trades and candles: several intervals at once, each bar once, silence included.

Owns the open bars. The shortest interval is built from prints; every longer one from closed bars of the
shortest, so a print costs the same however many intervals there are. A bar closes when a print of a later
window proves it over, or by timer `grace_ms` after its end, flat with volume 0 if nothing traded. A print
that comes after its bar closed corrects it: the same bar again, one revision higher. A bar that was open
or closed while the feed was down is doubtful, which reads as incomplete, until a `FeedGap` settles it.

The venue's own candle of a window (`CandleRead`) proves a bar: it takes the place of one that is uncertain,
says so (`closed_by` "candle"), and is no more in doubt. One of a whole bar is only compared with it.
"""

from __future__ import annotations

from collections.abc import Iterator

from engine.actors.bars import OpenBar, Series, add_late, flatten, no_bar, prove, series_of
from engine.actors.base import Actor, Emit, SetTimer, handles
from engine.clock import DAY_NS, SECOND_NS
from engine.config import BarsConfig
from engine.events import (
    BarClosed,
    BarDiffers,
    Candle,
    CandleRead,
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
from engine.values import parse_interval, wide

__all__ = ["Aggregator"]

INTERRUPTION_NS_MAX = 3600 * SECOND_NS
"""After an interruption longer than this no flat bars are made for the time between."""
REVISABLE_BARS_MAX = 60
"""How many closed bars per instrument and interval a late print or a candle can still correct."""
POLL_GRACE_NS = 20 * SECOND_NS
"""How much longer a bar waits for its candle while candles are polled."""


class Aggregator(Actor):
    """State: per instrument, the open bar of the shortest interval, a series for every interval, and the end
    of the last gap that was not closed."""

    WIRING = Actor.WIRING | {"_spans_ns", "_base_ns", "_grace_ns"}

    def __init__(self, config: BarsConfig) -> None:
        super().__init__("aggregator")
        self._spans_ns = sorted({parse_interval(name) for name in config.intervals})
        self._base_ns = self._spans_ns[0]
        self._grace_ns = config.grace_ms * 1_000_000
        self._open: dict[int, OpenBar] = {}
        self._series: dict[int, list[Series]] = {}
        self._holes: dict[int, int] = {}
        self._blind = False
        self._polling = False
        self._too_late = 0
        self._absurd = 0

    @handles(Trade)
    def add(self, trade: Trade, emit: Emit) -> None:
        """Add a print to its bar. The hot path: one lookup, a few comparisons and stores."""
        venue_ns = trade.venue_ns
        bar = self._open.get(trade.instrument)
        if bar is None or venue_ns >= bar.until_ns:
            bar = self._roll(trade, bar, emit)
            if bar is None:
                return
        elif venue_ns < bar.start_ns:
            self._correct(trade, emit)
            return
        price = trade.price
        if price > bar.high:
            bar.high = price
        elif price < bar.low:
            bar.low = price
        bar.close = price
        bar.volume += trade.size
        bar.trades += 1

    @handles(Candle)
    def add_candle(self, candle: Candle, emit: Emit) -> None:
        """Take a candle made elsewhere as a closed bar of its own interval, and merge it into longer ones."""
        bar = OpenBar(
            candle.start_ns,
            candle.start_ns + candle.interval_ns,
            0,
            candle.open,
            candle.high,
            candle.low,
            candle.close,
            int(candle.volume),
            candle.trades,
        )
        series = self._series.get(candle.instrument)
        if series is None:
            longer = [
                span for span in self._spans_ns if span > candle.interval_ns and not span % candle.interval_ns
            ]
            series = self._series[candle.instrument] = series_of([candle.interval_ns, *longer])
        for longer_series in series[1:]:
            self._end_overdue(candle.instrument, longer_series, bar.start_ns, "candle", candle.recv_ns, emit)
        if candle.interval_ns != series[0].interval_ns:
            # Another interval than the first: its own bars, which are no parts of anything.
            self._emit(candle.instrument, candle.interval_ns, bar, "candle", candle.recv_ns, emit)
            return
        if series[0].closed and candle.start_ns <= series[0].closed[-1].start_ns:
            self._replace(candle, series, bar, emit)
            return
        self._publish(candle.instrument, series[0], bar, "candle", candle.recv_ns, emit)
        for longer_series in series[1:]:
            self._merge(candle.instrument, longer_series, bar, "candle", candle.recv_ns, emit)

    def _replace(self, candle: Candle, series: list[Series], bar: OpenBar, emit: Emit) -> None:
        """Take a candle that comes again as a correction of its bar and of the longer ones it is in."""
        before = next((one for one in series[0].closed if one.start_ns == bar.start_ns), None)
        if before is None:
            self._too_late += 1
            return
        volume, trades = bar.volume - before.volume, bar.trades - before.trades
        before.open, before.high, before.low, before.close = bar.open, bar.high, bar.low, bar.close
        before.volume, before.trades = bar.volume, bar.trades
        for one_series in series:
            for one in (*one_series.closed, one_series.bar):
                if not one.start_ns <= bar.start_ns < one.end_ns:
                    continue
                if one is not before:
                    one.high, one.low = max(one.high, bar.high), min(one.low, bar.low)
                    one.volume += volume
                    one.trades += trades
                if one is not one_series.bar:
                    one.revision += 1
                    self._emit(candle.instrument, one_series.interval_ns, one, "candle", candle.recv_ns, emit)

    @handles(CandleRead)
    def read(self, candle: CandleRead, emit: Emit) -> None:
        """Take the venue's candle of a window as the proof of a bar, or compare it with one."""
        if candle.purpose not in ("repair", "check") or candle.interval_ns not in self._spans_ns:
            return
        if candle.purpose == "repair" and candle.interval_ns == self._base_ns:
            self._reach(candle, emit)
        for series in self._series.get(candle.instrument, ()):
            if series.interval_ns == candle.interval_ns:
                for bar in series.closed:
                    if bar.start_ns == candle.start_ns:
                        self._hold_against(candle, series, bar, emit)

    def _reach(self, candle: CandleRead, emit: Emit) -> None:
        """Close the bars up to a candle's window, its own with the candle's values."""
        instrument = candle.instrument
        bar = self._open.get(instrument)
        if bar is None:
            self._series.setdefault(instrument, series_of(self._spans_ns))
            bar = self._begin(instrument, candle.start_ns, candle.open)
        while bar.end_ns <= candle.start_ns:
            bar = self._close(instrument, bar, "candle", candle.recv_ns, emit)
        if bar.start_ns == candle.start_ns:
            prove(bar, candle)
            bar = self._close(instrument, bar, "candle", candle.recv_ns, emit)
        self._ask(instrument, bar, emit)

    def _hold_against(self, candle: CandleRead, series: Series, bar: OpenBar, emit: Emit) -> None:
        """Compare a closed bar with the candle of its window; an uncertain one becomes that candle."""
        ours = (bar.open, bar.high, bar.low, bar.close, bar.volume, bar.trades)
        theirs = (candle.open, candle.high, candle.low, candle.close, int(candle.volume), candle.trades)
        uncertain = bar.incomplete or bar.doubtful
        if ours == theirs and not uncertain:
            return
        if candle.purpose == "repair" or uncertain:
            prove(bar, candle)
            bar.revision += 1
            self._emit(candle.instrument, series.interval_ns, bar, "candle", candle.recv_ns, emit)
            if series.interval_ns == self._base_ns:
                self._outdate(candle, emit)
            return
        emit(
            BarDiffers(
                candle.recv_ns,
                candle.instrument,
                candle.interval_ns,
                candle.start_ns,
                *ours[:4],
                wide(bar.volume),
                bar.trades,
                *theirs[:4],
                candle.volume,
                candle.trades,
            )
        )

    def _outdate(self, candle: CandleRead, emit: Emit) -> None:
        """Mark the longer bars that were made with what a short bar was before its candle came."""
        for series in self._series[candle.instrument][1:]:
            for bar in (*series.closed, series.bar):
                if not bar.start_ns <= candle.start_ns < bar.merged_ns or bar.proved or bar.incomplete:
                    continue
                bar.incomplete = True
                if bar is not series.bar:
                    bar.revision += 1
                    self._emit(candle.instrument, series.interval_ns, bar, "gap", candle.recv_ns, emit)

    @handles(FeedPolling)
    def poll(self, polling: FeedPolling, emit: Emit) -> None:
        """While candles are polled, a bar waits for its own longer than for a late print."""
        self._polling = polling.active

    @handles(TimerFired)
    def close_due(self, timer: TimerFired, emit: Emit) -> None:
        """Close an instrument's bars whose end is `grace_ms` ago, silent windows too, and go on waiting."""
        instrument = int(timer.key)
        bar = self._open.get(instrument)
        if bar is None:
            return
        while bar.end_ns + self._patience_ns() <= timer.at_ns:
            bar = self._close(instrument, bar, "timer", timer.at_ns, emit)
        self._ask(instrument, bar, emit)

    @handles(SessionStarted, FeedDown)
    def doubt(self, event: SessionStarted | FeedDown, emit: Emit) -> None:
        """From here until the feed is up, prints may be missing."""
        if isinstance(event, FeedDown) or self._open:
            self._blind = True
            for series in self._series.values():
                for one in series:
                    one.bar.doubtful = True
            for bar in self._open.values():
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
        if not gap.closed:
            self._holes[gap.instrument] = max(self._holes.get(gap.instrument, 0), gap.to_ns)
        for series in self._series.get(gap.instrument, ()):
            for bar, is_open in self._touched(gap, series):
                before = bar.incomplete or bar.doubtful
                bar.doubtful = False
                bar.incomplete = bar.incomplete or not (gap.closed or bar.proved)
                if not is_open and before != bar.incomplete:
                    bar.revision += 1
                    self._emit(gap.instrument, series.interval_ns, bar, "gap", gap.recv_ns, emit)

    @handles(SessionStopped)
    def mark_prices(self, stopped: SessionStopped, emit: Emit) -> None:
        """Tell the last price of each instrument, so that the account can be valued to the last print."""
        for instrument in sorted(self._series):
            bar = self._open.get(instrument) or self._series[instrument][0].closed[-1]
            emit(PriceMarked(stopped.recv_ns, instrument, bar.close))

    def _give_up(self, now_ns: int, emit: Emit) -> None:
        """Publish the open bars of a session that ended long ago: the time between is no silent market."""
        for instrument in sorted(self._open):
            bar = self._open[instrument]
            if bar.end_ns + INTERRUPTION_NS_MAX < now_ns:
                bar.incomplete = True
                self._close(instrument, bar, "timer", now_ns, emit)
                del self._open[instrument]

    def _roll(self, trade: Trade, bar: OpenBar | None, emit: Emit) -> OpenBar | None:
        """Return the bar that a print opens, after closing all bars before it; None for an absurd time."""
        venue_ns = trade.venue_ns
        if abs(venue_ns - trade.recv_ns) > DAY_NS:
            self._absurd += 1
            return None
        start_ns = venue_ns - venue_ns % self._base_ns
        price = trade.price
        if bar is None:
            bar = OpenBar(start_ns, start_ns + self._base_ns, 0, price, price, price, price)
            bar.incomplete = venue_ns != start_ns
            self._open[trade.instrument] = bar
            if trade.instrument not in self._series:
                self._series[trade.instrument] = series_of(self._spans_ns)
        while bar.end_ns <= venue_ns:
            bar = self._close(trade.instrument, bar, "trade", trade.recv_ns, emit)
        if not bar.trades:
            bar.open = bar.high = bar.low = price
        bar.until_ns = bar.end_ns
        self._ask(trade.instrument, bar, emit)
        return bar

    def _close(self, instrument: int, bar: OpenBar, closed_by: str, at_ns: int, emit: Emit) -> OpenBar:
        """Publish a bar, merge it into the longer ones, and return the next open bar, flat at its close."""
        base, *longer = self._series[instrument]
        self._publish(instrument, base, bar, closed_by, at_ns, emit)
        for series in longer:
            self._merge(instrument, series, bar, closed_by, at_ns, emit)
        return self._begin(instrument, bar.end_ns, bar.close)

    def _begin(self, instrument: int, start_ns: int, price: int) -> OpenBar:
        """Open a bar that is flat at a price until it has a print."""
        fresh = OpenBar(
            start_ns,
            start_ns + self._base_ns,
            start_ns,
            price,
            price,
            price,
            price,
            incomplete=start_ns <= self._holes.get(instrument, 0),
            doubtful=self._blind,
        )
        self._open[instrument] = fresh
        return fresh

    def _merge(
        self, instrument: int, series: Series, part: OpenBar, closed_by: str, at_ns: int, emit: Emit
    ) -> None:
        """Add a closed short bar to a longer one; publish the longer one with its last part."""
        span = series.interval_ns
        whole = series.bar
        if part.start_ns >= whole.end_ns:
            self._end_overdue(instrument, series, part.start_ns, closed_by, at_ns, emit)
            start_ns = part.start_ns - part.start_ns % span
            whole = OpenBar(start_ns, start_ns + span, 0, part.open, part.high, part.low, part.close)
            whole.incomplete = part.start_ns != start_ns
            series.bar = whole
        elif part.start_ns != whole.merged_ns:
            whole.incomplete = True
        if part.trades or part.volume:
            if not (whole.trades or whole.volume):
                whole.open, whole.high, whole.low = part.open, part.high, part.low
            whole.high = max(whole.high, part.high)
            whole.low = min(whole.low, part.low)
            whole.close = part.close
        whole.volume += part.volume
        whole.trades += part.trades
        whole.incomplete = whole.incomplete or part.incomplete
        whole.doubtful = whole.doubtful or part.doubtful
        whole.merged_ns = part.end_ns
        if part.end_ns >= whole.end_ns:
            self._publish(instrument, series, whole, closed_by, at_ns, emit)
            series.bar = no_bar()

    def _end_overdue(
        self, instrument: int, series: Series, next_ns: int, closed_by: str, at_ns: int, emit: Emit
    ) -> None:
        """Publish a longer bar whose last parts will not come, since what comes next begins after it."""
        whole = series.bar
        if whole.merged_ns < whole.end_ns <= next_ns:
            whole.incomplete = True
            self._publish(instrument, series, whole, closed_by, at_ns, emit)
            series.bar = no_bar()

    def _correct(self, trade: Trade, emit: Emit) -> None:
        """Add a late print to the closed bars it belongs to, and publish each again.

        A print that is late only because a timer closed its bar before it came is still the last one seen: it
        is the close of its bars, and silent windows after it are flat at its price.
        """
        instrument, venue_ns = trade.instrument, trade.venue_ns
        everything = self._series[instrument]
        open_bar = self._open[instrument]
        kept = everything[0].closed
        if any(bar.proved and bar.start_ns <= venue_ns < bar.end_ns for bar in kept):
            return  # the venue's candle has it
        last = (
            not open_bar.trades
            and bool(kept)
            and kept[0].start_ns <= venue_ns
            and not any(bar.trades for bar in kept if bar.start_ns > venue_ns)
        )
        if last:
            flatten(open_bar, trade.price)
        found = False
        for series in everything:
            for bar in series.closed:
                if bar.start_ns <= venue_ns < bar.end_ns:
                    found = True
                    if bar.proved:
                        continue
                    add_late(bar, trade, last)
                elif not last or bar.end_ns <= venue_ns or not flatten(bar, trade.price):
                    continue
                bar.revision += 1
                self._emit(instrument, series.interval_ns, bar, "trade", trade.recv_ns, emit)
            if series.bar.start_ns <= venue_ns < series.bar.end_ns:
                add_late(series.bar, trade, last)
            elif last and series.bar.start_ns > venue_ns:
                flatten(series.bar, trade.price)
        self._too_late += not found

    def _touched(self, gap: FeedGap, series: Series) -> Iterator[tuple[OpenBar, bool]]:
        """Yield (bar, is open) for the bars of a series that a gap overlaps, oldest first."""
        base_open = self._open.get(gap.instrument)
        last = series.bar if series.interval_ns != self._base_ns or base_open is None else base_open
        for bar in series.closed:
            if bar.end_ns > gap.from_ns and bar.start_ns <= gap.to_ns:
                yield bar, False
        if last.end_ns > gap.from_ns and last.start_ns <= gap.to_ns:
            yield last, True
        elif not self._blind:
            last.doubtful = False

    def _publish(
        self, instrument: int, series: Series, bar: OpenBar, closed_by: str, at_ns: int, emit: Emit
    ) -> None:
        """Emit a bar that has just closed, and keep it for corrections."""
        bar.doubtful = not bar.proved and (bar.doubtful or self._blind)
        self._emit(instrument, series.interval_ns, bar, closed_by, at_ns, emit)
        series.closed.append(bar)
        if len(series.closed) > REVISABLE_BARS_MAX:
            del series.closed[0]

    def _emit(
        self, instrument: int, interval_ns: int, bar: OpenBar, closed_by: str, at_ns: int, emit: Emit
    ) -> None:
        emit(
            BarClosed(
                at_ns,
                instrument,
                interval_ns,
                bar.start_ns,
                bar.open,
                bar.high,
                bar.low,
                bar.close,
                wide(bar.volume),
                bar.trades,
                closed_by,
                bar.revision,
                bar.incomplete or bar.doubtful,
            )
        )

    def _ask(self, instrument: int, bar: OpenBar, emit: Emit) -> None:
        """Ask to be woken when a bar is to be closed. Its first print asks anew, and so is the cause."""
        emit(SetTimer(self.name, bar.end_ns + self._patience_ns(), str(instrument)))

    def _patience_ns(self) -> int:
        return self._grace_ns + (POLL_GRACE_NS if self._polling else 0)
