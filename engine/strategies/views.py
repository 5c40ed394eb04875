"""What a strategy author sees: bars, trades, quotes and fills in human numbers.

A view is made for one call from an event and its instrument. Prices and sizes read as float64 (the nearest
to the exact value), `event` is the exact record. No scale arithmetic is left to the author.
"""

from __future__ import annotations

import msgspec

from engine.events import BarClosed, InstrumentListed, OrderFilled, Quote, Trade
from engine.values import format_interval, power_of_ten, side_name

__all__ = ["Bar", "Fill", "Tick", "Touch"]


class Bar(msgspec.Struct, frozen=True):
    """A closed bar. `market` is the instrument's name, `interval` text such as "1m", `start_ns` UTC."""

    event: BarClosed
    listed: InstrumentListed
    market: str
    interval: str
    open: float
    high: float
    low: float
    close: float
    volume: float

    @property
    def start_ns(self) -> int:
        """When the bar's window begins."""
        return self.event.start_ns

    @property
    def trades(self) -> int:
        """How many prints are in it; 0 in a silent window."""
        return self.event.trades


class Market(msgspec.Struct, frozen=True):
    """What views need to know of an instrument: its listing, and what its integers are divided by."""

    listed: InstrumentListed
    price_unit: int
    size_unit: int


class Tick(msgspec.Struct, frozen=True, gc=False):
    """A public trade print. `price` is in quote currency; the rest is worked out when asked for."""

    event: Trade
    scales: Market
    price: float

    @property
    def market(self) -> str:
        """The instrument's name."""
        return self.scales.listed.name

    @property
    def size(self) -> float:
        """Size in base units."""
        return self.event.size / self.scales.size_unit

    @property
    def side(self) -> str:
        """The taker's side: "buy", "sell", or "" where the source does not tell."""
        return side_name(self.event.aggressor)


class Touch(msgspec.Struct, frozen=True, gc=False):
    """Best bid and ask; None on a side that is empty."""

    event: Quote
    listed: InstrumentListed

    @property
    def market(self) -> str:
        """The instrument's name."""
        return self.listed.name

    @property
    def bid(self) -> float | None:
        """Best bid price."""
        return self.event.bid / power_of_ten(self.listed.price_scale) if self.event.bid else None

    @property
    def ask(self) -> float | None:
        """Best ask price."""
        return self.event.ask / power_of_ten(self.listed.price_scale) if self.event.ask else None


class Fill(msgspec.Struct, frozen=True, gc=False):
    """An execution of one of the strategy's own orders."""

    event: OrderFilled
    listed: InstrumentListed

    @property
    def market(self) -> str:
        """The instrument's name."""
        return self.listed.name

    @property
    def side(self) -> str:
        """ "buy" or "sell"."""
        return side_name(self.event.side)

    @property
    def price(self) -> float:
        """Price in quote currency."""
        return self.event.price / power_of_ten(self.listed.price_scale)

    @property
    def size(self) -> float:
        """Size in base units."""
        return self.event.size / power_of_ten(self.listed.size_scale)


def market_of(listed: InstrumentListed) -> Market:
    """Return what views need to know of an instrument."""
    return Market(listed, power_of_ten(listed.price_scale), power_of_ten(listed.size_scale))


def view_bar(event: BarClosed, listed: InstrumentListed) -> Bar:
    """Return the human view of a closed bar."""
    unit = power_of_ten(listed.price_scale)
    return Bar(
        event,
        listed,
        listed.name,
        format_interval(event.interval_ns),
        event.open / unit,
        event.high / unit,
        event.low / unit,
        event.close / unit,
        int(event.volume) / power_of_ten(listed.size_scale),
    )
