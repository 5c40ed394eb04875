"""`engine report` on recorded days, and on two runs beside each other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.commands.kit import SAMPLE, engine
from tests.pages.kit import Read

STRATEGY = ("--strategy", "engine.strategies.crossover:Crossover")
RANGE = ("--end", "2024-12-05T00:40")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Backtests of one day: two equal ones, one with another parameter, one with other fees, one shorter."""
    root = tmp_path_factory.mktemp("runs")
    fees = root / "fees.toml"
    fees.write_text("[fees.default]\ntaker_bps = '50'\n")
    options: dict[str, tuple[object, ...]] = {
        "one": RANGE,
        "same": RANGE,
        "slow": (*RANGE, "--param", "slow=22"),
        "late": ("--begin", "2024-12-05T00:10", *RANGE),
    }
    for name, more in options.items():
        assert engine("backtest", SAMPLE, *STRATEGY, *more, "--out", root / name).code == 0
    return {name: root / name for name in options}


def compared(one: Path, other: Path, *more: object) -> dict[str, Any]:
    done = engine("report", "--compare", one, other, "--json", *more)
    assert done.code == 0, done.err
    return dict(json.loads(done.out))


def test_the_report_of_a_written_backtest_is_that_of_the_run(runs: dict[str, Path], tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    recorded = json.loads(engine("report", runs["one"], "--json", "--out", file).out)
    fresh = json.loads(engine("backtest", SAMPLE, *STRATEGY, *RANGE, "--json").out)
    for name in (
        "return_percent",
        "net_profit",
        "equity_end",
        "trips",
        "drawdowns",
        "by_instrument",
        "costs",
    ):
        assert recorded[name] == fresh[name]
    read = Read(file.read_text("utf-8"))
    trips = read.data("trips")
    assert trips["folders"] == {"2024-12-05": str(runs["one"] / "2024-12-05")}
    assert len(trips["rows"]) == len(recorded["trips"])
    assert "Crossover on" in read.text


def test_a_report_is_printed_as_a_table(runs: dict[str, Path]) -> None:
    done = engine("report", runs["one"])
    assert done.code == 0
    for part in ("period", "equity", "return", "drawdown", "digest"):
        assert part in done.out


def test_equal_runs_have_no_difference(runs: dict[str, Path], tmp_path: Path) -> None:
    file = tmp_path / "both.html"
    found = compared(runs["one"], runs["same"], "--out", file)
    assert found["first"] is None
    assert found["conditions"] == []
    assert found["matched"] == found["equal"] > 0
    assert found["only_live"] == found["only_backtest"] == 0
    assert found["inputs"] > 10_000
    read = Read(file.read_text("utf-8"))
    assert "Inputs, decisions and fills of both runs are equal." in read.text
    assert read.data("both")["one"] == read.data("both")["other"]


def test_another_parameter_is_named_and_the_first_decision_has_its_causes(
    runs: dict[str, Path], tmp_path: Path
) -> None:
    file = tmp_path / "both.html"
    found = compared(runs["one"], runs["slow"], "--out", file)
    assert found["conditions"] == [["strategies.0.params.slow", "none", "22"]]
    first = found["first"]
    assert first["what"] == "decision"
    asked = ("live", runs["one"]) if first["live_seq"] else ("backtest", runs["slow"])
    day, seq = first[f"{asked[0]}_day"], first[f"{asked[0]}_seq"]
    assert day == str(asked[1] / "2024-12-05")
    assert first[f"{asked[0]}_chain"] == engine("why", day, seq).out.splitlines()
    read = Read(file.read_text("utf-8"))
    assert f"engine why {day} {seq}" in read.text
    assert "strategies.0.params.slow" in read.text
    text = engine("report", "--compare", runs["one"], runs["slow"]).out
    assert "decision at" in text
    assert f"engine why {day} {seq}" in text


def test_only_the_time_that_both_cover_is_compared(runs: dict[str, Path]) -> None:
    whole = compared(runs["one"], runs["same"])
    found = compared(runs["one"], runs["late"])
    assert found["begin_ns"] > whole["begin_ns"]
    assert found["end_ns"] == whole["end_ns"]
    assert 0 < found["inputs"] < whole["inputs"]
    assert found["first"] is None or found["first"]["what"] != "input"


def test_a_missing_input_is_the_first_difference(tmp_path: Path) -> None:
    lines = ["timestamp,price,quantity,side"]
    lines += [f"{1733400000000 + at * 500},{100 + at % 7},1,buy" for at in range(2000)]
    runs = []
    for name, left_out in (("whole", -1), ("holed", 1001)):
        file = tmp_path / f"{name}.csv"
        file.write_text("\n".join(line for at, line in enumerate(lines) if at != left_out) + "\n")
        journal, run = tmp_path / f"{name}-days", tmp_path / name
        options = ("--venue", "test", "--instrument", "ABC", "--journal", journal)
        done = engine("import", file, *options)
        assert done.code == 0, done.err
        assert engine("backtest", journal, *STRATEGY, "--out", run).code == 0
        runs.append(run)
    first = compared(*runs)["first"]
    assert first["what"] == "input"
    assert first["at_ns"] == (1733400000000 + 1000 * 500) * 1_000_000
    assert "Trade" in first["live"]
    assert first["live"] == engine("why", first["live_day"], first["live_seq"]).out.strip()


@pytest.mark.parametrize("count", [1, 3])
def test_a_comparison_takes_two_runs(count: int) -> None:
    done = engine("report", "--compare", *[SAMPLE] * count)
    assert done.code == 2
    assert "two runs" in done.err


def test_runs_without_a_common_time_or_instrument_are_refused(runs: dict[str, Path], tmp_path: Path) -> None:
    file = tmp_path / "other.csv"
    file.write_text("timestamp,price,quantity,side\n1733356800000,100,1,buy\n1733358800000,100,1,buy\n")
    done = engine("import", file, "--venue", "test", "--instrument", "XYZ", "--journal", tmp_path / "days")
    assert done.code == 0, done.err
    done = engine("report", "--compare", runs["one"], tmp_path / "days")
    assert done.code == 2
    assert "no instrument in common" in done.err
