"""The books: exact after any fills, and targets ask for exactly what is missing (I7, O27, R04)."""

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


def desk(cash: str = "1000") -> Harness:
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
    """Shorts, flips and many strategies too; by fractions that never round."""
    on = desk()
    paid, fees, held = Fraction(0), Fraction(0), {1: 0, 2: 0}
    for number, (instrument, side, size, price, fee, strategy) in enumerate(plan):
        text = str(fee) if number % 2 else fee
        on.send(order(number, side, size, strategy, instrument))
        on.send(fill(number, side, size, price, text, instrument))
        unit = Fraction(1, 10 ** LISTED[instrument].money_scale)
        paid += side * size * price * unit
        fees += fee * unit
        held[instrument] += side * size
    for instrument, mark in ((1, mark_1), (2, mark_2)):
        on.send(PriceMarked(T, instrument, mark))
    told = on.all(EquityMarked)[-1]
    unit = Fraction(1, 10**told.scale)
    worth = sum(
        Fraction(held[one] * mark, 10 ** LISTED[one].money_scale) for one, mark in ((1, mark_1), (2, mark_2))
    )
    assert int(told.equity) * unit == 1000 - paid - fees + worth
    assert int(told.fees) * unit == fees
    assert (
        int(told.equity) * unit == 1000 + (int(told.realized) + int(told.unrealized) - int(told.fees)) * unit
    )


@given(fills)
def test_i7_a_position_is_the_sum_of_its_fills(plan: list[tuple[int, int, int, int, int, str]]) -> None:
    on = desk()
    sums: dict[tuple[str, int], int] = {}
    for number, (instrument, side, size, price, fee, strategy) in enumerate(plan):
        on.send(order(number, side, size, strategy, instrument))
        on.send(fill(number, side, size, price, fee, instrument))
        sums[strategy, instrument] = sums.get((strategy, instrument), 0) + side * size
        last = on.all(PositionChanged)[-1]
        assert (last.strategy, last.instrument, last.size) == (
            strategy,
            instrument,
            sums[strategy, instrument],
        )
        if not last.size:
            assert int(last.cost) == 0


def test_a_round_trip_realizes_the_difference_and_a_flip_opens_at_the_new_price() -> None:
    on = desk()
    on.send(order(1, BUY, 10), fill(1, BUY, 10, 100), order(2, SELL, 15), fill(2, SELL, 15, 120))
    last = on.all(PositionChanged)[-1]
    assert (last.size, last.cost, last.realized) == (-5, -600, 200)


def test_money_beyond_64_bits_is_text() -> None:
    on = desk()
    on.send(order(1, BUY, INT64_MAX), fill(1, BUY, INT64_MAX, 1000))
    assert on.all(PositionChanged)[-1].cost == str(INT64_MAX * 1000)


def test_o16_a_fill_of_no_known_order_is_external() -> None:
    on = desk()
    on.send(fill(99, BUY, 5))
    assert on.all(PositionChanged)[-1].strategy == "external"


def test_o04_a_doubled_fill_is_booked_once() -> None:
    on = desk()
    on.send(order(1, BUY, 10), fill(1, BUY, 4), fill(1, BUY, 4))
    assert on.all(PositionChanged)[-1].size == 4


# Targets.


def target(size: int, strategy: str = "a", instrument: int = 1) -> TargetSet:
    return TargetSet(T, strategy, instrument, size)


def test_a_target_asks_for_exactly_what_is_missing() -> None:
    on = desk()
    (wish,) = on.send(target(10))
    assert (wish.side, wish.size, wish.limit_price, wish.for_target) == (BUY, 10, 0, True)
    on.send(order(1, BUY, 10), fill(1, BUY, 10))
    (wish,) = on.send(target(-4))
    assert (wish.side, wish.size) == (SELL, 14)
    on.send(order(2, SELL, 14), fill(2, SELL, 14))
    assert on.send(target(-4)) == []


targets = st.lists(
    st.tuples(st.integers(-50, 50), st.sampled_from(["wait", "fill", "part", "cancel", "reject", "refuse"])),
    min_size=1,
    max_size=20,
)


@given(targets)
def test_what_is_held_and_on_its_way_is_always_the_last_target(plan: list[tuple[int, str]]) -> None:
    """Two targets in one turn, fills in part, cancels, refusals: nothing is asked for twice or forgotten."""
    on = desk()
    held, working, number = 0, dict[int, tuple[int, int]](), 0
    for size, fate in plan:
        wishes = on.send(target(size))
        missing = size - held - sum(side * left for side, left in working.values())
        assert [wish.side * wish.size for wish in wishes] == ([missing] if missing else [])
        for wish in wishes:
            number += 1
            if fate == "refuse":
                on.send(OrderRefused(T, 1, "a", 1, wish.side, wish.size, "x", ""))
                continue
            on.send(order(number, wish.side, wish.size))
            left = wish.size
            if fate in ("fill", "part"):
                done = wish.size if fate == "fill" else max(1, wish.size // 2)
                on.send(fill(number, wish.side, done))
                held += wish.side * done
                left -= done
                if not left:
                    on.send(OrderChanged(T, f"0x{number}", "s", 1, "Filled", done, 0))
            elif fate == "cancel":
                on.send(OrderChanged(T, f"0x{number}", "s", 1, "Canceled", 0, left))
                left = 0
            elif fate == "reject":
                on.send(OrderChanged(T, f"0x{number}", "s", 1, "Rejected", 0, left))
                left = 0
            if left:
                working[number] = wish.side, left
    assert on.actor.state()["_orders"].keys() == {f"0x{one}" for one in working}


def test_targets_of_two_strategies_do_not_touch() -> None:
    on = desk()
    (one,) = on.send(target(10, "a"))
    (other,) = on.send(target(10, "b"))
    assert (one.size, other.size) == (10, 10)
    assert on.send(target(10, "a"), target(10, "b")) == []


def test_a_strategys_own_order_counts_as_on_its_way() -> None:
    on = desk()
    on.send(OrderRequested(T, "a", 1, BUY, 3))
    (wish,) = on.send(target(10))
    assert wish.size == 7
    on.send(OrderRefused(T, 1, "a", 1, BUY, 3, "x", ""))
    (wish,) = on.send(target(10))
    assert wish.size == 3


# Marks.


def bar(close: int, revision: int = 0) -> BarClosed:
    kind = BarCorrected if revision else BarClosed
    return kind(T, 1, MINUTE, T, close, close, close, close, 1, 1, "trade", revision)


def test_equity_is_told_at_a_bar_only_when_something_is_held_and_the_price_moved() -> None:
    on = desk()
    assert on.send(bar(100)) == []
    on.send(order(1, BUY, 10), fill(1, BUY, 10, 100))
    assert on.send(bar(100)) == []
    (told,) = on.send(bar(110))
    assert int(told.unrealized) * 10**5 == 100 * 10**told.scale
    assert on.send(bar(500, revision=1)) == []
