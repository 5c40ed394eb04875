"""`engine bars`: the aggregator builds the venues' candles from recorded trades, field by field."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from adapters.files import import_files
from engine.clock import SECOND_NS, day_start_ns
from engine.commands.bars import bar_row
from engine.errors import UsageError
from engine.journal import list_days
from engine.values import parse_interval
from replay.bars import OF_BARS, STILL_OPEN, RebuiltBars, RecordedBars, bars_of
from replay.joining import JoinedDays
from tests.replay.kit import NOON, config_of, opening, steady, write_journal

DATA = Path(__file__).resolve().parents[3] / "shared/data"
ROOT = Path(__file__).resolve().parents[2]
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="the recorded data is not available")
PRICES = ("open", "high", "low", "close", "volume")


def rows_of(root: Path, interval: str, **options: Any) -> dict[int, dict[str, Any]]:
    """Return the bars of every day of a journal by start."""
    found: dict[int, dict[str, Any]] = {}
    for day in list_days(root):
        for one in bars_of([day.path], parse_interval(interval), **options):
            assert one.bar.start_ns not in found
            found[one.bar.start_ns] = bar_row(one)
    return found


def candles(path: Path, **names: Any) -> Iterator[dict[str, str]]:
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file, **names)


def same(row: dict[str, str], bar: dict[str, Any]) -> bool:
    return all(Decimal(row[name]) == Decimal(bar[name]) for name in PRICES)


@needs_data
@pytest.mark.parametrize("interval", ["1m", "5m"])
def test_every_candle_is_rebuilt_from_recorded_trades(tmp_path: Path, interval: str) -> None:
    """12,477 trades, and candles that leave out the minutes without trades."""
    folder = DATA / "trades-and-candles"
    import_files(
        [folder / "binance-spot-XRPETH-201910-trades.csv.gz"],
        venue="binance",
        instrument="XRPETH",
        journal=tmp_path,
        silence="none",
    )
    bars = rows_of(tmp_path, interval, unclosed=True)
    rows = list(candles(folder / f"binance-spot-XRPETH-201910-{interval}.csv.gz"))
    assert len(rows) == len(bars)
    assert all(same(row, bars[int(row["t"]) * 1_000_000]) for row in rows)
    unfinished = [bar for bar in bars.values() if not bar["complete"]]
    assert [bar["incomplete_because"] for bar in unfinished] == ["the data begins inside it", STILL_OPEN]
    closed = rows_of(tmp_path, interval)
    assert len(closed) == len(bars) - 1, "the bar that is still open is left out"


@needs_data
def test_every_minute_is_built_from_its_seconds(tmp_path: Path) -> None:
    folder = DATA / "trades-and-candles"
    columns = dict(zip(("time", *PRICES), "012345", strict=True))
    import_files(
        [folder / "coinbase-BTCUSD-20161007-second.csv.gz"],
        venue="coinbase",
        instrument="BTC-USD",
        journal=tmp_path,
        columns=columns,
        interval="1s",
        day="2016-10-07",
    )
    bars = rows_of(tmp_path, "1m", unclosed=True)
    rows = list(candles(folder / "coinbase-BTCUSD-20161007-minute.csv.gz", fieldnames=["t", *PRICES]))
    assert len(rows) == len(bars)
    midnight = day_start_ns("2016-10-07")
    assert all(same(row, bars[midnight + int(row["t"]) * 1_000_000]) for row in rows)
    assert {bar["source"] for bar in bars.values()} == {"venue"}


@needs_data
@pytest.mark.parametrize("instrument", ["BTC", "HYPE"])
def test_the_venues_longer_candles_are_built_from_its_minutes(tmp_path: Path, instrument: str) -> None:
    """Every candle whose minutes all exist is rebuilt exactly."""
    import_files(
        [DATA / f"candles/hl-{instrument}-1m.csv.gz"],
        venue="hyperliquid",
        instrument=instrument,
        journal=tmp_path,
    )
    for interval in ("3m", "5m", "15m"):
        rows = {
            int(row["t"]) * 1_000_000: row
            for row in candles(DATA / f"candles/hl-{instrument}-{interval}.csv.gz")
        }
        bars = rows_of(tmp_path, interval)
        whole = {start: bar for start, bar in bars.items() if bar["complete"]}
        assert len(whole) == len(bars) - 1, "only the first begins inside its window"
        assert len(whole) > 400
        assert [start for start, bar in whole.items() if not same(rows[start], bar)] == []


def sample() -> Path:
    return ROOT / "journal/2024-12-05"


@pytest.mark.parametrize("interval", ["15s", "1m", "5m", "15m"])
def test_rebuilt_bars_are_the_recorded_ones(tmp_path: Path, interval: str) -> None:
    """Compares the bars of the sample day with bars from its trades alone."""
    interval_ns = parse_interval(interval)
    on_record = bars_of([sample()], interval_ns)
    assert on_record
    joined = JoinedDays([sample()], types=OF_BARS)
    found = RecordedBars(interval_ns, {sample(): day_start_ns("2024-12-05")}, joined.keys)
    found.read(sample())
    made = RebuiltBars(interval_ns, found.config, None)
    made.run(joined.batches(), 2**63 - 1)
    found.bars.clear()
    found.take(made.bars, made.listed)
    again = {(one.listed.name, one.bar.start_ns): bar_row(one) for one in found.sorted()}
    for one in on_record:
        assert again.pop((one.listed.name, one.bar.start_ns)) == bar_row(one)


def test_an_interval_that_was_not_recorded_is_built_from_the_trades() -> None:
    minutes = bars_of([sample()], parse_interval("1m"))
    thirds = bars_of([sample()], parse_interval("3m"))
    assert {one.listed.name for one in thirds} == {"BTC", "ETH", "PURR"}
    for one in thirds:
        if one.bar.incomplete:
            continue
        parts = [
            part.bar
            for part in minutes
            if part.listed == one.listed and 0 <= part.bar.start_ns - one.bar.start_ns < 180 * 10**9
        ]
        assert len(parts) == 3
        assert one.bar.trades == sum(part.trades for part in parts)
        assert int(one.bar.volume) == sum(int(part.volume) for part in parts)
        traded = [part for part in parts if part.trades] or parts
        assert (one.bar.open, one.bar.close) == (traded[0].open, traded[-1].close)


def test_other_days_of_the_journal_are_not_read(tmp_path: Path) -> None:
    for name, day, price in (("AAA", "04", "7"), ("BBB", "05", "500"), ("CCC", "06", "0.1")):
        file = tmp_path / f"{name}.csv"
        file.write_text(
            f"time,price,size\n2024-12-{day}T12:00:30Z,{price},1\n2024-12-{day}T12:02:30Z,{price},2\n"
        )
        import_files([file], venue="sim", instrument=name, journal=tmp_path / "j")
    bars = bars_of([tmp_path / "j/2024-12-05"], parse_interval("1m"))
    assert [(one.listed.name, bar_row(one)["close"], one.bar.trades) for one in bars] == [
        ("BBB", "500", 1),
        ("BBB", "500", 0),
    ]


def test_a_day_of_candles_cannot_give_shorter_bars(tmp_path: Path) -> None:
    file = tmp_path / "candles.csv"
    file.write_text(
        "time,open,high,low,close,volume\n2024-12-05T00:00:00Z,1,2,1,2,5\n2024-12-05T00:01:00Z,2,2,1,1,3\n"
    )
    import_files([file], venue="sim", instrument="AAA", journal=tmp_path / "j")
    day = tmp_path / "j/2024-12-05"
    with pytest.raises(UsageError, match="holds candles of 1m; no bars of 30s can be built from them"):
        bars_of([day], parse_interval("30s"))
    assert len(bars_of([day], parse_interval("1m"))) == 2
    (open_bar,) = bars_of([day], parse_interval("5m"), unclosed=True)
    assert (open_bar.bar.because, int(open_bar.bar.volume)) == (STILL_OPEN, 8)


def test_windows_of_a_session_without_the_interval_are_built_from_its_trades(
    tmp_path: Path,
) -> None:
    """A second session of the day with one more interval does not hide the first session's hours."""
    second = NOON + 40 * SECOND_NS
    again = opening(config_of(intervals=("1s", "5s")), second, session="00000000000000bb")[:1]
    inputs = [*opening(config_of(intervals=("1s",)), NOON), *steady(300, NOON), *again, *steady(300, second)]
    write_journal(tmp_path, [inputs])
    day = tmp_path / "2024-12-05"
    starts = {one.bar.start_ns for one in bars_of([day], parse_interval("5s"))}
    assert {start for start in starts if start < second - 20 * SECOND_NS}, (
        "built from the first session's trades"
    )
    assert {start for start in starts if start >= second}, "on record"
