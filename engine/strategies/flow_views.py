"""The argument of `on_flow`: order flow in decimal numbers. `event` of each view is the exact record."""

from __future__ import annotations

from typing import Final, get_args

import msgspec

from engine.events import (
    BookSampled,
    FootprintClosed,
    ImbalanceStacked,
    InstrumentListed,
    LargePrintSeen,
    LiquidationLevelsClosed,
    ProfileClosed,
)
from engine.strategies.literals import Side, TakerSide, order_side
from engine.values import format_interval, power_of_ten, side_name

__all__ = [
    "FLOW",
    "BookSample",
    "Flow",
    "FlowEvent",
    "FlowWindow",
    "Footprint",
    "LargePrint",
    "LiquidationLevels",
    "Profile",
    "StackedImbalance",
    "view_flow",
]


class _View(msgspec.Struct, frozen=True):
    """What all have: the listing of the instrument, and its label."""

    listed: InstrumentListed
    market: str

    def _price(self, value: int) -> float:
        return value / power_of_ten(self.listed.price_scale)

    def _size(self, value: int | str) -> float:
        return int(value) / power_of_ten(self.listed.size_scale)


class _Window(_View, frozen=True):
    """What those of a time window have."""

    event: FootprintClosed | ProfileClosed | LiquidationLevelsClosed

    @property
    def interval(self) -> str:
        """The window's length, such as "1m"."""
        return format_interval(self.event.interval_ns)

    @property
    def start_ns(self) -> int:
        """The start of the window."""
        return self.event.start_ns


class Footprint(_Window, frozen=True):
    """The volume that takers bought and sold at each level of a bar."""

    event: FootprintClosed

    @property
    def delta(self) -> float:
        """Bought minus sold volume, in base units."""
        return self._size(self.event.delta)

    @property
    def day_delta(self) -> float:
        """The sum of the deltas of the UTC day, in base units."""
        return self._size(self.event.day_delta)

    @property
    def levels(self) -> list[tuple[float, float, float]]:
        """(price, bought, sold) of each level with volume, lowest price first."""
        return [
            (self._price(price), self._size(bought), self._size(sold))
            for price, bought, sold, _ in self.event.levels
        ]


class StackedImbalance(_View, frozen=True):
    """Neighboring levels at which one side traded many times the volume of the other."""

    event: ImbalanceStacked

    @property
    def side(self) -> Side:
        """ "buy" or "sell": the side that took more."""
        return order_side(self.event.side)

    @property
    def low(self) -> float:
        """The price of the lowest level."""
        return self._price(self.event.low)

    @property
    def high(self) -> float:
        """The price of the highest level."""
        return self._price(self.event.high)

    @property
    def run(self) -> int:
        """The number of levels."""
        return self.event.run


class Profile(_Window, frozen=True):
    """The volume at each level of a window."""

    event: ProfileClosed

    @property
    def point(self) -> float:
        """The level with the most volume."""
        return self._price(self.event.point)

    @property
    def value_low(self) -> float:
        """The lowest level of the value area."""
        return self._price(self.event.value_low)

    @property
    def value_high(self) -> float:
        """The highest level of the value area."""
        return self._price(self.event.value_high)

    @property
    def levels(self) -> list[tuple[float, float]]:
        """(price, volume) of each level with volume, lowest price first."""
        return [(self._price(price), self._size(volume)) for price, volume in self.event.levels]


class LargePrint(_View, frozen=True):
    """A trade of at least the configured size."""

    event: LargePrintSeen

    @property
    def price(self) -> float:
        """The price, in quote currency."""
        return self._price(self.event.price)

    @property
    def size(self) -> float:
        """The size, in base units."""
        return self._size(self.event.size)

    @property
    def side(self) -> TakerSide:
        """The taker's side: "buy", "sell", or "" where the source does not say."""
        return side_name(self.event.aggressor)


class BookSample(_View, frozen=True):
    """The best bid and ask and the book at the end of a window."""

    event: BookSampled

    @property
    def spread(self) -> float | None:
        """Ask minus bid; None if a side is empty."""
        event = self.event
        return self._price(event.ask - event.bid) if event.bid and event.ask else None

    @property
    def imbalance(self) -> float:
        """(bid size - ask size) / (bid size + ask size) of the best bid and ask."""
        return self.event.imbalance

    @property
    def depth_imbalance(self) -> float | None:
        """The same over the levels of the last book; None without a book."""
        return self.event.depth_imbalance


class LiquidationLevels(_Window, frozen=True):
    """What was closed by force at each level of a window. It comes again when it is corrected."""

    event: LiquidationLevelsClosed

    @property
    def longs(self) -> float:
        """The size of longs that were closed, in base units."""
        return self._size(self.event.longs)

    @property
    def shorts(self) -> float:
        """The size of shorts that were closed, in base units."""
        return self._size(self.event.shorts)

    @property
    def levels(self) -> list[tuple[float, float, float]]:
        """(price, longs, shorts) of each level with liquidations, lowest price first."""
        return [
            (self._price(price), self._size(longs), self._size(shorts))
            for price, longs, shorts in self.event.levels
        ]


Flow = Footprint | StackedImbalance | Profile | LargePrint | BookSample | LiquidationLevels
"""The argument of `on_flow`."""

FlowWindow = FootprintClosed | ImbalanceStacked | ProfileClosed | BookSampled | LiquidationLevelsClosed
"""Order flow at the end of a time window."""

FlowEvent = FlowWindow | LargePrintSeen

FLOW: Final = get_args(FlowEvent)
"""The events of order flow."""


def view_flow(event: FlowEvent, listed: InstrumentListed, market: str) -> Flow:
    """Return the view of an event of order flow."""
    match event:
        case FootprintClosed():
            return Footprint(listed, market, event)
        case ImbalanceStacked():
            return StackedImbalance(listed, market, event)
        case ProfileClosed():
            return Profile(listed, market, event)
        case LargePrintSeen():
            return LargePrint(listed, market, event)
        case BookSampled():
            return BookSample(listed, market, event)
        case LiquidationLevelsClosed():
            return LiquidationLevels(listed, market, event)
