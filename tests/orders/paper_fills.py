"""What a fill of the simulated venue may be: never kinder than the market data, the limit and the fees.

Written from the rules alone. `PaperFills` follows the market data and the orders of a session and checks
each simulated fill against what was shown: its time, price, size and fee. It does not match orders; it says
what no fill may be better than. Used together with `model.Model`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from engine.events import (
    BookRead,
    Candle,
    ContextRead,
    Event,
    FeedDown,
    OrderFilled,
    Quote,
    SubmitOrder,
    Trade,
)
from tests.orders.facts import CLOSE, OPEN, Order
from tests.orders.ledger import ZERO, up
from tests.orders.model import Model

__all__ = ["PaperFills"]

MS = 1_000_000
BPS = Fraction(1, 10_000)


@dataclass
class Side:
    """One side of a market as it was shown last: levels, best first, less what was taken since.

    What was taken stays taken until the side changes. `known`: the feed is up since. `newer`: a best price
    and its size that a quote has shown since the book.
    """

    levels: list[list[Fraction]] = field(default_factory=list)
    whole: list[list[Fraction]] = field(default_factory=list)
    known: bool = False
    newer: tuple[Fraction, Fraction] | None = None

    def show(self, levels: list[list[Fraction]]) -> None:
        self.known, self.newer = True, None
        if levels != self.whole:
            self.whole, self.levels = levels, [list(level) for level in levels]

    def left(self, side: int) -> Fraction:
        """Return what a taker finds. Levels better than a newer best price are gone."""
        if not self.known:
            return ZERO
        found = ZERO
        for (price, left), (_, whole) in zip(self.levels, self.whole, strict=True):
            if self.newer is not None:
                best, size = self.newer
                if not best or (best - price) * side > 0:
                    continue
                if price == best:
                    left = max(ZERO, min(whole, size) - (whole - left))
            found += left
        return found

    @property
    def best(self) -> Fraction | None:
        return self.levels[0][0] if self.levels else None


@dataclass
class PaperFills:
    """Checks simulated fills against the settings of the simulated venue and the market data so far."""

    model: Model
    latency_ms: int
    taker_fee: Fraction
    maker_fee: Fraction
    slippage_bps: int
    fill_on_touch: bool
    placed_in: dict[str, int] = field(default_factory=dict)
    shown: dict[tuple[int, int], Side] = field(default_factory=dict)  # (market, taker's side)
    has_book: set[int] = field(default_factory=set)
    opened: set[str] = field(default_factory=set)  # owners whose books opened in this turn
    turn: Event | None = None
    turn_seq: int = 0
    traded: Fraction = ZERO  # of the trade of this turn, what resting orders have taken

    def begin_turn(self, seq: int, event: Event) -> None:
        """A turn begins with this input, or with a timer."""
        self.turn, self.turn_seq, self.traded = event, seq, ZERO
        self.opened.clear()
        if isinstance(event, Quote):
            listed = self.model.listed[event.instrument]
            for side, price, size in ((1, event.ask, event.ask_size), (-1, event.bid, event.bid_size)):
                levels = [[listed.price(price), listed.size(size)]] if price else []
                known = self.shown.setdefault((event.instrument, side), Side())
                if event.instrument not in self.has_book:
                    known.show(levels)
                else:
                    known.newer = listed.price(price), listed.size(size)
        elif isinstance(event, BookRead):
            self.has_book.add(event.instrument)
            listed = self.model.listed[event.instrument]
            for side, levels_read in ((1, event.asks), (-1, event.bids)):
                levels = [[listed.price(price), listed.size(size)] for price, size, _ in levels_read]
                self.shown.setdefault((event.instrument, side), Side()).show(levels)
        elif isinstance(event, FeedDown):
            for known in self.shown.values():
                known.known = False

    def may_close(self, market: int, size: Fraction) -> bool:
        """Return whether there is something to close a position with: what is shown, else any price."""
        side = -1 if size > 0 else 1
        known = self.shown.get((market, side))
        return known is None or known.left(side) > 0

    def follow(self, seq: int, event: Event) -> None:
        """Take a record of the turn."""
        if isinstance(event, SubmitOrder):
            self.placed_in[event.client_order_id] = self.turn_seq
        elif isinstance(event, OrderFilled) and event.client_order_id:
            self._check(event)
        elif isinstance(event, OrderFilled) and (event.instrument, event.side) in self.shown:
            self._check_liquidation(event)

    def _check_liquidation(self, fill: OrderFilled) -> None:
        """It takes from what is shown, at the prices shown."""
        listed = self.model.listed[fill.instrument]
        price, size = listed.price(fill.price, fill.finer), listed.size(fill.size)
        known = self.shown[fill.instrument, fill.side]
        rule = "a liquidation takes what is shown"
        self.model.require(known.known, rule, fill, known)
        for level in known.levels:
            if level[0] == price:
                level[1] -= size
                self.model.require(level[1] >= 0, rule, fill, known)
                return
        self.model.require(False, rule, fill, known)

    def _check(self, fill: OrderFilled) -> None:
        model, order = self.model, self.model.orders[fill.client_order_id]
        listed = model.listed[fill.instrument]
        price, size = listed.price(fill.price, fill.finer), listed.size(fill.size)
        self._check_time(fill, order)
        if order.limit:
            model.require(
                (order.limit - price) * order.side >= 0, "no fill is worse than its limit", fill, order
            )
        elif order.bound and not isinstance(self.turn, Candle):
            model.require(
                (order.bound - price) * order.side >= 0, "no fill is worse than its bound", fill, order
            )
        if fill.liquidity == "maker":
            model.require(price == order.limit, "a resting order fills at its own price", fill, order)
            self._check_resting(fill, order, size)
        else:
            self._check_taking(fill, order, price, size)
        if order.role == OPEN:
            self.opened.add(order.owner)
        rate = self.maker_fee if fill.liquidity == "maker" else self.taker_fee
        fee, places = listed.money(fill.fee, fill.finer), listed.price_scale + listed.size_scale + fill.finer
        expected = up(price * size * rate, places)
        model.require(fee == expected, "the fee is the rate of the value", float(fee), float(expected), fill)

    def _check_time(self, fill: OrderFilled, order: Order) -> None:
        """On the event that caused it no order fills, but a stop that joined the path of a candle does."""
        if isinstance(self.turn, Candle) and order.trigger and order.role == CLOSE:
            return
        self.model.require(
            self.turn_seq > self.placed_in[order.name],
            "no order fills on the event that caused it",
            fill,
            order,
        )
        arrival_ns = order.at_ns + self.latency_ms * MS
        self.model.require(
            fill.recv_ns >= arrival_ns, "no order fills before it arrives", fill, order, arrival_ns
        )

    def _check_resting(self, fill: OrderFilled, order: Order, size: Fraction) -> None:
        """A trade through the price, no more than its size; or the opposite quote that reaches it."""
        model, turn = self.model, self.turn
        if isinstance(turn, Trade):
            price = model.listed[turn.instrument].price(turn.price)
            through = (order.limit - price) * order.side
            model.require(
                through > 0 or (self.fill_on_touch and through == 0),
                "a resting order fills when trades go through its price",
                fill,
                order,
                turn,
            )
            self.traded += size
            model.require(
                self.traded <= model.listed[turn.instrument].size(turn.size),
                "resting orders fill no more than the trade",
                fill,
                turn,
            )
        elif isinstance(turn, Quote | BookRead):
            best = self.shown[order.market, order.side].best
            model.require(
                best is not None and (order.limit - best) * order.side >= 0,
                "a resting order fills when the opposite quote reaches it",
                fill,
                order,
                turn,
            )
            self._take(fill, order, order.limit, size)
        elif isinstance(turn, Candle):
            listed = model.listed[turn.instrument]
            reached = listed.price(turn.low if order.side > 0 else turn.high)
            beyond = (order.limit - reached) * order.side
            model.require(
                beyond > 0 or (self.fill_on_touch and beyond == 0),
                "a resting order fills when the candle goes through its price",
                fill,
                order,
                turn,
            )

    def _check_taking(self, fill: OrderFilled, order: Order, price: Fraction, size: Fraction) -> None:
        """No better than the best that was shown, worsened by slippage where there is no book."""
        model, turn = self.model, self.turn
        slip = 1 + order.side * self.slippage_bps * BPS
        worst = order.limit or order.bound
        if isinstance(turn, Candle):
            # The best price at its arrival is the open, so that a gap exceeds no bound.
            self._check_candle(fill, order, price, slip, order.limit, turn)
            return
        side = self.shown.get((order.market, order.side))
        if side is not None and (side.levels or order.market in self.has_book):
            self._take(fill, order, price if order.market in self.has_book else worst, size)
            if order.market in self.has_book:
                return
            best = side.best if side.best is not None else ZERO
            reference = best
        else:
            reference = model.last.get(order.market, ZERO)
        least = reference * slip
        capped = min(least, worst) if order.side > 0 else max(least, worst)
        model.require(
            (price - (capped if worst else least)) * order.side >= 0,
            "a taker pays at least the best price and slippage",
            float(price),
            float(least),
            fill,
            order,
        )

    def _take(self, fill: OrderFilled, order: Order, limit: Fraction, size: Fraction) -> None:
        """Take a size from what is shown up to a price; the rest of what was shown stays."""
        levels = self.shown[order.market, order.side].levels
        left = size
        for level in levels:
            if limit and (limit - level[0]) * order.side < 0:
                break
            taken = min(left, level[1])
            level[1] -= taken
            left -= taken
        self.model.require(not left, "nobody takes more than is shown", fill, order, f"{left} too much")

    def _check_candle(
        self,
        fill: OrderFilled,
        order: Order,
        price: Fraction,
        slip: Fraction,
        worst: Fraction,
        candle: Candle,
    ) -> None:
        """Orders at the market fill at the open; a stop at its trigger or at an open beyond it."""
        listed = self.model.listed[candle.instrument]
        opened = listed.price(candle.open)
        if order.trigger == "sl":
            # A trail may have moved its trigger, or the stop have become active, after the open.
            later = order.purpose == "trail" or order.owner in self.opened
            beyond = not later and (opened - order.trigger_price) * order.side > 0
            reference = opened if beyond else order.trigger_price
        elif order.trigger == "tp":
            reference = order.trigger_price
        else:
            low, high = listed.price(candle.low), listed.price(candle.high)
            reference = opened if not order.limit else (low if order.side > 0 else high)
        least = reference * slip
        if worst:
            least = min(least, worst) if order.side > 0 else max(least, worst)
        self.model.require(
            (price - least) * order.side >= 0,
            "a stop fills no better than its trigger and the open",
            float(price),
            float(least),
            fill,
            order,
            candle,
        )


def marks_of(event: Event) -> Any:
    """Return the mark of a context, None if it has none."""
    return event.mark if isinstance(event, ContextRead) else None
