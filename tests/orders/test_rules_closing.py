"""Closing, opening and turning: how a request is divided, and in which order its parts go."""

from __future__ import annotations

import pytest

from tests.orders.cases import Case, run
from tests.orders.real import RealSession
from tests.orders.settings import Settings

RICH = Settings(cash="10000", taker_fee="0", maker_fee="0", slippage_bps=0, latency_ms=0)
TOUCH = Settings(cash="1000", taker_fee="0", maker_fee="0", slippage_bps=0, latency_ms=0, fill_on_touch=True)

CASES = (
    Case(
        "an order beyond the position closes and then opens",
        "buy 1 | 100 100 | sell 3 | 101 101 101",
        books={"Long": "-2"},
        cash="1001",
        sent=3,
    ),
    Case(
        "two orders on a flat book open both",
        "sell 1 | sell 1 | 100 100",
        books={"Long": "-2"},
        sent=2,
    ),
    Case(
        "two sales of the same position are one sale",
        "buy 1 | 100 100 | sell 1 | sell 1 | 101 101 101",
        books={"Long": "0"},
        refused=("exit_budget",),
    ),
    Case(
        "reduce_only never opens",
        "buy 1 | 100 100 | sell 3 reduce_only=yes | 101 101 101",
        books={"Long": "0"},
    ),
    Case(
        "reduce_only on a flat book is refused",
        "sell 3 reduce_only=yes | 101 101",
        books={"Long": "0"},
        refused=("nothing_to_close",),
    ),
    Case(
        "a limit beyond the position rests as its closing part first",
        "buy 1 | 100 100 | sell 3 limit=105 | 100 100 | 106 106 106 106",
        books={"Long": "-2"},
        cash="1005",
    ),
    Case(
        "an open order that rests may reduce later",
        "buy 1 limit=99 | sell 1 limit=101 | 100 100 | 98 | fill> stop sell 1 97 | 102 102",
        books={"Long": "0"},
        cash="1002",
    ),
)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_closing_and_opening(case: Case) -> None:
    run(case)


def test_the_opening_part_of_an_own_order_is_dropped_when_its_close_ends_short() -> None:
    with RealSession() as s:
        s.say("Long", "buy", "AAA", "1")
        s.trade(100)
        s.fill(100)
        s.say("Long", "sell", "AAA", "3")
        s.trade(100)
        s.fill(100, "0.7")
        s.end(reason="Ioc")
        s.wait(70)
        assert float(s.book()) == 0.3
        assert s.refusals() == ["turn"]
        assert len(s.submitted(side=-1)) == 1


def test_an_open_order_that_rests_may_open_after_a_stop() -> None:
    with RealSession() as s:
        s.say("Long", "buy", "AAA", "1", limit="99")
        s.say("Long", "sell", "AAA", "1", limit="101")
        s.trade(100)
        bid, ask = s.order(side=1), s.order(side=-1)
        s.say("Long", "stop", "AAA", "sell", "1", "97", on="fill")
        s.fill(99, order=bid)
        s.fill(97, order=s.order(trigger="sl"))
        assert s.book() == 0
        s.fill(101, order=ask)
        assert s.book() == -1
