"""Margin, balance and liquidation at the simulated venue: the examples of the rules with their numbers."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.actors.simulated.margin import liquidation_price
from engine.config import AccountConfig
from engine.events import (
    BarClosed,
    Event,
    FundingPaid,
    FundingRead,
    InstrumentListed,
    Liquidated,
    MarginCalled,
    OrderCanceled,
    OrderFilled,
    SetLeverage,
    Trade,
)
from engine.values import BUY, SELL
from tests.actors.harness import MINUTE, Harness, T
from tests.actors.venue_kit import (
    candle,
    context,
    listed,
    new_harness,
    order,
    placed,
    quote,
    reports,
    summary,
    trade,
)

CENT = listed(price_scale=2, size_scale=0, leverage=20, leverage_max=50)
NO_MARGIN = "Insufficient margin to place order."
NO_BALANCE = "Insufficient spot balance."


def account(instrument: InstrumentListed = CENT, cash: str = "1000", **more: Any) -> Harness:
    """Return a harness with little cash, whose market is at 98.

    An order on its way makes it look at the market.
    """
    settings = {name: more.pop(name) for name in ("leverage", "margin") if name in more}
    harness = new_harness({1: instrument}, account=AccountConfig(cash=cash, **settings), **more)
    harness.send(order("look", BUY, 1, trigger="sl", trigger_price=10**9), trade(9800))
    harness.advance(T)
    return harness


def answer(harness: Harness, name: str, *orders: Event) -> list[str]:
    """Return what the venue said about an order."""
    found = [one for one in summary(placed(harness, *orders)) if one[1] == name]
    return [" ".join((kind, *rest)) for kind, _, *rest in found]


# What the account can carry.


def test_a_perp_needs_the_value_divided_by_the_leverage_and_the_fee() -> None:
    """200 at 98 need 980 and a fee of 8.82; 250 need 1225."""
    harness = account(taker_fee="0.00045")
    assert answer(harness, "big", order("big", BUY, 250, limit=9800)) == [f"OrderRejected {NO_MARGIN}"]
    assert answer(harness, "ok", order("ok", BUY, 200, limit=9800)) == ["OrderAccepted"]


def test_cash_of_1000_does_not_hold_20000_at_1x() -> None:
    """The example of the issue: it bought 20,000 of notional and ended at +24,358."""
    harness = account(leverage={"AAA": 1})
    assert answer(harness, "a", order("a", BUY, 200, bound=10000)) == [f"OrderRejected {NO_MARGIN}"]
    assert answer(harness, "b", order("b", BUY, 10, limit=9800)) == ["OrderAccepted"]


def test_live_orders_count_and_closing_needs_nothing() -> None:
    harness = account()
    assert answer(harness, "a", order("a", BUY, 150, limit=9700)) == ["OrderAccepted"]
    assert answer(harness, "b", order("b", BUY, 100, limit=9700)) == [f"OrderRejected {NO_MARGIN}"]
    assert answer(harness, "c", order("c", SELL, 150, limit=9900)) == ["OrderAccepted"], (
        "the worse side counts"
    )
    harness.send(trade(9600))
    assert answer(harness, "d", order("d", SELL, 150, limit=9900)) == ["OrderAccepted"], "it closes"


def test_orders_count_at_the_worse_of_their_price_and_the_mark() -> None:
    harness = account()
    assert answer(harness, "a", order("a", SELL, 206, limit=1)) == [f"OrderRejected {NO_MARGIN}"]


def test_a_tier_of_the_market_bounds_the_leverage_of_larger_positions() -> None:
    harness = account(listed(price_scale=2, size_scale=0, leverage=20, leverage_max=20, tiers=(("5000", 5),)))
    assert answer(harness, "a", order("a", BUY, 60, limit=9800)) == [f"OrderRejected {NO_MARGIN}"]
    assert answer(harness, "b", order("b", BUY, 50, limit=9800)) == ["OrderAccepted"]


def test_a_tier_may_begin_at_a_large_value() -> None:
    rules = listed(price_scale=6, size_scale=6, tiers=(("150000000", 5),), value_min="10")
    harness = new_harness({1: rules}, account=AccountConfig(cash="10000000"))
    harness.send(order("look", BUY, 10**8, limit=10**6), trade(10**9))
    harness.advance(T)
    assert answer(harness, "a", order("a", BUY, 14 * 10**10, limit=10**9)) == ["OrderAccepted"]
    assert answer(harness, "b", order("b", BUY, 2 * 10**10, limit=10**9)) == [f"OrderRejected {NO_MARGIN}"]


def test_a_leverage_that_was_set_counts_and_the_kind_of_margin_stays_while_a_position_is_open() -> None:
    harness = account()
    placed(harness, SetLeverage(T, 1, 2, True))
    assert answer(harness, "a", order("a", BUY, 21, limit=9800)) == [f"OrderRejected {NO_MARGIN}"]
    placed(harness, order("b", BUY, 10))
    harness.send(trade(9800))
    (said,) = placed(harness, SetLeverage(T, 1, 2, False))
    assert (said.accepted, said.reason) == (False, "Cannot switch leverage type with open position.")


def test_a_resting_order_that_the_account_cannot_carry_when_it_would_fill_is_canceled() -> None:
    harness = account(cash="98", leverage={"AAA": 10})
    placed(harness, order("a", BUY, 5))
    harness.send(trade(9800))
    assert answer(harness, "bid", order("bid", BUY, 5, limit=9000)) == ["OrderAccepted"]
    harness.send(trade(9700))
    assert summary(harness.send(trade(8900))) == [("OrderCanceled", "bid", "margin")]


# Spot.

SPOT = listed(price_scale=2, size_scale=0, on_margin=False, reduce_only=False, leverage=1, leverage_max=1)


def test_spot_is_bought_with_cash_and_the_fee() -> None:
    """10 at a bound of 101 need 1010.4545."""
    for cash, reason in (("1010.4544", NO_BALANCE), ("1010.4545", "")):
        harness = new_harness({1: SPOT}, account=AccountConfig(cash=cash), taker_fee="0.00045")
        harness.send(order("a", BUY, 10, bound=10100), trade(10000))
        assert summary(harness.advance(T)) == [
            ("OrderAccepted", "a") if not reason else ("OrderRejected", "a", reason)
        ]


def test_spot_sells_no_more_than_it_has_and_not_what_is_for_sale_already() -> None:
    harness = account(SPOT)
    assert answer(harness, "short", order("short", SELL, 1, limit=9900)) == [f"OrderRejected {NO_BALANCE}"]
    placed(harness, order("a", BUY, 5))
    harness.send(trade(9800))
    assert answer(harness, "b", order("b", SELL, 3, limit=9900)) == ["OrderAccepted"]
    assert answer(harness, "c", order("c", SELL, 3, limit=9900)) == [f"OrderRejected {NO_BALANCE}"]
    assert answer(harness, "d", order("d", SELL, 2, limit=9900)) == ["OrderAccepted"]


def test_what_was_paid_for_spot_is_spent() -> None:
    harness = account(SPOT)
    placed(harness, order("a", BUY, 10))
    harness.send(trade(9800))
    assert answer(harness, "b", order("b", BUY, 1, limit=9800)) == [f"OrderRejected {NO_BALANCE}"]


# Margin calls and liquidation.


def test_a_margin_call_comes_once_and_again_after_a_recovery() -> None:
    harness = account()
    placed(harness, order("a", BUY, 200))
    harness.send(trade(9800))
    prices = (9790, 9789, 9788, 9700, 9900, 9788)
    calls = [[one for one in harness.send(trade(price)) if isinstance(one, MarginCalled)] for price in prices]
    assert [len(one) for one in calls] == [0, 1, 0, 0, 0, 1], "200 at 97.89 need 978.9, and 978 are left"
    (called,) = calls[1]
    assert [Fraction(int(value), 10**called.scale) for value in (called.equity, called.required)] == [
        978,
        Fraction("978.9"),
    ]


def long_200(**more: Any) -> Harness:
    """Return a harness with 200 bought at 98 for a fee of 8.82: equity 991.18."""
    harness = account(taker_fee="0.00045", **more)
    placed(harness, order("a", BUY, 200))
    harness.send(trade(9800))
    return harness


def liquidation(events: list[Any]) -> list[tuple[Any, ...]]:
    """Return what is in a liquidation, each in few words."""
    found: list[tuple[Any, ...]] = []
    for one in reports(events):
        if isinstance(one, OrderCanceled):
            found.append(("canceled", one.client_order_id, one.reason))
        elif isinstance(one, Liquidated):
            money = [Fraction(int(value), 10**one.scale) for value in (one.notional, one.account_value)]
            found.append(("liquidated", one.liquidation_id, *money))
        elif isinstance(one, OrderFilled):
            price = Fraction(one.price, 10 ** (2 + one.finer))
            found.append(
                ("sold" if one.side == SELL else "bought", one.size, price, one.client_order_id, one.cause)
            )
    return found


def test_a_cross_position_is_liquidated_below_its_maintenance_margin() -> None:
    """Bought 200 at 98 with an equity of 991.18: liquidated below 93.9839, at the mark made worse by 1 %."""
    harness = long_200()
    placed(harness, order("bid", BUY, 1, limit=5000), order("tp", SELL, 1, limit=20000))
    assert liquidation(harness.send(trade(9399))) == []
    sold = Fraction("93.0402")
    assert liquidation(harness.send(trade(9398))) == [
        ("canceled", "bid", "liquidation"),
        ("canceled", "tp", "liquidation"),
        ("liquidated", 1, 200 * Fraction("93.98"), Fraction("991.18") - 200 * Fraction("4.02")),
        ("sold", 200, sold, "", "liquidation"),
    ]
    assert harness.send(trade(9000)) == []
    assert harness.actor.positions == harness.actor.books.get(1, {}) == {}  # type: ignore[attr-defined]


def test_the_mark_liquidates_where_the_data_has_it() -> None:
    harness = long_200()
    harness.send(context(9800))
    assert harness.send(trade(9000)) == []
    assert liquidation(harness.send(context(9398)))[-1] == (
        "sold",
        200,
        Fraction("93.0402"),
        "",
        "liquidation",
    )


def test_a_liquidation_closes_against_what_is_shown_and_goes_on_with_the_next_quote() -> None:
    harness = account(taker_fee="0.00045")
    harness.send(quote(9800, 9800))
    placed(harness, order("a", BUY, 200))
    harness.send(quote(9700, 9800, ask_size=500))
    events = harness.send(quote(9300, 9400, bid_size=150), Trade(T + 2, T + 2, 1, 9300, 1, 1))
    assert [one[:3] for one in liquidation(events) if one[0] == "sold"] == [("sold", 150, Fraction(93))]
    events = harness.send(quote(9200, 9400, bid_size=150, at=T + 3))
    assert [one[:3] for one in liquidation(events) if one[0] == "sold"] == [("sold", 50, Fraction(92))]
    assert [one.liquidation_id for one in harness.all(Liquidated)] == [1, 2]


def test_what_was_liquidated_pays_no_funding_after_it() -> None:
    """A rate of the venue's history counts for what is left: nothing, or the part that was not closed yet."""

    def paid(harness: Harness, at: int) -> list[int]:
        events = harness.send(FundingRead(at, at, 1, 7, 125, 0))
        return [one.size for one in events if isinstance(one, FundingPaid)]

    harness = long_200()
    assert paid(harness, T + 1) == [200]
    assert liquidation(harness.send(trade(9398, at=T + 2)))[-1][:2] == ("sold", 200)
    assert paid(harness, T + 3) == []
    harness = account(taker_fee="0.00045")
    harness.send(quote(9800, 9800))
    placed(harness, order("a", BUY, 200))
    harness.send(quote(9700, 9800, ask_size=500))
    harness.send(quote(9300, 9400, bid_size=150), Trade(T + 2, T + 2, 1, 9300, 1, 1))
    assert paid(harness, T + 3) == [50]


def test_a_loss_on_the_last_fill_of_one_market_liquidates_the_position_of_another() -> None:
    """The first market has no position any more when the account is looked at."""
    other = InstrumentListed(T, 2, "sim", "BBB", 2, 0, rules=CENT.rules)
    harness = new_harness({1: CENT, 2: other}, account=AccountConfig(cash="100"))
    harness.send(quote(10000, 10000, ask_size=500), Trade(T + 1, T, 2, 10000, 1000, 1))
    placed(harness, order("a", BUY, 10), order("b", BUY, 1, instrument=2))
    harness.send(quote(9990, 10000, ask_size=501, at=T + 2), Trade(T + 2, T, 2, 10000, 1000, 1))
    assert set(harness.actor.positions) == {1, 2}  # type: ignore[attr-defined]
    placed(harness, order("close", SELL, 10, reduce_only=True, role="close"))
    found = liquidation(harness.send(quote(8900, 9000, bid_size=10, at=T + 3)))
    assert [one[:2] for one in found][-2:] == [("liquidated", 1), ("sold", 1)]


def test_an_isolated_position_is_liquidated_alone_with_the_orders_of_its_market() -> None:
    """10x, 20 bought at 100, highest leverage 50x: 200 set aside, liquidated below 90.9091."""
    other = InstrumentListed(T, 2, "sim", "BBB", 2, 0, rules=CENT.rules)
    config = AccountConfig(cash="100000", leverage={"AAA": 10}, margin="isolated")
    harness = new_harness({1: CENT, 2: other}, account=config)
    placed(harness, order("a", BUY, 20))
    harness.send(trade(10000))
    placed(harness, order("here", BUY, 1, limit=5000), order("there", BUY, 1, limit=5000, instrument=2))
    assert harness.send(trade(9091)) == []
    found = liquidation(harness.send(trade(9090)))
    assert [one[:2] for one in found] == [("canceled", "here"), ("liquidated", 1), ("sold", 20)]


def test_a_candle_liquidates_at_the_price_on_its_path() -> None:
    harness = new_harness({1: CENT}, account=AccountConfig(cash="1000"), taker_fee="0.00045")
    harness.send(candle(9800, 9800, 9800, 9800, start=T - MINUTE))
    placed(harness, order("a", BUY, 200, at=T - MINUTE))
    harness.send(candle(9800, 9800, 9800, 9800))
    events = harness.send(candle(9800, 9900, 8000, 9800, start=T + MINUTE))
    assert liquidation(events)[-1][:3] == ("sold", 200, Fraction("93.0402"))
    opened = new_harness({1: CENT}, account=AccountConfig(cash="1000"), taker_fee="0.00045")
    opened.send(candle(9800, 9800, 9800, 9800, start=T - MINUTE))
    placed(opened, order("a", BUY, 200, at=T - MINUTE))
    opened.send(candle(9800, 9800, 9800, 9800))
    events = opened.send(candle(8500, 9900, 8000, 9800, start=T + MINUTE))
    assert liquidation(events)[-1][:3] == ("sold", 200, Fraction("84.15")), "it opens beyond it"
    assert opened.actor.cash < 0, "what is lost beyond 0 stays"  # type: ignore[attr-defined]


def test_without_orders_a_far_liquidation_is_looked_for_at_bars_and_a_near_one_at_every_trade() -> None:
    harness = new_harness({1: CENT}, account=AccountConfig(cash="100000"))
    harness.send(quote(9800, 9800))
    placed(harness, order("a", SELL, 200))
    harness.send(quote(9800, 9800))
    assert not harness.actor.listens(Trade)
    bar = BarClosed(T + MINUTE, 1, MINUTE, T, 9800, 55000, 9800, 50000, 1, 1, "trade")
    harness.send(bar)
    assert harness.actor.listens(Trade), "the loss has come near"
    jumped = BarClosed(T + 2 * MINUTE, 1, MINUTE, T, 9800, 90000, 9800, 50000, 1, 1, "trade")
    fresh = new_harness({1: CENT}, account=AccountConfig(cash="100000"))
    placed(fresh, order("a", SELL, 200))
    fresh.send(trade(9800))
    assert liquidation(fresh.send(jumped))[-1][:2] == ("bought", 200)


@pytest.mark.parametrize("what", ["bar", "mark"])
def test_a_liquidation_takes_nothing_that_was_shown_before_the_market_was_left_unfollowed(what: str) -> None:
    """An offer at 98 of before is no way out at 900: the next quote is."""
    harness = new_harness({1: CENT}, account=AccountConfig(cash="100000"))
    harness.send(quote(9800, 9800))
    placed(harness, order("a", SELL, 200))
    harness.send(quote(9800, 9800))
    assert not harness.actor.listens(Trade)
    at = T + MINUTE
    bar = BarClosed(at, 1, MINUTE, T, 9800, 90000, 9800, 90000, 1, 1, "trade")
    assert liquidation(harness.send(bar if what == "bar" else context(90000, at=at))) == []
    assert harness.actor.listens(Trade)
    found = liquidation(harness.send(quote(89990, 90010, at=at + 1)))
    assert found[-1][:3] == ("bought", 200, Fraction("900.10"))


def test_a_trade_of_before_the_market_was_left_unfollowed_values_nothing() -> None:
    """The last trade seen was at 98. Now the market is at 200, and 40 are bought there: nothing is lost."""
    harness = new_harness({1: CENT}, account=AccountConfig(cash="1000"))
    harness.send(quote(9800, 9800))
    placed(harness, order("a", BUY, 1))
    harness.send(trade(9800))
    harness.send(quote(9790, 9810))
    placed(harness, order("b", SELL, 1, at=T + 1))
    harness.send(quote(9790, 9810, at=T + 2))
    assert not harness.actor.listens(Trade)
    at = T + MINUTE
    placed(harness, order("c", BUY, 40, at=at))
    events = harness.send(quote(19990, 20010, at=at + 1))
    assert [type(one) for one in events if isinstance(one, OrderFilled | Liquidated | MarginCalled)] == [
        OrderFilled
    ]
    harness.send(trade(20000, at=at + 2))
    events = harness.send(trade(17500, at=at + 3))
    assert any(isinstance(one, Liquidated) for one in events), "a trade that is seen does"


# The price of a liquidation.


@pytest.mark.parametrize(
    ("mark", "size", "available", "highest", "expected"),
    [
        ("100", 20, "180", 50, "90.9091"),  # isolated 10x: 200 set aside, 20 of maintenance
        ("98", 200, "795.18", 50, "93.9839"),  # equity 991.18, maintenance 196
        ("98", -200, "795.18", 50, "101.9365"),
        ("98", 200, "20000", 50, None),
    ],
)
def test_the_price_of_a_liquidation(
    mark: str, size: int, available: str, highest: int, expected: str | None
) -> None:
    found = liquidation_price(
        mark=int(Fraction(mark) * 10**8),
        scale=8,
        size=size,
        available=int(Fraction(available) * 10**8),
        money_scale=8,
        size_scale=0,
        leverage_max=highest,
    )
    assert (found and f"{found / 10**8:.4f}") == expected


moves = st.lists(
    st.tuples(st.sampled_from(("trade", "buy", "sell")), st.integers(-30, 30), st.integers(1, 300)),
    max_size=40,
)


@given(moves, st.sampled_from((1, 5, 20)), st.sampled_from(("cross", "isolated")))
def test_the_account_is_above_maintenance_or_is_liquidated_in_that_turn(
    plan: list[tuple[str, int, int]], leverage: int, kind: str
) -> None:
    config = AccountConfig(cash="1000", leverage={"AAA": leverage}, margin=kind)
    harness = new_harness({1: CENT}, account=config, taker_fee="0.001")
    held, cash, price, cost, aside = 0, Fraction(1000), 10000, Fraction(0), Fraction(0)
    harness.send(trade(price))
    for number, (what, move, size) in enumerate(plan):
        at = T + number * 10**9
        if what != "trade":
            side = BUY if what == "buy" else SELL
            placed(harness, order(f"{number}", side, size, at=at))
        price = max(100, price + price * move // 100)
        liquidated = False
        bar = BarClosed(at, 1, MINUTE, T, price, price, price, price, 1, 1, "trade")
        for one in harness.send(Trade(at, at, 1, price, 1000, 1), bar):
            liquidated |= isinstance(one, Liquidated)
            if isinstance(one, OrderFilled):
                value = Fraction(one.price * one.size, 10**6)
                cash -= Fraction(int(one.fee), 10**6)
                closes = min(one.size, abs(held)) if held * one.side < 0 else 0
                part = value * closes / one.size
                if closes:
                    share = cost * closes / abs(held)
                    cash += -one.side * part - share
                    cost -= share
                    aside -= aside * closes / abs(held)
                cost += one.side * (value - part)
                aside += (value - part) / leverage
                held += one.side * one.size
        value = Fraction(price, 100) * held
        if held:
            equity = (cash if kind == "cross" else aside) + value - cost
            assert equity >= abs(value) / 100 - Fraction(1, 10**6) or liquidated
        if not held or liquidated:
            assert not held, "all of it: there is no depth to bound it"
