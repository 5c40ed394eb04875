"""Requests for orders of every type: what is recorded and what is refused (O20, O21)."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.actors import SetTimer
from engine.errors import NumberError
from engine.events import (
    CancelRequested,
    ModifyRequested,
    OrderChanged,
    OrderModified,
    OrderRefused,
    OrderRequested,
    OrderTerms,
    StopChanged,
    StopRequested,
    TrailRequested,
)
from engine.values import BUY, NO_SIDE, SELL
from tests.actors.harness import Harness, T
from tests.strategies.asking import asked, booked, equity, harness, placed, read, started

INVALID = [0, "0", "0.001", 0.001, "-1", -1, -1.5, float("nan"), "NaN", Decimal("NaN"), True, "", "1e99", [5]]
"""Invalid prices of AAA, whose grid has two decimals, when rounded down as for a buy."""


# Handles.


def test_every_request_has_a_handle_of_its_own_that_is_returned_at_once() -> None:
    on = harness()
    handles: list[str] = []

    def ask(s: Any) -> None:
        handles.append(s.buy("AAA", 1))
        handles.append(s.sell("BBB", 1, limit="5"))
        handles.append(s.stop("AAA", "sell", 1, "95"))

    buy, sell, stop = asked(on, ask)
    assert handles == ["mine-1", "mine-2", "mine-3"]
    assert [buy.terms.handle, sell.terms.handle, stop.handle] == handles
    assert all(type(one) is str for one in handles), "a handle can be kept in the state"


def test_a_recorded_handle_is_not_given_again() -> None:
    """A strategy that is rebuilt after a failure may make fewer calls than the record has."""
    on = harness()
    on.send(OrderRequested(T, "mine", 1, OrderTerms(BUY, 5, handle="mine-7")))
    on.send(StopRequested(T, "mine", 1, "mine-9", SELL, 5, "sl", 9_500))
    on.send(OrderRequested(T, "other", 1, OrderTerms(BUY, 5, handle="other-70")))
    assert read(on, lambda s: s.buy("AAA", 1)) == "mine-10"


@pytest.mark.parametrize(
    ("mode", "first"), [("paper", T // 10**6 + 1), ("live", T // 10**6 + 1), ("backtest", 1)]
)
def test_a_strategy_that_begins_without_its_state_gives_other_handles(mode: str, first: int) -> None:
    """Its earlier orders and stops may still live. A backtest has none."""
    on = harness()
    on.send(started(mode))
    assert read(on, lambda s: s.buy("AAA", 1)) == f"mine-{first}"
    on.send(started(mode))
    assert read(on, lambda s: s.buy("AAA", 1)) == f"mine-{first + 1}"


# Buy and sell.


def test_post_only_and_reduce_only_are_in_the_request() -> None:
    (request,) = asked(harness(), lambda s: s.buy("AAA", "1", limit="100", tif="Alo", reduce_only=True))
    terms = OrderTerms(BUY, 1000, 10_000, "Alo", reduce_only=True, handle="mine-1")
    assert request == OrderRequested(T, "mine", 1, terms)
    assert (request.terms.role, request.terms.purpose) == ("", "own"), "the order manager decides the role"


@pytest.mark.parametrize(("method", "side"), [("buy", BUY), ("sell", SELL)])
@pytest.mark.parametrize("kind", ["sl", "tp"])
def test_an_entry_may_wait_for_its_price(method: str, side: int, kind: str) -> None:
    (request,) = asked(
        harness(), lambda s: getattr(s, method)("AAA", 1, trigger="105.001", kind=kind, group="g")
    )
    terms = request.terms
    assert (terms.side, terms.trigger, terms.limit, terms.group) == (side, kind, 0, "g")
    assert terms.trigger_price == (10_500 if side == BUY else 10_501)


def test_an_order_without_a_trigger_has_no_kind() -> None:
    (request,) = asked(harness(), lambda s: s.buy("AAA", 1, kind="tp"))
    assert (request.terms.trigger, request.terms.trigger_price) == ("", 0)


def test_o20_a_bracket_is_rounded_by_the_side_of_its_stops() -> None:
    """Those of a long position are sells and are rounded up, so its stop-loss triggers earlier."""
    on = harness()
    (long,) = asked(on, lambda s: s.buy("AAA", 1, stop_loss="95.001", take_profit="110.001"))
    assert (long.terms.side, long.children) == (BUY, (("sl", 9_501, 1000), ("tp", 11_001, 1000)))
    (short,) = asked(on, lambda s: s.sell("AAA", 1, stop_loss="110.009", take_profit="95.009"))
    assert (short.terms.side, short.children) == (SELL, (("sl", 11_000, 1000), ("tp", 9_500, 1000)))


def test_several_take_profits_have_sizes_of_their_own() -> None:
    on = harness()
    (request,) = asked(on, lambda s: s.buy("AAA", 2, stop_loss=95, take_profit=[(105, 0.5), ("110", "1.5")]))
    assert request.children == (("sl", 9_500, 2000), ("tp", 10_500, 500), ("tp", 11_000, 1500))
    with pytest.raises(ValueError, match="more than the order's"):
        asked(on, lambda s: s.buy("AAA", 2, take_profit=[(105, 1), (110, "1.001")]))
    assert len(on.log) == 1
    (request,) = asked(on, lambda s: s.buy("AAA", 2, take_profit=[(105, 1), (110, "0.0009")]))
    assert request.children == (("tp", 10_500, 1000),), "a part below the grid is left out"


@pytest.mark.parametrize("field", ["stop_loss", "take_profit", "limit", "trigger"])
@pytest.mark.parametrize("price", INVALID)
def test_o21_an_invalid_price_is_refused(field: str, price: Any) -> None:
    on = harness()
    if field == "take_profit" and price == [5]:
        price = [("x", 1)]
    side = "sell" if field in ("stop_loss", "take_profit") else "buy"
    with pytest.raises(NumberError):
        asked(on, lambda s: getattr(s, side)("AAA", 1, **{field: price}))
    assert on.log == []


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (lambda s: s.buy("AAA", 1, tif="Alo"), "needs a limit"),
        (lambda s: s.buy("AAA", 1, stop_loss="110", take_profit="95"), "the wrong way round"),
        (lambda s: s.buy("AAA", 2, stop_loss="110", take_profit=[(120, 1), (95, 1)]), "the wrong way round"),
        (lambda s: s.sell("AAA", 1, stop_loss="95", take_profit="110"), "the wrong way round"),
        (lambda s: s.buy("AAA", 1, stop_loss="95", take_profit="95"), "the wrong way round"),
        (lambda s: s.sell("AAA", 1, reduce_only=True, stop_loss="95"), "only reduces"),
        (lambda s: s.stop("AAA", "long", 1, "95"), "'buy' or 'sell'"),
        (lambda s: s.stop("AAA", "sell", 1, "95", kind="stop"), "'sl' or 'tp'"),
        (lambda s: s.buy("AAA", 1, trigger="105", kind="stop"), "'sl' or 'tp'"),
        (lambda s: s.modify("0x1"), "a size, a limit"),
        (lambda s: s.buy("AAA"), "one of size, notional and percent"),
        (lambda s: s.buy("AAA", 1, notional=5), "one of size, notional and percent"),
        (lambda s: s.target("AAA", notional=5, percent=5), "one of size, notional and percent"),
        (lambda s: s.buy("AAA", 1, ttl_ms=0), "at least 1 millisecond"),
    ],
)
def test_arguments_that_contradict_each_other_are_refused(ask: Any, words: str) -> None:
    on = harness()
    with pytest.raises(ValueError, match=words):
        asked(on, ask)
    assert on.log == []


# Sizes by value.


def test_a_size_may_be_given_by_its_value_at_the_limit_or_at_the_newest_price() -> None:
    """The trade that calls is at 100.50."""
    on = harness()
    assert asked(on, lambda s: s.buy("AAA", notional="201"))[0].terms.size == 2000
    assert asked(on, lambda s: s.buy("AAA", notional=201.0, limit=50))[0].terms.size == 4020
    assert asked(on, lambda s: s.sell("AAA", notional=100, trigger="99.99"))[0].terms.size == 1000
    on.send(equity(40_200_000))
    assert asked(on, lambda s: s.buy("AAA", percent=50))[0].terms.size == 2000, "half of 402 at 100.50"
    assert asked(on, lambda s: s.target("AAA", percent=-50))[0].size == -2000
    assert asked(on, lambda s: s.target("AAA", notional=201, short=True)) == [], "that is the target already"
    for odd in ("lots", float("nan"), float("inf"), True, None):
        with pytest.raises((NumberError, ValueError)):
            asked(on, lambda s, odd=odd: s.buy("AAA", notional=odd))
    with pytest.raises(NumberError, match="negative"):
        asked(on, lambda s: s.buy("AAA", notional=-5))


@given(st.integers(1, 10**12), st.integers(1, 10**7))
def test_a_value_buys_the_largest_size_that_it_pays_for(cents: int, price: int) -> None:
    on = harness()
    money, limit = Decimal(cents).scaleb(-2), Decimal(price).scaleb(-2)
    terms = asked(on, lambda s: s.buy("AAA", notional=money, limit=limit))[0].terms
    assert terms.size * limit <= money * 1000 < (terms.size + 1) * limit


def test_a_size_that_depends_on_an_unknown_price_or_equity_is_not_requested_and_that_is_logged() -> None:
    on = harness()
    for ask, words in (
        (lambda s: s.buy("BBB", notional=5), "no price is known yet"),
        (lambda s: s.buy("AAA", percent=5), "the equity is not known yet"),
        (lambda s: s.target("AAA", percent=0), "the equity is not known yet"),
    ):
        (line,) = asked(on, ask)
        assert words in line.text
    assert read(on, lambda s: s.buy("BBB", notional=5)) == ""
    assert read(on, lambda s: s.wanted("AAA")) is None


# Times to live.


def test_an_order_with_a_time_to_live_is_canceled_at_its_end_unless_it_ended() -> None:
    on = harness()
    assert len(asked(on, lambda s: s.buy("AAA", 1, limit=99, ttl_ms=250))) == 1
    assert on.timers == [SetTimer("mine", T + 250_000_000, "expires mine-1")]
    on.send(placed())
    (cancel,) = on.advance(T + 250_000_000)
    assert cancel == CancelRequested(T + 250_000_000, "mine", "", "its time to live ended", "mine-1")
    assert not hasattr(on.strategy, "shown"), "the timer is not the strategy's"
    asked(on, lambda s: s.buy("AAA", 1, limit=99, ttl_ms=250))
    on.send(placed("0x2", "mine-2"), OrderChanged(T, "0x2", "mine", 1, "Filled", 5000, 0))
    assert on.advance(T + 500_000_000) == []
    with pytest.raises(ValueError, match="choose another key"):
        asked(on, lambda s: s.after(5, "expires mine-1"))


# Stops.


@given(st.sampled_from(["buy", "sell"]), st.sampled_from(["sl", "tp"]), st.integers(10, 10**7))
def test_o20_a_trigger_is_on_the_grid_and_never_further_from_the_price(
    side: str, kind: str, thousandths: int
) -> None:
    price = Decimal(thousandths).scaleb(-3)
    (request,) = asked(harness(), lambda s: s.stop("AAA", side, 1, price, kind=kind))
    exact = price * 100
    assert 0 <= (request.trigger_price - exact) * (1 if side == "sell" else -1) < 1
    assert (request.kind, request.size, request.limit_price) == (kind, 1000, 0)
    assert request.side == (BUY if side == "buy" else SELL)


def test_a_stop_may_have_a_limit_and_a_group() -> None:
    (request,) = asked(
        harness(), lambda s: s.stop("AAA", "sell", "0.5", "95", limit="94.001", group="g", reason="r")
    )
    assert request == StopRequested(T, "mine", 1, "mine-1", SELL, 500, "sl", 9_500, 9_401, "g", "r")


@pytest.mark.parametrize("price", INVALID)
def test_o21_an_invalid_trigger_is_refused(price: Any) -> None:
    on = harness()
    with pytest.raises(NumberError):
        asked(on, lambda s: s.stop("AAA", "buy", 1, price))
    assert on.log == []


# Changes and cancels.


def working(*handles: str) -> Harness:
    """Return a strategy with live orders, one for each handle."""
    on = harness()
    for number, handle in enumerate(handles or ("mine-1",), 1):
        on.send(placed(f"0x{number}", handle))
    return on


@pytest.mark.parametrize(
    ("side", "change", "size", "limit", "trigger"),
    [
        (BUY, {"size": "2", "limit": "101.019"}, 2000, 10_101, 0),
        (SELL, {"size": 2.0009, "limit": 101.011}, 2000, 10_102, 0),
        (BUY, {"limit": 99}, 0, 9_900, 0),
        (SELL, {"trigger": "95.001"}, 0, 0, 9_501),
        (SELL, {"size": 7}, 7000, 0, 0),
    ],
)
def test_o20_a_change_is_rounded_to_the_grid_and_leaves_omitted_values(
    side: int, change: Any, size: int, limit: int, trigger: int
) -> None:
    on = harness()
    on.send(placed(side=side))
    emitted = asked(on, lambda s: s.modify("mine-1", **change, reason="r"))
    assert emitted == [ModifyRequested(T, "mine", "", 1, size, limit, "r", "mine-1", trigger)]


@pytest.mark.parametrize("price", INVALID)
@pytest.mark.parametrize("field", ["limit", "trigger"])
def test_o21_an_invalid_price_is_refused_in_a_change(field: str, price: Any) -> None:
    on = working()
    with pytest.raises(NumberError):
        asked(on, lambda s: s.modify("mine-1", **{field: price}))
    assert on.log == []


@pytest.mark.parametrize("size", [0, "0.0009", -1, True, "x"])
def test_o21_an_invalid_size_is_refused_in_a_change(size: Any) -> None:
    """In the event a size of 0 leaves it as it is."""
    on = working()
    with pytest.raises(NumberError):
        asked(on, lambda s: s.modify("mine-1", size=size))
    assert on.log == []


def test_what_no_longer_lives_is_not_changed_or_canceled() -> None:
    on = working()
    on.send(placed("0x2", "other-1", strategy="other"), placed("0x3", "", purpose="target"))
    on.send(placed("0x4", "mine-4", SELL, purpose="stop", role="close", limit=0))
    on.send(OrderChanged(T, "0x1", "mine", 1, "Canceled", 0, 5000))
    for name in ("mine-1", "other-1", "mine-4", "0x1", ""):
        assert asked(on, lambda s, name=name: s.modify(name, size=1)) == []
        assert asked(on, lambda s, name=name: s.cancel(name)) == []


def test_everything_under_a_handle_is_canceled_by_one_request_before_and_after_its_answer() -> None:
    """An order that turns a position has two client order ids under its handle."""
    on = harness()
    on.send(booked(BUY, 1000, 10_000))
    wanted = [CancelRequested(T, "mine", "", "r", "mine-1")]
    asked(on, lambda s: s.sell("AAA", 3))
    on.send(on.log[-1])
    assert asked(on, lambda s: s.cancel("mine-1", "r")) == wanted
    on.send(placed("0x1", "mine-1", SELL, 1000, 0, role="close"))
    assert asked(on, lambda s: s.cancel("mine-1", "r")) == wanted
    on.send(OrderChanged(T, "0x1", "mine", 1, "Filled", 1000, 0))
    assert asked(on, lambda s: s.cancel("mine-1", "r")) == wanted, "the part that opens waits"
    on.send(placed("0x2", "mine-1", SELL, 2000, 0, role="open"))
    assert asked(on, lambda s: s.cancel("mine-1", "r")) == wanted
    on.send(OrderChanged(T, "0x2", "mine", 1, "Filled", 2000, 0))
    assert asked(on, lambda s: s.cancel("mine-1", "r")) == []


@pytest.mark.parametrize("role", ["close", "open", ""])
def test_a_refused_part_of_an_order_leaves_the_other(role: str) -> None:
    on = harness()
    on.send(booked(BUY, 1000, 10_000))
    asked(on, lambda s: s.sell("AAA", 3, reason="why"))
    on.send(on.log[-1])
    on.send(OrderRefused(T, 5, "mine", 1, SELL, 1000, "exit_budget", "words", role=role, handle="mine-1"))
    view = on.strategy.orders_seen[-1]
    assert (view.state, view.rule, view.reason, view.handle) == ("Refused", "exit_budget", "words", "mine-1")
    assert bool(asked(on, lambda s: s.cancel("mine-1"))) == bool(role)
    on.send(OrderRefused(T, 5, "mine", 1, SELL, 2000, "turn", "words", role="close", handle="mine-1"))
    on.send(OrderRefused(T, 5, "mine", 1, SELL, 2000, "turn", "words", role="open", handle="mine-1"))
    assert asked(on, lambda s: s.cancel("mine-1")) == []


def test_a_refused_change_leaves_the_order() -> None:
    on = working()
    on.send(OrderRefused(T, 5, "mine", 1, BUY, 5000, "margin", "words", role="open", handle="mine-1"))
    assert asked(on, lambda s: s.cancel("mine-1")) == [CancelRequested(T, "mine", "", "", "mine-1")]


def test_cancel_all_cancels_own_orders_and_stops_of_the_market_once_each() -> None:
    on = harness()
    asked(on, lambda s: s.buy("AAA", 1, limit=90))
    asked(on, lambda s: s.buy("BBB", 1, limit=90))
    on.send(placed("0x1", "mine-1"), placed("0x2", "mine-2", instrument=2))
    on.send(placed("0x3", "mine-1"), placed("0x4", "mine-4"), placed("0x5", "mine-5"))
    on.send(placed("0x6", "", purpose="target"), placed("0x7", "", purpose="trail", role="close"))
    on.send(placed("0x8", "other-1", strategy="other"))
    on.send(StopChanged(T, "mine", 1, "mine-4/sl", SELL, 5, "sl", 9_000, "waiting"))
    on.send(StopChanged(T, "other", 1, "other-4/sl", SELL, 5, "sl", 9_000, "waiting"))
    on.send(StopChanged(T, "mine", 1, "mine-6", SELL, 5, "tp", 11_000, "waiting"))
    on.send(StopChanged(T, "mine", 1, "mine-6", SELL, 5, "tp", 11_000, "dropped", reason="flat"))
    on.send(OrderChanged(T, "0x5", "mine", 1, "Filled", 5000, 0))
    canceled = asked(on, lambda s: s.cancel_all("AAA", "why"))
    assert [one.handle for one in canceled] == ["mine-4/sl", "mine-1", "mine-4"]
    assert all(one == CancelRequested(T, "mine", "", "why", one.handle) for one in canceled)


def test_a_changed_limit_is_shown_from_the_venues_report_on() -> None:
    on = working()
    on.send(OrderModified(T, T, "0x1", 1, 2, 3000, 10_050), OrderChanged(T, "0x1", "mine", 1, "New", 0, 3000))
    view = on.strategy.orders_seen[-1]
    assert (view.limit, view.remaining, view.state) == (100.5, 3.0, "New")


# Trailing stops.


@pytest.mark.parametrize(
    ("size", "short", "side", "steps"),
    [
        ("1.5", False, SELL, 1500),
        ("-1.5", False, BUY, 1500),
        (2, True, BUY, 2000),
        ("-2", True, SELL, 2000),
        (-0.1, False, BUY, 100),
    ],
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


@pytest.mark.parametrize("size", ["0.0009", 0, True, None, "x"])
def test_o21_a_trailing_stop_of_an_invalid_size_does_not_replace_another(size: Any) -> None:
    on = harness()
    with pytest.raises(NumberError):
        asked(on, lambda s: s.trail("AAA", size, "1"))
    assert on.log == []


def test_untrail_removes_the_trailing_stop() -> None:
    assert asked(harness(), lambda s: s.untrail("AAA", "r")) == [
        TrailRequested(T, "mine", 1, NO_SIDE, 0, 0, "r")
    ]
