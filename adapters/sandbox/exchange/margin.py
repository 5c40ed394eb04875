"""Equity and margin requirements of accounts, at the mark prices.

The mark, also used as the oracle price, is the mid of the best bid and ask. A cross position requires its
value divided by the instrument's leverage and shares the account's equity with other cross positions; an
isolated position has its own margin. Resting orders require what the position would require if all orders on
their side were filled. The maintenance margin is half of the initial margin at the maximum leverage; there is
one margin tier. Source: the venue's margining and liquidation pages, 2026-08. Called by order entry,
matching, liquidation and the account views.
"""

from __future__ import annotations

from adapters.sandbox.exchange.accounts import Account, Position
from adapters.sandbox.exchange.money import SCALE, notional
from adapters.sandbox.exchange.orders import Order
from adapters.sandbox.market import max_leverage
from adapters.sandbox.market_state import MarketState
from engine.events import InstrumentListed
from engine.values import BUY, SELL, power_of_ten

__all__ = ["Margin"]


class Margin:
    """Marks, equity and margin. All money has 12 decimals."""

    def __init__(self, market: MarketState) -> None:
        self._market = market
        self.max_leverage = {
            instrument.name: max_leverage(instrument.name) for instrument in market.instruments
        }

    def mark(self, name: str) -> int:
        """Return the mark of an instrument at its price scale; 0 without market data."""
        return self._market.by_name[name].mark

    def leverage(self, account: Account, name: str) -> int:
        """Return the leverage of an instrument."""
        return account.leverage_of(name, self.max_leverage[name])[0]

    def is_cross(self, account: Account, name: str) -> bool:
        """Return whether the position in an instrument is cross, not isolated."""
        return account.leverage_of(name, self.max_leverage[name])[1]

    def held(self, account: Account, *, cross_only: bool = False) -> list[Position]:
        """Return the open positions."""
        return [
            one
            for one in account.positions.values()
            if one.size and not (cross_only and not self.is_cross(account, one.listed.name))
        ]

    def unrealized_pnl(self, held: Position) -> int:
        """Return the unrealized profit and loss of a position at the mark."""
        return held.unrealized_pnl(self.mark(held.listed.name))

    def value(self, held: Position) -> int:
        """Return the signed value of a position at the mark."""
        return held.value(self.mark(held.listed.name))

    def equity(self, account: Account) -> int:
        """Return cash plus the unrealized profit and loss of all positions."""
        return account.cash + sum(map(self.unrealized_pnl, self.held(account)))

    def cross_equity(self, account: Account) -> int:
        """Return the equity without the isolated positions and their margin."""
        isolated = sum(one.margin for one in self.held(account))
        return account.cash - isolated + sum(map(self.unrealized_pnl, self.held(account, cross_only=True)))

    def position_used(self, account: Account, held: Position) -> int:
        """Return the margin a position uses: the initial margin if cross, its own equity if isolated."""
        if self.is_cross(account, held.listed.name):
            return abs(self.value(held)) // self.leverage(account, held.listed.name)
        return held.margin + self.unrealized_pnl(held)

    def cross_used(self, account: Account) -> int:
        """Return the initial margin of the cross positions."""
        return sum(self.position_used(account, one) for one in self.held(account, cross_only=True))

    def maintenance(self, held: Position) -> int:
        """Return the margin below which a position is liquidated."""
        return abs(self.value(held)) // (2 * self.max_leverage[held.listed.name])

    def cross_maintenance(self, account: Account) -> int:
        """Return the maintenance margin of the cross positions."""
        return sum(map(self.maintenance, self.held(account, cross_only=True)))

    def withdrawable(self, account: Account) -> int:
        """Return the equity that neither positions nor orders require."""
        return max(0, self.cross_equity(account) - self._needed(account, None))

    def affords(self, account: Account, order: Order | None = None) -> bool:
        """Return whether the equity covers the positions, the resting orders and, if given, this order."""
        return self._needed(account, order) <= self.cross_equity(account)

    def may_trade(self, account: Account, order: Order, size: int) -> bool:
        """Return whether the account could hold the position after a fill of a resting order."""
        name = order.listed.name
        held = account.position(order.listed)
        after = held.size + order.side * size
        if abs(after) <= abs(held.size):
            return True
        more = notional(order.listed, self.mark(name), abs(after) - abs(held.size))
        needed = self.cross_used(account) + more // self.leverage(account, name)
        return needed <= self.cross_equity(account)

    def liquidation_price(self, account: Account, held: Position) -> tuple[int, int] | None:
        """Return (price, scale) at which a position is liquidated if only its mark moves, or None.

        price - side * margin available / size / (1 - side / L), where L is twice the highest leverage.
        """
        listed = held.listed
        if self.is_cross(account, listed.name):
            available = self.cross_equity(account) - self.cross_maintenance(account)
        else:
            available = held.margin + self.unrealized_pnl(held) - self.maintenance(held)
        side = BUY if held.size > 0 else SELL
        size, bound = abs(held.size), 2 * self.max_leverage[listed.name]
        unit = power_of_ten(SCALE - listed.money_scale)
        scale = max(8, listed.price_scale)
        above = self.mark(listed.name) * unit * size * (bound - side) - side * available * bound
        price = above * power_of_ten(scale - listed.price_scale) // (size * unit * (bound - side))
        return (price, scale) if price > 0 else None

    def _needed(self, account: Account, order: Order | None) -> int:
        working = [one for one in account.orders.values() if one.waits != "parent"]
        if order is not None:
            working.append(order)
        orders: dict[str, list[Order]] = {}
        for one in working:
            if not one.reduce_only and (not one.trigger or one is order):
                orders.setdefault(one.listed.name, []).append(one)
        names = dict.fromkeys([*orders, *(one.listed.name for one in self.held(account))])
        return sum(self._instrument_needs(account, name, orders.get(name, [])) for name in names)

    def _instrument_needs(self, account: Account, name: str, orders: list[Order]) -> int:
        held = account.positions.get(name)
        value = 0 if held is None else self.value(held)
        bought = sum(_worth(one.listed, one) for one in orders if one.side == BUY)
        sold = sum(_worth(one.listed, one) for one in orders if one.side == SELL)
        worst = max(abs(value), abs(value + bought), abs(value - sold))
        if not self.is_cross(account, name):
            worst -= abs(value)
        return worst // self.leverage(account, name)


def _worth(listed: InstrumentListed, order: Order) -> int:
    return notional(listed, order.price, order.remaining)
