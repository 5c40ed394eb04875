"""Stops and take-profits: what they protect, where they are held, when they fire, and what follows."""

from __future__ import annotations

from decimal import Decimal

from engine.events import ExitDelayed, FillBooked, OrderRefused, ProtectionChanged, StopChanged, Trade
from engine.values import BUY, SELL
from tests.actors.rig import Rig

D = Decimal


def real(*names: str) -> Rig:
    rig = Rig(*names, real=True)
    rig.quote(99, 101)
    return rig


def states(rig: Rig, handle: str) -> list[str]:
    return [one.state for one in rig.events(StopChanged) if one.handle == handle]


# What a stop protects.


def test_stop_is_held_at_the_venue_and_sells_there() -> None:
    rig = Rig().hold("S", 1)
    handle = rig.stop("S", 1, 97)
    rig.trade(100)
    assert rig.orders("S") == [("sell stop", D(1), D(97))]
    assert rig.protection("S") == (1, 0, 0)
    rig.trade(96, 96)
    assert rig.book("S") == 0
    assert rig.cash_flow("S") == -4
    assert rig.orders() == []
    assert rig.protection("S") == (0, 0, 0)
    assert states(rig, handle) == ["waiting", "firing", "fired"]


def test_terms_of_a_stop_at_the_venue() -> None:
    rig = real().hold("S", 1)
    rig.stop("S", 1, 97)
    terms = rig.newest().terms
    assert (terms.role, terms.purpose, terms.trigger, terms.reduce_only) == ("close", "stop", "sl", True)
    assert (terms.size, terms.trigger_price, terms.bound) == (100, 9700, 8730)


def test_stop_larger_than_the_book_protects_the_book() -> None:
    rig = Rig().hold("S", 1)
    rig.stop("S", 3, 97)
    assert rig.protection("S") == (0, 1, 0)
    rig.trade(96, 96, 96)
    assert rig.book("S") == 0


def test_stop_shrinks_with_the_book_and_grows_back() -> None:
    rig = real().hold("S", 2)
    rig.stop("S", 2, 97)
    rig.accept(rig.newest())
    rig.hold("S", -1)
    assert rig.protection("S") == (1, 0, 0)
    rig.hold("S", 3)
    assert rig.protection("S") == (2, 0, 0)


def test_stop_on_the_wrong_side_is_refused() -> None:
    rig = Rig().hold("S", 1)
    handle = rig.stop("S", 1, 103)
    assert rig.refusals() == ["trigger_side"]
    assert [one.handle for one in rig.events(OrderRefused)] == [handle]
    rig.stop("S", 1, 99, kind="tp")
    rig.stop("S", 1, 100)
    assert rig.refusals() == ["trigger_side"] * 3
    assert rig.orders() == []


def test_stop_on_a_flat_book_is_refused() -> None:
    rig = Rig()
    rig.stop("S", 1, 97)
    rig.hold("S", 1)
    rig.stop("S", 1, 103, side=BUY)
    assert rig.refusals() == ["nothing_to_close", "nothing_to_close"]


def test_stop_waits_for_an_entry_and_ends_with_it() -> None:
    rig = Rig()
    bid = rig.buy("S", 1, limit=95)
    handle = rig.stop("S", 1, 90)
    rig.trade(100)
    assert rig.refusals() == []
    assert rig.protection("S") == (0, 0, 0)
    rig.cancel("S", bid)
    rig.trade(100)
    assert states(rig, handle) == ["waiting", "dropped"]
    assert rig.manager.stops == {}


def test_stop_waits_for_an_entry_and_protects_what_it_fills() -> None:
    rig = Rig()
    rig.buy("S", 1, limit=95)
    rig.stop("S", 1, 90)
    rig.trade(100, 94, 94)
    assert rig.book("S") == 1
    assert rig.protection("S") == (1, 0, 0)
    rig.trade(89, 89)
    assert rig.cash_flow("S") == 89 - 95


def test_stop_waits_for_a_target() -> None:
    rig = Rig()
    rig.target("S", 1)
    rig.stop("S", 1, 97)
    rig.trade(100, 100)
    assert rig.protection("S") == (1, 0, 0)


def test_stop_accepted_by_the_engine_and_reached_on_the_way_sells_at_market() -> None:
    rig = real().hold("S", 1)
    rig.trade("97.1")
    rig.stop("S", 1, 97)
    rig.reject(rig.newest(), "Invalid TP/SL price. asset=3")
    sale = rig.newest()
    assert (sale.terms.trigger, sale.terms.purpose, sale.terms.size) == ("", "stop", 100)
    assert rig.protection("S") == (0, 0, 1)
    rig.accept(sale)
    rig.fill(sale, 1, 97)
    assert rig.book("S") == 0


def test_a_fired_stop_sells_at_once_what_the_entry_fills_later() -> None:
    rig = real()
    rig.trade(100)
    rig.buy("S", 1, limit=100)
    bid = rig.newest()
    rig.accept(bid)
    rig.fill(bid, "0.4", 100)
    rig.stop("S", 1, 97)
    stop = rig.newest()
    assert stop.terms.size == 40
    rig.accept(stop)
    rig.fill(stop, "0.4", "96.9")
    assert rig.book("S") == 0
    rig.trade("96.8")
    rig.fill(bid, "0.6", 100)
    sale = rig.newest()
    assert (sale.terms.trigger, sale.terms.size, sale.terms.purpose) == ("", 60, "stop")
    rig.accept(sale)
    rig.fill(sale, "0.6", "96.7")
    assert rig.book("S") == 0
    assert rig.manager.stops == {}


def test_a_stop_with_an_entry_still_working_stays_for_the_rest() -> None:
    rig = real()
    rig.buy("S", 1, limit=100)
    bid = rig.newest()
    rig.accept(bid)
    rig.fill(bid, "0.4", 100)
    rig.stop("S", 1, 97)
    stop = rig.newest()
    rig.accept(stop)
    rig.fill(stop, "0.4", "96.9")
    rig.trade(99)
    rig.fill(bid, "0.6", 100)
    again = rig.newest()
    assert (again.terms.trigger, again.terms.size) == ("sl", 60)


# Take-profits, limits.


def test_take_profit_sells_at_its_price() -> None:
    rig = Rig().hold("S", 1)
    rig.stop("S", 1, 103, kind="tp")
    rig.trade(102, 103, 103)
    assert rig.book("S") == 0
    assert rig.cash_flow("S") == 3


def test_take_profit_is_armed_again_for_what_did_not_fill() -> None:
    rig = real().hold("S", 1)
    rig.stop("S", 1, 105, kind="tp")
    order = rig.newest()
    rig.accept(order)
    rig.fill(order, "0.1", 105)
    rig.end(order, "Ioc: the rest found nobody")
    assert rig.book("S") == D("0.9")
    rig.wait(2)
    again = rig.newest()
    assert (again.terms.trigger, again.terms.trigger_price, again.terms.size) == ("tp", 10500, 90)
    assert rig.events(ExitDelayed) == []


def test_take_profit_in_the_engine_is_an_ordinary_exit_and_fires_again_after_a_second() -> None:
    rig = real("L", "T").hold("L", 1).hold("T", -1)
    rig.trade(100)
    rig.stop("L", 1, 105, kind="tp")
    assert rig.newest().terms.trigger == ""
    count = len(rig.placed())
    rig.trade(106)
    exit_ = rig.newest()
    assert (exit_.terms.purpose, exit_.terms.size, len(rig.placed())) == ("take", 100, count + 1)
    rig.accept(exit_)
    rig.fill(exit_, "0.3", 106)
    rig.end(exit_, "Ioc: the rest found nobody")
    rig.trade(106)
    assert len(rig.placed()) == count + 1
    rig.wait(1)
    assert rig.newest().terms.size == 70


def test_stop_with_a_limit_becomes_a_resting_exit() -> None:
    rig = Rig(fill_on_touch=True).hold("S", 1)
    rig.stop("S", 1, 97, limit="96.5")
    rig.trade(100, 96)
    assert rig.orders("S") == [("sell stop", D(1), D(97))]
    rig.trade("96.5")
    assert rig.book("S") == 0
    assert rig.cash_flow("S") == D("-3.5")


def test_stop_with_a_limit_in_the_engine_becomes_a_resting_exit() -> None:
    rig = real("L", "T").hold("L", 1).hold("T", -1)
    rig.trade(100)
    handle = rig.stop("L", 1, 97, limit="96.5")
    rig.trade("96.9")
    exit_ = rig.newest()
    assert (exit_.terms.limit, exit_.terms.tif, exit_.terms.purpose) == (9650, "Gtc", "stop")
    assert rig.manager.owed == {}
    assert rig.manager.stops == {}
    rig.accept(exit_)
    rig.cancel("L", handle)
    assert rig.canceled() == [exit_.client_order_id]
    rig.end(exit_)
    rig.trade(96)
    assert rig.newest() is exit_


# cancel, modify.


def test_cancel_drops_a_stop() -> None:
    rig = Rig().hold("S", 1)
    handle = rig.stop("S", 1, 97)
    rig.trade(100)
    rig.cancel("S", handle)
    rig.trade(100)
    assert rig.orders() == []
    assert rig.protection("S") == (0, 0, 0)
    rig.trade(90, 90)
    assert rig.book("S") == 1


def test_cancel_all_drops_the_stop_and_the_target_sells_once() -> None:
    rig = Rig()
    rig.target("S", 1)
    rig.trade(100)
    rig.stop("S", 1, 97)
    rig.trade(100)
    rig.cancel_all("S")
    rig.target("S", 0)
    rig.trade(96, 96)
    assert rig.book("S") == 0
    assert rig.cash_flow() == -4
    assert len(rig.fills("S")) == 2


def test_cancel_does_not_touch_a_stop_that_has_fired() -> None:
    rig = real().hold("S", 1)
    rig.trade(98)
    handle = rig.stop("S", 1, 97)
    rig.reject(rig.newest(), "badTriggerPxRejected")
    sale = rig.newest()
    rig.accept(sale)
    rig.cancel_all("S")
    assert rig.canceled() == []
    rig.fill(sale, "0.5", 97)
    rig.end(sale, "Ioc: the rest found nobody")
    rig.wait(1)
    assert rig.newest().terms.size == 50
    assert states(rig, handle)[-1] == "firing"


def test_modify_leaves_no_moment_without_a_stop() -> None:
    rig = real().hold("S", 1)
    handle = rig.stop("S", 1, 97)
    old = rig.newest()
    rig.accept(old)
    rig.wait(2)
    rig.modify("S", handle, trigger=98)
    new = rig.newest()
    assert new.terms.trigger_price == 9800
    assert rig.canceled() == []
    assert rig.protection("S") == (0, 1, 0)
    rig.accept(new)
    assert rig.canceled() == [old.client_order_id]
    assert rig.protection("S") == (1, 0, 0)


def test_modify_to_the_wrong_side_is_refused_and_the_stop_stays() -> None:
    rig = Rig().hold("S", 1)
    handle = rig.stop("S", 1, 97)
    rig.trade(100)
    rig.modify("S", handle, trigger=101)
    assert rig.refusals() == ["trigger_side"]
    rig.trade(96, 96)
    assert rig.book("S") == 0


def test_modify_at_most_once_a_second() -> None:
    rig = real().hold("S", 1)
    handle = rig.stop("S", 1, 90)
    rig.accept(rig.newest())
    for price in range(91, 95):
        rig.modify("S", handle, trigger=price)
    stops = [one.terms.trigger_price for one in rig.stops()]
    assert stops == [9000]
    rig.wait(1)
    stops = [one.terms.trigger_price for one in rig.stops()]
    assert stops == [9000, 9400]


def test_modify_changes_the_size() -> None:
    rig = Rig().hold("S", 2)
    handle = rig.stop("S", 2, 97)
    rig.trade(100)
    rig.wait(2)
    rig.modify("S", handle, size=1)
    rig.trade(100)
    assert rig.orders() == [("sell stop", D(1), D(97))]
    rig.trade(96, 96)
    assert rig.book("S") == 1


# The book changes by other hands; strategies and sessions end.


def test_somebody_sells_and_the_stop_closes_what_is_left() -> None:
    rig = real()
    rig.target("S", 3)
    rig.accept(rig.newest())
    rig.fill(rig.newest(), 3, 100)
    rig.stop("S", 3, 97)
    stop = rig.newest()
    rig.accept(stop)
    rig.outside(SELL, 2, 101)
    assert rig.book("S") == 1
    assert rig.protection("S") == (1, 0, 0)
    rig.fill(stop, 1, "96.5")
    rig.end(stop, "reduceOnlyCanceled")
    assert rig.book("S") == 0
    assert rig.cash_flow("S") == D("-1.5")
    rig.wait(120)
    rig.trade(100)
    assert rig.newest() is stop
    assert rig.wanted("S") == 0


def test_a_stop_ends_with_its_position() -> None:
    rig = Rig().hold("S", 1)
    handle = rig.stop("S", 1, 97)
    rig.trade(100)
    rig.sell("S", 1)
    rig.trade(100, 100)
    assert states(rig, handle) == ["waiting", "dropped"]
    assert rig.orders() == []
    rig.buy("S", 1)
    rig.trade(100, 90, 90)
    assert rig.book("S") == 1


def test_a_stop_out_does_not_enter_again_before_the_next_call() -> None:
    rig = Rig()
    rig.target("S", 1)
    rig.trade(100)
    rig.stop("S", 1, 97)
    rig.trade(100, 96, 96, 100, 100)
    assert rig.book("S") == 0
    assert rig.wanted("S") == 0
    rig.target("S", 1)
    rig.trade(100)
    assert rig.book("S") == 1
    assert rig.cash_flow("S") == -104


def test_the_print_that_fires_a_stop_in_the_engine_and_a_target_of_zero_sell_once() -> None:
    rig = Rig("L", "T")
    rig.target("L", 1)
    rig.target("T", -1)
    rig.trade(100)
    rig.stop("L", 1, 97)
    rig.trade(100)
    rig.when("L", Trade, lambda trade: rig.target("L", 0) if trade.price < 9700 else None)
    rig.trade(96, 96, 96)
    assert rig.book("L") == 0
    assert [size for size, _ in rig.fills("L")] == [D(1), D(-1)]


def test_fills_of_a_stop_carry_its_handle_and_purpose() -> None:
    rig = Rig().hold("S", 1)
    handle = rig.stop("S", 1, 97)
    rig.trade(96, 96)
    fill = rig.events(FillBooked)[-1]
    assert (fill.handle, fill.purpose, fill.role) == (handle, "stop", "close")


def test_every_change_of_protection_is_recorded_once() -> None:
    rig = Rig().hold("S", 1)
    rig.stop("S", 1, 97)
    rig.trade(100, 100, 100)
    shown = [(one.at_venue, one.in_engine, one.exiting) for one in rig.events(ProtectionChanged)]
    assert shown == [(0, 100, 0), (100, 0, 0)]
