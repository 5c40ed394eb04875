"""Bars from candles: data that has candles only, and the venue's candles that check bars made from trades.

A `Candle` from a file or another source is a closed bar of its own interval and a part of longer ones. The
venue's candle of a window (`CandleRead`) replaces a bar that is incomplete or doubtful; its `source` is then
"venue". With a complete bar it is only compared. Base class of the aggregator.
"""

from __future__ import annotations

from typing import Any

from engine.actors.bars import GAP, Market, OpenBar, Series, apply_candle, bar_event, flatten
from engine.actors.base import END_OF_CANDLE, Because, Emit, Later, RoutesChanged, SetTimer, handles
from engine.actors.closing import Closing, End
from engine.clock import window_end
from engine.config import BarsConfig
from engine.events import BarDiffers, Candle, CandleRead, Event
from engine.values import wide

__all__ = ["CandleBars"]

CANDLES = "candles"
"""Part of the key of timers that close longer bars built from candles."""


class CandleBars(Closing):
    """Handles `Candle` and `CandleRead`."""

    def __init__(self, config: BarsConfig) -> None:
        super().__init__(config)
        self._too_late = 0

    @handles(Candle)
    def add_candle(self, candle: Candle, emit: Emit) -> None:
        """Emit a candle as a closed bar of its own interval, and merge it into longer bars.

        The bars come after all that happens within the candle: the fills, and what they lead to.
        """
        instrument, span, at_ns = candle.instrument, candle.interval_ns, candle.recv_ns
        bar = _bar_of(candle)
        market = self._markets.get(instrument)
        if market is None:
            longer = [one for one in self._spans_ns if one > span and window_end(one, 0) % span == 0]
            market = self._market(instrument, [span, *longer])
        base = market.series[0]
        if span != base.interval_ns:
            # Only candles of the first interval received are parts of longer bars.
            emit(Later(bar_event(bar, instrument, span, "candle", at_ns), END_OF_CANDLE))
            return
        newest = base.closed[-1] if base.closed else None
        if newest is not None and bar.start_ns <= newest.start_ns:
            self._replace(market, bar, instrument, at_ns, _at_end(emit))
            return
        bars: list[Any] = []
        end = End(instrument, market, "candle", at_ns, bars.append)
        if newest is None or newest.end_ns != bar.start_ns:  # else no longer bar lacks its last parts
            self._finish(bar.start_ns, end)
        self._publish(base, bar, end)
        for item in bars:
            emit(Later(item, END_OF_CANDLE) if isinstance(item, Event) else item)
        if not market.flat:
            self._set_longer_timer(instrument, market, emit)

    def _set_longer_timer(self, instrument: int, market: Market, emit: Emit) -> None:
        """Set a timer for the next end of a longer bar.

        Used if windows without trades have no candles: there may be no later candle to end the bar.
        """
        ends = [series.bar.end_ns for series in market.series[1:] if series.bar.end_ns]
        if ends:
            # A candle that arrives exactly at the end is handled before the timer.
            emit(SetTimer(self.name, min(ends) + max(self._grace_ns, 1), f"{instrument} {CANDLES}"))

    def _close_longer(self, instrument: int, at_ns: int, emit: Emit) -> None:
        """Publish the longer bars whose grace period is over, and set the next timer."""
        market = self._markets[instrument]
        self._finish(at_ns - self._grace_ns, End(instrument, market, "timer", at_ns, emit))
        self._set_longer_timer(instrument, market, emit)

    def _replace(self, market: Market, bar: OpenBar, instrument: int, at_ns: int, emit: Emit) -> None:
        """Apply a repeated candle as a correction of its bar, and of the longer bars it is part of."""
        before = next((one for one in market.series[0].closed if one.start_ns == bar.start_ns), None)
        if before is None:
            self._too_late += 1
            return
        volume, trades = bar.volume - before.volume, bar.trades - before.trades
        before.open, before.high, before.low, before.close = bar.open, bar.high, bar.low, bar.close
        before.unsided, before.trades = bar.unsided, bar.trades
        for series in market.series:
            for one in (*series.closed, series.bar):
                merged_ns = one.merged_ns if one is series.bar else one.end_ns
                if not one.start_ns <= bar.start_ns < merged_ns:
                    continue
                if one is not before:
                    one.high, one.low = max(one.high, bar.high), min(one.low, bar.low)
                    one.unsided += volume
                    one.trades += trades
                if one is not series.bar:
                    self._emit_again(one, instrument, series, "candle", at_ns, emit)

    # The venue's candles of windows with bars made from trades.

    @handles(CandleRead)
    def read(self, candle: CandleRead, emit: Emit) -> None:
        """Replace an uncertain bar by the venue's candle of its window, or compare the two."""
        if candle.purpose not in ("repair", "check") or candle.interval_ns not in self._spans_ns:
            return
        if candle.purpose == "repair" and candle.interval_ns == self._base_ns:
            self._close_with(candle, emit)
        market = self._markets.get(candle.instrument)
        for series in market.series if market is not None else ():
            if series.interval_ns == candle.interval_ns:
                for bar in series.closed:
                    if bar.start_ns == candle.start_ns:
                        self._compare(candle, series, bar, emit)

    def _close_with(self, candle: CandleRead, emit: Emit) -> None:
        """Close the bars up to and including a candle's window, that one with the candle's values."""
        instrument, start_ns = candle.instrument, candle.start_ns
        market = self._market(instrument)
        bar = self._open.get(instrument)
        if bar is None:
            if start_ns < market.done_ns:
                return  # it has no bar: the clock jumped over it
            bar = self._begin(instrument, start_ns, candle.open)
        while bar.end_ns <= start_ns:
            bar = self._end(instrument, market, bar)
        self._close_until(instrument, start_ns, "candle", candle.recv_ns, emit)
        if bar.start_ns == start_ns:
            apply_candle(bar, candle)
            bar = self._end(instrument, market, bar)
        elif market.waiting and market.waiting[0].start_ns == start_ns:
            apply_candle(market.waiting[0], candle)
            self._flatten_after(market, bar, 0)
        self._close_until(instrument, window_end(self._base_ns, start_ns), "candle", candle.recv_ns, emit)
        self._set_timer(instrument, bar, emit)

    def _flatten_after(self, market: Market, open_bar: OpenBar, place: int) -> None:
        """Make the bars without trades after a waiting bar flat at its close."""
        price = market.waiting[place].close
        for bar in (*list(market.waiting)[place + 1 :], open_bar):
            if bar.trades or bar.proved:
                return
            flatten(bar, price)

    def _compare(self, candle: CandleRead, series: Series, bar: OpenBar, emit: Emit) -> None:
        """Compare a closed bar with the candle of its window. An uncertain bar gets the candle's values."""
        ours = (bar.open, bar.high, bar.low, bar.close, bar.volume, bar.trades)
        # A venue that does not count the trades of its candles gives 0 beside a volume.
        trades = candle.trades or (bar.trades if int(candle.volume) else 0)
        theirs = (candle.open, candle.high, candle.low, candle.close, int(candle.volume), trades)
        uncertain = bar.uncertain
        if ours == theirs and not uncertain:
            return
        if candle.purpose == "repair" or uncertain:
            apply_candle(bar, candle)
            self._emit_again(bar, candle.instrument, series, "candle", candle.recv_ns, emit)
            if series.interval_ns == self._base_ns:
                self._mark_outdated(candle, emit)
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

    def _mark_outdated(self, candle: CandleRead, emit: Emit) -> None:
        """Mark the longer bars that include the earlier values of a bar replaced by its candle."""
        for series in self._markets[candle.instrument].series[1:]:
            for bar in (*series.closed, series.bar):
                if not bar.start_ns <= candle.start_ns < bar.merged_ns or bar.proved or bar.because:
                    continue
                bar.because = GAP
                if bar is not series.bar:
                    self._emit_again(bar, candle.instrument, series, "gap", candle.recv_ns, emit)


def _at_end(emit: Emit) -> Emit:
    """Return an `emit` that postpones events to the end of the candle."""

    def postpone(item: Event | Because | Later | SetTimer | RoutesChanged) -> None:
        emit(Later(item, END_OF_CANDLE) if isinstance(item, Event) else item)

    return postpone


def _bar_of(candle: Candle) -> OpenBar:
    end_ns = window_end(candle.interval_ns, candle.start_ns)
    bar = OpenBar(candle.start_ns, end_ns, 0, candle.open, candle.high, candle.low, candle.close)
    bar.unsided, bar.trades, bar.venue = int(candle.volume), candle.trades, True
    return bar
