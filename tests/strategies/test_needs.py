"""A strategy that can never act is refused at the start: by intervals, by markets, by what the data has."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal

import pytest

from engine.config import BarsConfig, Config, StrategyConfig
from engine.errors import ConfigError, UsageError
from engine.events import Event, InstrumentListed
from engine.session import SessionBuilder
from engine.strategies import Bar, Strategy, Tick
from engine.strategies.needs import Need, needs_of, resolve_markets, spoken
from replay.backtesting import BacktestReport, DigestSink, run_backtest
from tests.actors.harness import T
from tests.replay.kit import NOON, candles, listings, steady, write_journal

MINUTE_NS = 60_000_000_000


class Timed(Strategy):
    """Declares what it needs in every way there is."""

    interval: str = "1m"
    slow: Literal["5m", "1h"] = "5m"
    market: str = "AAA"
    way: Literal["5m", "never"] = "never"
    count: int = 5
    intervals: ClassVar[tuple[str, ...]] = ("15m", "tick:5")
    markets: ClassVar[tuple[str, ...]] = ("BBB",)


class Plain(Strategy):
    """Compares with a text in its code, as many do."""

    def on_bar(self, bar: Bar) -> None:
        if bar.interval in ("1m", "3m"):
            self.target(bar.market, 1)


class Speaking(Strategy):
    """Has a class attribute of its own that only looks like a declaration."""

    intervals = ("fast", "slow")

    def on_trade(self, trade: Tick) -> None:
        self.plot("1h", trade.price)


class Wrong(Strategy):
    """Declares something that is no tuple."""

    intervals: ClassVar[Any] = "1m"


CLASSES: dict[str, type[Strategy]] = {cls.__name__: cls for cls in (Timed, Plain, Speaking, Wrong)}


def builder() -> SessionBuilder:
    return SessionBuilder(CLASSES.__getitem__, "code", "0")


def config(use: str, intervals: tuple[str, ...] = ("1m", "5m", "15m"), **fields: Any) -> Config:
    bars = BarsConfig(intervals=intervals, activity=fields.pop("activity", ("tick:5@AAA",)))
    instruments = fields.pop("instruments", ())
    return Config(strategies=(StrategyConfig(use, **fields),), bars=bars, instruments=instruments)


LISTED = [
    InstrumentListed(T, number, "sim", name, 2, 3) for number, name in enumerate(("AAA", "BBB", "CCC"), 1)
]


def check(listed: list[InstrumentListed] = LISTED, **fields: Any) -> Config:
    settings = config("Timed", **fields)
    return resolve_markets(settings, builder().needs(settings), listed)


def begin(settings: Config, mode: str = "paper") -> None:
    builder().start(recv_ns=T, session="a", mode=mode, config=settings)


def test_what_a_strategy_says_it_needs() -> None:
    found = needs_of(Timed, "mine", {"slow": "1h"}, ("AAA",))
    assert found == [
        Need("mine", "interval", "interval", "1m", ("AAA",)),
        Need("mine", "interval", "slow", "1h", ("AAA",)),
        Need("mine", "market", "market", "AAA", ("AAA",)),
        Need("mine", "interval", "Timed.intervals", "15m", ("AAA",)),
        Need("mine", "interval", "Timed.intervals", "tick:5", ("AAA",)),
        Need("mine", "market", "Timed.markets", "BBB", ("AAA",)),
    ]
    assert needs_of(Plain, "mine", {}, ()) == needs_of(Speaking, "mine", {}, ()) == []
    assert (spoken(Plain), spoken(Speaking), spoken(Timed)) == (["1m", "3m"], ["1h"], [])
    with pytest.raises(ConfigError, match=r"Wrong\.intervals: give a tuple"):
        needs_of(Wrong, "mine", {}, ())


def test_an_interval_of_which_no_bars_are_built_is_refused_with_the_nearest() -> None:
    begin(config("Timed"))
    for settings, words in (
        (config("Timed", params={"interval": "15min"}), r"interval: .*'15min'.*did you mean 15m"),
        (config("Timed", params={"slow": "1h"}), r"slow: .*'1h'.*did you mean .*1m"),
        (config("Timed", ("5m", "15m")), r"interval: .*'1m'"),
        (config("Timed", activity=()), r"Timed\.intervals: .*'tick:5'"),
    ):
        with pytest.raises(ConfigError, match=f"^strategy Timed: {words}"):
            begin(settings)
    assert ConfigError.exit_code == 2
    begin(config("Timed", ("5m", "15m")), "backfill")


def test_a_market_that_is_not_there_or_not_traded_is_refused_with_the_nearest() -> None:
    check()
    check(instruments=("AAA", "BBB"))
    with pytest.raises(ConfigError, match=r"strategy Timed: market: .* 'AAB'; did you mean AAA"):
        check(params={"market": "AAB"})
    with pytest.raises(ConfigError, match="market: there is no instrument 'CCC'"):
        check(params={"market": "CCC"}, instruments=("AAA", "BBB"))


def test_a_market_is_passed_on_as_its_label_so_that_it_equals_that_of_a_bar() -> None:
    assert check(params={"market": "sim:AAA"}).strategies[0].params == {"market": "AAA"}
    assert check(params={"market": "AAA"}).strategies[0].params == {"market": "AAA"}
    twice = [*LISTED, InstrumentListed(T, 4, "kraken", "AAA", 2, 3)]
    assert check(twice, params={"market": "sim:AAA"}).strategies[0].params == {"market": "sim:AAA"}
    with pytest.raises(ConfigError, match=r"market: 'AAA' is the name of several instruments; .*kraken:AAA"):
        check(twice, params={"market": "AAA"})
    own = check(twice, params={"market": "AAA"}, instruments=("sim:AAA", "sim:BBB"))
    assert own.strategies[0].params == {"market": "AAA"}


# Backtests: what the data can have.


def backtest(root: Path, data: list[Event], settings: Config) -> BacktestReport:
    write_journal(root, [[*listings(NOON), *data]])
    folders = sorted(root.glob("20*"))
    return run_backtest(folders, builder(), settings, DigestSink())


def notes_of(report: BacktestReport) -> list[str]:
    """Return the notes about strategies; others are about the data."""
    return [note for note in report.notes if note.startswith("strategy ")]


@pytest.mark.parametrize("interval", ["1m", "3m"])
def test_a_strategy_on_shorter_bars_than_the_candles_is_refused(tmp_path: Path, interval: str) -> None:
    data = candles(20, NOON, 5 * MINUTE_NS)
    settings = config("Timed", ("1m", "3m", "5m", "15m"), params={"interval": interval})
    with pytest.raises(UsageError, match=rf"candles of 5m, and no bars of '{interval}' .*; known: 5m 15m"):
        backtest(tmp_path, data, settings)


class Short(Strategy):
    """Needs the bars of its parameter."""

    interval: str = "1m"

    def on_bar(self, bar: Bar) -> None:
        if bar.interval == self.interval:
            self.plot("close", bar.close)


CLASSES["Short"] = Short


@pytest.mark.parametrize(
    ("interval", "built", "possible"),
    [
        ("5m", ("1m", "5m"), True),
        ("5m", ("1m",), True),  # a candle is a bar of its own interval
        ("15m", ("1m", "15m"), True),
        ("15m", ("1m",), False),
        ("1h", ("1m", "30m", "1h"), True),
        ("3m", ("1m", "3m"), False),
    ],
)
def test_candles_have_bars_of_their_length_and_of_multiples_that_are_built(
    tmp_path: Path, interval: str, built: tuple[str, ...], possible: bool
) -> None:
    """A run that is not refused has bars of the interval: no refusal is wrong, and none is missing."""
    data = candles(40, NOON, 5 * MINUTE_NS)
    settings = config("Short", built, params={"interval": interval}, activity=())
    if not possible:
        with pytest.raises(UsageError, match="no bars of"):
            backtest(tmp_path, data, settings)
        return
    assert notes_of(backtest(tmp_path, data, settings)) == []


def test_trades_have_the_bars_that_are_built(tmp_path: Path) -> None:
    data = steady(400, NOON, gap_ms=1000)
    assert notes_of(backtest(tmp_path / "a", data, config("Short", ("1m",), activity=()))) == []
    with pytest.raises(ConfigError, match="strategy Short: interval: there are no bars of '1m'"):
        backtest(tmp_path / "b", data, config("Short", ("5s",), activity=()))


def test_a_market_that_the_data_does_not_have_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"market: .* 'AAX'; did you mean AAA"):
        backtest(tmp_path, steady(50, NOON), config("Timed", params={"market": "AAX"}))


def test_a_strategy_that_got_no_bar_of_an_interval_it_names_is_in_the_report(tmp_path: Path) -> None:
    data = candles(20, NOON, 5 * MINUTE_NS)
    report = backtest(tmp_path / "a", data, config("Plain"))
    assert notes_of(report) == [
        "strategy Plain: got no bar of 1m 3m, which it names; there were bars of 5m 15m"
    ]
    report = backtest(tmp_path / "b", candles(20, NOON, MINUTE_NS), config("Plain"))
    assert notes_of(report) == [], "one of them is enough"
    short = candles(5, NOON, MINUTE_NS)
    report = backtest(tmp_path / "c", short, config("Short", params={"interval": "15m"}, activity=()))
    assert notes_of(report) == ["strategy Short: got no bar of 15m, which it names; there were bars of 1m 5m"]
    report = backtest(tmp_path / "d", short, config("Speaking"))
    assert notes_of(report) == [], "it acts on trades"
