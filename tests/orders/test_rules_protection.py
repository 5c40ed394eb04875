"""Stops, brackets and trails: what they protect, when they fire, and that they are never lost."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction

import pytest

from engine.actors.orders import OrderManager
from engine.actors.orders.state import Live
from engine.events import ProtectionChanged, TrailChanged
from tests.orders.cases import Case, run
from tests.orders.real import RealSession
from tests.orders.session import FREE, Session
from tests.orders.settings import Settings

FREE_TOUCH = Settings(
    cash="1000", taker_fee="0", maker_fee="0", slippage_bps=0, latency_ms=0, fill_on_touch=True
)

CASES = (
    Case(
        "a stop on the wrong side is refused",
        "buy 1 | 100 100 | stop sell 1 103 | 100 100",
        books={"Long": "1"},
        refused=("trigger_side",),
        live=0,
    ),
    Case(
        "a stop on a flat book with no entry is refused",
        "stop sell 1 97 | 100 100",
        refused=("nothing_to_close",),
        live=0,
    ),
    Case(
        "a stop waits for an entry that works, and ends with it",
        "buy 1 limit=99 | stop sell 1 97 | 100 100 | cancel 0 | 100 100 | 98 98 | 96 96",
        books={"Long": "0"},
        cash="1000",
        live=0,
    ),
    Case(
        "a stop waits for an entry and protects what it fills",
        "buy 1 limit=99 | stop sell 1 97 | 100 100 | 98 | 96 96",
        books={"Long": "0"},
        cash="997",
        live=0,
    ),
    Case(
        "a stop is as large as the position, up to its size",
        "buy 2 | fill> stop sell 2 97 | 100 100 | sell 1 | 100 100 | buy 2 | 100 100 | 96 96 96",
        books={"Long": "1"},
        cash="992",
    ),
    Case(
        "a stop larger than the position does not turn it",
        "buy 1 | fill> stop sell 3 97 | 100 100 | 96 96 96",
        books={"Long": "0"},
        cash="996",
    ),
    Case(
        "a take-profit closes at its price",
        "buy 1 | fill> stop sell 1 103 kind=tp | 100 100 | 102 103 103",
        books={"Long": "0"},
        cash="1003",
    ),
    Case(
        "a stop with a limit becomes a resting exit",
        "buy 1 | fill> stop sell 1 97 limit=96.5 | 100 100 | 96 96 | 98 98",
        books={"Long": "0"},
        cash="996.5",
        settings=FREE_TOUCH,
    ),
    Case(
        "a bracket protects what its parent filled",
        "buy 1 limit=100 stop_loss=97 take_profit=105 | 101 101 | 99x0.4 | cancel 0 | 101 101 | 96 96",
        books={"Long": "0"},
        cash="998.4",
        live=0,
    ),
    Case(
        "the profit of a bracket cancels its loss",
        "buy 1 limit=100 stop_loss=97 take_profit=105 | 101 101 | 99 | 106 106 | 96 96",
        books={"Long": "0"},
        cash="1006",
        live=0,
    ),
    Case(
        "a target of zero takes a bracket with it",
        "buy 1 stop_loss=97 take_profit=105 | 100 100 | target 0 | 100 100 100 | 96 96 | 106 106",
        books={"Long": "0"},
        cash="1000",
        live=0,
    ),
    Case(
        "a trail follows the best trade and sells once",
        "buy 2 | fill> trail 2 3 | 100 100 100 | 104 | 101 | 100 100",
        books={"Long": "0"},
        cash="1000",
    ),
    Case(
        "the trade that arms a trail never fires it",
        "buy 1 | 100 100 | trail 1 2 | 100 90 89 | 88 87",
        books={"Long": "0"},
        cash="987",
    ),
    Case(
        "a trail covers what is left of the position",
        "buy 2 | fill> trail 2 3 | 100 100 100 | 104 | sell 1 | 104 104 | 100.9 100.9",
        books={"Long": "0"},
        cash="1004.9",
    ),
    Case(
        "a trail on a short position follows downwards",
        "sell 1 | fill> trail 1 2 short=yes | 100 100 100 | 97 | 99 99",
        books={"Long": "0"},
        cash="1001",
    ),
    Case(
        "a trail ends with its position",
        "buy 1 | fill> trail 1 2 | 100 100 100 | sell 1 | 100 100 | buy 1 | 100 100 | 95 95",
        books={"Long": "1"},
        cash="1000",
    ),
    Case(
        "untrail removes the trail",
        "buy 1 | fill> trail 1 2 | 100 100 100 | untrail | 100 | 95 95",
        books={"Long": "1"},
    ),
    Case(
        "a trail survives a restart with its best price",
        "buy 1 | fill> trail 1 3 | 100 100 100 104 | kill | 103 | 100 100",
        books={"Long": "0"},
        cash="1000",
    ),
    Case(
        "a failed strategy keeps its stop",
        "buy 1 | fill> stop sell 1 97 | 100 100 100 | raise | 100 | 96 96",
        books={"Long": "0"},
        cash="996",
    ),
    Case(
        "a trail and a target of zero sell once",
        "target 1 | fill> trail 1 2 | 100 100 100 101 | target 0 | 98 98 98",
        books={"Long": "0"},
        cash="998",
        sent=2,
    ),
)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_protection(case: Case) -> None:
    run(case)


def test_a_stop_at_the_venue_in_a_one_sided_market() -> None:
    with RealSession() as s:
        s.say("Long", "buy", "AAA", "1")
        s.say("Long", "stop", "AAA", "sell", "1", "97", on="fill")
        s.trade(100)
        s.fill(100)
        terms = s.order(trigger="sl").command.terms
        assert (terms.reduce_only, terms.role, terms.trigger_price) == (True, "close", s.price(97))
        assert terms.bound == s.price("87.30")


def test_a_netted_market_holds_the_rest_in_the_engine() -> None:
    with RealSession() as s:
        s.say("Long", "buy", "AAA", "1")
        s.say("Short", "sell", "AAA", "0.4")
        s.trade(100)
        for order in list(s.orders.values()):
            s.fill(100, order=order)
        s.say("Long", "stop", "AAA", "sell", "1", "97")
        s.say("Short", "stop", "AAA", "buy", "0.4", "103")
        s.trade(100)
        shown = s.newest(ProtectionChanged, owner="Long")
        assert (shown.at_venue, shown.in_engine) == (60, 40)
        other = s.newest(ProtectionChanged, owner="Short")
        assert (other.at_venue, other.in_engine) == (0, 40)


def test_a_stop_rejected_because_the_price_was_reached_on_the_way_fires() -> None:
    with RealSession() as s:
        s.say("Long", "buy", "AAA", "1")
        s.trade(100)
        s.fill(100)
        s.hold()
        s.say("Long", "stop", "AAA", "sell", "1", "97")
        s.trade("97.1")
        s.reject(s.order(trigger="sl"), "badTriggerPx")
        s.release()
        sale = s.order(side=-1)
        assert not sale.command.terms.trigger
        s.fill(97, order=sale)
        assert s.book() == 0


def test_a_stop_that_sold_less_sells_what_the_entry_fills_later() -> None:
    with RealSession() as s:
        s.say("Long", "buy", "AAA", "1", limit="100")
        s.trade(101)
        bid = s.order()
        s.fill(100, "0.4", order=bid)
        s.say("Long", "stop", "AAA", "sell", "1", "97")
        s.trade("97.5")
        s.fill("96.9", "0.4", order=s.order(side=-1))
        s.trade("96.8")
        s.fill(100, "0.6", order=bid)
        s.fill("96.7", order=s.order(side=-1))
        s.wait(1)
        assert s.book() == 0


def test_a_stop_canceled_by_the_venue_is_placed_again_and_one_canceled_by_a_person_is_not() -> None:
    with RealSession() as s:
        s.say("Long", "buy", "AAA", "1")
        s.say("Long", "stop", "AAA", "sell", "1", "97", on="fill")
        s.trade(100)
        s.fill(100)
        s.end(s.order(trigger="sl"), "marginCanceled")
        s.wait(1)
        again = s.order(trigger="sl")
        s.end(again, "canceled")
        s.wait(61)
        s.trade(100)
        assert [one for one in s.orders.values() if one.state == "open"] == []
        shown = s.newest(ProtectionChanged, owner="Long")
        assert (shown.at_venue, shown.in_engine) == (0, 0)


def test_one_child_of_a_bracket_that_fills_a_part_cuts_the_other() -> None:
    with RealSession() as s:
        s.say("Long", "buy", "AAA", "1", limit="100", stop_loss="97", take_profit="105")
        s.trade(101)
        s.fill(100, "0.4", order=s.order(side=1))
        s.say("Long", "cancel", -1)
        s.trade(101)
        profit = s.order(trigger="tp")
        s.fill(105, "0.1", order=profit)
        s.end(profit, "iocCancelRejected")
        s.wait(2)
        assert Fraction(s.order(trigger="sl").open, 100) == Fraction("0.3")


def test_a_trail_is_kept_by_the_engine() -> None:
    with RealSession() as s:
        s.say("Long", "buy", "AAA", "2")
        s.say("Long", "trail", "AAA", "2", "3", on="fill")
        s.trade(100)
        s.fill(100)
        for price in (100, 104):
            s.trade(price)
        assert s.newest(TrailChanged).stop == s.price(101)
        assert [one for one in s.orders.values() if one.state == "open"] == []
        s.trade("100.9")
        sale = s.order(purpose="trail")
        assert Fraction(sale.open, 100) == 2
        assert sale.command.terms.bound == s.price("90.81")
        s.fill("100.5", order=sale)
        assert s.book() == 0


def test_a_trail_without_a_price_is_armed_by_an_orderly_stop_and_says_so() -> None:
    """In a netted market it is not placed at the venue. The next session goes on from there."""
    with RealSession() as s:
        s.say("Short", "target", "AAA", "-1")
        s.say("Long", "target", "AAA", "0.3")
        s.say("Long", "trail", "AAA", "0.3", "2")
        s.trade(100)
        for order in list(s.orders.values()):
            s.fill(100, order=order)
        s.stop()
        assert [(one.state, one.stop) for one in s.memory.events(TrailChanged)][-1] == ("armed", 9800)
        s.restart()
        s.trade(97)
        assert s.newest(TrailChanged).state == "firing"
        s.fill(97)
        assert s.book() == 0


def test_the_orders_of_all_stops_are_found_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the number of stops, an exit makes the manager look through its live orders as often."""
    looks = 0

    def counted(manager: OrderManager, owner: str, instrument: int) -> Iterator[tuple[str, Live]]:
        nonlocal looks
        looks += 1
        return orders_of(manager, owner, instrument)

    orders_of = OrderManager.orders_of
    monkeypatch.setattr(OrderManager, "orders_of", counted)
    found = []
    for stops in (5, 20):
        with Session(replace(FREE, cash="100000")) as s:
            s.say("Long", "target", "AAA", "20")
            s.trade(100)
            s.trade(100)
            for index in range(stops):
                s.say("Long", "stop", "AAA", "sell", "1", str(50 + index))
            s.trade(100)
            s.trade(100)
            looks = 0
            s.say("Long", "sell", "AAA", "0.5")
            s.trade(100)
            s.trade(100)
            assert s.book() * 2 == 39
            found.append(looks)
    assert found[0] == found[1] > 0
