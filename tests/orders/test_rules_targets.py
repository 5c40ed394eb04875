"""Targets: what a call means, how it is worked, and what changes it. Each case is an example of a rule."""

from __future__ import annotations

from dataclasses import replace

import pytest

from engine.events import EngineLagging, ExitDelayed, TargetChanged
from tests.orders.cases import Case, run
from tests.orders.real import RealSession
from tests.orders.sequences import BBB
from tests.orders.session import FREE, SECOND_NS, Session
from tests.orders.settings import Settings

HALTING = Settings(cash="1000", taker_fee="0", maker_fee="0", slippage_bps=0, latency_ms=0, on_failure="halt")
TWO_A_MINUTE = Settings(
    cash="1000", taker_fee="0", maker_fee="0", slippage_bps=0, latency_ms=0, orders_per_minute=2
)
FEED = Settings(cash="1000", taker_fee="0", maker_fee="0", slippage_bps=0, latency_ms=0, feed=True)

CASES = (
    Case(
        "a call cancels older open orders",
        "buy 2 limit=95 | 100 | target 1 | 100 100 | 94 94",
        books={"Long": "1"},
        live=0,
    ),
    Case(
        "an order placed after the call stands beside it",
        "target 1 | 100 100 | buy 2 limit=95 | 100 | 94 94",
        books={"Long": "3"},
        wanted={"Long": "3"},
    ),
    Case(
        "the last word counts",
        "target 2 | 100 | target 0 | 100 100 100",
        books={"Long": "0"},
        cash="1000",
    ),
    Case(
        "a call in the same hook as an older order cancels it",
        "sell 1 limit=110 | target 0 | 100 | 111 111",
        books={"Long": "0"},
        live=0,
    ),
    Case(
        "none stops working the target and keeps the position",
        "target 1 | 100 100 | target none | 100 | 100",
        books={"Long": "1"},
        wanted={"Long": None},
    ),
    Case(
        "after none the same target is worked again",
        "target 1 | 100 100 | target none | 100 | sell 1 | 100 100 | target 1 | 100 100",
        books={"Long": "1"},
    ),
    Case(
        "a turn closes and then opens",
        "target 1 | 100 100 | target -2 | 101 101 101",
        books={"Long": "-2"},
        cash="1001",
        sent=3,
    ),
    Case(
        "a call that changes nothing places nothing",
        "target 1 | 100 100 | target 1 | 100 | target 1 | 100 100",
        books={"Long": "1"},
        sent=1,
    ),
    Case(
        "what is on offer is bought until the target is reached",
        "quote 99 100 9 3 | target 20 | 100 | quote 99 100 9 3 | wait 1 | quote 99 100 9 30 | wait 6 |"
        " quote 99 100 9 30 | wait 60 | quote 99 100 9 30",
        books={"Long": "20"},
        settings=Settings(cash="10000", taker_fee="0", maker_fee="0", slippage_bps=0, latency_ms=0),
    ),
    Case(
        "cancel_all leaves the target and takes the stop",
        "target 1 | fill> stop sell 1 97 | 100 100 100 | cancel_all | target 0 | 101 101 | 96 96",
        books={"Long": "0"},
        cash="1001",
        live=0,
    ),
    Case(
        "a stop-out withdraws what it closed",
        "target 1 | fill> stop sell 1 97 | 100 100 | 96 96 | 100 100 | wait 70 | 100 100",
        books={"Long": "0"},
        wanted={"Long": "0"},
        cash="996",
    ),
    Case(
        "the next call counts with the same value",
        "target 1 | fill> stop sell 1 97 | 100 100 | 96 96 | 100 | target 1 | 100 100",
        books={"Long": "1"},
        wanted={"Long": "1"},
    ),
    Case(
        "a target of zero goes on after a stop sold a part",
        "buy 2 | fill> stop sell 1 97 | 100 100 100 | 96 | target 0 | 96 96 96 | wait 2 | 96 96",
        books={"Long": "0"},
        cash="992",
    ),
    Case(
        "own orders are on top of the target",
        "target 1 | 100 100 | buy 2 | 100 100 | wait 70 | 100 100",
        books={"Long": "3"},
        wanted={"Long": "3"},
    ),
    Case(
        "an own exit is not bought back",
        "target 2 | 100 100 | sell 1 | 100 100 | wait 70 | 100 100",
        books={"Long": "1"},
        wanted={"Long": "1"},
    ),
    Case(
        "a pause keeps the target and closes",
        "target 1 | 100 100 | pause Long | target -1 | 101 101 101 | resume | 102 102",
        books={"Long": "-1"},
        cash="1001",
    ),
    Case(
        "a halt withdraws the opening part only",
        "target 1 | 100 100 | halt | target -2 | 101 101 101 | wait 70 | 101 101",
        books={"Long": "0"},
        wanted={"Long": "0"},
        cash="1001",
    ),
    Case(
        "a failed strategy keeps its target of zero",
        "target 1 | 100 100 | target 0 | fill> raise | 101 101 101",
        books={"Long": "0"},
        cash="1001",
    ),
    Case(
        "a closing passes a spent budget and a feed that is down, an opening waits",
        "up | target 1 | 100 100 | buy 1 | 100 100 | down | wait 10 | quote> target -1 | quote 99 101 |"
        " quote 99 101 | wait 70 | up | 100 100",
        books={"Long": "0"},
        wanted={"Long": "0"},
        settings=TWO_A_MINUTE,
    ),
    Case(
        "a restart keeps the target and does not buy twice",
        "target 1 | 100 | kill | 100 100 | wait 70 | 100 100",
        books={"Long": "1"},
        wanted={"Long": "1"},
    ),
)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_targets(case: Case) -> None:
    run(case)


def test_a_late_fill_of_a_target_after_a_stop_out_is_sold_again() -> None:
    with RealSession() as s:
        s.say("Long", "target", "AAA", "1")
        s.trade(100)
        s.hold()
        order = s.order()
        s.fill(100, "0.4", order=order)
        s.say("Long", "stop", "AAA", "sell", "0.4", "97")
        s.trade(100)
        s.release()
        s.fill(97, "0.4", order=s.order(side=-1))
        assert s.wanted() == 0
        s.fill(96, "0.6", order=order)
        s.fill(96, order=s.order(side=-1))
        s.wait(70)
        assert s.book() == 0
        assert s.live() == []


def test_a_killed_process_does_not_buy_twice_what_the_venue_has() -> None:
    with RealSession() as s:
        s.hold()
        s.say("Long", "target", "AAA", "1")
        s.trade(100)
        order = s.order()
        s.held_back.clear()
        s.restart(orderly=False)
        s.release()
        s.trade(100)
        s.fill(100, order=order)
        s.wait(70)
        s.trade(100)
        assert len(s.submitted()) == 1
        assert s.book() == 1


def test_a_call_while_the_session_stops_changes_nothing_and_is_answered() -> None:
    """The cancel of the order calls `on_order` during the stop. The next session reads what stood before."""
    with Session() as s:
        s.say("Long", "buy", "AAA", "1", limit="99")
        s.trade(100)
        s.trade(100)
        s.say("Long", "target", "AAA", "2", on="order")
        s.wait(1)
        s.restart()
        answered = s.newest(TargetChanged, strategy="Long")
        assert (answered.wanted, answered.state) == (None, "none")
        assert s.refusals() == ["stopping"]
        s.trade(100)
        s.trade(100)
        assert s.wanted() is None
        assert s.book() == 0


def test_a_fill_of_an_entry_whose_take_profit_has_fired_does_not_move_the_target() -> None:
    """Both fill in one candle: the target of 0 that was reached stays reached."""
    with Session(spot_candles()) as s:
        s.say("Long", "target", "AAA", "0", on="bar")
        s.candle(100, 100, 100, 100)
        s.say("Long", "sell", "AAA", "1", on="bar", stop_loss="103", take_profit="99")
        s.candle(100, 100, 100, 100)
        s.candle(98, 102, 97, 100)
        assert s.book() == 0
        assert (s.wanted(), s.state()) == (0, "reached")


def test_an_opening_that_was_filled_in_part_waits_a_minute_again() -> None:
    """It waits for the account for 64 s, is sent and partly filled, and waits for the account again."""
    with RealSession() as s:
        s.say("Long", "target", "AAA", "2")
        s.trade(100)
        s.disconnect()
        s.fill(100, "0.5")
        s.end()
        s.wait(64)
        assert s.state() == "waiting"
        s.connect()
        s.disconnect()
        s.fill(100, "0.5")
        s.end()
        s.wait(2)
        assert (s.wanted(), s.state()) == (2, "waiting")
        assert s.newest(TargetChanged, strategy="Long").reason == "unreconciled"
        s.wait(70)
        assert (s.wanted(), s.state()) == (1, "withdrawn")


def exit_that_ends_short(s: Session, *, wanted: str) -> None:
    """Of an exit of 3 one is filled; while it was on its way, the strategy said what it wants instead."""
    s.quote(99, 100)
    s.say("Long", "target", "AAA", "3")
    s.trade(100)
    s.quote(99, 100, after_s=1)
    s.say("Long", "target", "AAA", "0")
    s.trade(100)
    s.say("Long", "target", "AAA", wanted)
    s.trade(100, after_s="0.2")
    s.quote(99, 100, bid_size=1, after_s=1)
    assert s.book() == 2


def test_what_is_missing_when_an_exit_ends_short_is_worked_out_again() -> None:
    """3 are wanted again when one of 3 is sold: nothing is owed, and the one is bought after a second."""
    with Session(replace(FREE, latency_ms=500)) as s:
        exit_that_ends_short(s, wanted="3")
        changed = s.newest(TargetChanged, strategy="Long")
        assert (s.wanted(), changed.state, changed.next_ns - s.now_ns) == (3, "waiting", SECOND_NS)
        assert s.memory.events(ExitDelayed) == []
        s.wait(1)
        s.quote(99, 100, after_s=1)
        assert (s.book(), s.state()) == (3, "reached")


def test_a_target_is_reached_when_its_exit_ends_at_what_is_wanted_now() -> None:
    with Session(replace(FREE, latency_ms=500)) as s:
        exit_that_ends_short(s, wanted="2")
        assert (s.wanted(), s.state()) == (2, "reached")
        assert s.memory.events(ExitDelayed) == []


def test_a_halt_withdraws_what_an_exit_on_its_way_turns_into_an_opening() -> None:
    """3 of 3 are wanted during a halt, which opens nothing; an exit that was on its way sells one."""
    with Session(replace(FREE, latency_ms=500)) as s:
        s.quote(99, 100)
        s.say("Long", "target", "AAA", "3")
        s.trade(100)
        s.quote(99, 100, after_s=1)
        s.operator("halt")
        s.say("Long", "target", "AAA", "0")
        s.trade(100)
        s.say("Long", "target", "AAA", "3")
        s.trade(100, after_s="0.2")
        s.quote(99, 100, bid_size=1, after_s=1)
        assert (s.book(), s.wanted(), s.state()) == (2, 2, "withdrawn")
        s.wait(70)
        s.operator("resume")
        s.trade(100)
        assert (s.book(), s.memory.events(ExitDelayed)) == (2, [])


def test_what_a_halt_has_withdrawn_already_stays_when_the_exit_on_its_way_fills() -> None:
    """5 of 3 are wanted during a halt, so 3; the exit that was on its way sells all, and nothing returns."""
    with Session(replace(FREE, latency_ms=500)) as s:
        s.quote(99, 100)
        s.say("Long", "target", "AAA", "3")
        s.trade(100)
        s.quote(99, 100, after_s=1)
        s.operator("halt")
        s.say("Long", "target", "AAA", "0")
        s.trade(100)
        s.say("Long", "target", "AAA", "5")
        s.trade(100, after_s="0.2")
        s.quote(99, 100, after_s=1)
        assert (s.book(), s.wanted(), s.state()) == (0, 3, "withdrawn")
        s.operator("resume")
        s.trade(100)
        assert s.book() == 0


def test_a_call_that_says_what_is_wanted_already_does_not_begin_the_minute_of_waiting_again() -> None:
    """An own order between makes the second call one that counts: it cancels that order, no more."""
    with Session(replace(FREE, latency_ms=500)) as s:
        s.send(EngineLagging(s.now_ns, 5001))
        s.say("Long", "target", "AAA", "1")
        s.trade(100)
        s.say("Long", "buy", "AAA", "1")
        s.say("Long", "target", "AAA", "1")
        s.trade(100, after_s=10)
        assert (s.wanted(), s.state()) == (1, "waiting")
        for _ in range(3):
            s.trade(100, after_s=20)
        assert (s.wanted(), s.state()) == (0, "withdrawn")


def spot_candles() -> Settings:
    """Return the settings of a session with candles."""
    return replace(FEED, feed=False, data="candles")


def test_what_fills_of_the_other_entry_of_a_group_is_closed_again() -> None:
    """One trade goes through both entries: the first fill cancels the second one, which comes too late."""
    with Session() as s:
        s.say("Long", "target", "AAA", "0")
        s.say("Long", "sell", "AAA", "1", limit="101", group="one")
        s.say("Long", "sell", "AAA", "0.1", limit="102", group="one")
        s.trade(100)
        s.trade(103)
        assert (s.book() * 10, s.wanted()) == (-11, -1)
        s.trade(103)
        s.trade(103)
        assert (s.book(), s.wanted(), s.state()) == (-1, -1, "reached")


def test_what_an_entry_fills_after_its_stop_has_fired_does_not_count_for_the_target() -> None:
    """The entry meets two levels. The first fill fires its stop, which cancels the rest of the entry."""
    with Session(replace(FREE, data="books", latency_ms=700)) as s:
        s.depth([(99, 9)], [(100, 9)])
        s.say("Long", "target", "AAA", "0")
        s.say("Long", "sell", "AAA", "2", stop_loss="100.4")
        s.trade(100)
        s.trade("100.5", after_s="0.1")
        s.depth([("100.03", 1), ("100.02", 1)], [("100.05", 1), ("100.06", 9)], after_s=1)
        assert (s.book(), s.wanted()) == (-2, -1)
        for _ in range(2):
            s.depth([("100.03", 1)], [("100.05", 1), ("100.06", 9)], after_s=1)
        assert (s.book(), s.wanted(), s.state()) == (0, 0, "withdrawn")


def test_a_call_in_the_turn_of_a_flatten_counts_and_waits_for_the_resume() -> None:
    with Session() as s:
        s.trade(15, market=BBB)
        s.say("Long", "sell", "AAA", "0.5", limit="110")
        s.trade(100)
        s.say("Long", "target", "BBB", "0", on="order")
        s.say("Long", "target", "BBB", "2", on="order")
        s.operator("flatten")
        assert (s.wanted(market=BBB), s.newest(TargetChanged, instrument=BBB).reason) == (2, "paused")
        s.operator("resume")
        s.trade(15, market=BBB)
        s.trade(15, market=BBB)
        assert s.book(market=BBB) == 2
