"""What the engine makes of the market: bars, signals, targets. All derived.

Bars are emitted by the aggregator; signals and targets by strategies. Prices and sizes are exact integers
at the instrument's scales; a signal's value is an analytic float64, compared bit for bit on replay.
"""

from __future__ import annotations

from engine.events.base import Event
from engine.values import InstrumentId, Price, Size, Volume

__all__ = ["BarClosed", "BarDiffers", "PriceMarked", "SignalRaised", "TargetSet"]


class BarClosed(Event, frozen=True, tag="bar"):
    """A time bar over [start_ns, start_ns + interval_ns) of venue time, aligned to the epoch.

    A silent window gives a flat bar with volume 0 at the previous close. `closed_by` is "trade" (a later
    print proved it), "timer" (the grace period passed), "candle" (it is the venue's own candle) or "gap" (a
    feed gap settled what was in doubt). A print that came after the bar was
    closed gives the same bar again with `revision` one higher: the highest revision is the bar.
    `incomplete` marks a bar that a feed gap, a start or a stop cut into.
    """

    at_ns: int
    instrument: InstrumentId
    interval_ns: int
    start_ns: int
    open: Price
    high: Price
    low: Price
    close: Price
    volume: Volume
    trades: int
    closed_by: str
    revision: int = 0
    incomplete: bool = False


class BarDiffers(Event, frozen=True, tag="bar-differs"):
    """A closed bar is not the venue's candle of the same window; ours first, then theirs."""

    at_ns: int
    instrument: InstrumentId
    interval_ns: int
    start_ns: int
    open: Price
    high: Price
    low: Price
    close: Price
    volume: Volume
    trades: int
    venue_open: Price
    venue_high: Price
    venue_low: Price
    venue_close: Price
    venue_volume: Volume
    venue_trades: int


class PriceMarked(Event, frozen=True, tag="mark"):
    """The last price seen of an instrument, told once when a session stops, so that equity is exact."""

    at_ns: int
    instrument: InstrumentId
    price: Price


class SignalRaised(Event, frozen=True, tag="signal"):
    """A named number a strategy wants on record, such as an indicator's value."""

    at_ns: int
    strategy: str
    instrument: InstrumentId
    name: str
    value: float


class TargetSet(Event, frozen=True, tag="target"):
    """The position a strategy wants to hold: `size` is signed, negative is short."""

    at_ns: int
    strategy: str
    instrument: InstrumentId
    size: Size
    reason: str = ""
