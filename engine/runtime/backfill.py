"""A session without feeds and orders: writes history into the journal and changes nothing else.

Promises: every window of a series that the journal does not know is requested (`holes.py`), and what the
venue answered without a candle is recorded (`HistoryRead`); the configuration and the strategies are those of
the newest session, so that every actor keeps its state for the next one; what is durable stays after a kill,
and the next run continues; the day replays like any other. Called by `engine backfill`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from pathlib import Path

import msgspec
import trio

from engine.clock import SECOND_NS, day_of
from engine.config import Config, parse_config
from engine.events import (
    CandleRead,
    DayOpened,
    Event,
    FundingRead,
    HistoryRead,
    InstrumentListed,
    OpenInterestRead,
    SessionStopped,
)
from engine.journal import Witness, day_name, list_days
from engine.ports import Clock, Ids
from engine.records import JournalHistory, read_records
from engine.runtime.committer import Committer
from engine.runtime.effects import MeasuredEffects
from engine.runtime.holes import FUNDING, OPEN_INTEREST, HistorySeries, Row, Spans, series_of, without
from engine.runtime.journal import OpenedJournal, opened_journal
from engine.runtime.numbering import numbered
from engine.sequencer import Sequencer
from engine.session import SessionBuilder
from engine.venue import Rules, VenueClient

__all__ = [
    "BackfillPlan",
    "Known",
    "SeriesPlan",
    "SeriesRead",
    "known_history",
    "read_series",
    "run_backfill",
    "windows_of",
]

BATCH: int = 2000
"""Inputs of one batch; each is durable before the next is requested."""

_FUNDING_S = 3600
"""Time between two rates where the venue's rules do not state it."""

SeriesKey = tuple[str, int]
"""The key of an instrument and an interval in ns, or what stands for it (see `holes.py`)."""

Known = dict[SeriesKey, HistorySeries]
"""By series, what a journal has of it."""


class BackfillPlan(msgspec.Struct):
    """The plan of a backfill. `config` is used only if the journal has no session yet."""

    root: Path
    config: Config
    builder: SessionBuilder
    clock: Clock
    ids: Ids
    instruments: list[InstrumentListed]
    witness: Witness | None = None


Read = Callable[[Sequence[InstrumentListed]], AsyncIterator[list[Event]]]
"""Yields missing history in batches; the instruments have their numbers."""


class SeriesPlan(msgspec.Struct, frozen=True):
    """The series and the span to read, in UTC ns. `interval_ns`: also `FUNDING` or `OPEN_INTEREST`."""

    interval_ns: int
    start_ns: int
    end_ns: int


class SeriesRead(msgspec.Struct):
    """The result for one series.

    `windows` of length `step_ns` are over at the venue; those in `missing` are not known. `new` are the
    starts or times of the rows that were found, `unusable` the reasons of rows that were left out.
    """

    step_ns: int = 0
    windows: int = 0
    already: int = 0
    new: list[int] = []
    missing: Spans = []
    unusable: list[str] = []


def known_history(root: Path, rules: Rules) -> Known:
    """Return the candles, rates and open interest that a journal has, and the answers without any."""
    grace_ns = rules.candle_grace_s * SECOND_NS
    known: Known = {}
    keys: dict[int, str] = {}
    for day in list_days(root):
        for _, _, event in read_records(day.path):
            if isinstance(event, DayOpened):
                keys |= {one.instrument: one.key for one in event.instruments}
            elif isinstance(event, InstrumentListed):
                keys[event.instrument] = event.key
            elif isinstance(event, CandleRead | FundingRead | OpenInterestRead | HistoryRead):
                if isinstance(event, CandleRead) and event.purpose != "history":
                    continue
                series = known.setdefault((keys[event.instrument], series_of(event)), HistorySeries())
                series.add(event, grace_ns)
    return known


def windows_of(
    plan: SeriesPlan, listed: InstrumentListed, rules: Rules, venue_ns: int
) -> tuple[int, int, int]:
    """Return the first and the last (exclusive) window of a span, and their length.

    Windows that may still change at the venue's time `venue_ns` are left out. A rate is settled at the start
    of its window, and open interest read then; a candle is complete at the end.
    """
    final_ns = venue_ns - rules.candle_grace_s * SECOND_NS
    if plan.interval_ns == OPEN_INTEREST:
        step = rules.interest_s * SECOND_NS
    else:
        step = plan.interval_ns or (listed.rules.funding_s or _FUNDING_S) * SECOND_NS
    first = -(-plan.start_ns // step) * step
    if plan.interval_ns > 0:
        last = min(plan.end_ns, final_ns) // step * step
    else:
        last = min(-(-plan.end_ns // step) * step, final_ns // step * step + step)
    return first, max(first, last), step


async def read_series(
    client: VenueClient,
    rules: Rules,
    listed: InstrumentListed,
    plan: SeriesPlan,
    series: HistorySeries,
    venue_ns: int,
    result: SeriesRead,
) -> AsyncIterator[list[Event]]:
    """Yield what the journal lacks of a series, one batch for each request; set `result`.

    `listed` has the number and the scales of the journal, `series` is what that has already, and gets what is
    found. `venue_ns` is the venue's time. Raises VenueError.
    """
    first, last, step = windows_of(plan, listed, rules, venue_ns)
    series.step_ns = step
    # By its custom the venue has no candle of a quiet window, or settles no rates.
    silent = (
        listed.silence == "none"
        if plan.interval_ns > 0
        else plan.interval_ns == FUNDING and not listed.rules.funding_s
    )
    oldest_ns = -(-(venue_ns - rules.interest_kept_s * SECOND_NS) // step) * step
    result.step_ns, result.windows = step, (last - first) // step
    result.already = result.windows - _windows(series.without_rows(first, last), step)
    for from_ns, to_ns in series.due(first, last, venue_ns):
        found: list[Row] = []
        client.unusable.clear()
        if plan.interval_ns == OPEN_INTEREST:
            from_ns = max(from_ns, oldest_ns)  # the venue refuses what is older
            if from_ns >= to_ns:
                continue
            found += await client.open_interest(listed, from_ns, to_ns)
        elif plan.interval_ns:
            found += await client.candles(listed, step, from_ns, to_ns)
        else:
            found += await client.funding_rates(listed, from_ns, to_ns)
        times = {at: row for row in found if from_ns <= (at := _time(row)) < to_ns}
        kept_ns = from_ns
        if plan.interval_ns > 0 and rules.candles_kept:
            kept_ns = min([venue_ns // step * step - rules.candles_kept * step, *times])
        fresh: list[Row | HistoryRead] = [row for at, row in sorted(times.items()) if at not in series.times]
        result.new += [at for at in sorted(times) if at not in series.times]
        bad = {one.at_ns for one in client.unusable}
        result.unusable += [one.reason for one in client.unusable]
        if None not in bad:
            starts = {at // step * step for at in bad if at is not None}
            fresh += [
                HistoryRead(0, venue_ns, listed.instrument, plan.interval_ns, *span, kept_ns, rows)
                for span, rows in _answered(from_ns, to_ns, starts, times, step)
            ]
        for event in fresh:
            series.add(event)
        if fresh:
            yield [*fresh]
    result.missing = series.missing(first, last, silent=silent)


def _time(row: Row) -> int:
    return row.start_ns if isinstance(row, CandleRead) else row.venue_ns


def _windows(spans: Spans, step: int) -> int:
    return sum(end - start for start, end in spans) // step


def _answered(
    from_ns: int, to_ns: int, bad: set[int], times: Mapping[int, object], step: int
) -> Iterator[tuple[tuple[int, int], int]]:
    """Yield (span, rows) of what was answered, where rows are fewer than windows.

    A window of `bad` had a row that cannot be used: it is not answered.
    """
    for start, end in without([(from_ns, to_ns)], ((at, at + step) for at in sorted(bad))):
        rows = sum(start <= at < end for at in times)
        if rows * step < end - start:
            yield (start, end), rows


async def run_backfill(plan: BackfillPlan, read: Read) -> None:
    """Write what `read` yields. Raises EngineError."""
    with opened_journal(plan.root, plan.ids, plan.witness) as opened:
        recovered = opened.recovered
        committer = Committer(opened.writer, MeasuredEffects(plan.clock), lambda _: None)
        sequencer = Sequencer(plan.builder, committer, JournalHistory(plan.root))
        if recovered.end_seq:
            newest = read_records(plan.root / day_name(recovered.days[-1]))
            sequencer.follow(opened.earlier.watch(newest))
            committer.open_day(day_of(sequencer.now_ns))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(committer.run)
            await _session(plan, read, opened, sequencer, committer)
            await committer.settled()
            nursery.cancel_scope.cancel()


async def _session(
    plan: BackfillPlan, read: Read, opened: OpenedJournal, sequencer: Sequencer, committer: Committer
) -> None:
    def now_ns() -> int:
        return max(plan.clock.now_ns(), sequencer.now_ns)

    before = sequencer.session
    config = plan.config if before is None else parse_config(before.config)
    session = plan.ids.random_bytes(8).hex()
    started = plan.builder.start(
        recv_ns=now_ns(), session=session, mode="backfill", config=config, epoch=opened.epoch()
    )
    sequencer.run([started])
    if repaired := opened.repaired(now_ns()):
        sequencer.run(repaired)
    listed, fresh = numbered(plan.instruments, sequencer.instruments, now_ns())
    if fresh:
        sequencer.run([*fresh])
    try:
        async for batch in read(listed):
            for start in range(0, len(batch), BATCH):
                part = batch[start : start + BATCH]
                sequencer.run([msgspec.structs.replace(event, recv_ns=now_ns()) for event in part])
                await committer.settled()
    finally:
        sequencer.run([SessionStopped(now_ns(), session, "backfill")])
