"""What a strategy reads about its own account: fills, orders, funding, positions, in decimal numbers.

A view is made for one call. Prices, sizes and money are float64 (the nearest to the exact value); `event` of
a hook's argument is the exact record.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Literal, cast

import msgspec

from engine.actors.base import State
from engine.events import FillBooked, FundingPaid, InstrumentListed, OrderChanged, OrderRefused, StopChanged
from engine.strategies.literals import OrderState, Purpose, Side, TriggerKind, order_side
from engine.values import InstrumentId, Price, Size, power_of_ten

__all__ = ["Fill", "Funding", "OrderView", "OwnOrder", "Position", "view_order", "view_refused"]


class OwnOrder(State):
    """An own order, stop or request, as an actor keeps it. Prices and sizes are integers; 0 means none.

    `name` is the client order id, "" for what is not an order at the venue.
    """

    instrument: InstrumentId
    side: int
    size: Size
    remaining: Size
    limit: Price = 0
    trigger: str = ""
    trigger_price: Price = 0
    handle: str = ""
    role: str = ""
    purpose: str = "own"
    state: str = "PendingNew"
    reason: str = ""
    name: str = ""
    filled: Size = 0


class Fill(msgspec.Struct, frozen=True, gc=False):
    """A fill in the strategy's position. `market` is the instrument's label.

    `reason` is that of the call which ordered it, "" if none did.
    """

    event: FillBooked
    listed: InstrumentListed
    market: str
    reason: str = ""

    @property
    def side(self) -> Side:
        """ "buy" or "sell"."""
        return order_side(self.event.side)

    @property
    def price(self) -> float:
        """Price in quote currency."""
        return self.event.price / power_of_ten(self.listed.price_scale + self.event.finer)

    @property
    def size(self) -> float:
        """Size in base units."""
        return self.event.size / power_of_ten(self.listed.size_scale)

    @property
    def fee(self) -> float:
        """The fee in `fee_asset`; negative for a rebate."""
        return int(self.event.fee) / power_of_ten(self.listed.money_scale + self.event.finer)

    @property
    def fee_asset(self) -> str:
        """The asset of the fee, "" for the quote currency."""
        return self.event.fee_asset

    @property
    def handle(self) -> str:
        """What the call that ordered it returned; "" for a target's order and a fill from outside."""
        return self.event.handle

    @property
    def client_order_id(self) -> str:
        """The id of the order at the venue; "" for a fill from outside."""
        return self.event.client_order_id

    @property
    def liquidity(self) -> str:
        """ "maker" or "taker"; "" where there was no trade."""
        return self.event.liquidity

    @property
    def purpose(self) -> Purpose:
        """What the order was for: "own" (`buy`, `sell`), "target", "stop", "take", "trail", and so on."""
        return cast("Purpose", self.event.purpose)

    @property
    def closes(self) -> bool:
        """Whether the fill took the position towards 0."""
        return self.event.role == "close"

    @property
    def external(self) -> bool:
        """Whether it was not ordered through the engine: by a person, another program, or the venue."""
        return self.event.external

    @property
    def cause(self) -> str:
        """ "liquidation", "adl", "position read" or "flat" for a fill from outside, else ""."""
        return self.event.cause


class OrderView(msgspec.Struct, frozen=True, gc=False):
    """One of the strategy's own orders or stops.

    `handle` is what the call returned ("" for a target's order). `state` follows FIX: PendingNew, New,
    PartiallyFilled, Filled, PendingReplace, PendingCancel, Canceled, Rejected; or it is Unknown. A stop is
    Waiting for its price or for a position, then Triggered: its exit is an order with the same handle. What
    the engine did not send is Refused: `rule` names the limit and `reason` gives its numbers. `limit` is None
    for a market order, `trigger` "" for an order without a `trigger_price`. `event` is the exact record in
    `on_order`.
    """

    market: str
    handle: str
    client_order_id: str
    side: Side
    state: OrderState
    size: float
    filled: float
    remaining: float
    limit: float | None
    trigger: TriggerKind | Literal[""]
    trigger_price: float | None
    purpose: Purpose
    reason: str
    rule: str = ""
    event: OrderChanged | OrderRefused | StopChanged | None = None

    @property
    def ended(self) -> bool:
        """Whether the order can no longer fill."""
        return self.state in ("Filled", "Canceled", "Rejected", "Refused")


class Funding(msgspec.Struct, frozen=True, gc=False):
    """A funding payment of the account. `market` is the instrument's label."""

    event: FundingPaid
    listed: InstrumentListed
    market: str

    @property
    def amount(self) -> float:
        """Quote currency received; negative when the account paid."""
        return int(self.event.amount) / power_of_ten(self.event.scale)

    @property
    def rate(self) -> float:
        """The funding rate of the payment, a fraction."""
        return int(self.event.rate) / power_of_ten(self.event.scale)


class Position(msgspec.Struct, frozen=True, gc=False):
    """A strategy's own position in a market. It is true unless it is flat.

    `size` is in base units, negative for short; `exact` is the same as a Decimal. `entry` is the average
    price, None when flat. `unrealized` is the profit at `price`, the newest one known, without fees; it is 0
    before any price.
    """

    market: str
    size: float
    exact: Decimal
    entry: float | None
    price: float | None
    unrealized: float

    def __bool__(self) -> bool:
        return bool(self.exact)


def view_order(
    order: OwnOrder, listed: InstrumentListed, market: str, event: OrderChanged | StopChanged | None = None
) -> OrderView:
    """Return the view of an own order."""
    price_unit, size_unit = power_of_ten(listed.price_scale), power_of_ten(listed.size_scale)
    return OrderView(
        market,
        order.handle,
        order.name,
        order_side(order.side),
        cast("OrderState", order.state),
        order.size / size_unit,
        order.filled / size_unit,
        order.remaining / size_unit,
        order.limit / price_unit if order.limit else None,
        cast("TriggerKind | Literal['']", order.trigger),
        order.trigger_price / price_unit if order.trigger_price else None,
        cast("Purpose", order.purpose),
        order.reason,
        event=event,
    )


def view_refused(
    event: OrderRefused, listed: InstrumentListed, market: str, order: OwnOrder | None
) -> OrderView:
    """Return the view of a refusal. `order`: what was asked for, if it is known."""
    price_unit, size_unit = power_of_ten(listed.price_scale), power_of_ten(listed.size_scale)
    return OrderView(
        market,
        event.handle,
        "",
        order_side(event.side),
        "Refused",
        event.size / size_unit,
        0.0,
        event.size / size_unit,
        order.limit / price_unit if order and order.limit else None,
        cast("TriggerKind | Literal['']", order.trigger if order else ""),
        order.trigger_price / price_unit if order and order.trigger_price else None,
        cast("Purpose", event.purpose),
        event.reason,
        event.limit,
        event,
    )
