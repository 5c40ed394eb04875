"""`engine backfill` writes history to the journal once and changes nothing else (F06, J14)."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from engine.events import CandleRead
from engine.journal import list_days
from engine.records import read_records
from tests.commands.kit import as_json, assert_replays, engine, recorded, sandbox, spawn, start, until

ARGS = ("--instruments", "hyperliquid:BTC,ETH", "--intervals", "1m,5m", "--since", "2024-01-01", "--json")


@pytest.fixture(scope="module")
def venue() -> Any:
    with sandbox("--history", "7200", "--rate-limit", "off") as url:
        yield url


def backfill(url: str, root: Path, *more: str) -> dict[str, Any]:
    found: dict[str, Any] = as_json(engine("backfill", "--base-url", url, "--journal", root, *ARGS, *more))
    return found


def test_a_backfill_reads_each_candle_once_replays_and_is_in_the_database(venue: str, tmp_path: Path) -> None:
    root = tmp_path / "j"
    first = backfill(venue, root)
    assert first["rows"] > 200
    lines = {(one["instrument"], one["interval"]): one for one in first["series"]}
    assert lines["BTC", "1m"]["rows"] >= 119
    assert not lines["BTC", "1m"]["complete"], (
        "the venue's history starts later than requested, and the result shows it"
    )
    again = backfill(venue, root)
    assert again["rows"] <= 6, "only candles that have closed since"
    with sqlite3.connect(root / "retape.db") as database:
        (candles,) = database.execute("select count(*) from candles").fetchone()
        (rates,) = database.execute("select count(*) from funding_rates").fetchone()
    database.close()
    assert candles + rates == first["rows"] + again["rows"]
    assert_replays(root)


def test_a_live_session_continues_after_a_backfill(venue: str, tmp_path: Path) -> None:
    root = tmp_path / "j"
    live = ("live", "--base-url", venue, "--venue", "hyperliquid", "--journal", root, "--for", "1s", "--json")
    assert spawn(*live).code == 0
    backfill(venue, root)
    done = spawn(*live)
    assert done.code == 0, done.err
    assert_replays(root)


def ago(minutes: int) -> str:
    """The start of a minute on the clock of the sandbox, which is the machine's."""
    now = datetime.now(UTC).replace(second=0, microsecond=0)
    return (now - timedelta(minutes=minutes)).strftime("%Y-%m-%dT%H:%M")


def candles_of(root: Path, interval_ns: int) -> list[CandleRead]:
    found = [event for day in list_days(root) for _, _, event in read_records(day.path)]
    return [one for one in found if isinstance(one, CandleRead) and one.interval_ns == interval_ns]


def test_three_spans_and_a_kill_between_them_leave_no_hole(venue: str, tmp_path: Path) -> None:
    root = tmp_path / "j"
    times = {minutes: ago(minutes) for minutes in (5, 35, 45, 95, 105)}

    def span(first: int, last: int) -> tuple[object, ...]:
        options = ("--coins", "BTC", "--intervals", "1m", "--base-url", venue, "--journal", root)
        return ("backfill", *options, "--since", times[first], "--until", times[last])

    assert as_json(engine(*span(105, 95), "--json"))["series"][0]["rows"] == 10
    process = start(*span(45, 35))
    until(lambda: process.poll() is not None or recorded(root, CandleRead) > 10)
    process.kill()
    process.communicate()
    done = engine(*span(105, 5))
    assert done.code == 0, done.err
    assert "complete" in done.out
    assert "incomplete" not in done.out
    report = as_json(engine(*span(105, 5), "--json"))
    candles, rates = report["series"]
    assert (candles["windows"], candles["already"], candles["rows"]) == (100, 100, 0)
    assert (candles["complete"], candles["missing"], candles["missing_spans"]) == (True, 0, [])
    assert (rates["interval"], rates["complete"], rates["unusable"]) == ("funding", True, 0)
    starts = [one.start_ns for one in candles_of(root, 60 * 10**9)]
    assert len(starts) == len(set(starts)) == 100
    assert_replays(root)


def test_the_report_names_what_is_missing(venue: str, tmp_path: Path) -> None:
    root = tmp_path / "j"
    options = ("--coins", "BTC", "--intervals", "1h", "--base-url", venue, "--journal", root, "--no-funding")
    done = engine("backfill", *options, "--since", "2024-01-01T00:00", "--until", "2024-01-01T05:00")
    assert "incomplete: the venue has no usable row for 5 of 5 windows" in done.out
    assert "2024-01-01T00:00:00 to 2024-01-01T05:00:00" in done.out
    (series,) = as_json(
        engine("backfill", *options, "--since", "2024-01-01T03:00", "--until", "2024-01-01T05:00", "--json")
    )["series"]
    assert (series["complete"], series["missing"], series["windows"], series["rows"]) == (False, 2, 2, 0)
    assert series["missing_spans"] == [["2024-01-01T03:00:00.000000000Z", "2024-01-01T05:00:00.000000000Z"]]


def test_a_session_says_how_many_bars_its_warm_up_has(tmp_path: Path) -> None:
    root, config = tmp_path / "j", tmp_path / "c.toml"
    config.write_text(
        'coins = ["BTC"]\n[[strategies]]\nuse = "engine.strategies.crossover:Crossover"\n'
        'params = { interval = "1m" }\n[bars]\nintervals = ["1m"]\n',
        encoding="utf-8",
    )
    with sandbox("--history", "600") as url:
        options = ("--venue", "hyperliquid", "--base-url", url, "--config", config)
        done = spawn("live", *options, "--journal", root, "--for", "1s")
    assert done.code == 0, done.err
    number = len(candles_of(root, 60 * 10**9))
    assert 0 < number <= 11
    assert f"of 100 bars, BTC 1m has {number}" in done.err + done.out


def test_an_invalid_backfill_is_refused_before_anything_is_written(venue: str, tmp_path: Path) -> None:
    root = tmp_path / "j"
    for args, words in (
        (("--instruments", "BTX", "--since", "2024-01-01"), "did you mean BTC"),
        (("--instruments", "BTC", "--since", "soon"), "ISO 8601"),
        (("--instruments", "BTC", "--since", "2124-01-01"), "not before"),
        (("--instruments", "BTC", "--since", "2024-01-01", "--intervals", "7m"), "interval"),
    ):
        done = engine("backfill", "--base-url", venue, "--journal", root, *args)
        assert done.code == 2, (args, done.err)
        assert words in done.err
    assert not root.exists()


def test_open_interest_of_binance_is_read_once_shown_as_a_series_and_replays(tmp_path: Path) -> None:
    root = tmp_path / "j"
    asked = ("--venue", "binance-usdm", "--instruments", "BTCUSDT", "--intervals", "1h", "--no-funding")
    with sandbox("--venue", "binance-usdm", "--history", "3000") as url:
        options = (*asked, "--since", ago(120), "--base-url", url, "--journal", root, "--json")
        first = as_json(engine("backfill", *options, "--open-interest"))
        again = as_json(engine("backfill", *options, "--open-interest"))
    (_, interest), (_, known) = first["series"], again["series"]
    assert interest["interval"] == "open-interest"
    assert 8 <= interest["rows"] <= 11
    assert known["already"] == interest["rows"]
    (day,) = [one.path for one in list_days(root)]
    shown = engine("bars", day, "--kind", "open-interest", "--interval", "5m", "--json")
    assert len(shown.out.splitlines()) == interest["rows"] + known["rows"]
    assert_replays(root)
    refused = engine("backfill", "--instruments", "BTC", "--since", ago(5), "--open-interest")
    assert (refused.code, "no history of open interest" in refused.err) == (2, True)
