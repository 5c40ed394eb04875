"""The matching engine: matches the accounts' orders with the tape and with each other.

The rules:

- The tape is the market data. A taker order trades against the book that `l2Book` shows, best level first.
  Size
  taken from a level stays gone until the quote changes. Orders of other accounts queue behind the tape's size
  at their price. Both sides of a trade between accounts have the same trade id.
- A resting order fills as maker at its own price. It fills completely when a tape trade is beyond its price
  or the opposite best price reaches it. A tape trade at its price fills it with what remains of the trade
  after the size that stood at that price before the order, and after older orders of the accounts.
- Orders of accounts do not affect the tape: they are not in the book shown, and their fills are not in the
  trades stream. A fill against a tape trade has its own trade id.
- Self-trade: the resting order is canceled (`selfTradeCanceled`) and the taker order continues.
- A resting order whose account lacks the margin for a fill is canceled (`marginCanceled`).
- A reduce-only order never reverses a position. Its size is reduced to that of the position when it arrives,
  trades or rests; it ends as `reduceOnlyCanceled` when there is nothing left to reduce.
- Triggers compare with the mark. A triggered market order trades up to its limit price if that is beyond the
  trigger price, else up to 10 % beyond the trigger price, as the venue documents.

Prices and sizes are integers at the instrument's scales; times are in ms. Nothing awaits. Called by the
exchange, order entry and liquidation.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from adapters.exchange.grid import DEPTH, levels
from adapters.sandbox.exchange.accounts import Account
from adapters.sandbox.exchange.margin import Margin
from adapters.sandbox.exchange.money import fee_of, notional
from adapters.sandbox.exchange.orders import Order
from adapters.sandbox.exchange.reports import Execution, Reports
from adapters.sandbox.market_state import InstrumentState, MarketState
from engine.events import Quote, Trade
from engine.values import BUY

__all__ = ["MatchingEngine"]

_SLIPPAGE_BPS: Final = 1000


class MatchingEngine:
    """Resting and trigger orders of all instruments, in the order of their arrival."""

    def __init__(
        self, market: MarketState, accounts: Mapping[str, Account], margin: Margin, reports: Reports
    ) -> None:
        self._market = market
        self._accounts = accounts
        self._margin = margin
        self._reports = reports
        self._resting: dict[str, list[Order]] = {}
        self._waiting: dict[str, list[Order]] = {}
        # Size taken from the tape's levels since the quote last changed, by price.
        self._taken: dict[str, dict[int, int]] = {}

    def crosses(self, order: Order) -> bool:
        """Return whether an order would trade immediately."""
        return bool(self._opposite(order))

    def reducible(self, order: Order) -> int:
        """Return how much of an order may trade: all that remains, or what a reduce-only order can reduce."""
        if not order.reduce_only:
            return order.remaining
        size = self._accounts[order.user].position(order.listed).size
        return min(order.remaining, abs(size)) if size * order.side < 0 else 0

    # New orders.

    def take(self, order: Order, now_ms: int, liquidation: dict[str, Any] | None = None) -> tuple[int, int]:
        """Execute a taker order as far as possible; return the executed (size, size * price)."""
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
                size = self._maker_size(maker, order, size, now_ms)
                if not size:
                    continue
                tid = self._reports.next_trade_id(order.oid, maker.oid)
                self._execute(maker, price, size, tid, now_ms, False, liquidation)
            self._execute(order, price, size, tid, now_ms, True, liquidation)
            done += size
            worth += size * price
        return done, worth

    def rest(self, order: Order) -> None:
        """Put an order in the book, behind the size at its price."""
        order.queue = self._standing(order)
        self._resting.setdefault(order.listed.name, []).append(order)

    def wait(self, order: Order) -> None:
        """Add a trigger order that waits for the mark, and report it as open."""
        order.waits = "trigger"
        self._waiting.setdefault(order.listed.name, []).append(order)
        self._reports.update(order)

    # Tape events.

    def add_trade(self, trade: Trade, instrument: InstrumentState) -> None:
        """Fill the resting orders that a trade reaches."""
        now_ms = trade.venue_ns // 1_000_000
        given = 0
        for order in self._by_priority(instrument):
            if order.ended or trade.aggressor == order.side:
                continue
            beyond = (trade.price - order.price) * order.side
            if beyond < 0:
                self._fill_resting(order, order.remaining, now_ms)
            elif beyond == 0:
                left = trade.size - order.queue - given
                order.queue = max(0, order.queue - trade.size)
                if left > 0:
                    given += self._fill_resting(order, min(left, order.remaining), now_ms)

    def add_quote(self, quote: Quote, instrument: InstrumentState) -> None:
        """Fill the resting orders that the quote reaches, and activate triggers that the mark reaches."""
        now_ms = quote.venue_ns // 1_000_000
        self._taken.pop(instrument.name, None)
        for order in self._by_priority(instrument):
            other = quote.ask if order.side == BUY else quote.bid
            if other and (order.price - other) * order.side >= 0 and not order.ended:
                self._fill_resting(order, order.remaining, now_ms)
        for order in tuple(self._waiting.get(instrument.name, ())):
            if not order.ended and order.hit_by(self._margin.mark(instrument.name)):
                self._trigger(order, now_ms)

    def _by_priority(self, instrument: InstrumentState) -> list[Order]:
        """Return the resting orders, best price first, then oldest first."""
        return sorted(self._resting.get(instrument.name, ()), key=lambda order: -order.price * order.side)

    def _trigger(self, order: Order, now_ms: int) -> None:
        """Activate a trigger order: from now on it is an ordinary order."""
        account = self._accounts[order.user]
        self._waiting[order.listed.name].remove(order)
        order.waits, order.status, order.status_ms, order.fired = "", "triggered", now_ms, True
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
        """Set the worst price at which a triggered market order may trade."""
        if (order.price - order.trigger_price) * order.side > 0:
            return
        order.price = order.listed.bounded_price(order.trigger_price, order.side, _SLIPPAGE_BPS, up=False)

    def _fill_resting(self, order: Order, wanted: int, now_ms: int) -> int:
        """Execute a resting order against the tape; return the size."""
        size = self._fillable(order, wanted, now_ms)
        if size:
            tid = self._reports.next_trade_id(order.oid, 0)
            self._execute(order, order.price, size, tid, now_ms, False, None)
        return size

    def _maker_size(self, maker: Order, taker: Order, wanted: int, now_ms: int) -> int:
        """Return how much of a resting order a taker can trade with. At 0 the resting order has ended."""
        if maker.ended:
            return 0
        if maker.user == taker.user:
            self.end(maker, "selfTradeCanceled", now_ms)
            return 0
        return self._fillable(maker, wanted, now_ms)

    def _fillable(self, order: Order, wanted: int, now_ms: int) -> int:
        """Return how much of a resting order can fill. Cancels it if its account lacks the margin."""
        size = min(wanted, self.reducible(order))
        if not order.reduce_only and not self._margin.may_trade(self._accounts[order.user], order, size):
            self.end(order, "marginCanceled", now_ms)
            return 0
        return size

    # Fills and ends of orders.

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
        """Book and report a fill. The last fill ends the order."""
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
        self._cut_reduce_only(account, order, now_ms)

    def end(self, order: Order, status: str, now_ms: int) -> None:
        """End an order: remove it, report it, and cancel or activate its linked orders."""
        if order.ended:
            return
        for book in (self._resting, self._waiting):
            orders = book.get(order.listed.name, [])
            if order in orders:
                orders.remove(order)
        order.status, order.status_ms = status, now_ms
        self._accounts[order.user].archive(order)
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

    def _cut_reduce_only(self, account: Account, cause: Order, now_ms: int) -> None:
        """Reduce the account's reduce-only orders in an instrument to the size of the position."""
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

    # The opposite side of the book.

    def _opposite(self, order: Order) -> list[tuple[int, int, Order | None]]:
        """Return what an order can trade with, best first: (price, size, order or None for the tape)."""
        instrument = self._market.by_name[order.listed.name]
        found: list[tuple[int, int, Order | None]] = []
        if instrument.quote is not None:
            bids, asks = levels(instrument.listed, instrument.quote, DEPTH)
            taken = self._taken.get(instrument.name, {})
            for price, size, _ in asks if order.side == BUY else bids:
                left = size - taken.get(price, 0)
                if left > 0:
                    found.append((price, left, None))
        resting = self._resting.get(instrument.name, ())
        found += [(other.price, other.remaining, other) for other in resting if other.side != order.side]
        found.sort(key=lambda one: one[0] * order.side)
        return [one for one in found if (order.price - one[0]) * order.side >= 0]

    def _standing(self, order: Order) -> int:
        """Return the tape's size at the order's price, on the order's side."""
        instrument = self._market.by_name[order.listed.name]
        if instrument.quote is None:
            return 0
        bids, asks = levels(instrument.listed, instrument.quote, DEPTH)
        return sum(size for price, size, _ in (bids if order.side == BUY else asks) if price == order.price)
