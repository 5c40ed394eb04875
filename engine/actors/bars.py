"""An open bar, and the bars of one instrument: the aggregator's state and the arithmetic on it.

Prices and sizes are integers at the instrument's scales, times are UTC nanoseconds of the venue. Called by
the aggregator, which decides when a bar closes.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final, Protocol

import msgspec

from engine.actors.base import State
from engine.clock import DAY_NS, SECOND_NS
from engine.events import BarClosed, BarCorrected, CandleRead, LiquidationRead, Trade
from engine.values import Price, Size, Value, wide

__all__ = [
    "BEGUN_INSIDE",
    "DOWN",
    "ENDED_INSIDE",
    "GAP",
    "JUMPED",
    "LAGGING",
    "PART_MISSING",
    "Market",
    "OpenBar",
    "Series",
    "add_trade",
    "apply_candle",
    "bar_event",
    "count_side",
    "flatten",
    "fold",
    "is_implausible",
    "no_bar",
    "precedes",
    "series_of",
]

BEGUN_INSIDE: Final = "the data begins inside it"
ENDED_INSIDE: Final = "the session ended inside it"
GAP: Final = "the feed has a gap"
DOWN: Final = "the feed was down; what was missed is not known yet"
JUMPED: Final = "the clock jumped inside it"
PART_MISSING: Final = "a part of it is missing"
LAGGING: Final = "lagging: the feed has not delivered all of it yet"

AHEAD_NS_MAX: Final = 3600 * SECOND_NS
"""Upper bound on how far a venue's clock may be ahead of the engine's."""


class Sided(Protocol):
    """Sizes summed by the taker's side."""

    bought: int
    sold: int
    unsided: int


@dataclass(slots=True)
class OpenBar:
    """An open bar, or a closed one that can still be corrected.

    Prices and sizes are integers at the instrument's scales. A dataclass with slots, while other states are
    structs: setting an attribute takes half the time, and a trade sets six or seven.

    `until_ns` is the bar's end once it has a trade, and 0 before, so that one comparison detects both the
    first trade of a bar and its end. `first_ns`, `first_id`, `last_ns` and `last_id` belong to the trades
    that made open and close; they are 0 if none did. `quote` sums price * size. `bought`, `sold` and
    `unsided` are sizes by the taker's side; a candle's volume is unsided. `because` is the reason why the
    bar is incomplete. `merged_ns` is the end of the last part of a longer bar. `venue`: the bar includes a
    candle. `proved`: it has the values of the venue's candle of its window, so a gap does not matter.
    `lagging`: the feed has not proved that it delivered all of it. `unsent`: it has changed since its event,
    which is emitted again at `due_ns`, or with its proof. `timer_seq` is the seq of the timer that
    fired while the bar had to wait for its proof.
    """

    start_ns: int
    end_ns: int
    until_ns: int
    open: Price
    high: Price
    low: Price
    close: Price
    bought: Size = 0
    sold: Size = 0
    unsided: Size = 0
    trades: int = 0
    quote: Value = 0
    first_ns: int = 0
    last_ns: int = 0
    first_id: int | str = 0
    last_id: int | str = 0
    because: str = ""
    doubtful: bool = False
    revision: int = 0
    merged_ns: int = 0
    venue: bool = False
    proved: bool = False
    lagging: bool = False
    unsent: bool = False
    due_ns: int = 0
    timer_seq: int = 0

    @property
    def uncertain(self) -> bool:
        """Whether trades may be missing."""
        return bool(self.because) or self.doubtful or self.lagging

    @property
    def volume(self) -> int:
        """The traded size. It is not stored, which saves setting an attribute for each trade."""
        return self.bought + self.sold + self.unsided


class Series(State):
    """The bars of one instrument at one interval: the open one, and the latest closed ones, oldest first.

    The shortest interval is built from trades; its open bars are elsewhere (see `Market`). A longer
    interval is built from the interval `source_ns`: the longest shorter one of which it is a multiple.
    `makes` holds the indexes of the series that are built from this one.
    """

    interval_ns: int
    source_ns: int
    bar: OpenBar
    closed: list[OpenBar]
    makes: list[int]


class Market(State):
    """The bars of one instrument.

    `waiting` holds the bars of the shortest interval that have ended and are in their grace period, oldest
    first, without the open one. All windows that end by `done_ns` are closed. `hole_ns` is the end of the
    last gap that was not closed. `fresh`: the next bar to close is the first one. `flat`: the venue has
    candles for windows without trades. `by_id`: trades with equal time stamps are ordered by id. `blind`:
    trades may be missing, until a gap settles it.

    `reached_ns`: earlier windows need no proof, since a later trade closes them. `lagging`: some bars closed
    without proof. Windows that begin before `doubt_ns` are in doubt, because the feed was down at that time.
    `due_ns`: when the next correction is due, 0 for none. Trades after `since_ns` are in doubt until the next
    gap, 0 if none are; those in `holes_ns` until a gap covers them (`doubts.py`).
    """

    series: list[Series]
    flat: bool
    by_id: bool
    waiting: deque[OpenBar]
    done_ns: int = 0
    hole_ns: int = 0
    fresh: bool = True
    blind: bool = False
    reached_ns: int = 0
    lagging: bool = False
    doubt_ns: int = 0
    due_ns: int = 0
    since_ns: int = 0
    holes_ns: list[tuple[int, int]] = msgspec.field(default_factory=list)


def series_of(spans_ns: list[int]) -> list[Series]:
    """Return a series without bars for each interval, shortest first. All but the first have a source."""
    found: list[Series] = []
    for at, span in enumerate(spans_ns):
        # Weeks and months are built from days, or from an interval that divides a day.
        sources = [other for other in range(at) if min(span, DAY_NS) % spans_ns[other] == 0]
        if sources:
            found[sources[-1]].makes.append(at)
        found.append(Series(span, spans_ns[sources[-1]] if sources else 0, no_bar(), [], []))
    return found


def no_bar() -> OpenBar:
    """Return a placeholder for no open bar. It ends before every trade."""
    return OpenBar(0, 0, 0, 0, 0, 0, 0)


def is_implausible(trade: Trade | LiquidationRead) -> bool:
    """Return whether the time of a trade or a liquidation cannot be right.

    That is more than a day in the past, or an hour in the future.

    A trade in the future would end all windows before it, and make the following trades late.
    """
    return not -DAY_NS <= trade.venue_ns - trade.recv_ns <= AHEAD_NS_MAX


def _begin_with(bar: OpenBar, trade: Trade) -> None:
    """Take the prices, time and id of an empty bar's first trade. The trade itself is added afterwards."""
    bar.open = bar.high = bar.low = trade.price
    bar.first_ns = trade.venue_ns
    bar.first_id = trade.trade_id
    bar.until_ns = bar.end_ns


def _place(bar: OpenBar, trade: Trade, by_id: bool) -> None:
    """Set the close or the open from a trade that is not later than the bar's last one, if it changes them.

    Trades with equal time stamps are ordered by id if ids count up, otherwise by arrival.
    """
    venue_ns = trade.venue_ns
    if venue_ns == bar.last_ns and not (by_id and precedes(trade.trade_id, bar.last_id)):
        bar.close = trade.price
        bar.last_id = trade.trade_id
    if venue_ns < bar.first_ns or (
        by_id and venue_ns == bar.first_ns and precedes(trade.trade_id, bar.first_id)
    ):
        bar.open = trade.price
        bar.first_ns = venue_ns
        bar.first_id = trade.trade_id


def precedes(one: int | str, other: int | str) -> bool:
    """Return whether an id is a smaller number than another. Text ids have no order."""
    return isinstance(one, int) and isinstance(other, int) and one < other


def add_trade(bar: OpenBar, trade: Trade, by_id: bool) -> None:
    """Add a trade to the bar it belongs to, in any order."""
    if not bar.trades:
        _begin_with(bar, trade)
    bar.high = max(bar.high, trade.price)
    bar.low = min(bar.low, trade.price)
    if trade.venue_ns > bar.last_ns:
        bar.close = trade.price
        bar.last_ns = trade.venue_ns
        bar.last_id = trade.trade_id
    else:
        _place(bar, trade, by_id)
    bar.trades += 1
    bar.quote += trade.price * trade.size
    count_side(bar, trade)


def count_side(held: Sided, trade: Trade) -> None:
    """Add a trade's size to the side of its taker."""
    if trade.aggressor > 0:
        held.bought += trade.size
    elif trade.aggressor < 0:
        held.sold += trade.size
    else:
        held.unsided += trade.size


def flatten(bar: OpenBar, price: int) -> bool:
    """Make a bar without trades flat at a price. Return whether that changed it."""
    changed = bar.close != price
    bar.open = bar.high = bar.low = bar.close = price
    return changed


def fold(whole: OpenBar, part: OpenBar) -> None:
    """Add a closed bar to the longer bar it is a part of."""
    if part.trades or part.unsided:
        if not (whole.trades or whole.unsided):
            whole.open, whole.high, whole.low = part.open, part.high, part.low
            whole.first_ns, whole.first_id = part.first_ns, part.first_id
        if part.high > whole.high:
            whole.high = part.high
        if part.low < whole.low:
            whole.low = part.low
        whole.close = part.close
        whole.last_ns, whole.last_id = part.last_ns, part.last_id
    whole.trades += part.trades
    whole.quote += part.quote
    whole.bought += part.bought
    whole.sold += part.sold
    whole.unsided += part.unsided
    if part.because and not whole.because:
        whole.because = part.because
    if part.doubtful:
        whole.doubtful = True
    if part.lagging:
        whole.lagging = True
    if part.venue:
        whole.venue = True
    whole.merged_ns = part.end_ns


def apply_candle(bar: OpenBar, candle: CandleRead) -> None:
    """Give a bar the values of the venue's candle."""
    bar.open, bar.high, bar.low, bar.close = candle.open, candle.high, candle.low, candle.close
    bar.bought = bar.sold = 0
    bar.unsided, bar.trades = int(candle.volume), candle.trades
    bar.because = ""
    bar.doubtful = bar.lagging = bar.unsent = False
    bar.due_ns = 0
    bar.venue = bar.proved = True


def bar_event(bar: OpenBar, instrument: int, interval_ns: int, closed_by: str, at_ns: int) -> BarClosed:
    """Return a closed bar as an event: `BarClosed`, or `BarCorrected` from revision 1 on."""
    because = bar.because or (DOWN if bar.doubtful else LAGGING if bar.lagging else "")
    known = not bar.venue
    return (BarCorrected if bar.revision else BarClosed)(
        at_ns,
        instrument,
        interval_ns,
        bar.start_ns,
        bar.open,
        bar.high,
        bar.low,
        bar.close,
        wide(bar.volume),
        bar.trades,
        closed_by,
        bar.revision,
        because != "",
        because,
        "trades" if known else "venue",
        wide(bar.quote) if known else None,
        wide(bar.bought) if known else None,
        wide(bar.sold) if known else None,
        bar.first_id if known else 0,
        bar.last_id if known else 0,
    )
