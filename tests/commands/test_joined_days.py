"""`engine import`, `bars` and `backtest` on days of several journals and on fetched history."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from engine.actors.bars import GAP
from engine.clock import day_of
from engine.events import BarClosed, InstrumentListed
from engine.journal import list_days
from engine.records import read_records
from tests.commands.kit import as_json, engine, lines, sandbox
from tests.replay.imports import Row, steps, trades

ONCE = """
from engine.strategies import Bar, Strategy

class Once(Strategy):
    def on_start(self) -> None:
        self.markets: list[str] = []

    def on_bar(self, bar: Bar) -> None:
        if bar.market not in self.markets:
            self.markets.append(bar.market)
            self.buy(bar.market, "1")
"""

SEEN = """
from engine.strategies import Bar, Strategy

class Seen(Strategy):
    def on_bar(self, bar: Bar) -> None:
        pass
"""

CONFIG = """
[[strategies]]
use = "once:Once"
[bars]
intervals = ["1m"]
[account]
cash = "1000000"
[risk]
max_order_notional = "1000000"
max_position_notional = "1000000"
[paper]
slippage_bps = 0
"""


def imported(root: Path, rows: list[Row], name: str) -> Path:
    file = trades(root.parent / f"{root.name}.csv", rows)
    done = engine("import", file, "--venue", "binance", "--instrument", name, "--journal", root)
    assert done.code == 0, done.err
    (day,) = sorted(root.glob("20*"))
    return day


def backtest(folder: Path, *days: Path) -> Any:
    (folder / "once.py").write_text(ONCE)
    (folder / "c.toml").write_text(CONFIG)
    return engine("backtest", *days, "--config", folder / "c.toml", "--json", cwd=folder)


def example(root: Path) -> tuple[Path, Path, Path]:
    """Two days of one instrument whose files need other decimals, and a day of another instrument."""
    halves, quarters = ("100.0", "100.5", "101.0", "101.5", "102.0"), ("100.00", "100.25", "100.50")
    first = imported(root / "a", steps("2024-01-01", halves, ("1",), 720, 120), "BTCUSDT")
    second = imported(root / "b", steps("2024-01-02", quarters, ("0.125", "2.001"), 720, 120), "BTCUSDT")
    third = imported(root / "c", steps("2024-01-02", ("3000", "3001.5"), ("2",), 720, 120), "ETHUSDT")
    return first, second, third


def test_days_imported_one_by_one_keep_their_values(tmp_path: Path) -> None:
    first, second, third = example(tmp_path)
    done = engine("bars", third, second, first, "--interval", "1d", "--json", "--open")
    assert done.code == 0, done.err
    assert [(row["instrument"], row["open"], row["volume"]) for row in lines(done)] == [
        ("BTCUSDT", "100", "720"),
        ("BTCUSDT", "100", "765.36"),
        ("ETHUSDT", "3000", "1440"),
    ]
    weeks = lines(engine("bars", first, second, third, "--interval", "1w", "--json", "--open"))
    assert [(row["instrument"], row["volume"]) for row in weeks] == [
        ("BTCUSDT", "1485.36"),
        ("ETHUSDT", "1440"),
    ]
    report = as_json(backtest(tmp_path, second, first, third))
    assert {name: (held["size"], held["cost"]) for name, held in report["positions"].items()} == {
        "Once BTCUSDT": ("1", "100.5"),
        "Once ETHUSDT": ("1", "3001.5"),
    }
    assert report["trades"] == 2160
    assert report["digest"] == as_json(backtest(tmp_path, third, first, second))["digest"]


def test_a_day_that_was_not_imported_is_unknown_and_not_silent(tmp_path: Path) -> None:
    """Of six days 1, 2, 5 and 6 are there of BTC, only 2 of ETH: after it ETH is unknown until the end."""
    days = [
        imported(tmp_path / date, steps(f"2024-01-0{date}", ("100", "101"), ("1",), 24, 3600), "BTCUSDT")
        for date in "1256"
    ]
    days.append(imported(tmp_path / "e", steps("2024-01-02", ("10",), ("1",), 24, 3600), "ETHUSDT"))
    (tmp_path / "seen.py").write_text(SEEN)
    (tmp_path / "c.toml").write_text(CONFIG.replace("once:Once", "seen:Seen").replace('"1m"', '"4h", "1d"'))
    out = tmp_path / "out"
    done = engine("backtest", *days, "--config", tmp_path / "c.toml", "--out", out, cwd=tmp_path)
    assert done.code == 0, done.err
    whole = {"BTCUSDT": (1, 2, 5, 6), "ETHUSDT": (2,)}
    bars = [(bar, names[bar.instrument]) for names, bar in _closed(out)]
    assert {(name, _date(bar)) for bar, name in bars if not bar.incomplete} == {
        (name, date) for name, dates in whole.items() for date in dates
    }
    assert {bar.because for bar, _ in bars if bar.incomplete} == {GAP}
    (week,) = lines(engine("bars", *days[:4], "--interval", "1w", "--json", "--open"))
    assert not week["complete"]


def _closed(root: Path) -> Iterator[tuple[dict[int, str], BarClosed]]:
    """Yield the bars of a journal, each with the names of its instruments."""
    names: dict[int, str] = {}
    for day in list_days(root):
        for _, _, event in read_records(day.path):
            if isinstance(event, InstrumentListed):
                names[event.instrument] = event.name
            elif isinstance(event, BarClosed):
                yield names, event


def _date(bar: BarClosed) -> int:
    return int(day_of(bar.start_ns)[-2:])


def test_doubled_and_overlapping_days_are_named(tmp_path: Path) -> None:
    first, second, _ = example(tmp_path)
    other = imported(tmp_path / "d", steps("2024-01-01", ("100",), ("1",), 9, 60), "BTCUSDT")
    for days, words in (
        ((first, second, first), (f"{first}: the same day is given twice",)),
        ((first, other), (str(first), str(other), "both have data of binance:BTCUSDT at the same time")),
    ):
        for done in (backtest(tmp_path, *days), engine("bars", *days)):
            assert done.code == 2
            assert all(word in done.err for word in words), done.err


def test_fetched_history_is_backtested_and_an_empty_day_is_an_error(tmp_path: Path) -> None:
    """It was "0 candles" and exit 0."""
    now = datetime.now(UTC).replace(second=0, microsecond=0)
    since, until = ((now - timedelta(minutes=ago)).strftime("%Y-%m-%dT%H:%M") for ago in (200, 20))
    with sandbox("--history", "14400", "--rate-limit", "off") as url:
        fetch = ["backfill", "--instruments", "BTC", "--base-url", url, "--journal", tmp_path / "j"]
        done = engine(*fetch, "--intervals", "1m,1h", "--since", since, "--until", until)
        assert done.code == 0, done.err
        fetch[-1] = tmp_path / "empty"
        engine(*fetch, "--intervals", "1m", "--since", "2024-01-01", "--until", "2024-01-02")
    (day,) = sorted((tmp_path / "j").glob("20*"))
    report = as_json(backtest(tmp_path, day))
    assert (report["candles"], report["bars"]) == (180, 180)
    assert report["positions"]["Once BTC"]["size"] == "1"
    assert report["funding_rates"] >= 2
    assert report["funding"] != "0"
    assert any(
        "played are the 180 candles of 1m that `engine backfill` fetched" in x for x in report["notes"]
    )
    (day,) = sorted((tmp_path / "empty").glob("20*"))
    done = backtest(tmp_path, day)
    assert done.code == 2
    assert "there is nothing to play" in done.err
