"""Collects what the charts of a page show while records are read: candles, stops and plotted numbers.

Reads frames in journal order (`append`), of a running backtest or of recorded days. Promises: what is kept is
bounded whatever the length of the run. At most `CANDLES_MAX` candles an instrument: when there would be more,
they are joined to longer ones, up to days. Prices stay exact integers. Called by the command line, which
passes it to `replay.backtest` or to the reading of days.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Callable
from typing import Any, Final

from engine.clock import DAY_NS
from engine.events import (
    BarClosed,
    BarCorrected,
    DayOpened,
    Event,
    InstrumentListed,
    SignalRaised,
    StopChanged,
    TrailChanged,
)
from engine.events.codec import Derived, in_order
from engine.instruments import Instruments
from engine.values import power_of_ten

__all__ = ["CANDLES_MAX", "Candles", "Charting", "Steps"]

CANDLES_MAX: Final = 20_000
_LINES_MAX: Final = 12
"""Plotted names, and lines of stops, that are kept of an instrument."""

_SECOND_NS: Final = 1_000_000_000
_JOINED: Final = tuple(
    seconds * _SECOND_NS for seconds in (1, 5, 15, 30, 60, 180, 900, 1800, 3600, 14_400, 43_200, 86_400)
)  # fmt: skip
"""Intervals that candles are joined to. Each is a multiple of the one before."""

_Row = tuple[int, int, int, int, float]

_HELD: Final = ("waiting", "armed", "parked")
"""States of a stop with a price that is in force."""


class Candles:
    """Candles at one interval: (open, high, low, close, volume), prices as integers at `scale`.

    `gaps` are the starts of incomplete ones. `source_ns` is the interval of the bars that they are made of.
    """

    def __init__(self, interval_ns: int, scale: int) -> None:
        self.source_ns = self.interval_ns = interval_ns
        self.scale = scale
        self.starts: list[int] = []
        self.rows: list[_Row] = []
        self.gaps: set[int] = set()

    def add(self, start_ns: int, row: _Row, *, gap: bool) -> None:
        """Add a bar of the source, in order of time."""
        start = start_ns - start_ns % self.interval_ns
        if self.starts and start == self.starts[-1]:
            self.rows[-1] = _joined(self.rows[-1], row)
        else:
            self.starts.append(start)
            self.rows.append(row)
        if gap:
            self.gaps.add(start)
        while len(self.starts) > CANDLES_MAX and self.interval_ns < DAY_NS:
            self._join()

    def correct(self, start_ns: int, row: _Row, *, gap: bool) -> None:
        """Replace a bar. One that was joined to others can only widen them."""
        start = start_ns - start_ns % self.interval_ns
        at = bisect_left(self.starts, start)
        if at == len(self.starts) or self.starts[at] != start:
            self.starts.insert(at, start)
            self.rows.insert(at, row)
        elif self.interval_ns == self.source_ns:
            self.rows[at] = row
            (self.gaps.add if gap else self.gaps.discard)(start)
        else:
            old = self.rows[at]
            self.rows[at] = (old[0], max(old[1], row[1]), min(old[2], row[2]), old[3], old[4])

    def refine(self, scale: int) -> None:
        """Move the prices to a finer scale."""
        factor = power_of_ten(scale - self.scale)
        self.scale = scale
        self.rows = [
            (one[0] * factor, one[1] * factor, one[2] * factor, one[3] * factor, one[4]) for one in self.rows
        ]

    def _join(self) -> None:
        self.interval_ns = next(
            one for one in _JOINED if one > self.interval_ns and not one % self.interval_ns
        )
        starts, rows = self.starts, self.rows
        self.starts, self.rows = [], []
        self.gaps = {one - one % self.interval_ns for one in self.gaps}
        for start_ns, row in zip(starts, rows, strict=True):
            start = start_ns - start_ns % self.interval_ns
            if self.starts and self.starts[-1] == start:
                self.rows[-1] = _joined(self.rows[-1], row)
            else:
                self.starts.append(start)
                self.rows.append(row)


def _joined(one: _Row, other: _Row) -> _Row:
    return one[0], max(one[1], other[1]), min(one[2], other[2]), other[3], one[4] + other[4]


class Steps:
    """A number over time, the newest value of each interval of the candles."""

    def __init__(self) -> None:
        self.times = array("q")
        self.values = array("d")
        self._interval_ns = 1

    def add(self, at_ns: int, value: float) -> None:
        """Add a value; NaN ends what was drawn until then."""
        if self.times and self.times[-1] // self._interval_ns == at_ns // self._interval_ns:
            self.values[-1] = value
            return
        self.times.append(at_ns)
        self.values.append(value)
        if len(self.times) > 2 * CANDLES_MAX:
            self._interval_ns = next(
                (one for one in _JOINED if one > self._interval_ns), self._interval_ns * 2
            )
            self.times, self.values = self._thinned(self._interval_ns)

    def at(self, interval_ns: int) -> list[tuple[int, float]]:
        """Return (start of the interval, newest value in it)."""
        return [
            (at_ns - at_ns % interval_ns, value)
            for at_ns, value in zip(*self._thinned(interval_ns), strict=True)
        ]

    def _thinned(self, interval_ns: int) -> tuple[array[int], array[float]]:
        times, values = array("q"), array("d")
        for at_ns, value in zip(self.times, self.values, strict=True):
            if times and times[-1] // interval_ns == at_ns // interval_ns:
                values[-1] = value
            else:
                times.append(at_ns)
                values.append(value)
        return times, values


class Charting:
    """State: by number of the instrument, its candles, stops and plots; `lines_left` are those not kept."""

    def __init__(self) -> None:
        self.instruments = Instruments()
        self.candles: dict[int, Candles] = {}
        self.stops: dict[int, dict[tuple[str, str], Steps]] = {}
        self.plots: dict[int, dict[tuple[str, str], Steps]] = {}
        self.lines_left: set[tuple[int, str, str]] = set()
        self._held: dict[tuple[int, str, str], dict[str, float]] = {}
        handlers: dict[type[Event], Callable[[int, Any], None]] = {
            InstrumentListed: self._listed,
            DayOpened: self._day,
            BarClosed: self._bar,
            BarCorrected: self._corrected,
            StopChanged: self._stop,
            TrailChanged: self._trail,
            SignalRaised: self._signal,
        }
        self._handlers = handlers

    def append(self, first_seq: int, inputs: list[Event], derived: list[Derived]) -> None:
        """Read a frame. Only a listing among the inputs matters, so the others are not put in order."""
        handlers = self._handlers
        records = (
            in_order(first_seq, inputs, derived)
            if any(one.__class__ is InstrumentListed for one in inputs)
            else derived
        )
        for seq, _, event in records:
            handler = handlers.get(event.__class__)
            if handler is not None:
                handler(seq, event)

    def _listed(self, _seq: int, listed: InstrumentListed) -> None:
        self.instruments[listed.instrument] = listed
        known = self.candles.get(listed.instrument)
        if known is not None and listed.price_scale > known.scale:
            known.refine(listed.price_scale)

    def _day(self, _seq: int, opened: DayOpened) -> None:
        for listed in opened.instruments:
            self.instruments.setdefault(listed.instrument, listed)

    def _bar(self, _seq: int, bar: BarClosed) -> None:
        found = self._candles_of(bar)
        if found is None:
            return
        start = bar.start_ns - bar.start_ns % found.interval_ns
        add = found.correct if found.starts and start < found.starts[-1] else found.add
        add(bar.start_ns, self._row(bar), gap=bar.incomplete)

    def _corrected(self, _seq: int, bar: BarCorrected) -> None:
        found = self._candles_of(bar)
        if found is not None:
            found.correct(bar.start_ns, self._row(bar), gap=bar.incomplete)

    def _candles_of(self, bar: BarClosed) -> Candles | None:
        """Return the candles that a bar belongs to: those of the shortest interval of its instrument."""
        found = self.candles.get(bar.instrument)
        if found is None or bar.interval_ns < found.source_ns:
            scale = self.instruments[bar.instrument].price_scale
            found = self.candles[bar.instrument] = Candles(bar.interval_ns, scale)
        return found if bar.interval_ns == found.source_ns else None

    def _row(self, bar: BarClosed) -> _Row:
        listed = self.instruments[bar.instrument]
        volume = int(bar.volume) / power_of_ten(listed.size_scale)
        return bar.open, bar.high, bar.low, bar.close, volume

    def _stop(self, _seq: int, stop: StopChanged) -> None:
        kind = "take-profit" if stop.kind == "tp" else "stop"
        price = stop.trigger_price if stop.state in _HELD else None
        self._hold(stop, kind, stop.handle, price)

    def _trail(self, _seq: int, trail: TrailChanged) -> None:
        price = trail.stop if trail.state in ("armed", "parked") and trail.stop else None
        self._hold(trail, "trailing stop", "", price)

    def _hold(self, event: StopChanged | TrailChanged, kind: str, handle: str, price: int | None) -> None:
        """Draw the newest price of the stops of one kind that a strategy has."""
        number = event.instrument
        steps = self._line(self.stops, number, event.strategy, kind)
        if steps is None:
            return
        held = self._held.setdefault((number, event.strategy, kind), {})
        held.pop(handle, None)
        if price is not None:
            held[handle] = price / power_of_ten(self.instruments[number].price_scale)
        value = next(reversed(held.values())) if held else float("nan")
        if held or steps.times:
            steps.add(event.at_ns, value)

    def _signal(self, _seq: int, signal: SignalRaised) -> None:
        steps = self._line(self.plots, signal.instrument, signal.strategy, signal.name)
        if steps is not None:
            steps.add(signal.at_ns, signal.value)

    def _line(
        self, kept: dict[int, dict[tuple[str, str], Steps]], number: int, strategy: str, name: str
    ) -> Steps | None:
        if number not in self.instruments:
            return None
        lines = kept.setdefault(number, {})
        if (strategy, name) not in lines and len(lines) >= _LINES_MAX:
            self.lines_left.add((number, strategy, name))
            return None
        return lines.setdefault((strategy, name), Steps())
