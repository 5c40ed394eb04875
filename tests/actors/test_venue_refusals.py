"""What the simulated venue refuses: the rules of the market are data, and the sandbox refuses the same.

The sandbox is an independent implementation of the venue's order entry. Both get the same rules, the same
best bid and ask, the same position and the same order.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from adapters.hyperliquid.listing import perp_rules
from engine.config import AccountConfig
from engine.events import InstrumentListed, OrderCanceled, OrderRejected, Quote
from engine.values import BUY, SELL, format_scaled
from tests.actors.harness import Harness, T
from tests.actors.venue_kit import context, listed, new_harness, order, placed, quote, summary, trade
from tests.sandbox.exchange.kit import ALO, GTC, IOC, ExchangeDriver, trigger, wire
from tests.sandbox.kit import BTC

PERP = replace(BTC, rules=perp_rules("BTC", 40))
BID, ASK, MID = 841430, 841440, 841435
LOT = 100  # 0.001 BTC: 84 USD
TIFS = {"Gtc": GTC, "Ioc": IOC, "Alo": ALO}


def at_venue(held: int) -> Harness:
    """Return a simulated venue with BTC at 84143.5 and a position."""
    harness = new_harness({1: PERP}, account=AccountConfig(cash="100000", leverage={"BTC": 20}))
    book = Quote(T, T, 1, BID, 10**5, ASK, 10**5)
    if held:
        placed(harness, order("held", BUY if held > 0 else SELL, abs(held)))
        harness.send(book)
    harness.send(order("look", BUY, 10, limit=300000), context(841435, T, scale=1), book)
    harness.advance(T)
    return harness


def at_sandbox(held: int) -> ExchangeDriver:
    """Return the sandbox in the same state."""
    driver = ExchangeDriver()
    if held:
        side = {"buy": held > 0, "kind": IOC}
        driver.place(wire("85000" if held > 0 else "83000", format_scaled(abs(held), 5), **side))
    driver.place(wire("30000", "0.0001", buy=True))
    driver.quote("84143", "84144")
    return driver


def verdicts(
    held: int, side: int, size: int, price: int, tif: str, reduce_only: bool, kind: str
) -> tuple[str, str]:
    """Return why each of the two refuses an order, "" if it does not."""
    harness = at_venue(held)
    limit = {"trigger": kind, "trigger_price": price, "limit": price} if kind else {"limit": price}
    sent = order("o", side, size, tif=tif, reduce_only=reduce_only, **limit)
    events = placed(harness, sent)
    events += harness.send(Quote(T + 1, T, 1, BID, 10**5, ASK, 10**5))
    said = [one for one in events if getattr(one, "client_order_id", "") == "o"]
    refused = [one.reason for one in said if isinstance(one, OrderRejected | OrderCanceled)]
    mine = refused[0] if refused else ""
    mine = "Order could not immediately match against any resting orders." if mine.startswith("Ioc") else mine
    text = format_scaled(price, 1)
    kinds = trigger(text, kind, market=False) if kind else TIFS[tif]
    (status,) = at_sandbox(held).place(
        wire(text, format_scaled(size, 5), buy=side == BUY, kind=kinds, reduce_only=reduce_only)
    )
    theirs = status["error"].partition(" asset=")[0] if isinstance(status, dict) and "error" in status else ""
    return mine, theirs


@pytest.mark.parametrize(
    ("held", "side", "size", "price", "tif", "reduce_only", "kind", "reason"),
    [
        (0, BUY, LOT, 841430, "Gtc", False, "", ""),
        (0, BUY, LOT, 841435, "Gtc", False, "", "Price must be divisible by tick size."),
        (0, BUY, 5, 841430, "Gtc", False, "", "Order must have minimum value of $10."),
        (LOT, SELL, 5, 841500, "Gtc", False, "", ""),
        (LOT, BUY, LOT, 841430, "Gtc", True, "", "Reduce only order would increase position."),
        (0, BUY, LOT, 841440, "Alo", False, "", "Post only order would have immediately matched, bbo was "),
        (
            0,
            BUY,
            LOT,
            841430,
            "Ioc",
            False,
            "",
            "Order could not immediately match against any resting orders.",
        ),
        (LOT, SELL, LOT, 850000, "Gtc", True, "sl", "Invalid TP/SL price."),
        (LOT, SELL, LOT, 830000, "Gtc", True, "tp", "Invalid TP/SL price."),
        (LOT, SELL, LOT, 830000, "Gtc", True, "sl", ""),
        (0, BUY, 3_000_000, 841430, "Gtc", False, "", "Insufficient margin to place order."),
        (
            0,
            BUY,
            LOT * 100,
            10000,
            "Gtc",
            False,
            "",
            "Order price cannot be more than 95% away from the reference price",
        ),
    ],
)
def test_the_simulated_venue_and_the_sandbox_refuse_with_the_same_words(
    held: int, side: int, size: int, price: int, tif: str, reduce_only: bool, kind: str, reason: str
) -> None:
    mine, theirs = verdicts(held, side, size, price, tif, reduce_only, kind)
    assert mine[: len(reason)] == theirs[: len(reason)] == reason
    assert bool(mine) == bool(theirs) == bool(reason)


@given(
    st.sampled_from((0, LOT, -LOT)),
    st.sampled_from((BUY, SELL)),
    st.sampled_from((1, 5, LOT // 2, LOT, 3 * LOT, 3_000_000)),
    st.integers(-20, 20).map(lambda away: MID // 10 * 10 + 10 * away) | st.integers(1, 10**6),
    st.sampled_from(("Gtc", "Ioc", "Alo")),
    st.booleans(),
    st.sampled_from(("", "", "sl", "tp")),
)
def test_the_simulated_venue_refuses_what_the_sandbox_refuses(
    held: int, side: int, size: int, price: int, tif: str, reduce_only: bool, kind: str
) -> None:
    """Only for margin it refuses more: it counts a fee, and an order at the mark if that is worse."""
    tif = "Gtc" if kind else tif
    mine, theirs = verdicts(held, side, size, price, tif, reduce_only, kind)
    assert bool(mine) == bool(theirs) or (mine.startswith("Insufficient margin") and not theirs), (
        mine,
        theirs,
    )


def answer(harness: Harness, *orders: Any) -> list[tuple[str, ...]]:
    return summary(placed(harness, *orders))


def test_an_order_of_5_usd_is_refused_and_one_of_10_is_not() -> None:
    """The example of the issue: an order of 5 USD filled on paper."""
    harness = new_harness({1: listed(price_scale=0, size_scale=2, value_min="10")})
    assert answer(harness, order("a", BUY, 5, limit=100)) == [
        ("OrderRejected", "a", "Order must have minimum value of $10.")
    ]
    assert answer(harness, order("b", BUY, 10, limit=100)) == [("OrderAccepted", "b")]


def test_closing_may_be_below_the_minimum_where_the_venue_exempts_it() -> None:
    for exempts, kind in ((True, "OrderAccepted"), (False, "OrderRejected")):
        rules = listed(price_scale=0, size_scale=2, value_min="10", value_min_exempts_close=exempts)
        harness = new_harness({1: rules})
        placed(harness, order("first", BUY, 20))
        harness.send(trade(100))
        assert answer(harness, order("b", SELL, 5, bound=90))[0][:2] == (kind, "b")


def test_an_order_larger_than_the_venues_maximum_or_off_the_grid_of_sizes_is_refused() -> None:
    rules = InstrumentListed(T, 1, "sim", "AAA", 2, 2, size_step=5, rules=listed(size_max=100).rules)
    harness = new_harness({1: rules})
    invalid = "Order has invalid size."
    assert answer(harness, order("a", BUY, 105, limit=100)) == [("OrderRejected", "a", invalid)]
    assert answer(harness, order("b", BUY, 7, limit=100)) == [("OrderRejected", "b", invalid)]
    assert answer(harness, order("c", BUY, 100, limit=100)) == [("OrderAccepted", "c")]


@pytest.mark.parametrize(
    ("rules", "terms"),
    [
        ({"tifs": ("Gtc", "Ioc")}, {"limit": 100, "tif": "Alo"}),
        ({"triggers": False}, {"trigger": "sl", "trigger_price": 100}),
        ({"reduce_only": False}, {"limit": 100, "reduce_only": True}),
    ],
)
def test_an_order_of_a_kind_that_the_market_does_not_have_is_refused(
    rules: dict[str, Any], terms: dict[str, Any]
) -> None:
    harness = new_harness({1: listed(**rules)})
    harness.send(quote(99, 101))
    assert answer(harness, order("a", BUY, **terms)) == [
        ("OrderRejected", "a", "This market does not take such orders.")
    ]
