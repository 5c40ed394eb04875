"""Changes and cancels of live orders that race with reports: a changed order has another number."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest

from engine.clock import SECOND_NS as SECOND
from engine.events import EngineHalted, Event, ModifyOrder, OrderChanged, OrderRead, OrderRefused
from tests.orders.real import RealSession, VenueOrder
from tests.orders.session import FREE


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


def test_a_fill_of_a_raised_order_that_comes_before_the_report_of_its_change_does_not_end_it() -> None:
    """The bid for 1 was changed to 3 and 1 of that filled: the report of the change comes last."""
    with RealSession() as s:
        bid, answers = raised(s)
        s.fill(90, "1", order=bid)
        s.send(*answers)
        changed = s.newest(OrderChanged, client_order_id=bid.name)
        assert (changed.state, changed.filled, changed.remaining) == ("PartiallyFilled", 100, 200)
        s.fill(90, order=bid)
        assert s.newest(OrderChanged, client_order_id=bid.name).state == "Filled"
        assert (s.live(), s.book()) == ([], 3)


def raised(s: RealSession) -> tuple[VenueOrder, list[Event]]:
    """Bid for 1 and change that to 3, at the venue; return the bid and the answer, which was not sent."""
    s.say("Long", "buy", "AAA", "1", limit="90")
    s.trade(100)
    bid = s.order()
    s.hold()
    s.say("Long", "modify", -1, size="3")
    s.trade(100)
    return bid, s.arrive()


def test_a_change_that_a_reading_does_not_show_counts_until_it_cannot_arrive_any_more() -> None:
    with RealSession() as s:
        s.say("Long", "buy", "AAA", "1", limit="90")
        s.trade(100)
        bid = s.order()
        s.hold()
        s.say("Long", "modify", -1, size="3")
        s.trade(100)
        s.lose(bid)
        s.holding = False  # queries are answered; the change is still on its way
        s.disconnect()
        s.connect()
        change = s.newest(ModifyOrder)
        while s.now_ns + SECOND < change.proof_ns:
            assert s.newest(OrderChanged, client_order_id=bid.name).state == "Unknown"
            s.wait(1)
        s.on_the_way.clear()
        s.wait(2)
        changed = s.newest(OrderChanged, client_order_id=bid.name)
        assert (changed.state, changed.remaining) == ("New", 100)
        assert change.proof_ns == change.expires_ns + 5 * SECOND


def test_a_change_that_arrives_after_a_reading_that_did_not_show_it_is_found() -> None:
    with RealSession() as s:
        s.say("Long", "buy", "AAA", "1", limit="90")
        s.trade(100)
        bid = s.order()
        s.hold()
        s.say("Long", "modify", -1, size="3")
        s.trade(100)
        s.lose(bid)
        s.holding = False
        s.wait(3)
        assert s.newest(OrderRead, client_order_id=bid.name).size == 100
        s.arrive()
        s.fill(90, "1", order=bid)
        s.wait(8)
        changed = s.newest(OrderChanged, client_order_id=bid.name)
        assert (changed.state, changed.filled, changed.remaining) == ("PartiallyFilled", 100, 200)
        s.end(bid)
        assert (s.live(), s.book()) == ([], 1)


def test_a_raised_order_that_filled_before_its_change_arrived_has_ended() -> None:
    with RealSession() as s:
        s.say("Long", "buy", "AAA", "1", limit="90")
        s.trade(100)
        bid = s.order()
        s.hold()
        s.say("Long", "modify", -1, size="3")
        s.trade(100)
        s.lose(bid)
        s.holding = False
        s.on_the_way.clear()
        s.fill(90, order=bid)
        s.wait(2)
        assert s.newest(OrderChanged, client_order_id=bid.name).state == "Filled"
        assert (s.live(), s.book()) == ([], 1)


def test_of_two_changes_on_their_way_the_answer_to_the_first_does_not_decide() -> None:
    with RealSession() as s:
        s.say("Long", "buy", "AAA", "1", limit="90")
        s.trade(100)
        bid = s.order()
        s.hold()
        for size in ("0.5", "2"):
            s.say("Long", "modify", -1, size=size)
            s.trade(100)
        first, second = s.arrive()
        s.send(first)
        assert s.newest(OrderChanged, client_order_id=bid.name).state == "PendingReplace"
        s.send(second)
        changed = s.newest(OrderChanged, client_order_id=bid.name)
        assert (changed.state, changed.remaining) == ("New", 200)


def test_a_change_is_refused_while_the_outcome_of_an_earlier_one_is_not_known() -> None:
    with RealSession() as s:
        s.say("Long", "buy", "AAA", "1", limit="90")
        s.trade(100)
        bid = s.order()
        s.hold()
        s.say("Long", "modify", -1, size="3")
        s.trade(100)
        s.lose(bid)
        s.say("Long", "modify", -1, size="0.5")
        s.trade(100)
        refused = s.newest(OrderRefused)
        assert (refused.limit, refused.reason) == (
            "modify",
            "the outcome of an earlier change is not known yet",
        )
        s.release()
        s.wait(2)
        assert s.newest(OrderChanged, client_order_id=bid.name).remaining == 300


@pytest.mark.parametrize("arrives", [False, True])
def test_a_change_that_was_on_its_way_when_the_engine_was_killed_is_decided_after_its_proof(
    arrives: bool,
) -> None:
    """The bid for 1 was changed to 3; the next process reads it unchanged before that can have arrived."""
    with RealSession(settings=replace(FREE, position_notional="400")) as s:
        s.say("Long", "buy", "AAA", "1", limit="90")
        s.trade(100)
        bid = s.order()
        s.hold()
        s.say("Long", "modify", -1, size="3")
        s.trade(100)
        change = s.newest(ModifyOrder)
        s.holding = False
        s.restart(orderly=False)
        assert s.now_ns < change.proof_ns
        read = s.newest(OrderRead, client_order_id=bid.name)
        assert (read.state, read.size) == ("open", 100), "the reading does not show the change"
        s.trade(100)
        s.say("Long", "buy", "AAA", "2", limit="80")
        s.trade(100)
        assert s.newest(OrderRefused).limit == "max_position_notional", "3 may be bought already"
        if arrives:
            s.arrive()
            s.fill(90, "1", order=bid)
        else:
            s.on_the_way.clear()
        while s.now_ns + SECOND < change.proof_ns:
            expected = "PartiallyFilled" if arrives else "Unknown"
            assert s.newest(OrderChanged, client_order_id=bid.name).state in (expected, "Unknown")
            s.wait(1)
        s.wait(3)
        changed = s.newest(OrderChanged, client_order_id=bid.name)
        state, filled, left = ("PartiallyFilled", 100, 200) if arrives else ("New", 0, 100)
        assert (changed.state, changed.filled, changed.remaining) == (state, filled, left)
        s.end(bid)
        assert (s.live(), s.book()) == ([], 1 if arrives else 0)
        assert len(s.memory.events(ModifyOrder)) == 1, "a change is never sent again"


def test_an_exit_that_is_being_changed_is_canceled_when_the_book_shrinks() -> None:
    with RealSession() as s:
        s.say("Long", "buy", "AAA", "1")
        s.trade(100)
        s.fill(100)
        s.say("Long", "sell", "AAA", "1", limit="110")
        s.trade(100)
        resting = s.order()
        s.hold()
        s.say("Long", "modify", -1, limit="111")
        s.trade(100)
        s.others(-1, "0.4", 100)
        s.release()
        assert s.newest(OrderChanged, client_order_id=resting.name).state == "Canceled"
        assert (s.live(), s.book()) == ([], Fraction("0.6"))
