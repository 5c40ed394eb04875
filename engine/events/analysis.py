"""Events that the engine derives from market data: bars, signals, targets.

Bars are emitted by the aggregator, signals and targets by strategies. Prices and sizes are exact integers at
the instrument's scales. A signal's value is a float64, compared bit for bit on replay.
"""

from __future__ import annotations

from typing import Annotated

from engine.events.base import Event
from engine.values import Amount, InstrumentId, Price, Side, Size, Volume

__all__ = [
    "ActivityBarClosed",
    "BarClosed",
    "BarCorrected",
    "BarDiffers",
    "DepthExceeded",
    "LogWritten",
    "PathReached",
    "PriceMarked",
    "SignalRaised",
    "TargetSet",
]

_Money = Annotated[Amount | None, "money"]
_Volume = Annotated[Amount | None, "size"]


class BarClosed(Event, frozen=True, tag="bar"):
    """A time bar over [start_ns, window_end(interval_ns, start_ns)) of venue time, aligned to the epoch.

    `closed_by` is "trade" (a later trade ended the window), "timer" (the grace period ended), "candle" (the
    bar has the values of the venue's candle) or "gap" (a feed gap was settled). `incomplete` marks a bar
    into which a feed gap, a start or a stop falls; `because` gives the reason. `source` is "trades", or
    "venue" if any part comes from a candle. In that case `quote_volume` (sum of price * size, at the
    instrument's money scale) and the bought and sold volumes are unknown (None), and the ids are 0. Trades
    without an aggressor count neither as bought nor as sold. A window without trades has a flat bar with
    volume 0, if the venue has candles for such windows.
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
    """A new revision of a bar, after a correction. The highest `revision` is the valid one.

    Earlier revisions are kept: they are what strategies saw at the time.
    """


class ActivityBarClosed(Event, frozen=True, tag="activity-bar"):
    """A bar that closes when a traded amount is reached. `kind` is measure:threshold, such as "volume:50".

    It spans the trades from `start_ns` to `end_ns` of venue time, both included. `number` counts the bars
    of a kind and instrument from 0. `incomplete`, `because`, volumes and ids are as in `BarClosed`.
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
    """A closed bar differs from the venue's candle of its window: the bar's values, then the candle's."""

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
    """The last price of an instrument, emitted when a session stops so that the final equity is exact."""

    at_ns: int
    instrument: InstrumentId
    price: Price


class DepthExceeded(Event, frozen=True, tag="depth-exceeded"):
    """An order wanted more than the simulated venue shows within its limit or bound.

    `size` is what it wanted beyond the last level, which is at `price`. `filled` of that it got there by the
    assumption of `[simulated] beyond_bps`. Derived, with that section only.
    """

    at_ns: int
    client_order_id: str
    instrument: InstrumentId
    side: Side
    size: Size
    filled: Size
    price: Price


class PathReached(Event, frozen=True, tag="path"):
    """The simulated venue has led one book along a candle to `price`.

    `part` is "open", "low", "high" or "close", or "" for a price between them at which an order fills. What
    happens at a price follows before the next one. The bar of the candle comes after its close.
    """

    at_ns: int
    venue_ns: int
    instrument: InstrumentId
    owner: str
    price: Price
    part: str


class SignalRaised(Event, frozen=True, tag="signal"):
    """A named number that a strategy records, such as an indicator's value."""

    at_ns: int
    strategy: str
    instrument: InstrumentId
    name: str
    value: float


class LogWritten(Event, frozen=True, tag="log"):
    """A line of text that a strategy records."""

    at_ns: int
    strategy: str
    text: str
    instrument: InstrumentId = 0


class TargetSet(Event, frozen=True, tag="target"):
    """The position that a strategy wants to hold. `size` is signed; negative is short.

    `withdrawn`: the strategy wants no particular position any more; the one it has stays.
    """

    at_ns: int
    strategy: str
    instrument: InstrumentId
    size: Size
    reason: str = ""
    withdrawn: bool = False
