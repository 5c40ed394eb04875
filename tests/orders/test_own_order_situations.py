"""`buy`, `sell`, `modify` and `cancel` in every situation, with real orders at a venue that a test plays."""

from __future__ import annotations

from engine.events import ActorFailed, ModifyOrder, OrderRefused, QueryOrder, SubmitOrder
from tests.orders.account_rig import AccountRig
from tests.orders.test_target_situations import ready


def refusals(rig: AccountRig) -> list[tuple[str, str, float]]:
    return [(one.limit, one.role, one.size / 10_000) for one in rig.all(OrderRefused)]


def resting(rig: AccountRig, side: str, size: str, limit: str, name: str = "S") -> SubmitOrder:
    """Place an own limit order that the venue accepts; return it."""
    rig.call(lambda s: getattr(s, side)("BTC", size, limit=limit), name)
    rig.accept(rig.order)
    return rig.order


def test_an_order_that_turns_a_position_closes_first_and_opens_when_that_is_filled() -> None:
    rig = ready(held=1)
    rig.call(lambda s: s.sell("BTC", "3"))
    assert rig.shown()[1:] == ["sell 1 close own"]
    rig.fill(rig.order, 99.9)
    assert rig.shown()[1:] == ["sell 1 close own", "sell 2 open own"]
    rig.fill(rig.order, 99.9)
    assert rig.book() == -2


def test_the_opening_part_is_dropped_when_the_closing_part_is_not_wholly_filled() -> None:
    rig = ready(held=1)
    rig.call(lambda s: s.sell("BTC", "3"))
    rig.fill(rig.order, 99.9, 0.7)
    rig.end(rig.order, "Ioc", 0.3)
    assert abs(rig.book() - 0.3) < 1e-9
    assert refusals(rig) == [("turn", "open", 2)]
    assert len(rig.orders) == 2


def test_two_sells_of_a_position_are_two_closes_and_the_second_is_refused() -> None:
    rig = ready(held=1)
    rig.call(lambda s: s.sell("BTC", "1"))
    rig.call(lambda s: s.sell("BTC", "1"))
    assert rig.shown()[1:] == ["sell 1 close own"]
    assert refusals(rig) == [("exit_budget", "close", 1)]


def test_two_sells_without_a_position_both_open() -> None:
    rig = ready()
    rig.call(lambda s: s.sell("BTC", "1"))
    rig.call(lambda s: s.sell("BTC", "1"))
    assert rig.shown() == ["sell 1 open own"] * 2


def test_reduce_only_without_a_position_is_refused() -> None:
    rig = ready()
    rig.call(lambda s: s.sell("BTC", "1", reduce_only=True))
    rig.call(lambda s: s.buy("BTC", "1", reduce_only=True, limit="90"))
    assert refusals(rig) == [("nothing_to_close", "close", 1)] * 2
    assert not rig.orders


def test_reduce_only_has_no_opening_part() -> None:
    rig = ready(held=1)
    rig.call(lambda s: s.sell("BTC", "3", reduce_only=True))
    rig.fill(rig.order, 99.9)
    assert (rig.book(), rig.shown()[1:]) == (0, ["sell 1 close own"])


def test_an_exit_at_market_takes_its_size_from_resting_exits_youngest_first() -> None:
    rig = ready(held=3)
    older = resting(rig, "sell", "2", "110")
    younger = resting(rig, "sell", "1", "112")
    rig.call(lambda s: s.sell("BTC", "2"))
    assert rig.canceled == [younger.client_order_id]
    changes = rig.all(ModifyOrder)
    assert [(one.client_order_id, one.size) for one in changes] == [(older.client_order_id, 10_000)]
    # It is sent once both ends are proved.
    assert len(rig.orders) == 3
    rig.end(younger)
    assert len(rig.orders) == 3
    rig.modified(older, 1, 110)
    assert rig.shown()[3:] == ["sell 2 close own"]


def test_a_resting_exit_gets_only_what_no_other_exit_has() -> None:
    rig = ready(held=3)
    resting(rig, "sell", "2", "110")
    resting(rig, "sell", "5", "112")
    assert rig.shown()[1:] == ["sell 2 close own", "sell 1 close own"]


def test_resting_exits_shrink_with_the_book_youngest_first() -> None:
    rig = ready(held=2)
    resting(rig, "sell", "1", "110")
    younger = resting(rig, "sell", "1", "112")
    rig.foreign("sell", 1, 101)
    assert rig.canceled == [younger.client_order_id]


def test_an_open_order_may_still_fill_when_the_book_has_moved_to_the_other_side() -> None:
    rig = ready()
    bid = resting(rig, "buy", "1", "99")
    ask = resting(rig, "sell", "1", "101")
    rig.fill(bid, 99)
    rig.foreign("sell", 1, 97)
    assert rig.canceled == []
    rig.fill(ask, 101)
    assert rig.book() == -1


def test_an_order_that_the_venue_rejects_is_not_tried_again() -> None:
    rig = ready()
    rig.call(lambda s: s.buy("BTC", "1"))
    rig.reject(rig.order, "no margin")
    rig.wait(120)
    assert len(rig.orders) == 1


def test_the_rest_of_a_partly_filled_order_is_not_tried_again() -> None:
    rig = ready()
    rig.call(lambda s: s.buy("BTC", "1"))
    rig.fill(rig.order, 100.1, 0.4)
    rig.end(rig.order, "Ioc", 0.6)
    rig.wait(120)
    assert (rig.book(), len(rig.orders)) == (0.4, 1)


def test_an_order_whose_answer_is_lost_is_asked_about_and_counts_as_live() -> None:
    rig = ready(held=1)
    rig.call(lambda s: s.sell("BTC", "1"))
    rig.lose(rig.order)
    rig.wait(20)
    assert len(rig.all(QueryOrder)) >= 2
    rig.call(lambda s: s.sell("BTC", "1"))
    assert len(rig.orders) == 2
    assert refusals(rig) == [("exit_budget", "close", 1)]


def test_after_a_restart_an_order_is_asked_about_and_not_repeated() -> None:
    rig = ready()
    bid = resting(rig, "buy", "1", "95")
    rig.restart()
    rig.account()
    rig.wait(60)
    assert len(rig.orders) == 1
    rig.fill(bid, 95)
    assert rig.book() == 1


def test_a_cancel_names_every_order_of_its_handle() -> None:
    rig = ready(held=1)
    handle = rig.call(lambda s: s.sell("BTC", "3", limit="110"))
    rig.accept(rig.order)
    rig.call(lambda s: s.cancel(handle))
    assert rig.canceled == [rig.order.client_order_id]
    assert refusals(rig) == [("turn", "open", 2)]


def test_a_fill_after_the_cancel_belongs_to_its_strategy() -> None:
    rig = ready()
    bid = resting(rig, "buy", "1", "95")
    rig.call(lambda s: s.cancel_all("BTC"))
    rig.end(bid)
    rig.wait(2)
    rig.fill(bid, 95, 0.4)
    assert rig.book() == 0.4


def test_a_closing_order_cannot_be_raised_above_what_is_left_of_the_book() -> None:
    rig = ready(held=2)
    handle = rig.call(lambda s: s.sell("BTC", "1", limit="110"))
    rig.accept(rig.order)
    rig.call(lambda s: s.modify(handle, size="3"))
    assert [one[0] for one in refusals(rig)] == ["exit_budget"]
    rig.call(lambda s: s.modify(handle, size="2", limit="111"))
    (change,) = rig.all(ModifyOrder)
    assert (change.size, change.limit_price) == (20_000, 11_100)


def test_cancel_all_spares_the_order_of_a_target() -> None:
    rig = ready(held=1)
    rig.call(lambda s: s.target("BTC", 0))
    rig.call(lambda s: s.cancel_all("BTC"))
    assert rig.canceled == []


def test_an_end_that_overtakes_a_fill_waits_for_it() -> None:
    rig = ready()
    rig.call(lambda s: s.target("BTC", "1"))
    first = rig.order
    rig.accept(first)
    rig.end(first, "Ioc", 0.4)
    rig.wait(1)
    assert rig.shown() == ["buy 1 open target"]
    rig.fill(first, 100.1, 0.6)
    rig.wait(1.1)
    assert rig.shown() == ["buy 1 open target", "buy 0.4 open target"]


def test_a_stop_that_is_canceled_in_the_same_hook_is_never_sent() -> None:
    rig = ready(held=1)
    rig.call(lambda s: s.cancel(s.stop("BTC", "sell", "1", "95")))
    assert len(rig.orders) == 1


def test_a_strategy_that_answers_every_refusal_fails_instead_of_hanging() -> None:
    rig = ready()
    strategy = rig.sequencer.actor("S").strategy
    type(strategy).on_order = lambda self, _: self.sell("BTC", "1", reduce_only=True)
    try:
        rig.call(lambda s: s.sell("BTC", "1", reduce_only=True))
    except LookupError:
        pass
    finally:
        del type(strategy).on_order
    assert ["more than 1000 calls" in one.error for one in rig.all(ActorFailed)] == [True]
