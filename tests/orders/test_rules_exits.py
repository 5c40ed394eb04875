"""Exits: together they never exceed the position, none is lost, and none opens."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest

from engine.actors.simulated.margin import NO_MARGIN
from engine.events import ExitDelayed, OrderRejected
from tests.orders.cases import Case, play, run
from tests.orders.real import RealSession
from tests.orders.session import FREE, Session

CASES = (
    Case(
        "a market sale takes from resting exits, youngest first",
        "buy 3 | 100 100 | sell 2 limit=110 | sell 1 limit=112 | 100 100 | sell 2 | 101 101 101 | 113 113",
        books={"Long": "0"},
        cash="1012",
        live=0,
    ),
    Case(
        "a new resting exit gets only what no other exit has",
        "buy 1 | 100 100 | sell 1 limit=110 | sell 1 limit=112 | 100 100 | 113 113",
        books={"Long": "0"},
        refused=("exit_budget",),
        cash="1010",
    ),
    Case(
        "a resting exit, a stop and a trail may protect one position",
        "buy 1 | 100 100 | sell 1 limit=110 | stop sell 1 97 | trail 1 5 | 100 100 | 111 111 | 90 90",
        books={"Long": "0"},
        cash="1010",
        refused=(),
        live=0,
    ),
    Case(
        "the position is gone and so are its exits",
        "buy 2 | 100 100 | sell 1 limit=110 | stop sell 2 95 | 100 | sell 2 | 101 101 101 | 111 111 | 94 94",
        books={"Long": "0"},
        cash="1002",
        live=0,
    ),
    Case(
        "a target of zero replaces a resting exit",
        "target 1 | 100 100 | sell 1 limit=110 | 100 | target 0 | 101 101 101 | 111 111",
        books={"Long": "0"},
        cash="1001",
        live=0,
    ),
    Case(
        "a stop of one book works in a netted market",
        "target 1 | Short: target -1 | 100 100 | stop sell 1 97 | 100 | 96 96 96",
        books={"Long": "0", "Short": "-1"},
        cash="996",
    ),
)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_exits(case: Case) -> None:
    run(case)


def test_an_exit_waits_for_the_end_of_the_order_it_takes_over() -> None:
    with RealSession() as s:
        s.say("Long", "target", "AAA", "1")
        s.trade(100)
        s.fill(100)
        s.say("Long", "sell", "AAA", "1", limit="110")
        s.trade(100)
        s.hold()
        s.say("Long", "target", "AAA", "0")
        s.trade(100)
        assert len(s.submitted(side=-1)) == 1, "the sale waits for the end of the limit"
        s.release()
        assert len(s.submitted(side=-1)) == 2
        s.fill(100)
        assert s.book() == 0


def test_resting_exits_are_cut_when_somebody_sells() -> None:
    with RealSession() as s:
        s.say("Long", "buy", "AAA", "2")
        s.trade(100)
        s.fill(100)
        s.say("Long", "sell", "AAA", "1", limit="110")
        s.say("Long", "sell", "AAA", "1", limit="112")
        s.trade(100)
        s.others(-1, 1, 100)
        s.wait(1)
        left = [order for order in s.orders.values() if order.state == "open"]
        assert [order.limit for order in left] == [s.price(110)]
        assert s.book() == 1


def test_an_exit_in_a_netted_market_goes_without_the_flag_of_the_venue() -> None:
    with RealSession() as s:
        s.say("Long", "target", "AAA", "1")
        s.say("Short", "target", "AAA", "-1")
        s.trade(100)
        for order in list(s.orders.values()):
            s.fill(100, order=order)
        s.say("Long", "target", "AAA", "0")
        s.trade(100)
        exit_ = s.order()
        assert not exit_.command.terms.reduce_only
        s.fill(100)
        assert (s.book("Long"), s.book("Short")) == (0, -1)


def test_an_exit_in_a_one_sided_market_carries_the_flag_of_the_venue() -> None:
    with RealSession() as s:
        s.say("Long", "target", "AAA", "1")
        s.trade(100)
        s.fill(100)
        s.say("Long", "target", "AAA", "0")
        s.trade(100)
        assert s.order().command.terms.reduce_only
        s.fill(100)


def test_an_exit_that_the_venue_canceled_as_reduce_only_is_placed_again_without_the_flag() -> None:
    with RealSession() as s:
        s.say("Long", "target", "AAA", "1")
        s.trade(100)
        s.fill(100)
        s.say("Long", "sell", "AAA", "1", limit="110")
        s.trade(100)
        resting = s.order(side=-1)
        s.say("Short", "target", "AAA", "-1")
        s.trade(100)
        s.fill(100, order=s.order(purpose="target"))
        s.end(resting, "reduceOnlyCanceled")
        s.wait(1)
        again = s.order(side=-1)
        assert again.limit == s.price(110)
        assert not again.command.terms.reduce_only
        assert s.book("Long") == Fraction(1)


def test_a_change_does_not_raise_an_exit_above_a_book_that_has_shrunk() -> None:
    """Somebody sells 0.3 of 1, and `on_fill` asks for the whole size of the exit again."""
    with RealSession() as s:
        s.say("Long", "buy", "AAA", "1")
        s.trade(100)
        s.fill(100)
        s.say("Long", "sell", "AAA", "1", limit="110")
        s.trade(100)
        s.say("Long", "modify", -1, size="1", limit="109", on="fill")
        s.others(-1, "0.3", 100)
        assert s.refusals() == ["exit_budget"]
        assert (s.order().open, s.order().limit) == (s.size("0.7"), s.price(110))
        s.say("Long", "modify", -1, limit="109")
        s.trade(100)
        assert (s.order().open, s.order().limit) == (s.size("0.7"), s.price(109))


def test_a_change_of_the_price_keeps_a_cut_that_is_on_its_way() -> None:
    with RealSession() as s:
        s.say("Long", "buy", "AAA", "1")
        s.trade(100)
        s.fill(100)
        s.say("Long", "sell", "AAA", "1", limit="110")
        s.trade(100)
        s.say("Long", "modify", -1, limit="109", on="fill")
        s.others(-1, "0.3", 100)
        assert s.refusals() == []
        assert (s.order().open, s.order().limit) == (s.size("0.7"), s.price(109))


def test_of_two_stops_that_one_fill_fires_the_resting_exit_gives_way_to_the_one_at_market() -> None:
    with RealSession() as s:
        s.say("Long", "sell", "AAA", "0.3", limit="99.33")
        s.say("Long", "stop", "AAA", "buy", "3", "102.02", on="order")
        s.trade("99.15")
        s.say("Long", "stop", "AAA", "buy", "0.1", "99.79", limit="100.28")
        s.trade("99.15")
        entry = s.order()
        s.trade("115.1")
        s.fill("115.1", order=entry)
        resting, market = s.submitted(side=1)
        assert resting.terms.rests
        assert not market.terms.rests
        assert s.orders[resting.client_order_id].state == "canceled"
        assert (market.terms.size, s.order().name) == (s.size("0.3"), market.client_order_id)
        s.fill("115.1")
        assert s.book() == 0


def sizes(s: Session, owner: str, purpose: str) -> list[int]:
    """Return the signed sizes of what a strategy sent, in hundredths."""
    return [
        one.terms.side * int(one.terms.size) for one in s.submitted(purpose=purpose) if one.strategy == owner
    ]


def test_an_exit_that_the_venue_refuses_for_margin_is_tried_in_half_its_size() -> None:
    """Long 3, Short -0.1 at 90: the account holds 2.9, an equity of 11 is less than the margin of 13.05.

    A sale of 3 goes beyond the account's 2.9, so it needs margin at the venue; one of 1.5 only closes.
    """
    with Session(replace(FREE, cash="40")) as s:
        play(
            s,
            "target 3 | Short: target -0.1 | 100 100 | 90 | target 0 | Short: target 0 | 90 90 90 90 | 90 90",
        )
        assert {one.reason for one in s.memory.events(OrderRejected)} == {NO_MARGIN}
        assert sizes(s, "Long", "target") == [300, -300, -150, -150]
        assert (s.book("Long"), s.book("Short")) == (0, 0)


def test_so_is_a_protective_exit() -> None:
    with Session(replace(FREE, cash="40")) as s:
        play(s, "target 3 | Short: target -0.1 | 100 100 | 90 | flatten | 90 90 90 90 | 90 90 90 90")
        assert sizes(s, "Long", "flatten") == [-300, -150, -150]
        assert (s.book("Long"), s.book("Short")) == (0, 0)


def test_opposite_books_close_although_the_account_could_carry_neither_alone() -> None:
    """Long 3 and Short -3 at 100 with 12: 3 alone need a margin of 15."""
    with Session(replace(FREE, cash="12")) as s:
        play(
            s,
            "target 3 | Short: target -3 | 60 60 | 100 | target 0 | Short: target 0 | 100 100 | 100 100 100",
        )
        assert [one.reason for one in s.memory.events(OrderRejected)] == [NO_MARGIN, NO_MARGIN]
        assert (s.book("Long"), s.book("Short")) == (0, 0)


def test_an_exit_that_needs_more_margin_than_there_is_goes_on_for_what_there_is() -> None:
    """Short keeps -3, and with 12 at 100 the account can be short 2.4: 0.6 of Long's 3 have to wait."""
    with Session(replace(FREE, cash="12")) as s:
        play(s, "target 3 | Short: target -3 | 60 60 | 100 | target 0 | 100 100 100 100 | wait 60")
        for _ in range(80):
            s.trade(100)
        assert s.book("Long") * 10 == 6
        assert s.newest(ExitDelayed, owner="Long").reason == NO_MARGIN
        s.say("Short", "target", "AAA", "0")
        for _ in range(20):
            s.trade(100)
        assert (s.book("Long"), s.book("Short")) == (0, 0)
