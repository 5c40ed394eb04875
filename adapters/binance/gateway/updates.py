"""The user data about orders as reports: fills, ends, and stops that fire.

Owns what each kind of update means. An end waits until the fills that it counts are reported. An execution of
an order without an own client id may belong to a stop that fired it: the stops that could have are asked
before it counts as somebody else's. Called by the gateway.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import trio

from adapters.binance.gateway.account_wire import AlgoEvent, ExecutionReport, OrderEvent
from adapters.binance.gateway.dialects import Dialect
from adapters.binance.gateway.memory import Orders
from adapters.binance.gateway.reading import WAITING_NUMBER, Reading, end_reason, is_ended
from adapters.binance.gateway.reconcile import Reconciler
from engine.events import Event, OrderAccepted, OrderCanceled, OrderRejected
from engine.values import BUY, SELL

__all__ = ["Updates"]

_ALGO_ENDS: Final = {"CANCELED": "canceled", "EXPIRED": "expired"}


class Updates:
    """See the module."""

    def __init__(
        self,
        dialect: Dialect,
        reading: Reading,
        orders: Orders,
        reconciler: Reconciler,
        now_ns: Callable[[], int],
    ) -> None:
        self._dialect = dialect
        self._reading = reading
        self._orders = orders
        self._reconciler = reconciler
        self._now_ns = now_ns

    async def order(self, event: ExecutionReport | OrderEvent) -> list[Event]:
        """Return the reports of an update of an order. Raises VenueError."""
        row = event if isinstance(event, ExecutionReport) else event.order
        instrument = self._reading.number(row.symbol)
        if not instrument:
            return []
        original = event.original if isinstance(event, ExecutionReport) else ""
        shown = original or row.client_id
        known = self._orders.name_of(instrument, row.order_id)
        name = known or await self._reconciler.claim(instrument, row.order_id, shown)
        own = self._reading.own(name)
        recv_ns = self._now_ns()
        found: list[Event] = []
        if row.what == "TRADE" and row.trade_id >= 0:
            fill = self._reading.fill(
                row.symbol,
                BUY if row.side == "BUY" else SELL,
                row.last_price,
                row.last_size,
                (row.fee or "0", row.fee_asset or ""),
                row.maker,
                (row.trade_id, row.order_id),
                row.time,
                shown,
                own,
                recv_ns,
            )
            found += [] if fill is None else [fill]
        if not own:
            return found
        venue_ns = self._reading.time_ns(row.time, recv_ns)
        if row.what == "NEW":
            fired = self._orders.fired(own) == row.order_id
            if not self._orders.is_conditional(own) or fired:
                found.append(OrderAccepted(recv_ns, venue_ns, own, row.order_id, fired))
            return found
        if not is_ended(row.status) or self._orders.is_old(own, row.order_id):
            return found
        executed = self._reading.size(instrument, row.executed)
        now = trio.current_time()
        if row.status == "FILLED":
            return [*found, *self._orders.await_fills(own, executed, now)]
        if row.status == "REJECTED":
            reason = event.reason if isinstance(event, ExecutionReport) else "rejected"
            return [*found, *self._orders.end(own, OrderRejected(recv_ns, venue_ns, own, reason))]
        left = max(0, self._reading.size(instrument, row.quantity) - executed)
        expiry = None if isinstance(row, ExecutionReport) else row.expiry
        only = False if isinstance(row, ExecutionReport) else row.reduce_only
        reason = end_reason(row.status, row.tif, reduce_only=only, expiry=expiry)
        end = OrderCanceled(recv_ns, venue_ns, own, instrument, left, reason)
        if self._orders.hold(own, end):
            return found
        return [*found, *self._orders.await_fills(own, executed, now, end)]

    def algo(self, event: AlgoEvent) -> list[Event]:
        """Return the reports of an update of a conditional order."""
        row = event.algo
        instrument, name = self._reading.number(row.symbol), self._reading.own(row.client_id)
        if not instrument or not name:
            return []
        recv_ns = self._now_ns()
        venue_ns = self._reading.time_ns(event.time, recv_ns)
        self._orders.note_conditional(name, instrument, row.fired)
        if row.status in ("TRIGGERING", "TRIGGERED", "FINISHED"):
            return [OrderAccepted(recv_ns, venue_ns, name, row.fired or WAITING_NUMBER, triggered=True)]
        if row.status == "NEW":
            return [OrderAccepted(recv_ns, venue_ns, name, WAITING_NUMBER)]
        if row.status == "REJECTED":
            reason = row.reason or "rejected"
            return self._orders.end(name, OrderRejected(recv_ns, venue_ns, name, reason))
        if row.fired or row.status not in _ALGO_ENDS:
            return []  # The order that it fired has an end of its own.
        left = self._reading.size(instrument, row.quantity)
        end = OrderCanceled(recv_ns, venue_ns, name, instrument, left, _ALGO_ENDS[row.status])
        return self._orders.await_fills(name, 0, trio.current_time(), end)
