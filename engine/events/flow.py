"""Events of the order flow actors, derived from trades and books. Each kind is off unless configured.

Prices and sizes are exact integers at the instrument's scales. A level is named by its lowest price.
"""

from __future__ import annotations

from typing import Annotated

from engine.events.base import Event
from engine.values import Amount, InstrumentId, Price, Side, Size

__all__ = [
    "BookSampled",
    "FootprintClosed",
    "ImbalanceStacked",
    "LargePrintSeen",
    "LiquidationLevelsClosed",
    "ProfileClosed",
]

FlowLevels = Annotated[tuple[tuple[int, Amount, Amount, Amount], ...], "volumes"]
"""(price, bought, sold, unknown side) of each level with volume, lowest price first."""

ProfileLevels = Annotated[tuple[tuple[int, Amount], ...], "volumes"]
"""(price, volume) of each level with volume, lowest price first."""

ForcedSizes = Annotated[tuple[tuple[int, Amount, Amount], ...], "volumes"]
"""(price, longs closed, shorts closed) of each level with liquidations, lowest price first."""

_Volume = Annotated[Amount, "size"]


class FootprintClosed(Event, frozen=True, tag="footprint"):
    """What takers bought and sold at each price level of a bar. `level` is the width of a level.

    `delta` is bought minus sold, `day_delta` the sum of deltas of the UTC day up to and including this one.
    Emitted again with the bar's `revision` when the bar is corrected; `day_delta` is then the sum known at
    that time.
    """

    at_ns: int
    instrument: InstrumentId
    interval_ns: int
    start_ns: int
    level: Price
    levels: FlowLevels
    delta: _Volume
    day_delta: _Volume
    revision: int = 0


class ImbalanceStacked(Event, frozen=True, tag="stacked-imbalance"):
    """A run of adjacent footprint levels at which one side traded many times the size of the other.

    From the level `low` to the level `high`, both included. `side` is the side that traded more. Sizes are
    compared one level apart (see `engine.actors.flow.imbalance`).
    """

    at_ns: int
    instrument: InstrumentId
    interval_ns: int
    start_ns: int
    side: Side
    low: Price
    high: Price
    run: int
    revision: int = 0


class ProfileClosed(Event, frozen=True, tag="profile"):
    """The volume at each price level of a window, its point of control and its value area.

    `point` is the level with the most volume. `value_low` and `value_high` are the lowest and highest level
    of the value area, which has 70 % of the volume. A trade that arrives after the window closed is not
    included. `lagging`: the feed had not delivered all of the window when it closed.
    """

    at_ns: int
    instrument: InstrumentId
    interval_ns: int
    start_ns: int
    level: Price
    levels: ProfileLevels
    volume: _Volume
    point: Price
    value_low: Price
    value_high: Price
    lagging: bool = False


class LargePrintSeen(Event, frozen=True, tag="large-print"):
    """A trade of at least the configured size."""

    at_ns: int
    venue_ns: int
    instrument: InstrumentId
    price: Price
    size: Size
    aggressor: Side
    trade_id: int | str = 0


class BookSampled(Event, frozen=True, tag="book-sample"):
    """The best bid and ask and the book at the end of a window, as known then.

    `imbalance` is (bid size - ask size) / (bid size + ask size) at the best prices, -1 to 1.
    `depth_imbalance` is the same over the levels of the last book, None without a book. The price of an
    empty side is 0.
    """

    at_ns: int
    instrument: InstrumentId
    interval_ns: int
    start_ns: int
    bid: Price
    ask: Price
    imbalance: float
    depth_imbalance: float | None = None


class LiquidationLevelsClosed(Event, frozen=True, tag="liquidation-levels"):
    """What was closed by force at each price level of a window: one column of a heat map.

    `longs` and `shorts` are the sizes of the window, `count` its liquidations. `sampled`: the venue shows
    only some. Emitted again with the next `revision` when a liquidation comes after the window closed.
    """

    at_ns: int
    instrument: InstrumentId
    interval_ns: int
    start_ns: int
    level: Price
    levels: ForcedSizes
    longs: _Volume
    shorts: _Volume
    count: int
    sampled: bool = False
    revision: int = 0
