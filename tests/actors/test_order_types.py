"""Post-only, reduce-only, trigger and attached orders, and changes of orders, at the simulated venue."""

from __future__ import annotations

import pytest

from engine.events import (
    CancelOrder,
    Event,
    LeverageAnswered,
    OrderModified,
    OrderRejected,
    Quote,
    SetLeverage,
    SubmitOrder,
    Trade,
)
from engine.values import BUY, SELL
from tests.actors.harness import MINUTE, Harness, T
from tests.actors.venue_kit import (
    HOUR,
    MS,
    attached,
    candle,
    context,
    holding,
    listed,
    modify,
    new_harness,
    order,
    placed,
    quote,
    reports,
    summary,
    trade,
)

ACCEPTED = "OrderAccepted"
CANCELED = "OrderCanceled"
REJECTED = "OrderRejected"


# Post only.


@pytest.mark.parametrize("market", [trade(100), trade(99), quote(90, 100), candle(99, 120, 80, 100, start=T)])
def test_o26_a_post_only_order_that_could_trade_at_once_is_rejected(market: Event) -> None:
    harness = new_harness()
    placed(harness, order("a", BUY, limit=100, tif="Alo"))
    (end,) = reports(harness.send(market))
    assert isinstance(end, OrderRejected)
    assert end.reason.startswith("Post only order would have immediately matched, bbo was ")
    assert harness.causes[-1][1] == 1, "its submission is the cause"
    assert not harness.actor.listens(Trade)


def test_a_post_only_order_that_rests_is_a_maker_from_then_on() -> None:
    harness = new_harness()
    placed(harness, order("a", BUY, limit=100, tif="Alo"))
    assert harness.send(trade(101)) == []
    (fill,) = harness.send(trade(99))
    assert (fill.price, fill.liquidity) == (1_000_000, "maker")


# Reduce only.


@pytest.mark.parametrize(("held", "side"), [(0, BUY), (0, SELL), (10, BUY), (-10, SELL)])
def test_o26_a_reduce_only_order_with_nothing_to_reduce_is_rejected(held: int, side: int) -> None:
    harness = holding(held) if held else new_harness()
    answer = placed(harness, order("r", side, reduce_only=True))
    assert summary(answer) == [(REJECTED, "r", "Reduce only order would increase position.")]
    assert harness.send(trade(100)) == []


@pytest.mark.parametrize("held", [4, -4])
def test_a_reduce_only_order_is_cut_to_the_position_when_it_arrives(held: int) -> None:
    harness = holding(held)
    answer = placed(harness, order("r", SELL if held > 0 else BUY, 10, reduce_only=True))
    assert summary(answer) == [(ACCEPTED, "r"), ("change", "r", "4@0")]
    assert summary(harness.send(trade(100))) == [("fill", "r", "4@100")]


def test_a_resting_reduce_only_order_shrinks_with_the_position_and_ends_with_it() -> None:
    harness = holding(10)
    placed(harness, order("r", SELL, 8, limit=200, reduce_only=True))
    harness.send(trade(150))
    placed(harness, order("s", SELL, 5))
    assert summary(harness.send(trade(150))) == [("fill", "s", "5@150"), ("change", "r", "5@200")]
    placed(harness, order("s2", SELL, 7))
    assert summary(harness.send(trade(150))) == [("fill", "s2", "7@150"), (CANCELED, "r", "reduce only")]


def test_two_reduce_only_orders_filled_by_one_trade_do_not_turn_the_position() -> None:
    harness = holding(10)
    placed(harness, *(order(name, SELL, 8, limit=200, reduce_only=True) for name in ("r1", "r2")))
    harness.send(trade(150))
    events = summary(harness.send(trade(201)))
    assert events == [("fill", "r1", "8@200"), ("change", "r2", "2@200"), ("fill", "r2", "2@200")]


# Triggers.

REACHES = [
    (SELL, "sl", 95, [96, 120], [95, 94]),
    (SELL, "tp", 105, [104, 80], [105, 106]),
    (BUY, "sl", 105, [104, 80], [105, 106]),
    (BUY, "tp", 95, [96, 120], [95, 94]),
]


@pytest.mark.parametrize(("side", "kind", "price", "short_of", "reached"), REACHES)
def test_a_trigger_fires_at_or_through_its_price_and_fills_on_that_event(
    side: int, kind: str, price: int, short_of: list[int], reached: list[int]
) -> None:
    for at in reached:
        harness = holding(-side * 10)
        placed(harness, order("t", side, reduce_only=True, trigger=kind, trigger_price=price))
        for far in short_of:
            assert harness.send(trade(far)) == []
        assert summary(harness.send(trade(at))) == [("fill", "t", f"10@{at}")]


@pytest.mark.parametrize(("side", "kind", "price", "short_of", "reached"), REACHES)
def test_in_data_without_trades_the_side_triggers_that_the_order_would_trade_with(
    side: int, kind: str, price: int, short_of: list[int], reached: list[int]
) -> None:
    def quote_at(at: int) -> Quote:
        return quote(1, at) if side == BUY else quote(at, 1000)

    harness = new_harness()
    placed(harness, order("first", -side))
    harness.send(quote(100, 100))
    placed(harness, order("t", side, reduce_only=True, trigger=kind, trigger_price=price))
    assert harness.send(quote(0, 0), *map(quote_at, short_of)) == []
    assert summary(harness.send(quote_at(reached[1]))) == [("fill", "t", f"10@{reached[1]}")]


@pytest.mark.parametrize(("side", "gap"), [(SELL, 90), (BUY, 110)])
def test_a_stop_fills_where_the_market_is_when_it_gaps_and_never_better_than_its_trigger(
    side: int, gap: int
) -> None:
    harness = holding(-side * 10, slippage_bps=100)
    placed(harness, order("t", side, reduce_only=True, trigger="sl", trigger_price=100 + side * 5))
    accepted, fill = harness.send(trade(gap))
    assert accepted.triggered
    assert fill.price == gap * 10_000 + side * gap * 100


def test_a_stop_fired_by_the_mark_fills_no_better_than_its_trigger() -> None:
    harness = new_harness({1: listed(trigger_price="mark")})
    placed(harness, order("first", BUY))
    harness.send(trade(100))
    placed(harness, order("t", SELL, reduce_only=True, trigger="sl", trigger_price=95))
    assert harness.send(context(96)) == []
    assert harness.send(trade(94)) == [], "the last price does not count while there is a mark"
    (accepted,) = harness.send(context(95))
    assert accepted.triggered, "there is nothing to trade with until the next trade"
    assert summary(harness.send(trade(98))) == [("fill", "t", "10@95")]


@pytest.mark.parametrize(("trigger", "price", "mark"), [("tp", 104, 105), ("sl", 97, 96)])
@pytest.mark.parametrize("opened", [90, 100, 106])
def test_what_the_mark_fires_before_a_candle_fills_no_better_than_its_trigger_and_the_open(
    trigger: str, price: int, mark: int, opened: int
) -> None:
    """It is an order at the market by then, which meets the open."""
    harness = new_harness({1: listed(trigger_price="mark")})
    placed(harness, order("first", BUY))
    harness.send(candle(100, 100, 100, 100))
    placed(harness, order("t", SELL, reduce_only=True, role="close", trigger=trigger, trigger_price=price))
    (accepted,) = harness.send(context(mark, at=T + MINUTE + 1))
    assert accepted.triggered
    events = harness.send(candle(opened, 107, 89, opened, start=T + MINUTE))
    assert summary(events) == [("fill", "t", f"10@{min(price, opened)}")]


def test_without_a_fresh_mark_the_last_price_fires_a_stop() -> None:
    harness = new_harness({1: listed(trigger_price="mark")})
    placed(harness, order("first", BUY))
    harness.send(trade(100), context(100))
    placed(harness, order("t", SELL, reduce_only=True, trigger="sl", trigger_price=95))
    assert harness.send(trade(96, at=T + 61 * 10**9)) == []
    assert summary(harness.send(trade(95, at=T + 62 * 10**9))) == [("fill", "t", "10@95")]


def test_stops_that_one_price_reaches_fire_nearest_trigger_first_then_oldest() -> None:
    harness = holding(30)
    for name, trigger in (("far", 95), ("old", 97), ("new", 97)):
        placed(harness, order(name, SELL, reduce_only=True, trigger="sl", trigger_price=trigger))
    assert [one[1] for one in summary(harness.send(trade(90)))] == ["old", "new", "far"]


def test_a_stop_beyond_its_bound_is_canceled() -> None:
    """The engine tries again with a new bound: a protective exit is owed until it is done."""
    harness = holding(10)
    placed(harness, order("t", SELL, tif="Ioc", reduce_only=True, trigger="sl", trigger_price=95, bound=86))
    assert summary(harness.send(trade(85))) == [(CANCELED, "t", "Ioc found no match")]


def test_a_triggered_limit_order_rests_if_it_cannot_trade() -> None:
    harness = holding(10)
    placed(harness, order("t", SELL, limit=94, reduce_only=True, trigger="sl", trigger_price=95))
    assert [one.triggered for one in harness.send(trade(93), trade(93))] == [True]
    assert summary(harness.send(trade(95))) == [("fill", "t", "10@94")]


def test_a_trigger_is_cut_to_the_position_when_it_fires_and_canceled_when_that_is_closed() -> None:
    harness = holding(10)
    placed(harness, order("t", SELL, 10, reduce_only=True, trigger="sl", trigger_price=95))
    placed(harness, order("s", SELL, 4))
    assert summary(harness.send(trade(100))) == [("fill", "s", "4@100")]
    assert summary(harness.send(trade(95))) == [("change", "t", "6@0"), ("fill", "t", "6@95")]

    harness = holding(10)
    placed(
        harness, order("t", SELL, 10, reduce_only=True, trigger="sl", trigger_price=95), order("s", SELL, 10)
    )
    assert summary(harness.send(trade(100))) == [("fill", "s", "10@100"), (CANCELED, "t", "reduce only")]


def test_a_trigger_may_precede_its_position_and_is_canceled_if_it_fires_without_one() -> None:
    harness = new_harness()
    answer = placed(harness, order("t", SELL, reduce_only=True, trigger="sl", trigger_price=95))
    assert summary(answer) == [(ACCEPTED, "t")]
    assert summary(harness.send(trade(96), trade(90))) == [(CANCELED, "t", "reduce only")]


def test_a_trigger_on_the_wrong_side_of_the_market_is_rejected() -> None:
    """The example of the rules: price 100, a sell's stop-loss at 103."""
    harness = holding(10)
    answer = placed(harness, order("t", SELL, reduce_only=True, trigger="sl", trigger_price=103))
    assert summary(answer) == [(REJECTED, "t", "Invalid TP/SL price.")]


def test_a_trigger_that_the_first_price_after_its_arrival_has_passed_fires() -> None:
    harness = new_harness()
    answer = placed(harness, order("t", BUY, trigger="sl", trigger_price=103))
    assert summary(answer) == [(ACCEPTED, "t")], "no price is known"
    assert summary(harness.send(trade(104))) == [("fill", "t", "10@104")]


# Attached orders.

BRACKET = [order("p", BUY, limit=100), attached("sl", "sl", 95), attached("tp", "tp", 110)]


def bracket(*parents: SubmitOrder) -> Harness:
    """Return a harness with a resting parent, its stop-loss and its take-profit."""
    harness = new_harness(fill_on_touch=True)
    answer = placed(harness, *(parents or BRACKET[:1]), *BRACKET[1:])
    assert summary(answer) == [(ACCEPTED, "p"), (ACCEPTED, "sl"), (ACCEPTED, "tp")]
    harness.send(trade(101))
    return harness


def test_attached_orders_are_dormant_until_their_parent_is_filled() -> None:
    harness = bracket()
    assert summary(harness.send(trade(120), trade(100, size=4), trade(120))) == [("fill", "p", "4@100")]
    assert summary(harness.send(trade(90))) == [("fill", "p", "6@100")], (
        "not on the event that fills the parent"
    )
    assert harness.send(trade(96)) == []
    assert summary(harness.send(trade(95))) == [("fill", "sl", "10@95"), (CANCELED, "tp", "sibling filled")]
    assert not harness.actor.listens(Trade)


def test_the_first_attached_order_that_fills_ends_the_other() -> None:
    harness = bracket()
    harness.send(trade(90))
    assert summary(harness.send(trade(111))) == [("fill", "tp", "10@111"), (CANCELED, "sl", "sibling filled")]
    assert not harness.actor.listens(Trade)


def test_attached_orders_end_with_a_parent_that_is_canceled_even_partly_filled() -> None:
    harness = bracket()
    harness.send(trade(100, size=4))
    assert summary(placed(harness, CancelOrder(T + 5, "p", 1))) == [
        (CANCELED, "p", "canceled"),
        (CANCELED, "sl", "parent ended"),
        (CANCELED, "tp", "parent ended"),
    ]
    assert not harness.actor.listens(Trade)


@pytest.mark.parametrize(("tif", "kind"), [("Ioc", CANCELED), ("Alo", REJECTED)])
def test_attached_orders_end_with_a_parent_that_is_canceled_or_rejected_at_the_market(
    tif: str, kind: str
) -> None:
    harness = new_harness()
    placed(harness, order("p", BUY, limit=100, tif=tif), *BRACKET[1:])
    events = harness.send(trade(101 if tif == "Ioc" else 99))
    assert [one[:2] for one in summary(events)] == [(kind, "p"), (CANCELED, "sl"), (CANCELED, "tp")]
    assert not harness.actor.listens(Trade)


def test_attached_orders_of_a_parent_that_was_refused_are_refused() -> None:
    harness = new_harness()
    answer = placed(harness, order("p", BUY, reduce_only=True), *BRACKET[1:])
    assert [one[:2] for one in summary(answer)] == [(REJECTED, "p"), (REJECTED, "sl"), (REJECTED, "tp")]
    assert not harness.actor.listens(Trade)


def test_dormant_orders_are_not_affected_by_another_position() -> None:
    harness = holding(10)
    placed(harness, *BRACKET)
    harness.send(trade(101))
    placed(harness, order("s", SELL, 10))
    assert summary(harness.send(trade(101))) == [("fill", "s", "10@101")]
    harness.send(trade(99))
    assert summary(harness.send(trade(94))) == [("fill", "sl", "10@94"), (CANCELED, "tp", "sibling filled")]


def test_an_attached_order_can_be_canceled_alone() -> None:
    harness = bracket()
    assert summary(placed(harness, CancelOrder(T + 5, "sl", 1))) == [(CANCELED, "sl", "canceled")]
    harness.send(trade(90))
    assert summary(harness.send(trade(111))) == [("fill", "tp", "10@111")]


# Changes.


def test_o08_a_change_arrives_after_its_latency_as_a_new_order_under_the_same_id() -> None:
    harness = new_harness(latency_ms=10)
    harness.send(order("a", BUY, limit=100), order("b", BUY, limit=100))
    harness.advance(T + 10 * MS)
    harness.send(trade(101))
    assert harness.send(modify("a", 15, 102, T + 20 * MS)) == []
    assert harness.advance(T + 30 * MS - 1) == []
    (change,) = harness.advance(T + 30 * MS)
    assert change == OrderModified(T + 30 * MS, T + 30 * MS, "a", 1, 3, 15, 102)
    fills = harness.send(trade(99))
    assert summary(fills) == [("fill", "a", "15@99"), ("fill", "b", "10@100")], "it takes"
    assert [one.liquidity for one in fills] == ["taker", "maker"]


def test_a_changed_order_loses_its_place_in_the_queue() -> None:
    harness = new_harness()
    placed(harness, order("a", BUY, limit=100), order("b", BUY, limit=100))
    harness.send(trade(101))
    placed(harness, modify("a", 10, 100))
    harness.send(trade(101))
    assert summary(harness.send(trade(99, size=10))) == [("fill", "b", "10@100")]


def test_o08_a_change_does_not_affect_earlier_fills() -> None:
    harness = new_harness(fill_on_touch=True)
    placed(harness, order("a", BUY, 10, limit=100))
    harness.send(trade(101), trade(100, size=4))
    assert summary(placed(harness, modify("a", 3, 99))) == [("change", "a", "3@99")]
    harness.send(trade(101))
    assert summary(harness.send(trade(90))) == [("fill", "a", "3@99")]
    assert harness.send(trade(90)) == []


def test_a_changed_post_only_order_that_would_take_is_rejected() -> None:
    harness = new_harness()
    placed(harness, order("a", BUY, limit=100, tif="Alo"))
    harness.send(trade(101))
    placed(harness, modify("a", 10, 105, tif="Alo"))
    assert [one[:2] for one in summary(harness.send(trade(103)))] == [(REJECTED, "a")]


def test_two_changes_in_transit_arrive_in_order() -> None:
    harness = new_harness(latency_ms=10)
    placed(harness, order("a", BUY, limit=100))
    harness.send(modify("a", 5, 90, T), modify("a", 6, 91, T + 1))
    assert summary(harness.advance(T + HOUR)) == [("change", "a", "5@90"), ("change", "a", "6@91")]


def test_o06_a_change_of_an_ended_or_a_trigger_order_is_refused() -> None:
    harness = holding(10)
    gone = "Order was never placed, already canceled, or filled."
    assert summary(placed(harness, modify("first", 5, 90))) == [("ModifyRejected", "first", gone)]
    placed(harness, order("t", SELL, reduce_only=True, trigger="sl", trigger_price=95))
    waits = "A trigger order cannot be changed."
    assert summary(placed(harness, modify("t", 5, 90))) == [("ModifyRejected", "t", waits)]


def test_a_reduce_only_order_cannot_be_changed_to_more_than_the_position() -> None:
    harness = holding(10)
    placed(harness, order("r", SELL, 5, limit=200, reduce_only=True))
    assert summary(placed(harness, modify("r", 50, 190))) == [("change", "r", "10@190")]


def test_a_change_to_a_price_off_the_grid_is_refused_and_one_that_the_venue_cannot_place_ends_the_order() -> (
    None
):
    """The venue cancels the old order before it places the new one."""
    harness = new_harness({1: listed(value_min="10")})
    placed(harness, order("a", BUY, 1000, limit=1000))
    harness.send(trade(1100))
    assert summary(placed(harness, modify("a", 0, 1000))) == [
        ("ModifyRejected", "a", "Order has invalid size.")
    ]
    reason = "Error placing new order during modify: Order must have minimum value of $10."
    assert summary(placed(harness, modify("a", 900, 1000))) == [(CANCELED, "a", reason)]


def test_a_leverage_is_accepted_after_the_latency() -> None:
    harness = new_harness(latency_ms=10)
    assert harness.send(SetLeverage(T, 1, 5, True)) == []
    assert harness.advance(T + 10 * MS) == [LeverageAnswered(T + 10 * MS, 1, 5, True, True)]


def test_a_leverage_that_the_market_does_not_have_is_refused() -> None:
    harness = new_harness({1: listed(leverage_max=10)})
    (answer,) = placed(harness, SetLeverage(T, 1, 11, True))
    assert (answer.accepted, answer.reason) == (False, "Invalid leverage value")
