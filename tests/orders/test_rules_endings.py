"""Failures, stops and restarts: exits and protection go on, nothing is opened by itself."""

from __future__ import annotations

from engine.events import ActorFailed
from tests.orders.real import RealSession
from tests.orders.session import Session


def test_a_strategy_that_fails_keeps_its_stop_and_loses_its_entries() -> None:
    with Session() as s:
        s.say("Long", "target", "AAA", "1")
        s.trade(100)
        s.trade(100)
        s.say("Long", "stop", "AAA", "sell", "1", "97")
        s.say("Long", "buy", "AAA", "1", limit="95")
        s.trade(100)
        s.say("Long", "raise")
        s.trade(100)
        assert len(s.memory.events(ActorFailed)) == 1
        s.trade(98)
        assert len(s.live()) == 1, "the entry is canceled, the stop is not"
        s.trade(96)
        s.trade(96)
        assert s.book() == 0
        s.trade(94)
        assert s.book() == 0


def test_an_orderly_stop_cancels_entries_and_leaves_stops_at_the_venue() -> None:
    with RealSession() as s:
        s.say("Long", "target", "AAA", "1")
        s.trade(100)
        s.fill(100)
        s.say("Long", "stop", "AAA", "sell", "1", "97")
        s.say("Long", "buy", "AAA", "1", limit="95")
        s.trade(100)
        s.stop()
        left = [order.command.terms.purpose for order in s.orders.values() if order.state == "open"]
        assert left == ["stop"]
        s.restart(orderly=False)
        s.trade(100)
        assert s.book() == 1
        s.fill(97, order=s.order(purpose="stop"))
        assert (s.book(), s.live()) == (0, [])


def test_after_a_kill_the_target_stands_and_is_worked_once_the_account_is_read() -> None:
    with RealSession() as s:
        s.say("Long", "target", "AAA", "2")
        s.trade(100)
        s.fill(100, "0.5")
        s.end(reason="iocCancelRejected")
        s.restart(orderly=False)
        s.wait(0.5)
        assert len(s.submitted()) == 1, "a price of the earlier session is not fresh"
        s.trade(100)
        s.wait(5)
        assert s.wanted() == 2
        assert s.submitted()[-1].terms.size == 150
        s.fill(100)
        assert s.book() == 2


def test_after_a_kill_an_opening_waits_a_minute_for_a_price_and_is_then_withdrawn() -> None:
    with RealSession() as s:
        s.say("Long", "target", "AAA", "2")
        s.trade(100)
        s.fill(100, "0.5")
        s.end(reason="iocCancelRejected")
        s.restart(orderly=False)
        s.wait(70)
        s.trade(100)
        s.wait(70)
        assert (s.book() * 2, s.wanted() * 2, s.state()) == (1, 1, "withdrawn")


def test_a_stopped_session_sends_nothing_more_and_the_next_one_goes_on() -> None:
    with Session() as s:
        s.say("Long", "target", "AAA", "1")
        s.trade(100)
        s.trade(100)
        s.restart()
        s.say("Long", "target", "AAA", "1")
        s.trade(100)
        s.trade(100)
        assert (s.book(), len(s.submitted())) == (1, 1), "asked for what is held: nothing is sent"
