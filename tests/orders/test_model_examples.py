"""The model itself: the examples of the rules with the numbers they state, before any engine is involved."""

from __future__ import annotations

from fractions import Fraction

import pytest

from engine.events import ActorFailed, Event, InstrumentListed, StopRequested, TargetSet
from tests.orders.ledger import Account, Book, allocate, down, largest_fall, parts, share_funding, up
from tests.orders.model import Model
from tests.orders.protection import Protection
from tests.orders.wanted import CANCELED, OUTSIDE, OVER, OWN, TARGET, Wanted

F = Fraction
LONG, SHORT, OTHER = "Long", "Short", "external"


def test_realized_profit_is_rounded_down_and_the_cost_is_zero_when_flat() -> None:
    book = Book()
    book.fill(1, F(1), F("10.00"), F(0), 8)
    book.fill(1, F(2), F("10.01"), F(0), 8)
    assert book.cost == F("30.02")
    book.fill(-1, F(1), F("10.01"), F(0), 8)
    assert (book.realized, book.cost) == (F("0.00333333"), F("20.01333333"))
    book.fill(-1, F(2), F("10.01"), F(0), 8)
    assert (book.realized, book.cost, book.size) == (F("0.01"), 0, 0)


def test_equity_and_drawdown_of_a_day() -> None:
    account = Account(F(1000), 8, (LONG,))
    marks = {1: F(100)}
    book = account.book(LONG, 1)
    book.fill(1, F(2), F(100), up(F(200) * F("0.00045"), 8), 8)
    first = account.equity(marks)
    marks[1] = F(103)
    book.fill(-1, F(1), F(103), up(F(103) * F("0.00045"), 8), 8)
    second = account.equity(marks)
    assert (first, second) == (F("999.91"), F("1005.86365"))
    assert account.total("fees") == F("0.13635")
    assert largest_fall([first, second], F(1000)) == F("0.09")


def test_funding_is_rounded_down() -> None:
    assert down(-F(1) * F(103) * F("0.0000125"), 8) == F("-0.0012875")


def test_a_funding_payment_is_shared_by_size_and_the_rest_goes_to_the_largest() -> None:
    assert share_funding([("A", F(2)), ("B", F(1))], F("-0.01"), 2) == [("A", F(0)), ("B", F("-0.01"))]
    shared = share_funding([("A", F(2)), ("B", F(1)), ("C", F(0))], F("0.10"), 2)
    assert shared == [("A", F("0.07")), ("B", F("0.03"))]


def test_a_fill_across_zero_is_two() -> None:
    assert parts(F(1), -1, F(3)) == [1, 2]
    assert parts(F(0), -1, F(3)) == [3]
    assert parts(F(1), 1, F(3)) == [3]
    assert parts(F(1), -1, F(1)) == [1]


@pytest.mark.parametrize(
    ("books", "side", "size", "expected"),
    [
        ([("S1", "0.3"), ("S2", "0.1")], -1, "0.2", [("S1", "0.15"), ("S2", "0.05")]),
        ([("S1", "0.3"), ("S2", "0.1")], -1, "0.5", [("S1", "0.3"), ("S2", "0.1"), (OTHER, "0.1")]),
        ([("S1", "1"), ("S2", "-0.4")], -1, "0.6", [("S1", "0.6")]),
        (
            [("S1", "1"), ("manual", "1"), (OTHER, "1")],
            -1,
            "2.5",
            [(OTHER, "1"), ("manual", "1"), ("S1", "0.5")],
        ),
        (
            [("S1", "0.1"), ("S2", "0.1"), ("S3", "0.1")],
            -1,
            "0.1",
            [("S1", "0.04"), ("S2", "0.03"), ("S3", "0.03")],
        ),
        ([("S1", "0.02"), ("S2", "0.04")], -1, "0.05", [("S1", "0.02"), ("S2", "0.03")]),
        ([("S1", "1")], 1, "0.4", [(OTHER, "0.4")]),
    ],
)
def test_a_fill_of_others_is_divided_among_the_books_that_it_reduces(
    books: list[tuple[str, str]], side: int, size: str, expected: list[tuple[str, str]]
) -> None:
    found = allocate([(name, F(p)) for name, p in books], side, F(size), F("0.01"))
    assert found == [(name, F(p)) for name, p in expected]


def after(wanted: str, *fills: tuple[str, str, str], held: str = "") -> tuple[Fraction | None, bool]:
    target = Wanted(F(wanted))
    for kind, before, then in fills:
        target.fill(kind, F(before), F(then))
    if held:
        target.clamp(F(held))
    return target.size, target.withdrawn


def test_what_changes_a_target() -> None:
    assert after("1", (OWN, "1", "0")) == (0, True), "a stop-out withdraws what it closed"
    assert after("0", (OWN, "2", "1")) == (0, False), "an exit is never withdrawn"
    assert after("-1", (OWN, "1", "0")) == (-1, False), "the other side is still worked"
    assert after("1", (OWN, "1", "3")) == (3, False), "own orders are on top"
    assert after("1", (OWN, "0.4", "0"), (TARGET, "0", "0.6")) == (0, True), "the late fill is sold again"
    assert after("1", (CANCELED, "1", "2")) == (1, False)
    assert after("1", (OVER, "0", "-1"), (OWN, "-1", "0")) == (1, False)
    assert after("1", (OUTSIDE, "1", "0.5")) == (F("0.5"), True)


def test_a_halt_withdraws_the_opening_part_only() -> None:
    assert after("-2", held="1") == (0, True)
    assert after("0.5", held="1") == (F("0.5"), False)
    assert after("3", held="1") == (1, True)
    assert after("3", held="-1") == (0, True)


def test_the_distance_closes_before_it_opens() -> None:
    assert Wanted(F(-2)).distance(F(1)) == (-1, -2)
    assert Wanted(F(3)).distance(F(1)) == (0, 2)
    assert Wanted(F(0)).distance(F(1)) == (-1, 0)
    assert Wanted(F(3), withdrawn=True).distance(F(1)) == (0, 0)
    assert Wanted().distance(F(1)) == (0, 0)
    assert Wanted(F(-2)).may_trade(-1, F(1), F(1))
    assert not Wanted(F(-2)).may_trade(-1, F(3), F(1))
    assert Wanted(F(-2)).may_trade(-1, F(2), F(0))
    assert not Wanted(F(1)).may_trade(-1, F(1), F(0))


def test_a_stop_waits_as_long_as_an_opening_of_its_side_works_and_ends_with_it() -> None:
    model = Model((LONG,), F(1000))
    protection = Protection(model, candles=False)
    facts: list[Event] = [
        InstrumentListed(0, 1, "sandbox", "AAA", 2, 2),
        TargetSet(0, LONG, 1, 100),
        StopRequested(0, LONG, 1, "waits", -1, 100, "sl", 9700),
        StopRequested(0, LONG, 1, "of the other side", 1, 100, "sl", 10300),
        ActorFailed(0, LONG, 5, "", "quarantine"),
    ]
    ended = []
    for seq, fact in enumerate(facts, 1):
        model.follow(seq, fact, 0)
        protection.follow(fact)
        protection.check_turn()
        ended.append([name for name, stop in protection.stops.items() if stop.dead])
    assert ended[2:] == [[], ["of the other side"], ["waits", "of the other side"]]
