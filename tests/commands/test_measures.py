"""`engine backtest` shows the metrics of a run, and why one has no number."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

from engine.analysis.collecting import Collector
from engine.analysis.formulas import FORMULAS
from engine.analysis.measures import measure_rows
from engine.analysis.report import report_of
from engine.config import Config
from engine.journal import list_days
from engine.records import read_records
from replay.runs import backtest
from tests.commands.kit import SAMPLE, engine

CROSSOVER = ("--strategy", "engine.strategies.crossover:Crossover")


def test_the_json_of_a_backtest_has_every_metric_beside_what_it_had() -> None:
    found = json.loads(engine("backtest", SAMPLE, *CROSSOVER, "--json").out)
    assert set(FORMULAS) <= set(found)
    assert {"digest", "realized_pnl", "unrealized_pnl", "equity", "positions", "first", "seconds"} <= set(
        found
    )
    assert set(found["reasons"]) == {name for name in FORMULAS if found[name] is None}
    assert found["reasons"]["sharpe"] == "1 day of returns, under 30"
    assert Decimal(found["net_profit"]) == Decimal(found["equity"]) - Decimal(found["cash"])
    assert found["round_trips"] == len(found["trips"]) > 0


def test_the_table_of_a_backtest_has_the_main_metrics_and_why_one_has_no_number() -> None:
    found = json.loads(engine("backtest", SAMPLE, *CROSSOVER, "--json").out)
    lines = engine("backtest", SAMPLE, *CROSSOVER).out.splitlines()
    rows = {name: text.strip() for name, text in (line.split("  ", 1) for line in lines if "  " in line)}
    assert rows["result"] == (
        f"return {found['return_percent']:.2f} %, benchmark {found['benchmark_percent']:.2f} %, "
        f"net profit {float(found['net_profit']):.2f}"
    )
    assert rows["none"] == "Sharpe, Sortino, CAGR, Calmar: 1 day of returns, under 30"
    assert rows["trips"].startswith(f"round trips {found['round_trips']}, win rate ")


def test_a_strategy_that_does_nothing_has_no_trips_in_the_table() -> None:
    report = backtest([SAMPLE], Config(strategies=()))
    rows = measure_rows(report.analysis)
    assert ("trips", "round trips 0") in rows
    why = "win rate, profit factor, SQN, expectancy, best round trip, worst round trip: no round trip"
    assert ("none", why) in rows


def test_the_written_days_of_a_backtest_have_the_report_that_it_printed(tmp_path: Path) -> None:
    out = tmp_path / "run"
    done = engine("backtest", SAMPLE, *CROSSOVER, "--json", "--out", out)
    collector = Collector()
    for day in list_days(out):
        collector.apply(read_records(day.path))
    collector.finish()
    report = report_of(collector)
    printed = json.loads(done.out)
    assert {name: printed[name] for name in report.metrics} == report.metrics
    assert [trip["exit_seq"] for trip in printed["trips"]] == [trip.exit_seq for trip in report.trips]
