"""`target` in every situation: refused, partly filled, answer lost, restarted, position changed by others."""

from __future__ import annotations

from itertools import pairwise

import pytest

from engine.events import ExitDelayed, OrderRefused, QueryAccount, TargetChanged
from tests.orders.account_rig import AccountRig


def ready(*names: str, held: float = 0) -> AccountRig:
    """Return a rig whose account has been read, with prices about 100 and a position of S."""
    rig = AccountRig(*names)
    rig.account()
    rig.quote(99.9, 100.1)
    rig.trade(100)
    if held:
        hold(rig, held)
    return rig


def hold(rig: AccountRig, size: float, name: str = "S") -> None:
    """Let a strategy reach a position by a target, at 100."""
    rig.call(lambda s: s.target("BTC", str(size)), name)
    rig.accept(rig.order)
    rig.fill(rig.order, 100)
    assert rig.book(name) == size


def state(rig: AccountRig, name: str = "S") -> tuple[str, float | None]:
    newest = [one for one in rig.all(TargetChanged) if one.strategy == name][-1]
    return newest.state, None if newest.wanted is None else newest.wanted / 10_000


def test_a_refused_opening_is_tried_again_by_its_pace_until_it_is_filled() -> None:
    rig = ready()
    rig.call(lambda s: s.target("BTC", "1"))
    rig.reject(rig.order, "no margin")
    assert len(rig.orders) == 1
    for seconds, tries in ((0.9, 1), (0.2, 2)):
        rig.wait(seconds)
        assert len(rig.orders) == tries
    rig.reject(rig.order, "no margin")
    rig.wait(4.9)
    assert len(rig.orders) == 2
    rig.wait(0.2)
    assert rig.shown() == ["buy 1 open target"] * 3
    rig.fill(rig.order, 100)
    assert (rig.book(), state(rig)) == (1, ("reached", 1))


def test_an_exit_is_tried_again_without_end_and_reported() -> None:
    rig = ready(held=1)
    rig.call(lambda s: s.target("BTC", 0))
    rig.end(rig.order, "Ioc")
    for seconds in (0.25, 0.5, 1, 2, 5, 5, 5):
        before = len(rig.orders)
        rig.wait(seconds - 0.01)
        assert len(rig.orders) == before
        rig.wait(0.02)
        assert len(rig.orders) == before + 1
        rig.quote(95, 95.2)
        rig.end(rig.order, "Ioc")
    assert rig.shown()[1:] == ["sell 1 close target"] * 8
    late = rig.all(ExitDelayed)
    assert late[0].left == 10_000
    assert all(b.at_ns - a.at_ns >= 10**10 for a, b in pairwise(late))


def test_what_a_partly_filled_opening_lacks_is_bought_a_second_later() -> None:
    rig = ready()
    rig.call(lambda s: s.target("BTC", "20"))
    rig.fill(rig.order, 100.1, 3)
    rig.end(rig.order, "Ioc", 17)
    rig.wait(0.99)
    assert len(rig.orders) == 1
    rig.wait(0.02)
    assert rig.shown() == ["buy 20 open target", "buy 17 open target"]


def test_an_order_whose_answer_is_lost_is_never_sent_twice() -> None:
    rig = ready()
    rig.call(lambda s: s.target("BTC", "1"))
    rig.lose(rig.order)
    rig.call(lambda s: s.target("BTC", "1"))
    rig.wait(30)
    rig.call(lambda s: s.target("BTC", 0))
    rig.wait(3)
    assert len(rig.orders) == 1
    rig.fill(rig.order, 100.1)
    assert rig.shown() == ["buy 1 open target", "sell 1 close target"]


def test_after_a_restart_the_first_try_comes_when_the_account_has_been_read() -> None:
    rig = ready(held=1)
    rig.call(lambda s: s.target("BTC", 0))
    first = rig.order
    rig.restart()
    rig.quote(99.9, 100.1)
    rig.wait(20)
    assert rig.shown()[1:] == ["sell 1 close target"]
    rig.read(first, "canceled", 1)
    rig.account()
    assert rig.shown()[1:] == ["sell 1 close target"] * 2


def test_after_a_restart_a_filled_order_is_not_repeated() -> None:
    rig = ready()
    rig.call(lambda s: s.target("BTC", "1"))
    first = rig.order
    rig.restart()
    rig.quote(99.9, 100.1)
    rig.fill(first, 100.1)
    rig.account()
    rig.wait(70)
    assert (rig.book(), len(rig.orders)) == (1, 1)


def test_what_somebody_else_sold_is_not_bought_again() -> None:
    rig = ready(held=3)
    rig.foreign("sell", 2, 101)
    assert (rig.book(), state(rig)) == (1, ("withdrawn", 1))
    rig.wait(90)
    assert len(rig.orders) == 1
    rig.call(lambda s: s.target("BTC", "3"))
    assert rig.shown()[1:] == ["buy 2 open target"]


def test_an_exit_goes_on_for_what_somebody_else_left() -> None:
    rig = ready(held=3)
    rig.call(lambda s: s.target("BTC", 0))
    rig.end(rig.order, "Ioc")
    rig.foreign("sell", 2, 99)
    rig.wait(0.3)
    assert rig.shown()[1:] == ["sell 3 close target", "sell 1 close target"]


def test_a_target_of_the_other_side_closes_first_and_then_opens() -> None:
    rig = ready(held=1)
    rig.call(lambda s: s.target("BTC", "-2"))
    assert rig.shown()[1:] == ["sell 1 close target"]
    rig.fill(rig.order, 99.9)
    assert rig.shown()[1:] == ["sell 1 close target", "sell 2 open target"]


def test_a_target_cancels_the_openings_placed_before_it_and_sends_one_order() -> None:
    rig = ready()
    rig.call(lambda s: s.buy("BTC", "2", limit="95"))
    bid = rig.order
    rig.accept(bid)
    rig.call(lambda s: s.target("BTC", "1"))
    assert rig.canceled == [bid.client_order_id]
    assert rig.shown()[1:] == ["buy 1 open target"]


def test_a_newer_target_waits_for_the_order_of_the_older_one() -> None:
    rig = ready()
    rig.call(lambda s: s.target("BTC", "2"))
    rig.call(lambda s: s.target("BTC", 0))
    assert len(rig.orders) == 1
    rig.fill(rig.order, 100)
    assert rig.shown() == ["buy 2 open target", "sell 2 close target"]


def test_a_withdrawn_target_leaves_the_position() -> None:
    rig = ready(held=1)
    rig.call(lambda s: s.target("BTC", "3"))
    rig.call(lambda s: s.target("BTC", None))
    rig.end(rig.order, "Ioc", 2)
    rig.wait(90)
    assert (rig.book(), len(rig.orders), state(rig)) == (1, 2, ("none", None))


def test_an_exit_waits_for_the_end_of_the_resting_exit_that_it_replaces() -> None:
    rig = ready(held=1)
    rig.call(lambda s: s.sell("BTC", "1", limit="110"))
    resting = rig.order
    rig.accept(resting)
    rig.call(lambda s: s.target("BTC", 0))
    assert rig.canceled == [resting.client_order_id]
    assert len(rig.orders) == 2
    rig.end(resting)
    assert rig.shown()[2:] == ["sell 1 close target"]


def test_a_resting_exit_that_fills_before_its_cancel_is_all_that_is_sold() -> None:
    rig = ready(held=1)
    rig.call(lambda s: s.sell("BTC", "1", limit="110"))
    resting = rig.order
    rig.accept(resting)
    rig.call(lambda s: s.target("BTC", 0))
    rig.fill(resting, 110)
    rig.wait(60)
    assert (rig.book(), len(rig.orders)) == (0, 2)


@pytest.mark.parametrize("reason", ["reduce only", "reduceOnlyCanceled", "Reduce only order would increase"])
def test_an_exit_that_the_venue_does_not_take_as_reducing_waits_for_the_account(reason: str) -> None:
    rig = ready(held=1)
    rig.call(lambda s: s.target("BTC", 0))
    rig.reject(rig.order, reason)
    assert rig.all(QueryAccount)
    rig.wait(8)
    assert len(rig.orders) == 2
    rig.account()
    assert len(rig.orders) == 3


def test_two_strategies_keep_their_books_and_the_account_is_their_sum() -> None:
    rig = ready("S", "L")
    hold(rig, 1, "S")
    hold(rig, -1, "L")
    rig.call(lambda s: s.target("BTC", 0), "S")
    assert rig.shown()[2:] == ["sell 1 close target"]
    # The account is flat, so the venue's reduce-only flag would refuse this exit.
    assert not rig.order.terms.reduce_only
    rig.fill(rig.order, 99)
    assert (rig.book("S"), rig.book("L")) == (0, -1)


def test_refusals_name_the_rule_and_the_order_that_closes_already() -> None:
    rig = ready(held=1)
    rig.call(lambda s: s.target("BTC", 0))
    rig.lose(rig.order)
    rig.call(lambda s: s.sell("BTC", "1"))
    refused = rig.all(OrderRefused)
    assert [(one.limit, one.role, one.purpose) for one in refused] == [("exit_budget", "close", "own")]
    rig.fill(rig.order, 99)
    assert (rig.book(), len(rig.orders)) == (0, 2)
