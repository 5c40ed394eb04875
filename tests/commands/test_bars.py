"""`engine bars` as lines of JSON, a table, CSV and Parquet, and its errors."""

from __future__ import annotations

import csv
import json
from decimal import Decimal
from pathlib import Path

import pyarrow.parquet as pq

from engine.events import BarClosed
from tests.commands.kit import FAST, ROOT, days, engine, sandbox, spawn, start, wait_for

SAMPLE = ROOT / "journal/2024-12-05"
FIELDS = [
    *("instrument", "venue", "interval", "end_ns", "start", "start_ns"),
    *(
        "open",
        "high",
        "low",
        "close",
        "volume",
        "count",
        "complete",
        "incomplete_because",
        "source",
        "revision",
        "quote_volume",
        "buy_volume",
    ),
    *("sell_volume", "first_id", "last_id"),
]


def test_bars_are_the_same_as_json_csv_and_parquet(tmp_path: Path) -> None:
    files = ("--csv", tmp_path / "bars.csv", "--parquet", tmp_path / "bars.parquet")
    done = engine("bars", SAMPLE, "--interval", "5m", "--json", *files)
    assert done.code == 0, done.err
    rows = [json.loads(line) for line in done.out.splitlines()]
    assert list(rows[0]) == FIELDS
    assert [(row["instrument"], row["start_ns"]) for row in rows] == sorted(
        (row["instrument"], row["start_ns"]) for row in rows
    )
    for row in rows:
        assert row["complete"] == (row["incomplete_because"] is None)
        assert Decimal(row["low"]) <= Decimal(row["open"]) <= Decimal(row["high"])
        assert Decimal(row["buy_volume"]) + Decimal(row["sell_volume"]) == Decimal(row["volume"])
    with (tmp_path / "bars.csv").open(encoding="utf-8", newline="") as file:
        assert [row["close"] for row in csv.DictReader(file)] == [row["close"] for row in rows]
    table = pq.read_table(tmp_path / "bars.parquet").to_pylist()
    assert [row["volume"] for row in table] == [row["volume"] for row in rows]
    assert [row["start_ns"] for row in table] == [row["start_ns"] for row in rows]


def test_the_default_output_is_a_table_of_all_or_one_instrument() -> None:
    done = engine("bars", SAMPLE, "--interval", "15m", "--instrument", "BTC")
    assert done.code == 0
    head, *lines = done.out.splitlines()
    assert head.split()[:4] == ["instrument", "start", "open", "high"]
    assert all(line.startswith("BTC ") for line in lines)


def test_an_error_is_one_line(tmp_path: Path) -> None:
    for args, message in (
        ((SAMPLE, "--interval", "7m"), "'7m' is not a bar interval"),
        ((tmp_path / "2024-12-05",), "there is no such day"),
        ((SAMPLE, "--instrument", "DOGE"), "there is no instrument 'DOGE'; known: BTC, ETH, PURR"),
        ((SAMPLE, "--csv", tmp_path / "no" / "bars.csv"), "cannot be written"),
    ):
        done = engine("bars", *args)
        assert done.code == 2, args
        assert message in done.err
        assert len(done.err.splitlines()) <= 2


def test_c01_live_sessions_append_each_closed_bar_once_in_spite_of_a_kill(tmp_path: Path) -> None:
    """After a kill and two more sessions the files hold what `engine bars` shows."""
    root, folder, config = tmp_path / "journal", tmp_path / "csv", tmp_path / "fast.toml"
    config.write_text(FAST, encoding="utf-8")
    with sandbox("--speed", 20) as url:
        live = ["live", "--venue", "hyperliquid", "--base-url", url, "--journal", root, "--csv", folder]
        live += ["--config", config, "--no-db"]
        process = start(*live)
        wait_for(process, root, BarClosed, 10)
        process.kill()
        process.communicate()
        assert spawn(*live, "--for", "1s").code == 0
        before = {path.name: path.read_bytes() for path in sorted(folder.glob("*.csv"))}
        assert spawn(*live, "--for", "1s").code == 0
    assert before
    for name, data in before.items():
        assert (folder / name).read_bytes().startswith(data), "written lines stay"
    lines: dict[tuple[str, str, str], dict[str, str]] = {}
    for path in sorted(folder.glob("*.csv"), key=lambda path: "corrections" in path.name):
        instrument, interval = path.name.split(".")[0].split("-")
        with path.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                key = instrument, interval, row["start_ns"]
                assert (key in lines) == ("corrections" in path.name), "each bar once"
                lines[key] = row
    for day in days(root):
        for interval in ("1s", "5s"):
            for row in map(
                json.loads, engine("bars", day, "--interval", interval, "--json").out.splitlines()
            ):
                line = lines.pop((row["instrument"], interval, str(row["start_ns"])))
                names = ("open", "high", "low", "close", "volume", "count", "revision", "complete")
                assert [line[name] for name in names] == [str(row[name]) for name in names]
    assert not lines
