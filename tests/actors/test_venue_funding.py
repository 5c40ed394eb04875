"""Funding at the simulated venue: what is paid, when, by which price, and what is left out."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import msgspec

from engine.actors import SimulatedVenue
from engine.config import AccountConfig
from engine.events import Event, FundingPaid, FundingRead
from engine.values import BUY, SELL
from tests.actors.harness import MINUTE, Harness, T
from tests.actors.venue_kit import HOUR, candle, context, listed, new_harness, order, placed, trade

STEP = listed(price_scale=0, size_scale=2)
RATE = 125  # 0.0000125 at scale 7
NOON = T  # a whole hour


def paid(events: list[Event]) -> list[tuple[str, int, Fraction, Fraction, int]]:
    """Return (owner, size, amount, rate, hours after noon) of each payment."""
    return [
        (
            one.owner,
            one.size,
            Fraction(int(one.amount), 10**one.scale),
            Fraction(int(one.rate), 10**one.scale),
            (one.venue_ns - NOON) // HOUR,
        )
        for one in events
        if isinstance(one, FundingPaid)
    ]


def read(hour: int, rate: int = RATE, at: int | None = None) -> FundingRead:
    """Return the rate for the hour that ended so many hours after noon."""
    return FundingRead(at or NOON + hour * HOUR, NOON + hour * HOUR, 1, 7, rate, 0)


def holding(**owners: int) -> Harness:
    """Return a harness whose owners hold this much, bought at 100."""
    harness = new_harness({1: STEP})
    for owner, size in owners.items():
        placed(harness, order(owner, BUY if size > 0 else SELL, abs(size), owner=owner))
        harness.send(trade(100))
    return harness


def fine(mark: int | None = None, oracle: int | None = None, at: int = T + 1, rate: int = RATE) -> Any:
    """Return a context at scale 7."""
    values = {"mark": mark and mark * 10**7, "oracle": oracle and oracle * 10**7, "funding": rate}
    return context(at=at, **{**values, "scale": 7})


def test_a_settlement_pays_position_times_oracle_times_rate_rounded_against_the_book() -> None:
    """The example of the rules: +1, oracle 103, 0.0000125: -0.0012875."""
    harness = holding(a=100)
    harness.send(fine(mark=102, oracle=103, at=NOON + 10 * MINUTE))
    events = harness.advance(NOON + HOUR)
    assert paid(events) == [("a", 100, Fraction("-0.0012875"), Fraction("0.0000125"), 1)]
    venue: Any = harness.actor
    assert Fraction(venue.cash, 10**venue.scale) == 9 * 10**12 - Fraction("0.0012875")


def test_without_an_oracle_price_the_mark_counts_and_else_the_last_price() -> None:
    harness = holding(a=100)
    harness.send(fine(mark=102, at=NOON + 1))
    assert paid(harness.advance(NOON + HOUR))[0][2] == Fraction("-0.001275")
    harness = holding(a=-100)
    harness.send(fine(at=NOON + 1))
    assert paid(harness.advance(NOON + HOUR))[0][2] == Fraction("0.00125")


def test_a_market_that_goes_by_its_mark_pays_by_it() -> None:
    harness = new_harness({1: listed(price_scale=0, size_scale=2, stated=True, funding_price="mark")})
    placed(harness, order("a", BUY, 100, owner="a"))
    harness.send(trade(100), fine(mark=102, oracle=103, at=NOON + 1))
    assert paid(harness.advance(NOON + HOUR))[0][2] == Fraction("-0.001275")


def test_each_book_pays_by_itself_also_if_the_account_is_flat() -> None:
    harness = holding(Long=300, Short=-300)
    harness.send(fine(oracle=100, at=NOON + 1))
    assert [one[:3] for one in paid(harness.advance(NOON + HOUR))] == [
        ("Long", 300, Fraction("-0.00375")),
        ("Short", -300, Fraction("0.00375")),
    ]


def test_every_hour_is_settled_once_and_none_with_an_old_rate() -> None:
    harness = holding(a=100)
    harness.send(fine(oracle=100, at=NOON + 1))
    assert [one[4] for one in paid(harness.advance(NOON + 5 * HOUR))] == [1], (
        "the rate is not of the next hour"
    )
    harness.send(fine(oracle=100, at=NOON + 5 * HOUR + 1), read(1, at=NOON + 5 * HOUR + 2))
    assert [one[4] for one in paid(harness.log)] == [1], "that hour has been settled"
    assert [one[4] for one in paid(harness.advance(NOON + 6 * HOUR))] == [6]


def test_a_rate_that_is_money_for_one_unit_pays_that_for_each_unit() -> None:
    """0.0000125 for each of 1.5 units, whatever the price; no price need be known."""
    for size, amount in ((150, "-0.00001875"), (-150, "0.00001875")):
        harness = holding(a=size)
        harness.send(fine(mark=102, oracle=103, at=NOON + 1))
        events = harness.send(msgspec.structs.replace(read(1), per_unit=True))
        assert paid(events) == [("a", size, Fraction(amount), Fraction("0.0000125"), 1)]


def test_a_rate_of_the_venues_history_counts_for_the_position_of_its_hour() -> None:
    harness = holding(a=100)
    late = NOON + HOUR + 20 * MINUTE
    placed(harness, order("more", BUY, 100, owner="a", at=NOON + HOUR + MINUTE))
    harness.send(trade(100, at=NOON + HOUR + 2 * MINUTE))
    assert paid(harness.send(read(1, at=late))) == [
        ("a", 100, Fraction("-0.00125"), Fraction("0.0000125"), 1)
    ]
    assert paid(harness.send(read(1, at=late))) == []
    assert [one[1] for one in paid(harness.send(read(2)))] == [200]


def test_a_rate_that_comes_days_late_is_not_applied() -> None:
    harness = holding(a=100)
    assert harness.send(read(1, at=NOON + 26 * HOUR)) == []


def test_funding_on_candles_is_paid_by_what_was_held_at_the_end_of_the_hour() -> None:
    harness = new_harness({1: STEP})
    harness.send(candle(100, 100, 100, 100, start=NOON + HOUR - 2 * MINUTE))
    placed(harness, order("a", BUY, 100, at=NOON + HOUR - MINUTE, owner="a"))
    harness.send(candle(100, 100, 100, 101, start=NOON + HOUR - MINUTE))
    assert paid(harness.send(read(1))) == [("a", 100, Fraction("-0.0012625"), Fraction("0.0000125"), 1)]


def test_a_market_without_rates_is_named_once_something_was_held_in_it() -> None:
    harness = new_harness({1: STEP})
    venue = harness.actor
    assert isinstance(venue, SimulatedVenue)
    assert venue.funding.without_rates() == []
    placed(harness, order("a", BUY, 100))
    harness.send(trade(100))
    assert venue.funding.without_rates() == ["AAA"]
    harness.send(read(1))
    assert venue.funding.without_rates() == []


def test_an_isolated_position_pays_out_of_its_margin() -> None:
    harness = new_harness({1: STEP}, account=AccountConfig(cash="1000", margin="isolated"))
    placed(harness, order("a", BUY, 100))
    harness.send(trade(100))
    venue: Any = harness.actor
    before = venue.positions[1].margin
    harness.send(read(1))
    assert Fraction(venue.positions[1].margin - before, 10**venue.scale) == Fraction("-0.00125")
