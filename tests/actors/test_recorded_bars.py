"""Bars from recorded trades equal the recorded candles, field for field (F09). Skipped without the data."""

from __future__ import annotations

import csv
import gzip
from pathlib import Path
from typing import Any

import pytest

from engine.actors import Aggregator
from engine.config import BarsConfig
from engine.events import BarClosed, Candle, Trade
from engine.values import parse_interval, parse_scaled
from tests.actors.harness import Harness

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
SETS = DATA / "trades-and-candles"
MS = 1_000_000
pytestmark = pytest.mark.skipif(not SETS.is_dir(), reason="no recorded data beside the repository")


def rows(name: str) -> list[list[str]]:
    with gzip.open(SETS / name, "rt", newline="") as file:
        return list(csv.reader(file))


def bars_of(harness: Harness, interval: str) -> dict[int, tuple[int, ...]]:
    span = parse_interval(interval)
    return {
        bar.start_ns: (bar.open, bar.high, bar.low, bar.close, int(bar.volume))
        for bar in harness.all(BarClosed)
        if bar.interval_ns == span and (bar.trades or bar.volume)
    }


@pytest.fixture(scope="module")
def built() -> Harness:
    harness = Harness(Aggregator(BarsConfig(("1m", "5m"), 1000)))
    for time, number, side, price, amount, _ in rows("binance-spot-XRPETH-201910-trades.csv.gz")[1:]:
        at = int(time) * MS
        aggressor = 1 if side == "buy" else -1
        harness.advance(at)
        harness.send(
            Trade(at, at, 1, parse_scaled(price, 8), parse_scaled(amount, 8), aggressor, int(number))
        )
    harness.advance(at + 600_000 * MS)
    return harness


@pytest.mark.parametrize(("interval", "count"), [("1m", 2469), ("5m", 706)])
def test_f09_bars_equal_every_recorded_candle(built: Harness, interval: str, count: int) -> None:
    candles: dict[int, Any] = {
        int(row[0]) * MS: (*(parse_scaled(one, 8) for one in row[1:]),)
        for row in rows(f"binance-spot-XRPETH-201910-{interval}.csv.gz")[1:]
    }
    assert len(candles) == count
    assert bars_of(built, interval) == candles


def test_f09_second_candles_merge_into_the_recorded_minutes() -> None:
    day = 1_475_798_400_000 * MS

    def candles(name: str, span_ms: int) -> list[Candle]:
        return [
            Candle(
                day + (int(row[0]) + span_ms) * MS,
                day + (int(row[0]) + span_ms) * MS,
                1,
                span_ms * MS,
                day + int(row[0]) * MS,
                *(parse_scaled(one, 2) for one in row[1:5]),
                volume=parse_scaled(row[5], 8),
            )
            for row in rows(name)
        ]

    harness = Harness(Aggregator(BarsConfig(("1m",), 1000)))
    harness.send(*candles("coinbase-BTCUSD-20161007-second.csv.gz", 1000))
    harness.send(Candle(day * 2, day * 2, 1, 1000 * MS, day * 2, 1, 1, 1, 1, 1))
    minutes = {
        one.start_ns: (one.open, one.high, one.low, one.close, one.volume)
        for one in candles("coinbase-BTCUSD-20161007-minute.csv.gz", 60_000)
    }
    assert len(minutes) == 1419
    assert bars_of(harness, "1m") == minutes
