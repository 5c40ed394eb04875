"""Buying power: what an account can carry, on margin and in cash; the margin call."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from engine.actors.orders.margin import highest_leverage
from engine.events import (
    EquityMarked,
    InstrumentListed,
    MarginCalled,
    OrderApproved,
    OrderRefused,
    TargetChanged,
)
from engine.events.rules import MarketRules
from engine.values import BUY, SELL
from tests.actors.rig import Rig

FEE = "0.00045"


def refusal(rig: Rig) -> str:
    """Return the reason of the newest refusal."""
    return rig.events(OrderRefused)[-1].reason


def account(leverage: int = 0, margin: str = "cross") -> dict[str, Any]:
    return {"margin": margin, **({"leverage": {"M1": leverage}} if leverage else {})}


def test_a_position_needs_its_value_by_the_leverage_and_the_fee() -> None:
    """1,000 at 20 times: 200 at 98 need 980 and a fee of 8.82, 250 need 1,225 and the fee."""
    rig = Rig(cash="1000", fee=FEE, price=98)
    rig.buy("S", 250, limit=98)
    assert rig.refusals() == ["margin"]
    assert refusal(rig) == "needs 1236.025, and the account has 1000"
    rig.buy("S", 200, limit=98)
    assert rig.refusals() == ["margin"]
    assert rig.events(OrderApproved)[-1].terms.size == 20_000


def test_a_thousand_does_not_buy_twenty_thousand_at_a_leverage_of_one() -> None:
    rig = Rig(cash="1000", account=account(1))
    rig.buy("S", 200)
    assert rig.refusals() == ["margin"]
    assert refusal(rig) == "needs 20200, and the account has 1000"
    rig.buy("S", 9)
    assert rig.refusals() == ["margin"]


def test_what_is_open_and_what_may_still_fill_is_carried_too() -> None:
    rig = Rig(cash="100", markets=2).hold("S", 10).hold("S", 5, market=2)
    rig.buy("S", 2, limit=90)
    assert rig.refusals() == []
    rig.buy("S", "2.9", limit=100)
    assert rig.refusals() == [], "20 x (10 + 5 + 2 + 2.9) by 20, the first order at the mark: 99.5"
    rig.buy("S", "0.2", limit=100)
    assert rig.refusals() == ["margin"]
    assert refusal(rig) == "needs 100.5, and the account has 100"


def test_opposite_books_need_the_worse_side_only() -> None:
    """Long 10 and Short -8 need what 10 need; closing one side never lacks margin."""
    rig = Rig("Long", "Short", cash="100").hold("Long", 10).hold("Short", "-8")
    rig.sell("Short", 11, limit=100)
    assert rig.refusals() == [], "the short side is 19"
    rig.sell("Short", 2, limit=100)
    assert rig.refusals() == ["margin"]
    rig.sell("Long", 10)
    rig.trade(100)
    assert rig.book("Long") == 0


def test_what_positions_have_lost_at_the_newest_price_cannot_be_used() -> None:
    rig = Rig(cash="100").hold("S", 10)
    rig.trade(96)
    rig.buy("S", 2, limit=96)
    assert rig.refusals() == [], "60 are left, 57.6 are needed"
    rig.buy("S", 1, limit=96)
    assert rig.refusals() == ["margin"]
    assert refusal(rig) == "needs 62.4, and the account has 60"


def test_the_opening_part_of_a_target_waits_for_margin_after_the_close() -> None:
    """Long 1 at 100, a target of -4 with margin for 3: closed, then the target waits."""
    rig = Rig(cash="350", account=account(1)).hold("S", 1)
    rig.target("S", -4)
    rig.trade(100, 100)
    assert rig.book("S") == 0
    changed = rig.events(TargetChanged)[-1]
    assert (changed.wanted, changed.state, changed.reason) == (-400, "waiting", "margin")


def test_a_smaller_leverage_of_the_venue_or_of_its_tier_counts() -> None:
    rules = MarketRules(leverage=20, leverage_max=50, tiers=(("5000", 10), ("20000.5", 5)))
    listed = InstrumentListed(0, 1, "sim", "M1", 2, 2, rules=rules)
    values = {4_999_9999: 50, 5_000_0000: 10, 20_000_0000: 10, 20_000_5000: 5}
    assert {value: highest_leverage(listed, value) for value in values} == values
    rig = Rig(cash="1000", rules=rules)
    rig.buy("S", 49, limit=100)
    assert rig.refusals() == [], "4,900 by 20"
    rig.buy("S", 101, limit=100)
    assert rig.refusals() == ["margin"]
    assert refusal(rig) == "needs 1500, and the account has 1000"


@pytest.mark.parametrize(("leverage", "needs"), [(0, 500), (5, 2000), (40, 250), (200, 200)])
def test_the_leverage_is_the_venues_unless_it_is_set_and_at_most_its_highest(
    leverage: int, needs: int
) -> None:
    rules = MarketRules(leverage=20, leverage_max=50)
    rig = Rig(cash="100", account=account(leverage), rules=rules)
    rig.buy("S", 100, limit=100)
    assert refusal(rig) == f"needs {needs}, and the account has 100"


def test_an_isolated_position_has_its_margin_set_aside_at_its_cost() -> None:
    """Cross, a gain of 200 can be used; isolated it cannot, and what was set aside stays as it was."""
    for margin, limits in (("cross", []), ("isolated", ["margin"])):
        rig = Rig(cash="150", account=account(margin=margin), markets=2).hold("S", 20)
        rig.trade(110)
        rig.buy("S", 11, limit=100, market=2)
        assert rig.refusals() == limits, margin
    assert refusal(rig) == "needs 155, and the account has 150"


def test_a_margin_call_is_reported_once_and_again_after_a_recovery() -> None:
    rig = Rig(cash="100", real=True).hold("S", 19)

    def mark(price: int) -> int:
        rig.trade(price)
        before = rig.events(EquityMarked)[-1]
        unrealized = 19 * (price - 100) * 10**before.scale
        equity = 100 * 10**before.scale + unrealized
        rig.derive(EquityMarked(0, before.scale, 0, unrealized, 0, equity, start=100 * 10**before.scale))
        return len(rig.events(MarginCalled))

    assert [mark(price) for price in (100, 99, 98, 101, 98)] == [0, 1, 1, 1, 2]
    called = rig.events(MarginCalled)[0]
    assert int(called.equity) == 81 * 10**called.scale
    assert int(called.required) * 20 == 1881 * 10**called.scale


# In cash.


def test_a_purchase_in_cash_needs_its_value_at_the_bound_and_the_fee() -> None:
    """1,000 in cash do not buy 10 at a bound of 101, which costs 1,010.4545."""
    rig = Rig(cash="1000", fee=FEE, kind="spot")
    rig.buy("S", 10)
    assert rig.refusals() == ["balance"]
    assert refusal(rig) == "needs 1010.4545, and the account has 1000"
    rig.buy("S", "9.89")
    assert rig.refusals() == ["balance"]


def test_live_buys_reserve_cash_and_what_was_bought_is_spent() -> None:
    rig = Rig(cash="1000", kind="spot").hold("S", 4)
    rig.buy("S", 4, limit=99)
    rig.buy("S", 3, limit=99)
    assert rig.refusals() == ["balance"]
    assert refusal(rig) == "needs 693, and the account has 600"
    rig.trade(200)
    rig.buy("S", 2, limit=150)
    assert rig.refusals() == ["balance", "balance"], "a gain that is not realized is no cash"
    rig.sell("S", 4)
    rig.trade(200)
    rig.buy("S", 2, limit=150)
    assert rig.refusals() == ["balance", "balance"], "800 came in"


@pytest.mark.parametrize("kind", ["spot", "stock"])
def test_nothing_is_sold_in_cash_that_is_not_held(kind: str) -> None:
    rig = Rig(kind=kind).hold("S", 2)
    rig.sell("S", 3)
    rig.trade(100, 100)
    assert rig.refusals() == ["short_spot"]
    assert rig.book("S") == 0
    assert refusal(rig) == "M1 is not held on margin: only what is held can be sold"


def test_an_exit_for_sale_already_is_not_sold_again() -> None:
    rig = Rig(kind="spot", real=True).hold("S", 2)
    rig.sell("S", "1.5", limit=110)
    rig.sell("S", 1, limit=120)
    assert rig.orders() == [("sell own", Decimal("1.5"), 110), ("sell own", Decimal("0.5"), 120)]
    rig.sell("S", 1, limit=130)
    assert rig.refusals() == ["exit_budget"]


def test_an_exit_in_cash_carries_no_flag_of_the_venue() -> None:
    rig = Rig(kind="spot").hold("S", 2)
    rig.sell("S", 1)
    assert not rig.events(OrderApproved)[-1].terms.reduce_only
    rig = Rig().hold("S", 2)
    rig.sell("S", 1)
    assert rig.events(OrderApproved)[-1].terms.reduce_only


def test_a_price_change_of_an_order_that_opens_needs_margin_for_the_new_price() -> None:
    rig = Rig(cash="100")
    handle = rig.buy("S", 19, limit=100)
    rig.modify("S", handle, limit=105)
    rig.modify("S", handle, limit=106)
    assert rig.refusals() == ["margin"]
    assert refusal(rig) == "needs 100.7, and the account has 100"


@pytest.mark.parametrize("side", [BUY, SELL])
def test_both_sides_need_the_same(side: int) -> None:
    rig = Rig(cash="100")
    rig.order("S", side, 20, limit=100)
    assert rig.refusals() == []
    rig = Rig(cash="100")
    rig.order("S", side, "20.01", limit=100)
    assert rig.refusals() == ["margin"]
