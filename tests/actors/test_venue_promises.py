"""Promises of the simulated venue for any commands and any market data (I7, L14, R07).

`Bounds` is a model of its own: it knows the orders sent and the market data, and checks each report against
what a venue could have done at best: nobody takes more than is shown, no price is better than what the data
shows, its trigger or its limit, and the account is the sum of the fills.
"""

from __future__ import annotations

from fractions import Fraction
from math import ceil
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from engine.events import (
    BookRead,
    CancelOrder,
    Candle,
    Event,
    ModifyRejected,
    OrderAccepted,
    OrderCanceled,
    OrderFilled,
    OrderModified,
    OrderRejected,
    PathReached,
    Quote,
    SubmitOrder,
    Trade,
)
from engine.snapshot import classes_of
from engine.states import decode_state, encode_state
from engine.values import BUY, SELL
from tests.actors.harness import MINUTE, Harness, T
from tests.actors.venue_kit import HOUR, MS, book, context, listed, modify, new_harness, order, trade
from tests.profiles import examples

KINDS = (
    "market",
    "limit",
    "ioc",
    "alo",
    "reduce",
    "reduce limit",
    "sl",
    "tp",
    "entry",
    "bracket",
    "cancel",
    "modify",
)
BPS = 7
TAKER, MAKER = Fraction(45, 100_000), Fraction(-1, 10_000)
CONFIG: dict[str, Any] = {"taker_fee": "0.00045", "maker_fee": "-0.0001", "slippage_bps": BPS}
START = 9_000_000_000_000

sides = st.sampled_from((BUY, SELL))
prices, sizes = st.integers(97, 103), st.integers(1, 12)
calls = st.tuples(st.sampled_from(KINDS), prices, sizes, sides)
kinds = st.sampled_from(("trade", "trade", "quote", "book", "mark"))
ticks = st.lists(
    st.one_of(st.tuples(kinds, prices, st.integers(0, 12), sides), calls), min_size=10, max_size=60
)
candles = st.lists(
    st.one_of(st.tuples(st.just("candle"), prices, st.integers(0, 2**14), sides), calls),
    min_size=10,
    max_size=60,
)
MARKED = {1: listed(trigger_price="mark")}


def market_of(kind: str, price: int, size: int, side: int, at: int) -> Event:
    if kind == "trade":
        return trade(price, size + 1, at)
    if kind == "quote":
        ask = price + 1 + size % 3
        return Quote(at, at, 1, *((price, size + 1, ask, 13 - size) if size else (0, 0, ask, 5)))
    if kind == "mark":
        return context(price, at)
    if kind == "book":
        levels = [(price + 1 + level, 1 + (size + level * 7) % 13) for level in range(size % 4)]
        return book([(price - level, 1 + (size + level * 3) % 11) for level in range(3)], levels, at)
    opened, close = price + size % 7 - 3, price + size // 7 % 7 - 3
    high = max(opened, close) + size // 49 % 9
    low = min(opened, close) - size // 441 % 9
    volume = size // 3969 % 4 * 5
    return Candle(at + MINUTE, at + MINUTE, 1, MINUTE, at, opened, high, low, close, volume)


def orders_of(kind: str, price: int, size: int, side: int, at: int, names: list[str]) -> list[Event]:
    name = f"o{len(names)}"
    if kind in ("cancel", "modify"):
        if not names:
            return []
        one = names[size % len(names)]
        return [CancelOrder(at, one, 1) if kind == "cancel" else modify(one, size, price, at)]
    names.append(name)
    owner = "ab"[size % 2]
    limit = 0 if kind in ("market", "reduce", "sl", "tp", "entry") else price
    tif = {"ioc": "Ioc", "alo": "Alo"}.get(kind, "Gtc")
    reduces = kind in ("reduce", "reduce limit", "sl", "tp")
    trigger = "sl" if kind == "entry" else kind if kind in ("sl", "tp") else ""
    more = {
        "owner": owner,
        "at": at,
        "reduce_only": reduces,
        "role": "close" if reduces else "open",
        "trigger": trigger,
        "trigger_price": price if trigger else 0,
    }
    orders: list[Event] = [order(name, side, size, limit, tif, **more)]
    if kind == "bracket":
        for kind_of, distance in (("sl", -3), ("tp", 3)):
            child = f"{name} {kind_of}"
            names.append(child)
            more |= {
                "reduce_only": True,
                "role": "close",
                "trigger": kind_of,
                "trigger_price": price + side * distance,
                "parent": name,
            }
            orders.append(order(child, -side, size, **more))
    return orders


class Bounds:
    """What is known from outside. Prices are fractions of a step of the grid."""

    def __init__(self, touch: bool) -> None:
        self.touch = touch
        self.sent: dict[str, SubmitOrder] = {}
        self.limits: dict[str, int] = {}
        self.open: dict[str, int] = {}
        self.filled: list[str] = []
        self.books = {"a": 0, "b": 0}
        self.money = Fraction(START * 10**5)  # in steps of price x size: 0.01 x 0.001
        self.event: Event | None = None
        self.left = 0
        self.shown: dict[int, dict[int, int]] = {BUY: {}, SELL: {}}
        self.raw: dict[int, Any] = {BUY: None, SELL: None}
        self.has_book = self.has_quote = False

    @property
    def position(self) -> int:
        return sum(self.books.values())

    def market(self, event: Event) -> None:
        self.event = event
        if isinstance(event, Trade):
            self.left = event.size
        elif isinstance(event, Candle):
            self.left = int(event.volume) or 10**9
        elif isinstance(event, BookRead) or (isinstance(event, Quote) and not self.has_book):
            self.has_book |= isinstance(event, BookRead)
            self.has_quote |= isinstance(event, Quote)
            for side in (BUY, SELL):
                levels = self._levels(event, side)
                if levels != self.raw[side]:
                    self.raw[side], self.shown[side] = levels, dict(levels)

    def _levels(self, event: BookRead | Quote, side: int) -> dict[int, int]:
        if isinstance(event, BookRead):
            return {price: size for price, size, _ in (event.asks if side == BUY else event.bids)}
        price, size = (event.ask, event.ask_size) if side == BUY else (event.bid, event.bid_size)
        return {price: size} if price else {}

    def send(self, one: Event) -> None:
        if isinstance(one, SubmitOrder):
            self.sent[one.client_order_id] = one
            self.limits[one.client_order_id] = one.terms.limit
            self.open[one.client_order_id] = one.terms.size

    def report(self, one: Event, *, of_market: bool) -> None:
        if isinstance(one, ModifyRejected | PathReached):
            return
        if isinstance(one, OrderAccepted) and one.triggered:
            return
        name: str = one.client_order_id  # type: ignore[attr-defined]
        assert name in self.open, f"{one} of an order that has ended"
        if isinstance(one, OrderFilled):
            assert of_market, "only a market event fills"
            self.fill(one)
        elif isinstance(one, OrderModified):
            self.open[name], self.limits[name] = one.size, one.limit_price
        elif isinstance(one, OrderCanceled | OrderRejected):
            if isinstance(one, OrderCanceled):
                assert one.remaining == self.open[name]
            del self.open[name]
        else:
            assert isinstance(one, OrderAccepted)

    def fill(self, one: OrderFilled) -> None:
        name = one.client_order_id
        sent, price = self.sent[name], Fraction(one.price, 10**one.finer)
        assert 0 < one.size <= self.open[name], "at most the open size"
        self.open[name] -= one.size
        self._price(one, sent, price)
        self._reduces(one, sent)
        rate = TAKER if one.liquidity == "taker" else MAKER
        fee = Fraction(int(one.fee), 10**one.finer)
        assert fee == Fraction(ceil(price * one.size * rate * 10_000), 10_000)
        self.money -= fee + one.side * price * one.size
        if sent.terms.parent:
            assert sent.terms.parent in self.filled, "it is dormant until its parent is filled"
        if not self.open[name]:
            del self.open[name]
            self.filled.append(name)
            siblings = [one for one in self.filled if self.sent[one].terms.parent == sent.terms.parent]
            assert not sent.terms.parent or siblings == [name], "one of the two attached orders"

    def _reduces(self, one: OrderFilled, sent: SubmitOrder) -> None:
        """Reduce-only goes by the account, on candles by the book; it never turns either."""
        candles = isinstance(self.event, Candle)
        before = self.books[sent.strategy] if candles else self.position
        self.books[sent.strategy] += one.side * one.size
        after = self.books[sent.strategy] if candles else self.position
        if sent.terms.reduce_only:
            assert abs(after) == abs(before) - one.size, "it reduces and never turns the position"

    def _price(self, one: OrderFilled, sent: SubmitOrder, price: Fraction) -> None:
        side, limit, event = one.side, self.limits[one.client_order_id], self.event
        slip = 1 + side * Fraction(BPS, 10_000)
        assert not limit or (limit - price) * side >= 0, "no fill beyond its limit"
        worst = self._worst(side, limit)
        if one.liquidity == "maker":
            assert price == limit, "a resting order fills at its own price"
        if isinstance(event, Candle):
            self.left -= one.size
            assert self.left >= 0, "no more than the candle's volume"
            assert event.start_ns <= one.venue_ns <= event.venue_ns
            self._on_candle(one, sent, price, slip, event, worst)
            return
        if sent.terms.trigger == "sl":
            assert (
                price
                - worst(sent.terms.trigger_price * slip if not self.has_book else sent.terms.trigger_price)
            ) * side >= 0
        if one.liquidity == "maker" and isinstance(event, Trade):
            assert (limit - event.price) * side >= (0 if self.touch else 1), "trades go through it"
            self.left -= one.size
            assert self.left >= 0, "no more than the trade"
        elif self.has_book or self.has_quote:
            self._take(side, one.size, limit if one.liquidity == "maker" else price)
            if isinstance(event, Trade):
                assert (price - worst(Fraction(event.price))) * side >= 0, "a trade beyond it makes it dearer"
        else:
            assert isinstance(event, Trade)
            assert (price - worst(event.price * slip)) * side >= 0, "worse than the trade by slippage"

    def _worst(self, side: int, limit: int) -> Any:
        def capped(price: Fraction) -> Fraction:
            return (min(price, limit) if side == BUY else max(price, limit)) if limit else Fraction(price)  # type: ignore[type-var]

        return capped

    def _take(self, side: int, size: int, price: Fraction | int) -> None:
        """Take from the worst level that the price pays for: if even that is too much, too much is taken."""
        levels = self.shown[side]
        for level in sorted(levels, reverse=side == BUY):
            if (price - level) * side >= 0:
                taken = min(size, levels[level])
                levels[level] -= taken
                size -= taken
        assert not size, "nobody takes more than is shown"

    def _on_candle(
        self, one: OrderFilled, sent: SubmitOrder, price: Fraction, slip: Fraction, event: Candle, worst: Any
    ) -> None:
        side, terms = one.side, sent.terms
        if one.liquidity == "maker":
            reached = event.low if side == BUY else event.high
            assert (price - reached) * side >= 0
        elif terms.trigger == "sl":
            beyond = (event.open - terms.trigger_price) * side > 0
            base = event.open if beyond else terms.trigger_price
            assert (price - worst(base * slip)) * side >= 0, "no better than its trigger and the open"
        elif terms.trigger == "tp":
            assert price == worst(terms.trigger_price * slip)
        else:
            assert price == worst(event.open * slip), "at the open"


def check_account(harness: Harness, bounds: Bounds) -> None:
    """The venue's own account is the sum of its fills."""
    venue: Any = harness.actor
    held = venue.positions.get(1)
    assert (held.size if held else 0) == bounds.position
    assert venue.books.get(1, {}) == {name: size for name, size in bounds.books.items() if size}
    cost = held.cost if held else 0
    assert Fraction(venue.cash - cost, 10 ** (venue.scale - 5)) <= bounds.money, "rounded against the account"
    assert bounds.money - Fraction(venue.cash - cost, 10 ** (venue.scale - 5)) < Fraction(1, 10_000)


def play(plan: list[tuple[str, int, int, int]], touch: bool, latency_ms: int) -> None:
    harness = new_harness(MARKED, fill_on_touch=touch, latency_ms=latency_ms, **CONFIG)
    bounds = Bounds(touch)
    names: list[str] = []
    at = T
    for kind, price, size, side in plan:
        at += MINUTE if kind == "candle" else 2 * MS
        start = at // MINUTE * MINUTE
        for event in harness.advance(start + MINUTE if kind == "candle" else at):
            bounds.report(event, of_market=False)
        if kind in ("trade", "quote", "book", "mark", "candle"):
            event = market_of(kind, price, size, side, start if kind == "candle" else at)
            bounds.market(event)
            for report in harness.send(event):
                bounds.report(report, of_market=True)
            at = event.recv_ns if isinstance(event, Candle) else at
        else:
            for command in orders_of(kind, price, size, side, at, names):
                bounds.send(command)
                assert harness.send(command) == []
        check_account(harness, bounds)
    for event in harness.advance(at + HOUR):
        bounds.report(event, of_market=False)
    assert harness.actor.listens(Trade) == bool(bounds.open)


@examples(5)
@given(ticks, st.booleans(), st.sampled_from((0, 3)))
@example(
    [("bracket", 100, 5, BUY), ("trade", 100, 9, BUY), ("trade", 97, 9, BUY), ("trade", 97, 9, BUY)], False, 0
)
def test_no_fill_is_kinder_than_trades_quotes_and_books(
    plan: list[tuple[str, int, int, int]], touch: bool, latency_ms: int
) -> None:
    play(plan, touch, latency_ms)


@examples(5)
@given(candles, st.booleans(), st.sampled_from((0, 3)))
@example([("bracket", 100, 5, BUY), ("candle", 100, 9, BUY), ("candle", 97, 4000, BUY)], False, 0)
def test_no_fill_is_kinder_than_the_path_of_a_candle(
    plan: list[tuple[str, int, int, int]], touch: bool, latency_ms: int
) -> None:
    play(plan, touch, latency_ms)


@examples(1)
@given(st.one_of(ticks, candles), st.integers(0, 40))
def test_r07_the_venues_state_is_restored_from_a_snapshot(plan: Any, cut: int) -> None:
    harness, other = new_harness(latency_ms=3), new_harness(latency_ms=3)
    names: list[str] = []
    for number, (kind, price, size, side) in enumerate(plan):
        at = T + number * MINUTE
        if number == cut:
            blob = encode_state(harness.actor.state(), "venue")
            other.actor.restore(decode_state(blob, classes_of(harness.actor)))
            other.timers, other.seq = list(harness.timers), harness.seq
            assert encode_state(other.actor.state(), "venue") == blob
        harnesses = (harness, other) if number >= cut else (harness,)
        if kind in ("trade", "quote", "book", "mark", "candle"):
            events = [market_of(kind, price, size, side, at)]
        else:
            events = orders_of(kind, price, size, side, at, names)
        answers = [one.advance(at) + one.send(*events) for one in harnesses]
        assert answers[0] == answers[-1]
