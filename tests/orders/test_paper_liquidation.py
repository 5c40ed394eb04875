"""A liquidation on paper, through books, order manager and strategies."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

from engine.events import FillBooked, Liquidated, MarginCalled, MarketHalted, OrderFilled, SubmitOrder
from tests.orders.session import FREE, Session

RICH = replace(FREE, taker_fee="0.00045", position_notional="100000")


def test_a_liquidation_closes_every_book_halts_the_market_and_nothing_is_opened_again() -> None:
    """Cash 1000, 20 times: 190 bought at 98 are liquidated at 95, made worse by 1 %."""
    with Session(RICH) as s:
        s.say("Long", "target", "AAA", "150")
        s.say("Short", "target", "AAA", "40")
        for price in (98, 98, 97, 96, 95):
            s.trade(price)
        assert (s.book("Long"), s.book("Short")) == (0, 0)
        (liquidation,) = s.memory.events(Liquidated)
        assert Fraction(int(liquidation.notional), 10**liquidation.scale) == 190 * 95
        (sold,) = (one for one in s.memory.events(OrderFilled) if one.cause)
        assert (sold.client_order_id, sold.cause, sold.price) == ("", "liquidation", 94_050_000)
        booked = [(one.owner, one.size, one.external) for one in s.memory.events(FillBooked) if one.external]
        assert booked == [("Long", 15_000, True), ("Short", 4_000, True)]
        assert s.memory.events(MarginCalled)
        assert [one.instrument for one in s.memory.events(MarketHalted)] == [1]
        sent = len(s.memory.events(SubmitOrder))
        s.say("Long", "target", "AAA", "0")
        s.say("Short", "target", "AAA", "1")
        s.trade(95)
        s.trade(95)
        assert len(s.memory.events(SubmitOrder)) == sent
        assert s.refusals() == ["market_halted"]
        fees = (190 * 98 + 190 * Fraction("94.05")) * Fraction("0.00045")
        assert s.cash() == 1000 - 190 * (98 - Fraction("94.05")) - fees


def test_more_than_the_account_can_hold_is_refused() -> None:
    """The example of the issue: cash of 1,000 bought 20,000 of notional."""
    with Session(RICH) as s:
        s.say("Long", "buy", "AAA", "200")
        s.trade(100)
        s.trade(100)
        assert s.refusals() == ["margin"]
        assert s.book("Long") == 0


def test_what_is_not_shown_is_liquidated_with_the_next_quote_that_shows_more() -> None:
    """2 are short and 1.01 is offered: the rest is below its maintenance until the offer changes."""
    with Session(replace(FREE, taker_fee="0.0007", cash="40")) as s:
        s.quote("101.8", "101.9")
        s.say("Short", "sell", "AAA", "2", limit="101.8")
        s.trade("101.9")
        s.quote("101.8", "101.9")
        assert s.book("Short") == -2
        s.quote("123.11", "123.59", ask_size="1.01")
        s.trade("121.74")
        assert s.book("Short") * 100 == -99
        s.wait(60)
        s.trade("121.74")
        assert s.book("Short") * 100 == -99
        s.quote("123.11", "123.59", ask_size="1.02")
        assert s.book("Short") == 0
        assert len(s.memory.events(Liquidated)) == 2


def test_a_mark_that_grows_old_counts_until_the_next_price() -> None:
    """Trades at 123 would liquidate, the mark of 100 does not; a minute later no price has come yet."""
    with Session(replace(FREE, cash="40")) as s:
        s.context(100)
        s.say("Short", "sell", "AAA", "2", limit="101")
        s.trade(102)
        s.trade(102)
        s.trade(123)
        s.wait(61)
        assert (s.book("Short"), s.memory.events(Liquidated)) == (-2, [])
        s.trade(123)
        assert (s.book("Short"), len(s.memory.events(Liquidated))) == (0, 1)


def test_a_trade_that_the_venue_had_no_reason_to_look_at_liquidates_nothing() -> None:
    """3 are bought at 170.1 with 40: at the trade at 150, before there was an order, 60 would be lost."""
    with Session(replace(FREE, data="quotes", cash="40")) as s:
        s.trade(150)
        s.quote("169.9", "170.1")
        s.say("Long", "target", "AAA", "3", on="quote")
        s.quote("169.9", "170.1")
        s.quote("169.8", "170.1")
        assert (s.book("Long"), s.memory.events(Liquidated)) == (3, [])
        s.trade(150)
        assert (s.book("Long"), len(s.memory.events(Liquidated))) == (0, 1)
