"""The life cycle of an order, from a strategy's request to the resulting position.

    TargetSet      -> TargetChanged, OrderRequested      strategy -> order manager
    OrderRequested -> OrderApproved | OrderRefused       strategy or order manager -> order manager
    OrderApproved  -> SubmitOrder                        execution, the only emitter of commands
    CancelRequested -> CancelOrder
    ModifyRequested -> ModifyApproved | OrderRefused, then ModifyOrder
    StopRequested, TrailRequested -> ProtectionChanged, TrailChanged ... -> OrderRequested
    SubmitOrder    -> OrderAccepted | OrderRejected -> OrderFilled ... | OrderCanceled     the venue
    OrderFilled    -> FillBooked, PositionChanged, EquityMarked                            books
    any report     -> OrderChanged (execution)

Venue reports carry `recv_ns` and `venue_ns`: they are inputs when a real venue sends them and derived
when the simulated venue does. Prices and sizes are exact integers at the instrument's scales, money at
price scale + size scale.
"""

from __future__ import annotations

from typing import Annotated, Final

from engine.events.account import CancelRejected, ModifyRejected, OrderModified, OrderRead
from engine.events.base import Event
from engine.events.terms import OrderTerms
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
    "QueryAccount",
    "QueryOrder",
    "ScheduleCancel",
    "SetLeverage",
    "StopChanged",
    "StopRequested",
    "SubmitOrder",
    "TrailChanged",
    "TrailRequested",
]


class OrderRequested(Event, frozen=True, tag="request"):
    """A request for an order, of a strategy or of the order manager.

    A strategy's request has the purpose "own" and no role: the order manager divides it into a part that
    closes and a part that opens, and answers each. `children` are the stops that protect what it fills, each
    (kind "sl" or "tp", trigger price, size).
    """

    at_ns: int
    strategy: str
    instrument: InstrumentId
    terms: OrderTerms
    reason: str = ""
    children: tuple[tuple[str, int, int], ...] = ()


class OrderApproved(Event, frozen=True, tag="approve"):
    """The order manager approves the request recorded at `request_seq`, or a part of it.

    Only approved orders are submitted. With real orders an opening is not sent after `fresh_ns`, when the
    price that it was approved on is too old; 0: that price has no age.
    """

    at_ns: int
    request_seq: int
    strategy: str
    instrument: InstrumentId
    terms: OrderTerms
    reason: str = ""
    fresh_ns: int = 0


class OrderRefused(Event, frozen=True, tag="order-refused"):
    """The request recorded at `request_seq`, or a part of it, is refused.

    `limit` names the rule, `reason` the numbers.
    """

    at_ns: int
    request_seq: int
    strategy: str
    instrument: InstrumentId
    side: Side
    size: Size
    limit: str
    reason: str
    reduce_only: bool = False
    role: str = ""
    handle: str = ""
    purpose: str = "own"


class SubmitOrder(Event, frozen=True, tag="place"):
    """Command: place this order. The id is 0x + session (16 hex) + seq of the approval (16 hex).

    An order whose terms have a `parent` is attached to that order and becomes active once it is filled. A
    real venue refuses the order after `expires_ns`; 0 in paper mode.
    """

    at_ns: int
    client_order_id: str
    strategy: str
    instrument: InstrumentId
    terms: OrderTerms
    expires_ns: int = 0
    reason: str = ""


class CancelRequested(Event, frozen=True, tag="cancel-requested"):
    """A request to cancel the orders of a handle (a strategy's), or one order by its id (the manager's)."""

    at_ns: int
    strategy: str
    client_order_id: str
    reason: str = ""
    handle: str = ""


class CancelOrder(Event, frozen=True, tag="cancel"):
    """Command: cancel this order."""

    at_ns: int
    client_order_id: str
    instrument: InstrumentId
    reason: str = ""


class ModifyRequested(Event, frozen=True, tag="modify-requested"):
    """A strategy's request to change the order of a handle to an open `size` at `limit_price`.

    A stop gets the trigger `trigger_price`. 0 leaves a value as it is.
    """

    at_ns: int
    strategy: str
    client_order_id: str
    instrument: InstrumentId
    size: Size
    limit_price: Price
    reason: str = ""
    handle: str = ""
    trigger_price: Price = 0


class ModifyApproved(Event, frozen=True, tag="modify-approved"):
    """Risk approves the change requested at `request_seq`. `fresh_ns`: see `OrderApproved`."""

    at_ns: int
    request_seq: int
    strategy: str
    client_order_id: str
    instrument: InstrumentId
    size: Size
    limit_price: Price
    fresh_ns: int = 0


class ModifyOrder(Event, frozen=True, tag="modify"):
    """Command: change this order to an open `size` at `limit_price`, under the same client order id.

    `proof_ns`: an order that does not show the change after this time of the venue proves that it was not
    carried out; 0 if any reading does, as in days before this rule. `venue_order_id` is the order's number.
    """

    at_ns: int
    client_order_id: str
    instrument: InstrumentId
    side: Side
    size: Size
    limit_price: Price
    tif: str
    reduce_only: bool
    expires_ns: int = 0
    proof_ns: int = 0
    venue_order_id: int = 0


class QueryOrder(Event, frozen=True, tag="query"):
    """Command: query the state of this order at the venue. This resolves an Unknown order."""

    at_ns: int
    client_order_id: str
    instrument: InstrumentId
    attempt: int


class QueryAccount(Event, frozen=True, tag="query-account"):
    """Command: read orders, fills and positions of the account again; ends with an `AccountRead`.

    `venue`: of the account there; "": of every account.
    """

    at_ns: int
    reason: str = ""
    venue: str = ""


class SetLeverage(Event, frozen=True, tag="set-leverage"):
    """Command: use this leverage on an instrument."""

    at_ns: int
    instrument: InstrumentId
    leverage: int
    cross: bool


class ScheduleCancel(Event, frozen=True, tag="schedule-cancel"):
    """Command: have the venue cancel all orders at `cancel_at_ns`, unless replaced before; 0 withdraws it.

    `venue`: as in `QueryAccount`.
    """

    at_ns: int
    cancel_at_ns: int
    venue: str = ""


class StopRequested(Event, frozen=True, tag="stop-requested"):
    """A strategy's request for a stop that closes its position once the price reaches `trigger_price`.

    It closes at market, or at `limit_price`. `kind` is "sl" or "tp". The stop protects at most `size`, and
    never more than the position.
    """

    at_ns: int
    strategy: str
    instrument: InstrumentId
    handle: str
    side: Side
    size: Size
    kind: str
    trigger_price: Price
    limit_price: Price = 0
    group: str = ""
    reason: str = ""


class StopChanged(Event, frozen=True, tag="stop"):
    """A stop or take-profit of a strategy changed, one of a bracket included.

    `state` is "waiting" (for its price or for a position, at the venue or in the engine; emitted again when
    size or trigger change), "firing" (its price was reached, an exit is owed), "fired", "dropped" (`reason`
    says why), or "parked": at the venue while the engine is stopped. `size` is what it protects at most.
    """

    at_ns: int
    strategy: str
    instrument: InstrumentId
    handle: str
    side: Side
    size: Size
    kind: str
    trigger_price: Price
    state: str
    limit_price: Price = 0
    reason: str = ""


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
    """A trailing stop changed. `stop` is its price.

    `state` is "waiting" (for a position), "armed", "firing", "fired", "dropped", or "parked": at the venue
    while the engine is stopped.
    """

    at_ns: int
    strategy: str
    instrument: InstrumentId
    side: Side
    size: Size
    stop: Price
    state: str


class OrderAccepted(Event, frozen=True, tag="accepted"):
    """The venue accepted the order. `triggered`: the price has reached its trigger, so it can fill now."""

    recv_ns: int
    venue_ns: int
    client_order_id: str
    venue_order_id: int
    triggered: bool = False


class OrderRejected(Event, frozen=True, tag="rejected"):
    """The venue refused the order. Final."""

    recv_ns: int
    venue_ns: int
    client_order_id: str
    reason: str


class OrderFilled(Event, frozen=True, tag="filled"):
    """One execution. A positive `fee` is paid, a negative one received. `liquidity` is "maker" or "taker".

    `client_order_id` is "" if the order does not come from this journal. `finer` are the decimals that
    `price` and `fee` have beyond the instrument's. `fee_asset` is the asset of the fee, "" for the quote
    currency; `fee` is at the scale of money in any case. `cause` is "liquidation" or "adl" if the venue
    closed the position, else "". `found` is the account's signed position before it, if the venue says so.
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
    finer: int = 0
    fee_asset: str = ""
    cause: str = ""
    found: Size | None = None


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
    are sums since the account began. Money has `finer` more decimals than the instrument's. `external`: the
    fill was not ordered through the engine.
    """

    at_ns: int
    strategy: str
    instrument: InstrumentId
    size: Size
    cost: Money
    realized: Money
    fees: Money
    finer: int = 0
    funding: Money = 0
    external: bool = False


class EquityMarked(Event, frozen=True, tag="equity"):
    """The account at `scale` decimals: equity = start + adjustments + realized + unrealized - fees + funding.

    `start` is the equity at the start, `adjustments` the sum of deposits, withdrawals and corrections.
    `unvalued` are (asset, amount) for which no price is known: they are not in these numbers.
    """

    at_ns: int
    scale: int
    realized: Annotated[Amount, "scaled"]
    unrealized: Annotated[Amount, "scaled"]
    fees: Annotated[Amount, "scaled"]
    equity: Annotated[Amount, "scaled"]
    funding: Annotated[Amount, "scaled"] = 0
    start: Annotated[Amount, "scaled"] = 0
    adjustments: Annotated[Amount, "scaled"] = 0
    unvalued: tuple[tuple[str, str], ...] = ()


ENDED: Final = ("Filled", "Canceled", "Rejected")
"""The states of `OrderChanged` in which an order no longer works. A late fill may still follow."""

COMMANDS = (SubmitOrder, CancelOrder, ModifyOrder, QueryOrder, SetLeverage, ScheduleCancel, QueryAccount)
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
