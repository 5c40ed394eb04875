"""Owns the life cycle of orders and is the only emitter of commands.

Turns each approval into `SubmitOrder` with a client order id made of the session and the approval's seq
(the same on replay, never reused), follows the venue's reports, and tells each change of state. Reports
may come doubled or late: a state only moves forward, a fill is counted once by its trade id.
"""

from __future__ import annotations

from engine.actors.base import Actor, Emit, Once, State, handles
from engine.events import (
    ActorFailed,
    CancelOrder,
    CancelRequested,
    EngineHalted,
    OrderAccepted,
    OrderApproved,
    OrderCanceled,
    OrderChanged,
    OrderFilled,
    OrderRejected,
    OrderUnknown,
    SessionStarted,
    SubmitOrder,
)

__all__ = ["Execution", "Order"]


class Order(State):
    """A live order. `state` follows FIX; sizes are integers at the instrument's size scale."""

    strategy: str
    instrument: int
    size: int
    state: str = "PendingNew"
    filled: int = 0


class Execution(Actor):
    """State: the session's id and the live orders by client order id, in the order they were sent."""

    def __init__(self) -> None:
        super().__init__("execution")
        self._session = "0" * 16
        self._orders: dict[str, Order] = {}
        self._fills = Once()

    @property
    def live_orders(self) -> int:
        """How many orders may still fill."""
        return len(self._orders)

    @handles(SessionStarted)
    def begin(self, started: SessionStarted, emit: Emit) -> None:
        """Ids of this session carry its name."""
        self._session = started.session

    @handles(OrderApproved)
    def submit(self, approved: OrderApproved, emit: Emit) -> None:
        """Send an approved order."""
        client_order_id = f"0x{self._session}{self.turn.seq:016x}"
        self._orders[client_order_id] = Order(approved.strategy, approved.instrument, approved.size)
        emit(
            SubmitOrder(
                approved.at_ns,
                client_order_id,
                approved.strategy,
                approved.instrument,
                approved.side,
                approved.size,
                approved.limit_price,
                approved.tif,
                approved.reduce_only,
            )
        )
        self._tell(approved.at_ns, client_order_id, emit)

    @handles(CancelRequested)
    def cancel(self, wish: CancelRequested, emit: Emit) -> None:
        """Cancel a live order of the strategy that asks."""
        order = self._orders.get(wish.client_order_id)
        if order is not None and order.strategy == wish.strategy:
            self._cancel(wish.at_ns, wish.client_order_id, wish.reason, emit)

    @handles(EngineHalted)
    def cancel_all(self, halted: EngineHalted, emit: Emit) -> None:
        """Cancel everything that may still fill."""
        for client_order_id in list(self._orders):
            self._cancel(halted.at_ns, client_order_id, "halted", emit)

    @handles(ActorFailed)
    def cancel_of(self, failed: ActorFailed, emit: Emit) -> None:
        """Cancel the orders of a strategy that failed; all of them when risk itself did."""
        for client_order_id, order in list(self._orders.items()):
            if failed.actor in (order.strategy, "risk"):
                self._cancel(failed.at_ns, client_order_id, f"{failed.actor} failed", emit)

    @handles(OrderAccepted)
    def accept(self, report: OrderAccepted, emit: Emit) -> None:
        """The venue has it."""
        order = self._orders.get(report.client_order_id)
        if order is not None and order.state in ("PendingNew", "Unknown"):
            order.state = "PartiallyFilled" if order.filled else "New"
            self._tell(report.recv_ns, report.client_order_id, emit)

    @handles(OrderFilled)
    def fill(self, report: OrderFilled, emit: Emit) -> None:
        """Count an execution; the last one ends the order."""
        order = self._orders.get(report.client_order_id)
        if order is None or not self._fills.first(report):
            return
        order.filled += report.size
        if order.filled >= order.size:
            self._end(report.recv_ns, report.client_order_id, "Filled", emit)
        else:
            if order.state != "PendingCancel":
                order.state = "PartiallyFilled"
            self._tell(report.recv_ns, report.client_order_id, emit)

    @handles(OrderCanceled)
    def end_canceled(self, report: OrderCanceled, emit: Emit) -> None:
        """The venue no longer works it."""
        if report.client_order_id in self._orders:
            self._end(report.recv_ns, report.client_order_id, "Canceled", emit)

    @handles(OrderRejected)
    def end_rejected(self, report: OrderRejected, emit: Emit) -> None:
        """The venue refused it."""
        if report.client_order_id in self._orders:
            self._end(report.recv_ns, report.client_order_id, "Rejected", emit)

    @handles(OrderUnknown)
    def doubt(self, report: OrderUnknown, emit: Emit) -> None:
        """Its fate is not proved: it stays live until the venue is heard."""
        order = self._orders.get(report.client_order_id)
        if order is not None and order.state != "Unknown":
            order.state = "Unknown"
            self._tell(report.recv_ns, report.client_order_id, emit)

    def _cancel(self, at_ns: int, client_order_id: str, reason: str, emit: Emit) -> None:
        order = self._orders[client_order_id]
        if order.state != "PendingCancel":
            order.state = "PendingCancel"
            emit(CancelOrder(at_ns, client_order_id, order.instrument, reason))
            self._tell(at_ns, client_order_id, emit)

    def _end(self, at_ns: int, client_order_id: str, state: str, emit: Emit) -> None:
        self._orders[client_order_id].state = state
        self._tell(at_ns, client_order_id, emit)
        del self._orders[client_order_id]

    def _tell(self, at_ns: int, client_order_id: str, emit: Emit) -> None:
        order = self._orders[client_order_id]
        emit(
            OrderChanged(
                at_ns,
                client_order_id,
                order.strategy,
                order.instrument,
                order.state,
                order.filled,
                max(0, order.size - order.filled),
            )
        )
