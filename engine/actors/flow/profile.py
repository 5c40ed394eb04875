"""Volume profiles: the volume at each price level of a window, its point of control and its value area.

A window closes by the engine's clock, `FLOW_GRACE_NS` after its end, whether its interval has bars or not.
The point of control is the level with the most volume, the lowest of equals. The value area begins as it
and grows by one level at a time, the one next to it above or below that has more volume (above of equals),
until it holds 70 % of the window's volume; levels without volume are none. Source: the CBOT's Market
Profile, which counts two rows at a time.
"""

from __future__ import annotations

from engine.actors.bars import is_implausible
from engine.actors.base import Actor, Emit, SetTimer, State, handles
from engine.actors.flow.levels import level_of, width_of
from engine.clock import SECOND_NS, window_end, window_start
from engine.config import FlowConfig
from engine.events import ProfileClosed, TimerFired, Trade
from engine.values import parse_interval, wide

__all__ = ["Profiles", "value_area"]

FLOW_GRACE_NS = SECOND_NS
"""How long after its end a window waits for late prints."""

VALUE_SHARE = (7, 10)


class Profile(State):
    """The open windows of one instrument: volumes by level, by interval and start."""

    width: int
    windows: dict[int, dict[int, dict[int, int]]]
    done_ns: dict[int, int]


class Profiles(Actor):
    """State: per instrument, its open windows. `_late` counts prints that came after theirs had closed."""

    WIRING = Actor.WIRING | {"_spans_ns", "_level"}

    def __init__(self, config: FlowConfig) -> None:
        super().__init__("profiles")
        self._spans_ns = sorted(parse_interval(name) for name in config.profile)
        self._level = config.level
        self._profiles: dict[int, Profile] = {}
        self._late = 0

    @handles(Trade)
    def add(self, trade: Trade, emit: Emit) -> None:
        """Add a print to its level in its window of each interval; one of another age is left out."""
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
        """Tell the profile of a window whose grace is over."""
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
    """Return the point of control, and the lowest and highest level of the value area; `rows` rise by
    price."""
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
