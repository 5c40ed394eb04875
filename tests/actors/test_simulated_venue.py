"""The rules of the matching model, with an independent formula for prices and fees."""

from __future__ import annotations

from fractions import Fraction
from math import ceil, floor
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.actors import SimulatedVenue
from engine.config import PaperConfig
from engine.events import (
    CancelOrder,
    Candle,
    OrderAccepted,
    OrderCanceled,
    OrderFilled,
    Quote,
    SubmitOrder,
    Trade,
)
from engine.values import BUY, INT64_MAX, SELL
from tests.actors.harness import MINUTE, Harness, T

MS = 1_000_000
PLAIN: dict[str, Any] = {"latency_ms": 0, "slippage_bps": 0, "taker_fee": "0", "maker_fee": "0"}


def new_harness(**config: Any) -> Harness:
    return Harness(SimulatedVenue(PaperConfig(**{**PLAIN, **config})))


def order(
    side: int, size: int = 10, limit: int = 0, tif: str = "Gtc", name: str = "0x1", at: int = T
) -> SubmitOrder:
    return SubmitOrder(at, name, "s", 1, side, size, limit, tif, False)


def trade(price: int, size: int = 1000, at: int = T + 1, instrument: int = 1) -> Trade:
    return Trade(at, at - 7, instrument, price, size, 1)


def quote(bid: int, ask: int, at: int = T + 1) -> Quote:
    return Quote(at, at - 7, 1, bid, 5 if bid else 0, ask, 5 if ask else 0)


def placed(harness: Harness, *orders: SubmitOrder) -> Harness:
    harness.send(*orders)
    harness.advance(T + 3600 * 10**9)
    return harness


def fills(events: list[Any]) -> list[tuple[int, int, str]]:
    return [(one.price, one.size, one.liquidity) for one in events if isinstance(one, OrderFilled)]


# Arrival.


@pytest.mark.parametrize("latency_ms", [0, 1, 250])
def test_nothing_fills_before_it_arrives_or_on_the_event_that_caused_it(latency_ms: int) -> None:
    harness = new_harness(latency_ms=latency_ms)
    assert harness.send(trade(100, at=T), order(BUY)) == []
    assert harness.send(trade(100, at=T)) == [], "still in transit, even without latency"
    assert harness.advance(T + latency_ms * MS - 1) == []
    (accepted,) = harness.advance(T + latency_ms * MS)
    assert accepted == OrderAccepted(T + latency_ms * MS, T + latency_ms * MS, "0x1", 1)
    assert fills(harness.send(trade(100, at=T + latency_ms * MS))) == [(100, 10, "taker")]


def test_another_instruments_market_fills_nothing() -> None:
    harness = placed(new_harness(), order(BUY))
    assert harness.send(trade(100, instrument=2)) == []


def test_orders_fill_in_the_order_of_their_arrival_with_rising_ids() -> None:
    harness = placed(new_harness(), *(order(BUY, name=f"0x{n}", at=T + n) for n in range(4)))
    events = harness.send(trade(100))
    assert [one.client_order_id for one in events] == ["0x0", "0x1", "0x2", "0x3"]
    assert [one.trade_id for one in events] == [1, 2, 3, 4]
    assert [one.venue_order_id for one in harness.all(OrderAccepted)] == [1, 2, 3, 4]


def test_all_reports_of_an_order_name_its_submission_as_cause() -> None:
    harness = new_harness()
    harness.send(trade(1), order(BUY), order(BUY, limit=1, tif="Ioc", name="0x2"))
    harness.advance(T + 1)
    harness.send(trade(100))
    assert [(type(event), cause) for event, cause in harness.causes] == [(OrderFilled, 2), (OrderCanceled, 3)]


# Prices and fees.

prices = st.integers(1, 10**7)


@given(
    st.sampled_from([BUY, SELL]), prices, st.integers(1, 10**9), st.integers(0, 500), st.integers(0, 10**5)
)
def test_a_taker_pays_slippage_and_a_fee_rounded_up(
    side: int, price: int, size: int, bps: int, rate: int
) -> None:
    harness = new_harness(slippage_bps=bps, taker_fee=f"{rate / 10**7:.7f}")
    placed(harness, order(side, size))
    (fill,) = harness.send(trade(price))
    exact = Fraction(price) * (1 + side * Fraction(bps, 10_000))
    assert fill.price == (ceil(exact) if side == BUY else max(floor(exact), 1))
    assert int(fill.fee) == ceil(Fraction(fill.price * size * rate, 10**7))
    assert (fill.size, fill.liquidity, fill.recv_ns, fill.venue_ns) == (size, "taker", T + 1, T - 6)


@given(prices, st.integers(1, 10**9), st.integers(-(10**4), 10**4))
def test_a_maker_trades_at_its_own_price_and_may_be_paid(price: int, size: int, rate: int) -> None:
    harness = new_harness(slippage_bps=100, maker_fee=f"{rate / 10**7:.7f}")
    placed(harness, order(BUY, size, limit=price))
    harness.send(trade(price + 1))
    if price > 1:
        (fill,) = harness.send(trade(price - 1))
        assert (fill.price, fill.size, fill.liquidity) == (price, size, "maker")
        assert int(fill.fee) == ceil(Fraction(price * size * rate, 10**7))


def test_a_fee_beyond_64_bits_is_text() -> None:
    harness = placed(new_harness(taker_fee="1"), order(BUY, INT64_MAX))
    (fill,) = harness.send(trade(1000))
    assert fill.fee == str(INT64_MAX * 1000)


@given(st.sampled_from([BUY, SELL]), prices, st.integers(1, 10**7), st.integers(0, 2000))
def test_a_limit_is_never_exceeded(side: int, limit: int, price: int, bps: int) -> None:
    harness = placed(new_harness(slippage_bps=bps), order(side, limit=limit))
    for market in (price, limit, limit - side, limit + side):
        for fill in harness.send(trade(max(1, market))):
            assert (limit - fill.price) * side >= 0


def test_slippage_stays_on_the_venues_grid() -> None:
    """BBB allows five significant figures: a price with slippage has no sixth."""
    harness = new_harness(slippage_bps=3)
    harness.send(SubmitOrder(T, "0x1", "s", 2, BUY, 1, 0, "Gtc", False))
    harness.advance(T + 1)
    (fill,) = harness.send(Trade(T + 2, T + 2, 2, 1_234_500, 1, 1))
    assert fill.price == 1_234_900, "123.45 * 1.0003 = 123.487, up to 123.49"


# Resting.


@pytest.mark.parametrize("side", [BUY, SELL])
def test_a_resting_order_needs_a_trade_through_its_price(side: int) -> None:
    harness = placed(new_harness(), order(side, limit=100))
    assert harness.send(trade(100 + side)) == []
    assert harness.send(trade(100)) == []
    assert fills(harness.send(trade(100 - side, size=1))) == [(100, 10, "maker")]
    assert harness.send(trade(100 - side)) == [], "it has ended"


def test_with_fill_on_touch_a_trade_at_the_price_fills_at_most_its_size() -> None:
    harness = placed(new_harness(fill_on_touch=True), order(BUY, limit=100))
    assert harness.send(trade(101)) == []
    assert fills(harness.send(trade(100, size=4))) == [(100, 4, "maker")]
    assert fills(harness.send(trade(100, size=4))) == [(100, 4, "maker")]
    assert fills(harness.send(trade(100, size=4))) == [(100, 2, "maker")]


def test_an_order_that_can_trade_at_once_is_a_taker_at_the_market() -> None:
    harness = placed(new_harness(), order(BUY, limit=100))
    assert fills(harness.send(trade(90))) == [(90, 10, "taker")]
    harness = placed(new_harness(), order(BUY, limit=100))
    assert fills(harness.send(trade(100))) == [(100, 10, "taker")]


def test_an_ioc_order_fills_on_its_first_market_event_or_is_canceled() -> None:
    harness = placed(new_harness(), order(BUY, limit=100, tif="Ioc"))
    (ended,) = harness.send(trade(101))
    assert ended == OrderCanceled(T + 1, T - 6, "0x1", 1, 10, "Ioc found no match")
    assert harness.send(trade(50)) == []
    harness = placed(new_harness(), order(SELL, limit=100, tif="Ioc"))
    assert fills(harness.send(trade(101))) == [(101, 10, "taker")]


# Quotes and candles.


def test_quotes_fill_at_the_other_side_and_an_empty_side_fills_nothing() -> None:
    harness = placed(new_harness(), order(BUY), order(SELL, name="0x2"))
    assert harness.send(quote(0, 0)) == []
    assert fills(harness.send(quote(0, 105))) == [(105, 10, "taker")]
    assert harness.send(quote(0, 105)) == []
    assert fills(harness.send(quote(95, 105))) == [(95, 10, "taker")]


def test_a_quote_at_a_resting_price_is_not_through_it() -> None:
    """A quote at the order's price may be the order itself, or be ahead of it.

    Only a quote through it fills.
    """
    harness = placed(new_harness(), order(BUY, limit=100))
    assert harness.send(quote(90, 101)) == []
    assert fills(harness.send(quote(90, 99))) == [(100, 10, "maker")]


def candle(opening: int, high: int, low: int, close: int) -> Candle:
    return Candle(T + MINUTE, T + MINUTE, 1, MINUTE, T, opening, high, low, close, 1)


def test_on_candles_a_market_order_fills_at_the_next_open() -> None:
    harness = placed(new_harness(), order(BUY))
    assert fills(harness.send(candle(100, 120, 80, 110))) == [(100, 10, "taker")]


@pytest.mark.parametrize(("low", "filled"), [(96, False), (95, False), (94, True)])
def test_on_candles_a_resting_order_fills_when_the_far_end_goes_through_it(low: int, filled: bool) -> None:
    harness = placed(new_harness(), order(BUY, limit=95))
    assert fills(harness.send(candle(100, 120, low, 110))) == ([(95, 10, "maker")] if filled else [])


def test_on_candles_an_ioc_order_can_fill_at_the_open_only() -> None:
    harness = placed(new_harness(), order(BUY, limit=95, tif="Ioc"))
    (ended,) = harness.send(candle(100, 120, 50, 110))
    assert isinstance(ended, OrderCanceled)


# Cancels.


def test_a_cancel_arrives_after_its_latency_and_ends_what_is_left() -> None:
    harness = new_harness(latency_ms=10, fill_on_touch=True)
    harness.send(order(BUY, limit=100))
    harness.advance(T + 10 * MS)
    harness.send(trade(101), trade(100, size=4))
    assert harness.send(CancelOrder(T + 20 * MS, "0x1", 1)) == []
    (ended,) = harness.advance(T + 30 * MS)
    assert (ended.remaining, ended.reason) == (6, "canceled")
    assert harness.send(trade(1)) == []


def test_o06_a_cancel_that_arrives_too_late_does_nothing() -> None:
    harness = placed(new_harness(), order(BUY))
    harness.send(trade(100), CancelOrder(T + 2, "0x1", 1))
    assert harness.advance(T + 10**10) == []


def test_a_cancel_sent_right_after_its_order_cancels_it() -> None:
    harness = new_harness(latency_ms=10)
    harness.send(order(BUY), CancelOrder(T, "0x1", 1))
    events = harness.advance(T + 10 * MS)
    assert [type(event) for event in events] == [OrderAccepted, OrderCanceled]


def test_without_orders_market_data_is_not_routed_to_the_venue() -> None:
    harness = new_harness()
    listens = harness.actor.listens
    assert [listens(kind) for kind in (Trade, Quote, Candle)] == [False] * 3
    placed(harness, order(BUY))
    assert [listens(kind) for kind in (Trade, Quote, Candle)] == [True] * 3
    harness.send(trade(5))
    assert not listens(Trade)
    assert listens(SubmitOrder)
