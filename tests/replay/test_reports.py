"""The report of recorded days is that of the run that wrote them, and days that do not fit are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from engine.clock import SECOND_NS
from engine.config import BarsConfig, Config, PaperConfig, ReportConfig, StrategyConfig
from engine.errors import UsageError
from engine.events import Event
from engine.events.codec import Derived
from engine.journal import list_days, list_segments
from replay.reports import report_of_days
from replay.runs import backtest
from tests.replay.kit import (
    BUSY,
    EVE,
    NOON,
    batches,
    candles,
    listings,
    opening,
    steady,
    stopped,
    write_journal,
)

HOURS_NS = 4 * 3600 * SECOND_NS


def settings(interval: str = "4h", **report: Any) -> Config:
    """Return a configuration whose strategy trades on bars of one interval."""
    return Config(
        strategies=(StrategyConfig(params={"fast": 2, "slow": 3, "interval": interval}),),
        bars=BarsConfig(intervals=(interval,)),
        paper=PaperConfig(latency_ms=10),
        report=ReportConfig(**report),
    )


def imported(root: Path, inputs: list[Event]) -> list[Path]:
    """Write market data as a journal; return its days."""
    write_journal(root, batches(inputs, range(0, len(inputs), 50)))
    return [day.path for day in list_days(root)]


@pytest.mark.parametrize("data", ["trades over midnight", "candles of a month"])
def test_the_journal_of_a_backtest_has_the_report_of_the_run_byte_for_byte(tmp_path: Path, data: str) -> None:
    if data.startswith("trades"):
        inputs = listings(EVE) + steady(400, EVE)
        config = settings("1s", annualise=252, risk_free_percent="4")
    else:
        inputs = listings(NOON) + candles(33 * 6, NOON, HOURS_NS)
        config = settings(annualise=252, risk_free_percent="4")
    days = imported(tmp_path / "data", inputs)
    run = backtest(days, config, out=tmp_path / "run")
    found = report_of_days([tmp_path / "run"], config=config)
    assert msgspec.json.encode(found) == msgspec.json.encode(run.analysis)
    assert found.fingerprints.digest == run.digest == backtest(days, config).digest
    assert found.settings.annualise == 252
    assert found.fill_rows
    assert len(found.fill_rows) == run.fills == found.fills_count
    # The whole of a report reads back, so that it can be stored.
    assert msgspec.json.decode(msgspec.json.encode(found), type=type(found)) == found


def test_a_day_that_a_session_recorded_has_a_report_and_shows_its_frames(tmp_path: Path) -> None:
    inputs = opening(BUSY, NOON) + steady(400, NOON)
    inputs.append(stopped(inputs[-1].recv_ns))  # type: ignore[attr-defined]
    write_journal(tmp_path / "day", batches(inputs, range(0, len(inputs), 70)))

    class Watching:
        seqs: list[int] = []

        def append(self, first_seq: int, inputs: list[Event], derived: list[Derived]) -> None:
            assert first_seq == len(self.seqs) + 1
            self.seqs.extend(range(first_seq, first_seq + len(inputs) + len(derived)))

    read: list[int] = []
    found = report_of_days([tmp_path / "day"], watch=[Watching()], progress=read.append)
    assert read[-1] == Watching.seqs[-1] == max(Watching.seqs)
    assert found.metrics["round_trips"] == len(found.trips) > 3
    (session,) = found.fingerprints.sessions
    assert (session.mode, found.fingerprints.sessions_count) == ("paper", 1)
    assert found.fingerprints.strategies == session.strategies
    assert [name for name, _, _ in session.strategies] == ["Busy", "Crossover"]


def test_the_assumptions_of_the_configuration_decide_the_ratios(tmp_path: Path) -> None:
    days = imported(tmp_path / "data", listings(NOON) + candles(33 * 6, NOON, HOURS_NS))
    plain, rich, short = (
        backtest(days, config).analysis
        for config in (settings(), settings(risk_free_percent="50"), settings(annualise=250))
    )
    for name in ("sharpe", "sortino", "psr"):
        assert rich.metrics[name] < plain.metrics[name], name  # type: ignore[operator]
    assert short.metrics["sharpe"] == pytest.approx(
        plain.metrics["sharpe"] * (250 / 365) ** 0.5  # type: ignore[operator]
    )
    assert short.metrics["cagr"] != plain.metrics["cagr"]
    assert (rich.settings.risk_free_percent, short.settings.annualise) == (50.0, 250)


def test_days_that_do_not_follow_each_other_are_refused(tmp_path: Path) -> None:
    data = imported(tmp_path / "data", listings(NOON) + candles(12, NOON, HOURS_NS))
    for name in ("one", "other"):
        backtest(data, settings(), out=tmp_path / name)
    first, second, third = [day.path for day in list_days(tmp_path / "one")]
    assert report_of_days([third, first, second]) == report_of_days([tmp_path / "one"])
    with pytest.raises(UsageError, match=r"give the days between them too"):
        report_of_days([first, third])
    with pytest.raises(UsageError, match=r"the same day is given twice; give it once"):
        report_of_days([first, first])
    with pytest.raises(UsageError, match=r"they are of two journals; give days of one"):
        report_of_days([first, list_days(tmp_path / "other")[1].path])
    with pytest.raises(UsageError, match=r"the list is empty"):
        report_of_days([])
    with pytest.raises(UsageError, match=r"is a text, not a list"):
        report_of_days("journal")


def test_a_torn_end_is_named_and_left_out(tmp_path: Path) -> None:
    inputs = opening(BUSY, NOON) + steady(100, NOON)
    write_journal(tmp_path / "day", batches(inputs, range(0, len(inputs), 20)))
    (day,) = list_days(tmp_path / "day")
    path = list_segments(day.path)[-1].path
    path.write_bytes(path.read_bytes()[:-5])
    found = report_of_days([day.path])
    assert found.table_notes == ["the last frame of 2024-12-05 is torn, so it is not in these numbers"]
    assert found.end_ns < inputs[-1].recv_ns  # type: ignore[attr-defined]


def test_imported_days_have_no_account_and_say_so(tmp_path: Path) -> None:
    days = imported(tmp_path / "data", listings(NOON) + steady(20, NOON))
    found = report_of_days(days)
    assert found.reasons["return_percent"] == "the equity is not known"
    assert (found.fingerprints.sessions, found.by_hour, found.daily) == ([], [], [])
