"""Examples that users of engines reported, run as a user runs them: a CSV file, a strategy file, the command.

Each states the right number. The rules behind them are tested one by one in `test_rules_*.py`.
"""

from __future__ import annotations

import os
import sqlite3
import sys
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from engine.events import FillBooked, LogWritten, Trade
from tests.commands.kit import as_json, engine, recorded, trade_until
from tests.live.kit import of

FREE = """
[account]
cash = "1000"
{account}
[paper]
slippage_bps = 0
taker_fee = "0"
maker_fee = "0"
[bars]
intervals = ["1m"]
[risk]
{risk}
"""
ON_TRADES = """
from engine.strategies import Strategy

class S(Strategy):
    def on_start(self):
        self.count = 0

    def on_trade(self, trade):
        self.count += 1
        self.act(self.count, trade)

    def on_bar(self, bar):
        self.bar(bar)

    def act(self, count, trade):
        pass

    def bar(self, bar):
        pass
"""
START_MS = 1_642_204_800_000
MODULES = count()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A user's folder, from which strategies are imported."""
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.chdir(tmp_path)
    return tmp_path


class Run:
    """A backtest that ended: its report and its record."""

    def __init__(self, root: Path, report: dict[str, Any]) -> None:
        self.report = report
        self.out = root / "out"
        self.day = next(path for path in self.out.iterdir() if path.is_dir())
        self.fills = [(fill.side, fill.price / 10 ** (2 + fill.finer)) for fill in of(FillBooked, self.out)]
        self.logs = [line.text for line in of(LogWritten, self.out)]


def backtest(folder: Path, methods: str, rows: Sequence[Any], *, account: str = "", risk: str = "") -> Run:
    """Import trades a second apart (numbers) or candles of a minute (prices, perhaps volume), and run S."""
    module = f"reported_{next(MODULES)}_{os.getpid()}"
    body = "\n".join(f"    {line}" for line in dedent(methods).splitlines())
    (folder / f"{module}.py").write_text(f"{ON_TRADES}\n{body}\n", encoding="utf-8")
    (folder / "c.toml").write_text(FREE.format(account=account, risk=risk), encoding="utf-8")
    if isinstance(rows[0], tuple):
        lines = ["timestamp,open,high,low,close,volume"]
        lines += [
            f"{START_MS + n * 60_000}," + ",".join(map(str, (*row, 1000)[:5])) for n, row in enumerate(rows)
        ]
    else:
        lines = ["timestamp,price,quantity"]
        lines += [f"{START_MS + n * 1000},{price},1000" for n, price in enumerate(rows)]
    (folder / "data.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    place = ("--venue", "x", "--instrument", "AAA", "--journal", "in", "--price-decimals", 2)
    done = engine("import", "data.csv", *place)
    assert done.code == 0, done.err
    options = ("--strategy", f"{module}:S", "--config", "c.toml", "--out", "out", "--json")
    run = Run(folder, as_json(engine("backtest", "in", *options)))
    assert as_json(engine("replay", run.day, "--json"))["identical"]
    return run


def test_a_target_of_zero_on_the_print_that_fires_a_trail_ends_flat(folder: Path) -> None:
    run = backtest(
        folder,
        """
        def act(self, count, trade):
            if count == 1:
                self.target("AAA", "1")
            if trade.price < 99:
                self.target("AAA", 0)

        def on_fill(self, fill):
            if fill.side == "buy":
                self.trail("AAA", "1", "2")
        """,
        [100, 100, 100, 101, 98, 98, 98, 98],
    )
    assert run.fills == [(1, 100), (-1, 98)]
    assert run.report["equity"] == "998"


def test_a_resting_exit_does_not_keep_a_target_of_zero_from_closing(folder: Path) -> None:
    run = backtest(
        folder,
        """
        def act(self, count, trade):
            if count == 1:
                self.target("AAA", "1")
            if count == 4:
                self.sell("AAA", "1", limit="110")
            if count == 6:
                self.target("AAA", 0)
            if count == 9:
                self.log(f"{self.position('AAA').size} {len(self.orders('AAA'))}")
        """,
        [*[100] * 9, 111, 111],
    )
    assert run.fills == [(1, 100), (-1, 100)]
    assert run.logs == ["0.0 0"]


def test_a_target_after_a_stop_out_buys_again_when_it_is_called(folder: Path) -> None:
    run = backtest(
        folder,
        """
        def act(self, count, trade):
            if count in (1, 8):
                self.target("AAA", "1")

        def on_fill(self, fill):
            if fill.side == "buy":
                self.stop("AAA", "sell", "1", "97")
        """,
        [100, 100, 100, 96, 96, 100, 100, 100, 100, 100],
    )
    assert run.fills == [(1, 100), (-1, 96), (1, 100)]


def test_a_stop_in_a_gap_of_five_percent_is_filled(folder: Path) -> None:
    run = backtest(
        folder,
        """
        def act(self, count, trade):
            if count == 1:
                self.buy("AAA", "1", stop_loss="97")
        """,
        [100, 100, 100, 92, 92],
    )
    assert run.fills == [(1, 100), (-1, 92)]


def test_cash_of_1000_does_not_buy_20000_at_leverage_1(folder: Path) -> None:
    run = backtest(
        folder,
        """
        def act(self, count, trade):
            if count == 1:
                self.buy("AAA", "200")

        def on_order(self, order):
            self.log(f"{order.state} {order.rule}: {order.reason}")
        """,
        [100] * 5,
        account="leverage = { AAA = 1 }",
    )
    assert run.fills == []
    assert run.logs == ["Refused margin: needs 20200, and the account has 1000"]
    assert run.report["refusals"] == {"margin": 1}


def test_a_wick_to_80_fills_a_stop_at_its_trigger_of_97_5(folder: Path) -> None:
    run = backtest(
        folder,
        """
        def bar(self, bar):
            if not self.position("AAA") and not self.count:
                self.count = 1
                self.buy("AAA", "1", stop_loss="97.5")
        """,
        [(100, 100, 100, 100), (100, 100.5, 99.5, 100), (100, 101.5, 80, 101), (101, 101, 101, 101)],
    )
    assert run.fills == [(1, 100), (-1, 97.5)]
    assert run.report["equity"] == "997.5"


def test_of_a_stop_and_a_target_in_one_candle_the_stop_comes_first(folder: Path) -> None:
    run = backtest(
        folder,
        """
        def bar(self, bar):
            if not self.count:
                self.count = 1
                self.buy("AAA", "1", stop_loss="97.5", take_profit="104")
        """,
        [(100, 100, 100, 100), (100, 100.5, 99.5, 100.0), (100, 105, 96, 103), (101, 101, 101, 101)],
    )
    assert [price for _, price in run.fills] == [100, 97.5]


def test_a_strategy_that_asks_for_its_position_on_each_bar_buys_once(folder: Path) -> None:
    run = backtest(
        folder,
        """
        def bar(self, bar):
            if not self.position("AAA"):
                self.buy("AAA", "1")
        """,
        [(100, 101, 99, 100)] * 6,
    )
    assert len(run.fills) == 1


def test_a_stop_loss_of_a_float_and_names_of_the_author_work(folder: Path) -> None:
    """`100.01 * 0.99` is 99.0099: a trigger below a long position goes up to the grid, 99.01."""
    run = backtest(
        folder,
        """
        def on_start(self):
            self.state, self._working, self.instruments = "flat", 3, ["AAA"]

        def bar(self, bar):
            if self.state == "flat":
                self.state = "long"
                self.buy(bar.market, 1, stop_loss=bar.close * 0.99)

        def on_order(self, order):
            if order.trigger:
                self.log(f"{order.trigger_price}")
        """,
        [(100.01, 100.01, 100.01, 100.01), (100.01, 100.05, 100, 100.01), (100, 100, 98, 98.5)],
    )
    assert set(run.logs) == {"99.01"}
    assert [price for _, price in run.fills] == [100.01, 99.01]


@pytest.mark.parametrize("rows", [[100] * 6 + [96, 96], [(100, 100, 100, 100)] * 3 + [(100, 101, 80, 101)]])
def test_why_shows_the_price_that_triggered_a_stop_and_its_round_trip_is_a_row(
    folder: Path, rows: list[Any]
) -> None:
    run = backtest(
        folder,
        """
        def act(self, count, trade):
            self.enter()

        def bar(self, bar):
            self.enter()

        def enter(self):
            if not self.orders("AAA") and not self.position("AAA") and self.count < 3:
                self.count = 3
                self.buy("AAA", "1", stop_loss="97.5")
        """,
        rows,
    )
    stopped = run.fills[-1][1]
    assert stopped in (96, 97.5)
    database = folder / "rows.db"
    done = engine("project", run.day, "--db", database)
    assert done.code == 0, done.err
    with sqlite3.connect(database) as rows_of:
        (row,) = rows_of.execute("select entry_price, exit_price, profit, exit_by, seq from round_trips")
    rows_of.close()
    assert row[:4] == (100, stopped, stopped - 100, "stop")
    told = engine("why", run.day, row[4]).out
    assert "Trade  AAA  price 96" in told or "high 101  low 80" in told


def test_20_wanted_where_3_are_on_offer_are_bought_as_they_are_offered(folder: Path) -> None:
    run = backtest(
        folder,
        """
        def bar(self, bar):
            if not self.count:
                self.count = 1
                self.target("AAA", 20)
        """,
        [(100, 100, 100, 100, 3)] * 12,
    )
    assert [fill.size for fill in of(FillBooked, run.out)] == [3, 3, 3, 3, 3, 3, 2]


def test_a_turn_beyond_a_limit_closes_and_does_not_open(folder: Path) -> None:
    run = backtest(
        folder,
        """
        def act(self, count, trade):
            if count == 1:
                self.target("AAA", "1")
            if count == 4:
                self.sell("AAA", "4")
        """,
        [100] * 10,
        risk='max_order_size = { AAA = "2" }',
    )
    assert run.fills == [(1, 100), (-1, 100)]
    assert run.report["refusals"] == {"max_order_size": 1}


def test_a_loss_limit_halts_on_the_print_that_reaches_it_and_not_at_the_next_bar(folder: Path) -> None:
    """It was reached with the first print at 90, and 4 s later another 1 was bought: no bar had closed."""
    run = backtest(
        folder,
        """
        def act(self, count, trade):
            if count == 1:
                self.target("AAA", "1")
            if count == 8:
                self.target("AAA", "2")
        """,
        [100, 100, 100, 101, *[90] * 8],
        risk='max_daily_loss = "5"\nflatten_on_loss = true',
    )
    assert run.fills == [(1, 100), (-1, 90)]
    assert run.report["equity"] == "990"
    (note,) = [note for note in run.report["notes"] if "halted" in note]
    assert "2022-01-15T00:00:04: max_daily_loss: 10 lost since midnight, 5 allowed" in note


def test_a_renamed_class_is_refused_by_name_or_takes_over_what_the_old_name_holds(folder: Path) -> None:
    """It had ended every later start: `mine has no strategy 'Hold'`, also with --move."""
    text = """
from engine.strategies import Strategy

class Hold(Strategy):
    size: float = 0.01

    def on_trade(self, trade):
        if trade.market == "BTC" and not self.position("BTC") and not self.orders("BTC"):
            self.buy("BTC", self.size)
"""
    source, root = folder / "mine.py", folder / "j"
    options = ("--no-db", "--instruments", "BTC", "--speed", 2, "--strategy")
    source.write_text(text, encoding="utf-8")
    assert trade_until(root, {FillBooked: 1}, *options, "mine:Hold", cwd=folder).code == 0
    assert recorded(root, FillBooked) == 1

    source.write_text(text + "# a comment\n", encoding="utf-8")
    done = trade_until(root, {Trade: 3}, *options, "mine:Hold", cwd=folder)
    assert done.code == 0
    assert "begins without its state: its code changed; its book holds 0.01 BTC" in done.err

    source.write_text(text.replace("Hold", "Held").replace("size", "amount"), encoding="utf-8")
    done = trade_until(root, {Trade: 3}, *options, "mine:Held", "--move", "Hold=Held", cwd=folder)
    assert done.code == 0, done.err
    assert "position  BTC Held 0.01, protected by NOTHING" in done.out
    assert recorded(root, FillBooked) == 1
