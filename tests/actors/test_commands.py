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
    ParameterSet,
    StrategyStopped,
    assumed_rules,
)
from engine.operator.requests import command_of, parse_request
from engine.values import BUY, SELL
from tests.actors.rig import Rig
from tests.actors.rig_answers import last, refusal, states
from tests.actors.test_tickets import prices, resting

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


def test_flatten_ends_when_what_went_beyond_0_is_brought_back() -> None:
    rig = Rig("S", real=True).hold("S", 2)
    rig.command("flatten", "a", strategy="S")
    rig.outside(SELL, "0.5", 100)
    rig.fill(rig.newest(), 2, 100)
    assert rig.book("S") == Decimal("-0.5")
    assert states(rig, "a") == ["working"]
    assert rig.newest().terms.purpose == "correct"
    rig.fill(rig.newest(), "0.5", 100)
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


@pytest.mark.parametrize("verb", ["target", "sell"])
def test_an_exit_that_waits_for_the_end_of_another_does_not_leave_after_disarm(verb: str) -> None:
    rig = Rig(real=True)
    rig.quote(99, 101)
    rig.hold("S", 1)
    rig.sell("S", 1, limit=110)
    other = rig.newest()
    rig.accept(other)
    if verb == "target":
        rig.target("S", 0)
    else:
        rig.sell("S", 1)
    assert rig.canceled() == [other.client_order_id]
    before = len(rig.placed())
    rig.command("disarm")
    rig.end(other)
    rig.wait(120)
    assert len(rig.placed()) == before
    assert rig.refusals()[-1] == "disarmed"
    rig.restart()
    rig.account_read()
    assert len(rig.placed()) == before + (verb == "target"), "an own order is sent once"
