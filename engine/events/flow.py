"""What order flow actors make of prints and books. All derived; each kind is off unless asked for.

Prices and sizes are exact integers at the instrument's scales. A level is named by its lowest price.
"""

from __future__ import annotations

from typing import Annotated

from engine.events.base import Event
from engine.values import Amount, InstrumentId, Price, Side, Size

__all__ = ["BookSampled", "FootprintClosed", "ImbalanceStacked", "LargePrintSeen", "ProfileClosed"]

FlowLevels = Annotated[tuple[tuple[int, Amount, Amount, Amount], ...], "volumes"]
"""(price, bought, sold, of no known side) of each level with volume, the lowest price first."""

ProfileLevels = Annotated[tuple[tuple[int, Amount], ...], "volumes"]
"""(price, volume) of each level with volume, the lowest price first."""

_Volume = Annotated[Amount, "size"]


class FootprintClosed(Event, frozen=True, tag="footprint"):
    """What takers bought and sold at each price level of a bar. `level` is the width of a level.

    `delta` is bought less sold, `day_delta` the sum of deltas of the UTC day, this one included. Told
    again, with the bar's `revision`, when its bar is corrected: then `day_delta` is that of the day as it
    is known now.
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
    """A run of levels of a footprint at which one side took many times what the other took one level across.

    From the level `low` to the level `high`, both in it; `side` is the one that took more.
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
    """The volume at each price level of a window: where most was traded, and where 70 % of it was.

    `point` is the level with the most volume, `value_low` and `value_high` the levels that bound the value
    area, both in it. A print that came after it closed is not in it.
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


class LargePrintSeen(Event, frozen=True, tag="large-print"):
    """A print of at least the size that counts as large."""

    at_ns: int
    venue_ns: int
    instrument: InstrumentId
    price: Price
    size: Size
    aggressor: Side
    trade_id: int | str = 0


class BookSampled(Event, frozen=True, tag="book-sample"):
    """The touch and the book at the end of a window of venue time, as they were known then.

    `imbalance` is (bid size - ask size) / (bid size + ask size) at the touch, -1 to 1; `depth_imbalance`
    the same over the levels of the last book, None without one. Prices are 0 on a side that is empty.
    """

    at_ns: int
    instrument: InstrumentId
    interval_ns: int
    start_ns: int
    bid: Price
    ask: Price
    imbalance: float
    depth_imbalance: float | None = None
