"""The bars of recorded days: the recorded ones, or bars rebuilt from their trades by the same aggregator.

Called by `engine bars`. A bar belongs to the day in which its window starts; a window longer than a day
belongs to every day in it. Bars close after their windows, so the bars of a day's last windows, and
corrections, are recorded in the next day, which is read too if its journal has it. To rebuild bars, the day
before is read first, so that the data does not seem to begin inside the first window; for longer windows
every available day of the window is read. The days may be of several journals (see `replay.joining`).
Promises: rebuilt bars follow the rules of the recorded session (grace, the venue's rules). Memory holds the
days' bars of one interval.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from engine.actors import Actor, Aggregator
from engine.actors.bars import OpenBar, bar_event
from engine.clock import DAY_NS, day_start_ns, window_end, window_start
from engine.config import BarsConfig, Config, parse_config
from engine.errors import UsageError
from engine.events import (
    BarClosed,
    BarCorrected,
    Candle,
    CandleRead,
    ClockAdvanced,
    ClockJumped,
    DayOpened,
    Event,
    FeedDamaged,
    FeedDown,
    FeedGap,
    FeedHeard,
    FeedPolling,
    FeedUp,
    InstrumentListed,
    SessionStarted,
    SessionStopped,
    Trade,
    engine_time,
)
from engine.events.codec import Derived
from engine.journal import day_name, list_days, list_segments, read_headers
from engine.records import open_day, records_of
from engine.sequencer import Sequencer
from engine.values import format_interval, parse_interval
from replay.joining import JoinedDays

__all__ = ["OF_BARS", "STILL_OPEN", "DayBar", "RebuiltBars", "RecordedBars", "bars_of"]

STILL_OPEN: Final = "it is still open"

OF_BARS: Final = (
    *(InstrumentListed, SessionStarted, Trade, Candle, CandleRead),
    *(FeedUp, FeedHeard, FeedDown, FeedDamaged, FeedGap, FeedPolling, ClockJumped),
)
"""The inputs that bars are built from."""


class DayBar(msgspec.Struct, frozen=True):
    """A bar at its highest revision, and its instrument."""

    listed: InstrumentListed
    bar: BarClosed


_Key = tuple[str, str, int]


def bars_of(
    folders: Sequence[Path],
    interval_ns: int,
    *,
    unclosed: bool = False,
    progress: Callable[[int], None] | None = None,
) -> list[DayBar]:
    """Return the bars of the days' windows by instrument and start; with `unclosed` the open ones too.

    Raises UsageError for a day that does not exist, for days that do not fit together (see `JoinedDays`), and
    if there is no data for bars of this interval.
    """
    given, near = _days_around(folders, interval_ns)
    joined = JoinedDays(folders, context=near, types=OF_BARS)
    found = RecordedBars(interval_ns, given, joined.keys)
    for folder in joined.folders:
        found.read(folder)
    if found.bars and found.whole and not unclosed:
        return found.sorted()
    rebuilt = RebuiltBars(interval_ns, found.config, progress)
    rebuilt.run(joined.batches(), max(given.values()) + DAY_NS)
    if not found.bars:
        found.take(rebuilt.bars, rebuilt.listed)
        if not found.bars and not rebuilt.open_bars():
            known = ", ".join(sorted(rebuilt.sources)) or "neither trades nor candles"
            raise UsageError(
                f"{folders[0]}: holds {known}; "
                f"no bars of {format_interval(interval_ns)} can be built from them"
            )
    elif not found.whole:
        found.take(rebuilt.bars, rebuilt.listed, only_new=True)
    if unclosed:
        for bar in rebuilt.open_bars():
            found.take([bar], rebuilt.listed, only_new=True)
    return found.sorted()


def _days_around(folders: Sequence[Path], interval_ns: int) -> tuple[dict[Path, int], list[Path]]:
    """Return the days with their starts, and the other days of their journals that their windows need.

    Those are the days of each window, the one before, and the one after.
    """
    given: dict[Path, int] = {}
    in_journals: dict[Path, list[tuple[int, Path]]] = {}
    needed: dict[Path, set[int]] = {}
    for folder in folders:
        open_day(folder)
        day_ns = day_start_ns(day_name(read_headers(folder)[0].day))
        given[folder] = day_ns
        if folder.parent not in in_journals:
            days = list_days(folder.parent)
            in_journals[folder.parent] = [(day_start_ns(day.path.name), day.path) for day in days]
        first_ns = window_start(interval_ns, day_ns)
        end_ns = window_end(interval_ns, window_start(interval_ns, day_ns + DAY_NS - 1))
        needed.setdefault(folder.parent, set()).update(range(first_ns - DAY_NS, end_ns + 1, DAY_NS))
    near = [path for parent, days in in_journals.items() for day_ns, path in days if day_ns in needed[parent]]
    known = {folder.resolve() for folder in folders}
    return given, [path for path in near if path.resolve() not in known and list_segments(path)]


class RecordedBars:
    """The recorded bars of the days' windows by instrument and start, each at its highest revision.

    `days` are the days by folder, with their starts; `keys` are the instruments. `whole`: every session that
    was read has bars of the interval, and each of the days has a session.
    """

    def __init__(self, interval_ns: int, days: Mapping[Path, int], keys: Collection[str]) -> None:
        self.bars: dict[_Key, DayBar] = {}
        self.config: Config | None = None
        self.whole = True
        self._interval_ns = interval_ns
        self._folders = set(days)
        self._days = set(days.values())
        self._keys = keys

    def read(self, folder: Path) -> None:
        """Read the bars in a day's folder, and the configuration they were built with."""
        listed: dict[int, InstrumentListed] = {}
        without_session = folder in self._folders
        for frame in open_day(folder):
            for _, _, event in records_of(frame):
                if isinstance(event, BarClosed):
                    if event.interval_ns == self._interval_ns:
                        self.take([event], listed)
                elif isinstance(event, InstrumentListed):
                    listed[event.instrument] = event
                elif isinstance(event, SessionStarted):
                    without_session &= not self._note(event)
                elif isinstance(event, DayOpened):
                    listed |= {one.instrument: one for one in event.instruments}
                    without_session &= not self._note(event.started)
        self.whole &= not without_session

    def _note(self, started: SessionStarted | None) -> bool:
        """Note the configuration of a session. Return whether it builds bars."""
        if started is None or started.mode == "backfill":
            return False
        config = parse_config(started.config)
        self.config = self.config or config
        self.whole &= self._interval_ns in map(parse_interval, config.bars.intervals)
        return True

    def take(
        self, bars: Sequence[BarClosed], listed: dict[int, InstrumentListed], *, only_new: bool = False
    ) -> None:
        """Add bars of any revision."""
        for bar in bars:
            one = listed[bar.instrument]
            if one.key not in self._keys or not self._is_wanted(bar.start_ns):
                continue
            key = one.name, one.venue, bar.start_ns
            held = self.bars.get(key)
            if held is None or (not only_new and bar.revision >= held.bar.revision):
                self.bars[key] = DayBar(one, bar)

    def _is_wanted(self, start_ns: int) -> bool:
        """Return whether a window starts in one of the days, or one of them is in it."""
        if self._interval_ns <= DAY_NS:
            return start_ns - start_ns % DAY_NS in self._days
        end_ns = window_end(self._interval_ns, start_ns)
        return any(day_ns in self._days for day_ns in range(start_ns, end_ns, DAY_NS))

    def sorted(self) -> list[DayBar]:
        """Return the bars by instrument and start."""
        return [self.bars[key] for key in sorted(self.bars)]


class RebuiltBars:
    """Runs days through an aggregator of one interval. It is the sink of its own sequencer."""

    def __init__(
        self, interval_ns: int, config: Config | None, progress: Callable[[int], None] | None
    ) -> None:
        recorded = config.bars if config is not None else BarsConfig()
        self._bars = BarsConfig((format_interval(interval_ns),), recorded.grace_ms, recorded.close)
        self._interval_ns = interval_ns
        self._progress = progress
        self._done = 0
        self._aggregator: Aggregator | None = None
        self.bars: list[BarClosed] = []
        self.listed: dict[int, InstrumentListed] = {}
        self.sources: set[str] = set()

    def run(self, batches: Iterable[list[Event]], end_ns: int) -> None:
        """Run inputs (`OF_BARS`) in order, and advance the clock to the last known time."""
        sequencer = Sequencer(self._build, self)
        last_ns = 0
        grace_ns = self._bars.grace_ms * 1_000_000
        for batch in batches:
            for event in batch:
                if isinstance(event, InstrumentListed):
                    self.listed[event.instrument] = event
                elif isinstance(event, Trade | Candle):
                    self.sources.add("trades" if isinstance(event, Trade) else self._candles(event))
            inputs = batch
            if self._aggregator is None and not isinstance(batch[0], SessionStarted):
                started = SessionStarted(engine_time(batch[0]), "bars", "replay", "", "", "", (), "{}")
                inputs = [started, *batch]
            last_ns = max(last_ns, _known_ns(inputs[-1]))
            sequencer.run(inputs)
            self._done += len(inputs)
            if self._progress is not None:
                self._progress(self._done)
        if self._aggregator is not None:
            # Close the windows that ended by the last record: no more of their data can come.
            until_ns = max(last_ns, sequencer.now_ns, min(last_ns, end_ns) + max(grace_ns, 1))
            sequencer.run([ClockAdvanced(until_ns), SessionStopped(until_ns, "bars", "")])

    def _candles(self, candle: Candle) -> str:
        return f"candles of {format_interval(candle.interval_ns)}"

    def _build(self, started: SessionStarted) -> list[Actor]:
        self._aggregator = Aggregator(self._bars)
        return [self._aggregator]

    def open_bars(self) -> list[BarClosed]:
        """Return the open bars that have data, marked as incomplete."""
        if self._aggregator is None:
            return []
        return [
            _still_open(bar, instrument, self._interval_ns)
            for instrument, bar in self._aggregator.unclosed(self._interval_ns)
        ]

    # engine.ports.Sink.

    def open_day(self, day: str) -> None:
        """See `engine.ports.Sink`."""

    def append(self, first_seq: int, inputs: list[Event], derived: list[Derived]) -> None:
        """See `engine.ports.Sink`."""
        self.bars += [
            event
            for _, _, event in derived
            if event.__class__ in (BarClosed, BarCorrected) and event.interval_ns == self._interval_ns
        ]


def _known_ns(event: Event) -> int:
    """Return the time until which the data is known: a candle's end may be after its time of receipt."""
    return max(engine_time(event), event.venue_ns) if isinstance(event, Candle) else engine_time(event)


def _still_open(bar: OpenBar, instrument: int, interval_ns: int) -> BarClosed:
    event = bar_event(bar, instrument, interval_ns, "", 0)
    return msgspec.structs.replace(event, incomplete=True, because=STILL_OPEN)
