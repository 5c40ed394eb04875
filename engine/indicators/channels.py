"""Channels around a price: Bollinger, Keltner, Donchian."""

from __future__ import annotations

from typing import Any

import msgspec

from engine.indicators.base import check_period, pushed, total
from engine.indicators.moving import Ema
from engine.indicators.spread import Highest, Lowest, deviation
from engine.indicators.trend import Atr

__all__ = ["Bollinger", "Channel", "Donchian", "Keltner"]


class Channel(msgspec.Struct, frozen=True):
    """An upper and a lower band, and the line between them."""

    upper: float
    middle: float
    lower: float


class Bollinger(msgspec.Struct):
    """SMA(`period`) of closes, with bands at `deviations` population standard deviations (as TA-Lib)."""

    period: int = 20
    deviations: float = 2.0
    values: list[float] = []

    def __post_init__(self) -> None:
        check_period(self.period)

    @property
    def warmup(self) -> int:
        """The number of closes up to the first result."""
        return self.period

    def update(self, close: float) -> Channel | None:
        """Add a close. Return the bands."""
        if not pushed(self.values, close, self.period):
            return None
        middle = total(self.values) / self.period
        width = self.deviations * deviation(self.values, middle)
        return Channel(middle + width, middle, middle - width)


class Keltner(msgspec.Struct):
    """EMA(`period`) of closes, with bands at `multiplier` average true ranges of `range_period` bars."""

    period: int = 20
    range_period: int = 10
    multiplier: float = 2.0
    ema: Any = None
    atr: Any = None

    def __post_init__(self) -> None:
        check_period(self.period, self.range_period)
        if self.ema is None:
            self.ema, self.atr = Ema(self.period), Atr(self.range_period)

    @property
    def warmup(self) -> int:
        """The number of bars up to the first result."""
        return max(self.period, self.range_period + 1)

    def update(self, high: float, low: float, close: float) -> Channel | None:
        """Add a bar. Return the bands."""
        middle, span = self.ema.update(close), self.atr.update(high, low, close)
        if middle is None or span is None:
            return None
        return Channel(middle + self.multiplier * span, middle, middle - self.multiplier * span)


class Donchian(msgspec.Struct):
    """The highest high and the lowest low of `period` bars, and their mean."""

    period: int = 20
    high: Any = None
    low: Any = None

    def __post_init__(self) -> None:
        check_period(self.period)
        if self.high is None:
            self.high, self.low = Highest(self.period), Lowest(self.period)

    @property
    def warmup(self) -> int:
        """The number of bars up to the first result."""
        return self.period

    def update(self, high: float, low: float) -> Channel | None:
        """Add a bar. Return the bands."""
        upper, lower = self.high.update(high), self.low.update(low)
        return None if upper is None or lower is None else Channel(upper, (upper + lower) / 2, lower)
