"""Changes and cancels of live orders that race with reports: a changed order has another number."""

from __future__ import annotations

from fractions import Fraction

from engine.events import EngineHalted, OrderChanged
from tests.orders.real import RealSession


def test_a_fill_that_comes_after_the_change_that_followed_it_leaves_the_changed_order_open() -> None:
    """0.4 of 1 filled, then the order was changed to 0.3: the report of the fill comes last."""
    with RealSession() as s:
        s.say("Long", "buy", "AAA", "1")
        s.trade(100)
        s.fill(100)
        s.say("Long", "sell", "AAA", "1", limit="110")
        s.trade(100)
        resting = s.order()
        late = s.fill(110, "0.4", silent=True)
        s.say("Long", "modify", -1, size="0.3")
        s.trade(100)
        s.send(late)
        assert s.book() == Fraction("0.6")
        assert s.memory.events(EngineHalted) == []
        changed = s.newest(OrderChanged, client_order_id=resting.name)
        assert (changed.state, changed.filled, changed.remaining) == ("PartiallyFilled", 40, 30)
        s.fill(110, order=resting)
        assert s.newest(OrderChanged, client_order_id=resting.name).state == "Filled"
        assert s.book() == Fraction("0.3")


def test_a_fill_that_comes_before_the_report_of_its_change_counts_in_the_changed_order() -> None:
    """The order was changed to 0.5, of which 0.2 filled: the report of the change comes last."""
    with RealSession() as s:
        s.say("Long", "buy", "AAA", "1", limit="90")
        s.trade(100)
        bid = s.order()
        s.hold()
        s.say("Long", "modify", -1, size="0.5")
        s.trade(100)
        answers = s.arrive()
        s.fill(90, "0.2", order=bid)
        s.send(*answers)
        changed = s.newest(OrderChanged, client_order_id=bid.name)
        assert (changed.state, changed.filled, changed.remaining) == ("PartiallyFilled", 20, 30)
        s.fill(90, order=bid)
        assert s.newest(OrderChanged, client_order_id=bid.name).state == "Filled"
        assert s.book() == Fraction("0.5")


def test_an_order_that_filled_wholly_before_the_report_of_its_change_has_ended() -> None:
    with RealSession() as s:
        s.say("Long", "buy", "AAA", "1", limit="90")
        s.trade(100)
        bid = s.order()
        s.hold()
        s.say("Long", "modify", -1, size="0.5")
        s.trade(100)
        answers = s.arrive()
        s.fill(90, order=bid)
        s.send(*answers)
        assert s.newest(OrderChanged, client_order_id=bid.name).state == "Filled"
        assert s.live() == []
        assert s.book() == Fraction("0.5")


def test_a_change_whose_answer_is_lost_is_read_with_the_order() -> None:
    with RealSession() as s:
        s.say("Long", "buy", "AAA", "1", limit="90")
        s.trade(100)
        bid = s.order()
        s.hold()
        s.say("Long", "modify", -1, size="0.5")
        s.trade(100)
        assert s.arrive(), "the venue has changed it, and its answer is lost"
        s.disconnect()
        s.connect()
        changed = s.newest(OrderChanged, client_order_id=bid.name)
        assert (changed.state, changed.remaining) == ("New", 50)
        s.end(bid)
        assert s.live() == []


def test_a_changed_order_that_filled_has_ended_although_the_answer_to_the_change_is_lost() -> None:
    with RealSession() as s:
        s.say("Long", "buy", "AAA", "1", limit="90")
        s.trade(100)
        bid = s.order()
        s.hold()
        s.say("Long", "modify", -1, size="0.5")
        s.trade(100)
        assert s.arrive(), "the venue has changed it, and its answer is lost"
        s.fill(90, order=bid)
        for _ in range(4):
            s.wait(10)
        assert s.live() == []
        assert s.book() == Fraction("0.5")


def test_the_stop_loss_of_an_order_that_was_made_larger_protects_all_that_it_fills() -> None:
    with RealSession() as s:
        s.say("Long", "buy", "AAA", "0.1", limit="100", stop_loss="97")
        s.trade(101)
        s.say("Long", "modify", -1, size="1")
        s.trade(101)
        s.fill(100, order=s.order(purpose="own"))
        s.wait(2)
        stops = [order for order in s.orders.values() if order.command.terms.trigger]
        assert sum(order.open for order in stops if order.state == "open") == s.size(1)


def test_a_fill_of_an_unknown_order_that_a_halt_cancels_leaves_the_target() -> None:
    """Whether the sale of 1 is at the venue is not known when the halt cancels it: half of it was filled."""
    with RealSession() as s:
        s.trade(100)
        s.say("Long", "target", "AAA", "0")
        s.trade(100)
        s.say("Long", "sell", "AAA", "1", limit="110")
        s.hold()
        s.trade(100)
        s.lose()
        s.operator("halt")
        s.fill(110, "0.5")
        s.release()
        assert (s.book(), s.wanted()) == (Fraction("-0.5"), 0)
        s.trade(100)
        s.fill(100, order=s.order(side=1))
        assert s.book() == 0
