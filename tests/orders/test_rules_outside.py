"""What was not ordered here: fills of others, liquidations, readings that differ, positions at the start."""

from __future__ import annotations

from fractions import Fraction

import pytest

from engine.events import BookAdjusted, FillBooked, MarketHalted, PositionDiffers
from tests.orders.real import RealSession

F = Fraction


def holding(long: str, short: str = "0") -> RealSession:
    """Return a session in which both strategies hold something, bought and sold at 100."""
    s = RealSession()
    for name, size in (("Long", long), ("Short", short)):
        if F(size):
            s.say(name, "target", "AAA", size)
    s.trade(100)
    for order in list(s.orders.values()):
        s.fill(100, order=order)
    return s


@pytest.mark.parametrize(
    ("long", "short", "sold", "books"),
    [
        ("0.3", "0.1", "0.2", ("0.15", "0.05", "0")),
        ("0.3", "0.1", "0.5", ("0", "0", "-0.1")),
        ("1", "0.5", "0.01", ("0.99", "0.5", "0")),
    ],
)
def test_a_fill_of_others_is_divided_by_size(
    long: str, short: str, sold: str, books: tuple[str, str, str]
) -> None:
    with holding(long, short) as s:
        s.others(-1, sold, 99)
        assert [s.book(owner) for owner in ("Long", "Short", "external")] == [F(size) for size in books]
        assert s.newest(FillBooked).external
        assert s.newest(BookAdjusted).account == sum(F(size) for size in books) * 100
        assert not s.memory.events(MarketHalted)


def test_when_the_account_is_flat_every_book_is() -> None:
    with holding("1", "-0.4") as s:
        s.others(-1, "0.6", 101)
        assert (s.book("Long"), s.book("Short"), s.book("external")) == (0, 0, 0)
        assert s.cash() == 1000 + 1 - F("0.4")


def test_what_others_opened_is_external_and_is_reduced_first() -> None:
    with holding("1") as s:
        s.others(1, "0.5", 100)
        assert (s.book("Long"), s.book("external")) == (1, F("0.5"))
        s.others(-1, "0.7", 100)
        assert (s.book("Long"), s.book("external")) == (F("0.8"), 0)


def test_a_liquidation_withdraws_targets_and_halts_the_market() -> None:
    with RealSession() as s:
        s.say("Long", "target", "AAA", "15")
        s.say("Short", "target", "AAA", "5")
        s.trade(100)
        for order in list(s.orders.values()):
            s.fill(100, order=order)
        s.others(-1, 20, 91, cause="liquidation")
        assert (s.book("Long"), s.book("Short"), s.cash()) == (0, 0, 820)
        assert s.wanted("Long") == 0
        assert s.memory.events(MarketHalted)
        s.say("Long", "target", "AAA", "0")
        s.trade(91)
        s.say("Long", "target", "AAA", "1")
        s.trade(91)
        s.wait(70)
        assert len(s.submitted()) == 2
        assert (s.wanted("Long"), s.state("Long")) == (0, "withdrawn")


def test_a_position_that_differs_is_booked_and_halts_the_market() -> None:
    with holding("1") as s:
        lost = s.others(-1, "0.6", 99, silent=True)
        s.wait(1)
        s.read_account()
        assert s.book() == F("0.4")
        assert s.memory.events(PositionDiffers)
        assert s.memory.events(MarketHalted)
        s.send(lost)
        assert s.book() == F("0.4")
        assert s.cash() == 1000 - F("0.6"), "the fill that came later replaces the mark by its price"


def test_a_late_fill_of_an_ended_order_goes_to_its_strategy() -> None:
    with RealSession() as s:
        s.say("Long", "buy", "AAA", "1", limit="99")
        s.trade(100)
        order = s.order()
        lost = s.fill(99, "0.4", order=order, silent=True)
        s.end(order)
        s.wait(2)
        s.send(lost)
        assert s.book() == F("0.4")


def test_a_fill_reported_twice_is_booked_once() -> None:
    with RealSession() as s:
        s.say("Long", "buy", "AAA", "1", limit="99")
        s.trade(100)
        report = s.fill(99, "0.4")
        s.send(report)
        assert s.book() == F("0.4")
        assert len(s.memory.events(FillBooked)) == 1


def test_a_position_at_the_start_that_is_not_adopted_is_external_and_halts_the_market() -> None:
    with RealSession(held={1: 5}) as s:
        assert (s.book("Long"), s.book("external")) == (0, 5)
        assert s.memory.events(MarketHalted)
