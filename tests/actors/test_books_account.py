"""The money of a real account: its start, differences to the venue's value, transfers, funding, assets."""

from __future__ import annotations

import itertools
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.actors.books.funding import shared_payment
from engine.clock import SECOND_NS
from engine.events import (
    AccountAdjusted,
    EquityMarked,
    FillBooked,
    FundingPaid,
    InstrumentListed,
    MarketRules,
    PositionChanged,
    SessionStopped,
    TransferSeen,
)
from engine.values import BUY, SELL
from tests.actors.books_kit import MS, SESSION, Kit, exact
from tests.actors.harness import LISTED, MINUTE, T
from tests.orders.ledger import share_funding

F = Fraction
HOUR = 60 * MINUTE


def of(kind: type[Any], events: list[Any]) -> list[Any]:
    return [one for one in events if isinstance(one, kind)]


def adjusted(events: list[Any]) -> list[tuple[Fraction, str]]:
    return [(exact(one.amount, one.scale), one.reason) for one in of(AccountAdjusted, events)]


def transfer(amount: int, *, at_ns: int = T, asset: str = "", number: str = "1") -> TransferSeen:
    return TransferSeen(at_ns, at_ns, 8, amount * 10**8, asset, "deposit", number)


def funding(amount: str, *, at_ns: int = T, size: int = 1000, owner: str = "", scale: int = 8) -> FundingPaid:
    value = F(amount) * 10**scale
    assert value.denominator == 1
    return FundingPaid(at_ns, at_ns, 1, size, scale, int(value), 0, owner)


# The start.


def test_a_real_account_begins_with_the_venues_equity_less_the_profit_of_its_positions() -> None:
    kit = Kit(real=True)
    assert kit.log == [], "nothing is marked before the account was read"
    (marked,) = kit.account_read("1234.5", unrealized="34.5")
    assert isinstance(marked, EquityMarked)
    assert (kit.equity()["start"], kit.equity()["equity"]) == (1200, 1200)


def test_every_fill_and_fee_counts_from_the_first_one() -> None:
    """A first day showed 68.63 where 52.20 was right: it began after the first fill."""
    kit = Kit(real=True)
    kit.trades("S1", BUY, "1", "100", fee="0.05", at_ns=T - MS)
    assert of(EquityMarked, kit.log) == []
    kit.trade("103")
    kit.account_read("1002.95", unrealized="3")
    equity = kit.equity()
    assert (equity["start"], equity["equity"], equity["fees"]) == (1000, F("1002.95"), F("0.05"))


def test_a_fill_after_the_first_reading_is_not_in_its_value() -> None:
    kit = Kit(real=True)
    kit.trades("S1", BUY, "1", "100", fee="0.05", at_ns=T + MS)
    kit.account_read("1000", at_ns=T)
    assert kit.equity()["start"] == 1000
    assert kit.equity()["equity"] == F("999.95")


def test_without_the_venues_profit_the_first_reading_uses_the_engines() -> None:
    kit = Kit(real=True)
    kit.trade("103")
    kit.trades("S1", BUY, "1", "100", at_ns=T - MS)
    kit.account_read("1003", unrealized=None)
    assert (kit.equity()["start"], kit.equity()["equity"]) == (1000, 1003)
    assert adjusted(kit.account_read("1500", unrealized=None)) == [], "it cannot be compared"


# Differences.


def test_a_difference_of_a_cent_or_more_moves_equity_and_is_no_profit() -> None:
    kit = Kit(real=True)
    kit.account_read("1000")
    assert adjusted(kit.account_read("1000.009", at_ns=T + MS)) == []
    assert adjusted(kit.account_read("1000.01", at_ns=T + 2 * MS)) == [(F("0.01"), "unexplained")]
    equity = kit.equity()
    assert (equity["equity"], equity["adjustments"], equity["realized"]) == (F("1000.01"), F("0.01"), 0)


def test_the_profit_of_open_positions_is_no_difference() -> None:
    kit = Kit(real=True)
    kit.account_read("1000")
    kit.trades("S1", BUY, "1", "100", at_ns=T + MS)
    assert adjusted(kit.account_read("1007", unrealized="7", at_ns=T + 2 * MS)) == []


def test_a_fill_after_a_reading_is_not_compared_with_it() -> None:
    kit = Kit(real=True)
    kit.account_read("1000")
    kit.trades("S1", BUY, "1", "100", fee="0.5", at_ns=T + 5 * MS)
    assert adjusted(kit.account_read("1000", at_ns=T + 4 * MS)) == []
    assert adjusted(kit.account_read("999.5", at_ns=T + 5 * MS)) == []


def test_a_missing_fill_takes_the_difference_in_money_back_too() -> None:
    kit = Kit(real=True)
    kit.position_read("0")
    kit.account_read("1000")
    kit.trades("S1", BUY, "1", "100", at_ns=T + MS)
    kit.trade("105")
    kit.position_read("0.4", at_ns=T + 10 * MS)
    assert kit.equity()["realized"] == 3
    venue = "999.38"  # it sold 0.6 at 99 and paid 0.02
    assert adjusted(kit.account_read(venue, at_ns=T + 10 * MS)) == [(F("-3.62"), "unexplained")]
    emitted = kit.fill("", SELL, "0.6", "99", fee="0.02", at_ns=T + 5 * MS)
    assert [amount for amount, _ in adjusted(emitted)] == [F("3.62")]
    equity = kit.equity()
    assert (equity["adjustments"], equity["realized"], equity["fees"]) == (0, F("-0.6"), F("0.02"))
    assert adjusted(kit.account_read(venue, at_ns=T + 20 * MS)) == []


def test_opposite_books_are_one_position_at_the_venue() -> None:
    """One +2 at 100, the other -3 at 99: the venue has realized -2, and holds -1 at 99."""
    kit = Kit(real=True)
    kit.account_read("1000")
    kit.trades("S1", BUY, "2", "100", at_ns=T + MS)
    kit.trades("S2", SELL, "3", "99", at_ns=T + 2 * MS)
    assert adjusted(kit.account_read("997", unrealized="-1", at_ns=T + 3 * MS)) == []
    kit.trades("S1", SELL, "2", "101", at_ns=T + 4 * MS)
    # One side again, and the costs still differ: the venue's -3 have an average of (99 + 2 * 101) / 3.
    assert adjusted(kit.account_read("999", unrealized="1", at_ns=T + 5 * MS)) == []
    kit.trades("S2", BUY, "3", "100", at_ns=T + 6 * MS)
    assert adjusted(kit.account_read("999", at_ns=T + 7 * MS)) == []
    equity = kit.equity()
    assert (equity["equity"], equity["adjustments"], equity["realized"]) == (999, 0, -1)


def test_a_missing_fill_is_taken_back_from_opposite_books_too() -> None:
    kit = Kit(real=True)
    kit.position_read("0")
    kit.account_read("1000")
    kit.trades("S1", BUY, "1", "100", at_ns=T + MS)
    kit.trades("S2", SELL, "0.4", "100", at_ns=T + 2 * MS)
    kit.trade("105")
    kit.position_read("0", at_ns=T + 10 * MS)
    venue = "999.4"  # 0.6 was sold at 99
    kit.account_read(venue, at_ns=T + 10 * MS)
    kit.fill("", SELL, "0.6", "99", at_ns=T + 5 * MS)
    assert kit.equity()["adjustments"] == 0
    assert adjusted(kit.account_read(venue, at_ns=T + 20 * MS)) == []


# Transfers.


def test_a_transfer_moves_equity_once_and_is_no_profit() -> None:
    kit = Kit(real=True)
    kit.account_read("1000")
    assert adjusted(kit.send(transfer(250, at_ns=T + MS))) == [(250, "deposit")]
    assert kit.send(transfer(250, at_ns=T + MS)) == []
    equity = kit.equity()
    assert (equity["equity"], equity["adjustments"], equity["realized"]) == (1250, 250, 0)
    assert adjusted(kit.account_read("1250", at_ns=T + 2 * MS)) == []


def test_a_transfer_that_a_reading_had_already_explains_its_difference() -> None:
    kit = Kit(real=True)
    kit.account_read("1000")
    assert adjusted(kit.account_read("750", at_ns=T + 9 * MS)) == [(-250, "unexplained")]
    assert [amount for amount, _ in adjusted(kit.send(transfer(-250, at_ns=T + 5 * MS)))] == [-250, 250]
    assert kit.equity()["equity"] == 750


def test_a_transfer_before_the_first_reading_is_in_the_start() -> None:
    kit = Kit(real=True)
    kit.account_read("1000")
    kit.send(transfer(250, at_ns=T - MS))
    assert (kit.equity()["equity"], kit.equity()["adjustments"]) == (1000, 0)
    kit = Kit(real=True)
    kit.send(transfer(250, at_ns=T - MS))
    kit.account_read("1250")
    assert (kit.equity()["equity"], kit.equity()["start"]) == (1250, 1000)


# Funding.


def test_o27_a_payment_is_shared_by_size_and_counts_once() -> None:
    kit = Kit()
    kit.trades("S1", BUY, "2", "100")
    kit.trades("S2", BUY, "1", "100")
    emitted = kit.send(funding("-0.09", at_ns=T + HOUR, size=3000))
    assert (kit.position("S1")["funding"], kit.position("S2")["funding"]) == (F("-0.06"), F("-0.03"))
    assert len(of(PositionChanged, emitted)) == 2
    assert kit.equity()["funding"] == F("-0.09")
    assert kit.equity()["equity"] == F("999.91")
    assert kit.send(funding("-0.09", at_ns=T + HOUR, size=3000)) == []


def test_a_payment_is_shared_by_the_sizes_of_its_own_time() -> None:
    kit = Kit(real=True)
    kit.trades("S1", BUY, "2", "100", at_ns=T)
    kit.trades("S1", SELL, "2", "100", at_ns=T + HOUR + MS)
    kit.trades("S2", BUY, "9", "100", at_ns=T + HOUR + MS)
    kit.send(funding("-0.06", at_ns=T + HOUR, size=2000))
    assert kit.position("S1")["funding"] == F("-0.06")
    assert kit.position("S2")["funding"] == 0


def test_the_units_left_over_go_to_the_largest_book() -> None:
    assert shared_payment([("S1", 2), ("S2", 1)], -1) == [("S1", 0), ("S2", -1)]
    assert shared_payment([("S1", 2), ("S2", 1), ("S3", 0)], 10) == [("S1", 7), ("S2", 3)]
    assert shared_payment([("S1", 2), ("S2", -1)], 10) == [("S1", 20), ("S2", -10)]


def test_a_payment_without_a_position_goes_to_the_largest_book_or_to_external() -> None:
    assert shared_payment([("S1", 2), ("S2", -2)], 10) == [("S1", 10), ("S2", 0)]
    assert shared_payment([("S1", 0)], 10) == [("external", 10)]


@given(
    st.dictionaries(st.sampled_from("abcd"), st.integers(-50, 50), min_size=1), st.integers(-(10**9), 10**9)
)
def test_the_shares_are_those_of_the_model_and_sum_to_the_payment(held: dict[str, int], amount: int) -> None:
    shares = shared_payment(list(held.items()), amount)
    assert sum(part for _, part in shares) == amount
    if sum(held.values()) > 0 and min(held.values()) >= 0:
        expected = share_funding([(owner, F(p)) for owner, p in held.items()], F(amount), 0)
        assert [(owner, F(part)) for owner, part in shares] == expected


def test_a_payment_of_the_simulated_venue_is_for_one_book_and_rounded_down() -> None:
    """One unit long, oracle 103, rate 0.0000125: -0.0012875."""
    kit = Kit()
    kit.trades("S1", BUY, "1", "100")
    kit.trades("S2", SELL, "1", "100")
    kit.send(funding("-0.0012875", at_ns=T + HOUR, owner="S1"))
    kit.send(funding("0.0012875", at_ns=T + HOUR, owner="S2"))
    assert kit.position("S1")["funding"] == F("-0.0012875")
    assert kit.position("S2")["funding"] == F("0.0012875")
    kit.send(funding("-0.00000000000001", at_ns=T + 2 * HOUR, owner="S1", scale=14))
    assert kit.position("S1")["funding"] == F("-0.0012875") - F(1, 10**kit.books.scale)


def test_a_payment_that_a_reading_had_already_takes_its_difference_back() -> None:
    kit = Kit(real=True)
    kit.position_read("0")
    kit.account_read("1000")
    kit.trades("S1", BUY, "1", "100", at_ns=T + MS)
    assert adjusted(kit.account_read("999.4", at_ns=T + HOUR + MS)) == [(F("-0.6"), "unexplained")]
    emitted = kit.send(funding("-0.6", at_ns=T + HOUR))
    assert [amount for amount, _ in adjusted(emitted)] == [F("0.6")]
    assert (kit.equity()["equity"], kit.equity()["funding"]) == (F("999.4"), F("-0.6"))


def test_while_a_payment_is_due_the_account_is_not_compared() -> None:
    """The hour's payment is in the value before it is reported: half a minute later it has to be."""
    hourly = InstrumentListed(T, 1, "sim", "BTC", 2, 4, rules=MarketRules(funding_s=3600))
    due = T - T % HOUR + HOUR
    kit = Kit(real=True, listed={1: hourly})
    kit.position_read("0")
    kit.account_read("1000")
    kit.trades("S1", BUY, "1", "100", at_ns=T + MS)
    assert adjusted(kit.account_read("999.4", at_ns=due + 2 * SECOND_NS)) == []
    assert adjusted(kit.send(funding("-0.6", at_ns=due + MS))) == []
    assert adjusted(kit.account_read("999.4", at_ns=due + 10 * SECOND_NS)) == []
    assert adjusted(kit.account_read("999.3", at_ns=due + 20 * SECOND_NS)) == [(F("-0.1"), "unexplained")]
    assert adjusted(kit.account_read("999", at_ns=due + HOUR + 29 * SECOND_NS)) == []
    assert adjusted(kit.account_read("999", at_ns=due + HOUR + 30 * SECOND_NS)) == [
        (F("-0.3"), "unexplained")
    ]


# Assets and currencies.

SPOT = InstrumentListed(
    T, 1, "sim", "HYPE/USDC", 3, 2, kind="spot", rules=MarketRules(base="HYPE", quote="USDC")
)
PERP = InstrumentListed(T, 2, "sim", "BNB", 2, 3, rules=MarketRules(base="BNB", quote="USDC"))
EURO = InstrumentListed(T, 3, "sim", "DAX", 1, 0, rules=MarketRules(base="DAX", quote="EUR"))
ASSETS = {1: SPOT, 2: PERP, 3: EURO}


def test_a_fee_in_base_units_takes_a_part_of_the_position() -> None:
    kit = Kit(listed=ASSETS)
    emitted = kit.trades("S1", BUY, "1.5", "20", fee="0.01", fee_asset="HYPE")
    bought, taken = of(FillBooked, emitted)
    assert (bought.size, bought.fee_asset, int(bought.fee)) == (150, "HYPE", 1000)
    assert (taken.side, taken.size, taken.cause, taken.role, taken.client_order_id) == (
        SELL,
        1,
        "fee",
        "close",
        "",
    )
    assert kit.position("S1") == {
        "size": F("1.49"),
        "cost": F("29.8"),
        "realized": 0,
        "fees": F("0.2"),
        "funding": 0,
    }
    kit.trade("20")
    kit.send(SessionStopped(T, SESSION, "test"))
    assert kit.equity()["equity"] == F("999.8"), "the fee costs its value"


def test_fees_in_base_units_below_a_step_of_the_grid_add_up() -> None:
    kit = Kit(listed=ASSETS)
    held = [F(0)]
    for _ in range(15):
        kit.trades("S1", BUY, "1", "20", fee="0.0007", fee_asset="HYPE")
        held.append(kit.held("S1"))
    steps = [after - before for before, after in itertools.pairwise(held)]
    assert steps == [F("0.99"), *[1] * 13, F("0.99")], "0.0105 in all: two steps"


def test_a_base_fee_takes_no_more_than_the_book_holds() -> None:
    kit = Kit(listed=ASSETS)
    kit.trades("S1", BUY, "0.01", "20", fee="0.03", fee_asset="HYPE")
    assert kit.held("S1") == 0
    kit.trades("S1", BUY, "1", "20")
    assert kit.held("S1") == 1
    kit.trades("S1", BUY, "1", "20", fee="0.001", fee_asset="HYPE")
    assert kit.held("S1") == 2 - F("0.03")


def test_a_fee_in_the_quote_currency_by_its_name_is_an_ordinary_fee() -> None:
    kit = Kit(listed=ASSETS)
    kit.trades("S1", BUY, "1", "20", fee="0.01", fee_asset="USDC")
    assert kit.position("S1")["fees"] == F("0.01")


@pytest.mark.parametrize("price", ["600", "BNB"])
def test_a_fee_in_another_asset_is_valued_by_the_named_price(price: str) -> None:
    kit = Kit(listed=ASSETS, account={"prices": {"BNB": price}})
    kit.trade("600", market=2)
    kit.trade("20")
    kit.trades("S1", BUY, "1", "20", fee="0.001", fee_asset="BNB")
    assert kit.position("S1")["fees"] == 0, "it is kept apart"
    assert (kit.equity()["fees"], kit.equity()["equity"]) == (F("0.6"), F("999.4"))
    assert kit.all(EquityMarked)[-1].unvalued == ()


def test_an_asset_without_a_price_is_reported_and_not_counted_as_nothing() -> None:
    kit = Kit(listed=ASSETS, account={"prices": {"XYZ": "BNB"}})
    for asset in ("BNB", "XYZ"):
        kit.trades("S1", BUY, "1", "20", fee="0.001", fee_asset=asset)
    assert kit.all(EquityMarked)[-1].unvalued == (("BNB", "-0.001"), ("XYZ", "-0.001"))
    kit.trade("600", market=2)
    kit.send(SessionStopped(T, SESSION, "test"))
    assert kit.all(EquityMarked)[-1].unvalued == (("BNB", "-0.001"),)
    assert kit.equity()["fees"] == F("0.6")


def test_a_market_in_another_currency_is_converted() -> None:
    kit = Kit(listed=ASSETS, account={"prices": {"EUR": "1.1"}})
    kit.trade("100", market=3)
    kit.trades("S1", BUY, "2", "100", fee="0.5", market=3)
    kit.trade("105", market=3)
    kit.trades("S1", SELL, "1", "105", market=3)
    equity = kit.equity()
    assert (equity["realized"], equity["unrealized"], equity["fees"]) == (F("5.5"), F("5.5"), F("0.55"))
    assert kit.position("S1", 3)["realized"] == 5, "a book stays in its own currency"


def test_a_market_in_a_currency_without_a_price_is_reported() -> None:
    kit = Kit(listed=ASSETS)
    kit.trades("S1", BUY, "2", "100", fee="0.5", market=3)
    assert kit.all(EquityMarked)[-1].unvalued == (("EUR", "-0.5"),)
    assert kit.equity()["equity"] == 1000


def test_the_account_can_be_valued_in_another_currency_than_that_of_the_first_market() -> None:
    kit = Kit(listed=ASSETS, account={"currency": "EUR", "prices": {"USDC": "0.9"}})
    kit.trade("20")
    kit.trades("S1", BUY, "1", "20", fee="0.01")
    kit.trades("S1", BUY, "1", "100", fee="0.1", market=3)
    assert kit.equity()["fees"] == F("0.109")


def test_conversions_are_rounded_against_the_account() -> None:
    kit = Kit(listed=ASSETS, account={"prices": {"EUR": "0.333333333333"}})
    kit.trade("100", market=3)
    kit.trades("S1", BUY, "1", "100", fee="0.1", market=3)
    kit.trade("100.1", market=3)
    kit.send(SessionStopped(T, SESSION, "test"))
    unit = F(1, 10**kit.books.scale)
    right = F("0.1") * F("0.333333333333")
    equity = kit.equity()
    assert right <= equity["fees"] < right + unit
    assert right - unit < equity["unrealized"] <= right


def test_a_transfer_of_another_asset_is_valued_like_a_fee() -> None:
    kit = Kit(real=True, listed=ASSETS, account={"prices": {"BNB": "600"}})
    kit.account_read("1000")
    kit.send(transfer(2, at_ns=T + MS, asset="BNB"))
    assert (kit.equity()["equity"], kit.equity()["adjustments"]) == (2200, 1200)


def test_without_any_quote_currency_everything_is_in_one() -> None:
    kit = Kit(listed=LISTED)
    kit.trades("S1", BUY, "1", "100", fee="1")
    assert kit.equity()["fees"] == 1
    assert kit.books.currency == ""
