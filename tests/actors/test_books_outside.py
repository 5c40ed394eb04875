"""Fills that were not ordered through the engine: which books they belong to, and what halts a market."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.actors.books.allocation import allocate, portions
from engine.events import (
    BookAdjusted,
    EquityMarked,
    FillBooked,
    FundingPaid,
    InstrumentListed,
    MarketHalted,
    PositionChanged,
    SessionStopped,
)
from engine.values import BUY, SELL
from tests.actors.books_kit import SESSION, Kit
from tests.actors.harness import T
from tests.orders import ledger as model

F = Fraction


def with_books(**held: str) -> Kit:
    """Return books that hold these sizes, each from a fill at 100; that of "external" comes first."""
    kit = Kit()
    for owner, size in sorted(held.items(), key=lambda one: one[0] != "external"):
        side = SELL if size.startswith("-") else BUY
        if owner == "external":
            kit.fill("", side, size.strip("-"), "100")
        else:
            kit.trades(owner, side, size.strip("-"), "100")
    return kit


def outside(kit: Kit, side: int, size: str, price: str = "100", **fields: Any) -> list[Any]:
    return kit.fill("", side, size, price, **fields)


def test_a_fill_from_outside_is_divided_in_proportion_to_size() -> None:
    kit = with_books(S1="0.3", S2="0.1")
    emitted = outside(kit, SELL, "0.2", "101", fee="0.02")
    assert kit.booked(emitted) == [
        ("S1", SELL, "0.15", "101", "close", False),
        ("S2", SELL, "0.05", "101", "close", False),
    ]
    assert kit.sizes() == {"S1": F("0.15"), "S2": F("0.05")}
    booked = [one for one in emitted if isinstance(one, FillBooked)]
    assert all(one.external and not one.client_order_id and not one.cause for one in booked)
    assert [int(one.fee) for one in booked] == [1500, 500], "the fee goes with the size"
    assert [type(one) for one in emitted] == [
        *[FillBooked] * 2,
        *[PositionChanged] * 2,
        *[BookAdjusted] * 2,
        EquityMarked,
    ]
    assert all(one.external for one in emitted if isinstance(one, PositionChanged))
    adjusted = [one for one in emitted if isinstance(one, BookAdjusted)]
    assert [(one.owner, one.before, one.after, one.account, one.venue) for one in adjusted] == [
        ("S1", 300, 150, 200, 200),
        ("S2", 100, 50, 200, 200),
    ]


def test_o16_what_is_left_of_a_fill_from_outside_opens_in_external() -> None:
    kit = with_books(S1="0.3", S2="0.1")
    outside(kit, SELL, "0.5")
    assert kit.sizes() == {"external": F("-0.1")}


def test_external_then_manual_are_reduced_before_strategies() -> None:
    kit = with_books(S1="1", manual="1", external="1")
    outside(kit, SELL, "2.5")
    assert kit.sizes() == {"S1": F("0.5")}


def test_a_fill_from_outside_on_the_side_of_the_books_stays_external() -> None:
    kit = with_books(S1="1")
    emitted = outside(kit, BUY, "0.4")
    assert kit.sizes() == {"S1": 1, "external": F("0.4")}
    assert not [one for one in emitted if isinstance(one, MarketHalted)], "it halts nothing"


def test_an_order_of_a_person_belongs_to_manual() -> None:
    kit = with_books(S1="1")
    kit.trades("manual", SELL, "1", "100")
    assert kit.sizes() == {"S1": 1, "manual": -1}


def test_three_fills_of_somebody_else_leave_the_account_true() -> None:
    """An independent test traded 0.01 three times on the account: it ended at -0.08 without a word."""
    kit = with_books(S1="0.05")
    for _ in range(3):
        outside(kit, SELL, "0.01")
    assert kit.sizes() == {"S1": F("0.02")}
    kit.trades("S1", SELL, "0.02", "100")
    assert kit.sizes() == {}


# The account is flat.


def test_when_the_account_is_flat_every_book_is_closed_at_that_price() -> None:
    kit = with_books(S1="1", S2="-0.4")
    kit.trade("101")
    emitted = outside(kit, SELL, "0.6", "101")
    assert kit.sizes() == {}
    booked = [one for one in emitted if isinstance(one, FillBooked)]
    assert [(one.owner, one.side, one.size, one.cause) for one in booked] == [
        ("S1", SELL, 600, ""),
        ("S1", SELL, 400, "flat"),
        ("S2", BUY, 400, "flat"),
    ]
    assert all(one.external and int(one.fee) == 0 for one in booked)
    equity = kit.equity()
    assert (equity["equity"], equity["realized"]) == (1000 + 1 - F("0.4"), F("0.6"))
    adjusted = [one for one in emitted if isinstance(one, BookAdjusted)]
    assert [(one.owner, one.before, one.after) for one in adjusted] == [("S1", 1000, 0), ("S2", -400, 0)]


def test_books_that_net_to_zero_stay_while_only_external_was_touched() -> None:
    kit = with_books(S1="1", S2="-1", external="0.5")
    outside(kit, SELL, "0.5")
    assert kit.sizes() == {"S1": 1, "S2": -1}


def test_own_fills_that_make_the_account_flat_close_nothing_else() -> None:
    kit = with_books(S1="1")
    kit.trades("S2", SELL, "1", "100")
    assert kit.sizes() == {"S1": 1, "S2": -1}


# Liquidation and ADL.


@pytest.mark.parametrize("cause", ["liquidation", "adl"])
def test_a_liquidation_closes_the_books_and_halts_the_market(cause: str) -> None:
    kit = with_books(S1="15", S2="5")
    emitted = outside(kit, SELL, "20", "91", cause=cause)
    assert kit.sizes() == {}
    assert kit.equity()["equity"] == 1000 - 180
    halted = [one for one in emitted if isinstance(one, MarketHalted)]
    assert [(one.instrument, one.reason) for one in halted] == [(1, cause)]
    assert {one.cause for one in emitted if isinstance(one, FillBooked)} == {cause}
    assert [one.reason for one in emitted if isinstance(one, BookAdjusted)] == [cause] * 2


def test_a_liquidation_that_the_venue_does_not_mark_is_a_fill_from_outside() -> None:
    kit = with_books(S1="15")
    emitted = outside(kit, SELL, "15", "91")
    assert kit.sizes() == {}
    assert not [one for one in emitted if isinstance(one, MarketHalted)]


# The rule of allocation.


books = st.dictionaries(
    st.sampled_from(["S1", "S2", "S3", "manual", "external"]), st.integers(-50, 50), max_size=5
)


@given(books, st.sampled_from([BUY, SELL]), st.integers(1, 300), st.sampled_from([1, 2, 5]))
def test_the_allocation_is_that_of_the_model(held: dict[str, int], side: int, size: int, step: int) -> None:
    ordered = [
        (owner, held[owner] * step) for owner in ("S1", "S2", "S3", "manual", "external") if owner in held
    ]
    found = allocate(ordered, side, size * step, step)
    expected = model.allocate([(owner, F(p)) for owner, p in ordered], side, F(size * step), F(step))
    assert found == expected
    assert sum(part for _, part in found) == size * step
    for owner, part in found:
        assert owner == "external" or (held[owner] * side < 0 and part <= abs(held[owner] * step))


def test_a_size_that_is_not_on_the_grid_is_allocated_whole() -> None:
    assert allocate([("S1", 7), ("S2", 4)], SELL, 9, 5) == [("S1", 5), ("S2", 4)]


@given(st.integers(-(10**12), 10**12), st.lists(st.integers(1, 10**6), min_size=1, max_size=6))
def test_portions_sum_to_the_amount(amount: int, sizes: list[int]) -> None:
    found = portions(amount, sizes)
    assert sum(found) == amount
    assert all(abs(part - F(amount * size, sum(sizes))) < 1 for part, size in zip(found, sizes, strict=True))


def test_fills_of_a_market_whose_grid_has_wide_steps_go_in_whole_steps() -> None:
    kit = Kit(listed={1: InstrumentListed(T, 1, "sim", "AAA", 2, 2, size_step=10)})
    kit.trades("S1", BUY, "0.2", "100")
    kit.trades("S2", BUY, "0.1", "100")
    outside(kit, SELL, "0.2")
    assert kit.sizes() == {"S1": F("0.1")}


steps = st.lists(
    st.tuples(
        st.sampled_from(["S1", "S2", "manual", "", "", "liquidation"]),
        st.sampled_from([BUY, SELL]),
        st.integers(1, 40),
        st.integers(80, 120),
        st.integers(-50, 200),
    ),
    min_size=1,
    max_size=30,
)


@given(steps, st.lists(st.integers(-(10**6), 10**6), max_size=3), st.integers(80, 120))
def test_whoever_a_fill_is_booked_to_the_account_has_the_position_and_the_money_of_its_fills(
    plan: list[tuple[str, int, int, int, int]], payments: list[int], mark: int
) -> None:
    kit = Kit()
    paid = fees = F(0)
    held = 0
    for owner, side, size, price, fee in plan:
        order = "" if owner in ("", "liquidation") else kit.order(owner, side, str(F(size, 10)))
        cause = owner if owner == "liquidation" else ""
        emitted = kit.fill(order, side, str(F(size, 10)), str(price), fee=str(F(fee, 10**4)), cause=cause)
        paid += F(side * size, 10) * price
        fees += F(fee, 10**4)
        held += side * size
        assert sum(kit.sizes().values()) == F(held, 10)
        touched = {one.owner for one in emitted if isinstance(one, FillBooked)}
        if not order and not held and touched & {"S1", "S2"}:
            assert kit.sizes() == {}, "the account is flat, and so is every book"
    for number, amount in enumerate(payments):
        kit.send(FundingPaid(T, T + number + 1, 1, 1, 8, amount, 0))
    kit.trade(str(mark))
    kit.send(SessionStopped(T, SESSION, "test"))
    funding = F(sum(payments), 10**8)
    assert kit.equity()["equity"] == 1000 - paid - fees + funding + F(held, 10) * mark
    assert kit.equity()["funding"] == funding


@given(steps)
def test_no_booked_fill_crosses_zero_and_a_flat_book_costs_nothing(
    plan: list[tuple[str, int, int, int, int]],
) -> None:
    kit = Kit()
    held: dict[str, int] = {}
    for owner, side, size, price, _ in plan:
        order = "" if owner in ("", "liquidation") else kit.order(owner, side, str(size))
        for one in kit.fill(order, side, str(size), str(price)):
            if isinstance(one, FillBooked):
                before = held.get(one.owner, 0)
                closes = before * one.side < 0
                assert one.role == ("close" if closes else "open")
                assert not closes or one.size <= abs(before)
                held[one.owner] = before + one.side * one.size
            elif isinstance(one, PositionChanged):
                assert one.size == held[one.strategy]
                assert one.size or int(one.cost) == 0
