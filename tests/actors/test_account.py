"""The books against the venue: positions compared at one time, adoption, funding once (O04, O16, O18)."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from engine.actors import Portfolio
from engine.config import AccountConfig, VenueConfig
from engine.events import (
    AccountRead,
    EquityMarked,
    FundingPaid,
    OrderChanged,
    OrderFilled,
    PositionChanged,
    PositionDiffers,
    PositionRead,
    SessionStarted,
    SubmitOrder,
)
from engine.values import BUY, SELL
from tests.actors.harness import Harness, T

STARTED = SessionStarted(T, "a" * 16, "live", "", "", "", (), "")
ACCOUNT = AccountRead(T, T, "g", 6, 0, 0, 0, 0)


def new_harness(*, adopt: bool = False) -> Harness:
    harness = Harness(Portfolio(AccountConfig("1000"), VenueConfig(adopt=adopt)))
    harness.send(STARTED)
    return harness


def fill(number: int, side: int, size: int, at_ns: int = T, order_id: str = "") -> OrderFilled:
    return OrderFilled(at_ns, at_ns, order_id, 1, side, 100, size, 0, "taker", number)


def read(size: int, at_ns: int = T) -> PositionRead:
    return PositionRead(at_ns, at_ns, 1, size, 4, 1_000_000)


@given(
    st.lists(st.tuples(st.sampled_from([BUY, SELL]), st.integers(1, 9), st.integers(0, 5)), max_size=20),
    st.integers(0, 6),
    st.sampled_from([0, 0, 1, -3]),
)
def test_o18_a_position_is_compared_with_the_fills_of_the_same_time(
    plan: list[tuple[int, int, int]], at: int, error: int
) -> None:
    harness = new_harness()
    for number, (side, size, when) in enumerate(sorted(plan, key=lambda one: one[2]), 1):
        harness.send(fill(number, side, size, T + when))
    true = sum(side * size for side, size, when in plan if when <= at)
    answer = harness.send(read(true + error, T + at))
    if error:
        (differs,) = answer
        assert isinstance(differs, PositionDiffers)
        assert (differs.own, differs.venue, differs.adopted) == (true, true + error, False)
    else:
        assert answer == []


def test_o17_a_position_at_the_start_is_adopted_only_if_configured() -> None:
    for adopt in (False, True):
        harness = new_harness(adopt=adopt)
        differs, *rest = harness.send(read(-7))
        assert (differs.own, differs.venue, differs.adopted) == (0, -7, adopt)
        held = [one for one in rest if isinstance(one, PositionChanged)]
        assert [(one.strategy, one.size, one.cost) for one in held] == (
            [("external", -7, -70_000)] if adopt else []
        )
        assert bool(harness.send(read(-7))) is not adopt


def test_o18_nothing_is_adopted_after_the_account_was_read() -> None:
    harness = new_harness(adopt=True)
    harness.send(ACCOUNT)
    (differs,) = harness.send(read(5))
    assert differs.adopted is False
    harness.send(STARTED)
    assert harness.send(read(5))[0].adopted is True


def test_o16_a_foreign_fill_moves_the_external_position() -> None:
    harness = new_harness()
    emitted = harness.send(fill(1, BUY, 5))[0]
    assert (emitted.strategy, emitted.size) == ("external", 5)
    assert harness.send(read(5)) == []


def test_o06_a_late_fill_is_booked_to_the_strategy_that_sent_the_order() -> None:
    harness = new_harness()
    harness.send(
        SubmitOrder(T, "0x1", "s", 1, BUY, 10, 0, "Ioc", False),
        OrderChanged(T, "0x1", "s", 1, "Canceled", 0, 10),
    )
    emitted = harness.send(fill(1, BUY, 5, order_id="0x1"))[0]
    assert (emitted.strategy, emitted.size) == ("s", 5)
    assert harness.send(fill(1, BUY, 5, order_id="0x1")) == [], "O04: reported twice, counted once"


def test_o27_funding_is_booked_once_at_any_scale() -> None:
    harness = new_harness()
    paid = FundingPaid(T, T + 1, 1, 10, 6, -601_087, 125)
    (equity,) = harness.send(paid)
    assert isinstance(equity, EquityMarked)
    assert (equity.scale, equity.funding, equity.equity) == (6, -601_087, 1_000_000_000 - 601_087)
    assert harness.send(paid) == []
    (equity,) = harness.send(FundingPaid(T, T + 2, 1, 10, 8, 100, 1))
    assert (equity.scale, equity.funding) == (8, -60_108_600)
    assert len(harness.send(FundingPaid(T, T + 2, 2, 10, 8, 100, 1))) == 1, "a payment for another instrument"
