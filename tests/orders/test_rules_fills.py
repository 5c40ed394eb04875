"""Simulated fills: never kinder than the market, with the numbers of the rules."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest

from tests.orders.cases import Case, run
from tests.orders.session import FREE, Session

ONE_BP = replace(FREE, slippage_bps=1)
CANDLES = replace(FREE, data="candles")
CANDLES_1BP = replace(FREE, data="candles", slippage_bps=1)
FEES = replace(FREE, taker_fee="0.00045", maker_fee="0.00015")

CASES = (
    Case(
        "a market order meets the next event and not the one that caused it",
        "buy 1 | 100 | 100.5 | sell 1 | 100.5 | 100.8",
        books={"Long": "0"},
        cash="1000.3",
    ),
    Case(
        "a taker takes no more than the quote shows",
        "quote 99 100 9 3 | buy 20 limit=101 tif=Ioc | 100 | quote 99 100 9 3",
        books={"Long": "3"},
        live=0,
    ),
    Case(
        "slippage of a basis point is exact",
        "buy 1 | 100 100 | sell 1 | 100 100",
        cash="999.98",
        settings=ONE_BP,
    ),
    Case(
        "fees are exact on a coarse grid",
        "buy@BBB 1 | trade@BBB 1500 1500",
        cash="999.325",
        settings=FEES,
    ),
    Case(
        "a resting order needs a trade through its price",
        "buy 1 limit=99 | 100 100 | 99 99",
        books={"Long": "0"},
        live=1,
    ),
    Case(
        "a resting order fills at its price when a trade goes through",
        "buy 1 limit=99 | 100 100 | 98 | sell 1 | 98 98",
        cash="999",
    ),
    Case(
        "a resting order fills no more than the trade",
        "buy 1 limit=99 | 100 100 | 98x0.3",
        books={"Long": "0.3"},
        live=1,
    ),
    Case(
        "a post-only order that crosses is rejected",
        "quote 99 100 9 9 | buy 1 limit=101 tif=Alo | 100 | quote 99 100 9 9",
        books={"Long": "0"},
        live=0,
    ),
    Case(
        "a stop in a candle fills at its trigger and slippage",
        "bar> buy 1 stop_loss=97.5 take_profit=104 | candle 100 100 100 100 |"
        " candle 100 100 100 100 | candle 100 105 96 103",
        books={"Long": "0"},
        cash="997.48025",
        settings=CANDLES_1BP,
    ),
    Case(
        "a stop in a candle that opens beyond it fills at the open",
        "bar> buy 1 stop_loss=97.5 | candle 100 100 100 100 | candle 100 100 100 100 | candle 95 96 94 95",
        books={"Long": "0"},
        cash="994.9805",
        settings=CANDLES_1BP,
    ),
    Case(
        "the worse end of a candle comes first",
        "bar> buy 1 limit=99 stop_loss=97.5 take_profit=100.5 | candle 100 100 100 100 |"
        " candle 100 101 97 100",
        books={"Long": "0"},
        cash="998.49025",
        settings=CANDLES_1BP,
    ),
    Case(
        "a profit in the candle of its entry needs the close to prove it",
        "bar> buy 1 limit=99 stop_loss=97.5 take_profit=100.5 | candle 100 100 100 100 |"
        " candle 100 101 98.5 100.2",
        books={"Long": "1"},
        settings=CANDLES,
    ),
    Case(
        "a profit in the candle of its entry that the close proves",
        "bar> buy 1 limit=99 stop_loss=97.5 take_profit=100.5 | candle 100 100 100 100 |"
        " candle 100 101 98.5 100.8",
        books={"Long": "0"},
        cash="1001.5",
        settings=CANDLES,
    ),
    Case(
        "an order of a bar fills at the next open",
        "bar> buy 1 | candle 100 100 100 100 | candle 102 103 101 103 | bar> sell 1 |"
        " candle 103 103 103 103 | candle 104 104 104 104",
        cash="1002",
        settings=CANDLES,
    ),
    Case(
        "an order fills no more than the volume of the candle",
        "bar> buy 5 | candle 100 100 100 100 | candle 100 100 100 100 2",
        books={"Long": "2"},
        settings=CANDLES,
    ),
)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_simulated_fills(case: Case) -> None:
    run(case)


def test_a_taker_walks_the_book_to_its_bound() -> None:
    with Session(replace(FREE, cash="10000")) as s:
        book = ([(99, 50)], [(100, 3), ("100.5", 4), ("101.5", 50)])
        s.depth(*book)
        s.say("Long", "buy", "AAA", "20", limit="101", tif="Ioc")
        s.trade(100)
        s.depth(*book)
        assert s.book() == 7
        s.say("Long", "sell", "AAA", "7")
        s.trade(100)
        s.depth(*book)
        assert s.cash() == Fraction(10_000) - 300 - 402 + 693


def test_a_fill_comes_before_the_bar_of_its_candle() -> None:
    with Session(CANDLES) as s:
        s.say("Long", "buy", "AAA", "1", on="bar")
        s.candle(100, 100, 100, 100)
        s.candle(100, 101, 99, 100)
        hooks = [read.what for reads in s.reads.values() for read in reads if read.owner == "Long"]
        assert hooks.index("fill") < len(hooks) - 1 - hooks[::-1].index("bar")


def test_both_entries_of_a_group_can_fill_within_one_candle() -> None:
    """The cancel of the other one arrives after the candle, whose path reaches 99 first and 101 then."""
    with Session(CANDLES) as s:
        s.candle(100, 100, 100, 100)
        s.say("Long", "buy", "AAA", "1", on="bar", trigger="101", group="one")
        s.say("Long", "sell", "AAA", "1", on="bar", trigger="99", group="one")
        s.candle(100, 100, 100, 100)
        s.candle(100, 102, 98, 100)
        assert (s.book(), s.cash()) == (0, 998)
        assert s.live() == []
