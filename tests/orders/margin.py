"""What an account may hold and open: the smallest order, spot, margin, liquidation on paper.

`Margin` follows the records beside the model and works everything out from its books, in exact fractions. It
checks approvals of what opens, spot books, and after every turn that the simulated venue liquidated in time.
"""

from __future__ import annotations

from fractions import Fraction

from engine.events import (
    BookRead,
    Candle,
    ContextRead,
    Event,
    FundingPaid,
    InstrumentListed,
    Liquidated,
    MarketRules,
    OrderApproved,
    PathReached,
    Quote,
    Trade,
)
from tests.orders.facts import OPEN, Order
from tests.orders.ledger import EXTERNAL, ZERO
from tests.orders.model import Model
from tests.orders.paper_fills import PaperFills

__all__ = ["Margin"]

MARK_AGE_NS = 60_000_000_000
"""How long a mark of the data is the simulated venue's."""


class Margin:
    """The rules of each market. `fills`: on paper. `candles`: the account is not looked at within a turn.

    `led`: the price that a book has been led to within the newest candle. Nothing knows its close before.
    """

    def __init__(self, model: Model, fills: PaperFills | None, *, candles: bool) -> None:
        self.model = model
        self.fills = fills
        self.candles = candles
        self.rules: dict[int, MarketRules] = {}
        self.liquidated = False
        self.moved: set[int] = set()  # markets that had a price in this turn, or funding
        self.led: dict[int, Fraction] = {}
        self.looked_ns = 0  # when the venue last looked at the account
        self.middles: dict[int, Fraction] = {}  # of the best bid and ask, if newer than the last trade

    def follow(self, event: Event) -> None:
        """Take a record after the model has taken it."""
        if isinstance(event, InstrumentListed):
            self.rules[event.instrument] = event.rules
        elif isinstance(event, OrderApproved):
            self._approve(event)
        elif isinstance(event, Candle):
            self.led.pop(event.instrument, None)
        elif isinstance(event, PathReached):
            self.led[event.instrument] = self.model.listed[event.instrument].price(event.price)
        elif isinstance(event, Liquidated):
            self.liquidated = True
        elif isinstance(event, Trade | Quote | BookRead | ContextRead | FundingPaid):
            self.moved.add(event.instrument)
            self._show(event)

    def check_turn(self) -> None:
        """After a turn: no spot book is short, and an account below its maintenance was liquidated.

        The venue looks at the account with each price of what it holds and at each funding. Where what is
        shown is used up, the rest waits until more is shown. It does not know a trade that came while it had
        no reason to look at the market: what is shown since values the position then.
        """
        model = self.model
        for (owner, market), book in model.account.books.items():
            if not self.rules[market].on_margin:
                # Others may sell what fees left of a step, which no book has until a reading shows it.
                left = model.left_over(market) if owner == EXTERNAL else 0
                model.require(book.size >= -left, "a spot book is never short", owner, market, book)
        liquidated, self.liquidated = self.liquidated, False
        if self.fills is None or self.candles:
            return
        if any(model.account.size(market) for market in self.moved):
            self.looked_ns = model.now_ns
        self.moved.clear()
        # The venue has no mark once the data has had none for a while.
        recent = {
            market: mark
            for market, mark in model.marks.items()
            if self.looked_ns - model.marked_ns[market] <= MARK_AGE_NS
        }
        equity, needed = self._carried({**model.last, **recent})
        if equity >= needed or liquidated:
            return
        other, less = self._carried({**model.last, **self.middles, **recent})
        model.require(
            other >= less,
            "an account below its maintenance margin is liquidated in that turn",
            float(equity),
            "needed",
            float(needed),
        )

    def _show(self, event: Event) -> None:
        """Note the middle of bid and ask, and forget it with the next trade."""
        if isinstance(event, Trade):
            self.middles.pop(event.instrument, None)
        elif isinstance(event, Quote | BookRead):
            bid, ask = (event.bid, event.ask) if isinstance(event, Quote) else (0, 0)
            if isinstance(event, BookRead) and event.bids and event.asks:
                bid, ask = event.bids[0][0], event.asks[0][0]
            if bid and ask:
                self.middles[event.instrument] = self.model.listed[event.instrument].price(bid + ask) / 2

    def _carried(self, values: dict[int, Fraction]) -> tuple[Fraction, Fraction]:
        """Return the equity and the maintenance margin; (0, 0) if there is nothing to close with."""
        model, needed, closes = self.model, ZERO, False
        assert self.fills is not None, "on paper"
        for market, rules in self.rules.items():
            size = model.account.size(market)
            if size and rules.on_margin and market in values:
                needed += abs(size) * values[market] / (2 * rules.leverage_max)
                closes |= self.fills.may_close(market, size)
        return (model.account.equity(values), needed) if closes else (ZERO, ZERO)

    def _approve(self, approval: OrderApproved) -> None:
        terms, market = approval.terms, approval.instrument
        if terms.role != OPEN:
            return
        model, rules, listed = self.model, self.rules[market], self.model.listed[market]
        size = listed.size(terms.size)
        worst = listed.price(terms.limit or terms.bound or terms.trigger_price)
        price = self._values().get(market, worst)
        value = size * max(worst, price)
        model.require(value >= Fraction(rules.value_min), "what opens has the smallest value", approval)
        if not rules.on_margin:
            model.require(terms.side > 0, "spot is never sold short", approval)
        elif self.fills is not None:
            self._carry(approval, size * worst * Fraction(rules.taker_fee))

    def _values(self) -> dict[int, Fraction]:
        return {**self.model.last, **self.led, **self.model.marks}

    def _carry(self, approval: OrderApproved, fee: Fraction) -> None:
        """What all markets need, the order included, is not more than the account's equity."""
        model, values = self.model, self._values()
        needed = ZERO
        for market, rules in self.rules.items():
            if not rules.on_margin or market not in values:
                continue
            price = values[market]
            sides = {1: ZERO, -1: ZERO}
            for _, book in model.account.of(market):
                if book.size:
                    sides[1 if book.size > 0 else -1] += abs(book.size) * price
            for order in model.orders.values():
                if not order.ended and order.market == market and order.role == OPEN:
                    sides[order.side] += order.open * self._worth(order, price)
            if market == approval.instrument:
                terms, listed = approval.terms, model.listed[market]
                worst = listed.price(terms.limit or terms.bound or terms.trigger_price)
                at = max(worst, price) if terms.side > 0 else price
                sides[terms.side] += listed.size(terms.size) * at
            needed += max(sides.values()) / rules.leverage
        equity = model.account.equity(values)
        rule = "an opening that the account cannot carry is refused"
        model.require(needed <= equity, rule, float(needed), "equity", float(equity), fee, approval)

    @staticmethod
    def _worth(order: Order, price: Fraction) -> Fraction:
        """Return the worse of an order's price and the market's for a buy, the market's for a sell."""
        return max(order.limit or order.bound, price) if order.side > 0 else price
