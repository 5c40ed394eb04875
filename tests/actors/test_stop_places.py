"""Where stops are held, at the venue or in the engine, and what follows when their orders end there."""

from __future__ import annotations

from decimal import Decimal

from engine.events import ExitDelayed, StopChanged
from engine.values import BUY
from tests.actors.rig import Rig

D = Decimal


def real(*names: str) -> Rig:
    rig = Rig(*names, real=True)
    rig.quote(99, 101)
    return rig


def states(rig: Rig, handle: str) -> list[str]:
    return [one.state for one in rig.events(StopChanged) if one.handle == handle]


def test_netted_market_divides_between_venue_and_engine() -> None:
    rig = Rig("L", "T")
    rig.buy("L", 1)
    rig.sell("T", "0.4")
    rig.trade(100)
    rig.stop("L", 1, 97)
    rig.stop("T", "0.4", 103, side=BUY)
    rig.trade(100)
    assert rig.orders() == [("sell stop", D("0.6"), D(97))]
    assert rig.protection("L") == (D("0.6"), D("0.4"), 0)
    assert rig.protection("T") == (0, D("0.4"), 0)
    rig.trade(104)
    assert rig.orders("T") == [("buy stop", D("0.4"), D(0))]
    rig.trade(104)
    assert rig.book("T") == 0
    rig.wait(2)
    rig.trade(100)
    assert rig.protection("L") == (1, 0, 0)
    rig.trade(96, 96)
    assert rig.book("L") == 0


def test_both_parts_of_a_divided_stop_sell() -> None:
    rig = Rig("L", "T")
    rig.buy("L", 1)
    rig.sell("T", "0.4")
    rig.trade(100)
    rig.stop("L", 1, 97)
    rig.trade(100)
    rig.trade(96, 96)
    assert rig.book("L") == 0
    assert rig.book("T") == D("-0.4")
    assert [size for size, _ in rig.fills("L")][1:] in ([D("-0.6"), D("-0.4")], [D("-0.4"), D("-0.6")])


def test_stop_works_although_the_other_strategy_nets_the_account_to_nothing() -> None:
    rig = Rig("L", "T")
    rig.target("L", 1)
    rig.trade(100)
    rig.stop("L", 1, 97)
    rig.target("T", -1)
    rig.trade(100)
    assert rig.account() == 0
    rig.trade(96, 96)
    assert rig.book("L") == 0
    assert rig.book("T") == -1
    assert rig.cash_flow() == 96
    assert rig.orders() == []


def test_stop_losses_keep_their_place_at_the_venue_from_take_profits() -> None:
    rig = Rig("L", "T")
    rig.buy("L", 1)
    rig.sell("T", "0.4")
    rig.trade(100)
    rig.stop("L", 1, 101, kind="tp")
    rig.stop("L", "0.5", 95)
    rig.stop("L", "0.5", 97)
    rig.trade(100)
    rig.wait(1)
    rig.trade(100)
    assert sorted(rig.orders()) == [
        ("sell stop", D("0.1"), D(95)),
        ("sell stop", D("0.5"), D(97)),
        ("sell take", D("0.6"), D(101)),
    ]


def test_what_the_venue_refuses_is_held_in_the_engine_and_placed_again_after_a_minute() -> None:
    rig = real().hold("S", 1)
    rig.trade(100)
    rig.stop("S", 1, 97)
    rig.reject(rig.newest(), "too many open orders")
    assert rig.protection("S") == (0, 1, 0)
    count = len(rig.placed())
    rig.wait(59)
    assert len(rig.placed()) == count
    rig.wait(2)
    assert len(rig.placed()) == count + 1
    rig.reject(rig.newest(), "too many open orders")
    rig.trade(96)
    assert rig.newest().terms.trigger == ""
    assert rig.protection("S") == (0, 0, 1)


def test_the_difference_is_watched_by_the_engine_while_the_size_is_changed() -> None:
    rig = real("S", "T").hold("S", 1).hold("T", 1)
    rig.stop("S", 2, 97)
    first = rig.newest()
    rig.accept(first)
    rig.wait(2)
    rig.hold("S", 1)
    second = rig.newest()
    assert (second.terms.trigger, second.terms.size) == ("sl", 200)
    assert rig.protection("S") == (1, 1, 0)
    assert rig.canceled() == []
    rig.accept(second)
    assert rig.canceled() == [first.client_order_id]
    assert rig.protection("S") == (2, 0, 0)


def test_a_stop_is_resized_at_most_once_a_second() -> None:
    rig = real("S", "T").hold("S", 1).hold("T", 1)
    rig.stop("S", 3, 97)
    rig.accept(rig.newest())
    for _ in range(2):
        rig.hold("S", 1)
    stops = [one.terms.size for one in rig.stops()]
    assert stops == [100]
    rig.wait(1)
    assert [one.terms.size for one in rig.stops()] == [100, 300]


def test_the_venue_cuts_a_stop_of_the_only_book() -> None:
    rig = real().hold("S", 2)
    rig.stop("S", 2, 97)
    rig.accept(rig.newest())
    rig.hold("S", -1)
    rig.wait(5)
    assert len(rig.stops()) == 1
    assert rig.canceled() == []


def test_stops_of_two_books_are_resized_with_their_own() -> None:
    rig = real("S", "T").hold("S", 2).hold("T", 2)
    rig.stop("S", 2, 97)
    rig.accept(rig.newest())
    rig.wait(2)
    rig.hold("S", -1)
    assert (rig.newest().terms.trigger, rig.newest().terms.size) == ("sl", 100)


# Fired and not filled, ended by others.


def test_a_stop_that_fired_and_found_no_buyer_is_owed() -> None:
    rig = real().hold("S", 1)
    rig.stop("S", 1, 97)
    stop = rig.newest()
    rig.accept(stop)
    rig.quote(85, 86)
    rig.trade(86)
    rig.triggered(stop)
    assert rig.protection("S") == (0, 0, 1)
    rig.end(stop, "iocCancelRejected")
    sale = rig.newest()
    assert (sale.terms.trigger, sale.terms.purpose, sale.terms.bound) == ("", "stop", 7650)
    rig.accept(sale)
    rig.fill(sale, 1, 85)
    assert rig.book("S") == 0
    assert rig.cash_flow() == -15
    (delayed,) = rig.events(ExitDelayed)
    assert (delayed.left, delayed.reason) == (100, "iocCancelRejected")


def test_a_stop_the_venue_ended_for_its_own_reason_is_placed_again() -> None:
    rig = real().hold("S", 1)
    rig.stop("S", 1, 97)
    stop = rig.newest()
    rig.accept(stop)
    rig.end(stop, "marginCanceled")
    assert rig.protection("S") == (0, 1, 0)
    rig.wait(1)
    again = rig.newest()
    assert again is not stop
    assert (again.terms.trigger, again.terms.size) == ("sl", 100)


def test_a_stop_that_a_person_canceled_at_the_venue_stays_canceled() -> None:
    rig = real().hold("S", 1)
    handle = rig.stop("S", 1, 97)
    stop = rig.newest()
    rig.accept(stop)
    rig.end(stop, "canceled")
    rig.wait(120)
    rig.trade(96)
    assert rig.newest() is stop
    assert rig.protection("S") == (0, 0, 0)
    assert states(rig, handle)[-1] == "dropped"
    assert "somebody else" in rig.events(StopChanged)[-1].reason
