"""The life of an order, from a strategy's wish to the position it leaves.

    OrderRequested -> OrderApproved | OrderRefused       strategy or portfolio -> risk
    OrderApproved  -> SubmitOrder                        execution, the only emitter of commands
    CancelRequested -> CancelOrder
    SubmitOrder    -> OrderAccepted | OrderRejected -> OrderFilled ... | OrderCanceled     the venue
    any report     -> OrderChanged (execution), PositionChanged and EquityMarked (portfolio)

Venue reports carry `recv_ns` and `venue_ns`: they are inputs when a real venue sends them and derived
when the simulated venue does. Prices and sizes are exact integers at the instrument's scales, money at
price scale + size scale.
"""

from __future__ import annotations

from typing import Annotated

from engine.events.base import Event
from engine.values import Amount, InstrumentId, Money, Price, Side, Size

__all__ = [
    "COMMANDS",
    "REPORTS",
    "CancelOrder",
    "CancelRequested",
    "EquityMarked",
    "OrderAccepted",
    "OrderApproved",
    "OrderCanceled",
    "OrderChanged",
    "OrderFilled",
    "OrderRefused",
    "OrderRejected",
    "OrderRequested",
    "OrderUnknown",
    "PositionChanged",
    "SubmitOrder",
]


class OrderRequested(Event, frozen=True, tag="order-requested"):
    """A wish. `limit_price` 0 is a market order; `tif` is "Gtc" or "Ioc".

    `for_target` tells that the portfolio made it to reach a target.
    """

    at_ns: int
    strategy: str
    instrument: InstrumentId
    side: Side
    size: Size
    limit_price: Price = 0
    tif: str = "Gtc"
    reduce_only: bool = False
    reason: str = ""
    for_target: bool = False


class OrderApproved(Event, frozen=True, tag="order-approved"):
    """Risk allows the wish recorded at `request_seq`; a type of its own, so nothing else can be sent."""

    at_ns: int
    request_seq: int
    strategy: str
    instrument: InstrumentId
    side: Side
    size: Size
    limit_price: Price
    tif: str
    reduce_only: bool


class OrderRefused(Event, frozen=True, tag="order-refused"):
    """Risk refuses the wish recorded at `request_seq`; `limit` names the rule, `reason` the numbers."""

    at_ns: int
    request_seq: int
    strategy: str
    instrument: InstrumentId
    side: Side
    size: Size
    limit: str
    reason: str


class SubmitOrder(Event, frozen=True, tag="submit"):
    """Command: place this order. The id is 0x + session (16 hex) + seq of the approval (16 hex)."""

    at_ns: int
    client_order_id: str
    strategy: str
    instrument: InstrumentId
    side: Side
    size: Size
    limit_price: Price
    tif: str
    reduce_only: bool


class CancelRequested(Event, frozen=True, tag="cancel-requested"):
    """A strategy's wish to cancel one of its orders."""

    at_ns: int
    strategy: str
    client_order_id: str
    reason: str = ""


class CancelOrder(Event, frozen=True, tag="cancel"):
    """Command: cancel this order."""

    at_ns: int
    client_order_id: str
    instrument: InstrumentId
    reason: str = ""


class OrderAccepted(Event, frozen=True, tag="accepted"):
    """The venue has the order."""

    recv_ns: int
    venue_ns: int
    client_order_id: str
    venue_order_id: int


class OrderRejected(Event, frozen=True, tag="rejected"):
    """The venue refuses the order; terminal."""

    recv_ns: int
    venue_ns: int
    client_order_id: str
    reason: str


class OrderFilled(Event, frozen=True, tag="filled"):
    """One execution. `fee` is paid when positive; `liquidity` is "maker" or "taker"."""

    recv_ns: int
    venue_ns: int
    client_order_id: str
    instrument: InstrumentId
    side: Side
    price: Price
    size: Size
    fee: Money
    liquidity: str
    trade_id: int


class OrderCanceled(Event, frozen=True, tag="canceled"):
    """The venue no longer works the order; `remaining` was not filled."""

    recv_ns: int
    venue_ns: int
    client_order_id: str
    instrument: InstrumentId
    remaining: Size
    reason: str


class OrderUnknown(Event, frozen=True, tag="unknown"):
    """The order's fate at the venue is not proved; it is asked about, never sent again."""

    recv_ns: int
    client_order_id: str
    reason: str


class OrderChanged(Event, frozen=True, tag="order"):
    """Execution's own view of an order after a report.

    `state` follows FIX: PendingNew, New, PartiallyFilled, Filled, PendingCancel, Canceled, Rejected; or
    it is Unknown.
    """

    at_ns: int
    client_order_id: str
    strategy: str
    instrument: InstrumentId
    state: str
    filled: Size
    remaining: Size


class PositionChanged(Event, frozen=True, tag="position"):
    """A strategy's position after a fill.

    `size` is signed; `cost` is what the open position cost (signed, without fees); `realized` and `fees`
    are sums since the account began.
    """

    at_ns: int
    strategy: str
    instrument: InstrumentId
    size: Size
    cost: Money
    realized: Money
    fees: Money


class EquityMarked(Event, frozen=True, tag="equity"):
    """The account: equity = cash at start + realized + unrealized - fees, all at `scale` decimals."""

    at_ns: int
    scale: int
    realized: Annotated[Amount, "scaled"]
    unrealized: Annotated[Amount, "scaled"]
    fees: Annotated[Amount, "scaled"]
    equity: Annotated[Amount, "scaled"]


COMMANDS = (SubmitOrder, CancelOrder)
"""What leaves the house, and only after its record is durable."""

REPORTS = (OrderAccepted, OrderRejected, OrderFilled, OrderCanceled, OrderUnknown)
"""What a venue says of our orders."""
