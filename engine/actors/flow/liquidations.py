"""Levels of liquidations: what was closed by force at each price level of each window, which is a heat map.

A liquidation belongs to the window of its venue time. A window closes `FLOW_GRACE_NS` after its end by the
engine's clock; a liquidation that comes later corrects it, with another revision, while the window is kept.
The revision follows a second after the first late one, so that what comes late in bulk corrects a window
once; the wait for each further revision is twice as long.
Windows without liquidations have no event. `ForcedWindow` adds up for `engine bars --kind` too.
"""

from __future__ import annotations

from engine.actors.bars import is_implausible
from engine.actors.base import Actor, Emit, SetTimer, State, handles
from engine.actors.flow.footprint import WINDOWS_MAX
from engine.actors.flow.levels import level_of, width_of
from engine.actors.flow.profile import FLOW_GRACE_NS
from engine.clock import window_end, window_start
from engine.config import FlowConfig
from engine.events import LiquidationLevelsClosed, LiquidationRead, TimerFired
from engine.values import SELL, InstrumentId, Price, Size, parse_interval, wide

__all__ = ["DOUBLED_MAX", "Forced", "ForcedLevels", "ForcedWindow", "LiquidationLevels"]

DOUBLED_MAX = 6
"""How often the wait for the next correction of a window is doubled at most."""


class Forced(State):
    """The sizes of longs and of shorts that were closed by force at a level, and by how many liquidations."""

    longs: Size = 0
    shorts: Size = 0
    count: int = 0


class ForcedWindow(State):
    """The levels of one window. `sampled`: there may be more. `revision`: the newest, -1 while open.

    `waits`: a correction is due.
    """

    cells: dict[Price, Forced]
    count: int = 0
    sampled: bool = False
    revision: int = -1
    waits: bool = False

    def add(self, read: LiquidationRead, width: int) -> None:
        """Add a liquidation to its level."""
        level = level_of(self.cells, read.price, width)
        cell = self.cells.get(level)
        if cell is None:
            cell = self.cells[level] = Forced()
        if read.side == SELL:
            cell.longs += read.size
        else:
            cell.shorts += read.size
        cell.count += 1
        self.count += 1
        self.sampled = self.sampled or read.sampled

    @property
    def longs(self) -> int:
        """The size of all longs."""
        return sum(cell.longs for cell in self.cells.values())

    @property
    def shorts(self) -> int:
        """The size of all shorts."""
        return sum(cell.shorts for cell in self.cells.values())


class ForcedLevels(State):
    """One instrument: width of its levels, windows by interval and start."""

    width: Price
    windows: dict[int, dict[int, ForcedWindow]]


class LiquidationLevels(Actor):
    """State: per instrument, the windows that are open or can still be corrected."""

    WIRING = Actor.WIRING | {"_spans_ns", "_level"}
    _levels: dict[InstrumentId, ForcedLevels]

    def __init__(self, config: FlowConfig) -> None:
        super().__init__("liquidation-levels")
        self._spans_ns = sorted(parse_interval(name) for name in config.liquidations or ())
        self._level = config.level
        self._levels = {}

    @handles(LiquidationRead)
    def add(self, read: LiquidationRead, emit: Emit) -> None:
        """Add a liquidation to its window of each interval; a window that has closed is emitted again."""
        if is_implausible(read):
            return
        levels = self._levels.get(read.instrument)
        if levels is None:
            width = width_of(self.instruments[read.instrument], self._level, read.price)
            levels = ForcedLevels(width, {span: {} for span in self._spans_ns})
            self._levels[read.instrument] = levels
        for span, windows in levels.windows.items():
            start_ns = window_start(span, read.venue_ns)
            window = windows.get(start_ns)
            if window is None:
                if len(windows) >= WINDOWS_MAX and start_ns < min(windows):
                    continue  # too late
                window = windows[start_ns] = ForcedWindow({})
                if len(windows) > WINDOWS_MAX:
                    oldest = min(windows)
                    if windows[oldest].waits:
                        self._close(read.recv_ns, read.instrument, span, oldest, emit)
                    del windows[oldest]
                due_ns = window_end(span, start_ns) + FLOW_GRACE_NS
                emit(SetTimer(self.name, due_ns, f"{read.instrument} {span} {start_ns}"))
            window.add(read, levels.width)
            if window.revision >= 0 and not window.waits:
                window.waits = True
                due_ns = read.recv_ns + (FLOW_GRACE_NS << min(window.revision, DOUBLED_MAX))
                emit(SetTimer(self.name, due_ns, f"{read.instrument} {span} {start_ns}"))

    @handles(TimerFired)
    def close(self, timer: TimerFired, emit: Emit) -> None:
        """Close a window whose grace period is over."""
        instrument, span, start_ns = map(int, timer.key.split())
        window = self._levels[instrument].windows[span].get(start_ns)
        if window is not None:
            self._close(timer.at_ns, instrument, span, start_ns, emit)

    def _close(self, at_ns: int, instrument: int, span: int, start_ns: int, emit: Emit) -> None:
        levels = self._levels[instrument]
        window = levels.windows[span][start_ns]
        window.revision += 1
        window.waits = False
        emit(
            LiquidationLevelsClosed(
                at_ns,
                instrument,
                span,
                start_ns,
                levels.width,
                tuple(
                    (price, wide(cell.longs), wide(cell.shorts))
                    for price, cell in sorted(window.cells.items())
                ),
                wide(window.longs),
                wide(window.shorts),
                window.count,
                window.sampled,
                window.revision,
            )
        )
