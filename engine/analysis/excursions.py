"""The worst and the best open result of each round trip: MAE and MFE.

Owns the prices that open trips have seen. Between two fills the result of a trip follows the price in a
straight line, so the lowest and the highest price since the last fill are all that is needed; they are
valued exactly at the next fill. Promises two comparisons for each price of a market in which a trip is open.
Called by the collector.
"""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import msgspec

from engine.analysis.trips import Trip

__all__ = ["Excursion", "Excursions"]


class Excursion(msgspec.Struct):
    """`mae` is at most 0, `mfe` at least 0: results before fees, also in percent of what was opened.

    `low` and `high` are the prices since the last fill, None before any. `side` is that of the trip.
    """

    side: int
    mae: Decimal = Decimal(0)
    mfe: Decimal = Decimal(0)
    mae_percent: float = 0.0
    mfe_percent: float = 0.0
    low: int | None = None
    high: int | None = None

    def see(self, price: int) -> None:
        """Note a price."""
        if self.low is None or self.high is None:
            self.low = self.high = price
        elif price < self.low:
            self.low = price
        elif price > self.high:
            self.high = price

    def value(self, trip: Trip, price: int, price_scale: int) -> None:
        """Value a trip at a price."""
        result = trip.result_at(price, price_scale)
        percent = float(Fraction(result) / Fraction(trip.entry_value) * 100) if trip.entry_value else 0.0
        self.mae, self.mfe = min(self.mae, result), max(self.mfe, result)
        self.mae_percent = min(self.mae_percent, percent)
        self.mfe_percent = max(self.mfe_percent, percent)


class Excursions:
    """State: the open trips by book, and by market."""

    def __init__(self) -> None:
        self._open: dict[tuple[int, str], Excursion] = {}
        self.markets: dict[int, list[Excursion]] = {}

    def see(self, instrument: int, price: int) -> None:
        """Note a price of a market for each trip that is open in it."""
        for one in self.markets.get(instrument, ()):
            one.see(price)

    def see_quote(self, instrument: int, bid: int, ask: int) -> None:
        """Note for each trip that is open in a market the price that would close it; 0 is no price."""
        for one in self.markets.get(instrument, ()):
            price = bid if one.side > 0 else ask
            if price:
                one.see(price)

    def see_one(self, key: tuple[int, str], price: int) -> None:
        """Note a price that only one book is led to."""
        one = self._open.get(key)
        if one is not None:
            one.see(price)

    def settle(self, key: tuple[int, str], trip: Trip, price_scale: int) -> None:
        """Value the prices since the last fill, with the trip as it was then."""
        one = self._open[key]
        if one.low is not None and one.high is not None:
            one.value(trip, one.low, price_scale)
            one.value(trip, one.high, price_scale)
        one.low = one.high = None

    def fill(self, key: tuple[int, str], trip: Trip, price: int, price_scale: int) -> None:
        """Value a trip at the price of a fill, after it. The first fill opens it."""
        one = self._open.get(key)
        if one is None:
            one = self._open[key] = Excursion(trip.side)
            self.markets.setdefault(key[0], []).append(one)
        one.value(trip, price, price_scale)

    def end(self, key: tuple[int, str]) -> Excursion:
        """Return the result of a trip that has ended, and forget it."""
        one = self._open.pop(key)
        rest = [other for other in self.markets[key[0]] if other is not one]
        if rest:
            self.markets[key[0]] = rest
        else:
            del self.markets[key[0]]
        return one
