"""`--csv DIR`: everything that `--json` has, as tables in a folder of ours."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from engine.analysis.report import Report
from engine.analysis.shapes import RoundTrip
from engine.analysis.tables import Table, report_tables
from engine.commands.tables import write_tables
from engine.errors import UsageError
from tests.commands.kit import SAMPLE, engine

RUN = ("backtest", SAMPLE, "--strategy", "engine.strategies.crossover:Crossover", "--end", "2024-12-05T00:40")


def read(folder: Path, name: str) -> list[dict[str, str]]:
    with (folder / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def read_all(folder: Path) -> dict[str, list[dict[str, str]]]:
    """Return the tables of a folder: those that its index names, and no other file is there."""
    index = read(folder, "tables")
    assert {f"{row['table']}.csv" for row in index} | {"tables.csv"} == {one.name for one in folder.iterdir()}
    found = {row["table"]: read(folder, row["table"]) for row in index}
    assert {name: len(rows) for name, rows in found.items()} == {
        row["table"]: int(row["rows"]) for row in index
    }
    return found


def as_cell(value: Any) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def assert_has_everything(fields: dict[str, Any], tables: dict[str, list[dict[str, str]]]) -> None:
    """Check each field of a report's JSON against the tables. A field that none has fails."""
    metrics = {row["name"]: row for row in tables["metrics"]}
    summary = {row["name"]: row["value"] for row in tables["summary"]}
    reasons = fields.pop("reasons")
    assert {name: row["reason"] for name, row in metrics.items() if row["reason"]} == reasons
    fields["distributions"] = {
        name: fields.pop(name) for name in list(fields) if name.endswith("_distribution")
    }
    for name, value in fields.items():
        if name in metrics and name in summary:
            assert as_cell(value) == summary[name]  # the run has a number of this name too
        elif name in metrics:
            assert as_cell(value) == metrics[name]["value"]
        elif name == "series":
            for curve, points in value.items():
                rows = tables[curve]
                assert [int(row["at_ns"]) for row in rows] == points["at_ns"]
                assert [float(row["value"]) for row in rows] == points["values"]
                assert summary[f"series.{curve}.thinned"] == as_cell(points["thinned"])
        elif name == "distributions":
            for which, found in value.items():
                assert_rows(found.pop("bins"), tables[which])
                for one, each in found.items():
                    assert summary[f"{which}.{one}"] == as_cell(each)
        elif name == "fingerprints":
            assert_rows(value.pop("sessions"), tables["sessions"])
            for one, each in value.items():
                shown = summary[f"{name}.{one}"]
                assert (json.loads(shown) if isinstance(each, list | dict) else shown) == (
                    each if isinstance(each, list | dict) else as_cell(each)
                )
        elif name == "positions":
            assert_rows([{"name": key, **held} for key, held in value.items()], tables[name])
        elif name == "refusals":
            assert {row["limit"]: int(row["count"]) for row in tables[name]} == value
        elif isinstance(value, dict):
            for one, each in value.items():
                assert summary[f"{name}.{one}"] == as_cell(each)
        elif isinstance(value, list) and name in ("notes", "failures", "table_notes"):
            assert [row["text"] for row in tables[name]] == value
        elif isinstance(value, list):
            assert_rows(value, tables["fills" if name == "fill_rows" else name])
        else:
            assert summary[name] == as_cell(value)


def assert_rows(expected: list[dict[str, Any]], rows: list[dict[str, str]]) -> None:
    assert len(expected) == len(rows)
    for one, row in zip(expected, rows, strict=True):
        for name, value in one.items():
            if isinstance(value, list | dict):
                assert json.loads(row[name]) == value
            else:
                assert row[name] == as_cell(value)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A backtest with tables and a journal, and its JSON."""
    root = tmp_path_factory.mktemp("tables")
    done = engine(*RUN, "--json", "--csv", root / "csv", "--out", root / "run")
    assert done.code == 0, done.err
    return root, json.loads(done.out)


def test_the_tables_of_a_backtest_have_everything_that_its_json_has(run: tuple[Path, dict[str, Any]]) -> None:
    root, fields = run
    tables = read_all(root / "csv")
    assert len(tables["trips"]) > 1
    assert tables["trips"][0]["entered_utc"].startswith("2024-12-05T00:")
    assert_has_everything(dict(fields), tables)


def test_the_tables_of_recorded_days_have_everything_that_their_json_has(
    run: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    done = engine("report", run[0] / "run", "--json", "--csv", tmp_path / "csv")
    assert done.code == 0, done.err
    tables = read_all(tmp_path / "csv")
    assert_has_everything(json.loads(done.out), tables)
    assert tables["trips"] == read(run[0] / "csv", "trips")


def test_the_tables_of_a_comparison_have_everything_that_its_json_has(
    run: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    slow = tmp_path / "slow"
    assert engine(*RUN, "--param", "slow=22", "--out", slow).code == 0
    done = engine("report", "--compare", run[0] / "run", slow, "--json", "--csv", tmp_path / "csv")
    assert done.code == 0, done.err
    fields, tables = json.loads(done.out), read_all(tmp_path / "csv")
    metrics = fields.pop("metrics")
    assert [(row["name"], row["live"], row["backtest"]) for row in tables["metrics"]] == [
        (name, as_cell(value), as_cell(metrics["backtest"][name])) for name, value in metrics["live"].items()
    ]
    pairs = fields.pop("pairs")
    assert len(pairs) == len(tables["pairs"]) > 2
    for pair, row in zip(pairs, tables["pairs"], strict=True):
        assert row["differs"] == ", ".join(pair["differs"])
        for side in ("live", "backtest"):
            order = pair[side]
            expected = {} if order is None else order
            assert {key: row[f"{side}_{key}"] for key in expected} == {
                key: as_cell(value) for key, value in expected.items()
            }
            assert order is not None or row[f"{side}_seq"] == ""
    assert [[row["name"], row["live"], row["backtest"]] for row in tables["conditions"]] == fields.pop(
        "conditions"
    )
    first, summary = fields.pop("first"), {row["name"]: row["value"] for row in tables["summary"]}
    for side in ("live", "backtest"):
        lines = [row["line"] for row in tables["causes"] if row["run"] == side]
        assert lines == first.pop(f"{side}_chain")
    assert json.loads(summary.pop("instruments")) == fields.pop("instruments")
    assert summary == {
        **{name: as_cell(value) for name, value in fields.items()},
        **{f"first.{name}": as_cell(value) for name, value in first.items()},
    }


def test_a_report_without_anything_has_every_table_with_its_columns(tmp_path: Path) -> None:
    write_tables(tmp_path / "csv", report_tables(Report()))
    assert read_all(tmp_path / "csv")["trips"] == []
    header = (tmp_path / "csv" / "trips.csv").read_text("utf-8").strip().split(",")
    assert set(RoundTrip.__struct_fields__) < set(header)


def test_a_text_that_a_spreadsheet_would_run_is_shown_instead(tmp_path: Path) -> None:
    rows = [("=1+1", "-5.5", '@x,"y"'), ("a\nb", None, True)]
    write_tables(tmp_path / "csv", [Table("odd", ("a", "b", "c"), rows)])
    assert list(read(tmp_path / "csv", "odd")[0].values()) == ["'=1+1", "-5.5", '\'@x,"y"']
    assert list(read(tmp_path / "csv", "odd")[1].values()) == ["a\nb", "", "true"]


def test_tables_of_ours_are_replaced_and_none_of_another_run_stays(tmp_path: Path) -> None:
    write_tables(tmp_path / "csv", [Table("old", ("a",), [(1,)]), Table("both", ("a",), [(1,)])])
    write_tables(tmp_path / "csv", [Table("both", ("a",), [(2,)])])
    assert read_all(tmp_path / "csv") == {"both": [{"a": "2"}]}


@pytest.mark.parametrize(
    ("name", "text"),
    [("trips.csv", "mine\n"), ("notes.txt", "mine\n"), ("tables.csv", "a,b\n"), ("tables.csv", "")],
)
def test_a_folder_with_other_files_is_refused_before_the_run(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    done = engine("backtest", tmp_path / "no-such-day", "--csv", tmp_path)
    assert (done.code, done.out) == (2, "")
    assert str(tmp_path) in done.err
    assert "name another folder" in done.err
    assert (tmp_path / name).read_text() == text


def test_a_name_in_the_index_of_a_folder_leads_nowhere_else(tmp_path: Path) -> None:
    (tmp_path / "keep.csv").write_text("mine")
    folder = tmp_path / "csv"
    folder.mkdir()
    (folder / "tables.csv").write_text("table,rows\n../keep,1\n")
    write_tables(folder, [Table("one", ("a",), [])])
    assert (tmp_path / "keep.csv").read_text() == "mine"


@pytest.mark.parametrize("name", ["no/such/folder", "file"])
def test_a_place_that_cannot_be_a_folder_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="folder"):
        write_tables(tmp_path / name, [])


BUYER = """
from engine.strategies import Strategy, Touch


class Buyer(Strategy):
    def on_start(self) -> None:
        self.sent = False

    def on_quote(self, quote: Touch) -> None:
        if not self.sent:
            self.buy(quote.market, "5")
            self.sent = True
"""


@pytest.mark.parametrize(("beyond", "filled"), [("", "0"), ('beyond_bps = "10"\n', "3")])
def test_depth_that_was_lacking_is_a_number_of_the_report(tmp_path: Path, beyond: str, filled: str) -> None:
    """A market order for 5 where 2 are shown."""
    rows = [f"2024-01-01T00:00:{second:02},100,2,101,2" for second in range(30)]
    (tmp_path / "quotes.csv").write_text("timestamp,bid,bid_size,ask,ask_size\n" + "\n".join(rows) + "\n")
    (tmp_path / "buyer.py").write_text(BUYER)
    (tmp_path / "sim.toml").write_text(f'[simulated]\norder_ms = "20"\nqueue = "back"\n{beyond}')
    named = ("--venue", "made", "--instrument", "AAA")
    assert engine("import", "quotes.csv", *named, cwd=tmp_path).code == 0
    options = ("--strategy", "buyer:Buyer", "--config", "sim.toml", "--json", "--csv", "csv")
    done = engine("backtest", "journal", *options, cwd=tmp_path)
    assert done.code == 0, done.err
    found = json.loads(done.out)
    assert found["simulated"]["beyond"] == {"AAA": {"orders": 1, "wanted": "3", "filled": filled}}
    assert (found["simulated"]["order_ms"], found["simulated"]["queue"]) == ("20", "back")
    said = f"AAA: beyond the shown levels 3 was wanted and {filled} filled (orders: 1)"
    assert said in found["notes"]
    tables = read_all(tmp_path / "csv")
    assert tables["beyond"] == [{"name": "AAA", "orders": "1", "wanted": "3", "filled": filled}]
    assert {row["name"]: row["value"] for row in tables["simulated"]}["order_ms"] == "20"
