"""Events of a real account: responses to queries, positions, funding, and what the engine derives from them.

Inputs are emitted by a gateway, handled by execution, books and the order manager. The simulated venue emits
responses to changes of orders and of leverage, and funding, too. Times are UTC nanoseconds, sizes exact
integers at the instrument's scale, money at the event's own `scale`.

    GatewayUp -> fills since the last known -> OrderRead ... -> PositionRead ... -> AccountRead (reconciled)

Where a session has accounts at several venues, `venue` says whose an event is; it is "" where there is one
account. Events of an instrument have no such field: the instrument says its venue.
"""

from __future__ import annotations

from typing import Annotated

from engine.events.base import Event
from engine.values import Amount, InstrumentId, Price, Side, Size

__all__ = [
    "AccountRead",
    "CancelRejected",
    "ForeignOrderSeen",
    "FundingPaid",
    "GatewayDown",
    "GatewayUp",
    "LeverageAnswered",
    "Liquidated",
    "MarketHalted",
    "ModifyRejected",
    "OrderModified",
    "OrderRead",
    "PositionDiffers",
    "PositionRead",
    "ScheduleAnswered",
    "TransferSeen",
]

_Scaled = Annotated[Amount, "scaled"]


class GatewayUp(Event, frozen=True, tag="gateway-up"):
    """Input. The gateway is connected to the account's stream. It reads what was missed next."""

    recv_ns: int
    gateway: str
    account: str
    network: str
    venue: str = ""


class GatewayDown(Event, frozen=True, tag="gateway-down"):
    """Input. The account's stream is lost. The account counts as unreconciled from now on."""

    recv_ns: int
    gateway: str
    reason: str
    backoff_ms: int = 0
    venue: str = ""


class OrderRead(Event, frozen=True, tag="order-read"):
    """Input. The venue's response to a query of an order by its client order id.

    `state` is "open", "filled", "canceled", "rejected", or "absent" if the venue does not know the order.
    `venue_ns` is the venue's clock, read before the query: an absent order was absent at that time, and all
    fills up to then have already been reported. `size` is the open size. `triggered`: the price has reached
    the trigger of the order.
    """

    recv_ns: int
    venue_ns: int
    client_order_id: str
    instrument: InstrumentId
    state: str
    venue_order_id: int = 0
    size: Size = 0
    limit_price: Price = 0
    reason: str = ""
    triggered: bool = False

    def leaves_open(self, number: int, proof_ns: int) -> bool:
        """Return whether a change may still arrive that was sent for the order under this number.

        `proof_ns` is that of the change (`ModifyOrder`).
        """
        replaced = 0 < number < self.venue_order_id
        return self.state == "open" and not replaced and self.venue_ns <= proof_ns


class OrderModified(Event, frozen=True, tag="modified"):
    """The venue now works the order with these values, possibly under another `venue_order_id`."""

    recv_ns: int
    venue_ns: int
    client_order_id: str
    instrument: InstrumentId
    venue_order_id: int
    size: Size
    limit_price: Price


class ModifyRejected(Event, frozen=True, tag="modify-rejected"):
    """The venue refuses to modify the order. It may have ended, so it has to be queried."""

    recv_ns: int
    venue_ns: int
    client_order_id: str
    reason: str


class CancelRejected(Event, frozen=True, tag="cancel-rejected"):
    """Input. The venue refuses to cancel the order. It may be filled, or have ended already."""

    recv_ns: int
    venue_ns: int
    client_order_id: str
    reason: str


class PositionRead(Event, frozen=True, tag="position-read"):
    """Input. The account's signed position at the venue at `venue_ns`; `entry` is its average price.

    All fills up to then have already been reported. `rest` is what a spot account holds beyond `size`, which
    is in whole steps of the grid; None if the venue does not say.
    """

    recv_ns: int
    venue_ns: int
    instrument: InstrumentId
    size: Size
    scale: int
    entry: _Scaled
    rest: Annotated[Amount | None, "scaled"] = None


class AccountRead(Event, frozen=True, tag="account-read"):
    """Input. Ends a reconciliation: orders, fills and positions up to `venue_ns` have been reported.

    `unrealized` is the profit of the open positions that `equity` includes; None if the venue does not say.
    """

    recv_ns: int
    venue_ns: int
    gateway: str
    scale: int
    equity: _Scaled
    withdrawable: _Scaled
    open_orders: int
    foreign_orders: int
    unrealized: Annotated[Amount | None, "scaled"] = None
    venue: str = ""


class ForeignOrderSeen(Event, frozen=True, tag="foreign-order"):
    """Input. An open order of the account that this journal did not send."""

    recv_ns: int
    venue_ns: int
    instrument: InstrumentId
    venue_order_id: int
    client_order_id: str
    side: Side
    size: Size
    limit_price: Price


class FundingPaid(Event, frozen=True, tag="funding-paid"):
    """A funding payment. `amount` is in quote currency, negative if the account paid. `rate` is a fraction,
    or money for one unit if the venue's history has it so (`FundingRead.per_unit`).

    An input from a real venue, for the whole account. The simulated venue emits one for each book: `owner`.
    """

    recv_ns: int
    venue_ns: int
    instrument: InstrumentId
    size: Size
    scale: int
    amount: _Scaled
    rate: _Scaled
    owner: str = ""


class Liquidated(Event, frozen=True, tag="liquidated"):
    """The venue liquidated the account, partly or completely. The fills are reported as usual.

    An input from a real venue, derived when the simulated venue does it.
    """

    recv_ns: int
    liquidation_id: int
    scale: int
    notional: _Scaled
    account_value: _Scaled
    venue: str = ""


class TransferSeen(Event, frozen=True, tag="transfer"):
    """Input. Money that went in or out: a deposit, withdrawal or transfer. It is no profit or loss.

    `amount` is signed; `asset` "" is the quote currency. `transfer_id` is the venue's.
    """

    recv_ns: int
    venue_ns: int
    scale: int
    amount: _Scaled
    asset: str
    kind: str
    transfer_id: str
    venue: str = ""


class LeverageAnswered(Event, frozen=True, tag="leverage-answered"):
    """The venue's response to `SetLeverage`."""

    recv_ns: int
    instrument: InstrumentId
    leverage: int
    cross: bool
    accepted: bool
    reason: str = ""


class ScheduleAnswered(Event, frozen=True, tag="schedule-answered"):
    """Input. The venue's response to `ScheduleCancel`."""

    recv_ns: int
    cancel_at_ns: int
    accepted: bool
    reason: str = ""
    venue: str = ""


class PositionDiffers(Event, frozen=True, tag="position-differs"):
    """Derived. The position from the engine's fills (`own`) and the venue's position (`venue`) differ.

    `adopted`: the position was there before the engine, and a strategy takes it over, if configured.
    Otherwise the books follow the venue and the market is halted.
    """

    at_ns: int
    instrument: InstrumentId
    own: Size
    venue: Size
    adopted: bool = False


class MarketHalted(Event, frozen=True, tag="market-halted"):
    """Derived. No new risk on this instrument until an operator resumes. Its open orders are canceled."""

    at_ns: int
    instrument: InstrumentId
    reason: str
