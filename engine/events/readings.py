"""Further market data of a venue: books, candles, contexts, mid prices, funding rates,
liquidations.

All are inputs (cause 0). Emitted by feeds and backfills, handled by the aggregator, by strategies that use
them, and by the stores. Prices and sizes are exact integers at the instrument's scales. Values that
may be finer (marks, mids, rates) are exact integers at the event's own `scale`. Times are UTC nanoseconds.
"""

from __future__ import annotations

from typing import Annotated

from engine.events.base import Event
from engine.values import Amount, InstrumentId, Price, Side, Size, Volume

__all__ = [
    "BookLevels",
    "BookRead",
    "CandleRead",
    "ContextRead",
    "FeedPolling",
    "FundingRead",
    "HistoryRead",
    "LiquidationRead",
    "MidsRead",
    "OpenInterestRead",
]

BookLevels = Annotated[tuple[tuple[int, int, int], ...], "levels"]
"""One side of a book, best first: (price, size, number of orders, 0 if unknown) at the instrument's
scales."""

_Fine = Annotated[Amount | None, "scaled"]


class BookRead(Event, frozen=True, tag="book"):
    """A complete order book, which replaces the one before. `fast` books have 5 levels."""

    recv_ns: int
    venue_ns: int
    instrument: InstrumentId
    bids: BookLevels
    asks: BookLevels
    fast: bool = False


class CandleRead(Event, frozen=True, tag="candle-read"):
    """A closed candle from the venue. `venue_ns` is its end.

    `purpose` is "history" (for the warm-up of strategies and for the stores; it makes no bar), "flat" (the
    same, for a window of which the venue had no candle: flat at the close before, by its custom), "repair"
    (it replaces the bar of a window with missed trades), "check" (it is compared with the bar made from
    trades) or "stream" (pushed by the venue and only recorded).
    """

    recv_ns: int
    venue_ns: int
    instrument: InstrumentId
    interval_ns: int
    start_ns: int
    open: Price
    high: Price
    low: Price
    close: Price
    volume: Volume
    trades: int
    purpose: str


class ContextRead(Event, frozen=True, tag="context"):
    """An instrument's context. A value that the venue does not give is None.

    `funding` is the rate for one hour as a fraction, `premium` a fraction, `open_interest` in base units.
    """

    recv_ns: int
    instrument: InstrumentId
    scale: int
    mark: _Fine
    oracle: _Fine
    mid: _Fine
    funding: _Fine
    premium: _Fine
    open_interest: _Fine


class MidsRead(Event, frozen=True, tag="mids"):
    """The mid prices of the session's instruments: `mids[i]` belongs to `instruments[i]`."""

    recv_ns: int
    scale: int
    instruments: tuple[int, ...]
    mids: tuple[Amount, ...]


class FundingRead(Event, frozen=True, tag="funding-rate"):
    """A settled funding rate from the venue's history, of the time since the one before; paid at `venue_ns`.

    `rate` and `premium` are fractions of the position's value. `per_unit`: the rate is money in the quote
    currency for one unit of the instrument.
    """

    recv_ns: int
    venue_ns: int
    instrument: InstrumentId
    scale: int
    rate: Annotated[Amount, "scaled"]
    premium: Annotated[Amount, "scaled"]
    per_unit: bool = False

    @property
    def unit(self) -> str:
        """What the rate is: a "fraction", or "money" for one unit."""
        return "money" if self.per_unit else "fraction"


class HistoryRead(Event, frozen=True, tag="history-read"):
    """A request for the venue's history was answered, and some windows of it have no candle or rate.

    Covers the windows from `from_ns` to `to_ns` (exclusive) of one series; `interval_ns` 0 stands for funding
    rates, -1 for open interest, `rows` is how many there were. `venue_ns` is the venue's time at the request.
    Windows before `kept_ns` are older than what the venue keeps.
    """

    recv_ns: int
    venue_ns: int
    instrument: InstrumentId
    interval_ns: int
    from_ns: int
    to_ns: int
    kept_ns: int
    rows: int


class LiquidationRead(Event, frozen=True, tag="liquidation-read"):
    """A forced close of somebody's position, as the venue publishes it.

    `side` is that of the closing order: SELL closed a long. `price` and `size` are those of its fill where
    the venue shows it, else of the order. `trade_id` is the id of that trade or order, "" if the venue gives
    none. `sampled`: the venue shows only some of its liquidations, such as the newest of each second.
    """

    recv_ns: int
    venue_ns: int
    instrument: InstrumentId
    side: Side
    price: Price
    size: Size
    trade_id: int | str = ""
    sampled: bool = False


class OpenInterestRead(Event, frozen=True, tag="open-interest-read"):
    """Open interest at `venue_ns`, in base units, from the venue's history."""

    recv_ns: int
    venue_ns: int
    instrument: InstrumentId
    scale: int
    open_interest: Annotated[Amount, "scaled"]


class FeedPolling(Event, frozen=True, tag="feed-polling"):
    """A feed's websocket is down for long: candles are polled over REST until it is up (`active` False)."""

    recv_ns: int
    feed: str
    active: bool
    reason: str = ""
