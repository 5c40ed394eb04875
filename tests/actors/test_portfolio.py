"""The books are exact after any fills; targets request exactly the difference (I7, O27, R04)."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import example, given
from hypothesis import strategies as st

from engine.actors import Portfolio
from engine.config import AccountConfig
from engine.events import (
    BarClosed,
    BarCorrected,
    EquityMarked,
    OrderChanged,
    OrderFilled,
    OrderRefused,
    OrderRequested,
    PositionChanged,
    PriceMarked,
    SubmitOrder,
    TargetSet,
)
from engine.values import BUY, INT64_MAX, SELL
from tests.actors.harness import LISTED, MINUTE, Harness, T

fills = st.lists(
    st.tuples(
        st.sampled_from([1, 2]),
        st.sampled_from([BUY, SELL]),
        st.integers(1, 10**9) | st.just(INT64_MAX),
        st.integers(1, 10**6),
        st.integers(-(10**9), 10**9),
        st.sampled_from(["a", "b"]),
    ),
    min_size=1,
    max_size=25,
)


def new_harness(cash: str = "1000") -> Harness:
    return Harness(Portfolio(AccountConfig(cash)))


def order(number: int, side: int, size: int, strategy: str = "a", instrument: int = 1) -> SubmitOrder:
    return SubmitOrder(T, f"0x{number}", strategy, instrument, side, size, 0, "Gtc", False)


def fill(
    number: int, side: int, size: int, price: int = 100, fee: int | str = 0, instrument: int = 1
) -> OrderFilled:
    return OrderFilled(T, T, f"0x{number}", instrument, side, price, size, fee, "taker", number)


@given(fills, st.integers(1, 10**6), st.integers(1, 10**6))
@example([(1, BUY, 3, 7, 0, "a"), (1, SELL, 10, 9, 0, "a"), (1, BUY, 2, 5, 0, "a")], 1, 1)
@example([(1, BUY, 7, 10, 1, "a"), (1, SELL, 3, 11, 1, "b"), (1, SELL, 3, 1, -1, "a")], 5, 5)
def test_equity_is_cash_and_fills_and_fees_and_the_position_at_its_mark(
    plan: list[tuple[int, int, int, int, int, str]], mark_1: int, mark_2: int
) -> None:
    """With shorts, flips and several strategies; computed with exact fractions."""
    harness = new_harness()
    paid, fees, held = Fraction(0), Fraction(0), {1: 0, 2: 0}
    for number, (instrument, side, size, price, fee, strategy) in enumerate(plan):
        text = str(fee) if number % 2 else fee
        harness.send(order(number, side, size, strategy, instrument))
        harness.send(fill(number, side, size, price, text, instrument))
        unit = Fraction(1, 10 ** LISTED[instrument].money_scale)
        paid += side * size * price * unit
        fees += fee * unit
        held[instrument] += side * size
    for instrument, mark in ((1, mark_1), (2, mark_2)):
        harness.send(PriceMarked(T, instrument, mark))
    emitted = harness.all(EquityMarked)[-1]
    unit = Fraction(1, 10**emitted.scale)
    worth = sum(
        Fraction(held[one] * mark, 10 ** LISTED[one].money_scale) for one, mark in ((1, mark_1), (2, mark_2))
    )
    assert int(emitted.equity) * unit == 1000 - paid - fees + worth
    assert int(emitted.fees) * unit == fees
    assert (
        int(emitted.equity) * unit
        == 1000 + (int(emitted.realized) + int(emitted.unrealized) - int(emitted.fees)) * unit
    )


@given(fills)
def test_i7_a_position_is_the_sum_of_its_fills(plan: list[tuple[int, int, int, int, int, str]]) -> None:
    harness = new_harness()
    sums: dict[tuple[str, int], int] = {}
    for number, (instrument, side, size, price, fee, strategy) in enumerate(plan):
        harness.send(order(number, side, size, strategy, instrument))
        harness.send(fill(number, side, size, price, fee, instrument))
        sums[strategy, instrument] = sums.get((strategy, instrument), 0) + side * size
        last = harness.all(PositionChanged)[-1]
        assert (last.strategy, last.instrument, last.size) == (
            strategy,
            instrument,
            sums[strategy, instrument],
        )
        if not last.size:
            assert int(last.cost) == 0


def test_a_round_trip_realizes_the_difference_and_a_flip_opens_at_the_new_price() -> None:
    harness = new_harness()
    harness.send(order(1, BUY, 10), fill(1, BUY, 10, 100), order(2, SELL, 15), fill(2, SELL, 15, 120))
    last = harness.all(PositionChanged)[-1]
    assert (last.size, last.cost, last.realized) == (-5, -600, 200)


def test_money_beyond_64_bits_is_text() -> None:
    harness = new_harness()
    harness.send(order(1, BUY, INT64_MAX), fill(1, BUY, INT64_MAX, 1000))
    assert harness.all(PositionChanged)[-1].cost == str(INT64_MAX * 1000)


def test_o16_a_fill_of_an_unknown_order_is_external() -> None:
    harness = new_harness()
    harness.send(fill(99, BUY, 5))
    assert harness.all(PositionChanged)[-1].strategy == "external"


def test_o04_a_duplicate_fill_is_booked_once() -> None:
    harness = new_harness()
    harness.send(order(1, BUY, 10), fill(1, BUY, 4), fill(1, BUY, 4))
    assert harness.all(PositionChanged)[-1].size == 4


# Targets.


def target(size: int, strategy: str = "a", instrument: int = 1) -> TargetSet:
    return TargetSet(T, strategy, instrument, size)


def test_a_target_requests_exactly_the_difference() -> None:
    harness = new_harness()
    (request,) = harness.send(target(10))
    assert (request.side, request.size, request.limit_price, request.for_target) == (BUY, 10, 0, True)
    harness.send(order(1, BUY, 10), fill(1, BUY, 10))
    (request,) = harness.send(target(-4))
    assert (request.side, request.size) == (SELL, 14)
    harness.send(order(2, SELL, 14), fill(2, SELL, 14))
    assert harness.send(target(-4)) == []


targets = st.lists(
    st.tuples(st.integers(-50, 50), st.sampled_from(["wait", "fill", "part", "cancel", "reject", "refuse"])),
    min_size=1,
    max_size=20,
)


@given(targets)
def test_position_and_working_orders_add_up_to_the_last_target(plan: list[tuple[int, str]]) -> None:
    """Repeated targets, partial fills, cancels and refusals: nothing is requested twice or forgotten."""
    harness = new_harness()
    held, working, number = 0, dict[int, tuple[int, int]](), 0
    for size, fate in plan:
        requests = harness.send(target(size))
        missing = size - held - sum(side * left for side, left in working.values())
        assert [request.side * request.size for request in requests] == ([missing] if missing else [])
        for request in requests:
            number += 1
            if fate == "refuse":
                harness.send(OrderRefused(T, 1, "a", 1, request.side, request.size, "x", ""))
                continue
            harness.send(order(number, request.side, request.size))
            left = request.size
            if fate in ("fill", "part"):
                done = request.size if fate == "fill" else max(1, request.size // 2)
                harness.send(fill(number, request.side, done))
                held += request.side * done
                left -= done
                if not left:
                    harness.send(OrderChanged(T, f"0x{number}", "s", 1, "Filled", done, 0))
            elif fate == "cancel":
                harness.send(OrderChanged(T, f"0x{number}", "s", 1, "Canceled", 0, left))
                left = 0
            elif fate == "reject":
                harness.send(OrderChanged(T, f"0x{number}", "s", 1, "Rejected", 0, left))
                left = 0
            if left:
                working[number] = request.side, left
    assert harness.actor.state()["_orders"].keys() == {f"0x{one}" for one in working}


def test_targets_of_two_strategies_are_independent() -> None:
    harness = new_harness()
    (one,) = harness.send(target(10, "a"))
    (other,) = harness.send(target(10, "b"))
    assert (one.size, other.size) == (10, 10)
    assert harness.send(target(10, "a"), target(10, "b")) == []


def test_a_strategys_own_order_counts_as_working() -> None:
    harness = new_harness()
    harness.send(OrderRequested(T, "a", 1, BUY, 3))
    (request,) = harness.send(target(10))
    assert request.size == 7
    harness.send(OrderRefused(T, 1, "a", 1, BUY, 3, "x", ""))
    (request,) = harness.send(target(10))
    assert request.size == 3


# Marks.


def bar(close: int, revision: int = 0) -> BarClosed:
    kind = BarCorrected if revision else BarClosed
    return kind(T, 1, MINUTE, T, close, close, close, close, 1, 1, "trade", revision)


def test_equity_is_emitted_at_a_bar_only_with_a_position_and_a_new_price() -> None:
    harness = new_harness()
    assert harness.send(bar(100)) == []
    harness.send(order(1, BUY, 10), fill(1, BUY, 10, 100))
    assert harness.send(bar(100)) == []
    (emitted,) = harness.send(bar(110))
    assert int(emitted.unrealized) * 10**5 == 100 * 10**emitted.scale
    assert harness.send(bar(500, revision=1)) == []
