"""Arrival, prices, fees and resting at the simulated venue, with another formula for prices and fees."""

from __future__ import annotations

from fractions import Fraction
from math import ceil
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.events import (
    CancelOrder,
    Candle,
    Event,
    OrderAccepted,
    OrderCanceled,
    OrderFilled,
    Quote,
    SubmitOrder,
    Trade,
)
from engine.values import BUY, INT64_MAX, SELL
from tests.actors.harness import Harness, T
from tests.actors.venue_kit import HOUR, MS, book, listed, new_harness, order, placed, quote, trade


def arrived(*orders: SubmitOrder, **paper: Any) -> Harness:
    """Return a harness with orders that have arrived."""
    harness = new_harness(**paper)
    placed(harness, *orders)
    return harness


def fills(events: list[Any]) -> list[tuple[Fraction, int, str]]:
    """Return (price in steps of the grid, size, liquidity) of each fill."""
    return [
        (Fraction(one.price, 10**one.finer), one.size, one.liquidity)
        for one in events
        if isinstance(one, OrderFilled)
    ]


# Arrival.


@pytest.mark.parametrize("latency_ms", [0, 1, 250])
def test_nothing_fills_before_it_arrives_or_on_the_event_that_caused_it(latency_ms: int) -> None:
    harness = new_harness(latency_ms=latency_ms)
    assert harness.send(trade(100, at=T), order("a", BUY)) == []
    assert harness.send(trade(100, at=T)) == [], "still in transit, even without latency"
    assert harness.advance(T + latency_ms * MS - 1) == []
    (accepted,) = harness.advance(T + latency_ms * MS)
    assert accepted == OrderAccepted(T + latency_ms * MS, T + latency_ms * MS, "a", 1)
    assert fills(harness.send(trade(100, at=T + latency_ms * MS))) == [(100, 10, "taker")]


def test_another_instruments_market_fills_nothing() -> None:
    harness = arrived(order("a", BUY))
    assert harness.send(Trade(T + 1, T, 2, 100, 1000, 1)) == []


def test_orders_fill_in_the_order_of_their_arrival_with_rising_ids() -> None:
    harness = arrived(*(order(f"{n}", BUY, at=T + n) for n in range(4)))
    events = harness.send(trade(100))
    assert [one.client_order_id for one in events] == ["0", "1", "2", "3"]
    assert [one.trade_id for one in events] == [1, 2, 3, 4]
    assert [one.venue_order_id for one in harness.all(OrderAccepted)] == [1, 2, 3, 4]


def test_all_reports_of_an_order_name_its_submission_as_cause() -> None:
    harness = new_harness()
    harness.send(trade(1), order("a", BUY), order("b", BUY, limit=1, tif="Ioc"))
    harness.advance(T + 1)
    harness.send(trade(100))
    assert [(type(event), cause) for event, cause in harness.causes] == [
        (OrderAccepted, 2),
        (OrderAccepted, 3),
        (OrderFilled, 2),
        (OrderCanceled, 3),
    ]


# Prices and fees.

prices = st.integers(1, 10**7)


@given(
    st.sampled_from([BUY, SELL]), prices, st.integers(1, 10**9), st.integers(0, 500), st.integers(0, 10**5)
)
def test_a_taker_pays_exact_slippage_and_a_fee_rounded_up_at_a_scale_of_their_own(
    side: int, price: int, size: int, bps: int, rate: int
) -> None:
    harness = arrived(order("a", side, size), slippage_bps=bps, taker_fee=f"{rate / 10**7:.7f}")
    (fill,) = harness.send(trade(price))
    exact = Fraction(price) * (1 + side * Fraction(bps, 10_000))
    assert (Fraction(fill.price, 10_000), fill.finer) == (exact, 4)
    assert int(fill.fee) == ceil(exact * 10_000 * size * Fraction(rate, 10**7))
    assert (fill.size, fill.liquidity, fill.recv_ns, fill.venue_ns) == (size, "taker", T + 1, T - 6)


def test_the_fee_on_a_coarse_grid_is_exact() -> None:
    """The example of the rules: price 1500, size 1, rate 0.00045, grid 1: 0.675."""
    harness = new_harness({1: listed(price_scale=0, size_scale=0)}, taker_fee="0.00045")
    placed(harness, order("a", BUY, 1))
    (fill,) = harness.send(trade(1500))
    assert (Fraction(int(fill.fee), 10**fill.finer), fill.price) == (Fraction("0.675"), 15_000_000)


@given(prices, st.integers(1, 10**9), st.integers(-(10**4), 10**4))
def test_a_maker_trades_at_its_own_price_and_may_be_paid(price: int, size: int, rate: int) -> None:
    harness = arrived(order("a", BUY, size, limit=price), slippage_bps=100, maker_fee=f"{rate / 10**7:.7f}")
    harness.send(trade(price + 1))
    if price > 1:
        (fill,) = harness.send(trade(price - 1, size))
        assert (fill.price, fill.size, fill.liquidity) == (price * 10_000, size, "maker")
        assert int(fill.fee) == ceil(Fraction(price * 10_000 * size * rate, 10**7))


def test_without_a_configured_rate_the_fee_is_the_markets() -> None:
    harness = new_harness({1: listed(taker_fee="0.0007", maker_fee="0.0004")}, taker_fee="", maker_fee="")
    placed(harness, order("a", BUY, 10), order("b", BUY, 10, limit=100))
    harness.send(trade(101))
    (made,) = harness.send(trade(99))
    (taken,) = (one for one in harness.all(OrderFilled) if one.client_order_id == "a")
    assert int(taken.fee) == 101 * 10 * 7, "10,000 x 0.0007 per unit of value"
    assert int(made.fee) == 100 * 10 * 4


def test_a_fee_beyond_64_bits_is_text() -> None:
    rules = {1: listed(price_scale=0, size_scale=0, leverage=10**9, leverage_max=10**9)}
    harness = new_harness(rules, taker_fee="1")
    harness.actor.cash = 10**60  # type: ignore[attr-defined]
    placed(harness, order("a", BUY, INT64_MAX))
    (fill,) = harness.send(trade(1000))
    assert fill.fee == str(INT64_MAX * 1000 * 10_000)


def test_a_price_beyond_64_bits_at_the_finer_scale_is_reported_at_the_markets_own() -> None:
    rules = {1: listed(price_scale=16, size_scale=0, leverage=10**9, leverage_max=10**9)}
    harness = new_harness(rules, slippage_bps=3, taker_fee="0.0000001")
    harness.actor.cash = 10**60  # type: ignore[attr-defined]
    placed(harness, order("a", BUY, 1))
    (fill,) = harness.send(trade(10**18 + 1))
    assert (fill.price, fill.finer) == (1_000_300_000_000_000_002, 0), "rounded up: 1.0003 x (10**18 + 1)"
    assert fill.fee == 100_030_000_001


@given(st.sampled_from([BUY, SELL]), prices, st.integers(1, 10**7), st.integers(0, 2000))
def test_a_limit_is_never_exceeded(side: int, limit: int, price: int, bps: int) -> None:
    harness = arrived(order("a", side, limit=limit), slippage_bps=bps)
    for market in (price, limit, limit - side, limit + side):
        for fill in harness.send(trade(max(1, market))):
            assert (limit * 10_000 - fill.price) * side >= 0


@pytest.mark.parametrize(("side", "bound", "worst"), [(BUY, 10010, 10010), (SELL, 9990, 9990)])
def test_the_bound_of_a_market_order_is_never_exceeded(side: int, bound: int, worst: int) -> None:
    harness = arrived(order("a", side, bound=bound), slippage_bps=50)
    assert fills(harness.send(trade(10000))) == [(worst, 10, "taker")]
    harness = arrived(order("b", side, bound=bound))
    (ended,) = harness.send(trade(bound + side))
    assert (ended.remaining, ended.reason) == (10, "Ioc found no match")


# Resting.


@pytest.mark.parametrize("side", [BUY, SELL])
def test_a_resting_order_needs_trades_through_its_price_and_fills_no_more_than_their_size(side: int) -> None:
    harness = arrived(order("a", side, limit=100))
    assert harness.send(trade(100 + side)) == []
    assert harness.send(trade(100)) == []
    assert fills(harness.send(trade(100 - side, size=4))) == [(100, 4, "maker")]
    assert fills(harness.send(trade(100 - side, size=40))) == [(100, 6, "maker")]
    assert harness.send(trade(100 - side)) == [], "it has ended"


def test_resting_orders_share_a_trade_best_price_first_then_oldest() -> None:
    harness = arrived(
        order("low", BUY, limit=99), order("high", BUY, limit=100), order("next", BUY, limit=100)
    )
    harness.send(trade(101))
    events = harness.send(trade(98, size=25))
    assert [(one.client_order_id, one.size) for one in events] == [("high", 10), ("next", 10), ("low", 5)]


def test_with_fill_on_touch_a_trade_at_the_price_fills_at_most_its_size() -> None:
    harness = arrived(order("a", BUY, limit=100), fill_on_touch=True)
    assert harness.send(trade(101)) == []
    assert fills(harness.send(trade(100, size=4))) == [(100, 4, "maker")]
    assert fills(harness.send(trade(100, size=4))) == [(100, 4, "maker")]
    assert fills(harness.send(trade(100, size=4))) == [(100, 2, "maker")]


def test_an_order_that_can_trade_at_once_is_a_taker_at_the_market() -> None:
    harness = arrived(order("a", BUY, limit=100))
    assert fills(harness.send(trade(90))) == [(90, 10, "taker")]
    harness = arrived(order("a", BUY, limit=100))
    assert fills(harness.send(trade(100))) == [(100, 10, "taker")]


def test_an_ioc_order_fills_on_its_first_market_event_or_is_canceled() -> None:
    harness = arrived(order("a", BUY, limit=100, tif="Ioc"))
    (ended,) = harness.send(trade(101))
    assert ended == OrderCanceled(T + 1, T - 6, "a", 1, 10, "Ioc found no match")
    assert harness.send(trade(50)) == []
    harness = arrived(order("a", SELL, limit=100, tif="Ioc"))
    assert fills(harness.send(trade(101))) == [(101, 10, "taker")]


# Cancels.


def test_a_cancel_arrives_after_its_latency_and_ends_what_is_left() -> None:
    harness = new_harness(latency_ms=10, fill_on_touch=True)
    harness.send(order("a", BUY, limit=100))
    harness.advance(T + 10 * MS)
    harness.send(trade(101), trade(100, size=4))
    assert harness.send(CancelOrder(T + 20 * MS, "a", 1)) == []
    (ended,) = harness.advance(T + 30 * MS)
    assert (ended.remaining, ended.reason) == (6, "canceled")
    assert harness.send(trade(1)) == []


def test_o06_a_cancel_that_arrives_too_late_does_nothing() -> None:
    harness = arrived(order("a", BUY))
    harness.send(trade(100), CancelOrder(T + 2, "a", 1))
    assert harness.advance(T + 10**10) == []


def test_a_cancel_sent_right_after_its_order_cancels_it() -> None:
    harness = new_harness(latency_ms=10)
    harness.send(order("a", BUY), CancelOrder(T, "a", 1))
    events = harness.advance(T + 10 * MS)
    assert [type(event) for event in events] == [OrderAccepted, OrderCanceled]


# What it listens to.

FOLLOWED: tuple[type[Event], ...] = (Trade, Quote)


def test_without_orders_market_data_is_not_routed_to_the_venue() -> None:
    harness = new_harness({1: listed()})
    listens = harness.actor.listens
    assert [listens(kind) for kind in FOLLOWED] == [False, True], "it is not known what the data has"
    harness.send(quote(99, 101))
    assert [listens(kind) for kind in FOLLOWED] == [False] * 2
    harness.send(order("a", BUY))
    assert [listens(kind) for kind in FOLLOWED] == [True] * 2, "from the time that it is sent"
    harness.advance(T + HOUR)
    harness.send(quote(99, 101))
    assert [listens(kind) for kind in FOLLOWED] == [False] * 2, "with a small position too"
    assert listens(SubmitOrder)
    assert listens(Candle)
    harness.send(book([], [(100, 5)]), order("b", BUY))
    harness.advance(T + HOUR)
    assert harness.send(quote(99, 101)) == [], "the data has books: a quote alone fills no taker"
