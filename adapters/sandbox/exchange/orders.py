"""An order at the exchange, and its form in the venue's messages.

Sizes and prices are integers at the instrument's scales. `remaining` is the open size. It does not change
when an order is canceled: as on the venue, the executed size is known from the fills only.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from adapters.sandbox.wire import wire_number
from engine.events import InstrumentListed
from engine.values import BUY

__all__ = ["Order", "open_row", "order_row", "status_row", "update_row"]


@dataclass(slots=True, eq=False)
class Order:
    """One order.

    `trigger` is "", "sl" (stop loss) or "tp" (take profit); `market`: the trigger places a market order.
    `fired`: the mark has reached the trigger. `waits` is "" for an order that can trade, "trigger" while it
    waits for the mark, "parent" while it waits for its parent to fill. `queue` is the size ahead of it at its
    price. `of_position`: its size follows the position's.
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
    fired: bool = False
    waits: str = ""
    status: str = "open"
    status_ms: int = 0
    queue: int = 0
    parent: Order | None = None
    children: list[Order] = field(default_factory=list)

    @property
    def ended(self) -> bool:
        """Whether the order can no longer trade."""
        return self.status not in ("open", "triggered")

    @property
    def rising(self) -> bool:
        """Whether the trigger fires on a rising price: the stop of a buy, the take profit of a sell."""
        return (self.side == BUY) == (self.trigger == "sl")

    def hit_by(self, mark: int) -> bool:
        """Return whether a mark has reached the trigger price."""
        return mark >= self.trigger_price if self.rising else mark <= self.trigger_price


def order_row(order: Order) -> dict[str, Any]:
    """Return an order as in `openOrders` and `orderUpdates`, without trigger members."""
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
    """Return an order as in `frontendOpenOrders` and `historicalOrders`."""
    listed = order.listed
    row = order_row(order)
    size = row.pop("origSz")
    trigger_price = wire_number(order.trigger_price, listed.price_scale)
    condition = "N/A"
    if order.fired:
        condition = "Triggered"
    elif order.trigger:
        condition = f"Price {'above' if order.rising else 'below'} {trigger_price.removesuffix('.0')}"
    return row | {
        "triggerCondition": condition,
        "isTrigger": bool(order.trigger),
        "triggerPx": trigger_price,
        "children": [open_row(child) for child in order.children if not child.ended],
        "isPositionTpsl": order.of_position,
        "reduceOnly": order.reduce_only,
        "orderType": _kind(order),
        "origSz": size,
        "tif": None if order.market else order.tif,
        "cloid": order.cloid,
    }


def status_row(order: Order) -> dict[str, Any]:
    """Return an order as in `orderStatus`: an open order is shown with its original size.

    The venue does not update the size while the status stays the same (issue 141 of its Python SDK).
    """
    row = open_row(order)
    if order.status == "open":
        row["sz"] = row["origSz"]
    return {"order": row, "status": order.status, "statusTimestamp": order.status_ms}


def _kind(order: Order) -> str:
    if order.trigger:
        name = "Stop" if order.trigger == "sl" else "Take Profit"
        return f"{name} {'Market' if order.market else 'Limit'}"
    return "Market" if order.tif in ("FrontendMarket", "LiquidationMarket") else "Limit"
