"""A plain exchange with one account: the truth about orders and positions in sessions with real orders.

It matches at the newest price of each market, holds stops, and keeps to reduce-only. Every method returns the
reports that the account's owner should receive, in order; how and when they arrive is the caller's matter
(`wire.py`). Sizes and prices are in steps of the grid.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction

from engine.events import (
    CancelOrder,
    CancelRejected,
    Event,
    ModifyOrder,
    ModifyRejected,
    OrderAccepted,
    OrderCanceled,
    OrderFilled,
    OrderModified,
    OrderRead,
    OrderRejected,
    OrderTerms,
    SubmitOrder,
)
from tests.orders.sequences import PRICE_SCALE, SIZE_SCALE

__all__ = ["Exchange", "Resting"]

BUY = 1


@dataclass
class Resting:
    """An order at the exchange. `state` is open, filled, canceled or rejected."""

    name: str
    market: int
    number: int
    terms: OrderTerms
    left: int
    limit: int
    state: str = "open"
    triggered: bool = False


@dataclass
class Exchange:
    """One account. `depth` is how much one price can fill, by market."""

    cash: Fraction
    now_ns: int = 0
    prices: dict[int, int] = field(default_factory=dict)
    depth: dict[int, int] = field(default_factory=dict)
    positions: dict[int, int] = field(default_factory=dict)
    orders: dict[str, Resting] = field(default_factory=dict)
    trades: int = 0

    def open_orders(self) -> list[Resting]:
        """Return the open orders, oldest first."""
        return [order for order in self.orders.values() if order.state == "open"]

    def submit(self, command: SubmitOrder) -> list[Event]:
        """Take an order: accepted and perhaps filled, or rejected."""
        name, terms = command.client_order_id, command.terms
        assert name not in self.orders, "placed twice"
        order = Resting(
            name, command.instrument, len(self.orders) + 1, terms, terms.size, terms.limit or terms.bound
        )
        self.orders[name] = order
        price = self.prices.get(order.market, 0)
        why = self._reason(order, price)
        if why:
            order.state = "rejected"
            return [OrderRejected(self.now_ns, self.now_ns, name, why)]
        reports: list[Event] = [OrderAccepted(self.now_ns, self.now_ns, name, order.number)]
        parent = self.orders.get(terms.parent)
        if parent is not None and parent.state in ("canceled", "rejected"):
            return [*reports, *self.end(order, "parent canceled")]
        if not terms.trigger:
            reports += self._match(order, price)
        return reports

    def _reason(self, order: Resting, price: int) -> str:
        terms = order.terms
        if not price:
            return "no price"
        if terms.trigger and _reached(terms, price) and not terms.parent:
            return "badTriggerPx"
        if terms.reduce_only and not terms.trigger and not self._reducible(order):
            return "reduceOnlyRejected"
        if terms.tif == "Alo" and terms.limit and (terms.limit - price) * terms.side >= 0:
            return "badAloPx"
        return ""

    def cancel(self, command: CancelOrder) -> list[Event]:
        """Cancel an order, or say that it has ended."""
        order = self.orders.get(command.client_order_id)
        if order is None or order.state != "open":
            why = "never placed, canceled or filled"
            return [CancelRejected(self.now_ns, self.now_ns, command.client_order_id, why)]
        return self.end(order, "canceled")

    def end(self, order: Resting, reason: str) -> list[Event]:
        """End an order for a reason of the exchange's own, or of a person's."""
        order.state = "canceled"
        report = OrderCanceled(self.now_ns, self.now_ns, order.name, order.market, order.left, reason)
        reports: list[Event] = [report]
        for child in self.open_orders():
            if child.terms.parent == order.name:
                reports += self.end(child, "parent canceled")
        return reports

    def modify(self, command: ModifyOrder) -> list[Event]:
        """Change an order's open size and limit."""
        order = self.orders.get(command.client_order_id)
        if order is None or order.state != "open":
            why = "Cannot modify canceled or filled order"
            return [ModifyRejected(self.now_ns, self.now_ns, command.client_order_id, why)]
        order.left, order.limit = command.size, command.limit_price
        order.number = len(self.orders) + 1000 + self.trades
        changed = OrderModified(
            self.now_ns, self.now_ns, order.name, order.market, order.number, order.left, order.limit
        )
        return [changed, *self._match(order, self.prices[order.market])]

    def read(self, name: str, instrument: int) -> OrderRead:
        """Return the state of an order. All its fills must have been reported before."""
        order = self.orders.get(name)
        if order is None:
            return OrderRead(self.now_ns, self.now_ns, name, instrument, "absent")
        return OrderRead(
            self.now_ns,
            self.now_ns,
            name,
            order.market,
            order.state,
            order.number,
            order.left,
            order.limit,
            triggered=order.triggered,
        )

    def move(self, market: int, price: int, depth: int) -> list[Event]:
        """The price of a market moves: stops fire, orders fill."""
        self.prices[market], self.depth[market] = price, depth
        reports: list[Event] = []
        for order in self.open_orders():
            if order.market != market or order.state != "open":
                continue
            if self._is_waiting(order):
                continue
            if order.terms.trigger and not order.triggered:
                if not _reached(order.terms, price):
                    continue
                order.triggered = True
            reports += self._match(order, price)
        return reports

    def others(self, market: int, side: int, size: int, cause: str = "") -> list[Event]:
        """Somebody else trades on the account, or the exchange closes its position (`cause`)."""
        return [self._fill("", market, side, self.prices[market], size, 0, cause), *self._cut(market)]

    def equity(self) -> Fraction:
        """Return the cash and the value of the positions at the newest prices."""
        held = ((market, size) for market, size in self.positions.items() if size)
        return self.cash + sum(Fraction(size * self.prices[market], _unit(market)) for market, size in held)

    def _match(self, order: Resting, price: int) -> list[Event]:
        """Fill what can be filled at a price. What is immediate ends with what it did not get."""
        terms, reports = order.terms, []
        worst = order.limit
        fits = not worst or (worst - price) * terms.side >= 0
        size = min(order.left, self.depth.get(order.market, order.left)) if fits else 0
        if terms.reduce_only:
            size = min(size, self._reducible(order))
        if size:
            order.left -= size
            if not order.left:
                order.state = "filled"
            reports.append(self._fill(order.name, order.market, terms.side, price, size, order.number, ""))
        if order.state == "open" and terms.reduce_only and not self._reducible(order):
            reports += self.end(order, "reduceOnlyCanceled")
        elif order.state == "open" and (not terms.limit or terms.tif == "Ioc"):
            reports += self.end(order, "iocCancelRejected")
        return reports + (self._cut(order.market) if size else [])

    def _fill(
        self, name: str, market: int, side: int, price: int, size: int, number: int, cause: str
    ) -> OrderFilled:
        self.positions[market] = self.positions.get(market, 0) + side * size
        self.trades += 1
        fee = price * size // 2000
        self.cash -= Fraction(side * price * size + fee, _unit(market))
        return OrderFilled(
            self.now_ns,
            self.now_ns,
            name,
            market,
            side,
            price,
            size,
            fee,
            "taker",
            self.trades,
            number,
            cause=cause,
        )

    def _is_waiting(self, order: Resting) -> bool:
        """Return whether an order is attached to one that is not filled yet."""
        parent = self.orders.get(order.terms.parent)
        return parent is not None and parent.state == "open"

    def _cut(self, market: int) -> list[Event]:
        """End reduce-only orders that have nothing left to reduce."""
        reports: list[Event] = []
        for order in self.open_orders():
            idle = order.market != market or self._is_waiting(order)
            if not idle and order.terms.reduce_only and not self._reducible(order):
                reports += self.end(order, "reduceOnlyCanceled")
        return reports

    def _reducible(self, order: Resting) -> int:
        held = self.positions.get(order.market, 0)
        return max(0, -held * order.terms.side)


def _unit(market: int) -> int:
    """Return how many steps of money one unit of the quote currency has."""
    return int(10 ** (PRICE_SCALE[market] + SIZE_SCALE[market]))


def _reached(terms: OrderTerms, price: int) -> bool:
    """Return whether a price has reached the trigger of an order."""
    falls = (terms.side == BUY) == (terms.trigger == "tp")
    return price <= terms.trigger_price if falls else price >= terms.trigger_price
