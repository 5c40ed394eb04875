"""A backtest of a range reads its inputs alone, trades on no earlier one, and its journal replays."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import replay
from engine.clock import DAY_NS, SECOND_NS, day_start_ns, iso_text
from engine.config import Config
from engine.errors import UsageError
from engine.events import (
    Candle,
    ClockAdopted,
    Event,
    FeedDown,
    FeedUp,
    InstrumentListed,
    SessionStarted,
    SignalRaised,
    SubmitOrder,
    Trade,
    engine_time,
)
from engine.journal import JournalWriter, Tail, ensure_identity, list_days
from engine.records import open_day, read_records
from engine.session import SessionBuilder
from engine.strategies import Bar, Strategy, Tick
from replay.backtesting import BacktestReport, DigestSink, JournalSink, run_backtest
from replay.joining import JoinedDays
from replay.merging import Batch
from replay.ranges import Range, clipped, parse_range
from replay.verification import replay_day
from tests.commands.kit import as_json, engine
from tests.profiles import examples
from tests.replay.kit import BUSY, EVE, JOURNAL_ID, NOON, candles, config_of, steady, use
from tests.replay.test_backtest import recorded
from tests.strategies.fakes import CODE, STRATEGIES

COUNT, GAP = 400, 90_000_000


class Eager(Strategy):
    """Buys on every trade and at every bar, and plots which of them were history."""

    def on_start(self) -> None:
        self.skipped = 0
        self.history = 0

    def on_trade(self, trade: Tick) -> None:
        self.plot("trade", 1.0)
        if self.warming:
            self.skipped += 1
        self.buy(trade.market, "0.001")

    def on_bar(self, bar: Bar) -> None:
        self.plot("skipped", float(self.skipped))
        self.history += bar.warmup
        self.plot("history", float(self.history))
        self.target(bar.market, "0.5" if bar.close > bar.open else 0)


def builder() -> SessionBuilder:
    classes = {**STRATEGIES, "fakes:Eager": Eager}
    return SessionBuilder(classes.__getitem__, CODE, "0.0.test")


def run(folders: list[Path], within: Range, config: Config = BUSY, out: Path | None = None) -> BacktestReport:
    sink = DigestSink()
    if out is not None:
        out.mkdir()
        tail = Tail(journal_id=ensure_identity(out, JOURNAL_ID))
        sink = JournalSink(JournalWriter(out, tail, salts=lambda: os.urandom(16), sync=False))
    return run_backtest(folders, builder(), config, sink, within=within)


def records(out: Path) -> list[Any]:
    return [record for day in list_days(out) for record in read_records(day.path)]


def prices(folders: list[Path], within: Range) -> list[Event]:
    return [
        event
        for batch in JoinedDays(folders, within=within).batches()
        for event in batch
        if isinstance(event, Trade | Candle)
    ]


@pytest.fixture(scope="module")
def days(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two days of trades, the end of one and the begin of the next."""
    return recorded(tmp_path_factory.mktemp("days") / "a", EVE, COUNT)


@examples(0.5)
@given(st.lists(st.integers(-3, COUNT + 3), min_size=2, max_size=5).map(sorted), st.integers(0, 2))
def test_ranges_that_meet_have_every_input_once(days: list[Path], cuts: list[int], shift: int) -> None:
    """The ranges between some times hold the inputs from the first time to the last, each once."""
    edges = sorted({EVE + cut * GAP + shift for cut in cuts})
    found = []
    for begin, end in itertools.pairwise(edges):
        try:
            found += prices(days, Range(begin, end))
        except UsageError:
            assert all(not begin <= engine_time(one) < end for one in prices(days, Range()))
    everything = prices(days, Range())
    assert len(everything) == COUNT
    if len(edges) > 1:
        assert found == [one for one in everything if edges[0] <= engine_time(one) < edges[-1]]


@examples(0.2)
@given(begin=st.integers(0, COUNT - 40), length=st.integers(20, COUNT))
def test_a_range_is_the_run_of_data_that_has_nothing_else(
    days: list[Path], tmp_path_factory: pytest.TempPathFactory, begin: int, length: int
) -> None:
    """What comes of a range is what comes of a recording of its inputs alone."""
    folder = tmp_path_factory.mktemp("range")
    within = Range(EVE + begin * GAP, EVE + (begin + length) * GAP)
    data = steady(COUNT, EVE)[begin : begin + length]
    alone = recorded(folder / "a", engine_time(data[0]), data=data)
    one, other = run(days, within), run(alone, Range())
    assert (one.trades, one.orders, one.fills, one.equity, one.positions) == (
        (other.trades, other.orders, other.fills, other.equity, other.positions)
    )
    assert (one.first, one.last) == (other.first, other.last)


def test_nothing_of_the_end_or_later_is_read(days: list[Path]) -> None:
    """What a record ends with before `end` does not depend on what comes after, bit for bit."""
    end = EVE + 50 * GAP
    full, short = run(days, Range(0, end)), run(days[:1], Range(0, end))
    assert full.digest == short.digest
    assert full.trades == 50


def test_a_stream_is_not_read_beyond_the_end() -> None:
    """What comes after the range may even be damaged."""

    def stream() -> Iterator[Batch]:
        trades = steady(20, NOON)
        yield trades[:8], False
        yield trades[8:14], False
        raise AssertionError("read beyond the end")

    found = [event for events, _ in clipped(stream(), Range(NOON, NOON + 10 * GAP)) for event in events]
    assert found == steady(20, NOON)[:10]


def test_the_range_is_in_the_report_the_session_and_the_digest(days: list[Path], tmp_path: Path) -> None:
    begin, end = EVE + 10 * GAP, EVE + 300 * GAP
    report = run(days, Range(begin, end), out=tmp_path / "out")
    assert (report.begin, report.end, report.trades, report.first) == (begin, end, 290, begin)
    found = [replay_day(open_day(day.path), builder())[0] for day in list_days(tmp_path / "out")]
    assert len(found) == 2
    assert all(one.identical for one in found)
    assert found[-1].digest == report.digest == run(days, Range(begin, end)).digest
    started = records(tmp_path / "out")[0][2]
    assert isinstance(started, SessionStarted)
    assert (started.begin_ns, started.end_ns) == (begin, end)
    # The same inputs by another range are another session.
    other = run(days, Range(begin - 1, end), out=tmp_path / "other")
    assert other.trades == report.trades
    assert other.digest != report.digest
    assert records(tmp_path / "other")[0][2].session != started.session


@pytest.mark.parametrize("cls", ["Busy", "Eager", "Careful"])
def test_warming_up_shows_history_and_trades_on_none_of_it(
    days: list[Path], tmp_path: Path, cls: str
) -> None:
    begin, end = EVE + 120 * GAP, EVE + 300 * GAP
    within = Range(begin, end, 100 * GAP)
    report = run(days, within, config_of(use(cls)), tmp_path / "out")
    found = records(tmp_path / "out")
    orders = [event for _, _, event in found if isinstance(event, SubmitOrder)]
    assert orders
    assert min(map(engine_time, orders)) >= begin
    assert report.trades == 280
    assert report.first == begin
    assert report.analysis.days[0].at_ns == begin
    assert all(replay_day(open_day(day.path), builder())[0].identical for day in list_days(tmp_path / "out"))


def test_a_strategy_knows_what_is_history(days: list[Path], tmp_path: Path) -> None:
    """Hooks run on history, with `warming` true and `bar.warmup`; what they keep is there afterwards."""
    begin = EVE + 120 * GAP
    run(days, Range(begin, 0, 100 * GAP), config_of(use("Eager")), tmp_path / "out")
    plots = [event for _, _, event in records(tmp_path / "out") if isinstance(event, SignalRaised)]
    assert sum(plot.name == "trade" for plot in plots) == COUNT - 120
    assert {plot.value for plot in plots if plot.name == "skipped"} == {100.0}
    history = {plot.value for plot in plots if plot.name == "history"}
    assert len(history) == 1
    assert min(history) >= 8, "nine seconds of bars of a second, of two instruments"


def test_a_candle_belongs_to_the_time_before_its_end(tmp_path: Path) -> None:
    """A candle is received at its end: it is in the range that ends then, and not in the next one."""
    minute = 60 * SECOND_NS
    folders = recorded(tmp_path / "a", data=candles(20, NOON, minute))
    first = prices(folders, Range(NOON, NOON + 5 * minute))
    second = prices(folders, Range(NOON + 5 * minute, NOON + 8 * minute))
    assert [(one.start_ns - NOON) // minute for one in first] == [0, 1, 2, 3, 4]  # type: ignore[attr-defined]
    assert [(one.start_ns - NOON) // minute for one in second] == [5, 6, 7]  # type: ignore[attr-defined]


def test_the_state_of_feeds_and_instruments_is_that_of_the_begin(tmp_path: Path) -> None:
    """What a day said before the range of its feeds, clock and instruments is known at its begin."""
    data: list[Event] = [
        FeedUp(NOON, "sim", 2),
        ClockAdopted(NOON, "sim", NOON, 1.0),
        FeedDown(NOON + SECOND_NS, "sim", "test"),
        FeedUp(NOON + 2 * SECOND_NS, "sim", 3),
        *steady(100, NOON + 3 * SECOND_NS),
    ]
    folders = recorded(tmp_path / "a", data=data)
    begin = NOON + 5 * SECOND_NS
    found = [event for batch in JoinedDays(folders, within=Range(begin)).batches() for event in batch]
    head = found[: next(at for at, one in enumerate(found) if isinstance(one, Trade))]
    assert {type(one) for one in head} == {InstrumentListed, FeedUp, ClockAdopted}
    assert [one.subscriptions for one in head if isinstance(one, FeedUp)] == [3]
    assert {engine_time(one) for one in head} == {begin}


@pytest.mark.parametrize(
    ("begin", "end", "words"),
    [
        ("2025-03-02", "2025-03-01", "end 2025-03-01 is not after begin 2025-03-02"),
        ("2025-03-02", "2025-03-02", "is not after begin"),
        ("yesterday", None, "begin: 'yesterday' is not an ISO 8601 time; write it as 2025-03-01"),
        (None, "1969-01-01", "end: 1969-01-01 is before 1970"),
    ],
)
def test_a_range_that_cannot_be_is_refused(begin: str | None, end: str | None, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        parse_range(begin, end)


def test_a_range_without_data_says_which_days_there_are(days: list[Path]) -> None:
    with pytest.raises(UsageError, match=r"no day is in the range 2025-01-01T00:00:00 to the last input"):
        run(days, parse_range("2025-01-01", None))
    with pytest.raises(UsageError, match="the days are of 2024-12-05 to 2024-12-06"):
        run(days, parse_range(None, "2024-01-01"))
    with pytest.raises(
        UsageError, match=r"no trades, quotes, candles, books, contexts or liquidations .* in the range"
    ):
        run(days, parse_range("2024-12-05T12:00", "2024-12-05T13:00"))
    with pytest.raises(UsageError, match="in the range"):
        run(days, Range(EVE + DAY_NS // 2, EVE + DAY_NS, DAY_NS))


def test_the_command_and_the_library_take_a_range(days: list[Path]) -> None:
    begin, end = iso_text(EVE + 10 * GAP), "2024-12-06"
    args = ["backtest", *map(str, days), "--begin", begin, "--end", end, "--json"]
    found = as_json(engine(*args, "--strategy", "engine.strategies.crossover:Crossover"))
    assert (found["begin"], found["end"]) == (begin, iso_text(day_start_ns(end)))
    report = replay.backtest(days, Config(), begin=begin, end=end)
    assert (report.digest, report.trades) == (found["digest"], found["trades"])
    assert report.trades == len(prices(days, Range(report.begin, report.end)))
    done = engine("backtest", str(days[0]), "--begin", "2024-12-06", "--end", "2024-12-05")
    assert done.code == 2
    assert "is not after begin" in done.err


def test_a_warm_up_takes_the_days_before_from_the_journal(days: list[Path], tmp_path: Path) -> None:
    """The given day is traded; what it sees before is as if both days were given, and nothing is sent."""
    use_of = ("--strategy", "engine.strategies.crossover:Crossover", "--json")
    begin = day_start_ns("2024-12-06")
    one = as_json(engine("backtest", str(days[1]), "--warmup", "2d", *use_of, "--out", str(tmp_path / "one")))
    both = as_json(
        engine("backtest", str(days[1].parent), "--begin", "2024-12-06", "--warmup", "2d", *use_of)
    )
    assert one["digest"] == both["digest"]
    assert one["digest"] == replay.backtest([days[1]], Config(), warmup="2d").digest
    assert (one["begin"], one["warmup_ns"]) == (iso_text(begin), 2 * DAY_NS)
    assert one["trades"] == len(prices(days, Range(begin - 2 * DAY_NS)))
    assert one["trades"] > len(prices([days[1]], Range(begin)))
    assert one["begin_ns"] == begin
    assert any(
        "a warm-up of 2d was asked for, and the data begins at 2024-12-05" in note for note in one["notes"]
    )
    sent = [event for _, _, event in records(tmp_path / "one") if isinstance(event, SubmitOrder)]
    assert all(engine_time(event) >= begin for event in sent)
    cold = as_json(engine("backtest", str(days[1]), *use_of))
    assert cold["digest"] != one["digest"]


def test_a_warm_up_in_a_day_reads_that_much_and_no_more(days: list[Path]) -> None:
    begin = EVE + 70 * GAP
    within = ("--begin", iso_text(begin), "--warmup", "4s")
    found = as_json(engine("backtest", str(days[0]), *within, "--json"))
    assert found["trades"] == len(prices([days[0]], Range(begin - 4 * SECOND_NS)))
    assert found["trades"] > len(prices([days[0]], Range(begin)))
    assert found["notes"] == as_json(engine("backtest", str(days[0]), *within[:2], "--json"))["notes"]


def test_a_warm_up_without_data_says_so(days: list[Path]) -> None:
    done = engine("backtest", str(days[0]), "--warmup", "1d")
    assert done.code == 0
    assert "a warm-up of 1d was asked for, and there is no data before 2024-12-05T00:00:00" in done.out
    done = engine("backtest", str(days[0]), "--warmup", "soon")
    assert (done.code, "warmup: 'soon' is not a span of time; write it as 90s" in done.err) == (2, True)
