"""The rules of the matching model: an order at the simulated venue, when it can trade, and at which price.

Owns the order and the questions that are functions of it and of a price; the state, the clock and who is told
are `simulated_venue`'s, which is the only caller. Prices and sizes are exact integers at the instrument's
scales.
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
"""Attached to an order that is not wholly filled yet."""

WAITING: Final = "waiting"
"""A trigger order whose trigger price has not been reached."""

WORKING: Final = "working"
"""In the book: it can fill."""


class VenueOrder(State):
    """An order on its way to the venue, or there. `resting` once it has missed its first chance to trade.

    `submit_seq` is the seq of its `SubmitOrder`: the cause of what becomes of it. `remaining` is 0 once it
    has ended. `limit_price` 0 is a market order.
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

    A sell's stop-loss and a buy's take-profit wait for the price to fall there, the other two for it to rise.
    """
    rising = (order.side == BUY) == (order.trigger == "sl")
    return high >= order.trigger_price if rising else low <= order.trigger_price


def may_reduce(side: int, position: int) -> int:
    """Return how much an order of this side can take off a signed position: 0 where it would add to it."""
    return max(0, -side * position)


def taker_price(order: VenueOrder, price: int, slippage_bps: int, listed: InstrumentListed) -> int:
    """Return the market's price after slippage, on the grid against us, never beyond the limit."""
    if slippage_bps:
        # Recorded fills were rounded to the grid's step at the price before slippage.
        step = listed.price_step_at(price)
        price = listed.bounded_price(price, order.side, slippage_bps, up=order.side == BUY, step=step)
    if order.limit_price:
        price = min(price, order.limit_price) if order.side == BUY else max(price, order.limit_price)
    return price
