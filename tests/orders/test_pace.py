"""The pace of targets and protective exits: each try after a row of outcomes, against a plain model.

The model is the two rows of the documentation. The next try is one further in the row; a fill of the order
begins the row again, and so does a call of a target that wants something else, with a try at once.
"""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from engine.events import QueryAccount
from tests.orders.account_rig import AccountRig
from tests.orders.test_target_situations import ready
from tests.profiles import examples

OPENING = (1, 5, 60)
CLOSING = (0.25, 0.5, 1, 2, 5)
LATE = 0.02

outcomes = st.lists(
    st.sampled_from(["ended", "ended", "rejected", "rejected", "filled in part", "another", "the same"]),
    min_size=1,
    max_size=9,
)


@given(outcomes, st.booleans())
@example(["rejected"] * 5 + ["filled in part", "ended", "another", "ended", "ended"], True)
@example(["ended", "rejected", "ended", "the same", "filled in part", "rejected", "rejected"], False)
@examples(0.6)
def test_every_try_of_a_target_comes_when_a_plain_model_says(plan: list[str], closes: bool) -> None:
    row = CLOSING if closes else OPENING
    rig = ready(held=2 if closes else 0)
    wanted = 50 if closes else 200  # in hundredths
    rig.call(lambda s: s.target("BTC", wanted / 100))
    tried, left = 0, 150 if closes else 200
    for outcome in plan:
        before = len(rig.orders)
        rig.quote(99.9, 100.1)
        if outcome == "rejected":
            rig.reject(rig.order, "no")
        elif outcome == "filled in part":
            rig.fill(rig.order, 100, 0.01)
            left -= 1
            rig.end(rig.order, "Ioc", left / 100)
            tried = 0
        else:
            rig.end(rig.order, "Ioc", left / 100)
        if outcome == "another":
            wanted += -1 if closes else 1
            rig.call(lambda s, w=wanted: s.target("BTC", w / 100))
            left += 1
            tried = 0
        else:
            if outcome == "the same":
                rig.call(lambda s, w=wanted: s.target("BTC", w / 100))
            assert len(rig.orders) == before, "not at once"
            wait = row[min(tried, len(row) - 1)]
            rig.wait(wait - LATE)
            assert len(rig.orders) == before, outcome
            rig.wait(2 * LATE)
            tried += 1
        assert len(rig.orders) == before + 1, (outcome, tried)
        side, role = ("sell", "close") if closes else ("buy", "open")
        assert rig.shown()[-1] == f"{side} {left / 100:g} {role} target"


def test_the_pace_of_an_opening_does_not_hold_an_exit_back() -> None:
    """A bid that is being canceled fills beyond the target, whose own order was rejected three times."""
    rig = ready()
    rig.call(lambda s: s.buy("BTC", 2, limit=95))
    bid = rig.order
    rig.accept(bid)
    rig.call(lambda s: s.target("BTC", 1))
    assert bid.client_order_id in rig.canceled
    for seconds in (1, 5, 1):
        rig.reject(rig.order, "no")
        rig.wait(seconds + LATE)
    before = len(rig.orders)
    rig.fill(bid, 95)
    assert (rig.book(), len(rig.orders)) == (2, before + 1), "the next opening was due in a minute"
    assert rig.shown()[-1] == "sell 1 close target"


def test_a_fill_that_changes_what_is_wanted_begins_the_pace_again() -> None:
    """An own order is on top of the target, which wants that much more from then on."""
    rig = ready()
    rig.call(lambda s: s.target("BTC", 1))
    for seconds in (1, 5, 1):
        rig.reject(rig.order, "no")
        rig.wait(seconds + LATE)
    rig.call(lambda s: s.buy("BTC", 1, limit=100.1))
    own = rig.order
    before = len(rig.orders)
    rig.fill(own, 100)
    assert rig.book() == 1
    assert rig.shown()[before:] == ["buy 1 open target"], "at once"


def fired(size: float) -> AccountRig:
    """Return a rig with a long position whose trailing stop has fired."""
    rig = ready(held=size)
    rig.call(lambda s: s.trail("BTC", size, 3))
    for price in (100, 96):
        rig.trade(price)
    assert rig.shown()[-1] == f"sell {size:g} close trail"
    return rig


@given(st.lists(st.sampled_from(["ended", "rejected", "filled in part"]), min_size=1, max_size=9))
@example(["rejected"] * 5 + ["filled in part", "ended", "ended"])
@examples(0.3)
def test_every_try_of_a_protective_exit_comes_when_a_plain_model_says(plan: list[str]) -> None:
    rig = fired(2)
    tried, left = 0, 200
    for outcome in plan:
        before = len(rig.orders)
        if outcome == "rejected":
            rig.reject(rig.order, "no")
        elif outcome == "filled in part":
            rig.fill(rig.order, 96, 0.01)
            left -= 1
            tried = 0
        if outcome != "rejected":
            rig.end(rig.order, "Ioc", left / 100)
        rig.wait(CLOSING[min(tried, len(CLOSING) - 1)] - LATE)
        assert len(rig.orders) == before, outcome
        rig.wait(2 * LATE)
        tried += 1
        assert rig.shown()[before:] == [f"sell {left / 100:g} close trail"], (outcome, tried)


def test_a_protective_exit_that_the_venue_does_not_take_as_reducing_waits_for_the_account() -> None:
    rig = fired(1)
    before = len(rig.orders)
    rig.reject(rig.order, "reduce only")
    assert rig.all(QueryAccount)
    rig.wait(8)
    assert len(rig.orders) == before
    rig.account()
    assert rig.shown()[before:] == ["sell 1 close trail"]
