"""Promises of the simulated venue for any commands and any market data (I7, L14, R07)."""

from __future__ import annotations

from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from engine.events import (
    CancelOrder,
    Candle,
    Event,
    ModifyRejected,
    OrderAccepted,
    OrderCanceled,
    OrderFilled,
    OrderModified,
    OrderRejected,
    Quote,
    SubmitOrder,
    Trade,
)
from engine.snapshot import state_classes
from engine.states import decode_state, encode_state
from engine.values import BUY, SELL
from tests.actors.harness import MINUTE, T
from tests.actors.venue_kit import HOUR, MS, modify, new_harness, trade

KINDS = ("market", "limit", "ioc", "alo", "reduce", "reduce limit", "sl", "tp", "bracket", "cancel", "modify")
steps = st.one_of(
    st.tuples(st.just("trade"), st.integers(85, 115), st.integers(1, 30), st.just(BUY)),
    st.tuples(st.sampled_from(("quote", "candle")), st.integers(85, 115), st.integers(0, 6), st.just(BUY)),
    st.tuples(st.sampled_from(KINDS), st.integers(85, 115), st.integers(1, 30), st.sampled_from((BUY, SELL))),
)


def market_of(kind: str, price: int, size: int, at: int) -> Event:
    if kind == "trade":
        return trade(price, size, at)
    if kind == "quote":
        return Quote(at, at, 1, price, size, price + size, size) if size else Quote(at, at, 1, 0, 0, 0, 0)
    return Candle(at, at, 1, MINUTE, at, price, price + size, price - size, price, 1)


def orders_of(kind: str, price: int, size: int, side: int, at: int, names: list[str]) -> list[Event]:
    name = f"o{len(names)}"
    if kind in ("cancel", "modify"):
        if not names:
            return []
        one = names[size % len(names)]
        return [CancelOrder(at, one, 1) if kind == "cancel" else modify(one, size, price, at)]
    names.append(name)
    limit = 0 if kind in ("market", "reduce", "sl", "tp") else price
    tif = {"ioc": "Ioc", "alo": "Alo"}.get(kind, "Gtc")
    reduces = kind in ("reduce", "reduce limit", "sl", "tp")
    trigger = kind if kind in ("sl", "tp") else ""
    fields = (reduces, trigger, price if trigger else 0)
    orders: list[Event] = [SubmitOrder(at, name, "s", 1, side, size, limit, tif, *fields)]
    if kind == "bracket":
        for kind_of, distance in (("sl", -3), ("tp", 3)):
            child = f"{name} {kind_of}"
            names.append(child)
            hit = price + side * distance
            orders.append(SubmitOrder(at, child, "s", 1, -side, size, 0, "Gtc", True, kind_of, hit, name))
    return orders


class Ledger:
    """Checks the venue's reports against the commands sent."""

    def __init__(self) -> None:
        self.sent: dict[str, SubmitOrder] = {}
        self.open: dict[str, int] = {}
        self.filled: dict[str, int] = {}
        self.parents_filled: list[str] = []
        self.position = 0

    def send(self, one: Event) -> None:
        if isinstance(one, SubmitOrder):
            self.sent[one.client_order_id] = one
            self.open[one.client_order_id] = one.size

    def report(self, one: Event, *, of_market: bool) -> None:
        if isinstance(one, ModifyRejected):
            return
        name: str = one.client_order_id  # type: ignore[attr-defined]
        assert name in self.open, f"{one} of an order that has ended"
        if isinstance(one, OrderFilled):
            assert of_market, "only a market event fills"
            self.fill(one)
        elif isinstance(one, OrderModified):
            self.open[name] = one.size
        elif isinstance(one, OrderCanceled | OrderRejected):
            if isinstance(one, OrderCanceled):
                assert one.remaining == self.open[name]
            del self.open[name]
        else:
            assert isinstance(one, OrderAccepted)

    def fill(self, one: OrderFilled) -> None:
        name, before = one.client_order_id, self.position
        sent = self.sent[name]
        assert 0 < one.size <= self.open[name], "at most the open size"
        self.open[name] -= one.size
        self.position += one.side * one.size
        if sent.reduce_only:
            assert abs(self.position) == abs(before) - one.size, "it reduces and never turns the position"
        if sent.parent:
            assert sent.parent in self.parents_filled, "it is dormant until its parent is filled"
        if not self.open[name]:
            del self.open[name]
            self.parents_filled.append(name)
            siblings = [other for other in self.parents_filled if self.sent[other].parent == sent.parent]
            assert not sent.parent or siblings == [name], "one of the two attached orders"


@given(st.lists(steps, max_size=60), st.booleans(), st.sampled_from((0, 3)))
@example(
    [("bracket", 100, 5, BUY), ("trade", 100, 9, BUY), ("trade", 97, 9, BUY), ("trade", 97, 9, BUY)], False, 0
)
def test_filled_never_exceeds_ordered_and_reduce_only_never_turns_a_position(
    plan: list[tuple[str, int, int, int]], touch: bool, latency_ms: int
) -> None:
    harness = new_harness(fill_on_touch=touch, latency_ms=latency_ms, slippage_bps=0)
    ledger = Ledger()
    names: list[str] = []
    for number, (kind, price, size, side) in enumerate(plan):
        at = T + number * 2 * MS
        for event in harness.advance(at):
            ledger.report(event, of_market=False)
        if kind in ("trade", "quote", "candle"):
            for event in harness.send(market_of(kind, price, size, at)):
                ledger.report(event, of_market=True)
        else:
            for command in orders_of(kind, price, size, side, at, names):
                ledger.send(command)
                assert harness.send(command) == []
        reducing = [one for one in ledger.open if ledger.sent[one].reduce_only]
        working = [one for one in reducing if not ledger.sent[one].trigger]
        arrived = {one.client_order_id for one in harness.all(OrderAccepted)}
        for one in working:
            if one in arrived:
                assert ledger.open[one] <= -ledger.sent[one].side * ledger.position
    for event in harness.advance(T + HOUR):
        ledger.report(event, of_market=False)
    assert harness.actor.listens(Trade) == bool(ledger.open)


@given(st.lists(steps, max_size=40), st.integers(0, 40))
def test_r07_the_venues_state_is_restored_from_a_snapshot(plan: Any, cut: int) -> None:
    harness, other = new_harness(latency_ms=3), new_harness(latency_ms=3)
    names: list[str] = []
    for number, (kind, price, size, side) in enumerate(plan):
        at = T + number * 2 * MS
        if number == cut:
            blob = encode_state(harness.actor.state(), "venue")
            classes = state_classes(["engine.events", "engine.actors.simulated_venue"])
            other.actor.restore(decode_state(blob, classes))
            other.timers, other.seq = list(harness.timers), harness.seq
            assert encode_state(other.actor.state(), "venue") == blob
        harnesses = (harness, other) if number >= cut else (harness,)
        if kind in ("trade", "quote", "candle"):
            events = [market_of(kind, price, size, at)]
        else:
            events = orders_of(kind, price, size, side, at, names)
        answers = [one.advance(at) + one.send(*events) for one in harnesses]
        assert answers[0] == answers[-1]
