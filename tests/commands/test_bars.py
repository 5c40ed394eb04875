"""`engine bars`: as lines of JSON, a table, CSV and Parquet; and what it says of what it cannot do."""

from __future__ import annotations

import csv
import json
from decimal import Decimal
from pathlib import Path

import pyarrow.parquet as pq

from tests.commands.kit import ROOT, engine

SAMPLE = ROOT / "journal/2024-12-05"
FIELDS = [
    *("instrument", "interval", "start", "start_ns", "end_ns", "open", "high", "low", "close", "volume"),
    *("count", "complete", "incomplete_because", "source", "revision", "quote_volume", "buy_volume"),
    *("sell_volume", "first_id", "last_id"),
]


def test_bars_are_the_same_as_json_csv_and_parquet(tmp_path: Path) -> None:
    files = ("--csv", tmp_path / "bars.csv", "--parquet", tmp_path / "bars.parquet")
    done = engine("bars", SAMPLE, "--interval", "5m", "--json", *files)
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
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


def test_people_get_a_table_and_one_instrument_if_they_want() -> None:
    done = engine("bars", SAMPLE, "--interval", "15m", "--instrument", "BTC")
    assert done.returncode == 0
    head, *lines = done.stdout.splitlines()
    assert head.split()[:4] == ["instrument", "start", "open", "high"]
    assert all(line.startswith("BTC ") for line in lines)


def test_what_cannot_be_done_is_said_in_a_line(tmp_path: Path) -> None:
    for words, told in (
        ((SAMPLE, "--interval", "7m"), "'7m' is not a bar interval"),
        ((tmp_path / "2024-12-05",), "there is no such day"),
        ((SAMPLE, "--instrument", "DOGE"), "has no bars of 'DOGE'; there are BTC, ETH, PURR"),
        ((SAMPLE, "--csv", tmp_path / "no" / "bars.csv"), "cannot be written"),
    ):
        done = engine("bars", *words)
        assert done.returncode == 2, words
        assert told in done.stderr
        assert len(done.stderr.splitlines()) <= 2
