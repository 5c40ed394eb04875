"""What each command of an operator does in every situation, and how it is answered."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from msgspec.structs import replace

from engine.actors.books.book import EXTERNAL, MANUAL
from engine.actors.orders import commands
from engine.events import (
    ActorFailed,
    ActorRestarted,
    CommandAnswered,
    HaltsChanged,
    OperatorCommand,
    OrderRefused,
    ParameterSet,
    StrategyStopped,
    SubmitOrder,
    assumed_rules,
)
from engine.operator.requests import command_of, parse_request
from engine.values import BUY, SELL
from tests.actors.rig import Rig

Text = tuple[str, str, str]


def states(rig: Rig, nonce: str) -> list[str]:
    return [one.state for one in rig.events(CommandAnswered) if one.nonce == nonce]


def last(rig: Rig, nonce: str) -> CommandAnswered:
    return [one for one in rig.events(CommandAnswered) if one.nonce == nonce][-1]


def refusal(answer: CommandAnswered) -> str:
    assert answer.reason
    return answer.code if answer.state == "refused" else ""


# Answers.


def test_each_command_is_answered_in_its_turn_and_the_command_is_the_cause() -> None:
    rig = Rig("S", real=True).hold("S", 2)
    rig.command("pause", "a")
    rig.command("flatten", "b", strategy="S")
    seqs = {event.nonce: seq for seq, _, event in rig.log if isinstance(event, OperatorCommand)}
    answers = [(cause, event) for _, cause, event in rig.log if isinstance(event, CommandAnswered)]
    assert [(event.nonce, event.state) for _, event in answers] == [("a", "done"), ("b", "working")]
    rig.fill(rig.newest(), 2, 100)
    answers = [(cause, event) for _, cause, event in rig.log if isinstance(event, CommandAnswered)]
    assert [event.state for _, event in answers] == ["done", "working", "done"]
    for cause, event in answers:
        assert cause == event.seq == seqs[event.nonce]


def test_a_nonce_is_carried_out_once_also_after_a_restart() -> None:
    rig = Rig()
    rig.command("order", "a", market="M1", side="buy", size=1)
    rig.restart()
    again = {"command": "order", "nonce": "a", "market": "M1", "side": "buy", "size": 1}
    rig.send(command_of(parse_request(again), rig.tick()))
    rig.trade(100, 100)
    assert rig.book(MANUAL) == 1
    assert states(rig, "a") == ["working", "done"]


def test_the_oldest_ended_answers_are_forgotten_and_those_that_work_are_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(commands, "ANSWERS_MAX", 3)
    rig = Rig(real=True)
    rig.command("order", "works", market="M1", side="buy", size=1, limit=90)
    for number in range(5):
        rig.command("pause", f"n{number}")
    assert list(rig.manager.answers) == ["works", "n3", "n4"]


def test_no_more_than_the_bound_of_commands_work_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "WORKING_MAX", 2)
    rig = Rig(real=True)
    for number in range(3):
        answer = rig.command("order", f"n{number}", market="M1", side="buy", size=1, limit=90)
    assert refusal(answer) == "busy"
    assert len(rig.placed()) == 2
    assert rig.command("halt").state == "done"


@pytest.mark.parametrize(
    ("command", "members", "code"),
    [
        ("pause", {"strategy": "X"}, "unknown_strategy"),
        ("pause", {"strategy": "M1"}, "unknown_strategy"),
        ("resume", {"market": "X"}, "unknown_market"),
        ("flatten", {"market": "X"}, "unknown_market"),
        ("flatten", {"strategy": "M1"}, "unknown_strategy"),
        ("cancel", {"market": "S"}, "unknown_market"),
        ("cancel", {"order": "0x12"}, "unknown_order"),
        ("order", {"market": "S", "side": "buy", "size": 1}, "unknown_market"),
        ("set", {"strategy": "manual", "name": "x", "value": 1}, "unknown_strategy"),
        ("restart", {"strategy": "S"}, "running"),
        ("stop-strategy", {"strategy": "external"}, "unknown_strategy"),
        ("disarm", {}, "paper"),
    ],
)
def test_a_name_that_is_not_there_refuses_the_command(command: str, members: Any, code: str) -> None:
    rig = Rig()
    before = len(rig.log)
    assert refusal(rig.command(command, **members)) == code
    assert len(rig.log) == before + 2, "the record and its answer, and nothing else"


# Pause, resume, halt.


def test_pause_halt_and_resume_say_what_was_so_already_and_record_what_holds() -> None:
    rig = Rig("S", "T")
    assert rig.command("pause", strategy="S").reason == ""
    assert rig.command("pause", strategy="S").reason == "was paused already"
    assert rig.command("pause").reason == ""
    assert rig.command("halt").reason == ""
    assert rig.command("halt").reason == "was halted already"
    assert rig.command("resume", strategy="S").reason == "the engine is halted"
    rig.restart()
    assert rig.manager.gates.halted == "operator: halt"
    assert rig.manager.gates.paused == [""]
    rig.command("resume")
    changed = [(one.halted, one.paused) for one in rig.events(HaltsChanged)]
    assert changed == [
        ("", ("S",)),
        ("", ("S", "")),
        ("operator: halt", ("S", "")),
        ("operator: halt", ("",)),
        ("", ()),
    ]


def test_resume_of_one_strategy_leaves_a_pause_of_all() -> None:
    rig = Rig("S", "T")
    rig.command("pause")
    assert rig.command("resume", strategy="S").reason == "all strategies are paused"
    rig.buy("S", 1)
    assert rig.refusals() == ["paused"]


# Flatten.


def test_flatten_works_until_all_is_closed_and_says_what_is_left() -> None:
    rig = Rig("S", "T", real=True).hold("S", 2).hold("T", 1)
    answer = rig.command("flatten", "a", all=True)
    assert (answer.state, answer.left) == ("working", (("S", "M1", "2"), ("T", "M1", "1")))
    sent = rig.placed()[-2:]
    rig.fill(sent[0], "0.5", 100)
    now = rig.manager.commands.answer("a")
    assert now is not None
    assert now.left == (("S", "M1", "1.5"), ("T", "M1", "1"))
    rig.end(sent[0])
    rig.fill(sent[1], 1, 100)
    rig.wait(1)
    now = rig.manager.commands.answer("a")
    assert now is not None
    assert (now.left, now.tries) == ((("S", "M1", "1.5"),), 1)
    rig.fill(rig.newest(), "1.5", 100)
    assert states(rig, "a") == ["working", "done"]
    assert rig.manager.gates.paused == ["S", "T"]


def test_flatten_closes_what_a_canceled_entry_fills_late() -> None:
    rig = Rig("S", real=True)
    rig.buy("S", 1, limit=100)
    entry = rig.newest()
    rig.accept(entry)
    assert rig.command("flatten", "a", strategy="S").left == (("S", "M1", "0"),)
    rig.fill(entry, "0.6", 100)
    rig.end(entry)
    rig.fill(rig.newest(), "0.6", 100)
    assert rig.book("S") == 0
    assert states(rig, "a") == ["working", "done"]


def test_flatten_works_under_a_halt_and_after_a_restart() -> None:
    rig = Rig("S", real=True).hold("S", 2)
    rig.command("halt")
    rig.command("flatten", "a", market="M1")
    rig.reject(rig.newest())
    rig.restart()
    rig.account_read()
    rig.fill(rig.newest(), 2, 100)
    assert rig.book("S") == 0
    assert states(rig, "a") == ["working", "done"]
    assert rig.manager.gates.halted == "operator: halt"


def test_flatten_of_nothing_is_done_and_pauses_the_strategy_that_it_names() -> None:
    rig = Rig("S", "T")
    assert rig.command("flatten", strategy="S").state == "done"
    assert rig.manager.gates.paused == ["S"]
    assert rig.command("flatten", market="M1").state == "done"
    assert rig.manager.gates.paused == ["S"], "only what has something in the market"


def test_flatten_ends_with_what_is_too_small_for_an_order() -> None:
    rules = replace(assumed_rules("perp"), value_min="10", value_min_exempts_close=False)
    rig = Rig("S", real=True, rules=rules).hold("S", "0.2")
    rig.outside(SELL, "0.15", 100)
    answer = rig.command("flatten", "a", strategy="S")
    assert (answer.state, answer.code, answer.left) == ("done", "dust", (("S", "M1", "0.05"),))
    assert len(rig.placed()) == 1
    rig.mark(250)
    rig.trade(250)
    rig.wait(60)
    assert rig.newest().terms.size == 5, "it is closed once it is worth enough"


def test_flatten_of_the_foreign_book_needs_its_name() -> None:
    rig = Rig("S", real=True)
    rig.outside(BUY, 1, 100)
    assert rig.command("flatten", all=True).state == "done"
    assert rig.command("flatten", strategy=EXTERNAL).left == ((EXTERNAL, "M1", "1"),)
    rig.fill(rig.newest(), 1, 100)
    assert rig.book(EXTERNAL) == 0


def test_a_strategy_that_is_resumed_while_it_is_flattened_keeps_what_it_does_then() -> None:
    rig = Rig("S", real=True)
    rig.buy("S", 1, limit=100)
    entry = rig.newest()
    rig.accept(entry)
    rig.command("flatten", "a", strategy="S")
    rig.command("resume")
    rig.fill(entry, 1, 100)
    assert rig.book("S") == 1
    assert refusal(last(rig, "a")) == "resumed"


# Orders by hand.


def test_an_order_by_hand_fills_in_the_book_of_its_own() -> None:
    rig = Rig("S").hold("S", 1)
    answer = rig.command("order", "a", market="M1", side="sell", size="2.007")
    assert (answer.state, answer.left) == ("working", ((MANUAL, "M1", "2"),))
    rig.trade(100, 100)
    assert (rig.book("S"), rig.book(MANUAL), rig.account()) == (1, -2, -1)
    assert states(rig, "a") == ["working", "done"]


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


# Strategies.


def test_a_strategy_that_is_stopped_opens_nothing_and_keeps_its_protection_over_restarts() -> None:
    rig = resting()
    rig.command("stop-strategy", strategy="S")
    assert prices(rig) == [90]
    assert rig.events(StrategyStopped) == [StrategyStopped(rig.now_ns, "S", True)]
    rig.restart()
    assert [one.stopped for one in rig.events(StrategyStopped)] == [True, True]
    assert rig.command("restart", strategy="S").state == "done"
    assert [one.stopped for one in rig.events(StrategyStopped)] == [True, True, False]
    rig.restart()
    assert len(rig.events(StrategyStopped)) == 3


def test_set_waits_for_the_strategy_and_is_refused_when_it_has_failed() -> None:
    rig = Rig("S", "T")
    given = {"command": "set", "nonce": "a", "strategy": "S", "name": "size", "value": 2}
    rig.send(command_of(parse_request(given), rig.tick()))
    (event,) = rig.events(ParameterSet)
    assert (event.strategy, event.name, event.value, event.nonce) == ("S", "size", "2", "a")
    assert states(rig, "a") == []
    rig.derive(ActorFailed(0, "S", 7, "ValueError: x", "quarantine"))
    assert (last(rig, "a").code, last(rig, "a").reason) == ("failed", "ValueError: x")
    assert refusal(rig.command("set", strategy="S", name="size", value=3)) == "failed"
    rig.derive(ActorRestarted(0, "S", 7))
    assert refusal(rig.command("restart", strategy="S")) == "running"


# Disarm.


def test_nothing_leaves_after_disarm_until_the_next_start() -> None:
    rig = resting()
    before = len(rig.placed())
    assert rig.command("disarm").state == "done"
    assert prices(rig) == [90, 91], "openings are canceled, exits at the venue stay"
    assert refusal(rig.command("order", market="M1", side="buy", size=1)) == "disarmed"
    rig.command("flatten", "a", strategy="S")
    rig.wait(120)
    assert len(rig.placed()) == before, "an exit waits too"
    assert states(rig, "a") == ["working"]
    assert rig.command("resume").reason == "operator: disarm"
    rig.restart()
    rig.account_read()
    assert rig.newest().terms.purpose == "flatten"
