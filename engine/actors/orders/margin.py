"""Buying power: whether the account can carry what an order would open.

On margin a market needs the value of its worse side (see `limits`) divided by its leverage; what all markets
need, and the fee of the order, must be covered by the equity that is not tied up otherwise. Cross positions
are valued at the mark and share the equity; an isolated position is valued at its cost and has that margin
set aside. Markets without margin (spot, stocks) are paid in cash: their live buys reserve it, with fees, and
nothing is sold that is not held. Closing needs nothing.

Owns also the margin call of a real account: once when the equity falls below what the positions need, again
after it recovered. On paper the simulated venue calls.
Called by `gates`. State: the manager's `money` (`Money`).

All numbers here are exact integers at one scale, the finest of the account and its markets plus the decimals
of a fee rate; a margin is rounded up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from engine.actors.base import Emit, State
from engine.actors.orders.limits import Sides
from engine.actors.orders.state import Live
from engine.config import FEE_SCALE, MONEY_TEXT_SCALE
from engine.events import (
    AccountMarked,
    EquityMarked,
    InstrumentListed,
    MarginCalled,
    OrderTerms,
    PositionChanged,
)
from engine.instruments import entry_of, is_of
from engine.values import BUY, InstrumentId, Size, format_scaled, parse_scaled, power_of_ten, rescale, wide

if TYPE_CHECKING:
    from engine.actors.orders.actor import OrderManager

__all__ = ["Margin", "Money", "highest_leverage"]

_Adds = tuple[int, int, int, int]
"""An order that is not live yet: instrument, side, size, price."""


class Money(State):
    """What the order manager knows of the account's money.

    `cash` is the equity without what is unrealized, at `scale`; None before it is known. `costs` are those of
    the books, by market and owner, each with its scale. `called`: there is a margin call.

    `accounts`: where a session has accounts at several venues, the money of each, in its own currency. What
    an order opens is judged by that of its venue; `cash` is the sum, in the currency that all is valued in.
    """

    class Account(State):
        """The money of one of several accounts: see the fields of these names; nested as `Conditions` are."""

        cash: int | None = None
        scale: int = 0
        called: bool = False

    cash: int | None = None
    scale: int = 0
    costs: dict[int, dict[str, tuple[int, int]]] = msgspec.field(default_factory=dict)
    called: bool = False
    accounts: dict[str, Money.Account] = msgspec.field(default_factory=dict)

    def account(self, venue: str) -> Money | Money.Account:
        """Return the money of the account at a venue; of the only account, if it is not one of several."""
        return self.accounts.get(venue, self)


class Margin:
    """See the module."""

    def __init__(self, manager: OrderManager) -> None:
        self.m = manager
        config = manager.config
        self._cross = config.account.margin == "cross"
        self._cash = parse_scaled(config.account.cash, MONEY_TEXT_SCALE)

    # What is there.

    def note_position(self, changed: PositionChanged) -> None:
        """Note what a book cost."""
        listed = self.m.instruments[changed.instrument]
        costs = self.m.money.costs.setdefault(changed.instrument, {})
        costs[changed.strategy] = int(changed.cost), listed.money_scale + changed.finer

    def note_equity(self, marked: EquityMarked, emit: Emit) -> None:
        """Note the account's money, and call for margin; on paper the simulated venue does."""
        money = self.m.money
        money.cash, money.scale = int(marked.equity) - int(marked.unrealized), marked.scale
        if not money.accounts:
            self._call(marked.at_ns, "", emit)

    def note_account(self, marked: AccountMarked, emit: Emit) -> None:
        """Note the money of one of several accounts, and call for margin."""
        money = self.m.money.accounts.setdefault(marked.venue, Money.Account())
        money.cash, money.scale = int(marked.equity) - int(marked.unrealized), marked.scale
        self._call(marked.at_ns, marked.venue, emit)

    def _call(self, at_ns: int, venue: str, emit: Emit) -> None:
        if not self._cross or not self.m.real:
            return
        money, scale = self.m.money.account(venue), self._scale()
        required = sum(self._initial(instrument, scale) for instrument in self._books(venue))
        equity = self._free(scale, venue)
        short = required > 0 and equity < required
        if short and not money.called:
            emit(MarginCalled(at_ns, scale, wide(equity), wide(required), venue))
        money.called = short

    def equity(self, scale: int) -> int:
        """Return the equity at the prices known now, at `scale`."""
        return self._cash_at(scale, "") + sum(
            self._in_currency(number, self._unrealized(number, owner, held, scale))
            for number, books in self.m.books.items()
            for owner, held in books.items()
        )

    def scale(self) -> int:
        """Return the scale for exact sums of money of this account."""
        return self._scale()

    def value_of_all(self, scale: int, adds: _Adds | None) -> int:
        """Return the value of the worse sides of all markets, with an order that is not live yet."""
        return sum(
            -self._in_currency(
                number, -self._at(self._sides(number, adds, None).value, self.m.instruments[number], scale)
            )
            for number in self._markets(adds)
        )

    def leverage(self, listed: InstrumentListed, value: int) -> int:
        """Return the leverage of a position of this value, at the instrument's money scale."""
        chosen = entry_of(self.m.config.account.leverage, listed, listed.rules.leverage)
        return max(1, min(chosen, highest_leverage(listed, value)))

    # Refusals.

    def refusal(
        self, instrument: int, terms: OrderTerms, price: int, without: Live | None = None
    ) -> tuple[str, str] | None:
        """Return why the account cannot carry an opening, or None.

        On margin it is valued at `price`, in cash at its own. `without` is a live order that it replaces.
        """
        listed = self.m.instruments[instrument]
        if not listed.rules.on_margin and terms.side != BUY:
            name = self.m.instruments.label(instrument)
            return "short_spot", f"{name} is not held on margin: only what is held can be sold"
        venue = listed.venue if self.m.money.accounts else ""
        if self.m.money.account(venue).cash is None and self.m.real:
            return None  # An account that was not read is refused as such, and its money comes with it.
        if not listed.rules.on_margin:
            price = self.m.gates.limits.own_price(instrument, terms)
        scale = self._scale()
        adds = (instrument, terms.side, terms.size, price)
        free = self._free(scale, venue)
        needed = self._needed(scale, adds, without, venue)
        if listed.rules.on_margin:
            needed += self._fee(terms.size * price, listed, scale)
        if needed <= free:
            return None
        limit = "margin" if listed.rules.on_margin else "balance"
        has, needs = (format_scaled(one, scale) for one in (max(free, 0), needed))
        return limit, f"needs {needs}, and the account has {has}"

    # Parts.

    def _scale(self) -> int:
        m = self.m
        scales = [m.money.scale, MONEY_TEXT_SCALE, *(one.scale for one in m.money.accounts.values())]
        scales += [*(one.money_scale for one in m.instruments.values())]
        scales += [scale for costs in m.money.costs.values() for _, scale in costs.values()]
        return max(scales) + FEE_SCALE

    def _books(self, venue: str) -> dict[InstrumentId, dict[str, Size]]:
        """Return the books of the account at a venue; "" has all."""
        if not venue:
            return self.m.books
        return {number: books for number, books in self.m.books.items() if self._is_of(venue, number)}

    def _is_of(self, venue: str, number: int) -> bool:
        return is_of(venue, self.m.instruments[number])

    def _cash_at(self, scale: int, venue: str) -> int:
        money = self.m.money.account(venue)
        if money.cash is None:
            return rescale(self._cash, MONEY_TEXT_SCALE, scale)
        return rescale(money.cash, money.scale, scale)

    def _free(self, scale: int, venue: str) -> int:
        """Return the money of an account that margins and purchases can use.

        Purchases in cash are spent. What cross positions have gained or lost counts.
        """
        free = self._cash_at(scale, venue)
        for number, books in self._books(venue).items():
            on_margin = self.m.instruments[number].rules.on_margin
            for owner, held in books.items():
                if not on_margin:
                    free -= self._cost(number, owner, scale)
                elif self._cross:
                    free += self._unrealized(number, owner, held, scale)
        return free

    def _needed(self, scale: int, adds: _Adds, without: Live | None, venue: str) -> int:
        """Return what all markets of an account need, with an order that is not live yet."""
        markets = [number for number in self._markets(adds) if self._is_of(venue, number)]
        return sum(self._need(number, adds, without, scale) for number in markets)

    def _need(self, number: int, adds: _Adds, without: Live | None, scale: int) -> int:
        listed = self.m.instruments[number]
        if not listed.rules.on_margin:
            return self._reserved(number, adds, without, scale)
        sides = self._sides(number, adds, without)
        value = self._at(sides.value, listed, scale)
        if not self._cross:
            value = self._at_cost(number, sides, scale)
        return -(-value // self.leverage(listed, sides.value))

    def _at_cost(self, number: int, sides: Sides, scale: int) -> int:
        """Return the value of the worse side with the books at their cost instead of the mark."""
        listed, mark = self.m.instruments[number], self.m.price(number).any
        values = [self._at(value, listed, scale) for value in (sides.long_value, sides.short_value)]
        for owner, held in self.m.books.get(number, {}).items():
            at = 0 if held > 0 else 1
            values[at] += abs(self._cost(number, owner, scale)) - self._at(abs(held) * mark, listed, scale)
        return max(values)

    def _reserved(self, number: int, adds: _Adds, without: Live | None, scale: int) -> int:
        """Return the cash that live buys of a market without margin reserve, with fees."""
        listed = self.m.instruments[number]
        value = adds[2] * adds[3] if adds[0] == number else 0
        for order in (*self.m.live.values(), *self.m.approved):
            if order.instrument == number and not order.exits and order is not without:
                value += max(order.left, 0) * max(order.terms.worst, order.terms.trigger_price)
        return self._at(value, listed, scale) + self._fee(value, listed, scale)

    def _initial(self, number: int, scale: int) -> int:
        """Return the initial margin of the account's position in a market."""
        listed = self.m.instruments[number]
        if not listed.rules.on_margin:
            return 0
        value = abs(self.m.account(number)) * self.m.price(number).any
        return -(-self._at(value, listed, scale) // self.leverage(listed, value))

    def _sides(self, number: int, adds: _Adds | None, without: Live | None) -> Sides:
        own = adds[1:] if adds is not None and adds[0] == number else (0, 0, 0)
        return self.m.gates.limits.sides(number, adds=own, without=without)

    def _markets(self, adds: _Adds | None) -> list[int]:
        """Return the markets with a book or a live order, and that of the order, in order of number."""
        ordered = [order.instrument for order in (*self.m.live.values(), *self.m.approved)]
        return sorted(dict.fromkeys([*self.m.books, *ordered, *([adds[0]] if adds else [])]))

    def _cost(self, number: int, owner: str, scale: int) -> int:
        cost, own = self.m.money.costs.get(number, {}).get(owner, (0, 0))
        return rescale(cost, own, scale)

    def _unrealized(self, number: int, owner: str, held: int, scale: int) -> int:
        mark = self.m.price(number).any
        if not held or not mark:
            return 0
        listed = self.m.instruments[number]
        return self._at(held * mark, listed, scale) - self._cost(number, owner, scale)

    def _in_currency(self, number: int, amount: int) -> int:
        """Return an amount of a market's quote in the currency of equity, rounded down.

        One without a known price is left as it is.
        """
        worth = self.m.gates.limits.currencies.worth(self.m.instruments[number], -amount)
        return amount if worth is None else -worth

    def _fee(self, value: int, listed: InstrumentListed, scale: int) -> int:
        """Return the taker's fee of an order of this value, rounded up; a rebate counts as nothing."""
        text = listed.rules.taker_fee
        if not self.m.real:
            text = self.m.config.paper.taker_fee or text
        rate = max(0, parse_scaled(text, FEE_SCALE, signed=True))
        return -(-self._at(value, listed, scale) * rate // power_of_ten(FEE_SCALE))

    def _at(self, value: int, listed: InstrumentListed, scale: int) -> int:
        return rescale(value, listed.money_scale, scale)


def highest_leverage(listed: InstrumentListed, value: int) -> int:
    """Return the venue's highest leverage for a position of this value, at the instrument's money scale."""
    highest = listed.rules.leverage_max
    for begins, most in listed.rules.tiers:
        least = parse_scaled(begins, MONEY_TEXT_SCALE) * power_of_ten(listed.money_scale)
        if value * power_of_ten(MONEY_TEXT_SCALE) >= least:
            highest = most
    return highest
