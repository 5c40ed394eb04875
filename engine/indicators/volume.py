"""Volume: on-balance volume, and volume-weighted average prices, rolling or since midnight."""

from __future__ import annotations

import msgspec

from engine.clock import DAY_NS
from engine.indicators.base import check_period, pushed, total

__all__ = ["DayVwap", "Obv", "Vwap"]


class Obv(msgspec.Struct):
    """On-balance volume: plus the volume of bars that close higher, minus that of bars that close lower."""

    close: float = 0.0
    value: float = 0.0
    begun: bool = False

    @property
    def warmup(self) -> int:
        """The number of bars up to the first result."""
        return 1

    def update(self, close: float, volume: float) -> float:
        """Add a bar. Return the balance."""
        if not self.begun:
            self.value, self.begun = volume, True
        elif close > self.close:
            self.value += volume
        elif close < self.close:
            self.value -= volume
        self.close = close
        return self.value


class Vwap(msgspec.Struct):
    """The volume-weighted average of the last `period` prices. Pass the typical price, or a bar's `vwap`.

    Without any volume it is the plain average.
    """

    period: int = 20
    prices: list[float] = []
    volumes: list[float] = []

    def __post_init__(self) -> None:
        check_period(self.period)

    @property
    def warmup(self) -> int:
        """The number of prices up to the first result."""
        return self.period

    def update(self, price: float, volume: float) -> float | None:
        """Add a price and its volume. Return the average."""
        pushed(self.volumes, volume, self.period)
        if not pushed(self.prices, price, self.period):
            return None
        volumes = total(self.volumes)
        if not volumes:
            return total(self.prices) / self.period
        pairs = zip(self.prices, self.volumes, strict=True)
        return total(one * weight for one, weight in pairs) / volumes


class DayVwap(msgspec.Struct):
    """The volume-weighted average price since midnight UTC; None before the first volume of the day.

    It keeps two sums of positive numbers of one day, so rounding errors stay negligible.
    """

    day: int = -1
    money: float = 0.0
    volume: float = 0.0

    @property
    def warmup(self) -> int:
        """The number of prices with a volume up to the first result."""
        return 1

    def update(self, price: float, volume: float, time_ns: int) -> float | None:
        """Add a price and its volume at a time (UTC ns, such as `bar.start_ns`). Return the average."""
        day = time_ns // DAY_NS
        if day != self.day:
            self.day, self.money, self.volume = day, 0.0, 0.0
        self.money += price * volume
        self.volume += volume
        return self.money / self.volume if self.volume else None
