"""Indicators: those that TA-Lib does not have, and properties of all of them."""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import indicators
from engine.clock import DAY_NS
from engine.indicators import (
    Adx,
    Atr,
    Bollinger,
    CrossOver,
    DayVwap,
    Donchian,
    Ema,
    Highest,
    Keltner,
    Lowest,
    Macd,
    Obv,
    Rsi,
    Sma,
    StdDev,
    Stochastic,
    SuperTrend,
    Vwap,
    Wma,
    ZScore,
)
from engine.indicators.base import total
from engine.snapshot import state_classes
from engine.states import decode_state, encode_state
from engine.strategies import PerMarket
from tests.indicators.feeds import Columns, walk
from tests.profiles import examples, pick

ALL: dict[str, tuple[Callable[[], Any], tuple[str, ...]]] = {
    "Sma": (lambda: Sma(5), ("close",)),
    "Ema": (lambda: Ema(5), ("close",)),
    "Wma": (lambda: Wma(5), ("close",)),
    "StdDev": (lambda: StdDev(5), ("close",)),
    "ZScore": (lambda: ZScore(5), ("close",)),
    "Highest": (lambda: Highest(5), ("close",)),
    "Lowest": (lambda: Lowest(5), ("close",)),
    "Rsi": (lambda: Rsi(5), ("close",)),
    "Macd": (lambda: Macd(3, 6, 4), ("close",)),
    "Stochastic": (lambda: Stochastic(5, 3, 3), ("high", "low", "close")),
    "Atr": (lambda: Atr(5), ("high", "low", "close")),
    "Adx": (lambda: Adx(5), ("high", "low", "close")),
    "SuperTrend": (lambda: SuperTrend(5, 2.0), ("high", "low", "close")),
    "Bollinger": (lambda: Bollinger(5, 2.0), ("close",)),
    "Keltner": (lambda: Keltner(5, 4, 2.0), ("high", "low", "close")),
    "Donchian": (lambda: Donchian(5), ("high", "low")),
    "Obv": (Obv, ("close", "volume")),
    "Vwap": (lambda: Vwap(5), ("close", "volume")),
    "DayVwap": (DayVwap, ("close", "volume", "time")),
    "CrossOver": (CrossOver, ("close", "open")),
}


def fed(indicator: Any, bars: Columns, names: tuple[str, ...], begin: int = 0) -> list[Any]:
    times = [number * DAY_NS // 400 for number in range(len(bars.close))]
    columns = [times if name == "time" else getattr(bars, name) for name in names]
    return [indicator.update(*values) for values in list(zip(*columns, strict=True))[begin:]]


def test_every_indicator_is_tested_here_and_documented() -> None:
    values = ("AdxValue", "Channel", "MacdValue", "StochasticValue", "SuperTrendValue")
    assert set(ALL) | set(values) == set(indicators.__all__)
    page = (Path(__file__).resolve().parents[2] / "docs/indicators.md").read_text(encoding="utf-8")
    assert [name for name in ALL if f"`{name}(" not in page] == []


def test_r02_no_indicator_uses_a_sum_that_differs_between_python_versions() -> None:
    """`sum` of floats rounds differently from 3.12 on; `statistics` and `math.fsum` differ too."""
    for path in Path(indicators.__file__).parent.glob("*.py"):
        assert not re.search(r"\b(sum|fsum)\(|\bstatistics\b", path.read_text()), path.name
    assert total([0.1] * 10) == 0.9999999999999999


@pytest.mark.parametrize("name", ALL)
def test_the_first_value_comes_after_the_warmup_it_states(name: str) -> None:
    make, inputs = ALL[name]
    values = fed(make(), walk(100), inputs)
    assert [value is None for value in values] == [number + 1 < make().warmup for number in range(100)]


@pytest.mark.parametrize("name", ALL)
@examples(0.2)
@given(st.integers(0, 80))
def test_an_indicator_restored_from_a_snapshot_gives_the_same_values(name: str, cut: int) -> None:
    make, inputs = ALL[name]
    bars = walk(80)
    through = fed(make(), bars, inputs)
    held = PerMarket(make)
    before = fed(held["BTC"], Columns(*(column[:cut] for column in bars)), inputs)
    classes = state_classes(["engine.indicators"] + [f"engine.indicators.{one}" for one in MODULES])
    stored = decode_state(encode_state(dict(held), "held"), classes)["BTC"]
    assert type(stored) is type(held["BTC"])
    assert before + fed(stored, bars, inputs, cut) == through


MODULES = ("channels", "crossing", "momentum", "moving", "spread", "trend", "volume")


@pytest.mark.parametrize("name", ALL)
def test_every_value_is_finite_also_in_a_flat_market(name: str) -> None:
    make, inputs = ALL[name]
    flat = Columns(*([5.0] * 60 for _ in range(4)), [0.0] * 60)
    for value in fed(make(), flat, inputs)[make().warmup - 1 :]:
        parts = (
            []
            if value is None
            else msgspec.structs.astuple(value)
            if isinstance(value, msgspec.Struct)
            else [value]
        )
        assert all(math.isfinite(part) for part in parts)
        assert parts or name == "DayVwap", "only a day without volume has no average price"


@pytest.mark.parametrize("name", ALL)
def test_an_invalid_period_is_refused(name: str) -> None:
    cls = getattr(indicators, name)
    if "period" not in inspect.signature(cls).parameters:
        return
    for period in (0, -1, 1.5, True, "5", 10**9):
        with pytest.raises(ValueError, match="a period is a whole number"):
            cls(period)


def test_other_invalid_parameters_are_refused() -> None:
    with pytest.raises(ValueError, match="above the slow one"):
        Macd(30, 20)
    for multiplier in (0, -1.0, float("nan")):
        with pytest.raises(ValueError, match="multiplier"):
            SuperTrend(5, multiplier)


@pytest.mark.parametrize("name", ["Sma", "Wma", "StdDev", "Ema", "Highest", "Lowest"])
def test_prices_twice_as_high_give_twice_the_value(name: str) -> None:
    make, inputs = ALL[name]
    bars = walk(200)
    doubled = Columns(*([2 * value for value in column] for column in bars))
    assert fed(make(), doubled, inputs) == [
        None if value is None else 2 * value for value in fed(make(), bars, inputs)
    ]


def test_rounding_errors_do_not_accumulate_over_many_values() -> None:
    """The result equals that of a new indicator with the last values only."""
    values = [1e6 + (number * 7919 % 1000) / 7 for number in range(1000)]
    long, spread = Sma(50), StdDev(50)
    for number in range(pick(250_000, deep=1_000_000)):
        value = values[number % 1000]
        last, width = long.update(value), spread.update(value)
    fresh, fresh_spread = Sma(50), StdDev(50)
    for value in values[-50:]:
        expected, expected_width = fresh.update(value), fresh_spread.update(value)
    assert (last, width) == (expected, expected_width)


# Formulas, computed again over the whole window.


def test_donchian_zscore_and_vwap_follow_their_formulas() -> None:
    bars = walk(300)
    channel, score, vwap = Donchian(20), ZScore(20), Vwap(20)
    for number in range(300):
        bands = channel.update(bars.high[number], bars.low[number])
        value = score.update(bars.close[number])
        average = vwap.update(bars.close[number], bars.volume[number])
        if number < 19:
            assert (bands, value, average) == (None, None, None)
            continue
        part = slice(number - 19, number + 1)
        closes, volumes = bars.close[part], bars.volume[part]
        assert bands is not None
        assert (bands.upper, bands.lower) == (max(bars.high[part]), min(bars.low[part]))
        assert bands.middle == (bands.upper + bands.lower) / 2
        mean = math.fsum(closes) / 20
        spread = math.sqrt(math.fsum((one - mean) ** 2 for one in closes) / 20)
        assert value == pytest.approx((closes[-1] - mean) / spread, rel=1e-9)
        money = math.fsum(price * volume for price, volume in zip(closes, volumes, strict=True))
        assert average == pytest.approx(money / math.fsum(volumes), rel=1e-12)


def test_keltner_is_an_average_and_ranges_around_it() -> None:
    bars = walk(300)
    channel, ema, atr = Keltner(20, 10, 1.5), Ema(20), Atr(10)
    for bar in zip(bars.high, bars.low, bars.close, strict=True):
        bands, middle, span = channel.update(*bar), ema.update(bar[2]), atr.update(*bar)
        if bands is not None:
            assert middle is not None
            assert span is not None
            assert (bands.upper, bands.middle, bands.lower) == (
                middle + 1.5 * span,
                middle,
                middle - 1.5 * span,
            )


def test_supertrend_moves_only_with_the_trend_and_turns_when_the_close_crosses_it() -> None:
    bars = walk(2000)
    trend, atr = SuperTrend(10, 3.0), Atr(10)
    last = None
    turns = 0
    for high, low, close in zip(bars.high, bars.low, bars.close, strict=True):
        now, span = trend.update(high, low, close), atr.update(high, low, close)
        if now is not None and last is not None:
            assert span is not None
            if now.up == last.up:
                assert now.line >= last.line if now.up else now.line <= last.line
                assert close >= now.line if now.up else close <= now.line
            else:
                turns += 1
                assert close < last.line if last.up else close > last.line
            edge = (high + low) / 2 + (-3.0 if now.up else 3.0) * span
            assert now.line >= edge - 1e-12 if now.up else now.line <= edge + 1e-12
        last = now
    assert turns > 10


def test_the_average_price_of_a_day_restarts_at_midnight() -> None:
    average = DayVwap()
    assert average.update(10.0, 0.0, 5) is None
    assert average.update(10.0, 1.0, 6) == 10.0
    assert average.update(20.0, 3.0, DAY_NS - 1) == 17.5
    assert average.update(40.0, 2.0, DAY_NS) == 40.0


@given(st.lists(st.tuples(st.integers(-3, 3), st.integers(-3, 3)), max_size=40))
def test_a_cross_is_reported_once_and_equal_lines_are_not_a_cross(pairs: list[tuple[int, int]]) -> None:
    cross = CrossOver()
    side = 0
    for one, other in pairs:
        now = (one > other) - (one < other)
        crossed = cross.update(one, other)
        assert crossed == (now if now and side and now != side else 0)
        side = now or side
