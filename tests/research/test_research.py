"""`engine.research`: the numbers of the command line as typed rows, and as frames."""

from __future__ import annotations

import datetime as dt
import json
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import get_type_hints

import pytest

from engine import research
from engine.analysis.matching import OrderRow
from engine.analysis.shapes import FallRow, RoundTrip
from engine.analysis.tables import EXACT, ROWS
from engine.errors import UsageError
from engine.research.frames import Rows
from tests.commands.kit import SAMPLE, engine
from tests.docs_pages import ROOT, blocks

CROSSOVER = "engine.strategies.crossover:Crossover"
WORDS = {
    *("strategy", "instrument", "side", "entry_reason", "exit_reason", "exit_by", "fee_asset", "role"),
    *("liquidity", "reason", "by", "day", "month", "name", "interval", "because", "session", "mode", "terms"),
    *("version", "code", "schema", "configuration", "python"),
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, research.Run]:
    """A backtest, and where it was written."""
    out = tmp_path_factory.mktemp("research") / "run"
    return out, research.backtest(SAMPLE, CROSSOVER, {"fast": 5}, out=out)


def test_the_numbers_are_those_of_the_command_line(run: tuple[Path, research.Run]) -> None:
    out, found = run
    printed = json.loads(
        engine("backtest", SAMPLE, "--strategy", CROSSOVER, "--param", "fast=5", "--json").out
    )
    assert found.digest == printed["digest"]
    for name, value in found.metrics.items():
        assert printed[name] == (str(value) if isinstance(value, Decimal) else value) or name in (
            "funding",
            "fees",
        )
    assert found.reasons == printed["reasons"]
    assert [trip.entry_seq for trip in found.trips] == [trip["entry_seq"] for trip in printed["trips"]]
    assert len(found.trips) > 2
    recorded = research.report(out)
    assert recorded.metrics == found.metrics
    assert recorded.to_dict() == found.to_dict()
    assert list(recorded.equity) == list(found.equity)
    assert f"digest    {found.digest}" in repr(found)


def test_two_runs_are_compared(run: tuple[Path, research.Run], tmp_path: Path) -> None:
    slow = tmp_path / "slow"
    research.backtest([SAMPLE], CROSSOVER, {"fast": 5, "slow": 22}, out=slow)
    found, one, other = research.compare(run[0], slow)
    printed = json.loads(engine("report", "--compare", run[0], slow, "--json").out)
    assert found.first is not None
    assert found.first.live_seq == printed["first"]["live_seq"]
    assert len(found.pairs) == len(printed["pairs"])
    assert one.digest == run[1].digest != other.digest


def test_a_range_with_a_warm_up_is_the_one_of_the_command_line() -> None:
    within = {"begin": "2024-12-05T00:40", "end": "2024-12-05T01:00", "warmup": "20m"}
    found = research.backtest(SAMPLE, CROSSOVER, **within)  # type: ignore[arg-type]
    options = [part for name, value in within.items() for part in (f"--{name}", value)]
    printed = json.loads(engine("backtest", SAMPLE, "--strategy", CROSSOVER, *options, "--json").out)
    assert found.digest == printed["digest"]


def test_rows_are_a_sequence() -> None:
    rows = Rows(FallRow, [FallRow(1, 2, None, "5", None, 0.5), FallRow(3, 4, 5, "1", 0.1, 0.5)])
    assert (len(rows), rows[1].depth, [row.start_ns for row in rows[:1]]) == (2, "1", [1])
    assert repr(rows) == "<2 rows of FallRow>"


def test_every_text_of_a_row_is_known_as_exact_or_as_words() -> None:
    for cls in {*ROWS.values(), OrderRow}:
        for name, hint in get_type_hints(cls).items():
            if str in (hint, *getattr(hint, "__args__", ())) and name.rpartition("_")[2] != "ns":
                kinds = (name in EXACT) + (name in WORDS)
                assert kinds == 1 or not isinstance(hint, type), f"{cls.__name__}.{name}"


TRIP = RoundTrip(
    *("A", "BTC", "long", "0.5", 1.5, None, "1.25", "0.05", "1.20", 1_700_000_000_123_456_789),
    *(1_700_000_001_000_000_001, "in", "out", "target", "-1", "2", -1.0, 2.0, 3, 4, "0"),
    {"fast": 1.5},
    {},
)  # fmt: skip
OTHER = RoundTrip(*[getattr(TRIP, name) for name in RoundTrip.__struct_fields__[:-2]], {"slow": 2.5}, {})


def test_a_frame_of_pandas_has_the_types(run: tuple[Path, research.Run]) -> None:
    pd = pytest.importorskip("pandas")
    frame = Rows(RoundTrip, [TRIP, OTHER]).to_pandas()
    assert str(frame["entered_utc"].dtype) == "datetime64[ns, UTC]"
    assert frame["entered_utc"][0] == pd.Timestamp(1_700_000_000_123_456_789, tz="UTC")
    assert frame["net"].sum() == pytest.approx(2.4)
    assert str(frame["entry_price"].dtype) == str(frame["exit_price"].dtype) == "float64"
    assert frame["entry_plots.fast"][0] == 1.5
    assert frame["entry_plots.slow"].isna().tolist() == [True, False]
    assert list(frame["reason" if "reason" in frame else "entry_reason"]) == ["in", "in"]
    exact = Rows(RoundTrip, [TRIP]).to_pandas(exact=True)
    assert exact["net"][0] == Decimal("1.20")
    falls = Rows(FallRow, [FallRow(1, 2, None, "5", None, 0.5)]).to_pandas()
    assert falls["end_utc"].isna().tolist() == [True]
    empty = Rows(RoundTrip, []).to_pandas()
    assert len(empty) == 0
    assert str(empty["entered_utc"].dtype) == "datetime64[ns, UTC]"
    for name in ROWS:
        assert len(getattr(run[1], name).to_pandas()) == len(getattr(run[1], name))
    assert len(run[1].equity.to_pandas()) == len(run[1].equity)
    assert set(run[1].table.to_pandas()["name"]) == set(run[1].metrics)


def test_a_frame_of_polars_has_the_types(run: tuple[Path, research.Run]) -> None:
    pl = pytest.importorskip("polars")
    frame = Rows(RoundTrip, [TRIP, OTHER]).to_polars()
    assert frame.schema["entered_utc"] == pl.Datetime("ns", "UTC")
    assert frame["entered_utc"].cast(pl.Int64)[0] == 1_700_000_000_123_456_789
    assert frame["entered_utc"][0].astimezone(dt.UTC).year == 2023
    assert (frame.schema["net"], frame["net"].sum()) == (pl.Float64, pytest.approx(2.4))
    assert frame["entry_plots.slow"].to_list() == [None, 2.5]
    exact = Rows(RoundTrip, [TRIP]).to_polars(exact=True)
    assert exact["net"][0] == Decimal("1.20")
    assert Rows(RoundTrip, []).to_polars().schema["entered_utc"] == pl.Datetime("ns", "UTC")
    for name in ROWS:
        assert len(getattr(run[1], name).to_polars()) == len(getattr(run[1], name))
    assert set(run[1].table.to_polars()["name"]) == set(run[1].metrics)


@pytest.mark.parametrize("package", ["pandas", "polars"])
def test_a_package_that_is_not_installed_is_named(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UsageError, match=f"{package} is not installed here; install it with `pip install"):
        getattr(Rows(FallRow, []), f"to_{package}")()


def run_text(text: str) -> str:
    done = subprocess.run([sys.executable, "-c", text], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return str(done.stdout)


def output_of(text: str) -> str:
    done = subprocess.run([sys.executable, "-c", text], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_examples_of_the_page_run() -> None:
    page = blocks(ROOT / "docs" / "research.md")
    frame, plain, rows = [block.text for block in page if block.language == "python"]
    assert len(frame.splitlines()) <= 4
    assert "digest" in output_of(plain)
    assert "engine why" in output_of(rows)
    pytest.importorskip("pandas")
    shown = output_of(frame)
    assert "rows x" in shown or "entered_utc" in shown
