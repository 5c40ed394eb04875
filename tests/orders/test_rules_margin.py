"""Margin and cash on paper: what an account can open, and when the venue closes it."""

from __future__ import annotations

from dataclasses import replace

from engine.events import Liquidated, MarginCalled, OrderRefused
from tests.orders.sequences import BBB
from tests.orders.session import FREE, Session

FEES = replace(FREE, taker_fee="0.00045")


def test_spot_is_paid_in_cash_with_the_fee_at_the_bound() -> None:
    """10 at 100 need 10 x 101 x 1.00045 = 1010.4545; 9.8 need 990.24."""
    with Session(replace(FEES, spot=True)) as s:
        s.trade(100, market=BBB)
        s.say("Long", "buy", "BBB", "10")
        s.trade(100, market=BBB)
        refused = s.newest(OrderRefused)
        assert (refused.limit, s.submitted()) == ("balance", [])
        s.say("Long", "buy", "BBB", "9.8")
        s.trade(100, market=BBB)
        s.trade(100, market=BBB)
        assert s.book("Long", BBB) * 10 == 98


def test_spot_that_is_not_held_is_not_sold() -> None:
    with Session(replace(FEES, spot=True)) as s:
        s.trade(100, market=BBB)
        s.say("Long", "sell", "BBB", "1")
        s.trade(100, market=BBB)
        assert (s.refusals(), s.submitted()) == (["short_spot"], [])


def test_a_perp_needs_its_value_divided_by_the_leverage_and_the_fee() -> None:
    """At 20x with 1000: 200 at 98 need 980 and 8.82 of fee, 250 need 1225."""
    wide = replace(FEES, position_notional="1000000")
    with Session(wide) as s:
        s.trade(98)
        s.say("Long", "buy", "AAA", "250", limit="98")
        s.trade(98)
        assert s.refusals() == ["margin"]
        s.say("Long", "buy", "AAA", "200", limit="98")
        s.trade(98, 100_000)
        assert len(s.submitted()) == 1


def test_an_account_is_called_once_and_liquidated_below_its_maintenance_margin() -> None:
    """200 at 98 at 20x, 991.18 after the fee: below 980 of margin it is called, at 95.4298 it is closed.

    There equity, 991.18 - 200 x (98 - price), is the maintenance margin, 200 x price / 40.
    """
    with Session(replace(FEES, position_notional="1000000")) as s:
        s.trade(98, 100_000)
        s.say("Long", "target", "AAA", "200")
        s.trade(98, 100_000)
        s.trade(98, 100_000)
        assert s.book() == 200
        s.trade("97.9", 100_000)
        s.trade("97.8", 100_000)
        assert len(s.memory.events(MarginCalled)) == 1
        assert s.memory.events(Liquidated) == []
        s.trade("95.44", 100_000)
        assert s.memory.events(Liquidated) == []
        s.trade("95.42", 100_000)
        assert len(s.memory.events(Liquidated)) == 1
        assert s.book() == 0
        assert s.state() == "withdrawn"
        s.say("Long", "target", "AAA", "1")
        s.trade("95.42")
        assert "market_halted" in s.refusals()


def test_a_mark_that_the_data_had_long_ago_liquidates_nothing() -> None:
    """A mark of 102 is a minute old and trades are at 87: a short of 1 is held until a mark comes."""
    with Session(replace(FEES, cash="12")) as s:
        s.context(102)
        s.wait(61)
        s.trade(87)
        s.say("Long", "sell", "AAA", "1", limit="86")
        s.trade(87)
        s.trade(87)
        assert s.book() == -1
        assert s.memory.events(Liquidated) == []
        s.context(102)
        s.trade(87)
        assert len(s.memory.events(Liquidated)) == 1
        assert s.book() == 0


def test_a_trade_that_fills_an_entry_and_liquidates_it_leaves_a_flat_book() -> None:
    with Session(replace(FEES, cash="12")) as s:
        s.trade(100)
        s.say("Long", "buy", "AAA", "1", limit="99")
        s.trade(100)
        s.trade(100)
        s.trade(80)
        assert len(s.memory.events(Liquidated)) == 1
        assert (s.book(), s.book("external")) == (0, 0)


def test_an_opening_within_a_candle_is_judged_at_the_price_that_its_book_has_reached() -> None:
    """At 20x bids of 2.32 need 11.54 of 12 at 99.5, and 12.18 at the close of 105, which is not known yet."""
    with Session(replace(FREE, data="candles", cash="12")) as s:
        s.say("Long", "buy", "AAA", "2.3", limit="90", on="bar")
        s.say("Short", "buy", "AAA", "0.01", limit="99.5", on="bar")
        s.say("Short", "buy", "AAA", "0.01", limit="98", on="fill")
        s.candle(100, 100, 100, 100)
        s.candle(100, 105, 99, 105)
        assert (s.refusals(), len(s.submitted())) == ([], 3)
        s.say("Short", "buy", "AAA", "0.01", limit="98", on="bar")
        s.candle(105, 105, 105, 105)
        assert s.refusals() == ["margin"]
