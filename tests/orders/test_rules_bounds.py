"""Market orders: how far they may go, and that an exit which ended unfilled is tried again and reported."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

from engine.events import ExitDelayed
from tests.orders.real import RealSession


def protected() -> RealSession:
    """Return a session with one unit long, bought at 100."""
    s = RealSession()
    s.say("Long", "buy", "AAA", "1")
    s.trade(100)
    s.fill(100)
    return s


def pauses_ms(times: list[int]) -> list[int]:
    """Return the pauses between times, to 50 ms: the test looks that often."""
    return [round((later - earlier) / 50_000_000) * 50 for earlier, later in pairwise(times)]


def test_an_opening_goes_one_percent_beyond_the_best_price() -> None:
    with RealSession() as s:
        s.quote(99, 101)
        s.say("Long", "target", "AAA", "1")
        s.trade(100)
        assert s.order().command.terms.bound == s.price("102.01")


def test_without_a_quote_an_opening_goes_one_percent_beyond_the_last_price_whatever_the_mark() -> None:
    with RealSession() as s:
        s.context(120)
        s.wait(3600)
        s.say("Long", "target", "AAA", "1")
        s.trade(100)
        assert s.order().command.terms.bound == s.price(101)


def test_a_closing_goes_eight_percent_beyond_the_worst_price_known() -> None:
    with protected() as s:
        s.quote(99, 101)
        s.say("Long", "sell", "AAA", "1")
        s.trade(98)
        assert s.order().command.terms.bound == s.price("90.16")
        s.fill(98)


def test_a_trail_goes_ten_percent_beyond_the_trade_that_fired_it_whatever_the_quote() -> None:
    with protected() as s:
        s.say("Long", "trail", "AAA", "1", "1")
        s.quote(100, 101)
        s.trade(100)
        s.trade(100)
        s.trade("98.5")
        assert s.order(purpose="trail").command.terms.bound == s.price("88.65")
        s.fill(98)


def test_a_protective_exit_that_missed_is_tried_again_from_a_new_reference() -> None:
    with protected() as s:
        s.say("Long", "trail", "AAA", "1", "1")
        s.trade(100)
        s.trade(100)
        s.trade(97)
        first = s.order(purpose="trail")
        assert first.command.terms.bound == s.price("87.30")
        s.quote(85, 86, after_s="0.01")
        s.end(first, "iocCancel")
        delayed = s.newest(ExitDelayed)
        assert (delayed.left, delayed.owner) == (100, "Long")
        assert [one for one in s.orders.values() if one.state == "open"] == []
        s.wait("0.25")
        again = s.order(purpose="trail")
        assert again.command.terms.bound == s.price("76.50")
        s.fill(85, order=again)
        assert (s.book(), s.cash()) == (0, 985)


def test_a_protective_exit_is_tried_without_end_and_reported_every_ten_seconds() -> None:
    with protected() as s:
        s.say("Long", "trail", "AAA", "1", "1")
        s.trade(100)
        s.trade(100)
        s.trade(97)
        sent: list[int] = []
        for _ in range(1200):
            live = [one for one in s.orders.values() if one.state == "open"]
            if live:
                sent.append(s.now_ns)
                s.end(live[0], "iocCancel")
            s.wait("0.05")
        assert pauses_ms(sent)[:7] == [250, 500, 1000, 2000, 5000, 5000, 5000]
        assert len(sent) >= 14
        assert len(s.memory.events(ExitDelayed)) >= 6
        s.wait(5)
        s.fill(90, order=s.order(purpose="trail"))
        assert s.book() == 0


def test_an_own_exit_that_missed_is_not_sent_again() -> None:
    with protected() as s:
        s.say("Long", "sell", "AAA", "1")
        s.trade(100)
        s.end(reason="iocCancel")
        s.wait(120)
        assert len(s.submitted(side=-1)) == 1
        assert s.book() == Fraction(1)


def test_a_target_that_missed_tries_a_closing_again_and_again() -> None:
    with protected() as s:
        s.say("Long", "target", "AAA", "0")
        s.trade(100)
        sent: list[int] = []
        for _ in range(400):
            live = [one for one in s.orders.values() if one.state == "open"]
            if live:
                sent.append(s.now_ns)
                s.end(live[0], "iocCancel")
            s.wait("0.05")
        assert pauses_ms(sent)[:6] == [250, 500, 1000, 2000, 5000, 5000]
        s.wait(5)
        s.fill(90)
        assert s.book() == 0


def test_a_target_that_missed_tries_an_opening_after_one_five_and_sixty_seconds() -> None:
    with RealSession() as s:
        s.say("Long", "target", "AAA", "1")
        s.trade(100)
        begin_ns, sent = s.now_ns, []
        for _ in range(140):
            live = [one for one in s.orders.values() if one.state == "open"]
            if live:
                sent.append((s.now_ns - begin_ns) // 1_000_000_000)
                s.end(live[0], "iocCancel")
            s.trade(100)
        assert sent == [0, 1, 6, 66, 126]
        s.wait(60)
        s.fill(100)
        assert s.book() == 1
