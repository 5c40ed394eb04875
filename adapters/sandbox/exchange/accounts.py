"""An account: its money, positions, orders and history, in exact integers.

Cash changes by realized gains, fees and funding alone, always by whole units (`money.UNIT`); equity is cash
and what open positions have gained at the mark. An isolated position has a part of the cash set aside. Memory
is bounded: 2,000 ended orders, 10,000 fills, fundings and ledger entries.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any, Final

from adapters.sandbox.exchange.money import SCALE, UNIT, notional
from adapters.sandbox.exchange.orders import Order
from engine.events import InstrumentListed
from engine.values import power_of_ten

__all__ = ["FILLS_MAX", "ORDERS_MAX", "Account", "Position"]

ORDERS_MAX: Final = 2000
FILLS_MAX: Final = 10_000
_LEVERAGE_DEFAULT: Final = 20


@dataclass(slots=True)
class Position:
    """A signed size and what it cost (money, signed).

    `margin` is the cash set aside for it when it is isolated. `funding` was paid since it was opened,
    `changed_funding` since its size last changed, `all_funding` ever; negative when more was received.
    """

    listed: InstrumentListed
    size: int = 0
    cost: int = 0
    margin: int = 0
    funding: int = 0
    changed_funding: int = 0
    all_funding: int = 0

    def fill(self, side: int, size: int, value: int, *, leverage: int = 0) -> int:
        """Apply an execution worth `value`; return what was realized, cut to whole units.

        Costs are averaged; what cutting leaves stays in the cost of the rest. `leverage` is that of an
        isolated position, whose margin grows and shrinks with it; 0 for a cross one.
        """
        closing = min(size, abs(self.size)) if self.size * side < 0 else 0
        realized = 0
        if closing:
            held = abs(self.size)
            closed_value = value * closing // size
            realized = (-side * closed_value * held - self.cost * closing) // (held * UNIT) * UNIT
            self.cost += side * closed_value + realized
            self.margin -= self.margin * closing // (held * UNIT) * UNIT
            value -= closed_value
        self.size += side * size
        self.changed_funding = 0
        if size == closing and not self.size:
            self.cost = self.margin = self.funding = 0
        elif size > closing:
            if closing:  # it turned: what was held is gone
                self.cost = self.margin = self.funding = 0
            self.cost += side * value
            if leverage:
                self.margin += -(-value // (leverage * UNIT)) * UNIT
        return realized

    def value(self, price: int) -> int:
        """Return the signed worth at a price."""
        return notional(self.listed, price, self.size)

    def gain(self, price: int) -> int:
        """Return what it has gained at a price."""
        return self.value(price) - self.cost

    def entry(self) -> int:
        """Return the average price, cut at 2 decimals more than the coin's."""
        if not self.size:
            return 0
        unit = power_of_ten(SCALE - self.listed.money_scale)
        return abs(self.cost) * 100 // (abs(self.size) * unit)


@dataclass(slots=True, eq=False)
class Account:
    """One address. Times in ms, money with 12 decimals.

    `agents` maps a name ("" for the one without) to an address and the time it ends; `leverage` a coin to
    its leverage and whether it is cross. `reserved` requests were bought. `cancel_at_ms` is 0 when no cancel
    is scheduled; `schedules` is a UTC day and how many of them have fired in it.
    """

    address: str
    cash: int = 0
    volume: int = 0
    requests: int = 0
    reserved: int = 0
    paused_until_ms: int = 0
    positions: dict[str, Position] = field(default_factory=dict)
    leverage: dict[str, tuple[int, bool]] = field(default_factory=dict)
    orders: dict[int, Order] = field(default_factory=dict)
    by_cloid: dict[str, Order] = field(default_factory=dict)
    history: deque[Order] = field(default_factory=lambda: deque(maxlen=ORDERS_MAX))
    fills: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=FILLS_MAX))
    fundings: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=FILLS_MAX))
    ledger: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=FILLS_MAX))
    agents: dict[str, tuple[str, int]] = field(default_factory=dict)
    cancel_at_ms: int = 0
    schedules: tuple[int, int] = (0, 0)

    def position(self, listed: InstrumentListed) -> Position:
        """Return the position of a coin, flat if there is none."""
        held = self.positions.get(listed.name)
        if held is None:
            held = self.positions[listed.name] = Position(listed)
        return held

    def leverage_of(self, coin: str, highest: int) -> tuple[int, bool]:
        """Return the leverage of a coin and whether it is cross: what was set, else 20 or the highest."""
        return self.leverage.get(coin, (min(_LEVERAGE_DEFAULT, highest), True))

    def take_up(self, order: Order) -> None:
        """Add an order that works."""
        self.orders[order.oid] = order
        if order.cloid is not None:
            self.by_cloid[order.cloid] = order

    def remember(self, order: Order) -> None:
        """Move an order that ended, or never worked, to the history."""
        self.orders.pop(order.oid, None)
        if len(self.history) == ORDERS_MAX:
            oldest = self.history[0]
            if oldest.cloid is not None and self.by_cloid.get(oldest.cloid) is oldest:
                del self.by_cloid[oldest.cloid]
        self.history.append(order)
        if order.cloid is not None:
            self.by_cloid.setdefault(order.cloid, order)

    def find(self, oid: int | str) -> Order | None:
        """Return an order by its id or client id, ended ones too."""
        if isinstance(oid, str):
            return self.by_cloid.get(oid)
        return self.orders.get(oid) or next((one for one in self.history if one.oid == oid), None)
