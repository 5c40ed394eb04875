"""Fills that are reported in another order than the venue made them: the account's profit is the venue's."""

from __future__ import annotations

from fractions import Fraction
from itertools import accumulate
from typing import Any

from hypothesis import assume, given
from hypothesis import strategies as st

from engine.actors.books.book import Executed, in_succession
from engine.actors.books.readings import RECENT_MAX
from engine.events import AccountAdjusted
from engine.snapshot import classes_of
from engine.states import decode_state, encode_state
from engine.values import BUY, SELL
from tests.actors.books_kit import MS, Kit, exact
from tests.actors.harness import T
from tests.profiles import examples

F = Fraction
CENT = F(1, 100)
STEP_NS = 10 * MS
FILLS = st.lists(
    st.tuples(
        st.sampled_from(["S1", "S1", "S2"]),
        st.sampled_from([BUY, SELL]),
        st.integers(1, 9),
        st.integers(90, 110),
    ),
    min_size=2,
    max_size=14,
)


def venue_cash(fills: list[tuple[str, int, int, int]]) -> list[Fraction]:
    """Return the venue's cash before the first fill and after each: one position at its average price."""
    size, entry, cash = F(0), F(0), F(1000)
    found = [cash]
    for _, side, amount, price in fills:
        change = F(side * amount, 10)
        if size * change >= 0:
            entry = (entry * abs(size) + price * abs(change)) / (abs(size) + abs(change))
        else:
            closed = min(abs(size), abs(change))
            cash += (price - entry) * closed * (1 if size > 0 else -1)
            if abs(change) > abs(size):
                entry = F(price)
        size += change
        found.append(cash)
    return found


def text(value: Fraction) -> str:
    return f"{round(value * 10**8)}e-8"


def unexplained(events: list[Any]) -> list[Fraction]:
    return [exact(one.amount, one.scale) for one in events if isinstance(one, AccountAdjusted)]


def report(kit: Kit, fills: list[tuple[str, int, int, int]], number: int, orders: list[str]) -> None:
    _, side, amount, price = fills[number]
    kit.fill(orders[number], side, f"{amount}e-1", str(price), at_ns=T + (number + 1) * STEP_NS)


def read(kit: Kit, cash: list[Fraction], number: int) -> list[Any]:
    """Read the account as it was after the first fills; its open profit is left out of both numbers."""
    return kit.account_read(text(cash[number]), at_ns=T + number * STEP_NS + STEP_NS // 2)


def restart(kit: Kit) -> None:
    """Restore the books from what is stored at midnight."""
    blob = encode_state(kit.books.state(), "books")
    kit.books.restore(decode_state(blob, classes_of(kit.books)))


@examples(2)
@given(FILLS, st.data())
def test_the_order_of_reports_does_not_change_the_profit_at_any_time(
    fills: list[tuple[str, int, int, int]], data: st.DataObject
) -> None:
    cash = venue_cash(fills)
    kit = Kit(real=True)
    kit.account_read("1000")
    orders = [kit.order(owner, side, f"{amount}e-1") for owner, side, amount, _ in fills]
    for number in data.draw(st.permutations(range(len(fills)))):
        report(kit, fills, number, orders)
        if number % 3 == 0:
            restart(kit)
    for number in range(len(fills) + 1):
        assert unexplained(read(kit, cash, number)) == [], number


@examples(2)
@given(FILLS, st.data())
def test_readings_between_the_reports_leave_no_difference(
    fills: list[tuple[str, int, int, int]], data: st.DataObject
) -> None:
    """A reading that has fills which are not reported yet moves equity; their reports take that back."""
    cash = venue_cash(fills)
    kit = Kit(real=True)
    kit.account_read("1000")
    orders = [kit.order(owner, side, f"{amount}e-1") for owner, side, amount, _ in fills]
    missing = set(range(len(fills)))
    newest = 0
    for number in data.draw(st.permutations(range(len(fills)))):
        report(kit, fills, number, orders)
        missing.discard(number)
        newest = data.draw(st.integers(newest, len(fills)))
        moved = unexplained(read(kit, cash, newest))
        if all(one >= newest for one in missing):
            assert moved == []
            assert abs(kit.equity()["adjustments"]) < CENT
    assert abs(kit.equity()["adjustments"]) < CENT


@examples(2)
@given(FILLS, st.data())
def test_fills_of_one_time_are_in_the_order_of_the_positions_that_they_found(
    fills: list[tuple[str, int, int, int]], data: st.DataObject
) -> None:
    """A position that is met twice has more than one order; then any of them is right."""
    held = [0, *accumulate(side * amount for _, side, amount, _ in fills)]
    assume(len({*held}) == len(held))
    cash = venue_cash(fills)
    kit = Kit(real=True)
    kit.account_read("1000")
    orders = [kit.order(owner, side, f"{amount}e-1") for owner, side, amount, _ in fills]
    for number in data.draw(st.permutations(range(len(fills)))):
        _, side, amount, price = fills[number]
        found = held[number] * kit.size("1e-1")
        kit.fill(orders[number], side, f"{amount}e-1", str(price), at_ns=T + STEP_NS, found=found)
        if number % 3 == 0:
            restart(kit)
    assert unexplained(kit.account_read(text(cash[-1]), at_ns=T + 2 * STEP_NS)) == []


def test_a_sale_of_one_time_is_reported_before_the_purchases_that_came_first() -> None:
    """Short 1.8: bought 0.5 and 0.5, then sold 0.5, all within a millisecond."""
    kit = Kit(real=True)
    kit.account_read("1000")
    kit.trades("S1", SELL, "1.8", "372", at_ns=T + MS, found=0)
    unit = kit.size("1e-1")
    for side, price, found in ((SELL, "368", -8), (BUY, "366", -18), (BUY, "366", -13)):
        kit.trades("S1", side, "0.5", price, at_ns=T + 5 * MS, found=found * unit)
    assert unexplained(kit.account_read("1006", at_ns=T + 9 * MS)) == []


def test_a_fill_that_leads_back_comes_before_the_one_that_nothing_follows() -> None:
    first, back, last = (Executed(T, side, 5, 1, found=found) for side, found in ((1, 0), (-1, 5), (1, 0)))
    assert [one.found for one in in_succession(0, [back, last, first])] == [0, 5, 0]
    ends, out, home = (
        Executed(T, side, size, 1, found=at) for side, size, at in ((1, 5, 0), (1, 2, 0), (-1, 2, 2))
    )
    assert in_succession(0, [ends, out, home]) == [out, home, ends]
    unknown = Executed(T, 1, 5, 1)
    assert in_succession(0, [back, unknown, first]) == [back, unknown, first]


def test_a_fill_that_closes_is_reported_before_the_one_that_opened() -> None:
    kit = Kit(real=True)
    kit.account_read("1000")
    opens, closes = kit.order("S1", BUY, "1"), kit.order("S1", SELL, "1")
    kit.fill(closes, SELL, "1", "110", at_ns=T + 20 * MS)
    kit.fill(opens, BUY, "1", "100", at_ns=T + 10 * MS)
    assert unexplained(kit.account_read("1000", at_ns=T + 15 * MS)) == []
    assert unexplained(kit.account_read("1010", at_ns=T + 25 * MS)) == []


def test_a_difference_is_taken_back_from_the_account_although_its_book_has_changed_since() -> None:
    kit = Kit(real=True)
    kit.position_read("0")
    kit.account_read("1000")
    kit.trades("S1", BUY, "1", "100", at_ns=T + MS)
    missing = kit.order("S1", BUY, "1")
    kit.trade("105")
    kit.position_read("2", at_ns=T + 10 * MS)
    kit.fill("", BUY, "0.5", "106", at_ns=T + 15 * MS)
    kit.fill(missing, BUY, "1", "103", at_ns=T + 5 * MS)
    assert kit.sizes() == {"S1": 2, "external": F(1, 2)}
    assert unexplained(kit.account_read("1000", at_ns=T + 20 * MS)) == []
    kit.fill("", SELL, "2.5", "110", at_ns=T + 25 * MS)
    assert unexplained(kit.account_read("1019", at_ns=T + 30 * MS)) == []


def test_the_executions_that_are_kept_are_bounded_and_older_ones_count_as_the_first() -> None:
    kit = Kit(real=True)
    kit.account_read("1000")
    for number in range(RECENT_MAX + 20):
        kit.trades("S1", BUY if number % 2 else SELL, "1", "100", at_ns=T + (number + 100) * MS)
    net = kit.books.nets[1]
    assert len(net.recent) == RECENT_MAX
    kit.trades("S1", BUY, "1", "100", at_ns=T + MS)
    assert len(net.recent) == RECENT_MAX
    assert net.size == kit.books.account(1)


def test_on_paper_none_are_kept() -> None:
    kit = Kit()
    kit.trades("S1", BUY, "1", "100", at_ns=T + MS)
    assert kit.books.nets[1].recent == []
