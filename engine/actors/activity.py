"""Bars by traded amount instead of time: ticks, volume, value, imbalance. Off unless configured.

Each kind has a measure that every trade adds to. The trade that brings the measure to its threshold closes
the bar and is part of it. A trade is never split, so a bar may hold more than the threshold. `tick` counts
trades, `volume` sums base units, `value` sums price * size, `imbalance` is the difference between what
takers bought and sold, in base units; trades without a side do not change it. Thresholds are fixed. Lopez
de Prado's imbalance bars (Advances in Financial Machine Learning, 2.3.2) use one that adapts.

Trades are added in order of arrival, and a closed bar is not corrected: it is not known whether earlier
trades are still to come. A bar is incomplete if a feed gap, a lost connection or a start falls into it.
"""

from __future__ import annotations

from engine.actors.bars import BEGUN_INSIDE, DOWN, GAP
from engine.actors.base import Actor, Emit, State, handles
from engine.config import MONEY_TEXT_SCALE, ActivityKind
from engine.events import (
    ActivityBarClosed,
    ClockJumped,
    FeedDamaged,
    FeedDown,
    FeedGap,
    InstrumentListed,
    SessionStarted,
    Trade,
)
from engine.instruments import is_among, of_feed
from engine.values import InstrumentId, Price, Size, Value, parse_scaled, power_of_ten, wide

__all__ = ["ActivityBars"]


class Measured(State):
    """An open bar. `level` is the current value of its measure; the bar closes at `threshold`.

    Both are at the scale of the measure.
    """

    kind: str
    measure: str
    threshold: int
    number: int = 0
    level: int = 0
    start_ns: int = 0
    open: Price = 0
    high: Price = 0
    low: Price = 0
    volume: Size = 0
    trades: int = 0
    quote: Value = 0
    buys: Size = 0
    sells: Size = 0
    first_id: int | str = 0
    because: str = BEGUN_INSIDE


class ActivityBars(Actor):
    """State: per instrument, the open bar of each kind."""

    WIRING = Actor.WIRING | {"_kinds"}
    _open: dict[InstrumentId, list[Measured]]

    def __init__(self, kinds: tuple[ActivityKind, ...]) -> None:
        super().__init__("activity")
        self._kinds = kinds
        self._open = {}
        self._doubted: dict[int, None] = {}  # instruments whose trades are in doubt until a gap settles it

    @handles(Trade)
    def add(self, trade: Trade, emit: Emit) -> None:
        """Add a trade to the open bar of each kind, and close the bars that reach their threshold."""
        price, size = trade.price, trade.size
        bars = self._open.get(trade.instrument)
        if bars is None:
            bars = self._open[trade.instrument] = self._begin(self.instruments[trade.instrument])
        for bar in bars:
            if not bar.trades:
                bar.start_ns, bar.first_id = trade.venue_ns, trade.trade_id
                bar.open = bar.high = bar.low = price
            bar.high = max(bar.high, price)
            bar.low = min(bar.low, price)
            bar.trades += 1
            bar.volume += size
            bar.quote += price * size
            if trade.aggressor > 0:
                bar.buys += size
            elif trade.aggressor < 0:
                bar.sells += size
            bar.level = _level(bar)
            if bar.level >= bar.threshold:
                emit(_event(bar, trade))
                _begin_again(bar)
                bar.because = DOWN if trade.instrument in self._doubted else ""

    def _begin(self, listed: InstrumentListed) -> list[Measured]:
        return [
            Measured(kind.name, kind.measure, _threshold(kind, listed))
            for kind in self._kinds
            if not kind.instrument or is_among(listed, (kind.instrument,))
        ]

    def rescale(self, before: InstrumentListed, listed: InstrumentListed) -> None:
        """See `Actor.rescale`. Thresholds are those of the configuration at the new scales."""
        super().rescale(before, listed)
        kinds = {kind.name: kind for kind in self._kinds}
        for bar in self._open.get(listed.instrument, ()):
            bar.threshold = _threshold(kinds[bar.kind], listed)
            bar.level = _level(bar)

    @handles(FeedDown, ClockJumped, SessionStarted)
    def note_feed_down(self, event: FeedDown | ClockJumped | SessionStarted, emit: Emit) -> None:
        """Mark the open bars: trades may be missing from now on, until a `FeedGap` shows that none are."""
        if isinstance(event, SessionStarted):
            self._doubted.clear()
        if isinstance(event, ClockJumped) and not event.ahead:
            return
        numbers = of_feed(event.feed, self.instruments) if isinstance(event, FeedDown) else None
        for instrument in self._open if numbers is None else numbers:
            self._doubt(instrument)

    @handles(FeedDamaged)
    def note_damage(self, damaged: FeedDamaged, emit: Emit) -> None:
        """Mark the open bars of the instrument if trades may be missing."""
        if damaged.in_doubt:
            self._doubted[damaged.instrument] = None
            self._doubt(damaged.instrument)

    def _doubt(self, instrument: int) -> None:
        for bar in self._open.get(instrument, ()):
            bar.because = bar.because or DOWN

    @handles(FeedGap)
    def settle_gap(self, gap: FeedGap, emit: Emit) -> None:
        """Clear the mark of an instrument's open bars, or keep them incomplete if the gap is not closed."""
        self._doubted.pop(gap.instrument, None)
        for bar in self._open.get(gap.instrument, ()):
            if not gap.closed:
                bar.because = bar.because if bar.because == BEGUN_INSIDE else GAP
            elif bar.because == DOWN:
                bar.because = ""


def _threshold(kind: ActivityKind, listed: InstrumentListed) -> int:
    """Return a threshold at the scale of its measure, rounded up if it is finer."""
    if kind.measure == "tick":
        return parse_scaled(kind.threshold, 0)
    scale = listed.money_scale if kind.measure == "value" else listed.size_scale
    level = parse_scaled(kind.threshold, MONEY_TEXT_SCALE) * power_of_ten(scale)
    return -(-level // power_of_ten(MONEY_TEXT_SCALE))


def _level(bar: Measured) -> int:
    match bar.measure:
        case "tick":
            return bar.trades
        case "volume":
            return bar.volume
        case "value":
            return bar.quote
        case _:
            return abs(bar.buys - bar.sells)


def _event(bar: Measured, last: Trade) -> ActivityBarClosed:
    return ActivityBarClosed(
        last.recv_ns,
        last.instrument,
        bar.kind,
        bar.number,
        bar.start_ns,
        last.venue_ns,
        bar.open,
        bar.high,
        bar.low,
        last.price,
        wide(bar.volume),
        bar.trades,
        bar.because != "",
        bar.because,
        wide(bar.quote),
        wide(bar.buys),
        wide(bar.sells),
        bar.first_id,
        last.trade_id,
    )


def _begin_again(bar: Measured) -> None:
    bar.number += 1
    bar.level = bar.volume = bar.trades = bar.quote = bar.buys = bar.sells = 0
    bar.because = ""
