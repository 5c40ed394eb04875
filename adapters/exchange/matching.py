"""Matches accounts' orders with the tape: the rules that the exchanges of several venues have.

A taker trades against the levels that the book shows, best first, and what it takes stays taken until the
quote changes. A resting order fills at its own price, wholly when a trade is beyond it or the opposite best
price reaches it, and by the size of trades at its price. Orders of one account do not trade with each other:
the resting one expires. A reduce-only order never reverses a position, and expires when there is nothing left
to reduce. Nothing awaits, nothing is random. A venue's matching derives from it: what an execution does to an
account, how an order ends, and what fires stops.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Final, Generic, Literal, Protocol, TypeVar

from adapters.exchange.positions import Position, worth_of
from engine.events import InstrumentListed
from engine.values import BUY

__all__ = ["Expiry", "Matching", "Shown"]

DEPTH: Final = 20

Expiry = Literal["self-trade", "reduce-only", "unfilled"]
"""Why an order expires by itself."""


class Shown(Protocol):
    """The market data of one instrument. See `adapters.exchange.instruments.InstrumentMarket`."""

    @property
    def listed(self) -> InstrumentListed: ...
    @property
    def mark(self) -> int: ...
    def levels(
        self, depth: int = ...
    ) -> tuple[Sequence[tuple[int, int, int]], Sequence[tuple[int, int, int]]]: ...


class Entered(Protocol):
    """An order. `tif` "IOC" or "FOK" never rests; `waits` for its trigger."""

    listed: InstrumentListed
    side: int
    number: int
    price: int
    tif: str
    reduce_only: bool
    waits: bool

    @property
    def open(self) -> bool: ...
    @property
    def left(self) -> int: ...


_Order = TypeVar("_Order", bound=Entered)


class Holder(Protocol[_Order]):
    """An account. `orders` are the open ones, `history` all that are remembered, by number."""

    orders: dict[int, _Order]
    history: dict[int, _Order]
    positions: dict[str, Position]

    def position(self, listed: InstrumentListed) -> Position: ...


_Account = TypeVar("_Account", bound=Holder)  # type: ignore[type-arg]


class Matching(ABC, Generic[_Account, _Order]):
    """Orders of all accounts. `markets` by name."""

    def __init__(self, markets: Mapping[str, Shown], accounts: Sequence[_Account]) -> None:
        self._markets = markets
        self._accounts = accounts
        self._taken: dict[str, dict[int, int]] = {}
        self._last: dict[str, int] = {}
        self._order = 1_000_000

    # ---- implemented by a venue

    @abstractmethod
    def expire(self, account: _Account, order: _Order, why: Expiry, now_ms: int) -> None:
        """End an order that expires by itself, and report it."""

    @abstractmethod
    def _execute(
        self, account: _Account, order: _Order, price: int, size: int, now_ms: int, *, maker: bool
    ) -> None:
        """Apply an execution to an account and report it; end the order if that was all of it."""

    @abstractmethod
    def _fire(self, name: str, now_ms: int) -> None:
        """Fire the stops of a market that its price has reached."""

    # ---- the same for all

    def next_order(self) -> int:
        """Return the number of the next order."""
        self._order += 1
        return self._order

    def unrealized(self, account: _Account) -> Decimal:
        """Return the profit of open positions at the mark."""
        return sum(
            (
                worth_of(held.listed, self.mark(name), held.size) - held.cost
                for name, held in account.positions.items()
                if held.size
            ),
            Decimal(0),
        )

    def mark(self, name: str) -> int:
        """Return the mark of an instrument, 0 before there is one."""
        return self._markets[name].mark

    def margin_of(
        self, account: _Account, name: str, listed: InstrumentListed, more: Iterable[_Order] = ()
    ) -> Decimal:
        """Return the value that a position can have if the orders of one side fill; `more` are new orders."""
        size = account.position(listed).size
        sides = {1: max(size, 0), -1: max(-size, 0)}
        for other in [*account.orders.values(), *more]:
            if other.listed.name == name and not other.reduce_only:
                sides[other.side] += other.left
        return worth_of(listed, self.mark(name), max(sides.values()))

    def crosses(self, order: _Order) -> bool:
        """Return whether an order would trade at once."""
        return bool(self._opposite(order))

    def _work(self, account: _Account, order: _Order, now_ms: int) -> None:
        for price, available, maker in self._opposite(order):
            if not order.open:
                return
            if maker is not None:
                self.expire(account, maker, "self-trade", now_ms)
                continue
            size = min(available, self._reducible(account, order))
            if not size:
                break
            taken = self._taken.setdefault(order.listed.name, {})
            taken[price] = taken.get(price, 0) + size
            self._execute(account, order, price, size, now_ms, maker=False)
        if order.open and order.reduce_only and not self._reducible(account, order):
            self.expire(account, order, "reduce-only", now_ms)
        elif order.open and order.tif in ("IOC", "FOK"):
            self.expire(account, order, "unfilled", now_ms)

    # The tape.

    def add_trade(self, name: str, price: int, size: int, side: int, now_ms: int) -> None:
        """Fill resting orders that a trade of the tape reaches; fire stops."""
        self._last[name] = price
        given = 0
        for account, order in self._resting(name):
            if order.side == side or not order.open:
                continue
            beyond = (price - order.price) * order.side
            if beyond < 0:
                self._rest_fill(account, order, order.left, now_ms)
            elif beyond == 0 and size > given:
                given += self._rest_fill(account, order, min(size - given, order.left), now_ms)
        self._fire(name, now_ms)

    def add_quote(self, name: str, bid: int, ask: int, now_ms: int) -> None:
        """Fill resting orders that the quote reaches; fire stops."""
        self._taken.pop(name, None)
        for account, order in self._resting(name):
            other = ask if order.side == BUY else bid
            if other and order.open and (order.price - other) * order.side >= 0:
                self._rest_fill(account, order, order.left, now_ms)
        self._fire(name, now_ms)

    def _resting(self, name: str) -> list[tuple[_Account, _Order]]:
        found = [
            (account, order)
            for account in self._accounts
            for order in account.orders.values()
            if order.listed.name == name and not order.waits
        ]
        return sorted(found, key=lambda one: -one[1].price * one[1].side)

    def _rest_fill(self, account: _Account, order: _Order, wanted: int, now_ms: int) -> int:
        size = min(wanted, self._reducible(account, order))
        if size:
            self._execute(account, order, order.price, size, now_ms, maker=True)
        return size

    def _reducible(self, account: _Account, order: _Order) -> int:
        if not order.reduce_only:
            return order.left
        held = account.position(order.listed).size
        return min(order.left, abs(held)) if held * order.side < 0 else 0

    def _expire_reduce_only(self, account: _Account, cause: _Order, now_ms: int) -> None:
        for order in list(account.orders.values()):
            if order is cause or order.listed.name != cause.listed.name or not order.reduce_only:
                continue
            if not self._reducible(account, order):
                self.expire(account, order, "reduce-only", now_ms)

    def _opposite(self, order: _Order) -> list[tuple[int, int, _Order | None]]:
        """Return what an order can trade with, best first: (price, size, own order or None for the tape)."""
        name = order.listed.name
        bids, asks = self._markets[name].levels(DEPTH)
        taken = self._taken.get(name, {})
        found: list[tuple[int, int, _Order | None]] = []
        for price, size, _ in asks if order.side == BUY else bids:
            left = size - taken.get(price, 0)
            if left > 0:
                found.append((price, left, None))
        owner = next((one for one in self._accounts if order.number in one.history), None)
        own = owner.orders.values() if owner is not None else ()
        found += [
            (other.price, other.left, other)
            for other in own
            if other.listed.name == name and other.side != order.side and not other.waits
        ]
        found.sort(key=lambda one: one[0] * order.side)
        return [one for one in found if (order.price - one[0]) * order.side >= 0]
