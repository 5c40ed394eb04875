"""Accounts of Lighter's protocol on the local exchange: keys, collateral, positions, orders and history.

Owns money and its changes, and the number that each key's next transaction has. All amounts are exact
decimals of USDC. Memory is bounded: ended orders, executions and payments are kept up to `KEPT_MAX` each.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from adapters.exchange.positions import Position
from adapters.lighter.sandbox.orders import Execution, Order
from adapters.lighter.schnorr import PublicKey, from_bytes
from engine.errors import UsageError
from engine.events import InstrumentListed

__all__ = ["KEPT_MAX", "LEVERAGE", "Account", "Key", "accounts_of"]

KEPT_MAX: Final = 20_000
LEVERAGE: Final = 20
_DIGITS: Final = 80


@dataclass(slots=True)
class Key:
    """An API key: its public part as text and as a checker, and its next nonce."""

    public: str
    checker: PublicKey
    nonce: int = 1


@dataclass(slots=True, eq=False)
class Account:
    """One account. `send` gets each message of its private channels: channel, then what it holds."""

    index: int
    keys: dict[int, Key]
    collateral: Decimal
    positions: dict[str, Position] = field(default_factory=dict)
    orders: dict[int, Order] = field(default_factory=dict)
    history: dict[int, Order] = field(default_factory=dict)
    trades: deque[Execution] = field(default_factory=lambda: deque(maxlen=KEPT_MAX))
    fundings: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=KEPT_MAX))
    transfers: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=KEPT_MAX))
    leverage: dict[str, int] = field(default_factory=dict)
    unified: bool = False
    send: Callable[[str, dict[str, Any]], None] = lambda _, __: None

    def position(self, listed: InstrumentListed) -> Position:
        """Return the position in an instrument, flat if there is none yet."""
        return self.positions.setdefault(listed.name, Position(listed))

    def add(self, order: Order) -> None:
        """Add an order."""
        self.orders[order.number] = order
        self.history[order.number] = order
        if len(self.history) > KEPT_MAX:
            oldest = next(iter(self.history))
            if oldest not in self.orders:
                del self.history[oldest]

    def find(self, index: int) -> Order | None:
        """Return an open order by its number or its client index."""
        order = self.orders.get(index)
        if order is not None or not index:
            return order
        return next((one for one in self.orders.values() if one.client_index == index), None)


def accounts_of(given: Sequence[tuple[str, str]]) -> list[Account]:
    """Return the accounts of `--account ACCOUNT:KEY:PUBLIC:AMOUNT` options. Raises UsageError."""
    found: dict[int, Account] = {}
    for text, amount in given:
        index, _, rest = text.partition(":")
        number, _, public = rest.partition(":")
        try:
            digits = public.removeprefix("0x")
            if len(digits) != _DIGITS:
                raise ValueError
            key = Key("0x" + digits.lower(), PublicKey(from_bytes(bytes.fromhex(digits))))
            account = found.setdefault(int(index), Account(int(index), {}, Decimal(amount)))
            account.keys[int(number)] = key
        except (ValueError, InvalidOperation):
            raise UsageError(
                "--account is ACCOUNT:KEY:PUBLIC:AMOUNT: the numbers of an account and of its API key, the "
                "public part of the key (0x and 80 hex digits), and USDC"
            ) from None
    return list(found.values())
