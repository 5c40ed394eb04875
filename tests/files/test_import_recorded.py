"""Recorded market data, if available: every row is compared with an independent reading."""

from __future__ import annotations

import csv
import gzip
import itertools
from collections.abc import Callable, Iterator
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

import pytest

from engine.clock import DAY_NS, day_start_ns
from engine.events import Candle, InstrumentListed, Trade
from engine.values import BUY, SELL, parse_interval

from .kit import Imports

Recorded = Callable[[str], Path]
XRPETH = "trades-and-candles/binance-spot-XRPETH-201910"
COINBASE = "trades-and-candles/coinbase-BTCUSD-20161007"
POSITIONS = {"time": "0", "open": "1", "high": "2", "low": "3", "close": "4", "volume": "5"}


def rows(path: Path) -> Iterator[list[str]]:
    with gzip.open(path, "rt", newline="") as file:
        yield from csv.reader(file)


def scaled(cell: str, scale: int) -> int:
    value = Decimal(cell).scaleb(scale)
    assert value == int(value)
    return int(value)


def test_half_a_million_trades_of_one_day(imports: Imports, recorded: Recorded) -> None:
    path = recorded("trades/binance-spot-BTCUSDT-20220115.csv.gz")
    report = imports.load(path, venue="binance", instrument="BTCUSDT", price_decimals=2, size_decimals=8)
    assert (report.trades, report.days, report.kind) == (451_466, ("2022-01-15",), "trades")
    listed, *trades = imports.events("2022-01-15")
    assert listed == InstrumentListed(
        report.first_ns, 1, "binance", "BTCUSDT", 2, 8, kind="perp", silence="flat", ids="sequence"
    )
    source = rows(path)
    next(source)
    for trade, (time, price, size) in zip(trades, source, strict=True):
        ns = int(time) * 1_000_000
        assert trade == Trade(ns, ns, 1, scaled(price, 2), scaled(size, 8), 0)


def test_trades_with_ids_and_sides_over_three_days(imports: Imports, recorded: Recorded) -> None:
    path = recorded(f"{XRPETH}-trades.csv.gz")
    report = imports.load(path)
    assert (report.trades, report.duplicates) == (12_477, 0)
    assert report.days == ("2019-10-11", "2019-10-12", "2019-10-13")
    assert (report.price_decimals, report.size_decimals) == (8, 0)
    trades = [event for day in report.days for event in imports.events(day) if isinstance(event, Trade)]
    source = rows(path)
    next(source)
    for trade, (time, number, side, price, size, _) in zip(trades, source, strict=True):
        ns = int(time) * 1_000_000
        taker = {"buy": BUY, "sell": SELL}[side]
        assert trade == Trade(ns, ns, 1, scaled(price, 8), scaled(size, 0), taker, int(number))


@pytest.mark.parametrize(
    ("name", "interval", "count"),
    [
        (f"{XRPETH}-1m", "1m", 2_469),
        (f"{XRPETH}-5m", "5m", 706),
        ("candles/hl-BTC-1m", "1m", 6_808),
        ("candles/hl-BTC-15m", "15m", 16_176),
        ("candles/hl-HYPE-5m", "5m", 38_455),
        ("candles/hl-HYPE-1h", "1h", 5_588),
        ("candles/hl-HYPE-1d", "1d", 233),
        ("candles/btc-perp-1m-202201", "1m", 45_031),
    ],
)
def test_candles_with_the_interval_found(
    imports: Imports, recorded: Recorded, name: str, interval: str, count: int
) -> None:
    path = recorded(f"{name}.csv.gz")
    report = imports.load(path, instrument_kind="perp")
    assert (report.candles, report.interval) == (count, interval)
    candles = [event for day in report.days for event in imports.events(day) if isinstance(event, Candle)]
    source = rows(path)
    next(source)
    step, price_scale, size_scale = parse_interval(interval), report.price_decimals, report.size_decimals
    for candle, (time, *prices, volume) in zip(candles, source, strict=True):
        if time.isdigit():
            assert candle.start_ns == int(time) * 1_000_000
        end_ns = candle.start_ns + step
        assert (candle.recv_ns, candle.venue_ns) == (end_ns - (end_ns % DAY_NS == 0), end_ns)
        found = [candle.open, candle.high, candle.low, candle.close]
        assert found == [scaled(price, price_scale) for price in prices]
        # One file has volumes that a program added up, such as 218102595.07500002.
        whole = Decimal(volume).quantize(Decimal(1).scaleb(-size_scale), ROUND_HALF_UP)
        assert int(candle.volume) == scaled(str(whole), size_scale)
        assert abs(whole - Decimal(volume)) * 10**6 <= Decimal(1).scaleb(-size_scale) * 1000
    assert all(later.start_ns > each.start_ns for each, later in itertools.pairwise(candles))


@pytest.mark.parametrize(("form", "interval", "count"), [("second", "1s", 4_063), ("minute", "1m", 1_419)])
def test_candles_without_names_that_count_from_midnight(
    imports: Imports, recorded: Recorded, form: str, interval: str, count: int
) -> None:
    path = recorded(f"{COINBASE}-{form}.csv.gz")
    report = imports.load(path, columns=POSITIONS, day="2016-10-07")
    assert (report.candles, report.interval) == (count, interval)
    candles = [event for day in report.days for event in imports.events(day) if isinstance(event, Candle)]
    start = day_start_ns("2016-10-07")
    for candle, (time, *_) in zip(candles, rows(path), strict=True):
        assert candle.start_ns == start + int(time) * 1_000_000
    assert candles[-1].venue_ns <= start + DAY_NS


def test_daily_candles_with_a_column_that_has_no_name(imports: Imports, recorded: Recorded) -> None:
    with gzip.open(recorded("reference/goog-daily.csv.gz"), "rt") as file:
        text = "".join(itertools.islice(file, 101))
    report = imports.load(text, columns={"time": "0"})
    assert (report.candles, report.interval, report.days[0]) == (100, "1d", "2004-08-19")
