"""Requests for orders of every type: what is recorded and what is refused (O20, O21)."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import NumberError
from engine.events import (
    CancelRequested,
    ModifyRequested,
    OrderChanged,
    OrderModified,
    OrderRequested,
    SubmitOrder,
    TrailRequested,
)
from engine.values import BUY, NO_SIDE, SELL
from tests.actors.harness import Harness, T
from tests.strategies.asking import asked, harness

INVALID = [0, "0", "0.001", "-1", -1, 1.5, "NaN", Decimal("NaN"), True, "", "1e99"]
"""Invalid prices of AAA, whose grid has two decimals, when rounded down as for a buy."""


# Buy and sell.


def test_post_only_and_reduce_only_are_in_the_request() -> None:
    (request,) = asked(harness(), lambda s: s.buy("AAA", "1", limit="100", tif="Alo", reduce_only=True))
    assert request == OrderRequested(T, "mine", 1, BUY, 1000, 10_000, "Alo", True)


def test_o20_attached_prices_are_rounded_by_the_side_of_the_attached_order() -> None:
    """Those of a long position are sells and are rounded up, so its stop-loss triggers earlier."""
    on = harness()
    (long,) = asked(on, lambda s: s.buy("AAA", 1, stop_loss="95.001", take_profit="110.001"))
    assert (long.side, long.stop_loss, long.take_profit) == (BUY, 9_501, 11_001)
    (short,) = asked(on, lambda s: s.sell("AAA", 1, stop_loss="110.009", take_profit="95.009"))
    assert (short.side, short.stop_loss, short.take_profit) == (SELL, 11_000, 9_500)


@pytest.mark.parametrize("field", ["stop_loss", "take_profit"])
@pytest.mark.parametrize("price", INVALID)
def test_o21_an_invalid_attached_price_is_refused(field: str, price: Any) -> None:
    on = harness()
    with pytest.raises(NumberError):
        asked(on, lambda s: s.sell("AAA", 1, **{field: price}))
    assert on.log == []


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (lambda s: s.buy("AAA", 1, tif="Alo"), "needs a limit"),
        (lambda s: s.buy("AAA", 1, stop_loss="110", take_profit="95"), "the wrong way round"),
        (lambda s: s.sell("AAA", 1, stop_loss="95", take_profit="110"), "the wrong way round"),
        (lambda s: s.buy("AAA", 1, stop_loss="95", take_profit="95"), "the wrong way round"),
        (lambda s: s.sell("AAA", 1, reduce_only=True, stop_loss="95"), "only reduces"),
        (lambda s: s.stop("AAA", "long", 1, "95"), "'buy' or 'sell'"),
        (lambda s: s.stop("AAA", "sell", 1, "95", kind="stop"), "'sl' or 'tp'"),
        (lambda s: s.modify("0x1"), "a size, a limit"),
    ],
)
def test_arguments_that_contradict_each_other_are_refused(ask: Any, words: str) -> None:
    on = harness()
    with pytest.raises(ValueError, match=words):
        asked(on, ask)
    assert on.log == []


# Stops.


@given(st.sampled_from(["buy", "sell"]), st.sampled_from(["sl", "tp"]), st.integers(10, 10**7))
def test_o20_a_trigger_is_on_the_grid_and_never_further_from_the_price(
    side: str, kind: str, thousandths: int
) -> None:
    price = Decimal(thousandths).scaleb(-3)
    (request,) = asked(harness(), lambda s: s.stop("AAA", side, 1, price, kind=kind))
    exact = price * 100
    assert 0 <= (request.trigger_price - exact) * (1 if side == "sell" else -1) < 1
    assert (request.trigger, request.reduce_only, request.limit_price) == (kind, True, 0)
    assert request.side == (BUY if side == "buy" else SELL)


def test_a_stop_may_have_a_limit() -> None:
    (request,) = asked(harness(), lambda s: s.stop("AAA", "sell", "0.5", "95", limit="94.001", reason="r"))
    assert request == OrderRequested(
        T, "mine", 1, SELL, 500, 9_401, reduce_only=True, reason="r", trigger="sl", trigger_price=9_500
    )


@pytest.mark.parametrize("price", INVALID)
def test_o21_an_invalid_trigger_is_refused(price: Any) -> None:
    on = harness()
    with pytest.raises(NumberError):
        asked(on, lambda s: s.stop("AAA", "buy", 1, price))
    assert on.log == []


# Changes and cancels.


def working(*orders: SubmitOrder) -> Harness:
    on = harness()
    on.send(*(orders or (order(),)))
    return on


def order(name: str = "0x1", side: int = BUY, limit: int = 10_000, trigger: str = "") -> SubmitOrder:
    return SubmitOrder(T, name, "mine", 1, side, 5000, limit, "Gtc", bool(trigger), trigger, 9_500)


@pytest.mark.parametrize(
    ("side", "change", "size", "limit"),
    [
        (BUY, {"size": "2", "limit": "101.019"}, 2000, 10_101),
        (SELL, {"size": "2.0009", "limit": "101.011"}, 2000, 10_102),
        (BUY, {"limit": 99}, 5000, 9_900),
        (SELL, {"size": 7}, 7000, 10_000),
    ],
)
def test_o20_a_change_is_rounded_to_the_grid_and_keeps_omitted_values(
    side: int, change: Any, size: int, limit: int
) -> None:
    emitted = asked(working(order(side=side)), lambda s: s.modify("0x1", **change, reason="r"))
    assert emitted == [ModifyRequested(T, "mine", "0x1", 1, size, limit, "r")]


def test_o08_a_change_is_relative_to_the_open_size_and_earlier_changes() -> None:
    on = working()
    on.send(OrderChanged(T, "0x1", "mine", 1, "PartiallyFilled", 2000, 3000))
    on.send(OrderModified(T, T, "0x1", 1, 2, 3000, 10_050))
    (limit,) = asked(on, lambda s: s.modify("0x1", limit="101"))
    (size,) = asked(on, lambda s: s.modify("0x1", size="1"))
    assert (limit.size, limit.limit_price) == (3000, 10_100)
    assert (size.size, size.limit_price) == (1000, 10_050)


@pytest.mark.parametrize("price", INVALID)
def test_o21_an_invalid_limit_is_refused_in_a_change(price: Any) -> None:
    on = working()
    with pytest.raises(NumberError):
        asked(on, lambda s: s.modify("0x1", limit=price))
    assert on.log == []


def test_an_order_that_no_longer_works_is_not_changed_or_canceled() -> None:
    on = working(order(), SubmitOrder(T, "0x2", "other", 1, BUY, 5, 1, "Gtc", False))
    on.send(OrderChanged(T, "0x1", "mine", 1, "Canceled", 0, 5000))
    for name in ("0x1", "0x2", "0x3"):
        assert asked(on, lambda s, name=name: s.modify(name, size=1)) == []
        assert asked(on, lambda s, name=name: s.cancel(name)) == []


@pytest.mark.parametrize(("one", "words"), [(order(trigger="sl"), "trigger"), (order(limit=0), "market")])
def test_an_order_without_a_limit_or_with_a_trigger_cannot_be_changed(one: SubmitOrder, words: str) -> None:
    """A change would turn it into a plain limit order."""
    on = working(one)
    with pytest.raises(ValueError, match=f"a {words} order cannot be changed"):
        asked(on, lambda s: s.modify("0x1", limit="90"))
    assert on.log == []


def test_one_order_is_canceled_by_its_id() -> None:
    on = working(order(), order("0x2"))
    assert asked(on, lambda s: s.cancel("0x2", "r")) == [CancelRequested(T, "mine", "0x2", "r")]


# Trailing stops.


@pytest.mark.parametrize(
    ("size", "short", "side", "steps"),
    [("1.5", False, SELL, 1500), ("-1.5", False, BUY, 1500), (2, True, BUY, 2000), ("-2", True, SELL, 2000)],
)
def test_a_trailing_stop_sells_a_long_position_and_buys_a_short_one(
    size: Any, short: bool, side: int, steps: int
) -> None:
    emitted = asked(harness(), lambda s: s.trail("AAA", size, "2.509", short=short, reason="r"))
    assert emitted == [TrailRequested(T, "mine", 1, side, steps, 250, "r")]


@pytest.mark.parametrize("distance", INVALID)
def test_o21_an_invalid_distance_is_refused(distance: Any) -> None:
    on = harness()
    with pytest.raises(NumberError):
        asked(on, lambda s: s.trail("AAA", 1, distance))
    assert on.log == []


@pytest.mark.parametrize("size", ["0.0009", 0, 1.0, None, "x"])
def test_o21_a_trailing_stop_of_an_invalid_size_does_not_replace_another(size: Any) -> None:
    on = harness()
    with pytest.raises(NumberError):
        asked(on, lambda s: s.trail("AAA", size, "1"))
    assert on.log == []


def test_untrail_removes_the_trailing_stop() -> None:
    assert asked(harness(), lambda s: s.untrail("AAA", "r")) == [
        TrailRequested(T, "mine", 1, NO_SIDE, 0, 0, "r")
    ]
