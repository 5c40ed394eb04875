"""Books: whose a position is, what a strategy reads of it, and what an operator closes."""

from __future__ import annotations

from fractions import Fraction

from engine.events import TargetChanged
from tests.orders.real import RealSession
from tests.orders.session import Session


def test_the_account_is_the_sum_of_the_books() -> None:
    with RealSession() as s:
        s.say("Long", "target", "AAA", "1")
        s.say("Short", "target", "AAA", "-0.4")
        s.trade(100)
        for order in list(s.orders.values()):
            s.fill(100, order=order)
        s.others(1, "0.1", 100)
        books = [s.book("Long"), s.book("Short"), s.book("external")]
        assert books == [1, Fraction("-0.3"), 0], "what others buy reduces what is short"
        assert sum(books) == Fraction(s.positions[1], 100)


def test_a_strategy_reads_its_own_book_although_the_account_is_flat() -> None:
    with Session() as s:
        s.say("Long", "target", "AAA", "1")
        s.say("Short", "target", "AAA", "-1")
        s.trade(100)
        s.trade(100)
        s.trade(100)
        newest = {read.owner: read.held[0] for reads in s.reads.values() for read in reads if read.held}
        assert {owner: held[1:3] for owner, held in newest.items()} == {"Long": (1, 1), "Short": (-1, -1)}


def test_flatten_closes_every_book_and_pauses_its_strategies_until_resume() -> None:
    with Session() as s:
        s.say("Long", "target", "AAA", "2")
        s.trade(100)
        s.trade(100)
        assert s.book() == 2
        s.operator("flatten")
        s.trade(100)
        assert (s.book(), s.wanted(), s.submitted()[-1].terms.purpose) == (0, 0, "flatten")
        s.say("Long", "target", "AAA", "1")
        s.trade(100)
        s.trade(100)
        assert (s.book(), s.newest(TargetChanged).reason) == (0, "paused")
        s.operator("resume")
        s.trade(100)
        s.trade(100)
        assert s.book() == 1
