"""An order at the exchange, and how the venue's messages show it.

Sizes and prices are integers at the coin's scales. `remaining` is what the order still works for, and stays
what it was when the order is canceled: executed is told by fills alone, as on the venue.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from adapters.sandbox.wire import wire_number
from engine.events import InstrumentListed
from engine.values import BUY

__all__ = ["Order", "open_row", "order_row", "update_row"]


@dataclass(slots=True, eq=False)
class Order:
    """One order. `queue` is the size that stood at its price before it; `trigger` is "", "sl" or "tp".

    `waits` says what keeps it from the book: "" (nothing), "trigger" (armed) or "parent" (not armed yet).
    """

    oid: int
    user: str
    asset: int
    listed: InstrumentListed
    side: int
    price: int
    size: int
    remaining: int
    tif: str
    reduce_only: bool
    cloid: str | None
    created_ms: int
    trigger: str = ""
    trigger_price: int = 0
    market: bool = False
    of_position: bool = False
    waits: str = ""
    status: str = "open"
    status_ms: int = 0
    queue: int = 0
    parent: Order | None = None
    children: list[Order] = field(default_factory=list)

    @property
    def ended(self) -> bool:
        """Whether it can no longer trade."""
        return self.status not in ("open", "triggered")


def order_row(order: Order) -> dict[str, Any]:
    """Return an order as `openOrders` and `orderUpdates` show it; trigger members are hidden."""
    listed = order.listed
    row = {
        "coin": listed.name,
        "side": "B" if order.side == BUY else "A",
        "limitPx": wire_number(order.price, listed.price_scale),
        "sz": wire_number(order.remaining, listed.size_scale),
        "oid": order.oid,
        "timestamp": order.created_ms,
        "origSz": wire_number(order.size, listed.size_scale),
    }
    if order.cloid is not None:
        row["cloid"] = order.cloid
    if order.reduce_only:
        row["reduceOnly"] = True
    return row


def update_row(order: Order) -> dict[str, Any]:
    """Return an entry of `orderUpdates`."""
    return {"order": order_row(order), "status": order.status, "statusTimestamp": order.status_ms}


def open_row(order: Order) -> dict[str, Any]:
    """Return an order as `frontendOpenOrders`, `orderStatus` and `historicalOrders` show it."""
    row = order_row(order)
    listed = order.listed
    condition, kind = "N/A", "Limit"
    if order.trigger:
        above = (order.side == BUY) == (order.trigger == "sl")
        price = wire_number(order.trigger_price, listed.price_scale)
        condition = f"Price {'above' if above else 'below'} {price.removesuffix('.0')}"
        name = "Stop" if order.trigger == "sl" else "Take Profit"
        kind = f"{name} {'Market' if order.market else 'Limit'}"
    row |= {
        "triggerCondition": condition,
        "isTrigger": bool(order.trigger),
        "triggerPx": wire_number(order.trigger_price, listed.price_scale),
        "children": [open_row(child) for child in order.children if not child.ended],
        "isPositionTpsl": order.of_position,
        "reduceOnly": order.reduce_only,
        "orderType": kind,
        "origSz": row["origSz"],
        "tif": None if order.trigger and order.market else order.tif,
        "cloid": order.cloid,
    }
    return row
