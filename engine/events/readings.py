"""What a venue shows beside its prints: books, candles of its own, contexts, mids, funding rates.

All are inputs (cause 0). Emitted by feeds and by backfills, consumed by the aggregator, by strategies that
ask for them, and by the projections. Prices and sizes are exact integers at the instrument's scales; values
that may be finer (marks, mids, rates) are exact integers at the event's own `scale`. Times are UTC
nanoseconds.
"""

from __future__ import annotations

from typing import Annotated

from engine.events.base import Event
from engine.values import Amount, InstrumentId, Price, Volume

__all__ = ["BookLevels", "BookRead", "CandleRead", "ContextRead", "FeedPolling", "FundingRead", "MidsRead"]

BookLevels = Annotated[tuple[tuple[int, int, int], ...], "levels"]
"""One side of a book, best first: (price, size, number of orders) at the instrument's scales."""

_Fine = Annotated[Amount | None, "scaled"]


class BookRead(Event, frozen=True, tag="book"):
    """A whole order book: it replaces the one before, never merges with it. `fast` books have 5 levels."""

    recv_ns: int
    venue_ns: int
    instrument: InstrumentId
    bids: BookLevels
    asks: BookLevels
    fast: bool = False


class CandleRead(Event, frozen=True, tag="candle-read"):
    """A closed candle from the venue's own records; `venue_ns` is its end.

    `purpose` says what it is for. "history" warms strategies up and fills the projection, and gives no bar.
    "repair" stands for prints that were missed: the bar of its window is made of it. "check" is compared
    with the bar that prints made. "stream" is one the venue pushed and nobody acts on.
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
    """An instrument's context; a value the venue does not tell is None.

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
    """The mids of the session's instruments, as pairs by position."""

    recv_ns: int
    scale: int
    instruments: tuple[int, ...]
    mids: tuple[Amount, ...]


class FundingRead(Event, frozen=True, tag="funding-rate"):
    """A settled funding rate of the venue's history: `rate` for the hour that ended at `venue_ns`."""

    recv_ns: int
    venue_ns: int
    instrument: InstrumentId
    scale: int
    rate: Annotated[Amount, "scaled"]
    premium: Annotated[Amount, "scaled"]


class FeedPolling(Event, frozen=True, tag="feed-polling"):
    """A feed's websocket stays down: candles are read over REST until it is back (`active` False)."""

    recv_ns: int
    feed: str
    active: bool
    reason: str = ""
