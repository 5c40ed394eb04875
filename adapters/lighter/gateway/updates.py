"""The account's stream as reports: acceptances, fills, ends, changes, and stops that fire.

Owns what each row of an order or of an execution means. An end waits until the fills that it counts are
reported. A row may come again and late: an order that ended is not reported as accepted again. Called by the
gateway.
"""

from __future__ import annotations

from collections.abc import Callable

import trio

from adapters.lighter.gateway.account_wire import AccountFrame, OrderRow
from adapters.lighter.gateway.memory import Orders
from adapters.lighter.gateway.reading import Reading, end_reason, is_ended, is_fired
from engine.events import Event, OrderAccepted, OrderCanceled, OrderModified

__all__ = ["Updates"]


class Updates:
    """See the module. `clock` is trio's, by which an end waits for its fills."""

    def __init__(
        self,
        reading: Reading,
        orders: Orders,
        now_ns: Callable[[], int],
        clock: Callable[[], float] = trio.current_time,
    ) -> None:
        self._reading = reading
        self._orders = orders
        self._now_ns = now_ns
        self._clock = clock

    def frame(self, frame: AccountFrame) -> list[Event]:
        """Return the reports of a message: executions first, in the order of their numbers.

        Raises VenueError.
        """
        recv_ns = self._now_ns()
        trades = [row for rows in (frame.trades or {}).values() for row in rows or []]
        fills = [
            fill
            for row in sorted(trades, key=lambda row: row.trade_id)
            for fill in self._reading.fills(row, recv_ns)
        ]
        orders = [row for rows in (frame.orders or {}).values() for row in rows or []]
        reports = [report for row in orders for report in self._order(row, recv_ns)]
        return [*fills, *reports]

    def _order(self, row: OrderRow, recv_ns: int) -> list[Event]:
        listed, name = self._reading.of_market(row.market_index), self._reading.named(row.client_order_index)
        if listed is None or not name or self._orders.ended(name):
            return []
        venue_ns = self._reading.time_ns(row.updated_at or row.timestamp, recv_ns)
        number = row.order_index
        found: list[Event] = []
        if not self._orders.number_of(name):
            found.append(OrderAccepted(recv_ns, venue_ns, name, number))
        if is_fired(row) and self._orders.first_firing(name):
            found = [OrderAccepted(recv_ns, venue_ns, name, number, triggered=True)]
        self._orders.note_number(listed.instrument, number, name)
        price, size = self._reading.shape(row, listed)
        filled, left = self._reading.sizes(row, listed)
        if not is_ended(row):
            if self._orders.changed(name, price, size):
                left = max(0, size - self._orders.filled(name))
                found.append(OrderModified(recv_ns, venue_ns, name, listed.instrument, number, left, price))
            return found
        now = self._clock()
        if row.status == "filled":
            return [*found, *self._orders.await_fills(name, filled, now)]
        end = OrderCanceled(recv_ns, venue_ns, name, listed.instrument, left, end_reason(row))
        return [*found, *self._orders.await_fills(name, filled, now, end)]
