"""Limits on orders and positions at their edges, with the orders that may still fill."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.events import FeedDown, FeedUp, OrderRefused
from engine.events.rules import MarketRules
from engine.values import BUY, SELL
from tests.actors.rig import Rig
from tests.actors.test_gates import answer, sell


def test_l02_the_position_limit_counts_the_worse_side_with_the_orders_that_open() -> None:
    rig = Rig("S", "T", risk={"max_position_size": {"M1": "5"}}).hold("S", 3).hold("T", "-4")
    rig.buy("S", "1.5", limit=90)
    assert answer(rig, lambda one: one.buy("S", 1)) == "max_position_size"
    assert answer(rig, lambda one: one.buy("S", "0.5")) == ""
    assert answer(rig, lambda one: one.sell("T", 2)) == "max_position_size"
    assert answer(rig, lambda one: one.buy("T", 4)) == "", "a close of T"


def test_an_order_is_valued_at_the_worse_of_its_price_and_the_markets() -> None:
    rig = Rig(risk={"max_order_notional": "500"})
    assert answer(rig, lambda one: one.buy("S", 5, limit=90)) == ""
    assert answer(rig, lambda one: one.buy("S", 5, limit="100.01")) == "max_order_notional"
    assert answer(rig, lambda one: one.sell("S", 5, limit="100.01")) == "max_order_notional"
    assert answer(rig, lambda one: one.sell("S", 5, limit=90)) == ""
    assert rig.events(OrderRefused)[-1].reason == "500.05 is more than 500"


@pytest.mark.parametrize("side", [BUY, SELL])
@pytest.mark.parametrize("limit", ["max_order_size", "max_position_size"])
def test_l01_a_size_limit_holds_at_its_edge(side: int, limit: str) -> None:
    for size, expected in (("4.99", ""), ("5", ""), ("5.01", limit)):
        rig = Rig(risk={limit: {"M1": "5"}})
        assert answer(rig, lambda one, size=size: one.order("S", side, size, limit=100)) == expected  # type: ignore[misc]


def test_a_limit_finer_or_larger_than_the_scale_is_compared_exactly() -> None:
    rig = Rig(risk={"max_order_size": {"M1": "0.015"}})
    assert answer(rig, lambda one: one.buy("S", "0.01")) == ""
    assert answer(rig, lambda one: one.buy("S", "0.02")) == "max_order_size"
    rig = Rig(risk={"max_order_size": {"M1": "99999999999999999"}}, cash="1000000000000")
    assert answer(rig, lambda one: one.buy("S", 10**9)) == ""


def test_the_rate_is_that_of_any_minute_and_exits_count_in_it() -> None:
    rig = Rig(risk={"max_orders_per_minute": 3}).hold("S", 2)
    rig.sell("S", 1)
    rig.trade(100)
    assert answer(rig, lambda one: one.buy("S", 1)) == ""
    assert answer(rig, lambda one: one.buy("S", 1)) == "max_orders_per_minute"
    rig.trade(100)
    assert answer(rig, sell) == "", "an exit is never stopped by it"
    rig.wait(61)
    assert answer(rig, lambda one: one.buy("S", 1)) == ""
    assert len(rig.manager.gate.approvals_ns) == 1, "older ones are forgotten"


_steps = st.lists(
    st.tuples(
        st.sampled_from(["open", "open", "open", "fill", "part", "end"]),
        st.sampled_from(["S", "T"]),
        st.sampled_from([BUY, SELL]),
        st.integers(1, 400),
    ),
    max_size=20,
)


@given(_steps)
def test_l02_what_is_open_and_what_may_still_fill_never_exceed_the_limit(steps: list[Any]) -> None:
    """Two strategies whose orders only open: no side of the market would ever hold more than 5."""
    rig = Rig("S", "T", real=True, risk={"max_position_size": {"M1": "5"}})
    live: dict[str, tuple[Any, int]] = {}

    def side_of(side: int) -> int:
        books = [rig.manager.book(name, 1) * side for name in ("S", "T")]
        orders = [left for order, left in live.values() if order.terms.side == side]
        return sum(max(held, 0) for held in books) + sum(orders)

    for step, name, side, size in steps:
        if step == "open" and rig.manager.book(name, 1) * side >= 0:
            fits = max(side_of(side) + size, side_of(-side)) <= 500
            sent = len(rig.placed())
            rig.order(name, side, Decimal(size).scaleb(-2), limit=100)
            assert (len(rig.placed()) > sent) == fits
            if fits:
                live[rig.newest().client_order_id] = rig.newest(), size
        elif step != "open" and live:
            number, (order, left) = next(iter(live.items()))
            part = 0 if step == "end" else left if step == "fill" else -(-left // 2)
            if part:
                rig.fill(order, Decimal(part).scaleb(-2), 100)
            else:
                rig.end(order)
            live[number] = order, left - part
            if not part or part == left:
                del live[number]
        assert side_of(BUY) <= 500
        assert side_of(SELL) <= 500


# A change of an order.


@pytest.mark.parametrize(
    ("change", "limit"),
    [
        ({"size": 4}, ""),
        ({"size": "5.01"}, "max_position_size"),
        ({"limit": 99}, ""),
        ({"limit": 200}, "max_order_notional"),
        ({"size": "0.05"}, "min_value"),
        ({"size": 1}, ""),
    ],
)
def test_more_size_is_judged_like_a_new_order_and_a_price_by_its_money(
    change: dict[str, Any], limit: str
) -> None:
    risk = {"max_position_size": {"M1": "5"}, "max_order_notional": "510", "max_orders_per_minute": 9}
    rig = Rig(risk=risk, rules=MarketRules(value_min="10"))
    handle = rig.buy("S", 3, limit=98)
    rig.modify("S", handle, **change)
    assert rig.refusals() == ([limit] if limit else [])


def test_less_size_needs_no_fresh_price_and_more_does() -> None:
    rig = Rig()
    handle = rig.buy("S", 3, limit=98)
    rig.send(FeedUp(rig.tick(), "feed", 1), FeedDown(rig.tick(), "feed", "reset"))
    rig.modify("S", handle, size=2)
    assert rig.refusals() == []
    rig.modify("S", handle, size=5)
    assert rig.refusals() == ["stale"]
