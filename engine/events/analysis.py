"""What the engine makes of the market: bars, signals, targets. All derived.

Bars are emitted by the aggregator; signals and targets by strategies. Prices and sizes are exact integers
at the instrument's scales; a signal's value is an analytic float64, compared bit for bit on replay.
"""

from __future__ import annotations

from typing import Annotated

from engine.events.base import Event
from engine.values import Amount, InstrumentId, Price, Size, Volume

__all__ = [
    "ActivityBarClosed",
    "BarClosed",
    "BarCorrected",
    "BarDiffers",
    "PriceMarked",
    "SignalRaised",
    "TargetSet",
]

_Money = Annotated[Amount | None, "money"]
_Volume = Annotated[Amount | None, "size"]


class BarClosed(Event, frozen=True, tag="bar"):
    """A time bar over [start_ns, window_end(interval_ns, start_ns)) of venue time, aligned to the epoch.

    `closed_by` is "trade" (a later print proved it over), "timer" (the grace was over), "candle" (it is the
    venue's own candle) or "gap" (a feed gap settled what was in doubt). `incomplete` marks a bar that a
    feed gap, a start or a stop cut into, and `because` says which. `source` is "trades", or "venue" where
    any of it comes from a candle: then `quote_volume` (sum of price * size, at the instrument's money
    scale), the bought and sold volume and the ids are not known, and None and 0. Prints whose aggressor is
    not told are neither bought nor sold. A silent window, where the venue's custom is to have a bar, is
    flat with volume 0.
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
    because: str = ""
    source: str = "trades"
    quote_volume: _Money = None
    buy_volume: _Volume = None
    sell_volume: _Volume = None
    first_id: int | str = 0
    last_id: int | str = 0


class BarCorrected(BarClosed, frozen=True, tag="bar-corrected"):
    """A bar once more, after what came too late for it: `revision` is one higher, the highest is the bar.

    Nothing is rewritten in place: what was known when a strategy was shown the bar stays on record.
    """


class ActivityBarClosed(Event, frozen=True, tag="activity-bar"):
    """A bar that closed because enough was traded: `kind` is measure:threshold, such as "volume:50".

    From the print at `start_ns` to the one at `end_ns` of venue time, both in it. `number` counts the bars
    of a kind and instrument from 0. `incomplete` and `because` are as in `BarClosed`; so are volumes and
    ids.
    """

    at_ns: int
    instrument: InstrumentId
    kind: str
    number: int
    start_ns: int
    end_ns: int
    open: Price
    high: Price
    low: Price
    close: Price
    volume: Volume
    trades: int
    incomplete: bool = False
    because: str = ""
    quote_volume: _Money = None
    buy_volume: _Volume = None
    sell_volume: _Volume = None
    first_id: int | str = 0
    last_id: int | str = 0


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
