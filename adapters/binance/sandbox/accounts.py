"""Accounts of the local exchange: balances, positions, orders and history.

Owns money and its changes. All amounts are exact decimals, rounded to 8 decimals where the venue does. Memory
is bounded: orders, executions and changes of the balance are kept up to `KEPT_MAX` each.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import ROUND_DOWN, ROUND_UP, Decimal
from typing import Any, Final

from adapters.binance.sandbox.orders import Algo, Execution, Order
from engine.events import InstrumentListed

__all__ = ["KEPT_MAX", "UNIT", "Account", "Position", "fee_of", "worth_of"]

KEPT_MAX: Final = 20_000
UNIT: Final = Decimal("0.00000001")
LEVERAGE: Final = 20


@dataclass(slots=True)
class Position:
    """A futures position: signed size at the instrument's scale, and what it cost (signed)."""

    listed: InstrumentListed
    size: int = 0
    cost: Decimal = Decimal(0)
    updated_ms: int = 0

    def fill(self, side: int, size: int, worth: Decimal) -> Decimal:
        """Apply an execution; return the realized profit."""
        realized = Decimal(0)
        closing = min(size, abs(self.size)) if self.size * side < 0 else 0
        if closing:
            part = (self.cost * closing / abs(self.size)).quantize(UNIT, ROUND_UP)
            given = worth * closing / size
            realized = (-side * given - part).quantize(UNIT, ROUND_DOWN)
            self.cost = self.cost - part if closing < abs(self.size) else Decimal(0)
            worth -= given
        self.size += side * size
        if size > closing:
            self.cost += side * worth
        return realized

    def entry(self) -> Decimal:
        """Return the average price at which it was opened."""
        if not self.size:
            return Decimal(0)
        held = Decimal(self.size).scaleb(-self.listed.size_scale)
        return (self.cost / held).quantize(UNIT)


@dataclass(slots=True, eq=False)
class Account:
    """One account: its API key and secret, money and orders. `send` gets each event of its user data."""

    api_key: str
    secret: str
    balances: dict[str, Decimal] = field(default_factory=dict)
    positions: dict[str, Position] = field(default_factory=dict)
    orders: dict[int, Order] = field(default_factory=dict)
    history: dict[int, Order] = field(default_factory=dict)
    algos: dict[int, Algo] = field(default_factory=dict)
    trades: deque[Execution] = field(default_factory=lambda: deque(maxlen=KEPT_MAX))
    income: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=KEPT_MAX))
    leverage: dict[str, int] = field(default_factory=dict)
    hedge: bool = False
    updated_ms: int = 0
    send: Callable[[dict[str, Any]], None] = lambda _: None

    def position(self, listed: InstrumentListed) -> Position:
        """Return the position in an instrument, flat if there is none yet."""
        return self.positions.setdefault(listed.name, Position(listed))

    def balance(self, asset: str) -> Decimal:
        """Return the balance of an asset, what orders hold included."""
        return self.balances.get(asset, Decimal(0))

    def change(self, asset: str, amount: Decimal, now_ms: int) -> None:
        """Change a balance."""
        self.balances[asset] = self.balance(asset) + amount
        self.updated_ms = now_ms

    def note_income(self, row: dict[str, Any]) -> None:
        """Keep a row of the history of the balance."""
        self.income.append(row)

    def add(self, order: Order) -> None:
        """Add an open order."""
        self.orders[order.number] = order
        self.history[order.number] = order
        if len(self.history) > KEPT_MAX:
            oldest = next(iter(self.history))
            if oldest not in self.orders:
                del self.history[oldest]

    def find(self, symbol: str, number: int, client_id: str) -> Order | None:
        """Return an order by number, or the newest by client id."""
        if number:
            order = self.history.get(number)
            return order if order is not None and order.listed.name == symbol else None
        found = [o for o in self.history.values() if o.client_id == client_id and o.listed.name == symbol]
        return found[-1] if found else None

    def find_algo(self, number: int, client_id: str) -> Algo | None:
        """Return a conditional order by number or client id."""
        if number:
            return self.algos.get(number)
        found = [one for one in self.algos.values() if one.client_id == client_id]
        return found[-1] if found else None


def worth_of(listed: InstrumentListed, price: int, size: int) -> Decimal:
    """Return price times size."""
    return Decimal(price * size).scaleb(-listed.price_scale - listed.size_scale)


def fee_of(worth: Decimal, rate: str) -> Decimal:
    """Return a fee, rounded up."""
    return (worth * Decimal(rate)).quantize(UNIT, ROUND_UP)
