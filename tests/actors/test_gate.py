"""Preconditions for real orders: no new risk in doubt; a market order has a bound (I9, O10, T03)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.actors import Risk
from engine.actors.risk import Exposure
from engine.clock import SECOND_NS
from engine.config import RiskConfig, VenueConfig
from engine.events import (
    AccountRead,
    ClockChecked,
    EngineHalted,
    Event,
    FeedDown,
    FeedPolling,
    FeedUp,
    GatewayDown,
    MarketHalted,
    ModifyApproved,
    ModifyRequested,
    OperatorCommand,
    OrderApproved,
    OrderChanged,
    OrderFilled,
    OrderModified,
    OrderRefused,
    OrderRequested,
    PositionDiffers,
    Quote,
    SessionStarted,
    SubmitOrder,
    Trade,
)
from engine.values import BUY, SELL, format_scaled
from tests.actors.harness import LISTED, Harness, T

FREE: dict[str, Any] = {"max_order_notional": "0", "max_position_notional": "0", "max_orders_per_minute": 0}
STARTED = SessionStarted(T, "a" * 16, "live", "", "", "", (), "")
READ = AccountRead(T, T, "g", 6, 0, 0, 0, 0)
QUOTE = Quote(T, T, 1, 9_990, 5, 10_000, 5)


def new_harness(*events: Event, slippage_bps: int = 100, **limits: Any) -> Harness:
    harness = Harness(Risk(RiskConfig(**{**FREE, **limits}), VenueConfig(slippage_bps=slippage_bps)))
    harness.send(STARTED, Trade(T, T, 1, 10_000, 1, 1), *events)
    return harness


def request(side: int = BUY, size: int = 10, limit: int = 9_000, **more: Any) -> OrderRequested:
    return OrderRequested(T, "s", 1, side, size, limit, **more)


def refused(harness: Harness, one: OrderRequested | ModifyRequested) -> str:
    (answer,) = harness.send(one)
    return answer.limit if isinstance(answer, OrderRefused) else ""


def unknown(count: int, state: str = "Unknown") -> list[OrderChanged]:
    return [OrderChanged(T, f"0x{number}", "s", 1, state, 0, 1) for number in range(count)]


@pytest.mark.parametrize(
    ("events", "limit"),
    [
        ([], "unreconciled"),
        ([READ], ""),
        ([READ, GatewayDown(T, "g", "reset")], "unreconciled"),
        ([READ, GatewayDown(T, "g", "reset"), READ], ""),
        ([READ, STARTED], "unreconciled"),
        ([READ, FeedDown(T, "f", "reset")], "stale"),
        ([READ, FeedDown(T, "f", "reset"), FeedUp(T, "f", 1)], ""),
        (
            [READ, FeedDown(T, "f", "x"), FeedPolling(T, "f", True, "down"), FeedPolling(T, "f", False)],
            "stale",
        ),
        ([READ, ClockChecked(T, "v", SECOND_NS + 1)], "clock"),
        ([READ, ClockChecked(T, "v", -SECOND_NS - 1)], "clock"),
        ([READ, ClockChecked(T, "v", SECOND_NS)], ""),
        ([READ, *unknown(4)], "unknown_orders"),
        ([READ, *unknown(3)], ""),
        ([READ, *unknown(4), *unknown(1, "New")], ""),
    ],
)
def test_i9_no_new_risk_is_taken_in_doubt_and_reductions_are_approved(
    events: list[Event], limit: str
) -> None:
    harness = new_harness(*events)
    assert refused(harness, request()) == limit
    assert refused(harness, request(SELL, reduce_only=True)) == ""
    harness.send(OrderFilled(T, T, "", 1, BUY, 9_000, 50, 0, "taker", 1))
    assert refused(harness, request(SELL, 20)) == "", "closing a position is not new risk"


@given(
    bid=st.integers(1, 10**9),
    width=st.integers(1, 10**4),
    bps=st.integers(0, 5000),
    side=st.sampled_from([1, -1]),
)
def test_a_market_order_is_an_ioc_bounded_by_the_quote(bid: int, width: int, bps: int, side: int) -> None:
    harness = new_harness(READ, Quote(T, T, 2, bid, 5, bid + width, 5), slippage_bps=bps)
    harness.send(Trade(T, T, 2, bid, 1, 1))
    (answer,) = harness.send(OrderRequested(T, "s", 2, side, 10))
    assert isinstance(answer, OrderApproved)
    assert answer.tif == "Ioc"
    best = bid + width if side == BUY else bid
    exact = best * (10_000 + side * bps)
    assert answer.limit_price > 0
    # Never further from the quote than allowed, except that a sell is at least one step.
    assert (exact - answer.limit_price * 10_000) * side >= 0 or answer.limit_price in (best, 1)
    listed = LISTED[2]
    if answer.limit_price != best:
        assert (
            listed.price_on_grid(format_scaled(answer.limit_price, listed.price_scale), BUY)
            == answer.limit_price
        )


@pytest.mark.parametrize("quote", [None, Quote(T, T, 1, 9_990, 5, 0, 0)])
def test_l03_a_market_order_without_a_quote_is_refused(quote: Quote | None) -> None:
    harness = new_harness(READ, *([quote] if quote else []))
    assert refused(harness, request(limit=0)) == "no_touch"
    assert refused(harness, request(SELL, limit=0)) == ("no_touch" if quote is None else "")


def test_o18_a_position_that_differs_halts_its_instrument_with_both_numbers() -> None:
    harness = new_harness(READ, QUOTE)
    (halted,) = harness.send(PositionDiffers(T, 1, 1000, 2000))
    assert isinstance(halted, MarketHalted)
    assert "1" in halted.reason
    assert "2" in halted.reason
    assert refused(harness, request()) == "market_halted"
    assert harness.send(PositionDiffers(T, 1, 1000, 2000)) == [], "reported once"
    harness.send(OperatorCommand(T, "resume"))
    assert refused(harness, request()) == ""


def test_o17_an_adopted_position_counts_and_halts_nothing() -> None:
    harness = new_harness(READ, max_position_size={"AAA": "1"})
    assert harness.send(PositionDiffers(T, 1, 0, 995, True)) == []
    assert refused(harness, request(size=10)) == "max_position_size"
    assert refused(harness, request(SELL, 10)) == ""


def test_l14_fills_beyond_the_order_halt_at_once() -> None:
    harness = new_harness(READ)
    harness.send(request(), SubmitOrder(T, "0x1", "s", 1, BUY, 10, 9_000, "Gtc", False))
    assert harness.send(OrderFilled(T, T, "0x1", 1, BUY, 9_000, 10, 0, "taker", 1)) == []
    (halted,) = harness.send(OrderFilled(T, T, "0x1", 1, BUY, 9_000, 1, 0, "taker", 2))
    assert isinstance(halted, EngineHalted)


def test_o06_a_fill_after_the_end_uses_up_the_unfilled_size_and_no_more() -> None:
    harness = new_harness(READ)
    harness.send(request(), SubmitOrder(T, "0x1", "s", 1, BUY, 10, 9_000, "Gtc", False))
    harness.send(OrderChanged(T, "0x1", "s", 1, "Canceled", 0, 10))
    assert harness.send(OrderFilled(T, T, "0x1", 1, BUY, 9_000, 10, 0, "taker", 1)) == []
    assert exposure(harness) == (10, 0, 0)
    (halted,) = harness.send(OrderFilled(T, T, "0x1", 1, BUY, 9_000, 1, 0, "taker", 2))
    assert isinstance(halted, EngineHalted)


def exposure(harness: Harness) -> tuple[int, int, int]:
    one: Exposure = harness.actor.state()["_exposures"][1]
    return one.position, one.buying, one.selling


def test_a_change_of_an_order_is_checked_by_the_size_it_adds() -> None:
    harness = new_harness(READ, max_position_size={"AAA": "0.015"})
    harness.send(request(), SubmitOrder(T, "0x1", "s", 1, BUY, 10, 9_000, "Gtc", False))
    assert refused(harness, ModifyRequested(T, "s", "0x1", 1, 16, 9_000)) == "max_position_size"
    (answer,) = harness.send(ModifyRequested(T, "s", "0x1", 1, 15, 9_100))
    assert isinstance(answer, ModifyApproved)
    assert exposure(harness) == (0, 15, 0)
    harness.send(OrderModified(T, T, "0x1", 1, 5, 4, 9_100))
    assert exposure(harness) == (0, 4, 0)
    assert harness.send(ModifyRequested(T, "another", "0x1", 1, 4, 9_000)) == [], "another strategy's order"


def test_reduce_only_orders_add_no_exposure() -> None:
    harness = new_harness(READ)
    harness.send(
        request(SELL, reduce_only=True), SubmitOrder(T, "0x1", "s", 1, SELL, 10, 9_000, "Gtc", True),
        OrderFilled(T, T, "0x1", 1, SELL, 9_000, 4, 0, "taker", 1),
        OrderChanged(T, "0x1", "s", 1, "Canceled", 4, 6),
    )  # fmt: skip
    assert exposure(harness) == (-4, 0, 0)


def test_a_paper_session_has_no_preconditions() -> None:
    harness = Harness(Risk(RiskConfig(**FREE)))
    harness.send(STARTED, Trade(T, T, 1, 10_000, 1, 1), FeedDown(T, "f", "x"))
    (answer,) = harness.send(request(limit=0))
    assert isinstance(answer, OrderApproved)
    assert (answer.limit_price, answer.tif) == (0, "Gtc")
