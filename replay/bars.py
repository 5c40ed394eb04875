"""The bars of a recorded day: the recorded ones, or bars rebuilt from its trades by the same aggregator.

Called by `engine bars`. A bar belongs to the day in which its window starts; a window longer than a day
belongs to every day in it. Bars close after their windows, so the bars of a day's last windows, and
corrections, are recorded in the next day, which is read too if it exists. To rebuild bars, the day before is
read first, so that the data does not seem to begin inside the first window; for longer windows
every available day of the window is read. Promises: rebuilt bars follow the rules of the recorded session
(grace, the venue's rules). Memory holds one day's bars of one interval.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
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
    DayOpened,
    Event,
    FeedDamaged,
    FeedDown,
    FeedGap,
    FeedPolling,
    FeedUp,
    InstrumentListed,
    SessionStarted,
    Trade,
    engine_time,
)
from engine.events.codec import Derived
from engine.journal import list_days
from engine.records import derived_of, inputs_of, open_day
from engine.sequencer import Sequencer
from engine.values import format_interval, parse_interval

__all__ = ["STILL_OPEN", "DayBar", "RebuiltBars", "RecordedBars", "bars_of"]

STILL_OPEN: Final = "it is still open"

_OF_BARS: Final = (
    *(InstrumentListed, SessionStarted, Trade, Candle, CandleRead),
    *(FeedUp, FeedDown, FeedDamaged, FeedGap, FeedPolling),
)
"""The inputs that bars are built from."""


class DayBar(msgspec.Struct, frozen=True):
    """A bar at its highest revision, and its instrument."""

    listed: InstrumentListed
    bar: BarClosed


_Key = tuple[str, str, int]


def bars_of(
    folder: Path,
    interval_ns: int,
    *,
    unclosed: bool = False,
    progress: Callable[[int], None] | None = None,
) -> list[DayBar]:
    """Return the bars of a day's windows by instrument and start; with `unclosed` the open ones too.

    Raises UsageError for a day that does not exist, or has no data for bars of this interval.
    """
    open_day(folder)
    day_ns = day_start_ns(folder.name)
    first_ns = window_start(interval_ns, day_ns)
    end_ns = window_end(interval_ns, window_start(interval_ns, day_ns + DAY_NS - 1))
    days = {day_start_ns(day.path.name): day.path for day in list_days(folder.parent)}
    found = RecordedBars(first_ns, end_ns)
    own = _listings(folder)
    near = [
        (at_ns, path)
        for at_ns, path in sorted(days.items())
        if first_ns - DAY_NS <= at_ns <= end_ns and _is_same_market(own, _listings(path))
    ]
    after = [path for at_ns, path in near if at_ns >= first_ns]
    for path in after:
        found.read(path, interval_ns)
    if found.bars and found.whole and not unclosed:
        return found.sorted()
    rebuilt = RebuiltBars(interval_ns, found.config, progress)
    rebuilt.run([path for _, path in near], end_ns)
    if not found.bars:
        found.take(rebuilt.bars, rebuilt.listed)
        if not found.bars and not rebuilt.open_bars():
            known = ", ".join(sorted(rebuilt.sources)) or "neither trades nor candles"
            raise UsageError(
                f"{folder}: holds {known}; no bars of {format_interval(interval_ns)} can be built from them"
            )
    elif not found.whole:
        found.take(rebuilt.bars, rebuilt.listed, only_new=True)
    if unclosed:
        for bar in rebuilt.open_bars():
            found.take([bar], rebuilt.listed, only_new=True)
    return found.sorted()


class RecordedBars:
    """The recorded bars of the requested windows by instrument and start, each at its highest revision.

    `whole`: every session that was read has bars of the interval.
    """

    def __init__(self, first_ns: int, end_ns: int) -> None:
        self.bars: dict[_Key, DayBar] = {}
        self.config: Config | None = None
        self.whole = True
        self._first_ns = first_ns
        self._end_ns = end_ns

    def read(self, folder: Path, interval_ns: int) -> None:
        """Read the bars in a day's folder, and the configuration they were built with."""
        listed: dict[int, InstrumentListed] = {}
        for inputs, derived in _frames(folder):
            for event in inputs:
                if isinstance(event, InstrumentListed):
                    listed[event.instrument] = event
                elif isinstance(event, SessionStarted) and event.mode != "backfill":
                    config = parse_config(event.config)
                    self.config = self.config or config
                    self.whole &= interval_ns in map(parse_interval, config.bars.intervals)
            self.take(
                [
                    event
                    for _, _, event in derived
                    if isinstance(event, BarClosed) and event.interval_ns == interval_ns
                ],
                listed,
            )

    def take(
        self, bars: Sequence[BarClosed], listed: dict[int, InstrumentListed], *, only_new: bool = False
    ) -> None:
        """Add bars of any revision."""
        for bar in bars:
            if not self._first_ns <= bar.start_ns < self._end_ns:
                continue
            one = listed[bar.instrument]
            key = one.name, one.venue, bar.start_ns
            held = self.bars.get(key)
            if held is None or (not only_new and bar.revision >= held.bar.revision):
                self.bars[key] = DayBar(one, bar)

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

    def run(self, folders: Sequence[Path], end_ns: int) -> None:
        """Run days in order, and advance the clock to the last known time."""
        sequencer = Sequencer(self._build, self)
        last_ns = 0
        grace_ns = self._bars.grace_ms * 1_000_000
        for folder in folders:
            for inputs, _ in _frames(folder):
                batch: list[Event] = [event for event in inputs if isinstance(event, _OF_BARS)]
                if not batch:
                    continue
                for event in batch:
                    if isinstance(event, InstrumentListed):
                        self.listed[event.instrument] = event
                    elif isinstance(event, Trade | Candle):
                        self.sources.add("trades" if isinstance(event, Trade) else self._candles(event))
                if self._aggregator is None and not isinstance(batch[0], SessionStarted):
                    batch.insert(
                        0, SessionStarted(engine_time(batch[0]), "bars", "replay", "", "", "", (), "{}")
                    )
                last_ns = max(last_ns, engine_time(batch[-1]))
                sequencer.run(batch)
                self._done += len(batch)
                if self._progress is not None:
                    self._progress(self._done)
        if self._aggregator is not None:
            # Close the windows that ended by the last record: no more of their data can come.
            sequencer.run([ClockAdvanced(max(last_ns, sequencer.now_ns, min(last_ns, end_ns) + grace_ns))])

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


def _listings(folder: Path) -> dict[int, InstrumentListed]:
    """Return the instruments that a day begins with: those listed before its first market data."""
    found: dict[int, InstrumentListed] = {}
    for inputs, _ in _frames(folder):
        for event in inputs:
            if isinstance(event, InstrumentListed):
                found[event.instrument] = event
            elif isinstance(event, Trade | Candle):
                return found
    return found


def _is_same_market(one: dict[int, InstrumentListed], other: dict[int, InstrumentListed]) -> bool:
    """Return whether numbers stand for the same instruments: days may have been imported separately."""
    return all(
        (one[number].venue, one[number].name, one[number].price_scale, one[number].size_scale)
        == (other[number].venue, other[number].name, other[number].price_scale, other[number].size_scale)
        for number in one.keys() & other.keys()
    )


def _still_open(bar: OpenBar, instrument: int, interval_ns: int) -> BarClosed:
    event = bar_event(bar, instrument, interval_ns, "", 0)
    return msgspec.structs.replace(event, incomplete=True, because=STILL_OPEN)


def _frames(folder: Path) -> Iterator[tuple[list[Event], list[Derived]]]:
    """Yield the inputs and derived records of a day's frames; the instruments of its opening first."""
    for frame in open_day(folder):
        inputs, derived = inputs_of(frame), derived_of(frame)
        if derived and isinstance(derived[0][2], DayOpened):
            inputs = [*derived[0][2].instruments, *inputs]
        yield inputs, derived
