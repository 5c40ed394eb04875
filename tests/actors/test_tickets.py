"""Orders by hand and cancels: what an operator's command does to orders in every situation."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from engine.actors.books.book import MANUAL
from engine.events import OrderRefused, SubmitOrder
from tests.actors.rig import Rig
from tests.actors.rig_answers import last, refusal, states

# Orders by hand.


def test_an_order_by_hand_fills_in_the_book_of_its_own() -> None:
    rig = Rig("S").hold("S", 1)
    answer = rig.command("order", "a", market="M1", side="sell", size="2.007")
    assert (answer.state, answer.left) == ("working", ((MANUAL, "M1", "2"),))
    rig.trade(100, 100)
    assert (rig.book("S"), rig.book(MANUAL), rig.account()) == (1, -2, -1)
    assert states(rig, "a") == ["working", "done"]
    resting = rig.command("order", market="M1", side="buy", size=1, limit=50)
    assert rig.command("cancel", "c", order=f"manual-{resting.seq}").left
    rig.trade(100)
    assert last(rig, "c").state == "done"


def test_an_order_by_hand_passes_the_same_risk_limits() -> None:
    rig = Rig(risk={"max_order_size": {"M1": "5"}})
    assert refusal(rig.command("order", market="M1", side="buy", size=6)) == "max_order_size"
    assert refusal(rig.command("order", market="M1", side="buy", size="0.001")) == "size"
    assert (
        refusal(rig.command("order", market="M1", side="buy", size=1, reduce_only=True)) == "nothing_to_close"
    )
    rig.command("halt")
    assert refusal(rig.command("order", market="M1", side="buy", size=1)) == "halted"
    assert rig.events(SubmitOrder) == []
    assert [one.strategy for one in rig.events(OrderRefused)] == [MANUAL] * 4


def test_an_exit_by_hand_passes_under_a_halt() -> None:
    rig = Rig()
    rig.command("order", market="M1", side="buy", size=2)
    rig.trade(100, 100)
    rig.command("halt")
    rig.command("order", "a", market="M1", side="sell", size=5, reduce_only=True)
    rig.trade(100, 100)
    assert rig.book(MANUAL) == 0
    assert last(rig, "a").state == "done"


def test_a_size_can_be_given_as_a_value_or_as_a_share_of_the_equity() -> None:
    rig = Rig(cash="1000")
    rig.command("order", "a", market="M1", side="buy", notional="150")
    rig.trade(100, 100)
    assert rig.book(MANUAL) == Decimal("1.5")
    rig.command("order", "b", market="M1", side="buy", percent=10, limit=80)
    assert [one.terms.size for one in rig.placed()] == [150, 125]
    unpriced = Rig(price=None)
    assert refusal(unpriced.command("order", market="M1", side="buy", notional=100)) == "no_price"


def test_an_order_by_hand_that_ends_partly_filled_says_what_is_left() -> None:
    rig = Rig(real=True)
    rig.command("order", "a", market="M1", side="buy", size=2, limit=99)
    order = rig.newest()
    rig.accept(order)
    rig.fill(order, "0.5", 99)
    rig.end(order, "by a person")
    answer = last(rig, "a")
    assert (answer.state, answer.code, answer.reason) == ("done", "canceled", "by a person")
    assert answer.left == ((MANUAL, "M1", "1.5"),)


def test_an_order_by_hand_that_the_venue_rejects_is_refused() -> None:
    rig = Rig(real=True)
    rig.command("order", "a", market="M1", side="buy", size=2)
    rig.reject(rig.newest(), "no such luck")
    answer = last(rig, "a")
    assert (answer.state, answer.code, answer.reason) == ("refused", "rejected", "no such luck")


def test_an_order_by_hand_whose_answer_is_lost_works_until_the_venue_says_what_it_is() -> None:
    rig = Rig(real=True)
    rig.command("order", "a", market="M1", side="buy", size=2)
    rig.wait(20)
    assert states(rig, "a") == ["working"]
    rig.restart()
    rig.fill(rig.newest(), 2, 100)
    assert states(rig, "a") == ["working", "done"]
    assert len(rig.placed()) == 1


def test_an_order_by_hand_that_turns_the_position_works_until_both_parts_ended() -> None:
    rig = Rig(real=True)
    rig.command("order", market="M1", side="buy", size=1)
    rig.fill(rig.newest(), 1, 100)
    rig.command("order", "a", market="M1", side="sell", size=3)
    rig.fill(rig.newest(), 1, 100)
    assert states(rig, "a") == ["working"]
    assert rig.newest().terms.size == 200
    rig.fill(rig.newest(), 2, 100)
    assert states(rig, "a") == ["working", "done"]
    assert rig.book(MANUAL) == -2


def test_a_trigger_by_hand_that_turns_the_position_closes_first_and_says_all_that_is_left() -> None:
    rig = Rig(real=True)
    rig.command("order", market="M1", side="buy", size=1)
    rig.fill(rig.newest(), 1, 100)
    answer = rig.command("order", "a", market="M1", side="sell", size=2, trigger=97)
    assert (answer.state, answer.left) == ("working", ((MANUAL, "M1", "2"),))
    closing = rig.newest()
    terms = closing.terms
    assert (terms.trigger, terms.size, terms.reduce_only, terms.role) == ("sl", 100, True, "close")
    rig.accept(closing)
    rig.fill(closing, "0.4", 97)
    assert rig.newest() is closing, "nothing opens before all is closed"
    now = rig.manager.commands.answer("a")
    assert now is not None
    assert now.left == ((MANUAL, "M1", "1.6"),)
    rig.fill(closing, "0.6", 97)
    opening = rig.newest()
    terms = opening.terms
    assert (terms.trigger, terms.size, terms.reduce_only, terms.role) == ("", 100, False, "open")
    rig.fill(opening, 1, 97)
    assert (rig.book(MANUAL), last(rig, "a").state, last(rig, "a").left) == (-1, "done", ())


def test_a_bracket_by_hand_protects_what_it_fills() -> None:
    rig = Rig(real=True)
    members: dict[str, Any] = {"market": "M1", "side": "buy", "size": 1, "stop_loss": 97, "take_profit": 105}
    rig.command("order", "a", **members)
    rig.fill(rig.placed()[0], 1, 100)
    assert states(rig, "a") == ["working", "done"]
    assert [stop.kind for stop in rig.manager.stops[1].values()] == ["sl", "tp"]
    wrong = members | {"stop_loss": 106, "take_profit": 97}
    assert refusal(rig.command("order", **wrong)) == "number"
    beyond = members | {"stop_loss": 101, "take_profit": 105}
    assert refusal(rig.command("order", **beyond)) == "trigger_side"


def test_a_stop_by_hand_protects_the_position_until_it_is_closed() -> None:
    rig = Rig()
    stop = {"market": "M1", "side": "sell", "size": 1, "trigger": 97, "reduce_only": True}
    assert refusal(rig.command("order", **stop)) == "nothing_to_close"
    rig.command("order", market="M1", side="buy", size=1)
    rig.trade(100, 100)
    assert refusal(rig.command("order", **stop | {"trigger": 103})) == "trigger_side"
    assert rig.command("order", "a", **stop).state == "done"
    rig.command("halt")
    rig.trade(96, 96)
    assert rig.book(MANUAL) == 0


def test_post_only_and_a_trigger_reach_the_venue() -> None:
    rig = Rig(real=True)
    rig.command("order", market="M1", side="buy", size=1, limit=99, post_only=True)
    rig.command("order", market="M1", side="buy", size=1, trigger=105)
    first, second = (one.terms for one in rig.placed())
    assert (first.tif, first.limit) == ("Alo", 9900)
    assert (second.trigger, second.trigger_price, second.role) == ("sl", 10500, "open")


# Cancel.


def resting() -> Rig:
    """Return real orders: S is long 2, with a bid, a resting exit, a stop and a take-profit; T has a bid."""
    rig = Rig("S", "T", real=True).hold("S", 2)
    rig.buy("S", 1, limit=90)
    rig.sell("S", 1, limit=110)
    rig.stop("S", 1, 80)
    rig.stop("S", 1, 120, kind="tp")
    rig.buy("T", 1, limit=91)
    for order in [one for one in rig.placed() if one.client_order_id in rig.manager.live]:
        rig.accept(order)
    return rig


def prices(rig: Rig) -> list[int]:
    """Return the limits or triggers of the orders whose cancel was sent."""
    orders = {one.client_order_id: one.terms for one in rig.placed()}
    return sorted((orders[name].trigger_price or orders[name].limit) // 100 for name in rig.canceled())


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({"strategy": "S"}, [90, 110, 120]),
        ({"market": "M1"}, [90, 91, 110, 120]),
        ({"all": True}, [90, 91, 110, 120]),
        ({"all": True, "protective": True}, [80, 90, 91, 110, 120]),
        ({"strategy": "T"}, [91]),
        ({"strategy": "manual"}, []),
    ],
)
def test_cancel_reaches_what_it_names_and_leaves_protective_orders(
    members: dict[str, Any], expected: list[int]
) -> None:
    rig = resting()
    answer = rig.command("cancel", "a", **members)
    assert prices(rig) == expected
    assert answer.state == ("working" if expected else "done")
    assert len(answer.left) == len(expected)
    for order in [one for one in rig.placed() if one.client_order_id in rig.canceled()]:
        rig.end(order)
    assert last(rig, "a").state == "done"


def test_cancel_of_one_order_by_its_id_or_its_handle() -> None:
    rig = resting()
    by_price = {(one.terms.trigger_price or one.terms.limit) // 100: one for one in rig.placed()}
    rig.command("cancel", order=by_price[90].client_order_id)
    rig.command("cancel", order=by_price[110].terms.handle)
    assert prices(rig) == [90, 110]
    for name in (by_price[80].client_order_id, by_price[80].terms.handle):
        assert refusal(rig.command("cancel", order=name)) == "protective"
    assert prices(rig) == [90, 110]
    rig.command("cancel", order=by_price[80].client_order_id, protective=True)
    rig.command("cancel", order=by_price[120].client_order_id)
    assert prices(rig) == [80, 90, 110, 120]
    assert 80 not in [stop.trigger_price // 100 for stop in rig.manager.stops.get(1, {}).values()]


def test_cancel_of_an_order_that_fills_first_is_done() -> None:
    rig = resting()
    bid = next(one for one in rig.placed() if one.terms.limit == 9000)
    assert rig.command("cancel", "a", order=bid.client_order_id).state == "working"
    rig.fill(bid, 1, 90)
    assert last(rig, "a").state == "done"
    assert rig.book("S") == 3


def test_cancel_withdraws_the_opening_of_a_target_and_not_its_exit() -> None:
    rig = Rig("S", "T", real=True).hold("T", 1)
    rig.target("S", 2)
    opening = rig.newest()
    rig.accept(opening)
    rig.target("T", 0)
    closing = rig.newest()
    rig.command("cancel", "a", all=True)
    assert rig.canceled() == [opening.client_order_id]
    rig.end(opening)
    rig.wait(120)
    assert (rig.wanted("S"), rig.wanted("T")) == (0, 0)
    assert refusal(rig.command("cancel", order=closing.client_order_id)) == "protective"
    rig.fill(closing, 1, 100)
    assert rig.book("T") == 0


def test_a_flatten_goes_on_when_everything_is_canceled() -> None:
    rig = Rig("S", real=True).hold("S", 2)
    rig.command("flatten", "a", all=True)
    rig.command("cancel", all=True, protective=True)
    rig.reject(rig.newest())
    rig.wait(1)
    rig.fill(rig.newest(), 2, 100)
    assert rig.book("S") == 0
    assert last(rig, "a").state == "done"


def test_a_trailing_stop_is_canceled_only_if_protective_is_said() -> None:
    rig = Rig("S").hold("S", 1)
    rig.trail("S", 1, 2)
    rig.command("cancel", all=True)
    assert rig.trails("S")
    rig.command("cancel", all=True, protective=True)
    assert rig.manager.trails == {}
    rig.trade(100, 90, 90)
    assert rig.book("S") == 1
