"""Ten sequences in which engines end with a wrong position, a lost exit or wrong money.

Each states the whole end: books, cash and orders. Cash is 1000, there are no fees and no slippage. A market
order fills at the next trade. The model follows each session, and each is derived again.
"""

from __future__ import annotations

from fractions import Fraction

from engine.events import ExitDelayed
from tests.orders.real import RealSession
from tests.orders.session import FREE, Session


def ended(s: Session, books: dict[str, str], cash: str) -> None:
    """Assert the positions, the cash, and that no order is live."""
    for owner, size in books.items():
        assert s.book(owner) == Fraction(size), owner
    assert s.cash() == Fraction(cash)
    assert s.live() == []


def test_1_a_trail_and_a_target_of_zero_on_one_print_sell_once() -> None:
    with Session(FREE) as s:
        s.say("Long", "target", "AAA", "1")
        s.say("Long", "trail", "AAA", "1", "2", on="fill")
        for price in (100, 100, 100, 101):
            s.trade(price)
        s.say("Long", "target", "AAA", "0")
        for price in (98, 98, 98):
            s.trade(price)
        ended(s, {"Long": "0"}, "998")
        assert len(s.submitted(side=-1)) == 1


def test_2_a_limit_that_fills_before_its_cancel_arrives_is_the_exit() -> None:
    with RealSession() as s:
        s.say("Long", "target", "AAA", "1")
        s.trade(100)
        s.fill(100)
        s.say("Long", "sell", "AAA", "1", limit="110")
        s.trade(100)
        s.hold()
        s.say("Long", "target", "AAA", "0")
        s.trade(100)
        s.fill(110, order=s.order(side=-1))
        s.release()
        s.trade(110)
        s.wait(70)
        ended(s, {"Long": "0"}, "1010")
        assert len(s.submitted(side=-1)) == 1


def test_3_a_stop_out_does_not_enter_again_until_the_next_call() -> None:
    with Session(FREE) as s:
        s.say("Long", "target", "AAA", "1")
        s.say("Long", "stop", "AAA", "sell", "1", "97", on="fill")
        for price in (100, 100, 96, 96):
            s.trade(price)
        for price in (100, 100):
            s.trade(price, after_s=70)
        assert s.book() == 0
        assert s.cash() == 996
        s.say("Long", "target", "AAA", "1")
        for price in (100, 100):
            s.trade(price)
        ended(s, {"Long": "1"}, "996")


def test_4_a_pause_closes_and_the_resume_opens() -> None:
    with Session(FREE) as s:
        s.say("Long", "target", "AAA", "1")
        for price in (100, 100):
            s.trade(price)
        s.operator("pause", "Long")
        s.say("Long", "target", "AAA", "-1")
        for price in (101, 101, 101):
            s.trade(price)
        assert (s.book(), s.cash()) == (0, 1001)
        s.operator("resume")
        for price in (102, 102):
            s.trade(price)
        ended(s, {"Long": "-1"}, "1001")


def test_5_a_stop_of_one_strategy_works_although_the_account_is_flat() -> None:
    with Session(FREE) as s:
        s.say("Long", "target", "AAA", "1")
        s.say("Long", "stop", "AAA", "sell", "1", "97", on="fill")
        s.say("Short", "target", "AAA", "-1")
        for price in (100, 100, 96, 96, 96):
            s.trade(price)
        ended(s, {"Long": "0", "Short": "-1"}, "996")


def test_6_a_partly_filled_bracket_stays_protected_after_its_cancel() -> None:
    with RealSession() as s:
        s.say("Long", "buy", "AAA", "1", limit="100", stop_loss="97", take_profit="105")
        s.trade(101)
        s.fill(100, "0.4", order=s.order(side=1))
        s.say("Long", "cancel", -1)
        s.trade(101)
        profit = s.order(trigger="tp")
        s.fill(105, "0.1", order=profit)
        s.end(profit, "iocCancelRejected")
        s.trade(105)
        s.trade(97)
        stop = s.order(trigger="sl")
        assert Fraction(stop.open, 100) == Fraction("0.3")
        s.fill(97, order=stop)
        s.wait(1)
        ended(s, {"Long": "0"}, "999.60")


def test_7_an_exit_whose_answer_was_lost_is_not_sent_again() -> None:
    with RealSession() as s:
        s.say("Long", "target", "AAA", "1")
        s.trade(100)
        s.fill(100)
        s.hold()
        s.say("Long", "target", "AAA", "0")
        s.trade(100)
        s.lose()
        s.say("Long", "sell", "AAA", "1")
        s.say("Long", "target", "AAA", "0")
        s.trade(100)
        assert s.refusals() == ["exit_budget"]
        s.fill(99)
        s.release()
        s.wait(70)
        ended(s, {"Long": "0"}, "999")
        assert len(s.submitted(side=-1)) == 1


def test_8_a_stop_closes_what_others_left() -> None:
    with RealSession() as s:
        s.say("Long", "target", "AAA", "3")
        s.say("Long", "stop", "AAA", "sell", "3", "97", on="fill")
        s.trade(100)
        s.fill(100)
        s.trade(100)
        stop = s.order(trigger="sl")
        s.others(-1, 2, 101)
        assert s.book() == 1
        s.trade("96.5")
        s.fill("96.5", 1, order=s.order(side=-1))
        if stop.state == "open":
            s.end(stop, "reduce only")
        for price in (100, 100):
            s.trade(price, after_s=70)
        ended(s, {"Long": "0"}, "998.50")
        assert s.wanted() == 0


def test_9_a_stop_that_missed_while_the_engine_was_down_is_sold_after_the_restart() -> None:
    with RealSession() as s:
        s.say("Long", "target", "AAA", "10")
        s.say("Long", "stop", "AAA", "sell", "10", "97", on="fill")
        s.trade(100)
        s.fill(100)
        s.trade(100)
        stop = s.order(trigger="sl")
        assert stop.command.terms.bound == s.price("87.30")
        stop.state = "canceled"  # while the engine is down: triggered, and the best bid is 85
        s.restart(orderly=False)
        s.quote(85, 86)
        s.trade(85)
        s.fill(85, order=s.order(side=-1))
        s.wait(1)
        ended(s, {"Long": "0"}, "850")
        assert s.memory.events(ExitDelayed)


def test_10_an_exit_and_a_stop_that_both_fill_are_corrected_at_once() -> None:
    with RealSession() as s:
        s.say("Long", "target", "AAA", "1")
        s.say("Short", "target", "AAA", "1")
        s.trade(100)
        for order in list(s.orders.values()):
            s.fill(100, order=order)
        s.say("Long", "sell", "AAA", "1", limit="102")
        s.say("Long", "stop", "AAA", "sell", "1", "97")
        s.trade(100)
        s.hold()
        stop = s.order(trigger="sl")
        s.fill(102, order=s.order(side=-1, trigger=""))
        s.trade(97)
        s.fill(97, order=stop)
        assert s.book("Long") == -1
        s.release()
        s.fill(98, order=s.order(purpose="correct"))
        s.wait(1)
        ended(s, {"Long": "0", "Short": "1"}, "1001")
