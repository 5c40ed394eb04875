"""Names of instruments on the command line: all that find one, and two instruments of one name in a session.

Everything of each of the two stays its own, and is named apart.
"""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from adapters.sandbox.market import SyntheticMarket
from engine.events import SessionStarted
from engine.records import read_records
from tests.commands.kit import as_json, days, engine, lines, sandbox, spawn
from tests.replay.imports import imported, steps

DAY = "2024-01-01"
BINANCE, KRAKEN = "binance:BTCUSDT", "kraken:BTCUSDT"

PAIR = '''
"""Buys 2 at one venue and sells 1 at the other, both by their labels."""

from engine.strategies import Bar, Fill, OrderView, Strategy


class Pair(Strategy):
    market: str = "binance:BTCUSDT"
    second: str = "kraken:BTCUSDT"

    def on_start(self) -> None:
        self.seen: list[str] = []
        self.filled: dict[str, float] = {}

    def on_bar(self, bar: Bar) -> None:
        if bar.market not in self.seen:
            self.seen.append(bar.market)
            if bar.market == self.market:
                self.buy(self.market, 2, reason="long")
            elif bar.market == self.second:
                self.target(self.second, -1, reason="short")
        recent = self.bars(bar.market, "1m", 5)
        assert {one.market for one in recent} <= {bar.market}
        if len(recent) == 5:
            held = self.position(bar.market)
            assert held.market == bar.market
            assert held.exact == {self.market: 2, self.second: -1}[bar.market], held
            assert (self.last(bar.market) > 150) == (bar.market == self.second)

    def on_fill(self, fill: Fill) -> None:
        self.filled[fill.market] = fill.price

    def on_order(self, order: OrderView) -> None:
        assert order.market in (self.market, self.second)

    def on_stop(self) -> None:
        for market, price in self.filled.items():
            self.plot("price", price, market)
'''

CONFIG = """
instruments = ["binance:BTCUSDT", "kraken:BTCUSDT"]
[[strategies]]
use = "mine:Pair"
[bars]
intervals = ["1m"]
activity = ["tick:7@kraken:BTCUSDT"]
[risk]
max_order_size = { "binance:BTCUSDT" = "2", "kraken:BTCUSDT" = "1.5" }
[account]
leverage = { "binance:BTCUSDT" = 3, "kraken:BTCUSDT" = 5 }
[paper]
latency_ms = 0
slippage_bps = 0
[[stores]]
kind = "csv"
path = "bars"
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A backtest of the same day of two venues, whose prices have other scales."""
    root = tmp_path_factory.mktemp("two")
    imported(root / "a", steps(DAY, ("100", "101"), ("5",), 200, 5), "BTCUSDT", venue="binance")
    imported(root / "b", steps(DAY, ("200.25", "199.5"), ("0.125",), 200, 5), "BTCUSDT", venue="kraken")
    (root / "mine.py").write_text(PAIR, encoding="utf-8")
    (root / "mine.toml").write_text(CONFIG, encoding="utf-8")
    return root


def backtest(project: Path, *more: str) -> Any:
    return engine("backtest", f"a/{DAY}", f"b/{DAY}", "--config", "mine.toml", *more, cwd=project)


@pytest.fixture(scope="module")
def run(project: Path) -> dict[str, Any]:
    done = backtest(project, "--out", "out", "--json")
    assert done.code == 0, done.err
    report: dict[str, Any] = as_json(done)
    assert report["failures"] == []
    return report


def test_positions_and_orders_are_apart(run: dict[str, Any]) -> None:
    held = {name: (one["side"], one["size"], one["mark"]) for name, one in run["positions"].items()}
    assert held == {
        f"Pair {BINANCE}": ("buy", "2", "101"),
        f"Pair {KRAKEN}": ("sell", "-1", "199.5"),
    }
    assert (run["orders"], run["refused"]) == (2, 0)
    notes = " ".join(run["notes"])
    assert f"{BINANCE}: its data states no trading rules" in notes
    assert "leverage 3" in notes
    assert "leverage 5" in notes


def test_what_it_recorded_replays_and_is_shown_by_labels(project: Path, run: dict[str, Any]) -> None:
    (day,) = days(project / "out")
    assert engine("replay", day, cwd=project).code == 0
    fills = lines(engine("inspect", day, "--type", "OrderFilled", "--json", cwd=project))
    assert sorted((one["instrument"], one["side"]) for one in fills) == [(BINANCE, "buy"), (KRAKEN, "sell")]
    text = engine("inspect", day, "--type", "TargetSet", cwd=project).out
    assert KRAKEN in text
    assert BINANCE not in text
    seq = fills[0]["seq"]
    assert fills[0]["instrument"] in engine("why", day, str(seq), cwd=project).out
    kinds = lines(engine("inspect", day, "--type", "ActivityBarClosed", "--json", cwd=project))
    assert {one["instrument"] for one in kinds} == {KRAKEN}


def test_rows_of_sqlite_are_apart(project: Path, run: dict[str, Any]) -> None:
    assert engine("project", "out", "--db", "rows.db", cwd=project).code == 0
    with closing(sqlite3.connect(project / "rows.db")) as db:
        for table, expected in (
            ("positions", [("binance", "BTCUSDT", 2.0), ("kraken", "BTCUSDT", -1.0)]),
            ("fills", [("binance", "BTCUSDT", 2.0), ("kraken", "BTCUSDT", 1.0)]),
            ("orders", [("binance", "BTCUSDT", 2.0), ("kraken", "BTCUSDT", 1.0)]),
        ):
            found = db.execute(f"select venue, instrument, size from {table} order by venue").fetchall()
            assert found == expected, table
        bars = db.execute("select venue, max(high), count(*) from bars group by venue").fetchall()
        signals = db.execute("select venue, value from signals order by venue").fetchall()
    assert [(venue, high) for venue, high, _ in bars] == [("binance", 101.0), ("kraken", 200.25)]
    assert len({count for _, _, count in bars}) == 1
    assert [venue for venue, _ in signals] == ["binance", "kraken"]


def test_bars_are_found_by_a_name_that_means_one(project: Path, run: dict[str, Any]) -> None:
    both = ("bars", f"a/{DAY}", f"b/{DAY}", "--json")
    found = lines(engine(*both, "--instrument", KRAKEN, cwd=project))
    assert {(one["venue"], one["instrument"]) for one in found} == {("kraken", "BTCUSDT")}
    refused = engine(*both, "--instrument", "BTCUSDT", cwd=project)
    assert refused.code == 2
    assert f"write one of {BINANCE}, {KRAKEN}" in refused.err
    shown = engine("bars", f"a/{DAY}", f"b/{DAY}", "--interval", "1h", "--open", cwd=project).out
    assert [line.split()[0] for line in shown.splitlines()] == ["instrument", BINANCE, KRAKEN]
    alone = engine("bars", f"a/{DAY}", "--interval", "1h", "--open", cwd=project).out
    assert [line.split()[0] for line in alone.splitlines()] == ["instrument", "BTCUSDT"]


def test_an_ambiguous_name_is_refused_before_anything_is_written(project: Path) -> None:
    text = CONFIG.replace('{ "binance:BTCUSDT" = 3, "kraken:BTCUSDT" = 5 }', "{ BTCUSDT = 3 }")
    (project / "ambiguous.toml").write_text(text, encoding="utf-8")
    done = backtest(project, "--config", "ambiguous.toml", "--out", "refused")
    assert done.code == 2
    assert "account.leverage: 'BTCUSDT' is the name of several instruments; write one" in done.err
    assert not (project / "refused" / DAY).exists()
    done = backtest(project, "--param", "market=BTCUSDT", "--out", "refused")
    assert done.code == 2
    assert "strategy Pair: market: 'BTCUSDT' is the name of several instruments" in done.err
    assert not (project / "refused" / DAY).exists()


def test_a_verb_with_an_ambiguous_name_fails_with_both(project: Path) -> None:
    (project / "bare.py").write_text(
        PAIR.replace("self.buy(self.market", 'self.buy("BTCUSDT"'), encoding="utf-8"
    )
    done = engine("backtest", f"a/{DAY}", f"b/{DAY}", "--strategy", "bare:Pair", cwd=project)
    assert done.code == 7
    words = f"'BTCUSDT' is the name of several markets; write one of {BINANCE}, {KRAKEN}"
    assert words in done.err


HOLD = """
from engine.strategies import Bar, Strategy


class Hold(Strategy):
    market: str = ""

    def on_bar(self, bar: Bar) -> None:
        if bar.market == self.market:
            self.target(self.market, "0.01")
            self.target("hyperliquid:ETH", "0.01")
"""

NAMED = """
coins = ["hyperliquid:BTC", "ETH"]
[[strategies]]
use = "mine:Hold"
coins = ["BTC", "hyperliquid:ETH"]
params = { market = "hyperliquid:BTC" }
[bars]
intervals = ["1s"]
grace_ms = 100
[risk]
max_order_size = { BTC = "1" }
[account]
leverage = { "hyperliquid:ETH" = 2 }
"""


def test_a_live_session_takes_all_names_and_records_what_they_mean(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(HOLD, encoding="utf-8")
    (tmp_path / "mine.toml").write_text(NAMED, encoding="utf-8")
    done = spawn("live", "--config", "mine.toml", "--journal", "j", "--for", "4s", "--json", cwd=tmp_path)
    assert done.code == 0, done.err
    assert {one["market"] for one in as_json(done)["positions"]} == {"BTC", "ETH"}
    (day,) = days(tmp_path / "j")
    assert engine("replay", day, cwd=tmp_path).code == 0
    (started,) = [event for _, _, event in read_records(day) if isinstance(event, SessionStarted)]
    recorded = json.loads(started.config)
    assert recorded["coins"] == recorded["strategies"][0]["coins"] == ["hyperliquid:BTC", "hyperliquid:ETH"]
    assert recorded["strategies"][0]["params"] == {"market": "BTC"}
    assert recorded["risk"]["max_order_size"] == {"hyperliquid:BTC": "1"}
    again = engine("backtest", day, "--config", "mine.toml", "--json", cwd=tmp_path)
    assert set(as_json(again)["positions"]) == {"Hold BTC", "Hold ETH"}


def test_the_sandbox_lists_the_instruments_of_the_venue_that_it_imitates() -> None:
    with sandbox("--instruments", "hyperliquid:ETH,BTC") as url:
        done = spawn("live", "--venue", "hyperliquid", "--base-url", url, "--instruments", "hyperliquid:ETC")
    assert done.code == 2
    assert "hyperliquid has no instrument 'ETC'; did you mean" in done.err
    assert SyntheticMarket().instruments(0)[0].key == "hyperliquid:BTC"
