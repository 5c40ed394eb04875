"""A candle that ends at midnight is received in the last nanosecond before it, and is closed all the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from adapters.files import import_files
from engine.clock import day_start_ns
from engine.config import AccountConfig, BarsConfig, Config, PaperConfig, RiskConfig, StrategyConfig
from engine.journal import DayFolder, list_days
from engine.session import SessionBuilder
from engine.strategies import Bar, Strategy
from engine.values import parse_interval
from replay.backtesting import DigestSink, run_backtest
from replay.bars import bars_of
from tests.strategies.fakes import CODE

START = day_start_ns("2024-01-30")
HOUR_MS = 3_600_000


class Other(Strategy):
    """Buys BBB when the second candle of AAA has closed."""

    def on_start(self) -> None:
        self.seen = 0

    def on_bar(self, bar: Bar) -> None:
        if bar.market == "AAA":
            self.seen += 1
            if self.seen == 2:
                self.buy("BBB", "1")


def candles(path: Path, hours: list[int], prices: list[int]) -> Path:
    """Write candles that begin at these hours, each rising by 5 from its price."""
    rows = [
        f"{START // 1_000_000 + hour * HOUR_MS},{price},{price + 5},{price},{price + 5},9"
        for hour, price in zip(hours, prices, strict=True)
    ]
    path.write_text("time,open,high,low,close,volume\n" + "\n".join(rows) + "\n")
    return path


def test_an_order_at_the_close_of_one_candle_does_not_meet_that_of_another_market(tmp_path: Path) -> None:
    """AAA's candle comes first, BBB's of the same window after it, both in the last nanosecond of the day."""
    files = [
        candles(tmp_path / "AAA-1d.csv", [0, 24, 48], [100, 110, 120]),
        candles(tmp_path / "BBB-1d.csv", [0, 24, 48], [10, 30, 40]),
    ]
    import_files(files, venue="x", journal=tmp_path / "j")
    config = Config(
        strategies=(StrategyConfig(use="midnight:Other"),),
        bars=BarsConfig(("1d",)),
        paper=PaperConfig(latency_ms=0, slippage_bps=0),
        account=AccountConfig(cash="1000000"),
        risk=RiskConfig(max_order_notional="100000", max_position_notional="100000"),
    )
    days = sorted((tmp_path / "j").iterdir())
    report = run_backtest(
        days, SessionBuilder({"midnight:Other": Other}.__getitem__, CODE, "0.0.test"), config, DigestSink()
    )
    (position,) = report.positions.values()
    assert (float(position["size"]), float(position["cost"]), report.candles) == (1, 40, 6)


def test_bars_of_the_last_day_close_at_midnight_for_a_market_whose_candles_end_before(tmp_path: Path) -> None:
    """Windows without trades have no candles there: the time of the other market closes the bar."""
    files = [
        candles(tmp_path / "AAA-1h.csv", list(range(24)), list(range(100, 124))),
        candles(tmp_path / "BBB-1h.csv", list(range(20)), list(range(10, 30))),
    ]
    import_files(files, venue="x", silence="none", journal=tmp_path / "j")
    found = bars_of([tmp_path / "j" / "2024-01-30"], parse_interval("1d"))
    assert [(one.listed.name, one.bar.start_ns, one.bar.close) for one in found] == [
        ("AAA", START, 128),
        ("BBB", START, 34),
    ]


def test_the_folders_of_a_journal_are_listed_once_for_all_its_days(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each day listed them again: the bars of six years of daily candles took minutes."""
    journals = [tmp_path / "a", tmp_path / "b"]
    for number, journal in enumerate(journals):
        hours = [24 * day for day in range(30 * number, 30 * (number + 1))]
        path = candles(tmp_path / f"AAA-1d-{number}.csv", hours, [100] * 30)
        import_files([path], venue="x", instrument="AAA", journal=journal)
    listed: list[Path] = []

    def counted(journal: Path) -> list[DayFolder]:
        listed.append(journal)
        return list_days(journal)

    monkeypatch.setattr("replay.bars.list_days", counted)
    folders = [day.path for journal in journals for day in list_days(journal)]
    found = bars_of(folders, parse_interval("1w"), unclosed=True)
    assert sum(one.bar.volume for one in found) == 60 * 9
    assert sorted(listed) == journals
