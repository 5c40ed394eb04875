"""Results that others have published, or that a straight line of arithmetic gives, from the same data."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterator
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from engine.clock import SECOND_NS, day_start_ns
from engine.config import AccountConfig, BarsConfig, Config, PaperConfig, RiskConfig, StrategyConfig
from engine.events import (
    BarClosed,
    Candle,
    EquityMarked,
    Event,
    InstrumentListed,
    MarketRules,
    OrderFilled,
    SubmitOrder,
    Trade,
)
from engine.indicators import Sma
from engine.session import SessionBuilder
from engine.strategies import Bar, PerMarket, Strategy, Tick
from engine.strategies.crossover import Crossover
from engine.values import BUY, format_scaled, parse_scaled
from replay.backtesting import BacktestReport, DigestSink, run_backtest
from tests.profiles import pick
from tests.replay.kit import opening, write_journal

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
GOOG = SHARED / "reference" / "goog-daily.csv.gz"
BTC = SHARED / "candles" / "btc-perp-1m-202201.csv.gz"

pytestmark = pytest.mark.skipif(not GOOG.exists(), reason="the shared data is not here")


class Averages(Strategy):
    """Moving averages of the close: long while the short one is above, else short; always the whole account.

    It decides when a day closes and sizes by the first print of the next day, as a tool does that sizes an
    order when it fills. The last position is closed at the open of the last day.
    """

    short: int = 10
    long: int = 30
    last_ns: int = 0

    def on_start(self) -> None:
        self.fast, self.slow = PerMarket(Sma, self.short), PerMarket(Sma, self.long)
        self.above: float | None = None
        self.side = 0

    def on_bar(self, bar: Bar) -> None:
        short, long = (one[bar.market].update(bar.close) for one in (self.fast, self.slow))
        if short is None or long is None:
            return
        gap, self.above = self.above, short - long
        if gap is not None and gap < 0 < self.above:
            self.side = 1
        elif gap is not None and gap > 0 > self.above:
            self.side = -1

    def on_trade(self, trade: Tick) -> None:
        if trade.event.venue_ns == self.last_ns:
            self.target(trade.market, 0)
        elif self.side:
            position = self.position(trade.market)
            gained = position.size * (trade.price - position.entry) if position else 0.0
            self.target(trade.market, self.side * int((self.cash + gained) / trade.price))
            self.side = 0


MINUTE_NS, HOUR_NS = 60 * SECOND_NS, 3600 * SECOND_NS
CLASSES: dict[str, type[Strategy]] = {"here:Averages": Averages, "here:Crossover": Crossover}


class Watcher:
    """Keeps what a backtest records."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def append(self, first_seq: int, inputs: list[Event], derived: list[Any]) -> None:
        self.events += [event for _, _, event in derived]

    def all(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    def at_closes(self) -> list[float]:
        """Return the equity at the close of each bar after which it was marked."""
        found, closed_ns = [], 0
        for event in self.events:
            if isinstance(event, BarClosed):
                closed_ns = event.at_ns
            elif isinstance(event, EquityMarked) and event.at_ns == closed_ns:
                found.append(float(format_scaled(event.equity, event.scale)))
        return found


def backtest(root: Path, inputs: list[Event], config: Config) -> tuple[BacktestReport, Watcher]:
    listed = next(one for one in inputs if isinstance(one, InstrumentListed))
    empty = Config(strategies=())
    start = [one for one in opening(empty, listed.recv_ns) if not isinstance(one, InstrumentListed)]
    write_journal(root, [[*start, *inputs]])
    watcher = Watcher()
    folders = sorted(one for one in root.iterdir() if one.is_dir())
    builder = SessionBuilder(CLASSES.__getitem__, "0" * 16, "0.0.test")
    return run_backtest(folders, builder, config, DigestSink(), watch=[watcher]), watcher


def config_of(use: str, interval: str, cash: str, **params: Any) -> Config:
    return Config(
        strategies=(StrategyConfig(use=f"here:{use}", params=params),),
        bars=BarsConfig((interval,)),
        risk=RiskConfig(
            max_orders_per_minute=100_000,
            max_order_notional="1000000000",
            max_position_notional="1000000000",
            exit_bps=9000,
            max_leverage="0",
        ),
        paper=PaperConfig(latency_ms=0, slippage_bps=0, taker_fee="0", maker_fee="0"),
        account=AccountConfig(cash=cash),
    )


def goog() -> list[dict[str, str]]:
    with gzip.open(GOOG, "rt") as file:
        return list(csv.DictReader(file))


def open_ns(number: int) -> int:
    """Return when a day opens. A day of the data is an hour here: nothing depends on dates."""
    return day_start_ns("2024-01-01") + number * HOUR_NS + MINUTE_NS


def prints(days: list[dict[str, str]]) -> Iterator[Event]:
    """Yield each day as prints: four at the open (to size by, to close with, to open with), then the rest."""
    rules = MarketRules(leverage_max=20, leverage=5)
    yield InstrumentListed(open_ns(0), 1, "nasdaq", "GOOG", 4, 0, kind="perp", silence="none", rules=rules)
    for number, day in enumerate(days):
        at_ns = open_ns(number)
        for price in (*(day["Open"],) * 4, day["Low"], day["High"], day["Close"]):
            yield Trade(at_ns, at_ns, 1, parse_scaled(price, 4), 1, 0)
            at_ns += SECOND_NS


def test_moving_averages_on_goog_give_the_published_result(tmp_path: Path) -> None:
    """66 trades and 51,422.99, as published with backtesting.py (see the data's README).

    Where the engine differs: an order is sized when it is sent, so the strategy sizes by the first print of
    the day and fills at the same price; a reversal is two orders; equity is marked at every print of a bar's
    end and fill, so drawdowns are not compared.
    """
    days = goog()
    config = config_of("Averages", "1h", "10000", last_ns=open_ns(len(days) - 1))
    report, watcher = backtest(tmp_path, list(prints(days)), config)
    bars = watcher.all(BarClosed)
    assert [(one.open, one.high, one.low, one.close) for one in bars] == [
        tuple(parse_scaled(day[name], 4) for name in ("Open", "High", "Low", "Close")) for day in days[:-1]
    ], "the last day has not closed when the data ends"
    trips = report.analysis.trips
    metrics = report.analysis.metrics
    assert metrics["round_trips"] == len(trips) == 66
    assert round(float(report.equity), 2) == 51_422.99
    assert metrics["return_percent"] == pytest.approx(414.2299, abs=1e-4)
    assert metrics["win_rate_percent"] == pytest.approx(46.969697, abs=1e-6)
    assert max(watcher.at_closes()) == pytest.approx(75_787.44, abs=0.005)
    opens = {parse_scaled(day["Open"], 4) for day in days}
    assert {one.price for one in watcher.all(OrderFilled)} <= {price * 10_000 for price in opens}


def minutes(most: int) -> list[tuple[int, list[str]]]:
    """Return (start, open, high, low, close) of the minutes of January 2022."""
    with gzip.open(BTC, "rt") as file:
        rows = list(csv.DictReader(file))[:most]
    found = []
    for row in rows:
        day, clock = row["timestamp"][:10], row["timestamp"][11:19]
        hour, minute, second = (int(part) for part in clock.split(":"))
        at_ns = day_start_ns(day) + (hour * 3600 + minute * 60 + second) * SECOND_NS
        found.append((at_ns, [row[name] for name in ("open", "high", "low", "close")]))
    return found


def test_an_ema_cross_on_minutes_signals_and_trades_as_a_straight_line_does(tmp_path: Path) -> None:
    rows = minutes(pick(6_000, deep=45_031))
    events: list[Event] = [
        InstrumentListed(rows[0][0], 1, "x", "BTC", 4, 5, kind="perp", rules=MarketRules(leverage_max=20))
    ]
    for start_ns, prices in rows:
        end_ns = start_ns + MINUTE_NS
        opening_, high, low, close = (parse_scaled(one, 4) for one in prices)
        events.append(Candle(end_ns - 1, end_ns, 1, MINUTE_NS, start_ns, opening_, high, low, close, 0))
    config = config_of("Crossover", "1m", "100000", fast=10, slow=20, notional="5000")
    _, watcher = backtest(tmp_path, events, config)

    # The straight line: two averages, and what follows from them.
    wanted: list[tuple[int, str, Decimal]] = []
    quick = calm = 0.0
    long = False
    for number, ((_, prices), (start_ns, following)) in enumerate(pairwise(rows), start=1):
        close = float(prices[3])
        quick, calm = _ema(quick, close, 10, number), _ema(calm, close, 20, number)
        if number >= 20 and (quick > calm) != long:
            long = not long
            wanted.append((start_ns, "buy" if long else "sell", Decimal(following[0])))
    sent, filled = watcher.all(SubmitOrder), watcher.all(OrderFilled)
    assert len(sent) == len(wanted) > pick(100, deep=1000)
    assert [
        (one.venue_ns, "buy" if one.side == BUY else "sell", Decimal(format_scaled(one.price, 4 + one.finer)))
        for one in filled
    ] == wanted


def _ema(before: float, close: float, length: int, number: int) -> float:
    """An average of the first `length` closes, then close weighted by 2 / (length + 1)."""
    if number <= length:
        return (before * (number - 1) + close) / number
    return before + (close - before) * 2 / (length + 1)
