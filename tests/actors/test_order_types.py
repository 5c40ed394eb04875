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
from tests.actors.harness import Harness, T
from tests.actors.venue_kit import (
    HOUR,
    MS,
    attached,
    candle,
    desk,
    holding,
    modify,
    order,
    placed,
    quote,
    told,
    trade,
)

ACCEPTED = "OrderAccepted"
CANCELED = "OrderCanceled"
REJECTED = "OrderRejected"


# Post only.


@pytest.mark.parametrize("market", [trade(100), trade(99), quote(90, 100), candle(99, 120, 80, 100)])
def test_o26_a_post_only_order_that_could_trade_at_once_is_rejected(market: Event) -> None:
    on = desk()
    placed(on, order("a", BUY, limit=100, tif="Alo"))
    (end,) = on.send(market)
    assert isinstance(end, OrderRejected)
    assert end.reason.startswith("Post only order would have immediately matched, bbo was ")
    assert on.causes[-1][1] == 1, "its submission is the cause"
    assert on.send(trade(1)) == []
    assert not on.actor.listens(Trade)


def test_a_post_only_order_that_rests_is_a_maker_from_then_on() -> None:
    on = desk()
    placed(on, order("a", BUY, limit=100, tif="Alo"))
    assert on.send(trade(101)) == []
    (fill,) = on.send(trade(99))
    assert (fill.price, fill.liquidity) == (100, "maker")


# Reduce only.


@pytest.mark.parametrize(("held", "side"), [(0, BUY), (0, SELL), (10, BUY), (-10, SELL)])
def test_o26_a_reduce_only_order_with_nothing_to_reduce_is_rejected(held: int, side: int) -> None:
    on = holding(held) if held else desk()
    answer = placed(on, order("r", side, reduce_only=True))
    assert told(answer) == [(REJECTED, "r", "Reduce only order would increase position.")]
    assert on.send(trade(100)) == []


@pytest.mark.parametrize("held", [4, -4])
def test_a_reduce_only_order_is_cut_to_the_position_when_it_arrives(held: int) -> None:
    on = holding(held)
    answer = placed(on, order("r", SELL if held > 0 else BUY, 10, reduce_only=True))
    assert told(answer) == [(ACCEPTED, "r"), ("change", "r", "4@0")]
    assert told(on.send(trade(100))) == [("fill", "r", "4@100")]


def test_a_resting_reduce_only_order_shrinks_with_the_position_and_ends_with_it() -> None:
    on = holding(10)
    placed(on, order("r", SELL, 8, limit=200, reduce_only=True))
    on.send(trade(150))
    placed(on, order("s", SELL, 5))
    assert told(on.send(trade(150))) == [("fill", "s", "5@150"), ("change", "r", "5@200")]
    placed(on, order("s2", SELL, 7))
    assert told(on.send(trade(150))) == [("fill", "s2", "7@150"), (CANCELED, "r", "reduce only")]


def test_two_reduce_only_orders_hit_by_one_print_do_not_turn_the_position() -> None:
    on = holding(10)
    placed(on, *(order(name, SELL, 8, limit=200, reduce_only=True) for name in ("r1", "r2")))
    on.send(trade(150))
    events = told(on.send(trade(201)))
    assert events == [("fill", "r1", "8@200"), ("change", "r2", "2@200"), ("fill", "r2", "2@200")]


# Triggers.

REACHES = [
    (SELL, "sl", 95, [96, 120], [95, 94]),
    (SELL, "tp", 105, [104, 80], [105, 106]),
    (BUY, "sl", 105, [104, 80], [105, 106]),
    (BUY, "tp", 95, [96, 120], [95, 94]),
]


@pytest.mark.parametrize(("side", "kind", "price", "short_of", "reached"), REACHES)
def test_a_trigger_is_hit_at_or_through_its_price_and_fills_from_the_next_event_on(
    side: int, kind: str, price: int, short_of: list[int], reached: list[int]
) -> None:
    for at in reached:
        on = holding(-side * 10)
        placed(on, order("t", side, reduce_only=True, trigger=kind, trigger_price=price))
        for far in short_of:
            assert on.send(trade(far)) == []
        assert on.send(trade(at)) == [], "never on the event that triggers it"
        assert told(on.send(trade(777))) == [("fill", "t", "10@777")]


@pytest.mark.parametrize(("side", "kind", "price", "short_of", "reached"), REACHES)
def test_a_quote_triggers_by_the_side_the_order_would_trade_with(
    side: int, kind: str, price: int, short_of: list[int], reached: list[int]
) -> None:
    def touch(at: int) -> Quote:
        return quote(1, at) if side == BUY else quote(at, 1000)

    on = holding(-side * 10)
    placed(on, order("t", side, reduce_only=True, trigger=kind, trigger_price=price))
    assert on.send(quote(0, 0), *map(touch, short_of), touch(reached[0])) == []
    assert told(on.send(trade(50))) == [("fill", "t", "10@50")]


def test_a_candle_triggers_by_its_ends_and_the_next_one_fills_at_its_open() -> None:
    on = holding(10)
    placed(on, order("t", SELL, reduce_only=True, trigger="sl", trigger_price=95))
    assert on.send(candle(100, 101, 96, 100)) == []
    assert on.send(candle(100, 101, 95, 100)) == []
    assert told(on.send(candle(90, 99, 80, 85))) == [("fill", "t", "10@90")]


def test_a_triggered_limit_order_rests_where_it_cannot_trade() -> None:
    on = holding(10)
    placed(on, order("t", SELL, limit=94, reduce_only=True, trigger="sl", trigger_price=95))
    assert on.send(trade(93), trade(93)) == []
    assert told(on.send(trade(95))) == [("fill", "t", "10@94")]


def test_a_trigger_is_cut_to_the_position_only_when_hit_and_ends_when_that_is_closed() -> None:
    on = holding(10)
    placed(on, order("t", SELL, 10, reduce_only=True, trigger="sl", trigger_price=95))
    placed(on, order("s", SELL, 4))
    assert told(on.send(trade(100))) == [("fill", "s", "4@100")]
    assert told(on.send(trade(95))) == [("change", "t", "6@0")]
    assert told(on.send(trade(94))) == [("fill", "t", "6@94")]

    on = holding(10)
    placed(on, order("t", SELL, 10, reduce_only=True, trigger="sl", trigger_price=95), order("s", SELL, 10))
    assert told(on.send(trade(100))) == [("fill", "s", "10@100"), (CANCELED, "t", "reduce only")]


def test_a_trigger_may_come_before_its_position_and_is_canceled_if_hit_without_one() -> None:
    on = desk()
    answer = placed(on, order("t", SELL, reduce_only=True, trigger="sl", trigger_price=95))
    assert told(answer) == [(ACCEPTED, "t")]
    assert told(on.send(trade(90))) == [(CANCELED, "t", "reduce only")]


# Attached orders.

BRACKET = [order("p", BUY, limit=100), attached("sl", "sl", 95), attached("tp", "tp", 110)]


def bracket(*parents: SubmitOrder) -> Harness:
    """A parent that rests, with a stop-loss and a take-profit."""
    on = desk(fill_on_touch=True)
    answer = placed(on, *(parents or BRACKET[:1]), *BRACKET[1:])
    assert told(answer) == [(ACCEPTED, "p"), (ACCEPTED, "sl"), (ACCEPTED, "tp")]
    on.send(trade(101))
    return on


def test_attached_orders_sleep_until_their_parent_is_wholly_filled() -> None:
    on = bracket()
    assert told(on.send(trade(120), trade(100, size=4), trade(120))) == [("fill", "p", "4@100")]
    assert told(on.send(trade(90))) == [("fill", "p", "6@100")], "and not on the event that fills it"
    assert on.send(trade(95)) == []
    assert told(on.send(trade(94))) == [("fill", "sl", "10@94"), (CANCELED, "tp", "sibling filled")]
    assert not on.actor.listens(Trade)


def test_the_first_attached_order_that_fills_ends_the_other() -> None:
    on = bracket()
    on.send(trade(90), trade(110))
    assert told(on.send(trade(111))) == [("fill", "tp", "10@111"), (CANCELED, "sl", "sibling filled")]
    assert not on.actor.listens(Trade)


def test_attached_orders_end_with_a_parent_that_is_canceled_even_partly_filled() -> None:
    on = bracket()
    on.send(trade(100, size=4))
    assert told(placed(on, CancelOrder(T + 5, "p", 1))) == [
        (CANCELED, "p", "canceled"),
        (CANCELED, "sl", "parent ended"),
        (CANCELED, "tp", "parent ended"),
    ]
    assert not on.actor.listens(Trade)


@pytest.mark.parametrize(("tif", "kind"), [("Ioc", CANCELED), ("Alo", REJECTED)])
def test_attached_orders_end_with_a_parent_that_finds_no_place(tif: str, kind: str) -> None:
    on = desk()
    placed(on, order("p", BUY, limit=100, tif=tif), *BRACKET[1:])
    events = on.send(trade(101 if tif == "Ioc" else 99))
    assert [one[:2] for one in told(events)] == [(kind, "p"), (CANCELED, "sl"), (CANCELED, "tp")]
    assert not on.actor.listens(Trade)


def test_attached_orders_of_a_parent_that_was_refused_are_refused() -> None:
    on = desk()
    answer = placed(on, order("p", BUY, reduce_only=True), *BRACKET[1:])
    assert [one[:2] for one in told(answer)] == [(REJECTED, "p"), (REJECTED, "sl"), (REJECTED, "tp")]
    assert not on.actor.listens(Trade)


def test_attached_orders_that_sleep_do_not_mind_another_position_being_closed() -> None:
    on = holding(10)
    placed(on, *BRACKET)
    on.send(trade(101))
    placed(on, order("s", SELL, 10))
    assert told(on.send(trade(101))) == [("fill", "s", "10@101")]
    on.send(trade(99), trade(95))
    assert told(on.send(trade(94))) == [("fill", "sl", "10@94"), (CANCELED, "tp", "sibling filled")]


def test_an_attached_order_can_be_canceled_alone() -> None:
    on = bracket()
    assert told(placed(on, CancelOrder(T + 5, "sl", 1))) == [(CANCELED, "sl", "canceled")]
    on.send(trade(90), trade(110))
    assert told(on.send(trade(111))) == [("fill", "tp", "10@111")]


# Changes.


def test_o08_a_change_arrives_after_its_latency_as_a_new_order_under_the_same_id() -> None:
    on = desk(latency_ms=10)
    on.send(order("a", BUY, limit=100), order("b", BUY, limit=100))
    on.advance(T + 10 * MS)
    on.send(trade(101))
    assert on.send(modify("a", 15, 102, T + 20 * MS)) == []
    assert on.advance(T + 30 * MS - 1) == []
    (change,) = on.advance(T + 30 * MS)
    assert change == OrderModified(T + 30 * MS, T + 30 * MS, "a", 1, 3, 15, 102)
    fills = on.send(trade(99))
    assert told(fills) == [("fill", "b", "10@100"), ("fill", "a", "15@99")], "it lost its place, and takes"
    assert [one.liquidity for one in fills] == ["maker", "taker"]


def test_o08_a_change_leaves_what_was_filled_before_it_alone() -> None:
    on = desk(fill_on_touch=True)
    placed(on, order("a", BUY, 10, limit=100))
    on.send(trade(101), trade(100, size=4))
    assert told(placed(on, modify("a", 3, 99))) == [("change", "a", "3@99")]
    on.send(trade(101))
    assert told(on.send(trade(90))) == [("fill", "a", "3@99")]
    assert on.send(trade(90)) == []


def test_a_changed_post_only_order_that_would_take_is_rejected() -> None:
    on = desk()
    placed(on, order("a", BUY, limit=100, tif="Alo"))
    on.send(trade(101))
    placed(on, modify("a", 10, 105, tif="Alo"))
    assert [one[:2] for one in told(on.send(trade(103)))] == [(REJECTED, "a")]


def test_two_changes_on_their_way_arrive_one_after_the_other() -> None:
    on = desk(latency_ms=10)
    placed(on, order("a", BUY, limit=100))
    on.send(modify("a", 5, 90, T), modify("a", 6, 91, T + 1))
    assert told(on.advance(T + HOUR)) == [("change", "a", "5@90"), ("change", "a", "6@91")]


def test_o06_a_change_of_what_is_gone_or_waits_for_a_trigger_is_refused() -> None:
    on = holding(10)
    gone = "Order was never placed, already canceled, or filled."
    assert told(placed(on, modify("first", 5, 90))) == [("ModifyRejected", "first", gone)]
    placed(on, order("t", SELL, reduce_only=True, trigger="sl", trigger_price=95))
    waits = "A trigger order cannot be changed."
    assert told(placed(on, modify("t", 5, 90))) == [("ModifyRejected", "t", waits)]


def test_a_reduce_only_order_cannot_be_changed_to_more_than_the_position() -> None:
    on = holding(10)
    placed(on, order("r", SELL, 5, limit=200, reduce_only=True))
    assert told(placed(on, modify("r", 50, 190))) == [("change", "r", "10@190")]


def test_a_leverage_is_accepted_after_the_latency() -> None:
    on = desk(latency_ms=10)
    assert on.send(SetLeverage(T, 1, 5, True)) == []
    assert on.advance(T + 10 * MS) == [LeverageAnswered(T + 10 * MS, 1, 5, True, True)]
