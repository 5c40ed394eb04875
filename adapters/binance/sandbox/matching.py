"""Matches accounts' orders with the tape, as Binance would.

The rules: a taker trades against the levels that the book shows, best first, and what it takes stays taken
until the quote changes. A resting order fills at its own price, wholly when a trade is beyond it or the
opposite best price reaches it, and by the size of trades at its price. Orders of one account do not trade
with each other: the resting one expires (EXPIRED_IN_MATCH). A reduce-only order never reverses a position,
and expires when there is nothing left to reduce. A conditional order fires an order of its own, with another
number and another client id, once the mark or the last price reaches it. Nothing awaits, nothing is random.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Final, Protocol

from adapters.binance.sandbox.accounts import LEVERAGE, Account, fee_of, worth_of
from adapters.binance.sandbox.orders import Algo, Execution, Order, algo_event, order_event
from engine.events import InstrumentListed
from engine.values import BUY

__all__ = ["Matching", "Shown"]

DEPTH: Final = 20


class Shown(Protocol):
    """The market data of one instrument. See `adapters.exchange.instruments.InstrumentMarket`."""

    @property
    def listed(self) -> InstrumentListed: ...
    @property
    def mark(self) -> int: ...
    def levels(
        self, depth: int = ...
    ) -> tuple[Sequence[tuple[int, int, int]], Sequence[tuple[int, int, int]]]: ...


class Matching:
    """Resting and conditional orders of all accounts. `spot`: assets are bought and sold, nothing is owed."""

    def __init__(self, markets: Mapping[str, Shown], accounts: Sequence[Account], *, spot: bool) -> None:
        self._markets = markets
        self._accounts = accounts
        self._spot = spot
        self._taken: dict[str, dict[int, int]] = {}
        self._last: dict[str, int] = {}
        self._order = 1_000_000
        self._algo = 5_000_000_000
        self._trade = 9_000_000

    def next_order(self) -> int:
        """Return the number of the next order."""
        self._order += 1
        return self._order

    def next_algo(self) -> int:
        """Return the number of the next conditional order."""
        self._algo += 1
        return self._algo

    # Money.

    def affords(self, account: Account, order: Order | None = None) -> bool:
        """Return whether an account has the margin for its positions and orders, or the balance on spot."""
        if self._spot:
            return order is None or self._has_balance(account, order)
        need = Decimal(0)
        listed = {one.listed.name: one.listed for one in account.orders.values()}
        listed |= {name: held.listed for name, held in account.positions.items()}
        if order is not None:
            listed[order.listed.name] = order.listed
        for name, one in listed.items():
            size = account.position(one).size
            sides = {1: max(size, 0), -1: max(-size, 0)}
            for other in [*account.orders.values(), *([order] if order is not None else [])]:
                if other.listed.name == name and not other.reduce_only:
                    sides[other.side] += other.left
            mark = self.mark(name)
            need += worth_of(one, mark, max(sides.values())) / account.leverage.get(name, LEVERAGE)
        return need <= self.equity(account, next(iter(listed.values()), None))

    def _has_balance(self, account: Account, order: Order) -> bool:
        rules = order.listed.rules
        free = self.free(account, rules.quote if order.side == BUY else rules.base)
        if order.side == BUY:
            return worth_of(order.listed, order.price, order.left) <= free
        return Decimal(order.left).scaleb(-order.listed.size_scale) <= free

    def free(self, account: Account, asset: str) -> Decimal:
        """Return what of an asset no open spot order holds."""
        held = Decimal(0)
        for one in account.orders.values():
            rules = one.listed.rules
            if one.side == BUY and rules.quote == asset:
                held += worth_of(one.listed, one.price, one.left)
            elif one.side != BUY and rules.base == asset:
                held += Decimal(one.left).scaleb(-one.listed.size_scale)
        return account.balance(asset) - held

    def unrealized(self, account: Account) -> Decimal:
        """Return the profit of open positions at the mark."""
        return sum(
            (
                worth_of(held.listed, self.mark(name), held.size) - held.cost
                for name, held in account.positions.items()
                if held.size
            ),
            Decimal(0),
        )

    def equity(self, account: Account, listed: InstrumentListed | None = None) -> Decimal:
        """Return the balance in quote currency with the profit of open positions."""
        quote = listed.rules.quote if listed is not None and listed.rules.quote else "USDT"
        return account.balance(quote) + self.unrealized(account)

    def mark(self, name: str) -> int:
        """Return the mark of an instrument, 0 before there is one."""
        return self._markets[name].mark

    # New orders.

    def crosses(self, order: Order) -> bool:
        """Return whether an order would trade at once."""
        return bool(self._opposite(order))

    def enter(self, account: Account, order: Order, now_ms: int) -> None:
        """Take a checked order: report it, trade what can be traded, and end or rest the remainder."""
        account.add(order)
        account.send(order_event(order, "NEW", now_ms, spot=self._spot))
        if order.waits:
            return
        self._work(account, order, now_ms)

    def _work(self, account: Account, order: Order, now_ms: int) -> None:
        for price, available, maker in self._opposite(order):
            if not order.open:
                return
            if maker is not None:
                self.end(account, maker, "EXPIRED_IN_MATCH", now_ms)
                continue
            size = min(available, self._reducible(account, order))
            if not size:
                break
            taken = self._taken.setdefault(order.listed.name, {})
            taken[price] = taken.get(price, 0) + size
            self._execute(account, order, price, size, now_ms, maker=False)
        if order.open and order.reduce_only and not self._reducible(account, order):
            order.expiry = "4"
            self.end(account, order, "EXPIRED", now_ms)
        elif order.open and order.tif in ("IOC", "FOK"):
            order.expiry = "2"
            self.end(account, order, "EXPIRED", now_ms)

    def amend(self, account: Account, order: Order, now_ms: int) -> None:
        """Report an order that was changed in place, and trade what it reaches now."""
        order.updated_ms = now_ms
        account.send(order_event(order, "AMENDMENT", now_ms, spot=self._spot))
        self._work(account, order, now_ms)

    def wait(self, account: Account, algo: Algo, now_ms: int) -> None:
        """Take a checked conditional order."""
        account.algos[algo.number] = algo
        account.send(algo_event(algo, now_ms))

    def reached(self, one: Algo | Order) -> bool:
        """Return whether the price has reached a trigger already."""
        if isinstance(one, Algo):
            price = self._price(one.listed.name, one.working)
            return bool(price) and one.hit_by(price)
        last = self._last.get(one.listed.name, 0) or self.mark(one.listed.name)
        return bool(last) and _spot_hit(one, last)

    def _price(self, name: str, working: str) -> int:
        last = self._last.get(name, 0)
        return self.mark(name) if working == "MARK_PRICE" or not last else last

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

    def _fire(self, name: str, now_ms: int) -> None:
        for account in self._accounts:
            for algo in list(account.algos.values()):
                if algo.listed.name == name and algo.status == "NEW" and self.reached(algo):
                    self._fire_algo(account, algo, now_ms)
            for order in list(account.orders.values()):
                if order.listed.name == name and order.waits and self.reached(order):
                    order.waits = False
                    self._work(account, order, now_ms)

    def _fire_algo(self, account: Account, algo: Algo, now_ms: int) -> None:
        """Fire a conditional order: what it places has a number and a client id of its own."""
        algo.updated_ms = now_ms
        order = Order(
            self.next_order(),
            f"fired{algo.number}",
            algo.listed,
            algo.side,
            algo.price,
            algo.size,
            algo.tif,
            "LIMIT",
            algo.reduce_only,
            now_ms,
            now_ms,
            algo=algo,
        )
        if algo.reduce_only and not self._reducible(account, order):
            algo.status, algo.reason = "EXPIRED", "ReduceOnly Order is rejected."
        elif not algo.reduce_only and not self.affords(account, order):
            algo.status, algo.reason = "REJECTED", "Margin is insufficient."
        else:
            algo.status = "TRIGGERING"
            account.send(algo_event(algo, now_ms))
            self.enter_fired(account, algo, order, now_ms)
            return
        account.send(algo_event(algo, now_ms))

    def enter_fired(self, account: Account, algo: Algo, order: Order, now_ms: int) -> None:
        """Enter what a conditional order fired; its own update comes after that of the order."""
        algo.fired = order.number
        self.enter(account, order, now_ms)
        if algo.status == "TRIGGERING":
            algo.status = "TRIGGERED"
        account.send(algo_event(algo, now_ms))

    def _resting(self, name: str) -> list[tuple[Account, Order]]:
        found = [
            (account, order)
            for account in self._accounts
            for order in account.orders.values()
            if order.listed.name == name and not order.waits
        ]
        return sorted(found, key=lambda one: -one[1].price * one[1].side)

    def _rest_fill(self, account: Account, order: Order, wanted: int, now_ms: int) -> int:
        size = min(wanted, self._reducible(account, order))
        if size:
            self._execute(account, order, order.price, size, now_ms, maker=True)
        return size

    # Executions and ends.

    def _reducible(self, account: Account, order: Order) -> int:
        if not order.reduce_only:
            return order.left
        held = account.position(order.listed).size
        return min(order.left, abs(held)) if held * order.side < 0 else 0

    def _execute(
        self, account: Account, order: Order, price: int, size: int, now_ms: int, *, maker: bool
    ) -> None:
        rules = order.listed.rules
        worth = worth_of(order.listed, price, size)
        rate = rules.maker_fee if maker else rules.taker_fee
        realized, quote = Decimal(0), rules.quote or "USDT"
        fee, asset = fee_of(worth, rate), quote
        if self._spot:
            base = Decimal(size).scaleb(-order.listed.size_scale)
            if order.side == BUY:
                fee, asset = fee_of(base, rate), rules.base
            account.change(rules.base, order.side * base, now_ms)
            account.change(quote, -order.side * worth, now_ms)
        else:
            held = account.position(order.listed)
            realized = held.fill(order.side, size, worth)
            held.updated_ms = now_ms
            account.change(quote, realized, now_ms)
        account.change(asset, -fee, now_ms)
        order.executed += size
        order.worth += worth
        order.updated_ms = now_ms
        order.status = "FILLED" if not order.left else "PARTIALLY_FILLED"
        self._trade += 1
        one = Execution(self._trade, order, price, size, fee, asset, maker, realized, now_ms)
        account.trades.append(one)
        account.send(order_event(order, "TRADE", now_ms, spot=self._spot, one=one))
        if not order.open:
            self._drop(account, order, now_ms)
        self._expire_reduce_only(account, order, now_ms)

    def end(self, account: Account, order: Order, status: str, now_ms: int, cancel_id: str = "") -> None:
        """End an order and report it."""
        order.status, order.updated_ms = status, now_ms
        self._drop(account, order, now_ms)
        what = status if status in ("CANCELED", "EXPIRED") else "EXPIRED"
        account.send(order_event(order, what, now_ms, spot=self._spot, cancel_id=cancel_id))

    def _drop(self, account: Account, order: Order, now_ms: int) -> None:
        account.orders.pop(order.number, None)
        if order.algo is not None:
            order.algo.status, order.algo.updated_ms = "FINISHED", now_ms
            account.send(algo_event(order.algo, now_ms))

    def _expire_reduce_only(self, account: Account, cause: Order, now_ms: int) -> None:
        if self._spot:
            return
        for order in list(account.orders.values()):
            if order is cause or order.listed.name != cause.listed.name or not order.reduce_only:
                continue
            if not self._reducible(account, order):
                order.expiry = "4"
                self.end(account, order, "EXPIRED", now_ms)
        held = account.position(cause.listed).size
        for algo in list(account.algos.values()):
            same = algo.listed.name == cause.listed.name and algo.status == "NEW" and algo.reduce_only
            if same and held * algo.side >= 0:
                algo.status, algo.updated_ms = "EXPIRED", now_ms
                account.send(algo_event(algo, now_ms))

    def cancel_algo(self, account: Account, algo: Algo, now_ms: int) -> None:
        """Cancel a conditional order that has not fired."""
        algo.status, algo.updated_ms = "CANCELED", now_ms
        account.send(algo_event(algo, now_ms))

    def _opposite(self, order: Order) -> list[tuple[int, int, Order | None]]:
        """Return what an order can trade with, best first: (price, size, own order or None for the tape)."""
        name = order.listed.name
        bids, asks = self._markets[name].levels(DEPTH)
        taken = self._taken.get(name, {})
        found: list[tuple[int, int, Order | None]] = []
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


def _spot_hit(order: Order, last: int) -> bool:
    rising = (order.side == BUY) == order.kind.startswith("STOP")
    return last >= order.stop_price if rising else last <= order.stop_price
