"""The part of a `Rig` with real orders that plays the venue: it answers commands as the test says."""

from __future__ import annotations

from typing import Any

from engine.events import (
    CancelOrder,
    Event,
    OrderAccepted,
    OrderCanceled,
    OrderFilled,
    OrderModified,
    OrderRead,
    OrderRejected,
    SubmitOrder,
)
from tests.actors.rig_reading import Number, Reading

__all__ = ["Venue"]


class Venue(Reading):
    """Base class of `Rig`. `sent` holds the commands, oldest first."""

    sent: list[Event]
    now_ns: int
    step_ms: int
    _trade_id: int

    def tick(self) -> int:
        """Return the time of the next input."""
        self.now_ns += self.step_ms * 1_000_000
        return self.now_ns

    def send(self, *events: Event) -> None:
        """See `Rig`."""
        raise NotImplementedError

    def accept(self, order: SubmitOrder) -> None:
        """Let the venue accept an order."""
        at_ns = self.tick()
        self.send(OrderAccepted(at_ns, at_ns, order.client_order_id, 1000 + len(self.sent)))

    def triggered(self, order: SubmitOrder) -> None:
        """Let the venue report that an order has reached its trigger price."""
        at_ns = self.tick()
        self.send(OrderAccepted(at_ns, at_ns, order.client_order_id, 1000, triggered=True))

    def reject(self, order: SubmitOrder, reason: str = "no") -> None:
        """Let the venue reject an order."""
        at_ns = self.tick()
        self.send(OrderRejected(at_ns, at_ns, order.client_order_id, reason))

    def fill(self, order: SubmitOrder, size: Number, price: Number) -> None:
        """Let the venue fill an order, or a part of it."""
        self.send(self._fill(order.client_order_id, order.terms.side, size, price, order.instrument, ""))

    def end(self, order: SubmitOrder, reason: str = "canceled") -> None:
        """Let the venue end an order."""
        at_ns = self.tick()
        remaining = self.live(order).left if order.client_order_id in self.manager.live else 0
        self.send(OrderCanceled(at_ns, at_ns, order.client_order_id, order.instrument, remaining, reason))

    def modified(self, order: SubmitOrder, size: Number, limit: Number) -> None:
        """Let the venue confirm a change."""
        at_ns = self.tick()
        values = (self.size(size), self.price(limit))
        self.send(OrderModified(at_ns, at_ns, order.client_order_id, order.instrument, 1, *values))

    def read(self, order: SubmitOrder, state: str, **more: Any) -> None:
        """Let the venue answer a query of an order."""
        at_ns = self.tick()
        self.send(OrderRead(at_ns, at_ns, order.client_order_id, order.instrument, state, **more))

    def placed(self, market: int = 1) -> list[SubmitOrder]:
        """Return the orders sent so far, oldest first."""
        return [one for one in self.sent if isinstance(one, SubmitOrder) and one.instrument == market]

    def newest(self, market: int = 1) -> SubmitOrder:
        """Return the newest order that was sent."""
        return self.placed(market)[-1]

    def stops(self, market: int = 1) -> list[SubmitOrder]:
        """Return the stops that were sent to the venue, oldest first."""
        return [one for one in self.placed(market) if one.terms.trigger]

    def canceled(self) -> list[str]:
        """Return the client order ids of the cancels sent so far."""
        return [one.client_order_id for one in self.sent if isinstance(one, CancelOrder)]

    def _fill(
        self, client_order_id: str, side: int, size: Number, price: Number, market: int, cause: str
    ) -> OrderFilled:
        at_ns = self.tick()
        self._trade_id += 1
        return OrderFilled(
            at_ns,
            at_ns,
            client_order_id,
            market,
            side,
            self.price(price),
            self.size(size),
            0,
            "taker",
            10**6 + self._trade_id,
            cause=cause,
        )
