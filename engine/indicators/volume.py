"""Volume: on-balance volume, and the average price by volume, rolling or since midnight."""

from __future__ import annotations

import msgspec

from engine.clock import DAY_NS
from engine.indicators.base import check_period, pushed, total

__all__ = ["DayVwap", "Obv", "Vwap"]


class Obv(msgspec.Struct):
    """On-balance volume: a bar's volume counts up or down as its close did; begins with the first one."""

    close: float = 0.0
    value: float = 0.0
    begun: bool = False

    @property
    def warmup(self) -> int:
        """How many bars the first value takes."""
        return 1

    def update(self, close: float, volume: float) -> float:
        """Add a bar; return the balance."""
        if not self.begun:
            self.value, self.begun = volume, True
        elif close > self.close:
            self.value += volume
        elif close < self.close:
            self.value -= volume
        self.close = close
        return self.value


class Vwap(msgspec.Struct):
    """The average of the last `period` prices by their volumes. Give the typical price, or a bar's `vwap`.

    Where nothing was traded it is the plain average.
    """

    period: int = 20
    prices: list[float] = []
    volumes: list[float] = []

    def __post_init__(self) -> None:
        check_period(self.period)

    @property
    def warmup(self) -> int:
        """How many prices the first value takes."""
        return self.period

    def update(self, price: float, volume: float) -> float | None:
        """Add a price and its volume; return the average."""
        pushed(self.volumes, volume, self.period)
        if not pushed(self.prices, price, self.period):
            return None
        whole = total(self.volumes)
        if not whole:
            return total(self.prices) / self.period
        pairs = zip(self.prices, self.volumes, strict=True)
        return total(one * weight for one, weight in pairs) / whole


class DayVwap(msgspec.Struct):
    """The average price by volume since midnight UTC; None until something was traded that day.

    Its two sums are of one day, and of positive numbers: they lose nothing that matters.
    """

    day: int = -1
    money: float = 0.0
    volume: float = 0.0

    @property
    def warmup(self) -> int:
        """How many prices the first value takes, if they have a volume."""
        return 1

    def update(self, price: float, volume: float, time_ns: int) -> float | None:
        """Add a price and its volume at a time (UTC ns, such as `bar.start_ns`); return the average."""
        day = time_ns // DAY_NS
        if day != self.day:
            self.day, self.money, self.volume = day, 0.0, 0.0
        self.money += price * volume
        self.volume += volume
        return self.money / self.volume if self.volume else None
