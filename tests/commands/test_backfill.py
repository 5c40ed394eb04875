"""`engine backfill` writes history to the journal once and changes nothing else (F06, J14)."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from tests.commands.kit import as_json, assert_replays, engine, sandbox, spawn

ARGS = ("--instruments", "BTC,ETH", "--intervals", "1m,5m", "--since", "2024-01-01", "--json")


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
