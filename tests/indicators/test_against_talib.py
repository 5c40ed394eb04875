"""Every indicator that TA-Lib has agrees with TA-Lib to 1e-9, from its first value on."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import talib

from engine.indicators import (
    Adx,
    Atr,
    Bollinger,
    Ema,
    Highest,
    Lowest,
    Macd,
    Obv,
    Rsi,
    Sma,
    StdDev,
    Stochastic,
    Wma,
)
from tests.indicators.feeds import DATA, Columns, recorded, walk

Array = Any
FEEDS = ["walk", "hl-BTC-1m", "hl-BTC-1h", "hl-HYPE-15m"]


@pytest.fixture(scope="module", params=FEEDS)
def bars(request: pytest.FixtureRequest) -> Columns:
    if request.param == "walk":
        return walk()
    if not DATA.is_dir():
        pytest.skip("the recorded data is not beside this checkout")
    return recorded(request.param)


def same(ours: list[float | None], theirs: Array, warmup: int) -> None:
    """Check equality to 1e-9 (near zero: of the largest value), and the position of the first value."""
    assert [value is None for value in ours] == [math.isnan(value) for value in theirs]
    assert sum(value is None for value in ours) == warmup - 1
    scale = max(abs(value) for value in ours if value is not None)
    close_to(ours, theirs, 1e-9 * scale)


def close_to(ours: list[float | None], theirs: Array, absolute: float) -> None:
    """Check each value that we have: equal to 1e-9 of theirs, or to within `absolute`."""
    known = np.array([value is not None for value in ours])
    mine, expected = np.array(ours, dtype=float)[known], theirs[known]
    near = np.abs(mine - expected) <= np.maximum(1e-9 * np.abs(expected), absolute)
    assert near.all(), np.flatnonzero(~near)[0]


ONE: list[tuple[Any, Callable[[Array], Array]]] = [
    (lambda: Sma(20), lambda close: talib.SMA(close, 20)),
    (lambda: Ema(20), lambda close: talib.EMA(close, 20)),
    (lambda: Wma(20), lambda close: talib.WMA(close, 20)),
    (lambda: Rsi(14), lambda close: talib.RSI(close, 14)),
    (lambda: StdDev(20), lambda close: talib.STDDEV(close, 20)),
    (lambda: Highest(30), lambda close: talib.MAX(close, 30)),
    (lambda: Lowest(30), lambda close: talib.MIN(close, 30)),
]


@pytest.mark.parametrize(("make", "theirs"), ONE, ids=[type(make()).__name__ for make, _ in ONE])
def test_of_closes(bars: Columns, make: Any, theirs: Callable[[Array], Array]) -> None:
    indicator = make()
    same([indicator.update(close) for close in bars.close], theirs(np.array(bars.close)), make().warmup)


def test_macd(bars: Columns) -> None:
    macd = Macd()
    values = [macd.update(close) for close in bars.close]
    theirs = talib.MACD(np.array(bars.close))
    for name, column in zip(("macd", "signal", "histogram"), theirs, strict=True):
        same([None if one is None else getattr(one, name) for one in values], column, Macd().warmup)


def test_bollinger(bars: Columns) -> None:
    bands = Bollinger(20, 2.0)
    values = [bands.update(close) for close in bars.close]
    theirs = talib.BBANDS(np.array(bars.close), 20, 2.0, 2.0)
    for name, column in zip(("upper", "middle", "lower"), theirs, strict=True):
        same([None if one is None else getattr(one, name) for one in values], column, 20)


def test_stochastic(bars: Columns) -> None:
    stochastic = Stochastic(5, 3, 3)
    values = [stochastic.update(*bar) for bar in zip(bars.high, bars.low, bars.close, strict=True)]
    theirs = talib.STOCH(np.array(bars.high), np.array(bars.low), np.array(bars.close))
    for name, column in zip(("k", "d"), theirs, strict=True):
        same([None if one is None else getattr(one, name) for one in values], column, Stochastic().warmup)


def test_atr(bars: Columns) -> None:
    atr = Atr(14)
    values = [atr.update(*bar) for bar in zip(bars.high, bars.low, bars.close, strict=True)]
    same(values, talib.ATR(np.array(bars.high), np.array(bars.low), np.array(bars.close), 14), 15)


def test_adx_and_its_directions(bars: Columns) -> None:
    adx = Adx(14)
    values = [adx.update(*bar) for bar in zip(bars.high, bars.low, bars.close, strict=True)]
    columns = np.array(bars.high), np.array(bars.low), np.array(bars.close)
    same([None if one is None else one.adx for one in values], talib.ADX(*columns, 14), Adx(14).warmup)
    for name, column in (("plus", talib.PLUS_DI(*columns, 14)), ("minus", talib.MINUS_DI(*columns, 14))):
        close_to([None if one is None else getattr(one, name) for one in values], column, 1e-9)


def test_obv(bars: Columns) -> None:
    obv = Obv()
    values: list[float | None] = [obv.update(*bar) for bar in zip(bars.close, bars.volume, strict=True)]
    same(values, talib.OBV(np.array(bars.close), np.array(bars.volume)), 1)
