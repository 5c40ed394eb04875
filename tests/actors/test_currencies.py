"""Limits on money are in the account's currency, whatever a market's quote; a plain model beside them."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.events import InstrumentListed, OrderRefused
from engine.events.rules import MarketRules
from engine.runtime.beginning import unpriced_lines
from engine.values import BUY, SELL
from tests.actors.rig import Rig
from tests.actors.test_gates import answer
from tests.profiles import examples


def rules(base: str, quote: str) -> MarketRules:
    return MarketRules(base=base, quote=quote, on_margin=True, leverage=10, leverage_max=10, reduce_only=True)


def rig(*, risk: dict[str, Any], price: int = 10, **account: Any) -> Rig:
    """Return a rig with M1 in USD, ETH/BTC in BTC, and BTC/USD, which has no price yet."""
    made = Rig(rules=rules("SOL", "USD"), risk=risk, account=account, cash="1000000000")
    for number, base, quote in ((2, "ETH", "BTC"), (3, "BTC", "USD")):
        name = f"{base}/{quote}"
        made.send(InstrumentListed(made.tick(), number, "sim", name, *made.scales, rules=rules(base, quote)))
    made.trade(price, market=2)
    return made


@pytest.mark.parametrize("limit", ["max_order_notional", "max_position_notional"])
def test_a_limit_is_compared_in_the_currency_of_the_account(limit: str) -> None:
    one = rig(risk={limit: "50000"}, prices={"BTC": "60000.5"})
    assert answer(one, lambda it: it.buy("S", "0.08", limit=10, market=2)) == ""
    assert answer(one, lambda it: it.buy("S", "0.09", limit=10, market=2)) == limit
    assert one.events(OrderRefused)[-1].reason.endswith(" USD is more than 50000")
    assert answer(one, lambda it: it.buy("S", 500, limit=100)) == ""


def test_a_market_gives_the_price_and_without_it_nothing_is_opened() -> None:
    one = rig(risk={"max_order_notional": "50000"}, prices={"BTC": "BTC/USD"})
    assert answer(one, lambda it: it.buy("S", "0.01", limit=10, market=2)) == "no_price"
    assert (
        one.events(OrderRefused)[-1].reason
        == "no price of BTC is known yet, so max_order_notional cannot be judged"
    )
    one.trade(60_000, market=3)
    assert answer(one, lambda it: it.buy("S", "0.08", limit=10, market=2)) == ""
    one.trade(70_000, market=3)
    assert answer(one, lambda it: it.buy("S", "0.08", limit=10, market=2)) == "max_order_notional"


def test_without_a_price_a_value_counts_as_it_is_and_the_session_says_so() -> None:
    one = rig(risk={"max_order_notional": "50000"})
    assert answer(one, lambda it: it.buy("S", 5000, limit=10, market=2)) == ""
    assert answer(one, lambda it: it.buy("S", "5000.01", limit=10, market=2)) == "max_order_notional"
    assert one.events(OrderRefused)[-1].reason == "50000.1 is more than 50000"
    listed = list(one.manager.instruments.values())
    (line,) = unpriced_lines(one.manager, listed)
    assert line.level == "warning"
    assert "no price of BTC in USD" in line.text
    assert "ETH/BTC" in line.text
    assert "SOL" not in line.text
    priced = rig(risk={}, prices={"BTC": "BTC/USD"})
    assert unpriced_lines(priced.manager, listed) == []
    assert unpriced_lines(rig(risk={}, currency="BTC").manager, listed)[0].text.count("USD") > 1


def test_leverage_is_that_of_the_account_in_its_currency() -> None:
    """An equity of 1,000,000,000 USD, and three times as much allowed."""
    one = rig(risk={"max_leverage": "3"}, prices={"BTC": "60000"})
    assert answer(one, lambda it: it.buy("S", 4_000, limit=10, market=2)) == ""  # 2.4 thousand million
    assert answer(one, lambda it: it.buy("S", 2_000, limit=10, market=2)) == "max_leverage"


_orders = st.lists(
    st.tuples(
        st.sampled_from([1, 2]), st.sampled_from([BUY, SELL]), st.integers(1, 3000), st.integers(900, 1100)
    ),
    min_size=1,
    max_size=8,
)


@given(
    _orders,
    st.sampled_from(["0.5", "1.0000001", "3", "BTC/USD"]),
    st.integers(1, 40_000),
    st.integers(1, 60_000),
    st.sampled_from([98, 333]),
)
@examples(0.5)
def test_random_orders_pass_exactly_when_a_plain_model_lets_them(
    orders: list[Any], price: str, order_most: int, position_most: int, market_price: int
) -> None:
    one = rig(
        risk={"max_order_notional": str(order_most), "max_position_notional": str(position_most)},
        prices={"BTC": price},
    )
    one.trade(Decimal(market_price) / 100, market=3)
    rate = {1: Decimal(1), 2: Decimal(market_price) / 100 if price == "BTC/USD" else Decimal(price)}
    marks = {1: Decimal(100), 2: Decimal(10)}
    working: list[tuple[int, int, Decimal]] = []
    for market, side, size_100, percent in orders:
        # A limit away from the market rests: nothing fills, and only the working orders count.
        limit = marks[market] * percent / 1000 if side == BUY else marks[market] * (2000 - percent) / 1000
        limit = min(limit, marks[market] * 9 / 10) if side == BUY else max(limit, marks[market] * 11 / 10)
        size = Decimal(size_100) / 100
        value = size * max(limit, marks[market]) * rate[market]
        sides = {
            way: sum(worth for number, its, worth in working if (number, its) == (market, way))
            for way in (BUY, SELL)
        }
        sides[side] += value
        expected = ""
        if value > order_most:
            expected = "max_order_notional"
        elif max(sides.values()) > position_most:
            expected = "max_position_notional"
        sent = {"limit": limit, "market": market}
        assert answer(one, lambda it, s=side, z=size, m=sent: it.order("S", s, z, **m)) == expected  # type: ignore[misc]
        if not expected:
            working.append((market, side, value))
