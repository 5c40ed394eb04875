"""Accounts of the local exchange: balances, positions, orders and history.

Owns money and its changes. All amounts are exact decimals, rounded to 8 decimals where the venue does. Memory
is bounded: orders, executions and changes of the balance are kept up to `KEPT_MAX` each.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

from adapters.binance.sandbox.orders import Algo, Execution, Order
from adapters.exchange.positions import Position
from engine.events import InstrumentListed

__all__ = ["KEPT_MAX", "LEVERAGE", "Account"]

KEPT_MAX: Final = 20_000
LEVERAGE: Final = 20


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
