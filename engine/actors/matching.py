"""The rules of the matching model: when an order at the simulated venue can trade, and at which price.

Owns the order and the functions of an order and a price. `simulated_venue`, the only caller, owns the state,
the timing and the reports. Prices and sizes are exact integers at the instrument's scales.
"""

from __future__ import annotations

from typing import Final

from engine.actors.base import State
from engine.events import InstrumentListed
from engine.values import BUY

__all__ = [
    "DORMANT",
    "WAITING",
    "WORKING",
    "VenueOrder",
    "can_trade",
    "is_triggered",
    "may_reduce",
    "taker_price",
]

DORMANT: Final = "dormant"
"""Attached to an order that is not completely filled yet."""

WAITING: Final = "waiting"
"""A trigger order whose trigger price has not been reached."""

WORKING: Final = "working"
"""In the book: the order can fill."""


class VenueOrder(State):
    """An order at the simulated venue or in transit to it. `resting` is set once it could not trade at first.

    `submit_seq` is the seq of its `SubmitOrder`, the recorded cause of all its reports. `remaining` is 0
    after it has ended. A `limit_price` of 0 is a market order.
    """

    submit_seq: int
    client_order_id: str
    instrument: int
    side: int
    remaining: int
    limit_price: int
    tif: str
    reduce_only: bool
    trigger: str
    trigger_price: int
    parent: str
    phase: str
    venue_order_id: int = 0
    resting: bool = False


def can_trade(order: VenueOrder, price: int) -> bool:
    """Return whether the order's limit allows a trade at a price."""
    return not order.limit_price or (order.limit_price - price) * order.side >= 0


def is_triggered(order: VenueOrder, low: int, high: int) -> bool:
    """Return whether a market between `low` and `high` reaches the trigger price.

    The price has to fall to it for a sell's stop-loss and a buy's take-profit, and to rise to it for the
    others.
    """
    rising = (order.side == BUY) == (order.trigger == "sl")
    return high >= order.trigger_price if rising else low <= order.trigger_price


def may_reduce(side: int, position: int) -> int:
    """Return the size by which an order of this side can reduce a signed position; 0 if it would add."""
    return max(0, -side * position)


def taker_price(order: VenueOrder, price: int, slippage_bps: int, listed: InstrumentListed) -> int:
    """Return a taker's fill price: the market's price after slippage, but never beyond the order's limit.

    It is put on the grid to the order's disadvantage.
    """
    if slippage_bps:
        # Recorded fills were rounded to the grid's step at the price before slippage.
        step = listed.price_step_at(price)
        price = listed.bounded_price(price, order.side, slippage_bps, up=order.side == BUY, step=step)
    if order.limit_price:
        price = min(price, order.limit_price) if order.side == BUY else max(price, order.limit_price)
    return price
