"""Reads the market inputs of several days as one stream, also when the days belong to several journals.

Instruments meet by `venue:NAME`. Each has one number, in the order of (first day, number, venue, name), and
one scale, the largest that any of the days has for it. Days are sorted by date. Two folders of one date are
merged by time; if both have the same instrument at the same time, they are refused.

Promises: every value is exact; all instruments are listed before the first price, and again only when
something about them changes; neither the names of the folders nor their order matter; memory holds a few
frames, and the history that a backfill fetched; inputs of a day that has the joint numbers and scales are
passed on as the same objects. The only reader of market inputs for backtests, their checks, and bars that are
rebuilt.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Final

import msgspec

from engine.clock import DAY_NS, day_of
from engine.errors import UsageError
from engine.events import (
    BookRead,
    Candle,
    ClockAdopted,
    ClockJumped,
    ContextRead,
    Event,
    FeedDamaged,
    FeedDown,
    FeedGap,
    FeedHeard,
    FeedLagging,
    FeedUp,
    FundingRead,
    InstrumentListed,
    LiquidationRead,
    Quote,
    SessionStarted,
    Trade,
    engine_time,
)
from engine.instruments import labels
from engine.journal import DISK, Disk, day_start_ns
from engine.records import inputs_of, open_day
from replay.days import (
    LISTED,
    RecordedDay,
    is_fetching,
    look,
    opening_listings,
    opening_of,
    without_overlaps,
)
from replay.history import FetchedHistory, without_fetched
from replay.mapping import Converter, Joint, joint_listing
from replay.merging import Batch, merged, with_rates
from replay.ranges import WHOLE, Range, clipped

__all__ = ["IMPORTED", "MARKET", "JoinedDays"]

IMPORTED: Final = "import"
"""The feed of gaps in imported data."""

MARKET: Final = (
    InstrumentListed,
    Trade,
    Quote,
    Candle,
    BookRead,
    ContextRead,
    FundingRead,
    LiquidationRead,
    FeedUp,
    FeedDown,
    FeedDamaged,
    FeedGap,
    FeedHeard,
    FeedLagging,
    ClockAdopted,
    ClockJumped,
)
"""The inputs that a backtest takes from a recorded day; all others belong to the recorded session.

The speed of the venue's clock is one of them: the age of a price counts in real time. So are the jumps of
the clock: nothing was recorded of the time that they skipped.
"""


class JoinedDays:
    """Several days, read together.

    `folders` are those that are read, by date, and `keys` the instruments of the days. `instruments` are
    those listed before the first price, by joint number. `content` is a digest of how the days begin.
    `history` is the fetched history that is played, if `plays_history`.

    `context` are further days, read where they do not collide with `folders`; of their instruments only those
    count that `folders` have too. `types` are the inputs that are passed on, those of the range `within`;
    `disk` is where the days are read.

    Raises UsageError for a day that does not exist, is given twice, or has an instrument at the same time as
    another day, and for days of which none is in the range; JournalError.
    """

    def __init__(
        self,
        folders: Sequence[Path],
        *,
        context: Sequence[Path] = (),
        types: tuple[type[Event], ...] = MARKET,
        plays_history: bool = False,
        within: Range = WHOLE,
        disk: Disk = DISK,
    ) -> None:
        _refuse_twice(folders)
        given = _in_range([look(folder, MARKET, disk) for folder in folders], within)
        near = sorted((look(folder, MARKET, disk) for folder in context), key=lambda day: day.order)
        days = without_overlaps(given, near)
        self._types = types
        self._within = within
        self._days = days
        self._several = len({day.journal for day in days}) > 1
        self._joints = _joints(days)
        self._holes = _holes(days, self._joints) if FeedGap in types else {}
        self.instruments = _first_listings(days, self._joints)
        self.folders = [day.folder for day in days]
        self.keys = frozenset(key for day in given for key in day.keys)
        self._beside = frozenset(one.instrument for one in self.instruments if one.key not in self.keys)
        self.content = hashlib.blake2b(b"".join(day.content for day in days), digest_size=16).digest()
        self.history = FetchedHistory(days if plays_history else [], self._joints, labels(self.instruments))
        self._plays_history = plays_history

    def batches(self, left_out: Collection[int] = ()) -> Iterator[list[Event]]:
        """Yield the inputs by time, a frame at a time, without those of the numbers in `left_out`."""
        left = self._beside.union(left_out)
        in_force: dict[int, InstrumentListed] = {}
        for events, lists in self._stream():
            batch = events
            if lists or not in_force:
                batch = self._listing_once(events, in_force)
            if left:
                batch = [event for event in batch if getattr(event, "instrument", None) not in left]
            if batch:
                yield batch

    def _listing_once(self, events: list[Event], in_force: dict[int, InstrumentListed]) -> list[Event]:
        """Return the inputs without listings that change nothing; the first ones with all instruments."""
        batch: list[Event] = []
        for event in events:
            if not in_force and not isinstance(event, SessionStarted):
                for one in self.instruments:
                    listed = msgspec.structs.replace(one, recv_ns=engine_time(event))
                    in_force[one.instrument] = listed
                    batch.append(listed)
            if isinstance(event, InstrumentListed):
                before = in_force[event.instrument]
                if msgspec.structs.replace(before, recv_ns=event.recv_ns) == event:
                    continue
                in_force[event.instrument] = event
            batch.append(event)
        return batch

    def _stream(self) -> Iterator[Batch]:
        days = self._all_days()
        if self.history.candles:
            days = merged([self.history.batches(), days])
        if self._within.whole:
            return with_rates(days, self.history.rates)
        rates = [rate for rate in self.history.rates if self._within.has(rate)]
        return with_rates(clipped(days, self._within), rates)

    def _all_days(self) -> Iterator[Batch]:
        feeds: dict[str, bytes] = {}
        for _, group in groupby(self._days, key=lambda day: day.date):
            days = list(group)
            streams = [self._day(day, feeds) for day in days]
            stream = streams[0] if len(streams) == 1 else merged(streams)
            if feeds:
                stream = _without_feeds(stream, feeds, {day.journal for day in days})
            holes = self._holes.get(days[0].date)
            yield from _with_holes(stream, holes) if holes else stream

    def _day(self, day: RecordedDay, feeds: dict[str, bytes]) -> Iterator[Batch]:
        """Yield the inputs of a day in joint numbers and scales; the instruments it opens with first.

        Notes in `feeds` which feeds it has, with its journal, if there are several journals.
        """
        types = self._types
        converter = Converter(self._joints, str(day.folder))
        fetching, first = False, True
        for frame in open_day(day.folder, day.disk):
            inputs = inputs_of(frame)
            opened = opening_of(frame) if first else None
            if opened is not None:
                fetching = is_fetching(opened.started)
            if day.fetched and self._plays_history:
                inputs, fetching = without_fetched(inputs, fetching)
            kept = [event for event in inputs if event.__class__ in types]
            if opened is not None:
                kept = [*opening_listings(opened), *kept]
            if self._several and day.recorded:
                feeds |= {one.feed: day.journal for one in kept if isinstance(one, FeedUp | FeedDown)}
            lists = first or LISTED in frame.inputs
            first = False
            if kept:
                yield converter.convert(kept, lists=lists), lists


def _in_range(days: list[RecordedDay], within: Range) -> list[RecordedDay]:
    """Return the days with a part in the range, and those with fetched history, in their order."""
    ordered = sorted(days, key=lambda day: day.order)
    kept = [day for day in ordered if day.fetched or within.has_day(day_start_ns(day.date))]
    if not kept:
        first, last = (day_of(day_start_ns(day.date)) for day in (ordered[0], ordered[-1]))
        raise UsageError(
            f"no day is in the range {within.text()}: the days are of {first} to {last}; change begin or end"
        )
    return kept


def _refuse_twice(folders: Sequence[Path]) -> None:
    seen: dict[Path, Path] = {}
    for folder in folders:
        same = folder.resolve()
        if same in seen:
            names = f"{folder}" if seen[same] == folder else f"{seen[same]} and {folder}"
            raise UsageError(f"{names}: the same day is given twice; give it once")
        seen[same] = folder


def _joints(days: Sequence[RecordedDay]) -> dict[str, Joint]:
    """Return the joint number and scales of each instrument, by key."""
    first: dict[str, tuple[int, int, str, str]] = {}
    scales: dict[str, tuple[int, int]] = {}
    for day in days:
        for one in day.listings:
            place = day.date, one.instrument, one.venue, one.name
            first[one.key] = min(first.get(one.key, place), place)
            price, size = scales.get(one.key, (0, 0))
            scales[one.key] = max(price, one.price_scale), max(size, one.size_scale)
    ordered = sorted(first, key=lambda key: first[key])
    return {key: Joint(number, *scales[key]) for number, key in enumerate(ordered, start=1)}


def _holes(days: Sequence[RecordedDay], joints: dict[str, Joint]) -> dict[int, list[FeedGap]]:
    """Return the gaps in imported data, by the last date before each.

    A date that was not imported of an instrument, between or beside dates that were, is unknown, not silent.
    Of a venue without candles of silent windows nothing is said: on an absent day there may be no trade.
    """
    silent: dict[str, dict[int, bool]] = {}  # by instrument and date: whether what follows may be unknown
    for day in days:
        for one in day.listings:
            silent.setdefault(one.key, {})[day.date] = not day.recorded and one.silence == "flat"
    end_ns = day_start_ns(max(day.date for day in days)) + DAY_NS
    found: dict[int, list[FeedGap]] = {}
    for key, dates in sorted(silent.items(), key=lambda item: joints[item[0]].number):
        starts = [*map(day_start_ns, dates), end_ns]
        for date, start_ns, next_ns in zip(dates, starts, starts[1:], strict=False):
            from_ns = start_ns + DAY_NS
            if dates[date] and from_ns < next_ns:
                gap = FeedGap(0, IMPORTED, joints[key].number, from_ns, next_ns - 1)
                found.setdefault(date, []).append(gap)
    return found


def _with_holes(stream: Iterator[Batch], holes: Sequence[FeedGap]) -> Iterator[Batch]:
    """Yield the stream of a date, then the gaps after it, which are known with its last input."""
    at_ns = 0
    for events, lists in stream:
        at_ns = max(at_ns, engine_time(events[-1]))
        yield events, lists
    yield [msgspec.structs.replace(gap, recv_ns=at_ns) for gap in holes], False


def _first_listings(days: Sequence[RecordedDay], joints: dict[str, Joint]) -> list[InstrumentListed]:
    """Return the first listing of each instrument in joint numbers and scales, by number."""
    found: dict[str, tuple[InstrumentListed, Path]] = {}
    for day in days:
        for one in day.listings:
            first, folder = found.setdefault(one.key, (one, day.folder))
            if first.kind != one.kind:
                raise UsageError(
                    f"{folder} and {day.folder}: {one.key} is of kind {first.kind} in the one and "
                    f"{one.kind} in the other; import one of them again with its kind"
                )
    listed = [joint_listing(one, joints[key]) for key, (one, _) in found.items()]
    return sorted(listed, key=lambda one: one.instrument)


def _without_feeds(stream: Iterator[Batch], feeds: dict[str, bytes], journals: set[bytes]) -> Iterator[Batch]:
    """Yield the stream of a date after the feeds that ended with journals which the date does not have.

    A feed of data that ended proves no life and is not down: what follows is judged without it.
    """
    ended = [name for name, journal in feeds.items() if journal not in journals]
    for name in ended:
        del feeds[name]
    for events, lists in stream:
        batch = [*(FeedUp(engine_time(events[0]), name, 0) for name in ended), *events] if ended else events
        ended = []
        yield batch, lists
