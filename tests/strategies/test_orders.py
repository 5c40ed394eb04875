"""Orders of every type as a strategy asks for them: what is put on record, what is refused (O20, O21)."""

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
from tests.actors.desk import Desk, T
from tests.strategies.asking import asked, desk

ODD = [0, "0", "0.001", "-1", -1, 1.5, "NaN", Decimal("NaN"), True, "", "1e99"]
"""What is no price on the grid of AAA (two decimals), put down as for a buy."""


# Buy and sell.


def test_post_only_and_reduce_only_are_asked_for() -> None:
    (wish,) = asked(desk(), lambda s: s.buy("AAA", "1", limit="100", tif="Alo", reduce_only=True))
    assert wish == OrderRequested(T, "mine", 1, BUY, 1000, 10_000, "Alo", True)


def test_o20_attached_prices_go_on_the_grid_as_those_of_the_orders_they_are() -> None:
    """A long's are sells, and go up: its stop-loss triggers earlier, its take-profit asks for no less."""
    on = desk()
    (long,) = asked(on, lambda s: s.buy("AAA", 1, stop_loss="95.001", take_profit="110.001"))
    assert (long.side, long.stop_loss, long.take_profit) == (BUY, 9_501, 11_001)
    (short,) = asked(on, lambda s: s.sell("AAA", 1, stop_loss="110.009", take_profit="95.009"))
    assert (short.side, short.stop_loss, short.take_profit) == (SELL, 11_000, 9_500)


@pytest.mark.parametrize("field", ["stop_loss", "take_profit"])
@pytest.mark.parametrize("price", ODD)
def test_o21_no_odd_attached_price_is_asked_for(field: str, price: Any) -> None:
    on = desk()
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
def test_what_contradicts_itself_is_refused(ask: Any, words: str) -> None:
    on = desk()
    with pytest.raises(ValueError, match=words):
        asked(on, ask)
    assert on.log == []


# Stops.


@given(st.sampled_from(["buy", "sell"]), st.sampled_from(["sl", "tp"]), st.integers(10, 10**7))
def test_o20_a_trigger_is_on_the_grid_and_never_further_away(side: str, kind: str, thousandths: int) -> None:
    price = Decimal(thousandths).scaleb(-3)
    (wish,) = asked(desk(), lambda s: s.stop("AAA", side, 1, price, kind=kind))
    exact = price * 100
    assert 0 <= (wish.trigger_price - exact) * (1 if side == "sell" else -1) < 1
    assert (wish.trigger, wish.reduce_only, wish.limit_price) == (kind, True, 0)
    assert wish.side == (BUY if side == "buy" else SELL)


def test_a_stop_may_have_a_limit() -> None:
    (wish,) = asked(desk(), lambda s: s.stop("AAA", "sell", "0.5", "95", limit="94.001", reason="r"))
    assert wish == OrderRequested(
        T, "mine", 1, SELL, 500, 9_401, reduce_only=True, reason="r", trigger="sl", trigger_price=9_500
    )


@pytest.mark.parametrize("price", ODD)
def test_o21_no_odd_trigger_is_asked_for(price: Any) -> None:
    on = desk()
    with pytest.raises(NumberError):
        asked(on, lambda s: s.stop("AAA", "buy", 1, price))
    assert on.log == []


# Changes and cancels.


def working(*orders: SubmitOrder) -> Desk:
    on = desk()
    on.hand(*(orders or (order(),)))
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
def test_o20_a_change_goes_on_the_grid_and_keeps_what_is_left_out(
    side: int, change: Any, size: int, limit: int
) -> None:
    told = asked(working(order(side=side)), lambda s: s.modify("0x1", **change, reason="r"))
    assert told == [ModifyRequested(T, "mine", "0x1", 1, size, limit, "r")]


def test_o08_a_change_goes_by_what_is_open_and_changed_already() -> None:
    on = working()
    on.hand(OrderChanged(T, "0x1", "mine", 1, "PartiallyFilled", 2000, 3000))
    on.hand(OrderModified(T, T, "0x1", 1, 2, 3000, 10_050))
    (limit,) = asked(on, lambda s: s.modify("0x1", limit="101"))
    (size,) = asked(on, lambda s: s.modify("0x1", size="1"))
    assert (limit.size, limit.limit_price) == (3000, 10_100)
    assert (size.size, size.limit_price) == (1000, 10_050)


@pytest.mark.parametrize("price", ODD)
def test_o21_no_odd_limit_is_changed_to(price: Any) -> None:
    on = working()
    with pytest.raises(NumberError):
        asked(on, lambda s: s.modify("0x1", limit=price))
    assert on.log == []


def test_what_no_longer_works_is_neither_changed_nor_canceled() -> None:
    on = working(order(), SubmitOrder(T, "0x2", "other", 1, BUY, 5, 1, "Gtc", False))
    on.hand(OrderChanged(T, "0x1", "mine", 1, "Canceled", 0, 5000))
    for name in ("0x1", "0x2", "0x3"):
        assert asked(on, lambda s, name=name: s.modify(name, size=1)) == []
        assert asked(on, lambda s, name=name: s.cancel(name)) == []


@pytest.mark.parametrize(("one", "words"), [(order(trigger="sl"), "trigger"), (order(limit=0), "market")])
def test_an_order_without_a_limit_or_with_a_trigger_cannot_be_changed(one: SubmitOrder, words: str) -> None:
    """A change makes a plain limit order of it: a stop would be one no more."""
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
def test_a_trail_sells_what_is_long_and_buys_what_is_short(
    size: Any, short: bool, side: int, steps: int
) -> None:
    told = asked(desk(), lambda s: s.trail("AAA", size, "2.509", short=short, reason="r"))
    assert told == [TrailRequested(T, "mine", 1, side, steps, 250, "r")]


@pytest.mark.parametrize("distance", ODD)
def test_o21_no_odd_distance_is_asked_for(distance: Any) -> None:
    on = desk()
    with pytest.raises(NumberError):
        asked(on, lambda s: s.trail("AAA", 1, distance))
    assert on.log == []


@pytest.mark.parametrize("size", ["0.0009", 0, 1.0, None, "x"])
def test_o21_a_trail_of_no_size_does_not_take_another_away(size: Any) -> None:
    on = desk()
    with pytest.raises(NumberError):
        asked(on, lambda s: s.trail("AAA", size, "1"))
    assert on.log == []


def test_untrail_takes_it_away() -> None:
    assert asked(desk(), lambda s: s.untrail("AAA", "r")) == [
        TrailRequested(T, "mine", 1, NO_SIDE, 0, 0, "r")
    ]
