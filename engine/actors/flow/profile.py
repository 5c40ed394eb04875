"""Volume profiles: the volume at each price level of a window, its point of control and its value area.

A window closes `FLOW_GRACE_NS` after its end by the engine's clock, whether or not bars of its interval are
configured. If the feed proves how far it has delivered, a window waits for the proof of its end, at most
`FLOW_PROOF_S` of real time.

The point of control is the level with the most volume; the lowest of several. The value area starts at that
level and grows by one adjacent level at a time, above or below, whichever has more volume (above if equal),
until it has 70 % of the window's volume. Levels without volume are skipped. Source: the CBOT's Market
Profile, which adds two rows at a time.
"""

from __future__ import annotations

from engine.actors.bars import is_implausible
from engine.actors.base import Actor, Emit, SetTimer, State, handles
from engine.actors.flow.levels import level_of, width_of
from engine.clock import SECOND_NS, window_end, window_start
from engine.config import FlowConfig
from engine.events import ClockAdopted, FeedHeard, FeedUp, ProfileClosed, TimerFired, Trade
from engine.instruments import of_feed
from engine.values import INT64_MAX, InstrumentId, Price, Size, parse_interval, wide

__all__ = ["Profiles", "value_area"]

FLOW_GRACE_NS = SECOND_NS
"""How long a window waits for late trades after its end."""

FLOW_PROOF_S = 5
"""How long a window waits for its proof after that, in real seconds."""

LATE = "late"
"""Last part of the key of the timer that closes a window without proof."""

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
    _reached_ns: dict[InstrumentId, int]

    def __init__(self, config: FlowConfig) -> None:
        super().__init__("profiles")
        self._spans_ns = sorted(parse_interval(name) for name in config.profile)
        self._level = config.level
        self._profiles = {}
        self._late = 0
        self._proves = False
        self._proved_ns = 0
        self._speed = 1.0
        self._reached_ns = {}

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

    @handles(ClockAdopted)
    def note_speed(self, adopted: ClockAdopted, emit: Emit) -> None:
        """Note how much faster than real time the clock runs."""
        self._speed = max(adopted.speed, 1.0)

    @handles(FeedUp)
    def note_feed(self, up: FeedUp, emit: Emit) -> None:
        """Note whether windows need a proof. With several venues, each instrument has its own."""
        numbers = of_feed(up.feed, self.instruments)
        if numbers is None:
            self._proves = up.proves
        else:
            self._proves = True
            self._reached_ns.update(dict.fromkeys(numbers, 0 if up.proves else INT64_MAX))

    @handles(FeedHeard)
    def note_proof(self, heard: FeedHeard, emit: Emit) -> None:
        """Close the windows that waited for this proof."""
        numbers = of_feed(heard.feed, self.instruments) if heard.proved_ns else None
        if numbers is None:
            if heard.proved_ns <= self._proved_ns:
                return
            self._proved_ns = heard.proved_ns
        else:
            self._reached_ns.update(dict.fromkeys(numbers, heard.proved_ns))
        self._proves = True
        until_ns = min(heard.proved_ns, heard.recv_ns - FLOW_GRACE_NS)
        for instrument, profile in sorted(self._profiles.items()):
            if numbers is not None and instrument not in numbers:
                continue
            for span, windows in sorted(profile.windows.items()):
                for start_ns in sorted(windows):
                    if window_end(span, start_ns) <= until_ns:
                        self._close(instrument, span, start_ns, heard.recv_ns, emit)

    @handles(TimerFired)
    def close_due(self, timer: TimerFired, emit: Emit) -> None:
        """Close a window whose grace period is over, unless it waits for its proof."""
        number, span_ns, start, *late = timer.key.split()
        instrument, span, start_ns = int(number), int(span_ns), int(start)
        if late or self._is_proved(instrument, window_end(span, start_ns)):
            self._close(instrument, span, start_ns, timer.at_ns, emit)
        else:
            due_ns = timer.at_ns + int(FLOW_PROOF_S * self._speed) * SECOND_NS
            emit(SetTimer(self.name, due_ns, f"{timer.key} {LATE}"))

    def _is_proved(self, instrument: int, end_ns: int) -> bool:
        return not self._proves or end_ns <= max(self._proved_ns, self._reached_ns.get(instrument, 0))

    def _close(self, instrument: int, span: int, start_ns: int, at_ns: int, emit: Emit) -> None:
        """Emit the profile of a window."""
        profile = self._profiles.get(instrument)
        cells = profile.windows.get(span, {}).pop(start_ns, None) if profile is not None else None
        if profile is None or not cells:
            return
        end_ns = window_end(span, start_ns)
        profile.done_ns[span] = max(profile.done_ns[span], end_ns)
        rows = sorted(cells.items())
        point, low, high = value_area(rows)
        emit(
            ProfileClosed(
                at_ns,
                instrument,
                span,
                start_ns,
                profile.width,
                tuple((price, wide(volume)) for price, volume in rows),
                wide(sum(cells.values())),
                point,
                low,
                high,
                not self._is_proved(instrument, end_ns),
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
