"""The books against the position of the venue: differences, missing fills, readings in between, adoption."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.config import VenueConfig
from engine.events import (
    BookAdjusted,
    Event,
    FillBooked,
    MarketHalted,
    PositionChanged,
    PositionDiffers,
    QueryAccount,
)
from engine.values import BUY, SELL
from tests.actors.books_kit import MS, Kit
from tests.actors.harness import T

F = Fraction


def of(kind: type[Event], events: list[Any]) -> list[Any]:
    return [one for one in events if isinstance(one, kind)]


def ready(**books: str) -> Kit:
    """Return the books of a real account, read once, that hold what strategies bought at 100 a while ago."""
    kit = Kit(real=True)
    kit.position_read("0", at_ns=T - 100 * MS)
    kit.account_read("1000", at_ns=T - 100 * MS)
    for owner, size in books.items():
        kit.trades(owner, SELL if size.startswith("-") else BUY, size.strip("-"), "100", at_ns=T - 50 * MS)
    return kit


# Differences.


def test_a_position_that_is_what_the_fills_say_changes_nothing() -> None:
    kit = ready(S1="1")
    assert kit.position_read("1") == []


def test_a_difference_is_booked_at_the_mark_and_halts_the_market() -> None:
    kit = ready(S1="1")
    kit.trade("105")
    emitted = kit.position_read("0.4")
    (differs,), (halted,) = of(PositionDiffers, emitted), of(MarketHalted, emitted)
    assert (differs.own, differs.venue, differs.adopted) == (1000, 400, False)
    assert halted.instrument == 1
    assert kit.booked(emitted) == [("S1", SELL, "0.6", "105", "close", False)]
    (booked,) = of(FillBooked, emitted)
    assert (booked.cause, booked.external, int(booked.fee)) == ("position read", True, 0)
    (adjusted,) = of(BookAdjusted, emitted)
    assert (adjusted.before, adjusted.after, adjusted.account, adjusted.venue) == (1000, 400, 400, 400)
    assert adjusted.reason == "position read"
    assert [type(one) for one in emitted[:3]] == [PositionDiffers, MarketHalted, FillBooked]
    assert kit.position_read("0.4") == [], "the books follow the venue"


def test_a_difference_is_divided_like_a_fill_from_outside() -> None:
    kit = ready(S1="0.3", S2="0.1")
    kit.position_read("0.2")
    assert kit.sizes() == {"S1": F("0.15"), "S2": F("0.05")}


def test_a_difference_that_leaves_the_account_flat_closes_every_book() -> None:
    kit = ready(S1="1", S2="-0.4")
    kit.position_read("0")
    assert kit.sizes() == {}


def test_a_difference_without_any_price_is_booked_at_the_entry_price_or_at_cost() -> None:
    kit = ready(S1="1")
    assert kit.booked(kit.position_read("0.4", entry="101.5"))[0][3] == "101.5"
    kit = ready(S1="1")
    assert kit.booked(kit.position_read("0", entry="0"))[0][3] == "100"
    assert kit.position("S1")["realized"] == 0


# Missing fills.


@pytest.mark.parametrize("own", [True, False])
def test_a_missing_fill_takes_the_booking_back_and_counts_with_its_own_price(own: bool) -> None:
    kit = ready(S1="1")
    order = kit.order("S1", SELL, "0.6", role="close")
    kit.trade("105")
    kit.position_read("0.4", at_ns=T + 10 * MS)
    assert kit.position("S1")["realized"] == 3
    emitted = kit.fill(order if own else "", SELL, "0.6", "99", fee="0.02", at_ns=T + 5 * MS)
    assert [one[:5] for one in kit.booked(emitted)] == [
        ("S1", BUY, "0.6", "105", "open"),
        ("S1", SELL, "0.6", "99", "close"),
    ]
    assert [one.cause for one in of(FillBooked, emitted)] == ["taken back", ""]
    position = kit.position("S1")
    assert position == {
        "size": F("0.4"),
        "cost": 40,
        "realized": F("-0.6"),
        "fees": F("0.02"),
        "funding": 0,
    }
    assert kit.position_read("0.4", at_ns=T + 20 * MS) == []


def test_a_difference_that_two_missing_fills_explain_is_taken_back_in_parts() -> None:
    kit = ready(S1="1")
    order = kit.order("S1", SELL, "0.6", role="close")
    kit.trade("105")
    kit.position_read("0.4", at_ns=T + 10 * MS)
    for at, (size, price) in enumerate([("0.2", "99"), ("0.4", "98")]):
        kit.fill(order, SELL, size, price, at_ns=T + (5 + at) * MS)
        assert kit.held("S1") == F("0.4")
    position = kit.position("S1")
    worth = position["realized"] + position["size"] * 105 - position["cost"]
    assert worth == F("0.2") * -1 + F("0.4") * -2 + F("0.4") * 5


def test_a_missing_fill_of_one_strategy_gives_back_what_the_others_lost() -> None:
    kit = ready(S1="0.3", S2="0.3")
    order = kit.order("S2", SELL, "0.2", role="close")
    kit.position_read("0.4", at_ns=T + 10 * MS)
    assert kit.sizes() == {"S1": F("0.2"), "S2": F("0.2")}
    emitted = kit.fill(order, SELL, "0.2", "99", at_ns=T + 5 * MS)
    assert kit.sizes() == {"S1": F("0.3"), "S2": F("0.1")}
    assert kit.position("S1") == {"size": F("0.3"), "cost": 30, "realized": 0, "fees": 0, "funding": 0}
    assert {one.strategy for one in of(PositionChanged, emitted)} == {"S1", "S2"}


def test_a_fill_after_the_reading_takes_nothing_back() -> None:
    kit = ready(S1="1")
    kit.position_read("0.4", at_ns=T)
    kit.fill(kit.order("S1", SELL, "0.4", role="close"), SELL, "0.4", "99", at_ns=T + MS)
    assert kit.sizes() == {}


def test_a_missing_fill_of_the_other_side_takes_nothing_back() -> None:
    kit = ready(S1="1")
    kit.position_read("0.4", at_ns=T + 10 * MS)
    kit.fill("", BUY, "0.1", "99", at_ns=T + 5 * MS)
    assert kit.sizes() == {"S1": F("0.4"), "external": F("0.1")}


plan = st.lists(st.tuples(st.sampled_from([BUY, SELL]), st.integers(1, 40)), min_size=1, max_size=6)


@given(plan, plan, st.integers(1, 10), st.booleans())
def test_after_every_missing_fill_the_books_are_the_venues_position(
    known: list[tuple[int, int]], missing: list[tuple[int, int]], mark: int, close: bool
) -> None:
    """Whatever was missed, once it has all come the money is that of the fills alone."""
    kit = ready()
    paid = F(0)
    venue = 0
    orders = []
    for at, (side, size) in enumerate(known):
        kit.trades("S1", side, str(size), "100", at_ns=T + at)
        paid += side * size * 100
        venue += side * size
    for at, (side, size) in enumerate(missing):
        owner = "S1" if at % 2 else "S2"
        orders.append((kit.order(owner, side, str(size)) if at % 3 else "", side, size, 90 + at))
        paid += side * size * (90 + at)
        venue += side * size
    kit.trade(str(mark * 20))
    kit.position_read(str(venue), at_ns=T + 10 * MS)
    assert sum(kit.sizes().values()) == venue
    for at, (order, side, size, price) in enumerate(orders):
        kit.fill(order, side, str(size), str(price), at_ns=T + MS + at)
    assert sum(kit.sizes().values()) == venue
    kit.position_read(str(venue), at_ns=T + 20 * MS)
    equity = kit.equity()
    assert equity["equity"] == 1000 - paid + venue * mark * 20


# Readings at the time of fills.


@given(
    st.lists(st.tuples(st.sampled_from([BUY, SELL]), st.integers(1, 9), st.integers(0, 5)), max_size=20),
    st.integers(0, 6),
)
def test_o18_a_position_is_compared_with_the_fills_up_to_its_own_time(
    fills: list[tuple[int, int, int]], at: int
) -> None:
    kit = ready()
    for side, size, when in sorted(fills, key=lambda one: one[2]):
        kit.trades("S1", side, str(size), "100", at_ns=T + when * MS)
    true = sum(side * size for side, size, when in fills if when <= at)
    assert kit.position_read(str(true), at_ns=T + at * MS) == []


def test_a_fill_in_the_millisecond_of_a_reading_is_read_again_before_anything_is_halted() -> None:
    kit = ready(S1="1")
    kit.trades("S1", BUY, "1", "100", at_ns=T)
    assert kit.position_read("1", at_ns=T) == []
    (query,) = of(QueryAccount, kit.account_read("1000", at_ns=T))
    assert "same time" in query.reason
    assert kit.position_read("2", at_ns=T + MS) == []
    assert of(QueryAccount, kit.account_read("1000", at_ns=T + MS)) == []


def test_a_difference_that_the_next_reading_shows_again_counts() -> None:
    kit = ready(S1="1")
    kit.trades("S1", BUY, "1", "100", at_ns=T)
    kit.position_read("1", at_ns=T)
    kit.account_read("1000", at_ns=T)
    assert of(MarketHalted, kit.position_read("1", at_ns=T + MS))
    assert kit.sizes() == {"S1": 1}


def test_readings_that_are_always_at_the_time_of_a_fill_count_in_the_end() -> None:
    kit = ready()
    for at in range(4):
        kit.trades("S1", BUY, "1", "100", at_ns=T + at * MS)
        assert bool(of(MarketHalted, kit.position_read("9", at_ns=T + at * MS))) == (at == 3)
        kit.account_read("1000", at_ns=T + at * MS)


def test_the_money_of_a_reading_that_is_doubted_is_not_compared() -> None:
    kit = ready(S1="1")
    kit.trades("S1", SELL, "1", "150", at_ns=T)
    kit.position_read("1", at_ns=T)
    kit.account_read("1000", at_ns=T)
    assert kit.equity()["adjustments"] == 0


# Adoption.


def first(adopt: bool | dict[str, str], **fields: Any) -> Kit:
    return Kit(real=True, venue=VenueConfig(adopt=adopt), **fields)


def test_o17_a_position_that_was_there_before_is_given_to_the_strategy_that_trades_its_market() -> None:
    kit = first(True, strategies=("S1",))
    emitted = kit.position_read("5", entry="98.7654")
    (differs,) = of(PositionDiffers, emitted)
    assert (differs.own, differs.venue, differs.adopted) == (0, 5000, True)
    assert of(MarketHalted, emitted) == []
    assert kit.booked(emitted) == [("S1", BUY, "5", "98.7654", "open", False)]
    assert [one.cause for one in of(FillBooked, emitted)] == ["adopted"]
    assert len(of(BookAdjusted, emitted)) == 1
    assert kit.position_read("5") == []


def test_an_adopted_position_that_is_sold_is_one_position() -> None:
    kit = first(True, strategies=("S1",))
    kit.position_read("5", entry="98")
    kit.account_read("1010", unrealized="10")
    kit.trades("S1", SELL, "5", "100")
    assert kit.sizes() == {}
    kit.trades("S1", BUY, "1", "100")
    kit.trades("S1", SELL, "1", "100")
    assert kit.sizes() == {}
    assert kit.books.account(1) == 0
    assert kit.equity()["equity"] == 1010


def test_with_several_strategies_the_configuration_names_the_one_that_adopts() -> None:
    kit = first({"AAA": "S2"})
    kit.position_read("5")
    kit.position_read("3", market=2)
    assert (kit.sizes(1), kit.sizes(2)) == ({"S2": 5}, {"external": 3})


def test_only_strategies_that_trade_the_market_adopt() -> None:
    kit = first(True, markets={"S1": ("AAA",), "S2": ("BBB",)})
    kit.position_read("5")
    kit.position_read("3", market=2)
    assert (kit.sizes(1), kit.sizes(2)) == ({"S1": 5}, {"S2": 3})


def test_o17_a_position_that_no_strategy_adopts_is_external_and_halts_its_market() -> None:
    kit = first(False)
    emitted = kit.position_read("-5", entry="98")
    assert of(MarketHalted, emitted)
    assert kit.sizes() == {"external": -5}
    assert kit.position("external")["cost"] == -490


def test_what_no_strategy_adopted_is_handed_over_when_a_later_session_names_an_owner() -> None:
    kit = first(False)
    kit.position_read("5", entry="98")
    kit.account_read("1010", unrealized="10")
    assert kit.position_read("5") == []
    later = first({"AAA": "S1"})
    later.books.restore(kit.books.state())
    later.begin("b" * 16)
    emitted = later.position_read("5", entry="98")
    assert later.booked(emitted) == [
        ("external", SELL, "5", "98", "close", False),
        ("S1", BUY, "5", "98", "open", False),
    ]
    assert of(MarketHalted, emitted) == []
    assert (later.sizes(), later.position("S1")["cost"]) == ({"S1": 5}, 490)
    later.account_read("1010", unrealized="10")
    later.begin("c" * 16)
    assert later.position_read("5") == [], "once"


def test_a_difference_at_the_start_of_a_later_session_is_not_adopted() -> None:
    kit = first(True, strategies=("S1",))
    kit.position_read("0")
    kit.account_read("1000")
    kit.begin("b" * 16)
    emitted = kit.position_read("5")
    assert of(MarketHalted, emitted)
    assert kit.sizes() == {"external": 5}


def test_a_market_that_is_added_later_is_read_for_the_first_time_then() -> None:
    kit = first(True, strategies=("S1",))
    kit.position_read("0")
    kit.account_read("1000")
    kit.begin("b" * 16)
    kit.position_read("2", market=2)
    assert kit.sizes(2) == {"S1": 2}
