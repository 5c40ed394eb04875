"""Our orders against the tape: who trades with whom, at which price, and what becomes of the rest.

The rules, stated so that nobody has to guess:

- The tape is the market. A taker walks the book that `l2Book` shows, best level first; what was taken of a
  level stays gone until the touch changes. Orders of other accounts stand behind the tape's own size at
  their price, and share the trade's id with the taker.
- A resting order fills as a maker at its own price: wholly when a print goes through it or the other side
  of the touch reaches it; on a print at its price with what is left of the print once the size that stood
  there before it, and the accounts' older orders there, have had theirs.
- Our orders do not move the tape: they are not in the book that is shown, and their executions are no
  prints; an execution on a print has an id of its own.
- Self-trade: the resting order is canceled (`selfTradeCanceled`), the taker goes on.
- A resting order whose account cannot carry the execution is canceled instead (`marginCanceled`).
- A reduce-only order never turns a position: it is cut to it when it comes, when it trades, and while it
  rests; it ends as `reduceOnlyCanceled` when there is nothing left to reduce.
- Triggers go by the mark. A market trigger trades up to its limit price when that lies beyond the trigger,
  else up to 10 % beyond it, which is what the venue's own page allows.

Prices and sizes are integers at the coin's scales, times ms. Nothing awaits. Called by the desk.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from adapters.sandbox.exchange.accounts import Account
from adapters.sandbox.exchange.margin import Margin
from adapters.sandbox.exchange.money import fee_of, notional
from adapters.sandbox.exchange.orders import Order
from adapters.sandbox.exchange.reports import Execution, Reports
from adapters.sandbox.grid import DEPTH, levels
from adapters.sandbox.played import Coin, PlayedMarket
from engine.events import Quote, Trade
from engine.values import BUY

__all__ = ["Matching"]

_SLIPPAGE_BPS: Final = 1000


class Matching:
    """The books of all coins: resting and waiting orders, in the order of their arrival."""

    def __init__(
        self, market: PlayedMarket, accounts: Mapping[str, Account], margin: Margin, reports: Reports
    ) -> None:
        self._market = market
        self._accounts = accounts
        self._margin = margin
        self._reports = reports
        self._resting: dict[str, list[Order]] = {}
        self._waiting: dict[str, list[Order]] = {}
        # What was taken of the tape's levels since the touch last changed, by price.
        self._taken: dict[str, dict[int, int]] = {}

    def crosses(self, order: Order) -> bool:
        """Return whether an order would trade at once."""
        return bool(self._opposite(order))

    def reducible(self, order: Order) -> int:
        """Return how much of an order may trade: all of it, or what there is to reduce."""
        if not order.reduce_only:
            return order.remaining
        size = self._accounts[order.user].position(order.listed).size
        return min(order.remaining, abs(size)) if size * order.side < 0 else 0

    # An order arrives.

    def take(self, order: Order, now_ms: int, liquidation: dict[str, Any] | None = None) -> tuple[int, int]:
        """Trade an order as far as it goes; return (size, size * price) of what was executed."""
        done = worth = 0
        for price, available, maker in self._opposite(order):
            size = self.reducible(order)
            if order.ended or not size:
                break
            if maker is None:
                size = min(size, available)
                taken = self._taken.setdefault(order.listed.name, {})
                taken[price] = taken.get(price, 0) + size
                tid = self._reports.next_trade_id(order.oid, 0)
            else:
                size = self._size_of_maker(maker, order, size, now_ms)
                if not size:
                    continue
                tid = self._reports.next_trade_id(order.oid, maker.oid)
                self._execute(maker, price, size, tid, now_ms, False, liquidation)
            self._execute(order, price, size, tid, now_ms, True, liquidation)
            done += size
            worth += size * price
        return done, worth

    def rest(self, order: Order) -> None:
        """Put an order in the book, behind what stands at its price."""
        order.queue = self._standing(order)
        self._resting.setdefault(order.listed.name, []).append(order)

    def wait(self, order: Order) -> None:
        """Let a trigger order wait for the mark, and tell that it is open."""
        order.waits = "trigger"
        self._waiting.setdefault(order.listed.name, []).append(order)
        self._reports.update(order)

    # The tape goes on.

    def add_trade(self, trade: Trade, coin: Coin) -> None:
        """Fill resting orders that a print reaches."""
        now_ms = trade.venue_ns // 1_000_000
        given = 0
        for order in self._by_priority(coin):
            if order.ended or trade.aggressor == order.side:
                continue
            beyond = (trade.price - order.price) * order.side
            if beyond < 0:
                self._make(order, order.remaining, now_ms)
            elif beyond == 0:
                left = trade.size - order.queue - given
                order.queue = max(0, order.queue - trade.size)
                if left > 0:
                    given += self._make(order, min(left, order.remaining), now_ms)

    def add_quote(self, quote: Quote, coin: Coin) -> None:
        """Fill resting orders that the touch reaches, and fire triggers that the mark has hit."""
        now_ms = quote.venue_ns // 1_000_000
        self._taken.pop(coin.name, None)
        for order in self._by_priority(coin):
            other = quote.ask if order.side == BUY else quote.bid
            if other and (order.price - other) * order.side >= 0 and not order.ended:
                self._make(order, order.remaining, now_ms)
        for order in tuple(self._waiting.get(coin.name, ())):
            if not order.ended and order.hit_by(self._margin.mark(coin.name)):
                self._fire(order, now_ms)

    def _by_priority(self, coin: Coin) -> list[Order]:
        """Return the resting orders, those of the best price first, older before younger."""
        return sorted(self._resting.get(coin.name, ()), key=lambda order: -order.price * order.side)

    def _fire(self, order: Order, now_ms: int) -> None:
        """A trigger is hit: from here on the order is an ordinary one."""
        account = self._accounts[order.user]
        self._waiting[order.listed.name].remove(order)
        order.waits, order.status, order.status_ms = "", "triggered", now_ms
        if order.of_position and account.position(order.listed).size:
            order.size = order.remaining = abs(account.position(order.listed).size)
        size = self.reducible(order)
        if not size:
            self.end(order, "reduceOnlyCanceled", now_ms)
            return
        order.remaining = size
        if not order.reduce_only and not self._margin.affords(account, order):
            self.end(order, "marginCanceled", now_ms)
            return
        self._reports.update(order)
        if order.market:
            self._set_bound(order)
        self.take(order, now_ms)
        if order.ended:
            return
        if order.market:
            self.end(order, "canceled", now_ms)
        else:
            self.rest(order)

    @staticmethod
    def _set_bound(order: Order) -> None:
        """Give a fired market order the worst price it may trade at."""
        if (order.price - order.trigger_price) * order.side > 0:
            return
        order.price = order.listed.bounded_price(order.trigger_price, order.side, _SLIPPAGE_BPS, up=False)

    def _make(self, order: Order, wanted: int, now_ms: int) -> int:
        """Execute a resting order against the tape; return the size."""
        size = self._carried(order, wanted, now_ms)
        if size:
            tid = self._reports.next_trade_id(order.oid, 0)
            self._execute(order, order.price, size, tid, now_ms, False, None)
        return size

    def _size_of_maker(self, maker: Order, taker: Order, wanted: int, now_ms: int) -> int:
        """Return how much a resting order gives a taker; 0 ends what cannot give."""
        if maker.ended:
            return 0
        if maker.user == taker.user:
            self.end(maker, "selfTradeCanceled", now_ms)
            return 0
        return self._carried(maker, wanted, now_ms)

    def _carried(self, order: Order, wanted: int, now_ms: int) -> int:
        """Return how much of a resting order can be executed; end one that its account cannot carry."""
        size = min(wanted, self.reducible(order))
        if not order.reduce_only and not self._margin.may_trade(self._accounts[order.user], order, size):
            self.end(order, "marginCanceled", now_ms)
            return 0
        return size

    # Executions and ends.

    def _execute(
        self,
        order: Order,
        price: int,
        size: int,
        tid: int,
        now_ms: int,
        taker: bool,
        liquidation: dict[str, Any] | None,
    ) -> None:
        """Book an execution of an order, and tell it; the last one ends the order."""
        account = self._accounts[order.user]
        held = account.position(order.listed)
        start = held.size
        value = notional(order.listed, price, size)
        cross = self._margin.is_cross(account, order.listed.name)
        leverage = 0 if cross else self._margin.leverage(account, order.listed.name)
        realized = held.fill(order.side, size, value, leverage=leverage)
        fee = fee_of(value, taker=taker)
        account.cash += realized - fee
        account.volume += value
        order.remaining -= size
        execution = Execution(price, size, now_ms, tid, taker, start, realized, fee, liquidation)
        self._reports.fill(account, order, execution)
        if not order.remaining:
            self.end(order, "filled", now_ms)
        self._shrink(account, order, now_ms)

    def end(self, order: Order, status: str, now_ms: int) -> None:
        """End an order: tell it, forget it here, and what hangs on it."""
        if order.ended:
            return
        for book in (self._resting, self._waiting):
            orders = book.get(order.listed.name, [])
            if order in orders:
                orders.remove(order)
        order.status, order.status_ms = status, now_ms
        self._accounts[order.user].remember(order)
        self._reports.update(order)
        for child in order.children:
            if child.ended:
                continue
            if status != "filled":
                self.end(child, "canceled", now_ms)
            elif child.waits == "parent":
                self.wait(child)
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
            size = account.position(order.listed).size
            if size * order.side >= 0:
                self.end(order, "reduceOnlyCanceled", now_ms)
            elif not order.waits:
                order.remaining = min(order.remaining, abs(size))

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
