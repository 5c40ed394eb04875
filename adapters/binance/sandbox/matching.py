"""Matches accounts' orders with the tape, as Binance would.

Owns what differs from the rules of `adapters/exchange/matching.py`: money of spot and of futures, the events
of user data, and stops. A conditional order fires an order of its own, with another number and another client
id, once the mark or the last price reaches it; a spot stop is an order that waits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal

from adapters.binance.sandbox.accounts import LEVERAGE, Account
from adapters.binance.sandbox.orders import Algo, Execution, Order, algo_event, order_event
from adapters.exchange.matching import Expiry, Shown
from adapters.exchange.matching import Matching as Base
from adapters.exchange.positions import fee_of, worth_of
from engine.events import InstrumentListed
from engine.values import BUY

__all__ = ["Matching"]


class Matching(Base[Account, Order]):
    """Resting and conditional orders of all accounts. `spot`: assets are bought and sold, nothing is owed."""

    def __init__(self, markets: Mapping[str, Shown], accounts: Sequence[Account], *, spot: bool) -> None:
        super().__init__(markets, accounts)
        self._spot = spot
        self._algo = 5_000_000_000
        self._trade = 9_000_000

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
            worth = self.margin_of(account, name, one, [order] if order is not None else [])
            need += worth / account.leverage.get(name, LEVERAGE)
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

    def equity(self, account: Account, listed: InstrumentListed | None = None) -> Decimal:
        """Return the balance in quote currency with the profit of open positions."""
        quote = listed.rules.quote if listed is not None and listed.rules.quote else "USDT"
        return account.balance(quote) + self.unrealized(account)

    # New orders.

    def enter(self, account: Account, order: Order, now_ms: int) -> None:
        """Take a checked order: report it, trade what can be traded, and end or rest the remainder."""
        account.add(order)
        account.send(order_event(order, "NEW", now_ms, spot=self._spot))
        if order.waits:
            return
        self._work(account, order, now_ms)

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

    # Executions and ends.

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
        super()._expire_reduce_only(account, cause, now_ms)
        held = account.position(cause.listed).size
        for algo in list(account.algos.values()):
            same = algo.listed.name == cause.listed.name and algo.status == "NEW" and algo.reduce_only
            if same and held * algo.side >= 0:
                algo.status, algo.updated_ms = "EXPIRED", now_ms
                account.send(algo_event(algo, now_ms))

    def expire(self, account: Account, order: Order, why: Expiry, now_ms: int) -> None:
        """See `Matching`. One that meets an own order ends in the match."""
        if why == "self-trade":
            self.end(account, order, "EXPIRED_IN_MATCH", now_ms)
            return
        order.expiry = "4" if why == "reduce-only" else "2"
        self.end(account, order, "EXPIRED", now_ms)

    def cancel_algo(self, account: Account, algo: Algo, now_ms: int) -> None:
        """Cancel a conditional order that has not fired."""
        algo.status, algo.updated_ms = "CANCELED", now_ms
        account.send(algo_event(algo, now_ms))


def _spot_hit(order: Order, last: int) -> bool:
    rising = (order.side == BUY) == order.kind.startswith("STOP")
    return last >= order.stop_price if rising else last <= order.stop_price
