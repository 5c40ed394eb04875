"""The matching model: its rules as stated, by an independent formula for prices and fees."""

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


def desk(**config: Any) -> Harness:
    return Harness(SimulatedVenue(PaperConfig(**{**PLAIN, **config})))


def order(
    side: int, size: int = 10, limit: int = 0, tif: str = "Gtc", name: str = "0x1", at: int = T
) -> SubmitOrder:
    return SubmitOrder(at, name, "s", 1, side, size, limit, tif, False)


def trade(price: int, size: int = 1000, at: int = T + 1, instrument: int = 1) -> Trade:
    return Trade(at, at - 7, instrument, price, size, 1)


def quote(bid: int, ask: int, at: int = T + 1) -> Quote:
    return Quote(at, at - 7, 1, bid, 5 if bid else 0, ask, 5 if ask else 0)


def placed(on: Harness, *orders: SubmitOrder) -> Harness:
    on.send(*orders)
    on.advance(T + 3600 * 10**9)
    return on


def fills(events: list[Any]) -> list[tuple[int, int, str]]:
    return [(one.price, one.size, one.liquidity) for one in events if isinstance(one, OrderFilled)]


# Arrival.


@pytest.mark.parametrize("latency_ms", [0, 1, 250])
def test_nothing_fills_before_it_arrived_nor_on_what_caused_it(latency_ms: int) -> None:
    on = desk(latency_ms=latency_ms)
    assert on.send(trade(100, at=T), order(BUY)) == []
    assert on.send(trade(100, at=T)) == [], "still under way, even without latency"
    assert on.advance(T + latency_ms * MS - 1) == []
    (accepted,) = on.advance(T + latency_ms * MS)
    assert accepted == OrderAccepted(T + latency_ms * MS, T + latency_ms * MS, "0x1", 1)
    assert fills(on.send(trade(100, at=T + latency_ms * MS))) == [(100, 10, "taker")]


def test_another_instruments_market_fills_nothing() -> None:
    on = placed(desk(), order(BUY))
    assert on.send(trade(100, instrument=2)) == []


def test_orders_fill_in_the_order_of_their_arrival_with_rising_ids() -> None:
    on = placed(desk(), *(order(BUY, name=f"0x{n}", at=T + n) for n in range(4)))
    events = on.send(trade(100))
    assert [one.client_order_id for one in events] == ["0x0", "0x1", "0x2", "0x3"]
    assert [one.trade_id for one in events] == [1, 2, 3, 4]
    assert [one.venue_order_id for one in on.all(OrderAccepted)] == [1, 2, 3, 4]


def test_what_becomes_of_an_order_names_its_submission_as_cause() -> None:
    on = desk()
    on.send(trade(1), order(BUY), order(BUY, limit=1, tif="Ioc", name="0x2"))
    on.advance(T + 1)
    on.send(trade(100))
    assert [(type(event), cause) for event, cause in on.causes] == [(OrderFilled, 2), (OrderCanceled, 3)]


# Prices and fees.

prices = st.integers(1, 10**7)


@given(
    st.sampled_from([BUY, SELL]), prices, st.integers(1, 10**9), st.integers(0, 500), st.integers(0, 10**5)
)
def test_a_taker_pays_the_market_worsened_and_its_fee_rounded_against_us(
    side: int, price: int, size: int, bps: int, rate: int
) -> None:
    on = desk(slippage_bps=bps, taker_fee=f"{rate / 10**7:.7f}")
    placed(on, order(side, size))
    (fill,) = on.send(trade(price))
    exact = Fraction(price) * (1 + side * Fraction(bps, 10_000))
    assert fill.price == (ceil(exact) if side == BUY else max(floor(exact), 1))
    assert int(fill.fee) == ceil(Fraction(fill.price * size * rate, 10**7))
    assert (fill.size, fill.liquidity, fill.recv_ns, fill.venue_ns) == (size, "taker", T + 1, T - 6)


@given(prices, st.integers(1, 10**9), st.integers(-(10**4), 10**4))
def test_a_maker_trades_at_its_own_price_and_may_be_paid(price: int, size: int, rate: int) -> None:
    on = desk(slippage_bps=100, maker_fee=f"{rate / 10**7:.7f}")
    placed(on, order(BUY, size, limit=price))
    on.send(trade(price + 1))
    if price > 1:
        (fill,) = on.send(trade(price - 1))
        assert (fill.price, fill.size, fill.liquidity) == (price, size, "maker")
        assert int(fill.fee) == ceil(Fraction(price * size * rate, 10**7))


def test_a_fee_beyond_64_bits_is_text() -> None:
    on = placed(desk(taker_fee="1"), order(BUY, INT64_MAX))
    (fill,) = on.send(trade(1000))
    assert fill.fee == str(INT64_MAX * 1000)


@given(st.sampled_from([BUY, SELL]), prices, st.integers(1, 10**7), st.integers(0, 2000))
def test_a_limit_is_never_exceeded(side: int, limit: int, price: int, bps: int) -> None:
    on = placed(desk(slippage_bps=bps), order(side, limit=limit))
    for market in (price, limit, limit - side, limit + side):
        for fill in on.send(trade(max(1, market))):
            assert (limit - fill.price) * side >= 0


def test_slippage_stays_on_the_venues_grid() -> None:
    """BBB allows five significant figures: a worsened price has no sixth."""
    on = desk(slippage_bps=3)
    on.send(SubmitOrder(T, "0x1", "s", 2, BUY, 1, 0, "Gtc", False))
    on.advance(T + 1)
    (fill,) = on.send(Trade(T + 2, T + 2, 2, 1_234_500, 1, 1))
    assert fill.price == 1_234_900, "123.45 * 1.0003 = 123.487, up to 123.49"


# Resting.


@pytest.mark.parametrize("side", [BUY, SELL])
def test_a_resting_order_needs_a_print_through_its_price(side: int) -> None:
    on = placed(desk(), order(side, limit=100))
    assert on.send(trade(100 + side)) == []
    assert on.send(trade(100)) == []
    assert fills(on.send(trade(100 - side, size=1))) == [(100, 10, "maker")]
    assert on.send(trade(100 - side)) == [], "it is done"


def test_with_fill_on_touch_a_print_at_the_price_fills_no_more_than_its_size() -> None:
    on = placed(desk(fill_on_touch=True), order(BUY, limit=100))
    assert on.send(trade(101)) == []
    assert fills(on.send(trade(100, size=4))) == [(100, 4, "maker")]
    assert fills(on.send(trade(100, size=4))) == [(100, 4, "maker")]
    assert fills(on.send(trade(100, size=4))) == [(100, 2, "maker")]


def test_an_order_that_can_trade_at_once_is_a_taker_at_the_market() -> None:
    on = placed(desk(), order(BUY, limit=100))
    assert fills(on.send(trade(90))) == [(90, 10, "taker")]
    on = placed(desk(), order(BUY, limit=100))
    assert fills(on.send(trade(100))) == [(100, 10, "taker")]


def test_ioc_fills_at_its_first_chance_or_is_canceled() -> None:
    on = placed(desk(), order(BUY, limit=100, tif="Ioc"))
    (ended,) = on.send(trade(101))
    assert ended == OrderCanceled(T + 1, T - 6, "0x1", 1, 10, "Ioc found no match")
    assert on.send(trade(50)) == []
    on = placed(desk(), order(SELL, limit=100, tif="Ioc"))
    assert fills(on.send(trade(101))) == [(101, 10, "taker")]


# Quotes and candles.


def test_quotes_fill_at_the_other_side_and_an_empty_side_fills_nothing() -> None:
    on = placed(desk(), order(BUY), order(SELL, name="0x2"))
    assert on.send(quote(0, 0)) == []
    assert fills(on.send(quote(0, 105))) == [(105, 10, "taker")]
    assert on.send(quote(0, 105)) == []
    assert fills(on.send(quote(95, 105))) == [(95, 10, "taker")]


def test_a_quote_at_a_resting_price_is_not_through_it() -> None:
    """What is quoted at our price may be ourselves, or stand before us: only a quote through it fills."""
    on = placed(desk(), order(BUY, limit=100))
    assert on.send(quote(90, 101)) == []
    assert fills(on.send(quote(90, 99))) == [(100, 10, "maker")]


def candle(opening: int, high: int, low: int, close: int) -> Candle:
    return Candle(T + MINUTE, T + MINUTE, 1, MINUTE, T, opening, high, low, close, 1)


def test_on_candles_a_market_order_fills_at_the_next_open() -> None:
    on = placed(desk(), order(BUY))
    assert fills(on.send(candle(100, 120, 80, 110))) == [(100, 10, "taker")]


@pytest.mark.parametrize(("low", "filled"), [(96, False), (95, False), (94, True)])
def test_on_candles_a_resting_order_fills_when_the_far_end_goes_through_it(low: int, filled: bool) -> None:
    on = placed(desk(), order(BUY, limit=95))
    assert fills(on.send(candle(100, 120, low, 110))) == ([(95, 10, "maker")] if filled else [])


def test_on_candles_ioc_has_the_open_only() -> None:
    on = placed(desk(), order(BUY, limit=95, tif="Ioc"))
    (ended,) = on.send(candle(100, 120, 50, 110))
    assert isinstance(ended, OrderCanceled)


# Cancels.


def test_a_cancel_arrives_after_its_latency_and_ends_what_is_left() -> None:
    on = desk(latency_ms=10, fill_on_touch=True)
    on.send(order(BUY, limit=100))
    on.advance(T + 10 * MS)
    on.send(trade(101), trade(100, size=4))
    assert on.send(CancelOrder(T + 20 * MS, "0x1", 1)) == []
    (ended,) = on.advance(T + 30 * MS)
    assert (ended.remaining, ended.reason) == (6, "canceled")
    assert on.send(trade(1)) == []


def test_o06_a_cancel_that_comes_too_late_finds_nothing_to_do() -> None:
    on = placed(desk(), order(BUY))
    on.send(trade(100), CancelOrder(T + 2, "0x1", 1))
    assert on.advance(T + 10**10) == []


def test_a_cancel_sent_right_after_its_order_finds_it_there() -> None:
    on = desk(latency_ms=10)
    on.send(order(BUY), CancelOrder(T, "0x1", 1))
    events = on.advance(T + 10 * MS)
    assert [type(event) for event in events] == [OrderAccepted, OrderCanceled]


def test_without_orders_the_market_is_not_listened_to() -> None:
    on = desk()
    listens = on.actor.listens
    assert [listens(kind) for kind in (Trade, Quote, Candle)] == [False] * 3
    placed(on, order(BUY))
    assert [listens(kind) for kind in (Trade, Quote, Candle)] == [True] * 3
    on.send(trade(5))
    assert not listens(Trade)
    assert listens(SubmitOrder)
