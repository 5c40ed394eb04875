"""The rows of prices, bars, books, trades, order flow and liquidations. Units: see `shapes.py`."""

from __future__ import annotations

import msgspec

__all__ = [
    "BarMessage",
    "BarRow",
    "BookLevel",
    "BookMessage",
    "ContextPoint",
    "FootprintLevel",
    "FootprintRow",
    "ForcedLevel",
    "ForcedRow",
    "InstrumentRow",
    "LargeTradeRow",
    "LiquidationRow",
    "LiquidationWindow",
    "PriceRow",
    "ProfileLevel",
    "ProfileRow",
    "SampleRow",
    "SettledRate",
    "SpanRow",
    "TradeRow",
]


class PriceRow(msgspec.Struct):
    """The newest prices of one instrument. `seq` is the newest record behind them.

    `bid`, `ask` and their sizes are of the best bid and ask. `mark`, `oracle`, `funding` (for one hour, as a
    fraction) and `open_interest` (base units) are the venue's. `price_ms` is when the newest of bid, ask and
    last was received.
    """

    instrument: str
    seq: int
    last: str | None = None
    last_size: str | None = None
    last_side: str = ""
    bid: str | None = None
    bid_size: str | None = None
    ask: str | None = None
    ask_size: str | None = None
    mark: str | None = None
    oracle: str | None = None
    funding: float | None = None
    premium: float | None = None
    open_interest: str | None = None
    price_ms: int = 0


class InstrumentRow(msgspec.Struct):
    """An instrument: its label, identity and grid, and its newest prices.

    `price_scale` and `size_scale` are decimal places, `price_step` and `size_step` steps of the grid,
    `price_figures` the most significant figures of a price (0: no bound). `intervals` are those of which
    there are bars, `footprints` and `profiles` those of order flow.
    """

    instrument: str
    key: str
    number: int
    venue: str
    kind: str
    base: str
    quote: str
    price_scale: int
    size_scale: int
    price_step: str
    size_step: str
    price_figures: int
    value_min: str
    on_margin: bool
    leverage: int
    leverage_max: int
    taker_fee: str
    maker_fee: str
    traded: bool
    halted: str
    intervals: list[str]
    footprints: list[str]
    profiles: list[str]
    price: PriceRow


class BarRow(msgspec.Struct):
    """One bar, in its newest revision. `at_ms` is when it was closed or corrected, `start_ms` its start.

    `incomplete`: a gap, a start or a stop falls into it; `because` says which. `corrected`: a later revision
    replaced the first one. `source` is "trades" or "venue".
    """

    start_ms: int
    open: str
    high: str
    low: str
    close: str
    volume: str
    trades: int
    buy_volume: str | None
    sell_volume: str | None
    incomplete: bool
    because: str
    corrected: bool
    source: str
    seq: int
    at_ms: int


class SpanRow(msgspec.Struct):
    """A span of time with a reason, to be marked on a chart. `to_ms` is null while it goes on."""

    from_ms: int
    to_ms: int | None
    what: str
    reason: str
    seq: int


class BookLevel(msgspec.Struct, array_like=True):
    """One level of a book: [price, size, number of orders (0: not known)]."""

    price: str
    size: str
    orders: int


class TradeRow(msgspec.Struct):
    """A public trade. `own_ms` is when it was received, `at_ms` the venue's time."""

    seq: int
    at_ms: int
    own_ms: int
    price: str
    size: str
    side: str
    id: str


class FootprintLevel(msgspec.Struct, array_like=True):
    """One price level: [lowest price, bought, sold, side not known]."""

    price: str
    bought: str
    sold: str
    other: str


class FootprintRow(msgspec.Struct):
    """What takers bought and sold at each level of a bar; `day_delta` is the sum of deltas of the UTC day."""

    start_ms: int
    level: str
    levels: list[FootprintLevel]
    delta: str
    day_delta: str
    revision: int
    seq: int


class ProfileLevel(msgspec.Struct, array_like=True):
    """One price level: [lowest price, volume]."""

    price: str
    volume: str


class ProfileRow(msgspec.Struct):
    """The volume at each level of a window, its point of control and its value area."""

    start_ms: int
    level: str
    levels: list[ProfileLevel]
    volume: str
    point: str
    value_low: str
    value_high: str
    seq: int


class LargeTradeRow(msgspec.Struct):
    """A trade of at least the configured size."""

    seq: int
    at_ms: int
    price: str
    size: str
    side: str


class LiquidationRow(msgspec.Struct):
    """A liquidation of the own account."""

    seq: int
    at_ms: int
    instrument: str
    price: str
    size: str
    side: str
    why: str


class ForcedRow(msgspec.Struct):
    """Somebody's position that was closed by force, as the venue shows it. "sell" closed a long.

    `sampled`: the venue shows only some.
    """

    seq: int
    at_ms: int
    price: str
    size: str
    side: str
    sampled: bool


class ForcedLevel(msgspec.Struct, array_like=True):
    """One price level: [lowest price, longs closed, shorts closed]."""

    price: str
    longs: str
    shorts: str


class LiquidationWindow(msgspec.Struct):
    """What was closed by force at each level of a window, in its newest revision."""

    start_ms: int
    end_ms: int
    level: str
    levels: list[ForcedLevel]
    longs: str
    shorts: str
    count: int
    sampled: bool
    revision: int
    seq: int


class ContextPoint(msgspec.Struct, array_like=True):
    """The newest context of a minute: [time, open interest in base units, funding for one hour, seq]."""

    at_ms: int
    open_interest: str | None
    funding: float | None
    seq: int


class SettledRate(msgspec.Struct, array_like=True):
    """A settled funding rate: [time, rate, seq, "fraction" or "money" in quote currency for one unit]."""

    at_ms: int
    rate: float
    seq: int
    unit: str


class SampleRow(msgspec.Struct):
    """A sample of the book at the end of a window; imbalances are -1 (all sold) to 1 (all bought)."""

    start_ms: int
    bid: str | None
    ask: str | None
    imbalance: float | None
    depth_imbalance: float | None
    seq: int


class BarMessage(msgspec.Struct):
    """A bar that was closed or corrected, or the preview of the one that forms (`forming`)."""

    instrument: str
    interval: str
    forming: bool
    bar: BarRow


class BookMessage(msgspec.Struct):
    """The newest book of an instrument, best first."""

    instrument: str
    bids: list[BookLevel]
    asks: list[BookLevel]
    book_ms: int
