"""The keys that `--json` prints. Programs read them, so they must not change."""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from engine.clock import parse_iso
from engine.events.render import event_type
from tests.commands.kit import SAMPLE, assert_linked, engine, trades_csv

EXACT = re.compile(r"-?[0-9]+(\.[0-9]+)?")
FRONT = ["seq", "cause", "type", "at", "at_ns"]


def rows(out: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.splitlines()]


def one(out: str) -> dict[str, Any]:
    (row,) = rows(out)
    return row


def types_of(day: Path) -> list[str]:
    return list(one(engine("inspect", day, "--summary", "--json").out)["types"])


def test_inspect_shows_the_fields_of_each_type_after_the_five_of_the_record() -> None:
    for name in types_of(SAMPLE):
        for row in rows(engine("inspect", SAMPLE, "--type", name, "--limit", 20, "--json").out):
            assert list(row)[:5] == FRONT
            assert row["type"] == name
            assert parse_iso(row["at"]) == row["at_ns"]
            assert row["at"].endswith("Z")
            expected = [
                field if field not in FRONT else f"event_{field}"
                for field in event_type(name).__struct_fields__
            ]
            own = [key for key in row if key not in FRONT]
            assert own == [key for key in expected if key != "event_at_ns"], name


def test_inspect_shows_money_as_text_and_instruments_by_name() -> None:
    exact = ("price", "size", "open", "high", "low", "close", "volume", "fee", "bid", "ask", "equity", "cash")
    for name in types_of(SAMPLE):
        for row in rows(engine("inspect", SAMPLE, "--type", name, "--limit", 50, "--json").out):
            for key, value in row.items():
                if key in exact:
                    assert isinstance(value, str), (name, key, value)
                    assert EXACT.fullmatch(value), (name, key, value)
                if key in ("side", "aggressor"):
                    assert value in ("buy", "sell"), (name, key, value)
                if key == "instrument" and name != "InstrumentListed":
                    assert value in ("BTC", "ETH", "PURR"), (name, key, value)


def test_inspect_selects_by_seq_type_and_number(traded: Path) -> None:
    some = rows(engine("inspect", traded, "--from", 10, "--to", 20, "--json").out)
    assert [row["seq"] for row in some] == list(range(10, 21))
    both = rows(engine("inspect", traded, "--type", "trade", "--type", "BarClosed", "--json").out)
    assert {row["type"] for row in both} == {"Trade", "BarClosed"}
    assert [row["seq"] for row in both] == sorted(row["seq"] for row in both)
    assert engine("inspect", traded, "--limit", 0, "--json").out == ""


def test_inspect_names_instruments_of_a_day_that_opens_with_a_snapshot(tmp_path: Path) -> None:
    source = trades_csv(tmp_path / "t.csv", 400, 1_642_204_800_000 + 86_400_000 - 40_000)
    engine("import", source, "--venue", "x", "--instrument", "AAA", "--journal", tmp_path / "in")
    engine("backtest", tmp_path / "in", "--out", tmp_path / "out")
    second = tmp_path / "out" / "2022-01-16"
    opened, *others = rows(engine("inspect", second, "--json").out)
    assert opened["type"] == "DayOpened"
    assert set(opened["snapshot"]) == {"bytes", "blake2b"}
    named = {row["instrument"] for row in others if "instrument" in row and row["type"] != "InstrumentListed"}
    assert named == {"AAA"}
    chain = rows(engine("why", second, others[-1]["seq"], "--json").out)
    assert chain[-1] == others[-1]
    for day in (tmp_path / "out" / "2022-01-15", second):
        report = one(engine("replay", day, "--json").out)
        assert report["identical"] is True


def test_why_explains_every_derived_event_of_a_day(traded: Path) -> None:
    everything = {row["seq"]: row for row in rows(engine("inspect", traded, "--json").out)}
    derived = [row for row in everything.values() if row["cause"]]
    step = max(1, len(derived) // 40)
    for row in derived[::step]:
        chain = rows(engine("why", traded, row["seq"], "--json").out)
        assert chain[-1] == row
        assert chain[0]["cause"] == 0
        for link in chain:
            assert link == everything[link["seq"]]
        assert_linked(chain)


def test_reports_have_all_keys(traded: Path, tmp_path: Path) -> None:
    replay = one(engine("replay", traded, "--json").out)
    for key in (
        "identical",
        "events",
        "inputs",
        "derived",
        "digest",
        "seconds",
        "events_per_s",
        "divergence",
    ):
        assert key in replay
    assert replay["identical"] is True
    assert replay["divergence"] is None
    assert replay["events"] == replay["inputs"] + replay["derived"]
    days = traded.parent.parent / "in"
    backtest = one(engine("backtest", days, "--json").out)
    for key in ("digest", "trades", "bars", "orders", "fills", "fees", "realized_pnl", "equity", "seconds"):
        assert key in backtest
    for key in ("fees", "realized_pnl", "equity"):
        assert EXACT.fullmatch(backtest[key])
    source = trades_csv(tmp_path / "t.csv", 10)
    imported = one(
        engine(
            "import", source, "--venue", "x", "--instrument", "A", "--journal", tmp_path / "j", "--json"
        ).out
    )
    assert imported["days"] == ["2022-01-15"]
    assert imported["trades"] == 10
    assert imported["seconds"] >= 0
    verified = one(engine("journal", "verify", traded, "--json").out)
    assert verified["digest"] == replay["digest"]
    assert verified["records"] == replay["events"]
    projected = one(engine("project", traded, "--db", tmp_path / "p.db", "--json").out)
    assert projected["seq"] == replay["events"]
    checked = one(engine("project", traded, "--db", tmp_path / "p.db", "--check", "--json").out)
    assert checked == {"equal": True, "seq": replay["events"], "difference": None}


def test_the_check_finds_a_changed_row(traded: Path, tmp_path: Path) -> None:
    engine("project", traded, "--db", tmp_path / "p.db")
    with sqlite3.connect(tmp_path / "p.db") as conn:
        conn.execute("update bars set close = close + 1 where rowid = 3")
    conn.close()
    done = engine("project", traded, "--db", tmp_path / "p.db", "--check", "--json")
    assert done.code == 3
    assert "bars" in json.dumps(one(done.out)["difference"])


@pytest.mark.parametrize("until", [1, 2, 57, 10_000])
def test_a_replay_until_a_seq_verifies_whole_frames_up_to_it(traded: Path, until: int) -> None:
    report = one(engine("replay", traded, "--until", until, "--json").out)
    assert report["identical"] is True
    assert report["events"] >= min(until, one(engine("replay", traded, "--json").out)["events"])


def test_a_sealed_day_has_the_same_digest(traded: Path, tmp_path: Path) -> None:
    root = tmp_path / "j"
    shutil.copytree(traded.parent, root)
    before = one(engine("replay", root / traded.name, "--json").out)["digest"]
    sealed = one(engine("journal", "seal", root, "--newest", "--json").out)
    assert sealed["day"] == traded.name
    assert sealed["segments"] == 1
    assert one(engine("replay", root / traded.name, "--json").out)["digest"] == before
    assert one(engine("journal", "seal", root, "--newest", "--json").out)["segments"] == 0


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--db", "absent/rows.db"], "absent/rows.db: there is no folder absent; give another path"),
        (["--check"], "retape.db: there is no such database; give the path of one with --db"),
    ],
)
def test_project_refuses_a_database_that_cannot_be(tmp_path: Path, args: list[str], words: str) -> None:
    done = engine("project", SAMPLE, *args, cwd=tmp_path)
    assert done.code == 2
    assert done.err == f"engine: {words}\n"
    assert not list(tmp_path.iterdir())
