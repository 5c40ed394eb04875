"""Footprints: what was bought and sold at each price level of each bar, delta and cumulative delta.

Trades are summed by the window of their venue time. A footprint is emitted when its bar closes, and again
when the bar is corrected. So bought, sold and unsided over the levels of a footprint always add up to the
volume of its bar, if the bar is built from trades. Cumulative deltas restart each UTC day. Closed windows
are kept as long as their bars can still be corrected.
"""

from __future__ import annotations

from engine.actors.bars import count_side, is_implausible
from engine.actors.base import Actor, Emit, State, handles
from engine.actors.closing import REVISABLE_BARS_MAX
from engine.actors.flow.levels import Cell, level_of, width_of
from engine.clock import DAY_NS, window_start
from engine.config import FlowConfig
from engine.events import BarClosed, BarCorrected, FootprintClosed, Trade
from engine.values import InstrumentId, Price, Size, parse_interval, wide

__all__ = ["Footprints"]

WINDOWS_MAX = REVISABLE_BARS_MAX + 5
"""Upper bound on windows kept: those whose bars can still be corrected, and those not closed yet."""


class Window(State):
    """The levels of one window. `told` is the last delta emitted."""

    cells: dict[Price, Cell]
    told: Size = 0


class Flow(State):
    """One instrument: width of its levels, windows by interval and start, deltas by interval and day."""

    width: Price
    windows: dict[int, dict[int, Window]]
    deltas: dict[int, dict[int, Size]]


class Footprints(Actor):
    """State: per instrument, the windows that are open or can still be corrected."""

    WIRING = Actor.WIRING | {"_spans_ns", "_level"}
    _flows: dict[InstrumentId, Flow]

    def __init__(self, config: FlowConfig) -> None:
        super().__init__("footprints")
        self._spans_ns = sorted(parse_interval(name) for name in config.footprint)
        self._level = config.level
        self._flows = {}

    @handles(Trade)
    def add(self, trade: Trade, emit: Emit) -> None:
        """Add a trade to its level in its window of each interval, unless its time is implausible."""
        if is_implausible(trade):
            return
        flow = self._flows.get(trade.instrument)
        if flow is None:
            width = width_of(self.instruments[trade.instrument], self._level, trade.price)
            spans = self._spans_ns
            flow = Flow(width, {span: {} for span in spans}, {span: {} for span in spans})
            self._flows[trade.instrument] = flow
        for span, windows in flow.windows.items():
            start_ns = window_start(span, trade.venue_ns)
            window = windows.get(start_ns)
            if window is None:
                if len(windows) >= WINDOWS_MAX and start_ns < min(windows):
                    continue  # too late for its bar to be corrected
                window = windows[start_ns] = Window({})
                if len(windows) > WINDOWS_MAX:
                    del windows[min(windows)]
            level = level_of(window.cells, trade.price, flow.width)
            cell = window.cells.get(level)
            if cell is None:
                cell = window.cells[level] = Cell()
            count_side(cell, trade)

    @handles(BarClosed, BarCorrected)
    def close(self, bar: BarClosed, emit: Emit) -> None:
        """Emit the footprint of a bar that was closed or corrected. A window without trades has none."""
        flow = self._flows.get(bar.instrument)
        if flow is None or bar.source != "trades":
            return
        window = flow.windows.get(bar.interval_ns, {}).get(bar.start_ns)
        if window is None:
            return
        delta = sum(cell.bought - cell.sold for cell in window.cells.values())
        day = bar.start_ns // DAY_NS
        days = flow.deltas[bar.interval_ns]
        days[day] = days.get(day, 0) + delta - window.told
        window.told = delta
        if len(days) > 2:
            del days[min(days)]
        levels = tuple(
            (price, wide(cell.bought), wide(cell.sold), wide(cell.unsided))
            for price, cell in sorted(window.cells.items())
        )
        emit(
            FootprintClosed(
                bar.at_ns,
                bar.instrument,
                bar.interval_ns,
                bar.start_ns,
                flow.width,
                levels,
                wide(delta),
                wide(days.get(day, delta)),
                bar.revision,
            )
        )
