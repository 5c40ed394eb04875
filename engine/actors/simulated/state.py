"""What the simulated venue keeps: its orders, what each market last showed, positions, the path in a candle.

Owns the records of its state, and no rule. Prices and sizes are exact integers at the instrument's scales;
a *fine* price has `FINER` more decimals, so that slippage in basis points is exact.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import msgspec

from engine.actors.base import Emit, State
from engine.events import OrderTerms, SubmitOrder
from engine.values import BUY, InstrumentId, Price, Size

__all__ = [
    "DORMANT",
    "FINER",
    "UNIT",
    "WAITING",
    "WORKING",
    "At",
    "DepthSide",
    "Market",
    "Path",
    "Position",
    "VenueOrder",
    "worse",
]

DORMANT: Final = "dormant"
"""Attached to an order that is not completely filled yet."""

WAITING: Final = "waiting"
"""A trigger order whose trigger price has not been reached."""

WORKING: Final = "working"
"""The order can fill."""

FINER: Final = 4
"""Decimals that prices and fees of fills have beyond the instrument's: one basis point is then exact."""

UNIT: Final = 10_000
"""One step of the instrument's price scale in a fine price; also the whole in basis points."""


class At(NamedTuple):
    """When something happens, by the engine's clock and the venue's, and where its reports go."""

    recv_ns: int
    venue_ns: int
    emit: Emit


class VenueOrder(State):
    """An order at the venue or on its way there.

    `submit_seq` is the seq of its `SubmitOrder`, the recorded cause of all its reports. `remaining` is 0 once
    it has ended; `limit` is the current one, 0 for a market order. `judged`: its price and its margin have
    been checked, which takes a price of the market. `resting`: it met the market and is in the book. `fired`:
    its trigger was reached. `canceling`: a cancel is on its way; noted only in a run with seams.
    """

    submit_seq: int
    client_order_id: str
    owner: str
    instrument: InstrumentId
    terms: OrderTerms
    remaining: Size
    limit: Price
    phase: str
    arrived_ns: int = 0
    venue_order_id: int = 0
    judged: bool = False
    resting: bool = False
    fired: bool = False
    canceling: bool = False

    @classmethod
    def of(cls, order: SubmitOrder, seq: int) -> VenueOrder:
        """Return an order as it is sent by the record `seq`."""
        terms = order.terms
        phase = DORMANT if terms.parent else WAITING if terms.trigger else WORKING
        names = (seq, order.client_order_id, order.strategy, order.instrument)
        return cls(*names, terms, terms.size, terms.limit, phase)

    @property
    def side(self) -> int:
        """BUY or SELL."""
        return self.terms.side

    @property
    def worst(self) -> int:
        """The worst price it may trade at: its limit, else its bound; 0 for none."""
        return self.limit or self.terms.bound

    @property
    def immediate(self) -> bool:
        """Whether it never rests: what it does not get at once is canceled."""
        return self.terms.tif == "Ioc"

    @property
    def stops(self) -> bool:
        """Whether it is a fired stop-loss or stop entry: it never fills better than its trigger."""
        return self.fired and self.terms.trigger == "sl"

    @property
    def rising(self) -> bool:
        """Whether the price has to rise to its trigger: that of a buy's "sl" and of a sell's "tp"."""
        return (self.side == BUY) == (self.terms.trigger == "sl")

    def allows(self, price: int, limit: int) -> bool:
        """Return whether it may trade at a price under this limit, or bound."""
        return not limit or (limit - price) * self.side >= 0

    def reached_by(self, price: int, trigger: int) -> bool:
        """Return whether a price is at or through the trigger; both have the same scale."""
        return price >= trigger if self.rising else price <= trigger


class DepthSide(State):
    """One side of a market as it was shown last, best first, and what was taken since, by price."""

    levels: list[tuple[Price, Size]] = msgspec.field(default_factory=list)
    taken: dict[Price, Size] = msgspec.field(default_factory=dict)

    def show(self, levels: list[tuple[int, int]], *, side: int = 0) -> None:
        """Take over what the venue shows. What was taken stays taken unless the side changed.

        With a `side`, that of the orders that rest here, it is kept level by level: a level that grows gives
        back as much as it grew, one that is gone gives back all, and one out of the window nothing.
        """
        if levels == self.levels:
            return
        if side and self.taken:
            before, now = dict(self.levels), dict(levels)
            kept: dict[int, int] = {}
            for price, taken in self.taken.items():
                if price in now:
                    grown = max(0, now[price] - before.get(price, now[price]))
                    kept[price] = min(taken - grown, now[price])
                elif levels and (levels[-1][0] - price) * side > 0:
                    kept[price] = taken
            self.taken = {price: taken for price, taken in kept.items() if taken > 0}
        else:
            self.taken = {}
        self.levels = levels


class Market(State):
    """What is known of a market.

    `depth` is the best that its data has: "book", "quote", or "" if it has only trades or candles. `live`:
    what is shown is of now; `priced`: the last price is. `traded` and `candles`: what prices come from.
    `mark` and `oracle` are fine prices, 0 if the data has none; `rate` is the hourly funding rate of the
    venue's context at `rate_scale`. `rated`: the data has funding rates, `held`: there was a position.
    `done_ns` is the end of the newest candle.
    """

    last: Price = 0
    live: bool = False
    priced: bool = False
    traded: bool = False
    candles: bool = False
    depth: str = ""
    bids: DepthSide = msgspec.field(default_factory=DepthSide)
    asks: DepthSide = msgspec.field(default_factory=DepthSide)
    quoted: bool = False
    bid: Price = 0
    bid_size: Size = 0
    ask: Price = 0
    ask_size: Size = 0
    mark: Price = 0
    mark_ns: int = 0
    oracle: Price = 0
    rate: int = 0
    rate_scale: int = 0
    rate_ns: int = 0
    rated: bool = False
    held: bool = False
    done_ns: int = 0


class Position(State):
    """The account's position in a market: signed size, signed cost and, if isolated, the margin set aside.

    Money is at the scale of the account.
    """

    size: Size = 0
    cost: int = 0
    margin: int = 0


class Path(State):
    """The way of one book along a candle. Prices are at the instrument's scale.

    `points` are the prices led to, `parts` their names: open, one end, the other end, close. `leg` is the
    index of the point that is led to next, `start` the price at which this leg began, `at` the price
    reached. `waiting` are the owners that come after this one. `left` is what is left of the candle's volume,
    negative if it is not known. `entered` is the size that the book opened on a leg of this candle, at
    `entry`.
    """

    instrument: InstrumentId
    owner: str
    waiting: list[str]
    points: tuple[Price, Price, Price, Price]
    parts: tuple[str, str, str, str]
    recv_ns: int
    start_ns: int
    end_ns: int
    left: Size
    leg: int = 0
    start: Price = 0
    at: Price = 0
    entered: Size = 0
    entry: Price = 0

    @property
    def close(self) -> int:
        """The close of the candle."""
        return self.points[3]


def worse(side: int, *prices: int) -> int:
    """Return the worst of some prices for an order of this side."""
    return max(prices) if side == BUY else min(prices)
