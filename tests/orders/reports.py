"""What becomes of orders, from cancels, changes and the reports of the venue: a part of the model.

`Reports` is the base of `model.Model`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from engine.events import (
    ENDED,
    CancelOrder,
    CancelRejected,
    CancelRequested,
    ModifyApproved,
    ModifyOrder,
    ModifyRequested,
    OrderAccepted,
    OrderCanceled,
    OrderChanged,
    OrderModified,
    OrderRead,
    OrderRejected,
)
from tests.orders.bookings import Bookings
from tests.orders.facts import OPEN
from tests.orders.ledger import ZERO

__all__ = ["Reports"]


@dataclass
class Reports(Bookings):
    """Orders as commands and reports so far lead to them."""

    owed: set[str] = field(default_factory=set)  # orders whose cancel was requested and not commanded yet
    asked_handles: set[str] = field(default_factory=set)

    def _ask_cancel(self, request: CancelRequested) -> None:
        if request.client_order_id and not request.handle:
            order = self.orders[request.client_order_id]
            if not order.ended and not order.asked:
                order.asked = True
                self.owed.add(order.name)
            return
        self.asked_handles.add(request.handle)
        for order in self.orders.values():
            if request.handle and order.owner == request.strategy and order.role == OPEN:
                order.dropped |= order.handle == request.handle

    def _cancel(self, command: CancelOrder) -> None:
        self.owed.discard(command.client_order_id)
        self.orders[command.client_order_id].asked = True

    def _cancel_rejected(self, report: CancelRejected) -> None:
        order = self.orders.get(report.client_order_id)
        if order is not None:
            order.refused = True

    def _ask_modify(self, request: ModifyRequested) -> None:
        order = self.orders.get(request.client_order_id)
        if order is not None and request.size:
            order.coming = self.listed[order.market].size(request.size)

    def _modify(self, command: ModifyApproved | ModifyOrder) -> None:
        order = self.orders[command.client_order_id]
        order.coming = self.listed[order.market].size(command.size)

    def _modified(self, report: OrderModified) -> None:
        order = self.orders[report.client_order_id]
        # Fills of the changed order may be reported before the change is.
        ahead = (
            order.by_number.get(report.venue_order_id, ZERO) if report.venue_order_id > order.number else ZERO
        )
        order.number = max(order.number, report.venue_order_id)
        order.size = order.filled + self.listed[order.market].size(report.size) - ahead
        order.ended = order.ended or order.filled >= order.size
        order.limit = self.listed[order.market].price(report.limit_price)
        order.coming = None

    def _accepted(self, report: OrderAccepted) -> None:
        """A child that fires ends its parent: what fills of it from now on is no longer wanted."""
        order = self.orders.get(report.client_order_id)
        if order is not None:
            order.number = max(order.number, report.venue_order_id)
        parent = self.orders.get(order.parent) if order is not None and report.triggered else None
        if parent is not None:
            parent.dropped = True

    def _end(self, report: OrderRejected | OrderCanceled) -> None:
        order = self.orders.get(report.client_order_id)
        if order is None:
            return
        if isinstance(report, OrderCanceled):
            # The rest may say that fills are on their way which the end has overtaken.
            order.rest = self.listed[order.market].size(report.remaining)
            order.ended = order.ended or order.size - order.filled <= order.rest
        else:
            order.ended = True

    def _read(self, read: OrderRead) -> None:
        order = self.orders.get(read.client_order_id)
        if order is None:
            return
        order.number = max(order.number, read.venue_order_id)
        # An order that the venue does not know may still arrive until it expires.
        order.absent = read.state == "absent" and read.venue_ns > order.expires_ns
        if read.state == "filled" and order.open:
            order.absent = True  # it is not sure at once that nothing more of it is reported
        elif read.state in ("filled", "canceled", "rejected"):
            order.ended = True
        elif read.state == "open":
            if order.refused:
                order.asked = order.refused = False  # it works after all
            if order.coming is not None:
                order.size = order.filled + self.listed[order.market].size(read.size)
                order.coming = None  # the change was carried out, or was not

    def _changed(self, changed: OrderChanged) -> None:
        order = self.orders[changed.client_order_id]
        if order.absent and changed.state in ENDED:
            order.ended = True
