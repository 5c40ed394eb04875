"""Protection through failures, halts, downtime and restarts: it stays, and what was missed is made up for."""

from __future__ import annotations

from decimal import Decimal

from engine.events import ActorFailed, OrderChanged, Trade
from tests.actors.rig import Rig

D = Decimal


def real(*names: str) -> Rig:
    rig = Rig(*names, real=True)
    rig.quote(99, 101)
    return rig


def stopped_at_the_venue(rig: Rig) -> Rig:
    """Hold 1 with a stop at 97, accepted."""
    rig.hold("S", 1)
    rig.stop("S", 1, 97)
    rig.accept(rig.newest())
    return rig


def test_a_failed_strategy_keeps_its_stop_and_trail() -> None:
    rig = stopped_at_the_venue(real())
    stop = rig.newest()
    rig.trail("S", 1, 5)
    rig.trade(100)

    def fail(trade: Trade) -> None:
        raise ValueError(trade.price)

    rig.when("S", Trade, fail)
    rig.trade(100)
    assert rig.events(ActorFailed)
    assert rig.canceled() == []
    assert rig.live(stop).left == 100
    rig.trade(94)
    assert rig.newest().terms.purpose == "trail"


def test_a_halt_of_the_engine_keeps_stops() -> None:
    rig = stopped_at_the_venue(real())
    rig.operate("halt")
    rig.trade(100)
    assert rig.canceled() == []
    assert rig.protection("S") == (1, 0, 0)


def test_after_downtime_a_stop_that_ended_is_placed_again() -> None:
    rig = stopped_at_the_venue(real())
    stop = rig.newest()
    rig.restart()
    rig.read(stop, "canceled", reason="canceled")
    assert rig.newest() is stop
    rig.account_read()
    assert rig.newest() is stop
    rig.wait(1)
    again = rig.newest()
    assert again is not stop
    assert (again.terms.trigger, again.terms.trigger_price) == ("sl", 9700)


def test_after_downtime_a_stop_that_fired_and_ended_unfilled_is_an_exit() -> None:
    rig = stopped_at_the_venue(real())
    stop = rig.newest()
    rig.restart()
    rig.read(stop, "canceled", reason="iocCancelRejected", triggered=True)
    assert rig.newest() is stop
    rig.account_read()
    sale = rig.newest()
    assert (sale.terms.trigger, sale.terms.purpose, sale.terms.size) == ("", "stop", 100)


def test_after_downtime_a_price_beyond_the_trigger_fires() -> None:
    rig = stopped_at_the_venue(real())
    stop = rig.newest()
    rig.restart()
    rig.read(stop, "canceled", reason="marginCanceled")
    rig.trade(95)
    assert rig.newest() is stop
    rig.account_read()
    assert (rig.newest().terms.trigger, rig.newest().terms.purpose) == ("", "stop")


def test_after_downtime_a_stop_that_sold_leaves_nothing() -> None:
    rig = stopped_at_the_venue(real())
    stop = rig.newest()
    rig.restart()
    rig.fill(stop, 1, 97)
    rig.account_read()
    rig.trade(90)
    assert rig.book("S") == 0
    assert rig.newest() is stop
    assert rig.manager.stops == {}


def test_after_downtime_a_stop_that_is_still_open_stays() -> None:
    rig = stopped_at_the_venue(real())
    stop = rig.newest()
    rig.restart()
    rig.read(stop, "open", size=100)
    rig.account_read()
    rig.trade(100)
    assert rig.newest() is stop
    assert rig.canceled() == []
    assert rig.protection("S") == (1, 0, 0)


def test_after_a_restart_a_stop_in_the_engine_waits_for_the_first_fresh_price() -> None:
    rig = real("S", "T").hold("S", 1).hold("T", -1)
    rig.trade(100)
    rig.stop("S", 1, 97)
    count = len(rig.placed())
    rig.restart()
    rig.account_read()
    assert len(rig.placed()) == count
    rig.trade("96.5")
    assert len(rig.placed()) == count + 1
    assert rig.newest().terms.purpose == "stop"


def test_on_paper_a_stop_goes_on_after_a_kill() -> None:
    rig = Rig().hold("S", 1)
    rig.stop("S", 1, 97)
    rig.trade(100)
    rig.restart()
    rig.trade(96, 96)
    assert rig.book("S") == 0
    assert rig.orders() == []


def test_an_exit_that_is_owed_survives_a_restart() -> None:
    rig = stopped_at_the_venue(real())
    stop = rig.newest()
    rig.quote(84, 86)
    rig.triggered(stop)
    rig.end(stop, "iocCancelRejected")
    sale = rig.newest()
    rig.end(sale, "Ioc: the rest found nobody")
    rig.restart()
    rig.quote(84, 86)
    rig.account_read()
    again = rig.newest()
    assert again is not sale
    assert (again.terms.purpose, again.terms.size) == ("stop", 100)
    rig.accept(again)
    rig.fill(again, 1, 85)
    assert rig.book("S") == 0
    assert rig.manager.owed == {}


def test_orderly_stop_tries_again_what_the_venue_refused() -> None:
    rig = real().hold("S", 1)
    rig.stop("S", 1, 97)
    rig.reject(rig.newest(), "too many open orders")
    rig.operate("stop")
    again = rig.newest()
    assert (again.terms.trigger, again.terms.size) == ("sl", 100)
    rig.accept(again)
    assert rig.protection("S") == (1, 0, 0)


def test_states_of_a_stop_order_are_followed_in_any_order() -> None:
    rig = real().hold("S", 1)
    rig.stop("S", 1, 97)
    stop = rig.newest()
    rig.fill(stop, 1, 97)
    rig.accept(stop)
    assert rig.book("S") == 0
    assert [one.state for one in rig.events(OrderChanged)][-1] == "Filled"
    assert rig.manager.stops == {}
