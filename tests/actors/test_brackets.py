"""Brackets and groups: children protect what their parent fills, and each fill leaves the others less."""

from __future__ import annotations

from decimal import Decimal

from engine.events import FillBooked, OrderRequested, StopChanged
from engine.values import BUY
from tests.actors.rig import Rig

D = Decimal


def real(*names: str) -> Rig:
    rig = Rig(*names, real=True)
    rig.quote(99, 101)
    return rig


def accept_all(rig: Rig) -> None:
    """Accept every order that the venue has not answered yet."""
    for order in rig.placed():
        live = rig.manager.live.get(order.client_order_id)
        if live is not None and live.state == "PendingNew":
            rig.accept(order)


def test_bracket_on_paper_takes_its_profit() -> None:
    rig = Rig()
    rig.buy("S", 1, limit=95, sl=90, tp=105)
    rig.trade(100, 94)
    assert rig.book("S") == 1
    rig.trade(100, 105, 105)
    assert rig.book("S") == 0
    assert rig.cash_flow("S") == 10
    rig.trade(89, 89)
    assert rig.book("S") == 0
    assert rig.orders() == []
    assert (rig.manager.stops, rig.manager.brackets) == ({}, {})


def test_bracket_on_paper_takes_its_loss() -> None:
    rig = Rig()
    rig.sell("S", 1, limit=105, sl=110, tp=95)
    rig.trade(100, 106, 111, 111)
    assert rig.book("S") == 0
    assert rig.cash_flow("S") == -6
    assert rig.orders() == []


def test_bracket_of_a_market_order() -> None:
    rig = Rig()
    rig.buy("S", 1, sl=97, tp=105)
    rig.trade(100, 100)
    assert rig.protection("S") == (1, 0, 0)
    rig.trade(96, 96)
    assert rig.book("S") == 0
    assert rig.orders() == []


def test_children_are_attached_to_their_parent_at_the_venue() -> None:
    rig = real()
    handle = rig.buy("S", 1, limit=95, sl=90, tp=105)
    parent, loss, profit = rig.placed()
    for child, kind, price in ((loss, "sl", 9000), (profit, "tp", 10500)):
        terms = child.terms
        assert (terms.parent, terms.trigger, terms.trigger_price) == (parent.client_order_id, kind, price)
        assert (terms.size, terms.role, terms.reduce_only) == (100, "close", True)
    assert [loss.terms.handle, profit.terms.handle] == [f"{handle}/sl", f"{handle}/tp1"]
    accept_all(rig)
    assert rig.protection("S") == (0, 0, 0)
    rig.fill(parent, 1, 95)
    assert rig.protection("S") == (1, 0, 0)
    assert len(rig.placed()) == 3


def test_a_partly_filled_parent_is_protected_by_children_of_its_own_until_it_is_whole() -> None:
    rig = real()
    rig.buy("S", 1, limit=100, sl=97, tp=105)
    parent = rig.placed()[0]
    accept_all(rig)
    rig.fill(parent, "0.4", 100)
    assert rig.protection("S") == (0, D("0.4"), 0)
    loss, profit = rig.placed()[3:]
    assert [(one.terms.parent, one.terms.trigger, one.terms.size) for one in (loss, profit)] == [
        ("", "sl", 40),
        ("", "tp", 40),
    ]
    accept_all(rig)
    assert rig.protection("S") == (D("0.4"), 0, 0)
    assert rig.canceled() == []
    rig.fill(parent, "0.6", 100)
    assert rig.protection("S") == (1, 0, 0)
    assert rig.canceled() == [loss.client_order_id, profit.client_order_id]


def test_what_was_filled_stays_protected_when_the_rest_is_canceled() -> None:
    rig = real()
    handle = rig.buy("S", 1, limit=100, sl=97, tp=105)
    parent, attached_loss, attached_profit = rig.placed()
    accept_all(rig)
    rig.fill(parent, "0.4", 100)
    accept_all(rig)
    rig.cancel("S", handle)
    assert rig.canceled() == [parent.client_order_id]
    rig.end(parent)
    rig.end(attached_loss)
    rig.end(attached_profit)
    assert rig.protection("S") == (D("0.4"), 0, 0)
    profit = rig.stops()[-1]
    rig.fill(profit, "0.1", 105)
    rig.end(profit, "Ioc: the rest found nobody")
    rig.wait(2)
    accept_all(rig)
    assert rig.protection("S") == (D("0.3"), 0, 0)
    live = sorted((one.terms.trigger, one.left) for one in rig.manager.live.values() if not one.canceling)
    assert live == [("sl", 30), ("tp", 30)]
    loss = next(one for one in reversed(rig.stops()) if one.terms.trigger == "sl")
    rig.fill(loss, "0.3", 97)
    assert rig.book("S") == 0
    assert rig.cash_flow("S") == D("0.5") - D("0.9")
    assert (rig.manager.stops, rig.manager.brackets) == ({}, {})


def test_an_end_of_the_parent_without_a_fill_ends_the_children() -> None:
    rig = real()
    handle = rig.buy("S", 1, limit=95, sl=90, tp=105)
    parent, loss, profit = rig.placed()
    accept_all(rig)
    rig.cancel("S", handle)
    for order in (parent, loss, profit):
        rig.end(order)
    assert (rig.manager.stops, rig.manager.brackets, rig.manager.live) == ({}, {}, {})
    assert {one.state for one in rig.events(StopChanged)} == {"waiting", "dropped"}


def test_a_rejected_parent_leaves_nothing() -> None:
    rig = real()
    rig.buy("S", 1, limit=95, sl=90)
    parent, loss = rig.placed()
    rig.reject(parent, "margin")
    rig.reject(loss, "margin")
    assert (rig.manager.stops, rig.manager.brackets) == ({}, {})


def test_a_child_that_fires_cancels_what_is_left_of_its_parent() -> None:
    rig = real()
    rig.buy("S", 1, limit=100, sl=97)
    parent = rig.placed()[0]
    accept_all(rig)
    rig.fill(parent, "0.4", 100)
    accept_all(rig)
    rig.fill(rig.newest(), "0.4", 97)
    assert rig.canceled() == [parent.client_order_id]
    assert rig.book("S") == 0


def test_one_rejected_child_is_held_in_the_engine_and_the_other_stays() -> None:
    rig = real()
    rig.buy("S", 1, limit=95, sl=90, tp=105)
    parent, loss, profit = rig.placed()
    rig.accept(parent)
    rig.reject(loss, "too many open orders")
    rig.accept(profit)
    rig.fill(parent, 1, 95)
    assert rig.protection("S") == (0, 1, 0)
    rig.trade("89.9")
    sale = rig.newest()
    assert (sale.terms.trigger, sale.terms.purpose, sale.terms.size) == ("", "stop", 100)
    rig.accept(sale)
    rig.fill(sale, 1, "89.9")
    assert profit.client_order_id in rig.canceled()


def test_several_take_profits_share_what_is_filled_nearest_first() -> None:
    rig = real()
    rig.buy("S", 1, limit=100, sl=97, tp=[(105, "0.4"), (110, "0.6")])
    parent, attached = rig.placed()
    assert attached.terms.trigger == "sl"
    accept_all(rig)
    rig.fill(parent, "0.5", 100)
    children = {(one.terms.handle.rpartition("/")[2], one.terms.size) for one in rig.placed()[2:]}
    assert children == {("sl", 50), ("tp1", 40), ("tp2", 10)}
    accept_all(rig)
    rig.wait(2)
    rig.fill(parent, "0.5", 100)
    accept_all(rig)
    assert rig.protection("S") == (1, 0, 0)
    first = next(one for one in rig.placed() if one.terms.handle.endswith("/tp1"))
    rig.fill(first, "0.4", 105)
    rig.wait(1)
    accept_all(rig)
    live = sorted((one.terms.trigger, one.left) for one in rig.manager.live.values() if not one.canceling)
    assert live == [("sl", 60), ("tp", 60)]
    assert rig.protection("S") == (D("0.6"), 0, 0)


def test_attached_orders_that_die_with_a_partly_filled_parent_are_not_missed() -> None:
    rig = real()
    rig.buy("S", 1, limit=100, sl=97)
    parent, attached = rig.placed()
    accept_all(rig)
    rig.fill(parent, "0.4", 100)
    accept_all(rig)
    rig.end(attached, "canceled")
    rig.end(parent, "canceled")
    assert rig.protection("S") == (D("0.4"), 0, 0)


def test_an_attached_child_that_a_person_cancels_stays_canceled() -> None:
    rig = real()
    rig.buy("S", 1, limit=100, sl=97, tp=105)
    parent, loss, profit = rig.placed()
    accept_all(rig)
    rig.fill(parent, 1, 100)
    rig.end(loss, "canceled")
    rig.wait(120)
    assert rig.protection("S") == (0, 0, 0)
    assert len(rig.placed()) == 3
    assert profit.client_order_id in rig.manager.live


def test_children_are_not_attached_in_a_netted_market() -> None:
    rig = real("S", "T").hold("S", 1).hold("T", -1)
    count = len(rig.placed())
    rig.buy("S", 1, limit=95, sl=90)
    assert [one.terms.trigger for one in rig.placed()[count:]] == [""]
    rig.accept(rig.newest())
    rig.fill(rig.newest(), 1, 95)
    assert [one.terms.size for one in rig.stops()] == [100]
    accept_all(rig)
    assert rig.protection("S") == (1, 0, 0)


def test_a_child_that_would_fire_at_the_entry_is_refused_with_its_order() -> None:
    rig = Rig()
    rig.buy("S", 1, sl=101)
    rig.buy("S", 1, limit=95, sl=96)
    rig.buy("S", 1, limit=95, tp=94)
    rig.sell("S", 1, limit=105, sl=104)
    assert rig.refusals() == ["trigger_side"] * 4
    assert rig.orders() == []
    rig.buy("S", 1, limit=95, sl=94, tp=96)
    assert [what for what, _, _ in rig.orders()] == ["buy own", "sell stop", "sell take"]


def test_children_of_an_order_that_turns_belong_to_the_part_that_opens() -> None:
    rig = real().hold("S", 1)
    rig.sell("S", 3, sl=110)
    close = rig.newest()
    assert (close.terms.role, close.terms.size) == ("close", 100)
    assert rig.manager.brackets == {}
    rig.accept(close)
    rig.fill(close, 1, 100)
    opening, child = rig.placed()[-2:]
    assert (opening.terms.role, opening.terms.size) == ("open", 200)
    assert (child.terms.parent, child.terms.size, child.terms.side) == (
        opening.client_order_id,
        200,
        BUY,
    )


def test_cancel_of_the_handle_of_an_ended_parent_drops_its_children() -> None:
    rig = Rig()
    handle = rig.buy("S", 1, sl=97, tp=105)
    rig.trade(100, 100)
    rig.cancel("S", handle)
    rig.trade(100)
    assert rig.orders() == []
    assert rig.protection("S") == (0, 0, 0)


def test_one_child_can_be_canceled_or_changed_by_its_handle() -> None:
    rig = Rig()
    handle = rig.buy("S", 1, sl=97, tp=105)
    rig.trade(100, 100)
    rig.wait(2)
    rig.modify("S", f"{handle}/sl", trigger=98)
    rig.cancel("S", f"{handle}/tp1")
    rig.trade(100)
    assert rig.orders() == [("sell stop", D(1), D(98))]


def test_a_target_does_not_touch_children() -> None:
    rig = real().hold("S", 1)
    rig.buy("S", 1, limit=95, sl=90)
    parent = rig.placed()[-2]
    accept_all(rig)
    rig.fill(parent, 1, 95)
    rig.target("S", 3)
    assert rig.canceled() == []
    assert rig.protection("S") == (1, 0, 0)


def test_children_never_protect_more_than_the_position() -> None:
    rig = real()
    rig.buy("S", 1, limit=95, sl=90)
    parent = rig.placed()[0]
    accept_all(rig)
    rig.fill(parent, 1, 95)
    rig.hold("S", "-0.7")
    assert rig.protection("S") == (D("0.3"), 0, 0)
    rig.hold("S", "-0.3")
    assert rig.protection("S") == (0, 0, 0)
    assert (rig.manager.stops, rig.manager.brackets) == ({}, {})


# Groups.


def test_a_fill_of_one_entry_of_a_group_cancels_the_other() -> None:
    rig = Rig()
    rig.buy("S", 1, limit=95, group="g")
    rig.sell("S", 1, limit=105, group="g")
    rig.trade(100, 94, 94)
    assert rig.book("S") == 1
    assert rig.orders() == []


def test_a_fill_of_one_exit_of_a_group_cuts_the_other_by_its_size() -> None:
    rig = real().hold("S", 1)
    rig.sell("S", 1, limit=110, group="g")
    profit = rig.newest()
    rig.accept(profit)
    handle = rig.stop("S", 1, 90, group="g")
    rig.accept(rig.newest())
    rig.fill(profit, "0.3", 110)
    assert rig.manager.stops[1][handle].size == 70
    rig.fill(profit, "0.7", 110)
    assert rig.book("S") == 0
    assert rig.manager.stops == {}


def test_a_stop_of_a_group_cuts_the_resting_exit() -> None:
    rig = real().hold("S", 2)
    rig.sell("S", "0.5", limit=110, group="g")
    profit = rig.newest()
    rig.accept(profit)
    rig.stop("S", 1, 90, group="g")
    stop = rig.newest()
    rig.accept(stop)
    rig.fill(stop, "0.2", 90)
    assert rig.live(profit).cut_to == 30
    rig.fill(stop, "0.8", 90)
    assert profit.client_order_id in rig.canceled()


def test_another_group_is_left_alone() -> None:
    rig = Rig()
    rig.buy("S", 1, limit=95, group="g")
    rig.buy("S", 1, limit=90, group="h")
    rig.buy("S", 1, limit=89)
    rig.trade(100, 94, 94)
    assert [price for _, _, price in rig.orders()] == [90, 89]


def test_no_request_is_left_without_an_answer() -> None:
    rig = Rig()
    rig.buy("S", 1, limit=95, sl=90, tp=105)
    rig.trade(100, 94, 94, 110, 110)
    asked = {one.terms.handle for one in rig.events(OrderRequested)}
    assert asked == {"S-1", "S-1/sl", "S-1/tp1"}
    assert rig.book("S") == 0


def test_an_order_of_a_child_that_ends_in_the_same_turn_is_not_sent() -> None:
    rig = Rig("S", "T", latency_ms=100)
    rig.trade("100.42")
    rig.sell("S", "0.5", sl="101.07", tp="100.04")
    rig.target("T", "0.3")
    rig.wait(1)
    rig.when("S", FillBooked, lambda fill: rig.target("S", 0) if fill.purpose == "own" else None)
    rig.trade(100)
    assert (rig.book("S"), rig.book("T")) == (D("-0.5"), D("0.3"))
    rig.wait(1)
    rig.trade("101.74")
    assert rig.book("S") == 0
    rig.wait(5)
    rig.trade("101.74")
    assert rig.orders("S") == []
