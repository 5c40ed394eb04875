"""Volume profiles: the volume at each price level of a window, its point of control and its value area.

A window closes `FLOW_GRACE_NS` after its end by the engine's clock, whether or not bars of its interval are
configured. The point of control is the level with the most volume; the lowest of several. The value area
starts at that level and grows by one adjacent level at a time, above or below, whichever has more volume
(above if equal), until it has 70 % of the window's volume. Levels without volume are skipped. Source: the
CBOT's Market Profile, which adds two rows at a time.
"""

from __future__ import annotations

from engine.actors.bars import is_implausible
from engine.actors.base import Actor, Emit, SetTimer, State, handles
from engine.actors.flow.levels import level_of, width_of
from engine.clock import SECOND_NS, window_end, window_start
from engine.config import FlowConfig
from engine.events import ProfileClosed, TimerFired, Trade
from engine.values import InstrumentId, Price, Size, parse_interval, wide

__all__ = ["Profiles", "value_area"]

FLOW_GRACE_NS = SECOND_NS
"""How long a window waits for late trades after its end."""

VALUE_SHARE = (7, 10)
"""The value area's share of the volume, as numerator and denominator."""


class Profile(State):
    """The open windows of one instrument: volumes by level, by interval and start."""

    width: Price
    windows: dict[int, dict[int, dict[Price, Size]]]
    done_ns: dict[int, int]


class Profiles(Actor):
    """State: the open windows per instrument.

    `_late` counts trades that arrived after their window closed.
    """

    WIRING = Actor.WIRING | {"_spans_ns", "_level"}
    _profiles: dict[InstrumentId, Profile]

    def __init__(self, config: FlowConfig) -> None:
        super().__init__("profiles")
        self._spans_ns = sorted(parse_interval(name) for name in config.profile)
        self._level = config.level
        self._profiles = {}
        self._late = 0

    @handles(Trade)
    def add(self, trade: Trade, emit: Emit) -> None:
        """Add a trade to its level in its window of each interval, unless its time is implausible."""
        if is_implausible(trade):
            return
        profile = self._profiles.get(trade.instrument)
        if profile is None:
            width = width_of(self.instruments[trade.instrument], self._level, trade.price)
            spans = self._spans_ns
            profile = Profile(width, {span: {} for span in spans}, dict.fromkeys(spans, 0))
            self._profiles[trade.instrument] = profile
        for span, windows in profile.windows.items():
            start_ns = window_start(span, trade.venue_ns)
            if start_ns < profile.done_ns[span]:
                self._late += 1
                continue
            cells = windows.get(start_ns)
            if cells is None:
                cells = windows[start_ns] = {}
                due_ns = window_end(span, start_ns) + FLOW_GRACE_NS
                emit(SetTimer(self.name, due_ns, f"{trade.instrument} {span} {start_ns}"))
            level = level_of(cells, trade.price, profile.width)
            cells[level] = cells.get(level, 0) + trade.size

    @handles(TimerFired)
    def close(self, timer: TimerFired, emit: Emit) -> None:
        """Emit the profile of a window whose grace period is over."""
        instrument, span, start_ns = map(int, timer.key.split())
        profile = self._profiles.get(instrument)
        cells = profile.windows.get(span, {}).pop(start_ns, None) if profile is not None else None
        if profile is None or not cells:
            return
        profile.done_ns[span] = max(profile.done_ns[span], window_end(span, start_ns))
        rows = sorted(cells.items())
        point, low, high = value_area(rows)
        emit(
            ProfileClosed(
                timer.at_ns,
                instrument,
                span,
                start_ns,
                profile.width,
                tuple((price, wide(volume)) for price, volume in rows),
                wide(sum(cells.values())),
                point,
                low,
                high,
            )
        )


def value_area(rows: list[tuple[int, int]]) -> tuple[int, int, int]:
    """Return the point of control and the lowest and highest level of the value area of ascending rows."""
    at = max(range(len(rows)), key=lambda number: (rows[number][1], -number))
    low = high = at
    held, whole = rows[at][1], sum(volume for _, volume in rows)
    part, of = VALUE_SHARE
    while held * of < whole * part:
        above = rows[high + 1][1] if high + 1 < len(rows) else -1
        below = rows[low - 1][1] if low else -1
        if above >= below:
            high += 1
            held += above
        else:
            low -= 1
            held += below
    return rows[at][0], rows[low][0], rows[high][0]
