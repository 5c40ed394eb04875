"""Backfill asks for every hole and for nothing else, and ends with exactly the venue's candles (F06, J14).

The venue is scripted: its candles appear at a time of their own, change while they are young, and may be odd.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from engine.clock import ClockReadings
from engine.config import Config
from engine.events import (
    CandleRead,
    Event,
    FundingRead,
    HistoryRead,
    InstrumentListed,
    MarketRules,
    OpenInterestRead,
    SessionStarted,
    TailRepaired,
)
from engine.runtime.backfill import (
    BackfillPlan,
    SeriesPlan,
    SeriesRead,
    known_history,
    read_series,
    run_backfill,
)
from engine.runtime.holes import OPEN_INTEREST, HistorySeries
from engine.venue import Listing, Rules, SessionContext, Unusable, VenueClient
from tests.runtime.kit import NOON, Counting, assert_replays, builder, of

SECOND = 1_000_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
BEGIN = NOON - 12 * HOUR
"""The venue's first candle."""

PERP = InstrumentListed(0, 0, "scripted", "AAA", 2, 3, rules=MarketRules(funding_s=3600))
QUIET = msgspec.structs.replace(PERP, silence="none")


class Killed(Exception):
    """The process was killed."""


class Clock:
    """A clock that a test sets; the venue's is the same."""

    def __init__(self, now_ns: int) -> None:
        self.at_ns = now_ns

    def now_ns(self) -> int:
        return self.at_ns

    def monotonic_ns(self) -> int:
        return self.at_ns

    def real_seconds_until(self, engine_ns: int) -> float:
        return 0.0

    def readings(self) -> ClockReadings:
        now_ns, monotonic_ns = self.now_ns(), self.monotonic_ns()
        return ClockReadings(now_ns, now_ns, monotonic_ns, monotonic_ns)


class Scripted(VenueClient):
    """The venue. `late_ns` delays the candle of a window, `silent` windows have none, `odd` ones are broken.

    At the request `dies_at` the process is killed: the journal `root` stays as it is on disk at that moment.
    """

    def __init__(self, clock: Clock, rules: Rules | None = None, listed: InstrumentListed = PERP) -> None:
        super().__init__()
        self.clock = clock
        self.rules = rules or Rules()
        self.listed = listed
        self.late_ns: dict[int, int] = {}
        self.silent: set[int] = set()
        self.odd: set[int] = set()
        self.timeless = False  # one more row, whose window cannot be read
        self.asked: list[tuple[int, int, int]] = []
        self.dies_at: int | None = None
        self.root = Path()

    async def listing(self, names: Sequence[str]) -> Listing:
        raise NotImplementedError

    def feeds(self, context: SessionContext) -> Sequence[Any]:
        raise NotImplementedError

    def truth(self, start: int, step: int) -> CandleRead:
        """The final candle of a window."""
        number = start // MINUTE
        low, volume = 100 + number % 50, 1 + number % 7
        end = start + step
        return CandleRead(end, end, 1, step, start, low, low + 9, low, low + 3, volume, 5, "history")

    def visible(self, from_ns: int, to_ns: int, step: int) -> list[CandleRead]:
        now = self.clock.now_ns()
        found = []
        for start in range(max(from_ns, BEGIN), to_ns, step):
            age = now - start - step
            if start in self.silent or age < self.late_ns.get(start, 0):
                continue
            whole = self.truth(start, step)
            young = age < self.rules.candle_grace_s * SECOND
            found.append(msgspec.structs.replace(whole, high=whole.high + 5) if young else whole)
        return found[-self.rules.candles_kept :] if self.rules.candles_kept else found

    def ask(self, interval_ns: int, from_ns: int, to_ns: int) -> None:
        self.asked.append((interval_ns, from_ns, to_ns))
        if self.dies_at is not None and len(self.asked) >= self.dies_at:
            shutil.copytree(self.root, self.root.with_name("killed"))
            raise Killed

    async def candles(
        self, listed: InstrumentListed, interval_ns: int, from_ns: int, to_ns: int
    ) -> Sequence[CandleRead]:
        self.ask(interval_ns, from_ns, to_ns)
        rows = [
            msgspec.structs.replace(one, instrument=listed.instrument)
            for one in self.visible(from_ns, to_ns, interval_ns)
        ]
        broken = [one.start_ns for one in rows if one.start_ns in self.odd]
        self.unusable += [Unusable(at, "high is below low") for at in broken]
        self.unusable += [Unusable(None, "not an object")] * self.timeless
        return [one for one in rows if one.start_ns not in broken]

    async def funding_rates(
        self, listed: InstrumentListed, from_ns: int, to_ns: int
    ) -> Sequence[FundingRead]:
        self.ask(0, from_ns, to_ns)
        now = self.clock.now_ns()
        hours = range(-(-max(from_ns, BEGIN) // HOUR) * HOUR, min(to_ns, now), HOUR)
        rates = [at for at in hours if now - at >= self.late_ns.get(at, 0)]
        return [FundingRead(at, at + 7, listed.instrument, 10, at // HOUR, 0) for at in rates]

    async def open_interest(
        self, listed: InstrumentListed, from_ns: int, to_ns: int
    ) -> Sequence[OpenInterestRead]:
        self.ask(-1, from_ns, to_ns)
        now = self.clock.now_ns()
        assert from_ns >= now - self.rules.interest_kept_s * SECOND, "the venue refuses what is older"
        step = self.rules.interest_s * SECOND
        times = range(-(-max(from_ns, BEGIN) // step) * step, min(to_ns, now), step)
        return [OpenInterestRead(at, at, listed.instrument, 3, at // step) for at in times]


def backfill(root: Path, venue: Scripted, *plans: SeriesPlan) -> list[SeriesRead]:
    """Run one backfill."""
    results = [SeriesRead() for _ in plans]
    asked = len(venue.asked)

    async def read(listed: Sequence[InstrumentListed]) -> AsyncIterator[list[Event]]:
        known = known_history(root, venue.rules)
        for plan, result in zip(plans, results, strict=True):
            have = known.get((listed[0].key, plan.interval_ns), HistorySeries())
            now_ns = venue.clock.now_ns()
            async for found in read_series(venue, venue.rules, listed[0], plan, have, now_ns, result):
                yield found

    plan = BackfillPlan(root, Config(strategies=()), builder(), venue.clock, Counting(), [venue.listed])
    trio.run(run_backfill, plan, read)
    del venue.asked[:asked]
    return results


def minutes(first: float, last: float, step: int = MINUTE) -> SeriesPlan:
    """The candles of a span of `first` to `last` minutes after the venue's beginning."""
    return SeriesPlan(step, BEGIN + round(first * MINUTE), BEGIN + round(last * MINUTE))


def rates_of(first: float, last: float) -> SeriesPlan:
    """The funding rates of a span."""
    return msgspec.structs.replace(minutes(first, last), interval_ns=0)


def held(root: Path, interval_ns: int = MINUTE) -> dict[int, CandleRead]:
    """The candles of the journal, the newest reading of each window."""
    rows = [
        one for one in of(CandleRead, root) if isinstance(one, CandleRead) and one.interval_ns == interval_ns
    ]
    return {one.start_ns: msgspec.structs.replace(one, recv_ns=one.venue_ns) for one in rows}


def expected(venue: Scripted, plan: SeriesPlan) -> dict[int, CandleRead]:
    windows = range(plan.start_ns, plan.end_ns, plan.interval_ns)
    return {at: venue.truth(at, plan.interval_ns) for at in windows if at not in venue.silent}


def test_every_hole_between_two_backfills_is_filled(tmp_path: Path) -> None:
    venue = Scripted(Clock(NOON))
    assert [one.windows for one in backfill(tmp_path, venue, minutes(0, 10))] == [10]
    backfill(tmp_path, venue, minutes(60, 70))
    (result,) = backfill(tmp_path, venue, minutes(0, 120))
    assert (len(result.new), result.already, result.windows, result.missing) == (100, 20, 120, [])
    assert held(tmp_path) == expected(venue, minutes(0, 120))
    (again,) = backfill(tmp_path, venue, minutes(0, 120))
    assert (again.new, again.already, again.missing, venue.asked) == ([], 120, [], [])
    assert_replays(tmp_path)


def test_rates_before_the_known_ones_are_requested(tmp_path: Path) -> None:
    venue = Scripted(Clock(NOON))
    rates = [SeriesPlan(0, BEGIN + first * HOUR, BEGIN + 11 * HOUR) for first in (8, 2)]
    (late,) = backfill(tmp_path, venue, rates[0])
    (early,) = backfill(tmp_path, venue, rates[1])
    assert (len(late.new), len(early.new), early.already, early.missing) == (3, 6, 3, [])
    hours = sorted(one.venue_ns for one in of(FundingRead, tmp_path) if isinstance(one, FundingRead))
    assert hours == [BEGIN + hour * HOUR + 7 for hour in range(2, 11)]


def test_open_interest_is_read_once_and_only_what_the_venue_keeps(tmp_path: Path) -> None:
    clock = Clock(NOON)
    venue = Scripted(clock, Rules(interest_s=300, interest_kept_s=3600))
    late, whole = (
        SeriesPlan(OPEN_INTEREST, NOON - minutes * MINUTE, NOON + first * MINUTE)
        for minutes, first in ((20, 0), (120, 60))
    )
    (first,) = backfill(tmp_path, venue, late)
    assert (len(first.new), first.already, first.missing) == (4, 0, [])
    (second,) = backfill(tmp_path, venue, whole)
    begun = (NOON - 120 * MINUTE, NOON - 60 * MINUTE)
    assert (len(second.new), second.already, second.windows) == (8, 4, 24)
    assert second.missing == [begun], "older than what is kept"
    clock.at_ns += 11 * MINUTE
    (third,) = backfill(tmp_path, venue, whole)
    assert (len(third.new), third.missing) == (3, [begun])
    found = [one for one in of(OpenInterestRead, tmp_path) if isinstance(one, OpenInterestRead)]
    assert sorted(one.venue_ns for one in found) == list(
        range(NOON - 60 * MINUTE, NOON + 11 * MINUTE, 5 * MINUTE)
    )
    assert_replays(tmp_path)


def test_a_missing_candle_is_requested_again_within_an_hour(tmp_path: Path) -> None:
    clock = Clock(NOON)
    venue = Scripted(clock)
    hole = BEGIN + 5 * MINUTE
    venue.late_ns[hole] = NOON - hole - MINUTE + 60  # 60 ns after now
    (first,) = backfill(tmp_path, venue, minutes(0, 10))
    assert (len(first.new), first.missing) == (9, [(hole, hole + MINUTE)])
    clock.at_ns += 10 * MINUTE
    (soon,) = backfill(tmp_path, venue, minutes(0, 10))
    assert (soon.new, venue.asked, soon.missing) == ([], [], first.missing)
    clock.at_ns += 50 * MINUTE
    (later,) = backfill(tmp_path, venue, minutes(0, 10))
    assert venue.asked == [(MINUTE, hole, hole + MINUTE)]
    assert (later.new, later.missing) == ([hole], [])


def test_a_young_window_without_a_candle_is_requested_again_when_its_age_has_doubled(tmp_path: Path) -> None:
    clock = Clock(NOON + 10 * SECOND)
    venue = Scripted(clock)
    young = NOON - MINUTE
    venue.late_ns[young] = 15 * SECOND
    plan = SeriesPlan(MINUTE, NOON - 5 * MINUTE, NOON + HOUR)
    (first,) = backfill(tmp_path, venue, plan)
    assert (len(first.new), first.missing) == (4, [(young, NOON)])
    clock.at_ns += 8 * SECOND
    assert backfill(tmp_path, venue, plan)[0].new == []
    clock.at_ns += 3 * SECOND
    assert backfill(tmp_path, venue, plan)[0].new == [young]


def test_a_candle_younger_than_the_venues_grace_is_not_kept(tmp_path: Path) -> None:
    clock = Clock(NOON + SECOND // 20)
    venue = Scripted(clock)
    plan = SeriesPlan(MINUTE, NOON - 3 * MINUTE, NOON + MINUTE)
    (result,) = backfill(tmp_path, venue, plan)
    assert (result.windows, len(result.new), result.missing) == (2, 2, [])
    clock.at_ns = NOON + 3 * SECOND
    backfill(tmp_path, venue, plan)
    assert held(tmp_path) == {at: venue.truth(at, MINUTE) for at in range(NOON - 3 * MINUTE, NOON, MINUTE)}


def test_a_candle_that_was_recorded_too_young_is_read_again(tmp_path: Path) -> None:
    clock = Clock(NOON + SECOND // 20)
    venue = Scripted(clock, Rules(candle_grace_s=0))
    plan = SeriesPlan(MINUTE, NOON - MINUTE, NOON)
    backfill(tmp_path, venue, plan)
    clock.at_ns = NOON + MINUTE
    venue.rules = Rules()
    (result,) = backfill(tmp_path, venue, plan)
    assert (result.already, result.new, result.missing) == (0, [NOON - MINUTE], [])


def test_an_odd_candle_is_left_out_counted_and_requested_by_the_next_run(tmp_path: Path) -> None:
    venue = Scripted(Clock(NOON))
    broken = BEGIN + 4 * MINUTE
    venue.odd.add(broken)
    (result,) = backfill(tmp_path, venue, minutes(0, 10))
    assert (len(result.new), result.unusable) == (9, ["high is below low"])
    assert result.missing == [(broken, broken + MINUTE)]
    venue.odd.clear()
    (mended,) = backfill(tmp_path, venue, minutes(0, 10))
    assert venue.asked == [(MINUTE, broken, broken + MINUTE)]
    assert (mended.new, mended.unusable, mended.missing) == ([broken], [], [])


def test_nothing_is_taken_for_silent_after_a_row_whose_window_is_not_known(tmp_path: Path) -> None:
    venue = Scripted(Clock(NOON), listed=QUIET)
    lost = BEGIN + 4 * MINUTE
    venue.silent, venue.timeless = {lost}, True
    (result,) = backfill(tmp_path, venue, minutes(0, 10))
    assert (len(result.new), result.unusable) == (9, ["not an object"])
    assert result.missing == [(lost, lost + MINUTE)]
    venue.silent, venue.timeless = set(), False
    (mended,) = backfill(tmp_path, venue, minutes(0, 10))
    assert (mended.new, mended.missing) == ([lost], [])


@pytest.mark.parametrize("purpose", ["check", "repair", "stream", "flat"])
def test_only_candles_of_the_history_are_known(tmp_path: Path, purpose: str) -> None:
    venue = Scripted(Clock(NOON))

    async def read(listed: Sequence[InstrumentListed]) -> AsyncIterator[list[Event]]:
        yield [msgspec.structs.replace(venue.truth(BEGIN, MINUTE), purpose=purpose)]

    plan = BackfillPlan(tmp_path, Config(strategies=()), builder(), venue.clock, Counting(), [PERP])
    trio.run(run_backfill, plan, read)
    (result,) = backfill(tmp_path, venue, minutes(0, 1))
    assert (result.already, result.new) == (0, [BEGIN])


@pytest.mark.parametrize("listed", [PERP, QUIET])
def test_a_window_without_a_candle_is_known_only_by_the_venues_custom(
    tmp_path: Path, listed: InstrumentListed
) -> None:
    venue = Scripted(Clock(NOON), listed=listed)
    venue.silent = {BEGIN + 3 * MINUTE, BEGIN + 4 * MINUTE}
    (result,) = backfill(tmp_path, venue, minutes(0, 10))
    silent = (BEGIN + 3 * MINUTE, BEGIN + 5 * MINUTE)
    assert result.missing == ([] if listed is QUIET else [silent])
    answers = [one for one in of(HistoryRead, tmp_path) if isinstance(one, HistoryRead)]
    assert [(one.from_ns, one.to_ns, one.rows) for one in answers] == [(BEGIN, BEGIN + 10 * MINUTE, 8)]


def test_a_silent_window_is_not_known_before_ten_minutes_have_passed(tmp_path: Path) -> None:
    clock = Clock(NOON)
    venue = Scripted(clock, listed=QUIET)
    venue.silent = {NOON - 2 * MINUTE, NOON - 30 * MINUTE}
    plan = SeriesPlan(MINUTE, NOON - HOUR, NOON - MINUTE)
    assert backfill(tmp_path, venue, plan)[0].missing == [(NOON - 2 * MINUTE, NOON - MINUTE)]
    clock.at_ns += 10 * MINUTE
    assert backfill(tmp_path, venue, plan)[0].missing == []


@pytest.mark.parametrize("listed", [PERP, QUIET])
def test_windows_that_the_venue_no_longer_keeps_are_missing(tmp_path: Path, listed: InstrumentListed) -> None:
    venue = Scripted(Clock(BEGIN + 100 * MINUTE), Rules(candles_kept=30), listed)
    venue.silent = {BEGIN + 80 * MINUTE}
    (result,) = backfill(tmp_path, venue, minutes(0, 95))
    kept = BEGIN + 64 * MINUTE  # the newest 30 candles of the span reach back one window further
    assert len(result.new) == 30
    missing = [(BEGIN, kept)]
    if listed is PERP:
        missing.append((BEGIN + 80 * MINUTE, BEGIN + 81 * MINUTE))
    assert result.missing == missing


SPANS = st.tuples(st.integers(0, 170), st.integers(1, 60)).map(lambda one: (one[0], one[0] + one[1]))
RUNS = st.lists(
    st.tuples(SPANS, st.integers(1, 3 * 3600), st.none() | st.integers(1, 4)), min_size=1, max_size=6
)


@given(
    runs=RUNS,
    late=st.dictionaries(st.integers(0, 239), st.integers(1, 600), max_size=12),
    silent=st.sets(st.integers(0, 239), max_size=12),
    odd=st.sets(st.integers(0, 239), max_size=4),
    custom=st.sampled_from(["flat", "none"]),
)
def test_any_spans_kills_and_late_candles_end_with_exactly_the_venues_candles(
    runs: list[tuple[tuple[int, int], int, int | None]],
    late: dict[int, int],
    silent: set[int],
    odd: set[int],
    custom: str,
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "j"
        clock = Clock(BEGIN + 120 * MINUTE)
        venue = Scripted(clock, listed=msgspec.structs.replace(PERP, silence=custom))
        venue.late_ns = {BEGIN + at * MINUTE: seconds * SECOND for at, seconds in late.items()}
        venue.silent = {BEGIN + at * MINUTE for at in silent}
        venue.odd = {BEGIN + at * MINUTE for at in odd}
        venue.root = root
        for (first, last), seconds, dies_at in runs:
            plans = minutes(first, last), minutes(first, last, 5 * MINUTE), rates_of(first, last)
            venue.dies_at = dies_at
            try:
                results = backfill(root, venue, *plans)
            except* Killed:
                venue.asked.clear()
                shutil.rmtree(root)
                root.with_name("killed").rename(root)
            else:
                over = min(plans[0].end_ns, clock.at_ns - 3 * SECOND) // MINUTE * MINUTE
                have = {at for at in held(root) if plans[0].start_ns <= at < over}
                if not results[0].missing:
                    spans = msgspec.structs.replace(plans[0], end_ns=max(over, plans[0].start_ns))
                    assert have == set(expected(venue, spans))
            clock.at_ns += seconds * SECOND
        venue.dies_at, venue.odd = None, set()
        clock.at_ns = max(clock.at_ns, BEGIN + 240 * MINUTE) + HOUR
        whole = minutes(0, 240)
        (result,) = backfill(root, venue, whole)
        assert held(root) == expected(venue, whole)
        backfill(root, venue, rates_of(0, 240))
        rates = [one.venue_ns for one in of(FundingRead, root) if isinstance(one, FundingRead)]
        assert sorted(rates) == [BEGIN + hour * HOUR + 7 for hour in range(4)]
        assert (result.missing == []) == (custom == "none" or not silent)
        counts = [
            one.start_ns
            for one in of(CandleRead, root)
            if isinstance(one, CandleRead) and one.interval_ns == MINUTE
        ]
        assert len(counts) == len(set(counts)), "each candle is recorded once"
        assert_replays(root)


def test_a_backfill_records_what_its_start_has_repaired_and_takes_an_epoch(tmp_path: Path) -> None:
    venue = Scripted(Clock(NOON))
    backfill(tmp_path, venue, minutes(0, 5))
    segment = max(tmp_path.glob("*/*.seg"))
    with segment.open("ab") as file:
        file.write(b"torn")
    backfill(tmp_path, venue, minutes(5, 9))
    backfill(tmp_path, venue, minutes(9, 12))
    (record,) = of(TailRepaired, tmp_path)
    assert isinstance(record, TailRepaired)
    assert (tmp_path / record.saved_as).read_bytes() == b"torn"
    assert [one.epoch for one in of(SessionStarted, tmp_path) if isinstance(one, SessionStarted)] == [1, 2, 3]
    assert_replays(tmp_path)
