"""Money: realised profit, fees, funding and equity with the numbers of the rules."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

from engine.events import EquityMarked, FundingPaid
from tests.orders.session import FREE, Session

F = Fraction


def equity(s: Session) -> list[Fraction]:
    """Return every recorded equity, oldest first."""
    return [F(int(one.equity), 10**one.scale) for one in s.memory.events(EquityMarked)]


def test_equity_of_a_day_with_fees() -> None:
    with Session(replace(FREE, taker_fee="0.00045")) as s:
        s.say("Long", "buy", "AAA", "2")
        s.trade(100)
        s.context(100)
        s.trade(100)
        assert equity(s)[-1] == F("999.91")
        s.say("Long", "sell", "AAA", "1")
        s.trade(103)
        s.context(103)
        s.trade(103)
        assert equity(s)[-1] == F("1005.86365")


def test_the_first_equity_is_that_of_the_start() -> None:
    with Session(FREE) as s:
        s.trade(100)
        assert equity(s)[0] == 1000


def test_realized_profit_of_a_position_bought_at_two_prices() -> None:
    with Session(FREE) as s:
        s.say("Long", "buy", "AAA", "1")
        s.trade(10)
        s.trade(10)
        s.say("Long", "buy", "AAA", "2")
        s.trade("10.01")
        s.trade("10.01")
        s.say("Long", "sell", "AAA", "1")
        s.trade("10.01")
        s.trade("10.01")
        assert s.cash() == F("1000.00333333")
        s.say("Long", "sell", "AAA", "2")
        s.trade("10.01")
        s.trade("10.01")
        assert s.cash() == F("1000.01")


def test_funding_is_paid_at_the_hour_at_the_oracle() -> None:
    with Session(FREE) as s:
        s.say("Long", "buy", "AAA", "1")
        for price in (100, 100):
            s.trade(price)
        s.context(104, oracle=103, rate="0.0000125")
        s.trade(100, after_s=60)
        assert s.cash() == 1000 - F("0.0012875")
        assert len(s.memory.events(FundingPaid)) == 1


def test_funding_of_two_books_is_that_of_each() -> None:
    with Session(FREE) as s:
        s.say("Long", "buy", "AAA", "2")
        s.say("Short", "sell", "AAA", "1")
        for price in (100, 100):
            s.trade(price)
        s.context(100, rate="0.0001")
        s.trade(100, after_s=60)
        assert s.cash() == 1000 - F("0.01")
