"""Our orders against the tape: who trades with whom, at which price, and what becomes of the rest.

The rules, stated so that nobody has to guess:

- The tape is the market. A taker walks the book that `l2Book` shows, best level first; what was taken of a
level
  stays gone until the touch changes. Orders of other accounts stand behind the tape's own size at their
  price.
- A resting order fills as a maker at its own price: wholly when a print goes through it or the other side
of the
  touch reaches it; on a print at its price once the size that stood there before it has traded.
- Our orders do not move the tape: they are not in the book that is shown, and their executions are no prints.
- Self-trade: the resting order is canceled (`selfTradeCanceled`), the taker goes on.
- A reduce-only order never turns a position: it is cut to it when it trades, and while it rests; it ends as
  `reduceOnlyCanceled` when there is nothing left to reduce.
- Triggers go by the mark, which is the middle of the touch here.

Prices and sizes are integers at the coin's scales, times ms. Nothing awaits. Called by the desk.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Final

from adapters.sandbox.exchange.accounts import Account
from adapters.sandbox.exchange.money import fee_of, notional
from adapters.sandbox.exchange.orders import Order
from adapters.sandbox.exchange.reports import Reports
from adapters.sandbox.grid import DEPTH, levels
from adapters.sandbox.played import Coin, PlayedMarket
from engine.events import Quote, Trade
from engine.values import BUY, grid_step

__all__ = ["Matching"]

_TRIGGER_SLIPPAGE: Final = 10
"""A triggered market order reaches so many percent beyond its trigger, as the venue's own page sets it."""


class Matching:
    """The books of all coins: resting and waiting orders, in the order of their arrival."""

    def __init__(self, market: PlayedMarket, accounts: Mapping[str, Account], reports: Reports) -> None:
        self._market = market
        self._accounts = accounts
        self._reports = reports
        self._resting: dict[str, list[Order]] = {}
        self._waiting: dict[str, list[Order]] = {}
        self._taken: dict[str, dict[int, int]] = {}

    def mark(self, coin: Coin) -> int:
        """Return the mark: the middle of the touch, the last print without one, 0 before the first."""
        touch = coin.touch
        if touch is not None and touch.bid and touch.ask:
            return (touch.bid + touch.ask) // 2
        return coin.recent[-1].price if coin.recent else 0

    def marks(self) -> dict[str, int]:
        """Return the mark of every coin."""
        return {coin.name: self.mark(coin) for coin in self._market.coins}

    def crosses(self, order: Order) -> bool:
        """Return whether an order would trade at once."""
        return any(True for _ in self._opposite(order))

    # An order arrives.

    def take(self, order: Order, now_ms: int) -> tuple[int, int]:
        """Trade an order as far as it goes; return (size, size * price) of what was executed."""
        done = worth = 0
        for price, available, maker in list(self._opposite(order)):
            size = min(order.remaining, available, self._reducible(order))
            if size <= 0 or order.ended:
                break
            if maker is not None and maker.user == order.user:
                self.end(maker, "selfTradeCanceled", now_ms)
                continue
            tid = self._reports.next_trade_id(order.oid, maker.oid if maker else 0)
            if maker is None:
                taken = self._taken.setdefault(order.listed.name, {})
                taken[price] = taken.get(price, 0) + size
            else:
                size = min(size, self._reducible(maker))
                if size <= 0:
                    continue
                self.execute(maker, price, size, tid, now_ms, taker=False)
            self.execute(order, price, size, tid, now_ms, taker=True)
            done += size
            worth += size * price
        return done, worth

    def rest(self, order: Order) -> None:
        """Put an order in the book, behind what stands at its price."""
        order.queue = self._standing(order)
        self._resting.setdefault(order.listed.name, []).append(order)

    def wait(self, order: Order) -> None:
        """Let a trigger order wait for the mark."""
        order.waits = "trigger"
        self._waiting.setdefault(order.listed.name, []).append(order)

    # The tape goes on.

    def add_trade(self, trade: Trade, coin: Coin) -> None:
        """Fill resting orders that a print reaches."""
        now_ms = trade.venue_ns // 1_000_000
        for order in tuple(self._resting.get(coin.name, ())):
            if order.ended or trade.aggressor == order.side:
                continue
            through = (trade.price - order.price) * order.side
            if through < 0:
                self._make(order, order.remaining, now_ms)
            elif through == 0:
                left = trade.size - order.queue
                order.queue = max(0, order.queue - trade.size)
                if left > 0:
                    self._make(order, min(left, order.remaining), now_ms)

    def add_quote(self, quote: Quote, coin: Coin) -> None:
        """Fill resting orders that the touch reaches, and arm triggers that the mark has hit."""
        now_ms = quote.venue_ns // 1_000_000
        self._taken.pop(coin.name, None)
        for order in tuple(self._resting.get(coin.name, ())):
            other = quote.ask if order.side == BUY else quote.bid
            if other and (order.price - other) * order.side >= 0 and not order.ended:
                self._make(order, order.remaining, now_ms)
        mark = self.mark(coin)
        for order in tuple(self._waiting.get(coin.name, ())):
            rising = (order.side == BUY) == (order.trigger == "sl")
            hit = mark >= order.trigger_price if rising else mark <= order.trigger_price
            if mark and hit and not order.ended:
                self._fire(order, now_ms)

    def _fire(self, order: Order, now_ms: int) -> None:
        """A trigger is hit: from here on the order is an ordinary one."""
        self._waiting[order.listed.name].remove(order)
        order.waits, order.status, order.status_ms = "", "triggered", now_ms
        if not self._reducible(order):
            self.end(order, "reduceOnlyCanceled", now_ms)
            return
        self._reports.update(order)
        if order.market:
            listed = order.listed
            bound = order.trigger_price * (100 + order.side * _TRIGGER_SLIPPAGE) // 100
            step = grid_step(
                bound, scale=listed.price_scale, step=listed.price_step, figures=listed.price_figures
            )
            order.price = max(step, bound // step * step)
        self.take(order, now_ms)
        if order.ended:
            return
        if order.market:
            self.end(order, "canceled", now_ms)
        else:
            self.rest(order)

    def _make(self, order: Order, size: int, now_ms: int) -> None:
        size = min(size, self._reducible(order))
        if size <= 0:
            self.end(order, "reduceOnlyCanceled", now_ms)
            return
        tid = self._reports.next_trade_id(order.oid, 0)
        self.execute(order, order.price, size, tid, now_ms, taker=False)

    # Executions and ends.

    def execute(self, order: Order, price: int, size: int, tid: int, now_ms: int, *, taker: bool) -> None:
        """Book an execution of an order, and tell it; the last one ends the order."""
        account = self._accounts[order.user]
        held = account.position(order.listed)
        before = copy.copy(held)
        value = notional(order.listed, price, size)
        realized = held.fill(order.side, size, value)
        fee = fee_of(value, taker=taker)
        account.cash += realized - fee
        account.volume += value
        order.remaining -= size
        execution = {
            "price": price, "size": size, "time": now_ms, "realized": realized,
            "crossed": taker, "fee": fee, "tid": tid,
        }  # fmt: skip
        self._reports.fill(account, order, before, execution)
        if not order.remaining:
            self.end(order, "filled", now_ms)
        self._shrink(account, order, now_ms)

    def end(self, order: Order, status: str, now_ms: int) -> None:
        """End an order: tell it, forget it here, and what hangs on it."""
        if order.ended:
            return
        name = order.listed.name
        for book in (self._resting, self._waiting):
            if order in book.get(name, ()):
                book[name].remove(order)
        account = self._accounts[order.user]
        order.status, order.status_ms = status, now_ms
        account.remember(order)
        self._reports.update(order)
        if status not in ("canceled", "filled", "scheduledCancel"):
            self._reports.not_by_user(order)
        for child in order.children:
            if child.ended:
                continue
            if status == "filled" and child.waits == "parent":
                self.wait(child)
            elif status != "filled":
                self.end(child, "canceled", now_ms)
        if order.parent is not None and status == "filled":
            for sibling in order.parent.children:
                if sibling is not order:
                    self.end(sibling, "siblingFilledCanceled", now_ms)

    def _shrink(self, account: Account, cause: Order, now_ms: int) -> None:
        """Cut the account's reduce-only orders on a coin to what is left to reduce."""
        for order in list(account.orders.values()):
            if order is cause or order.listed is not cause.listed or not order.reduce_only:
                continue
            if order.ended or order.waits == "parent":
                continue
            left = self._reducible(order)
            if not left:
                self.end(order, "reduceOnlyCanceled", now_ms)
            elif order.remaining > left and not order.waits:
                order.remaining = left
                self._reports.update(order)

    def _reducible(self, order: Order) -> int:
        """Return how much of an order may trade: all of it, or what there is to reduce."""
        if not order.reduce_only:
            return order.remaining
        size = self._accounts[order.user].position(order.listed).size
        return min(order.remaining, abs(size)) if size * order.side < 0 else 0

    # The other side.

    def _opposite(self, order: Order) -> list[tuple[int, int, Order | None]]:
        """Return what an order can trade with: (price, size, whose), best first, the tape's own first."""
        coin = self._market.by_name[order.listed.name]
        found: list[tuple[int, int, Order | None]] = []
        if coin.touch is not None:
            bids, asks = levels(coin.listed, coin.touch, DEPTH)
            taken = self._taken.get(coin.name, {})
            for price, size, _ in asks if order.side == BUY else bids:
                left = size - taken.get(price, 0)
                if left > 0:
                    found.append((price, left, None))
        resting = self._resting.get(coin.name, ())
        found += [(other.price, other.remaining, other) for other in resting if other.side != order.side]
        found.sort(key=lambda one: one[0] * order.side)
        return [one for one in found if (order.price - one[0]) * order.side >= 0]

    def _standing(self, order: Order) -> int:
        """Return the size that stands at an order's price on its own side."""
        coin = self._market.by_name[order.listed.name]
        if coin.touch is None:
            return 0
        bids, asks = levels(coin.listed, coin.touch, DEPTH)
        return sum(size for price, size, _ in (bids if order.side == BUY else asks) if price == order.price)
