"""History that a backfill fetched is played by a backtest, at the times it is of."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from adapters.files import import_files
from engine.clock import DAY_NS, SECOND_NS, day_start_ns
from engine.errors import UsageError
from engine.events import (
    Candle,
    CandleRead,
    Event,
    FundingRead,
    InstrumentListed,
    SessionStarted,
    SessionStopped,
    Trade,
    engine_time,
)
from replay.joining import JoinedDays
from tests.replay.imports import bars, imported, play, results
from tests.replay.kit import NOON, config_of, use, write_journal
from tests.strategies.fakes import builder

MINUTE = 60 * SECOND_NS
HOUR = 60 * MINUTE
BEGIN = day_start_ns("2024-11-01") - 3 * MINUTE
"""The history passes a midnight."""

LISTED = InstrumentListed(NOON, 1, "sim", "AAA", 2, 1)
OTHER = InstrumentListed(NOON, 2, "sim", "BBB", 1, 0)


def candle(
    at: int, price: int, *, instrument: int = 1, interval_ns: int = MINUTE, volume: int = 10
) -> CandleRead:
    """Return the candle number `at` of the history, with one price."""
    start_ns = BEGIN // interval_ns * interval_ns + at * interval_ns
    end_ns = start_ns + interval_ns
    prices = (price, price + 1, price, price)
    return CandleRead(NOON, end_ns, instrument, interval_ns, start_ns, *prices, volume, 3, "history")


def rate(hours: int, rate: int, instrument: int = 1) -> FundingRead:
    """Return the rate of an hour after midnight."""
    return FundingRead(NOON, day_start_ns("2024-11-01") + hours * HOUR, instrument, 8, rate, 0)


def session(mode: str, inputs: Sequence[Event], at_ns: int = NOON) -> list[Event]:
    """Return a session with these inputs, all received at its time."""
    name = f"{at_ns // SECOND_NS:016x}"
    started: SessionStarted = builder().start(
        recv_ns=at_ns, session=name, mode=mode, config=config_of(use("Averages"))
    )
    received = [msgspec.structs.replace(event, recv_ns=at_ns) for event in inputs]  # type: ignore[type-var]
    return [started, *received, SessionStopped(at_ns, name, "test")]


def events(root: Path, *more: Path, plays: bool = True) -> list[Event]:
    joined = JoinedDays([*more, *sorted(root.glob("20*"))], plays_history=plays)
    return [event for batch in joined.batches() for event in batch]


def test_fetched_candles_are_played_at_their_end_each_once_the_newest_reading(tmp_path: Path) -> None:
    """It was 0 candles and exit 0. Holes that a later run filled are in their place."""
    read = [candle(at, 1000 + at) for at in (0, 1, 5, 6)]
    again = [candle(at, 2000 + at) for at in (2, 3, 4, 5)]
    hours = [candle(at, 500, interval_ns=HOUR) for at in range(3)]
    inputs = session("backfill", [LISTED, *hours, *read]) + session("backfill", again, NOON + MINUTE)
    write_journal(tmp_path, [inputs])
    found = events(tmp_path)
    candles = [event for event in found if isinstance(event, Candle)]
    assert [(one.start_ns - BEGIN) // MINUTE for one in candles] == list(range(7))
    assert [one.open for one in candles] == [1000, 1001, 2002, 2003, 2004, 2005, 1006]
    midnight = day_start_ns("2024-11-01")
    assert [one.venue_ns - one.recv_ns for one in candles] == [0, 0, 1, 0, 0, 0, 0]
    assert candles[2].venue_ns == midnight, "received in the day that ends, like a candle of a file"
    assert found[0] == msgspec.structs.replace(LISTED, recv_ns=BEGIN + MINUTE)
    joined = JoinedDays([tmp_path / "2024-12-05"], plays_history=True)
    (note,) = joined.history.notes.values()
    assert note == (
        "AAA: the days have no trades or candles of it; played are the 7 candles of 1m that "
        "`engine backfill` fetched (not its 1h)"
    )
    report = play([tmp_path / "2024-12-05"])
    assert (report.candles, report.fills, report.bars) == (7, 1, 8), "with the day's"
    assert report.notes[-2].startswith("AAA: the days have no trades")
    assert (report.first, report.last) == (BEGIN + MINUTE, BEGIN + 7 * MINUTE)


def test_the_result_is_that_of_the_same_candles_imported(tmp_path: Path) -> None:
    prices = [1000, 1010, 990, 1005, 1200, 1190, 1300, 1310]
    write_journal(tmp_path / "a", [session("backfill", [LISTED, *map(candle, range(8), prices)])])
    rows = ""
    for at, price in enumerate(prices):
        low, high = price / 100, (price + 1) / 100
        rows += f"{(BEGIN + at * MINUTE) // 10**6},{low},{high},{low},{low},1,3\n"
    file = tmp_path / "AAA.csv"
    file.write_text(f"time,open,high,low,close,volume,trades\n{rows}")
    import_files(
        [file], venue="sim", instrument="AAA", journal=tmp_path / "b", price_decimals=2, size_decimals=1
    )
    mine = play([tmp_path / "a/2024-12-05"], "Once")
    theirs = play(sorted((tmp_path / "b").glob("20*")), "Once")
    assert mine.fills == 2
    mine.notes.pop(-2)
    assert results(mine) == results(theirs)


def test_fetched_rates_are_paid_at_their_hour(tmp_path: Path) -> None:
    """Also with candles of another journal. Rates before the first price and after the last do not count."""
    hours = range(30)
    read: list[Event] = [candle(at, 1000, interval_ns=HOUR) for at in hours]
    rates: list[Event] = [rate(at, 1_000_000) for at in range(-5, 40)]  # 1 % each
    write_journal(tmp_path / "a", [session("backfill", [LISTED, *read, *rates])])
    first_ns = BEGIN // HOUR * HOUR + HOUR
    found = [event for event in events(tmp_path / "a") if isinstance(event, FundingRead)]
    assert [one.venue_ns for one in found] == [first_ns + at * HOUR for at in range(30)]
    assert [one.recv_ns for one in found] == [one.venue_ns for one in found]
    times = [engine_time(event) for event in events(tmp_path / "a")]
    assert times == sorted(times)
    report = play([tmp_path / "a/2024-12-05"])
    assert (report.candles, report.funding_rates, report.fills) == (30, 30, 1)
    assert report.positions["Hold AAA"]["size"] == "1"
    # Bought after the first candle at 10, in the second hour: 29 hours are paid, 10 * 1 % each.
    assert report.funding == "-2.9"
    assert not any("has no rates" in note for note in report.notes)
    begin_ms = (BEGIN // HOUR * HOUR) // 10**6
    rows = [(begin_ms + at * 60_000, "10", "1") for at in range(30 * 60)]
    folders = imported(tmp_path / "b", rows, "AAA", venue="sim")
    write_journal(tmp_path / "c", [session("backfill", [LISTED, *rates])])
    report = play([*folders, tmp_path / "c/2024-12-05"])
    assert report.trades == 1800
    assert report.candles == 0
    assert report.funding == "-2.9"


def test_only_instruments_without_trades_or_candles_are_played_from_history(tmp_path: Path) -> None:
    read = [candle(at, 1000 + at) for at in range(5)] + [candle(at, 50, instrument=2) for at in range(5)]
    trade = Trade(NOON, NOON, 1, 1000, 1, 1)
    inputs = session("backfill", [LISTED, OTHER, *read]) + session("paper", [trade], NOON + MINUTE)
    write_journal(tmp_path, [inputs])
    found = events(tmp_path)
    assert [event.instrument for event in found if isinstance(event, Candle)] == [2] * 5
    assert sum(isinstance(event, Trade) for event in found) == 1
    assert not any(isinstance(event, CandleRead) for event in found)


def test_the_report_says_nothing_of_history_that_the_configuration_leaves_out(tmp_path: Path) -> None:
    read = [candle(at, 1000, instrument=number) for number in (1, 2) for at in range(5)]
    write_journal(tmp_path, [session("backfill", [LISTED, OTHER, *read])])
    report = play([tmp_path / "2024-12-05"], instruments=("BBB",))
    assert report.candles == 5
    assert [note[:4] for note in report.notes if "fetched" in note] == ["BBB:"]


def test_what_a_live_session_reads_to_warm_up_is_not_played(tmp_path: Path) -> None:
    read = [candle(at, 1000 + at) for at in range(5)]
    write_journal(tmp_path, [session("paper", [LISTED, *read])])
    with pytest.raises(UsageError, match="there is nothing to play"):
        play([tmp_path / "2024-12-05"])


def test_a_backfill_in_the_middle_of_a_day_is_found(tmp_path: Path) -> None:
    """It lists nothing, since the day has the instruments; what the session before read is not played."""
    warm_up = [candle(at, 7) for at in range(9)]
    fetched = [candle(at, 1000) for at in range(2, 5)]
    first = session("paper", [LISTED, *warm_up])
    write_journal(tmp_path, [first, session("backfill", fetched, NOON + MINUTE)])
    found = [event for event in events(tmp_path) if isinstance(event, Candle)]
    assert [one.open for one in found] == [1000] * 3


def test_a_backfill_over_midnight_is_whole(tmp_path: Path) -> None:
    """The second day opens within the session that fetches."""
    history: list[Event] = [*(candle(at, 1000 + at) for at in range(6)), rate(0, 1)]
    started, listed, *read = session("backfill", [LISTED, *history])[:-1]
    later = [msgspec.structs.replace(one, recv_ns=NOON + DAY_NS) for one in read[3:]]  # type: ignore[type-var]
    write_journal(tmp_path, [[started, listed, *read[:3], *later]])
    assert len(sorted(tmp_path.glob("20*"))) == 2
    assert sum(isinstance(event, Candle) for event in events(tmp_path)) == 6
    rates = [event.recv_ns for event in events(tmp_path) if isinstance(event, FundingRead)]
    assert rates == [day_start_ns("2024-11-01")], "once, at its time"
    alone = JoinedDays([tmp_path / "2024-12-06"], plays_history=True)
    assert [one.start_ns for one in alone.history.candles] == [BEGIN + at * MINUTE for at in (3, 4, 5)]


def test_histories_of_two_journals_at_two_scales_are_one(tmp_path: Path) -> None:
    finer = msgspec.structs.replace(LISTED, price_scale=4, size_scale=3)
    write_journal(tmp_path / "a", [session("backfill", [LISTED, *(candle(at, 1000) for at in (0, 1, 2))])])
    read = [candle(at, 100_000, volume=1000) for at in (2, 3, 4)]
    write_journal(tmp_path / "b", [session("backfill", [finer, *read], NOON + DAY_NS)])
    folders = [tmp_path / "b/2024-12-06", tmp_path / "a/2024-12-05"]
    joined = JoinedDays(folders, plays_history=True)
    assert [(one.open, int(one.volume)) for one in joined.history.candles] == [(100_000, 1000)] * 5
    assert [one.high - one.low for one in joined.history.candles] == [100, 100, 1, 1, 1], "the newest reading"


def test_bars_do_not_play_history(tmp_path: Path) -> None:
    write_journal(tmp_path, [session("backfill", [LISTED, candle(0, 1000)])])
    with pytest.raises(UsageError, match="holds neither trades nor candles"):
        bars([tmp_path / "2024-12-05"], "1m")
