"""An account: its money, positions, orders and history, in exact integers; and how `/info` shows it.

Cash changes by realized gains, fees and funding alone; equity is cash and what open positions have gained
at the mark. Margin is cross: what every position and every resting order that could add to one need at the
account's leverage. Memory is bounded: 2,000 ended orders, 10,000 fills.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any, Final

from adapters.sandbox.exchange.money import SCALE, money_text
from adapters.sandbox.exchange.orders import Order
from adapters.sandbox.wire import wire_number
from engine.events import InstrumentListed
from engine.values import power_of_ten

__all__ = ["FILLS_MAX", "ORDERS_MAX", "Account", "Position"]

ORDERS_MAX: Final = 2000
FILLS_MAX: Final = 10_000


@dataclass(slots=True)
class Position:
    """A signed size and what it cost (money, signed). `funding` is what was paid since it was opened."""

    listed: InstrumentListed
    size: int = 0
    cost: int = 0
    funding: int = 0
    all_funding: int = 0

    def fill(self, side: int, size: int, value: int) -> int:
        """Apply an execution worth `value`; return what was realized. Average cost, rounded down once."""
        closing = min(size, abs(self.size)) if self.size * side < 0 else 0
        realized = 0
        if closing:
            released = self.cost * closing // abs(self.size)
            paid = value * closing // size
            realized = -side * paid - released
            self.cost -= released
        self.size += side * size
        self.cost += side * (value - value * closing // size)
        if closing and not self.size:
            self.cost, self.funding = 0, 0
        return realized

    def value(self, price: int) -> int:
        """Return the signed worth at a price."""
        return self.size * price * power_of_ten(SCALE - self.listed.money_scale)

    def entry(self) -> int:
        """Return the average price at 2 decimals more than the coin's."""
        if not self.size:
            return 0
        scale = power_of_ten(SCALE - self.listed.money_scale)
        return abs(self.cost) * 100 // (abs(self.size) * scale)


@dataclass(slots=True, eq=False)
class Account:
    """One address. Times in ms, money with 12 decimals."""

    address: str
    cash: int = 0
    volume: int = 0
    requests: int = 0
    positions: dict[str, Position] = field(default_factory=dict)
    leverage: dict[str, tuple[int, bool]] = field(default_factory=dict)
    orders: dict[int, Order] = field(default_factory=dict)
    by_cloid: dict[str, Order] = field(default_factory=dict)
    history: deque[Order] = field(default_factory=lambda: deque(maxlen=ORDERS_MAX))
    fills: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=FILLS_MAX))
    fundings: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=FILLS_MAX))
    agents: dict[str, tuple[str, int]] = field(default_factory=dict)
    cancel_at_ms: int = 0
    cancels_fired: dict[int, int] = field(default_factory=dict)
    paused_until_ms: int = 0

    def position(self, listed: InstrumentListed) -> Position:
        """Return the position of a coin, flat if there is none."""
        held = self.positions.get(listed.name)
        if held is None:
            held = self.positions[listed.name] = Position(listed)
        return held

    def remember(self, order: Order) -> None:
        """Move an order that ended to the history."""
        self.orders.pop(order.oid, None)
        if len(self.history) == ORDERS_MAX:
            oldest = self.history[0]
            if oldest.cloid is not None and self.by_cloid.get(oldest.cloid) is oldest:
                del self.by_cloid[oldest.cloid]
        self.history.append(order)

    def equity(self, marks: dict[str, int]) -> int:
        """Return cash and the gains of open positions at these marks."""
        return self.cash + sum(
            held.value(marks[name]) - held.cost for name, held in self.positions.items() if held.size
        )

    def used(self, marks: dict[str, int], leverages: dict[str, int]) -> int:
        """Return the margin that open positions need."""
        return sum(
            abs(held.value(marks[name])) // self.leverage_of(name, leverages)
            for name, held in self.positions.items()
            if held.size
        )

    def leverage_of(self, coin: str, leverages: dict[str, int]) -> int:
        """Return the leverage of a coin: what was set, else 20 or the coin's maximum."""
        return self.leverage.get(coin, (min(20, leverages[coin]), True))[0]

    def state(self, marks: dict[str, int], leverages: dict[str, int], now_ms: int) -> dict[str, Any]:
        """Return `clearinghouseState`."""
        equity, used = self.equity(marks), self.used(marks, leverages)
        held = [one for one in self.positions.values() if one.size]
        total = sum(abs(one.value(marks[one.listed.name])) for one in held)
        raw = equity - sum(one.value(marks[one.listed.name]) for one in held)
        maintenance = sum(
            abs(one.value(marks[one.listed.name])) // (2 * leverages[one.listed.name]) for one in held
        )
        summary = {
            "accountValue": money_text(equity),
            "totalNtlPos": money_text(total),
            "totalRawUsd": money_text(raw),
            "totalMarginUsed": money_text(used),
        }
        return {
            "marginSummary": summary,
            "crossMarginSummary": dict(summary),
            "crossMaintenanceMarginUsed": money_text(maintenance),
            "withdrawable": money_text(max(0, equity - used)),
            "assetPositions": [
                {"type": "oneWay", "position": self._position_row(one, marks, leverages)} for one in held
            ],
            "time": now_ms,
        }

    def _position_row(
        self, held: Position, marks: dict[str, int], leverages: dict[str, int]
    ) -> dict[str, Any]:
        name, listed = held.listed.name, held.listed
        value = held.value(marks[name])
        gained = value - held.cost
        leverage = self.leverage_of(name, leverages)
        cross = self.leverage.get(name, (leverage, True))[1]
        used = abs(value) // leverage
        opened = abs(held.cost) // leverage
        kind: dict[str, Any] = {"type": "cross" if cross else "isolated", "value": leverage}
        if not cross:
            kind["rawUsd"] = money_text(used - value)
        return {
            "coin": name,
            "szi": wire_number(held.size, listed.size_scale),
            "leverage": kind,
            "entryPx": wire_number(held.entry(), listed.price_scale + 2),
            "positionValue": money_text(abs(value)),
            "unrealizedPnl": money_text(gained),
            "returnOnEquity": money_text(gained * power_of_ten(SCALE) // opened if opened else 0),
            "liquidationPx": None,
            "marginUsed": money_text(used),
            "maxLeverage": leverages[name],
            "cumFunding": {
                "allTime": money_text(held.all_funding),
                "sinceOpen": money_text(held.funding),
                "sinceChange": money_text(held.funding),
            },
        }
