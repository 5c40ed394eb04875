"""Equity of an account in several currencies, against a plain model in exact fractions.

The model keeps the money of each currency apart, as bought and sold, and values it and what is held at the
newest prices. It knows nothing of realized and unrealized profit.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from engine.events import EquityMarked, InstrumentListed
from engine.events.rules import MarketRules
from engine.values import BUY, SELL
from tests.actors.books_kit import Kit
from tests.actors.harness import T
from tests.profiles import examples


def listed(number: int, base: str, quote: str, price_scale: int, size_scale: int) -> InstrumentListed:
    rules = MarketRules(base=base, quote=quote, on_margin=True, leverage=10, leverage_max=10)
    return InstrumentListed(T, number, "sim", f"{base}/{quote}", price_scale, size_scale, rules=rules)


MARKETS = {
    1: listed(1, "SOL", "USDC", 2, 2),
    2: listed(2, "BTC", "USDC", 1, 4),  # its price values BTC
    3: listed(3, "ETH", "BTC", 5, 3),
    4: listed(4, "DAX", "EUR", 1, 0),
    5: listed(5, "XYZ", "GBP", 2, 0),  # GBP has no price
}
QUOTES = {1: "USDC", 2: "USDC", 3: "BTC", 4: "EUR", 5: "GBP"}

steps = st.lists(
    st.tuples(
        st.sampled_from(["fill", "fill", "price"]),
        st.sampled_from(sorted(MARKETS)),
        st.sampled_from([BUY, SELL]),
        st.integers(1, 5000),
        st.integers(1, 50_000),
        st.sampled_from(["S1", "S2"]),
        st.sampled_from(["", "", "BTC", "EUR", "BNB"]),
    ),
    min_size=1,
    max_size=20,
)


@given(
    steps,
    st.lists(st.integers(1, 50_000), min_size=5, max_size=5),
    st.sampled_from(["USDC", "EUR"]),
    st.sampled_from(["0.9", "1.0000001", "0.333333333333"]),
)
@examples(0.7)
def test_equity_in_several_currencies_is_that_of_exact_fractions(
    plan: list[tuple[Any, ...]], shown: list[int], own: str, rate: str
) -> None:
    """Whatever is rounded is rounded against the account; what has no price is named with its amount."""
    other = "EUR" if own == "USDC" else "USDC"
    named = {other: rate, "BNB": "600.5", "BTC": "BTC/USDC"}
    if own == "EUR":
        named["BTC"] = "70000.25"  # a market's price has to be in the account's currency
    kit = Kit(listed=MARKETS, account={"currency": own, "prices": named})
    prices = {n: Fraction(one, 10 ** MARKETS[n].price_scale) for n, one in enumerate(shown, 1)}
    for market, price in prices.items():
        kit.trade(str(price), market)
    money: dict[str, Fraction] = {}
    held: dict[int, Fraction] = {}
    for kind, market, side, size, price, owner, fee_asset in plan:
        one = MARKETS[market]
        level = Fraction(price, 10**one.price_scale)
        if kind == "price":
            kit.trade(str(level), market)
            prices[market] = level
            continue
        amount, fee, quote = (
            Fraction(size, 10**one.size_scale),
            Fraction(price % 97, 10**one.money_scale),
            QUOTES[market],
        )
        paid_in = quote if fee_asset == one.rules.base else fee_asset or quote
        more: dict[str, Any] = {"fee": str(fee), "fee_asset": paid_in, "market": market}
        kit.trades(owner, side, str(amount), str(level), **more)
        money[quote] = money.get(quote, Fraction(0)) - side * amount * level
        money[paid_in] = money.get(paid_in, Fraction(0)) - fee
        held[market] = held.get(market, Fraction(0)) + side * amount
        rates = {own: Fraction(1), other: Fraction(rate), "BNB": Fraction("600.5"), "BTC": prices[2]}
        if own == "EUR":
            rates["BTC"] = Fraction("70000.25")
        worth = dict(money)
        for number, position in held.items():
            worth[QUOTES[number]] += position * prices[number]
        exact = 1000 + sum(value * rates[key] for key, value in worth.items() if key in rates)
        marked = kit.all(EquityMarked)[-1]
        # One unit of the ledger for each number that is converted: profits and fees of each currency.
        assert exact - Fraction(20, 10**marked.scale) < kit.equity()["equity"] <= exact
        left = {key: Fraction(value) for key, value in worth.items() if key not in rates and value}
        assert {key: Fraction(value) for key, value in marked.unvalued if Fraction(value)} == left
