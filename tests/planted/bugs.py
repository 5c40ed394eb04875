"""Aggregators with one planted bug each, which the properties of bars have to detect."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unittest.mock import patch

from engine.actors import Aggregator
from engine.actors.bars import Market, OpenBar, Series
from engine.actors.base import Emit, handles
from engine.actors.closing import End
from engine.events import TimerFired, Trade

__all__ = ["BUGS"]


class LosesLateTrades(Aggregator):
    """Drops a late trade that is still within the grace period."""

    def _add_late(self, trade: Trade, open_bar: OpenBar, emit: Emit) -> None:
        if window_is_closed(self, trade):
            super()._add_late(trade, open_bar, emit)


def window_is_closed(aggregator: Aggregator, trade: Trade) -> bool:
    return trade.venue_ns < aggregator._markets[trade.instrument].done_ns


class CountsTwice(Aggregator):
    """Adds a trade that opens a window to the bar before as well."""

    @handles(Trade)
    def add(self, trade: Trade, emit: Emit) -> None:
        before = self._open.get(trade.instrument)
        if before is not None and before.trades and trade.venue_ns >= before.end_ns:
            before.unsided += trade.size
        super().add(trade, emit)


class AlignsToEpoch(Aggregator):
    """Aligns weeks and months to the epoch like days."""

    def _merge(self, series: Series, part: OpenBar, end: End) -> None:
        with patch("engine.actors.closing.window_start", from_epoch):
            super()._merge(series, part, end)


def from_epoch(span: int, time_ns: int) -> int:
    return time_ns - time_ns % span


class SkipsEmptyWindows(Aggregator):
    """Leaves out a window without trades after another one, even if the venue has candles for it."""

    def _end(self, instrument: int, market: Market, bar: OpenBar) -> OpenBar:
        closed = market.series[0].closed
        if closed and not closed[-1].trades and not bar.trades:
            return self._begin(instrument, bar.end_ns, bar.close)
        return super()._end(instrument, market, bar)


class ClosesTwice(Aggregator):
    """Publishes the open bar on a timer and keeps it open."""

    @handles(TimerFired)
    def close_due(self, timer: TimerFired, emit: Emit) -> None:
        bar = self._open.get(int(timer.key.partition(" ")[0]))
        if bar is not None and bar.trades > 2:
            market = self._markets[int(timer.key.partition(" ")[0])]
            self._publish(market.series[0], bar, End(1, market, "timer", timer.at_ns, emit))
        super().close_due(timer, emit)


class KeepsOldHigh(Aggregator):
    """Opens a bar with the high of the bar before."""

    def _begin(self, instrument: int, start_ns: int, price: int) -> OpenBar:
        before = self._open.get(instrument)
        fresh = super()._begin(instrument, start_ns, price)
        fresh.high = price if before is None else max(price, before.high)
        return fresh


class ByArrival(Aggregator):
    """Uses the last trade to arrive as the close, not the last one executed."""

    @handles(Trade)
    def add(self, trade: Trade, emit: Emit) -> None:
        super().add(trade, emit)
        bar = self._open.get(trade.instrument)
        if bar is not None and bar.start_ns <= trade.venue_ns < bar.end_ns:
            bar.close = trade.price


class IgnoresIds(Aggregator):
    """Orders trades with equal time stamps by arrival, even if ids give their order."""

    def _market(self, instrument: int, spans_ns: list[int] | None = None) -> Market:
        market = super()._market(instrument, spans_ns)
        market.by_id = False
        return market


class MergesFlat(Aggregator):
    """Uses the open of the first part for a longer bar, even if that part has no trades."""

    def _merge(self, series: Series, part: OpenBar, end: End) -> None:
        super()._merge(series, part, end)
        if part.start_ns == series.bar.start_ns and not part.trades:
            series.bar.trades += 1


class CountsCalls(Aggregator):
    """Depends on the number of calls in the process, which is not in the journal."""

    calls = 0

    @handles(Trade)
    def add(self, trade: Trade, emit: Emit) -> None:
        type(self).calls += 1
        super().add(trade, emit)
        if type(self).calls % 7 == 0:
            self._open[trade.instrument].unsided += 1


class ClosesEarly(Aggregator):
    """Ignores the grace period."""

    def _wait_ns(self) -> int:
        return 0


class ForgetsWaitingBars(Aggregator):
    """Leaves the waiting bars out of the state."""

    WIRING = Aggregator.WIRING | {"_kept"}

    def state(self) -> dict[str, Any]:
        state = super().state()
        for market in state["_markets"].values():
            market.waiting.clear()
        return state


class FlattensNothing(Aggregator):
    """Does not apply a corrected close to the windows without trades after it."""

    def _correct(self, trade: Trade, market: Market, open_bar: OpenBar, emit: Emit) -> None:
        with patch("engine.actors.aggregator.flatten", return_value=False):
            super()._correct(trade, market, open_bar, emit)


class TimersAreEarlier(Aggregator):
    """Closes the open bar on a timer before its end."""

    @handles(TimerFired)
    def close_due(self, timer: TimerFired, emit: Emit) -> None:
        later = TimerFired(timer.at_ns + self._base_ns, timer.actor, timer.key)
        super().close_due(later, emit)


def remembers_little() -> Any:
    """Lets the feed remember only the newest trade."""
    return patch("tests.actors.bar_properties.MEMORY", 1)


BUGS: dict[str, list[type[Aggregator] | Callable[[], Any]]] = {
    "conservation": [LosesLateTrades, CountsTwice],
    "alignment": [AlignsToEpoch],
    "windows": [SkipsEmptyWindows, ClosesTwice],
    "bounds": [KeepsOldHigh],
    "order": [ByArrival],
    "sequence": [IgnoresIds],
    "merging": [MergesFlat],
    "batching": [CountsCalls],
    "arrival": [LosesLateTrades, ClosesEarly, ByArrival],
    "corrections": [FlattensNothing],
    "duplicates": [remembers_little],
    "restart": [ForgetsWaitingBars],
    "replay": [CountsCalls],
    "closing": [TimersAreEarlier],
}
"""By the property that has to detect them."""
