"""An account: its cash, positions, orders and history, in exact integers.

Cash changes only by deposits, realized profit and loss, fees, funding and bought requests, in whole units
(`money.UNIT`). Equity is cash plus the unrealized profit and loss of open positions at the mark. Part of the
cash is set aside as the margin of isolated positions. Memory is bounded: 2,000 ended orders, and 10,000
fills, funding payments and ledger entries each.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from adapters.hyperliquid.rules import LEVERAGE_DEFAULT
from adapters.sandbox.exchange.money import SCALE, UNIT, notional
from adapters.sandbox.exchange.orders import Order
from engine.events import InstrumentListed
from engine.values import power_of_ten

__all__ = ["FILLS_MAX", "ORDERS_MAX", "Account", "Position", "Sample"]

ORDERS_MAX: Final = 2000
FILLS_MAX: Final = 10_000


@dataclass(slots=True)
class Position:
    """A position in one instrument: `size` and `cost` (money) are signed.

    `margin` is the cash set aside for an isolated position. `funding` is what was paid since the position was
    opened, `changed_funding` since its size last changed, `all_funding` in total; negative if received.
    """

    listed: InstrumentListed
    size: int = 0
    cost: int = 0
    margin: int = 0
    funding: int = 0
    changed_funding: int = 0
    all_funding: int = 0

    def fill(self, side: int, size: int, value: int, *, leverage: int = 0) -> int:
        """Apply a fill worth `value`; return the realized profit and loss, rounded down to whole units.

        The cost is averaged. The remainder of the rounding stays in the cost of the remaining position.
        `leverage` is that of an isolated position, whose margin changes with its size; 0 for a cross
        position.
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
            if closing:  # the position reversed, so the old one is closed
                self.cost = self.margin = self.funding = 0
            self.cost += side * value
            if leverage:
                self.margin += -(-value // (leverage * UNIT)) * UNIT
        return realized

    def value(self, price: int) -> int:
        """Return the signed value at a price."""
        return notional(self.listed, price, self.size)

    def unrealized_pnl(self, price: int) -> int:
        """Return the unrealized profit and loss at a price."""
        return self.value(price) - self.cost

    def entry(self) -> int:
        """Return the average entry price, truncated to 2 decimals more than the price scale."""
        if not self.size:
            return 0
        unit = power_of_ten(SCALE - self.listed.money_scale)
        return abs(self.cost) * 100 // (abs(self.size) * unit)


class Sample(NamedTuple):
    """What an account was worth, and the USDC moved into it minus what was moved out, at a time."""

    time_ms: int
    equity: int
    deposited: int
    volume: int


@dataclass(slots=True, eq=False)
class Account:
    """The account of one address. Times are in ms; money has 12 decimals.

    `agents` maps a name ("" for the unnamed agent) to its address and expiry. `leverage` maps an instrument
    to its leverage and whether it is cross. `reserved` is the number of bought requests. `cancel_at_ms` is 0
    if no cancel is scheduled. `schedules` is a UTC day and the number of scheduled cancels that fired on it.
    `deposited` is the USDC moved into the account minus what was moved out.
    """

    address: str
    cash: int = 0
    deposited: int = 0
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
    samples: list[Sample] = field(default_factory=list)

    def position(self, listed: InstrumentListed) -> Position:
        """Return the position in an instrument, created flat if there is none yet."""
        held = self.positions.get(listed.name)
        if held is None:
            held = self.positions[listed.name] = Position(listed)
        return held

    def leverage_of(self, name: str, max_leverage: int) -> tuple[int, bool]:
        """Return the leverage of an instrument and whether it is cross. Default: 20 or the maximum, cross."""
        return self.leverage.get(name, (min(LEVERAGE_DEFAULT, max_leverage), True))

    def add_order(self, order: Order) -> None:
        """Add an open order."""
        self.orders[order.oid] = order
        if order.cloid is not None:
            self.by_cloid[order.cloid] = order

    def archive(self, order: Order) -> None:
        """Move an order that ended, or was rejected, to the history."""
        self.orders.pop(order.oid, None)
        if len(self.history) == ORDERS_MAX:
            oldest = self.history[0]
            if oldest.cloid is not None and self.by_cloid.get(oldest.cloid) is oldest:
                del self.by_cloid[oldest.cloid]
        self.history.append(order)
        if order.cloid is not None:
            self.by_cloid.setdefault(order.cloid, order)

    def find(self, oid: int | str) -> Order | None:
        """Return an open or ended order by its id or client order id."""
        if isinstance(oid, str):
            return self.by_cloid.get(oid)
        return self.orders.get(oid) or next((one for one in self.history if one.oid == oid), None)
