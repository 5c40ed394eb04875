"""The life cycle of an order, from a strategy's request to the resulting position.

    OrderRequested -> OrderApproved | OrderRefused       strategy or portfolio -> risk
    OrderApproved  -> SubmitOrder                        execution, the only emitter of commands
    CancelRequested -> CancelOrder
    ModifyRequested -> ModifyApproved | OrderRefused, then ModifyOrder
    TrailRequested -> TrailChanged ... -> OrderRequested when the stop is hit         the trailing actor
    SubmitOrder    -> OrderAccepted | OrderRejected -> OrderFilled ... | OrderCanceled     the venue
    any report     -> OrderChanged (execution), PositionChanged and EquityMarked (portfolio)

Venue reports carry `recv_ns` and `venue_ns`: they are inputs when a real venue sends them and derived
when the simulated venue does. Prices and sizes are exact integers at the instrument's scales, money at
price scale + size scale.
"""

from __future__ import annotations

from typing import Annotated, Final

from engine.events.account import CancelRejected, ModifyRejected, OrderModified, OrderRead
from engine.events.base import Event
from engine.values import Amount, InstrumentId, Money, Price, Side, Size

__all__ = [
    "COMMANDS",
    "REPORTS",
    "CancelOrder",
    "CancelRequested",
    "EquityMarked",
    "ModifyApproved",
    "ModifyOrder",
    "ModifyRequested",
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
    "QueryOrder",
    "ScheduleCancel",
    "SetLeverage",
    "SubmitOrder",
    "TrailChanged",
    "TrailRequested",
]


class OrderRequested(Event, frozen=True, tag="order-requested"):
    """A request for an order. `limit_price` 0 is a market order; `tif` is "Gtc", "Ioc" or "Alo" (post only).

    `for_target`: the portfolio requests it to reach a target. `trigger` "sl" or "tp" (stop-loss, take-profit)
    makes the order wait for `trigger_price`. `stop_loss` and `take_profit` are the trigger prices of attached
    orders, which become active once this one is filled; 0 attaches none.
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
    trigger: str = ""
    trigger_price: Price = 0
    stop_loss: Price = 0
    take_profit: Price = 0


class OrderApproved(Event, frozen=True, tag="order-approved"):
    """Risk approves the request recorded at `request_seq`. Only approved orders are submitted."""

    at_ns: int
    request_seq: int
    strategy: str
    instrument: InstrumentId
    side: Side
    size: Size
    limit_price: Price
    tif: str
    reduce_only: bool
    trigger: str = ""
    trigger_price: Price = 0
    stop_loss: Price = 0
    take_profit: Price = 0


class OrderRefused(Event, frozen=True, tag="order-refused"):
    """Risk refuses the request recorded at `request_seq`. `limit` names the rule, `reason` the numbers."""

    at_ns: int
    request_seq: int
    strategy: str
    instrument: InstrumentId
    side: Side
    size: Size
    limit: str
    reason: str
    reduce_only: bool = False


class SubmitOrder(Event, frozen=True, tag="submit"):
    """Command: place this order. The id is 0x + session (16 hex) + seq of the approval (16 hex).

    An order with a `parent` is attached to that order and becomes active once it is filled. The first digit
    of its id after the session is 1 or 2. A real venue refuses the order after `expires_ns`; 0 in paper
    mode.
    """

    at_ns: int
    client_order_id: str
    strategy: str
    instrument: InstrumentId
    side: Side
    size: Size
    limit_price: Price
    tif: str
    reduce_only: bool
    trigger: str = ""
    trigger_price: Price = 0
    parent: str = ""
    expires_ns: int = 0


class CancelRequested(Event, frozen=True, tag="cancel-requested"):
    """A strategy's request to cancel one of its orders."""

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


class ModifyRequested(Event, frozen=True, tag="modify-requested"):
    """A strategy's request to change one of its orders to an open `size` at `limit_price`."""

    at_ns: int
    strategy: str
    client_order_id: str
    instrument: InstrumentId
    size: Size
    limit_price: Price
    reason: str = ""


class ModifyApproved(Event, frozen=True, tag="modify-approved"):
    """Risk approves the change requested at `request_seq`."""

    at_ns: int
    request_seq: int
    strategy: str
    client_order_id: str
    instrument: InstrumentId
    size: Size
    limit_price: Price


class ModifyOrder(Event, frozen=True, tag="modify"):
    """Command: change this order to an open `size` at `limit_price`, under the same client order id."""

    at_ns: int
    client_order_id: str
    instrument: InstrumentId
    side: Side
    size: Size
    limit_price: Price
    tif: str
    reduce_only: bool
    expires_ns: int = 0


class QueryOrder(Event, frozen=True, tag="query"):
    """Command: query the state of this order at the venue. This resolves an Unknown order."""

    at_ns: int
    client_order_id: str
    instrument: InstrumentId
    attempt: int


class SetLeverage(Event, frozen=True, tag="set-leverage"):
    """Command: use this leverage on an instrument."""

    at_ns: int
    instrument: InstrumentId
    leverage: int
    cross: bool


class ScheduleCancel(Event, frozen=True, tag="schedule-cancel"):
    """Command: have the venue cancel all orders at `cancel_at_ns`, unless replaced before; 0 withdraws it."""

    at_ns: int
    cancel_at_ns: int


class TrailRequested(Event, frozen=True, tag="trail-requested"):
    """A request for a trailing stop, kept by the engine: an order for `size` on `side` once the price
    returns by `distance` from its best. A `size` of 0 drops the strategy's stop on that instrument."""

    at_ns: int
    strategy: str
    instrument: InstrumentId
    side: Side
    size: Size
    distance: Price
    reason: str = ""


class TrailChanged(Event, frozen=True, tag="trail"):
    """A trailing stop was "armed", "fired" or "dropped". `stop` is its price."""

    at_ns: int
    strategy: str
    instrument: InstrumentId
    side: Side
    size: Size
    stop: Price
    state: str


class OrderAccepted(Event, frozen=True, tag="accepted"):
    """The venue accepted the order."""

    recv_ns: int
    venue_ns: int
    client_order_id: str
    venue_order_id: int


class OrderRejected(Event, frozen=True, tag="rejected"):
    """The venue refused the order. Final."""

    recv_ns: int
    venue_ns: int
    client_order_id: str
    reason: str


class OrderFilled(Event, frozen=True, tag="filled"):
    """One execution. A positive `fee` is paid, a negative one received. `liquidity` is "maker" or "taker".

    `client_order_id` is "" if the order does not come from this journal.
    """

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
    venue_order_id: int = 0


class OrderCanceled(Event, frozen=True, tag="canceled"):
    """The venue no longer works the order. `remaining` is the unfilled size."""

    recv_ns: int
    venue_ns: int
    client_order_id: str
    instrument: InstrumentId
    remaining: Size
    reason: str


class OrderUnknown(Event, frozen=True, tag="unknown"):
    """It is not known whether the venue has the order. It is queried, never sent again."""

    recv_ns: int
    client_order_id: str
    reason: str


class OrderChanged(Event, frozen=True, tag="order"):
    """The state of an order in the execution actor, after a command or a report.

    `state` follows FIX: PendingNew, New, PartiallyFilled, Filled, PendingCancel, PendingReplace, Canceled,
    Rejected; or it is Unknown.
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
    """The account: equity = cash at start + realized + unrealized - fees + funding, at `scale` decimals."""

    at_ns: int
    scale: int
    realized: Annotated[Amount, "scaled"]
    unrealized: Annotated[Amount, "scaled"]
    fees: Annotated[Amount, "scaled"]
    equity: Annotated[Amount, "scaled"]
    funding: Annotated[Amount, "scaled"] = 0


ENDED: Final = ("Filled", "Canceled", "Rejected")
"""The states of `OrderChanged` in which an order no longer works. A late fill may still follow."""

COMMANDS = (SubmitOrder, CancelOrder, ModifyOrder, QueryOrder, SetLeverage, ScheduleCancel)
"""Commands. They are sent to the venue, but only after their record is durable."""

REPORTS = (
    OrderAccepted,
    OrderRejected,
    OrderFilled,
    OrderCanceled,
    OrderUnknown,
    OrderModified,
    ModifyRejected,
    CancelRejected,
    OrderRead,
)
"""Reports of a venue about the engine's orders."""
