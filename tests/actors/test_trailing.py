"""Trailing stops: kept by the engine, one per book, moved and fired by trades."""

from __future__ import annotations

from decimal import Decimal

import pytest

from engine.events import Trade
from engine.values import BUY
from tests.actors.rig import Rig

D = Decimal


def real(*names: str, **more: object) -> Rig:
    rig = Rig(*names, real=True, **more)  # type: ignore[arg-type]
    rig.quote(99, 101)
    return rig


def names(rig: Rig) -> list[str]:
    """Return the states of the trail of S, each once in a row."""
    states = [state for state, _, _ in rig.trails("S")]
    return [one for index, one in enumerate(states) if not index or states[index - 1] != one]


def test_the_trade_after_the_request_arms_a_trail_and_never_fires_it() -> None:
    rig = Rig().hold("S", 1)
    rig.trail("S", 1, 2)
    rig.trade(100, 90, 89)
    assert rig.trails("S") == [
        ("waiting", 1, 0),
        ("armed", 1, 98),
        ("firing", 1, 98),
        ("fired", 0, 98),
    ]
    assert rig.book("S") == 0
    assert rig.cash_flow("S") == -11


def test_a_trail_follows_the_best_trade() -> None:
    rig = Rig().hold("S", 1)
    rig.trail("S", 1, 3)
    rig.trade(100, 104, 102)
    assert rig.trails("S")[-1] == ("armed", 1, 101)
    assert rig.protection("S") == (0, 1, 0)
    assert rig.orders() == []
    rig.trade(101, 101)
    assert rig.book("S") == 0
    assert rig.cash_flow("S") == 1


def test_a_trail_of_a_short_position_follows_downwards() -> None:
    rig = Rig().hold("S", -1)
    rig.trail("S", 1, 2, side=BUY)
    rig.trade(100, 97, "98.9", 99, 99)
    assert rig.book("S") == 0
    assert rig.cash_flow("S") == 1


def test_a_trail_waits_for_a_position() -> None:
    rig = Rig()
    rig.trail("S", 1, 2)
    rig.trade(100, 90)
    assert names(rig) == ["waiting"]
    rig.hold("S", 1, 90)
    assert names(rig) == ["waiting"]
    rig.trade(100)
    assert names(rig) == ["waiting", "armed"]


def test_a_trail_and_a_target_of_zero_on_one_print_sell_once() -> None:
    rig = Rig()
    rig.target("S", 1)
    rig.trade(100)
    rig.trail("S", 1, 2)
    rig.when("S", Trade, lambda trade: rig.target("S", 0) if trade.price < 9900 else None)
    rig.trade(100, 101, 98, 98)
    assert rig.book("S") == 0
    assert rig.cash_flow("S") == -2
    assert [size for size, _ in rig.fills("S")] == [1, -1]
    assert rig.orders() == []


def test_a_trail_sells_what_is_left_of_the_position() -> None:
    rig = Rig().hold("S", 2)
    rig.trail("S", 2, 3)
    rig.trade(100, 104)
    rig.sell("S", 1)
    rig.trade(104, "100.9", "100.9")
    assert rig.book("S") == 0
    assert [size for size, _ in rig.fills("S")] == [2, -1, -1]


def test_a_trail_covers_a_grown_position_up_to_its_size() -> None:
    rig = Rig().hold("S", 1)
    rig.trail("S", 2, 3)
    rig.trade(100)
    rig.hold("S", 2)
    rig.trade(96, 96)
    assert rig.book("S") == 1


def test_a_flat_book_drops_its_trail() -> None:
    rig = Rig().hold("S", 1)
    rig.trail("S", 1, 2)
    rig.trade(100)
    rig.hold("S", -1)
    assert names(rig) == ["waiting", "armed", "dropped"]
    rig.hold("S", 1)
    rig.trade(90, 90)
    assert rig.book("S") == 1
    assert rig.manager.trails == {}


def test_a_turned_book_drops_its_trail() -> None:
    rig = Rig().hold("S", 1)
    rig.trail("S", 1, 2)
    rig.trade(100)
    rig.sell("S", 3)
    rig.trade(100, 100)
    assert rig.book("S") == -2
    assert names(rig)[-1] == "dropped"


def test_untrail_and_replacement() -> None:
    rig = Rig().hold("S", 1)
    rig.trail("S", 1, 2)
    rig.trade(100)
    rig.trail("S", 1, 5)
    rig.trade(100, 97)
    assert rig.trails("S")[-1] == ("armed", 1, 95)
    rig.untrail("S")
    rig.trade(90, 90)
    assert rig.book("S") == 1
    assert names(rig) == ["waiting", "armed", "waiting", "armed", "dropped"]
    rig.untrail("S")
    assert names(rig)[-1] == "dropped"


def test_while_firing_a_new_trail_is_refused_and_untrail_does_nothing() -> None:
    rig = real().hold("S", 1)
    rig.trail("S", 1, 2)
    rig.trade(100, 97)
    sale = rig.newest()
    assert (sale.terms.purpose, sale.terms.size, sale.terms.trigger) == ("trail", 100, "")
    rig.trail("S", 1, 5)
    rig.untrail("S")
    assert rig.refusals() == ["exit_budget"]
    rig.accept(sale)
    rig.fill(sale, "0.4", 97)
    rig.end(sale, "Ioc: the rest found nobody")
    rig.wait(1)
    again = rig.newest()
    assert (again.terms.size, again.terms.purpose) == (60, "trail")
    rig.accept(again)
    rig.fill(again, "0.6", 97)
    assert names(rig) == ["waiting", "armed", "firing", "fired"]


def test_the_bound_of_a_trail_follows_the_trade_that_fired_it() -> None:
    rig = real().hold("S", 1)
    rig.trade(100)
    rig.trail("S", 1, 1)
    rig.quote(100, 101)
    rig.trade(100, "98.5")
    assert rig.newest().terms.bound == 8865


def test_quotes_and_older_trades_do_not_move_a_trail() -> None:
    rig = Rig().hold("S", 1)
    rig.trail("S", 1, 2)
    rig.trade(100)
    rig.quote(90, 91)
    rig.send(Trade(rig.tick(), rig.now_ns - 10**9, 1, 9000, 100, 1, 99))
    assert names(rig) == ["waiting", "armed"]


@pytest.mark.parametrize("first", ["position", "trail"])
def test_trades_that_fill_a_gap_from_before_a_position_and_its_trail_do_not_count(first: str) -> None:
    """The channel of trades is silent meanwhile: what it missed, up to half an hour ago, comes at once."""
    rig = Rig("S", real=True)
    rig.trade(100)
    missed_ns = rig.now_ns
    if first == "position":
        rig.hold("S", 1)
        rig.quote(99, 101)
    rig.trail("S", 1, 2)
    if first == "trail":
        rig.hold("S", 1)
    for price in (11000, 10700):
        missed_ns += 1
        rig.send(Trade(rig.tick(), missed_ns, 1, price, 100, 1, missed_ns))
    assert names(rig) == ["waiting"]
    rig.trade(100, 101, 99)
    assert rig.trails("S")[-1] == ("firing", 1, 99)


def test_a_trail_belongs_to_its_book_in_a_netted_market() -> None:
    rig = Rig("S", "T").hold("S", 1).hold("T", -1)
    rig.trail("S", 1, 2)
    rig.trade(100, 97, 97)
    assert (rig.book("S"), rig.book("T")) == (0, -1)
    assert rig.orders() == []


def test_a_trail_survives_a_restart_with_its_best_price() -> None:
    rig = Rig().hold("S", 1)
    rig.trail("S", 1, 3)
    rig.trade(100, 104)
    rig.restart()
    rig.trade(103)
    assert rig.trails("S")[-1] == ("armed", 1, 101)
    rig.trade("100.5", "100.5")
    assert rig.book("S") == 0


def test_the_first_price_after_a_restart_may_fire() -> None:
    rig = real().hold("S", 1)
    rig.trail("S", 1, 3)
    rig.trade(100, 104)
    rig.restart()
    rig.trade(99)
    assert rig.newest().terms.purpose == "own"
    rig.account_read()
    rig.trade(99)
    assert rig.newest().terms.purpose == "trail"


def test_an_orderly_stop_parks_a_trail_at_the_venue_and_a_start_takes_it_back() -> None:
    rig = real().hold("S", 1)
    rig.trail("S", 1, 3)
    rig.trade(100, 104)
    rig.operate("stop")
    parked = rig.newest()
    assert (parked.terms.trigger, parked.terms.trigger_price, parked.terms.purpose) == ("sl", 10100, "trail")
    assert parked.terms.reduce_only
    rig.accept(parked)
    assert rig.trails("S")[-1] == ("parked", 1, 101)
    assert rig.protection("S") == (1, 0, 0)
    rig.restart()
    rig.read(parked, "open", size=100)
    rig.account_read()
    rig.trade(105)
    assert rig.trails("S")[-1][0] == "armed"
    assert rig.canceled() == [parked.client_order_id]
    assert rig.protection("S") == (0, 1, 0)


def test_a_parked_trail_that_sold_while_the_engine_was_down() -> None:
    rig = real().hold("S", 1)
    rig.trail("S", 1, 3)
    rig.trade(100, 104)
    rig.operate("stop")
    parked = rig.newest()
    rig.accept(parked)
    rig.restart()
    rig.fill(parked, 1, 101)
    rig.account_read()
    assert rig.book("S") == 0
    assert rig.manager.trails == {}
    assert rig.orders() == []


def test_a_session_that_cancels_on_stop_drops_trails_and_stops() -> None:
    rig = real(risk={"on_stop": "cancel"}).hold("S", 1)
    rig.stop("S", 1, 90)
    stop = rig.newest()
    rig.accept(stop)
    rig.trail("S", 1, 3)
    rig.trade(100)
    rig.operate("stop")
    assert stop.client_order_id in rig.canceled()
    assert names(rig)[-1] == "dropped"
    assert rig.newest() is stop


def test_a_parked_trail_is_fired_by_the_venue_alone() -> None:
    rig = Rig().hold("S", 2)
    rig.trail("S", 1, 3)
    rig.trade(100, 104)
    rig.operate("stop")
    rig.wait(1)
    assert rig.orders("S") == [("sell trail", 1, 101)]
    rig.restart()
    rig.operate("resume")
    rig.trade(100, 100, 100)
    assert rig.book("S") == 1
    assert rig.trails("S")[-1][0] == "fired"
    assert rig.orders("S") == []


@pytest.mark.parametrize(("seconds", "limits"), [(1, []), (11, ["stopping"])])
def test_a_parked_trail_that_ends_while_the_engine_stops_is_placed_again_after_a_second(
    seconds: int, limits: list[str]
) -> None:
    """Refused since the stop took too long, it was requested again in the same turn, without end."""
    rig = real().hold("S", 1)
    rig.trail("S", 1, 3)
    rig.trade(100, 104)
    rig.operate("stop")
    parked = rig.newest()
    rig.accept(parked)
    rig.wait(seconds)
    rig.end(parked)
    assert rig.newest() is parked
    rig.wait(1)
    assert rig.refusals("S") == limits
    assert (rig.newest() is parked) == bool(limits)
    assert rig.newest().terms == parked.terms
