"""Matches accounts' orders with the tape, as Lighter's sequencer would.

Owns what differs from the rules of `adapters/exchange/matching.py`: collateral, the messages of private
channels, stops, which keep their number when they fire, funding, and the end of orders by their time. Numbers
of executions are those of all markets together, and executions of one millisecond differ in their
microseconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import ROUND_UP, Decimal
from typing import Final

from adapters.exchange.matching import Expiry, Shown
from adapters.exchange.matching import Matching as Base
from adapters.exchange.positions import UNIT, worth_of
from adapters.lighter.sandbox.accounts import LEVERAGE, Account
from adapters.lighter.sandbox.orders import MILLION, Execution, Order, order_row, trade_row
from engine.events import FundingRead

__all__ = ["Matching"]

_ENDS: Final[dict[Expiry, str]] = {
    "self-trade": "canceled-self-trade",
    "reduce-only": "canceled-reduce-only",
    "unfilled": "canceled-not-enough-liquidity",
}


class Matching(Base[Account, Order]):
    """Resting and waiting orders of all accounts. `markets` by name, with their numbers in `numbers`."""

    def __init__(
        self, markets: Mapping[str, Shown], numbers: Mapping[str, int], accounts: Sequence[Account]
    ) -> None:
        super().__init__(markets, accounts)
        self._numbers = numbers
        self._trade = 9_000_000
        self._funding = 0
        self._due_ms: dict[int, int] = {}

    # Money.

    def equity(self, account: Account) -> Decimal:
        """Return the collateral with the profit of open positions."""
        return account.collateral + self.unrealized(account)

    def affords(self, account: Account, order: Order | None = None) -> bool:
        """Return whether an account has the margin for its positions and orders."""
        listed = {one.listed.name: one.listed for one in account.orders.values()}
        listed |= {name: held.listed for name, held in account.positions.items()}
        more = [order] if order is not None else []
        listed |= {one.listed.name: one.listed for one in more}
        need = sum(
            (
                self.margin_of(account, name, one, more) / account.leverage.get(name, LEVERAGE)
                for name, one in listed.items()
            ),
            Decimal(0),
        )
        return need <= self.equity(account)

    def fund(self, rate: FundingRead, name: str, now_ms: int) -> None:
        """Pay what a settled rate makes positions pay or get."""
        for account in self._accounts:
            held = account.positions.get(name)
            if held is None or not held.size:
                continue
            self._funding += 1
            fraction = Decimal(int(rate.rate)).scaleb(-rate.scale)
            change = (-worth_of(held.listed, self.mark(name), held.size) * fraction).quantize(UNIT, ROUND_UP)
            account.collateral += change
            size = Decimal(abs(held.size)).scaleb(-held.listed.size_scale)
            account.fundings.append(
                {
                    "timestamp": now_ms // 1000,
                    "market_id": self._numbers[name],
                    "funding_id": self._funding,
                    "change": f"{change:f}",
                    "discount": "0",
                    "rate": f"{fraction:f}",
                    "position_size": f"{size:f}",
                    "position_side": "long" if held.size > 0 else "short",
                }
            )

    # Orders.

    def enter(self, account: Account, order: Order, now_ms: int) -> None:
        """Take a checked order: report it, trade what can be traded, and end or rest the remainder."""
        account.add(order)
        if order.waits:
            order.status = "pending"
            self._report(account, order)
            return
        self._work(account, order, now_ms)
        if order.open and not order.executed:
            self._report(account, order)

    def amend(self, account: Account, order: Order, now_ms: int) -> None:
        """Report an order that was changed in place, and trade what it reaches now."""
        order.updated_ms = now_ms
        self._report(account, order)
        if not order.waits:
            self._work(account, order, now_ms)

    def end(self, account: Account, order: Order, status: str, now_ms: int) -> None:
        """End an order and report it."""
        order.status, order.updated_ms, order.waits = status, now_ms, False
        account.orders.pop(order.number, None)
        self._report(account, order)

    def expire(self, account: Account, order: Order, why: Expiry, now_ms: int) -> None:
        """See `Matching`."""
        self.end(account, order, _ENDS[why], now_ms)

    def expire_due(self, now_ms: int) -> None:
        """End the orders whose time is over, and those of a dead man's switch that is due."""
        for account in self._accounts:
            due = self._due_ms.get(account.index, 0)
            if due and due <= now_ms:
                self.schedule(account, 0)
                self.cancel_all(account, now_ms)
            for order in list(account.orders.values()):
                if order.expires_ms and order.expires_ms <= now_ms:
                    self.end(account, order, "canceled-expired", now_ms)

    def schedule(self, account: Account, at_ms: int) -> None:
        """Set the time at which all orders of an account are canceled; 0 for none."""
        self._due_ms[account.index] = at_ms

    def cancel_all(self, account: Account, now_ms: int, market: int | None = None) -> None:
        """Cancel every order of an account, or those of one market."""
        for order in list(account.orders.values()):
            if market in (None, order.market):
                self.end(account, order, "canceled", now_ms)

    def reached(self, order: Order) -> bool:
        """Return whether the mark has reached a trigger."""
        mark = self.mark(order.listed.name)
        return bool(mark) and order.hit_by(mark)

    def reducible(self, account: Account, order: Order) -> int:
        """Return how much an order can execute: a reduce-only order no more than the position."""
        return self._reducible(account, order)

    def _fire(self, name: str, now_ms: int) -> None:
        for account in self._accounts:
            for order in list(account.orders.values()):
                if order.listed.name == name and order.waits and self.reached(order):
                    order.waits, order.status, order.updated_ms = False, "open", now_ms
                    self._report(account, order)
                    if not order.reduce_only and not self.affords(account):
                        self.end(account, order, "canceled-margin-not-allowed", now_ms)
                    else:
                        self._work(account, order, now_ms)

    # Executions.

    def _execute(
        self, account: Account, order: Order, price: int, size: int, now_ms: int, *, maker: bool
    ) -> None:
        listed, rules = order.listed, order.listed.rules
        worth = worth_of(listed, price, size)
        rate = int(Decimal(rules.maker_fee if maker else rules.taker_fee) * MILLION)
        fee = (worth * rate / MILLION).quantize(Decimal(1).scaleb(-listed.money_scale), ROUND_UP)
        realized = account.position(listed).fill(order.side, size, worth)
        account.collateral += realized - fee
        order.executed += size
        order.worth += worth
        order.updated_ms = now_ms
        self._trade += 1
        time_us = now_ms * 1000 + self._trade % 1000
        one = Execution(self._trade, order, price, size, worth, fee, rate, maker, time_us)
        account.trades.append(one)
        account.send("account_all_trades", {str(order.market): [trade_row(one, account.index)]})
        if not order.left:
            order.status = "filled"
            account.orders.pop(order.number, None)
        self._report(account, order)
        self._expire_reduce_only(account, order, now_ms)

    def _report(self, account: Account, order: Order) -> None:
        account.send("account_all_orders", {str(order.market): [order_row(order, account.index)]})
