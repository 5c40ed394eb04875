"""Every fill is booked once, to its owner, never across 0; money is exact and rounded against the account."""

from __future__ import annotations

from fractions import Fraction
from math import floor
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from engine.clock import DAY_NS, SECOND_NS
from engine.events import (
    AccountAdjusted,
    BarClosed,
    Candle,
    ContextRead,
    EquityMarked,
    FillBooked,
    FundingPaid,
    InstrumentListed,
    MarketHalted,
    OperatorCommand,
    PositionChanged,
    PriceMarked,
    SessionStopped,
    Trade,
    TransferSeen,
)
from engine.instruments import Instruments
from engine.snapshot import classes_of
from engine.states import decode_state, encode_state
from engine.values import BUY, INT64_MAX, SELL
from tests.actors.books_kit import MS, SESSION, Kit, exact
from tests.actors.harness import LISTED, MINUTE, T
from tests.orders.ledger import Account, Book, parts, sign

F = Fraction


# Whose a fill is.


def test_a_fill_belongs_to_the_strategy_that_sent_its_order() -> None:
    kit = Kit()
    order = kit.order("S2", BUY, "1")
    booked, changed, equity = kit.fill(order, BUY, "1", "100", fee="0.045")
    assert isinstance(booked, FillBooked)
    assert isinstance(changed, PositionChanged)
    assert isinstance(equity, EquityMarked)
    assert (booked.owner, booked.client_order_id, booked.role) == ("S2", order, "open")
    assert (booked.external, booked.over, booked.handle) == (False, False, "S2-1")
    assert kit.sizes() == {"S2": 1}


def test_o04_a_fill_that_is_reported_twice_is_booked_once() -> None:
    kit = Kit()
    order = kit.order("S1", BUY, "1")
    assert kit.fill(order, BUY, "0.4", "100", trade_id=77)
    assert kit.fill(order, BUY, "0.4", "100", trade_id=77) == []
    assert kit.held("S1") == F("0.4")


def test_trade_ids_count_by_market_and_side() -> None:
    """Both orders of the engine may be in one trade of the venue, on its two sides."""
    kit = Kit()
    kit.fill(kit.order("S1", BUY, "1"), BUY, "1", "100", trade_id=77)
    kit.fill(kit.order("S2", SELL, "1"), SELL, "1", "100", trade_id=77)
    kit.fill(kit.order("S2", SELL, "1", market=2), SELL, "1", "100", trade_id=77, market=2)
    assert (kit.sizes(1), kit.sizes(2)) == ({"S1": 1, "S2": -1}, {"S2": -1})


def test_fills_without_a_trade_id_are_all_new() -> None:
    kit = Kit()
    order = kit.order("S1", BUY, "2")
    kit.fill(order, BUY, "1", "100", trade_id=0)
    kit.fill(order, BUY, "1", "100", trade_id=0)
    assert kit.held("S1") == 2


def test_the_memory_of_executions_is_bounded_and_long() -> None:
    kit = Kit()
    kit.books.real = True
    order = kit.order("S1", BUY, "1000")
    for number in range(1, 25_001):
        kit.books.executions.first_of(f"1 {number} 1", 10_000)
    memory = kit.books.executions
    assert len(memory.newer) + len(memory.older) <= 20_000
    assert kit.fill(order, BUY, "1", "100", trade_id=15_001) == []
    assert kit.fill(order, BUY, "1", "100", trade_id=1), "long forgotten"


def test_o06_a_late_fill_of_an_order_that_ended_goes_to_its_strategy() -> None:
    kit = Kit()
    order = kit.order("S1", BUY, "1")
    kit.end(order)
    kit.fill(order, BUY, "1", "100", at_ns=T + 2 * SECOND_NS)
    assert kit.sizes() == {"S1": 1}


def test_ended_orders_are_remembered_for_seven_days_and_the_last_10_000_always() -> None:
    kit = Kit()
    kit.books.real = True
    first = kit.order("S1", BUY, "1")
    live = kit.order("S1", BUY, "1")
    kit.end(first)
    for number in range(9_999):
        kit.end(kit.order("S1", BUY, "1"), T + 30 * DAY_NS + number)
    kit.fill(first, BUY, "1", "100")
    assert kit.held("S1") == 1, "one of the last 10,000 to end"
    kit.end(kit.order("S1", BUY, "1"), T + 31 * DAY_NS)
    assert kit.books.owners.of(first) is None
    for _ in range(3):
        kit.end(kit.order("S1", BUY, "1"), T + 31 * DAY_NS)
    assert len(kit.books.owners.ended) == 10_003, "the oldest is not seven days old"
    kit.fill(live, BUY, "1", "100")
    assert kit.held("S1") == 2, "a live order is never forgotten"


def test_a_fill_of_a_forgotten_order_of_this_journal_is_external_and_halts_its_market() -> None:
    kit = Kit()
    forgotten = f"0x{SESSION}{12345:016x}"
    assert kit.books.knows(forgotten)
    assert not kit.books.knows("0x" + "b" * 32)
    halted, *rest = kit.fill(forgotten, BUY, "1", "100")
    assert isinstance(halted, MarketHalted)
    assert halted.instrument == 1
    assert kit.booked(rest) == [("external", BUY, "1", "100", "open", False)]


# Never across 0.


def test_a_fill_across_zero_is_two() -> None:
    kit = Kit()
    kit.trades("S1", BUY, "1", "100")
    emitted = kit.trades("S1", SELL, "3", "110", fee="0.3")
    assert kit.booked(emitted) == [
        ("S1", SELL, "1", "110", "close", False),
        ("S1", SELL, "2", "110", "open", False),
    ]
    assert [exact(one.fee, 5) for one in emitted if isinstance(one, FillBooked)] == [F("0.1"), F("0.2")]
    assert len([one for one in emitted if isinstance(one, PositionChanged)]) == 1
    assert kit.position("S1") == {"size": -2, "cost": -220, "realized": 10, "fees": F("0.3"), "funding": 0}


def test_what_an_exit_fills_beyond_zero_is_marked_over() -> None:
    kit = Kit()
    kit.trades("S1", BUY, "1", "100")
    exit_ = kit.order("S1", SELL, "1", role="close")
    late = kit.order("S1", SELL, "1", role="close")
    assert kit.booked(kit.fill(exit_, SELL, "1", "102")) == [("S1", SELL, "1", "102", "close", False)]
    assert kit.booked(kit.fill(late, SELL, "1", "97")) == [("S1", SELL, "1", "97", "open", True)]
    assert kit.sizes() == {"S1": -1}


def test_an_order_that_may_open_is_never_over() -> None:
    kit = Kit()
    kit.trades("S1", BUY, "1", "100")
    (one, two) = kit.booked(kit.trades("S1", SELL, "2", "101"))
    assert (one[4:], two[4:]) == (("close", False), ("open", False))


# Money.


def test_realized_profit_is_rounded_down_and_the_cost_of_a_flat_book_is_zero() -> None:
    listed = {1: InstrumentListed(T, 1, "sim", "AAA", 2, 2)}
    kit = Kit(listed=listed)
    kit.trades("S1", BUY, "1", "10.00")
    kit.trades("S1", BUY, "2", "10.01")
    assert kit.position("S1")["cost"] == F("30.02")
    kit.trades("S1", SELL, "1", "10.01")
    assert kit.position("S1")["realized"] == F("0.00333333")
    assert kit.position("S1")["cost"] == F("20.01333333")
    kit.trades("S1", SELL, "2", "10.01")
    assert kit.position("S1")["realized"] == F("0.01")
    assert kit.position("S1")["cost"] == 0


def test_a_fee_is_finer_than_a_coarse_grid() -> None:
    """Price 1500, size 1, rate 0.00045 on a grid of whole units: 0.675, not 1."""
    kit = Kit(listed={1: InstrumentListed(T, 1, "sim", "AAA", 0, 0)})
    kit.trades("S1", BUY, "1", "1500", fee="0.675", finer=4)
    assert kit.equity()["fees"] == kit.position("S1")["fees"] == F("0.675")


def test_a_fill_price_is_finer_than_the_grid() -> None:
    """97.5 worsened by one basis point is 97.49025."""
    kit = Kit()
    kit.trades("S1", BUY, "1", "100")
    kit.trades("S1", SELL, "1", "97.49025", finer=4)
    assert kit.position("S1")["realized"] == F("97.49025") - 100


def test_a_rebate_is_a_negative_fee() -> None:
    kit = Kit()
    kit.trades("S1", BUY, "1", "100", fee="-0.01")
    assert kit.equity()["fees"] == F("-0.01")
    assert kit.equity()["equity"] == F("1000.01")


def test_the_equity_of_a_day() -> None:
    kit = Kit()
    assert kit.equity()["equity"] == 1000, "the first point is at the start"
    kit.trade("100")
    kit.trades("S1", BUY, "2", "100", fee="0.09")
    assert kit.equity()["equity"] == F("999.91")
    kit.trade("103")
    kit.trades("S1", SELL, "1", "103", fee="0.04635")
    assert kit.equity() == {
        "realized": 3,
        "unrealized": 3,
        "fees": F("0.13635"),
        "equity": F("1005.86365"),
        "funding": 0,
        "start": 1000,
        "adjustments": 0,
    }
    points = [exact(one.equity, one.scale) for one in kit.all(EquityMarked)]
    peaks = [max([F(1000), *points[: at + 1]]) for at in range(len(points))]
    assert max(peak - point for peak, point in zip(peaks, points, strict=True)) == F("0.09")


def test_positions_are_valued_at_the_mark_else_the_last_trade_else_a_close_else_their_cost() -> None:
    kit = Kit()
    kit.trades("S1", BUY, "1", "100")
    assert kit.equity()["unrealized"] == 0, "no price is known: it is worth its cost"
    kit.send(bar(10_100))
    assert kit.equity()["unrealized"] == 1
    kit.trade("102")
    kit.send(bar(10_100))
    assert kit.equity()["unrealized"] == 2, "a trade counts more than a close"
    kit.send(ContextRead(T, 1, 6, 103_000_001, None, None, None, None, None), bar(10_100))
    assert kit.equity()["unrealized"] == F("3.000001"), "the mark may be finer than the grid"
    kit.trade("90")
    kit.send(ContextRead(T, 1, 6, None, None, None, None, None, None), bar(9_000))
    assert kit.equity()["unrealized"] == F("3.000001")


def test_a_mark_finer_than_the_ledger_is_rounded_down() -> None:
    kit = Kit()
    for owner, side in (("S1", BUY), ("S2", SELL)):
        kit.trades(owner, side, "1", "100")
    mark = 10**23 + 1  # 100 and a bit, at 21 decimals
    kit.send(ContextRead(T, 1, 21, mark, None, None, None, None, None), bar(1))
    places = kit.books.scale
    assert kit.equity()["unrealized"] == F(floor(F(1, 10**21) * 10**places), 10**places) - F(1, 10**places)


def test_the_price_of_data_with_candles_only_is_the_last_close() -> None:
    kit = Kit()
    kit.trades("S1", BUY, "1", "100")
    kit.send(Candle(T, T, 1, MINUTE, T - MINUTE, 10_000, 10_400, 9_900, 10_300, 5), bar(10_300))
    assert kit.equity()["unrealized"] == 3


def bar(close: int, market: int = 1) -> BarClosed:
    return BarClosed(T, market, MINUTE, T, close, close, close, close, 1, 1, "trade")


def test_equity_is_marked_at_a_bar_only_with_a_position_and_a_new_value() -> None:
    kit = Kit()
    assert kit.send(bar(10_000)) == []
    kit.trades("S1", BUY, "1", "100")
    assert kit.send(bar(10_000)) == []
    assert len(kit.send(bar(11_000))) == 1
    assert kit.send(bar(11_000)) == [], "bars of several intervals close together"
    assert kit.send(bar(5, market=2)) == []


def test_equity_is_marked_at_the_start_and_at_the_stop() -> None:
    kit = Kit()
    assert [type(one) for one in kit.log] == [EquityMarked]
    (last,) = kit.send(SessionStopped(T, SESSION, "test"))
    assert exact(last.equity, last.scale) == 1000


def test_a_session_that_only_backfills_marks_nothing() -> None:
    kit = Kit()
    assert kit.begin("b" * 16, mode="backfill") == []


def test_a_change_of_the_configured_cash_is_no_profit() -> None:
    kit = Kit()
    kit.trades("S1", BUY, "1", "100", fee="1")
    changed = Kit(cash="1500")
    changed.books.restore(kit.books.state())
    adjusted, marked = changed.begin("b" * 16)
    assert isinstance(adjusted, AccountAdjusted)
    assert isinstance(marked, EquityMarked)
    assert exact(adjusted.amount, adjusted.scale) == 500
    assert (changed.equity()["equity"], changed.equity()["start"]) == (1499, 1000)
    assert len(changed.begin("c" * 16)) == 1, "once"


def test_the_scale_of_money_grows_with_the_markets_and_changes_nothing() -> None:
    listed = Instruments(LISTED.values())
    kit = Kit(listed=listed)
    kit.trade("100")
    kit.trades("S1", BUY, "3", "100", fee="0.1")
    kit.trades("S1", SELL, "1", "100.01")
    before, scale = kit.equity(), kit.books.scale
    listed[3] = InstrumentListed(T, 3, "sim", "CCC", 6, 4)
    kit.send(listed[3])
    assert kit.books.scale == 14 > scale
    kit.send(SessionStopped(T, SESSION, "test"))
    assert kit.equity() == before
    kit.trades("S1", SELL, "2", "100.02")
    assert kit.position("S1")["cost"] == 0
    assert kit.position("S1")["realized"] == F("0.05")


def test_money_beyond_64_bits_is_text() -> None:
    kit = Kit()
    listed = LISTED[1]
    size = F(INT64_MAX, 10**listed.size_scale)
    kit.trades("S1", BUY, str(size), "1000000")
    assert kit.position("S1")["cost"] == size * 1_000_000
    assert isinstance(kit.all(PositionChanged)[-1].cost, str)


plans = st.lists(
    st.tuples(
        st.sampled_from([1, 2]),
        st.sampled_from([BUY, SELL]),
        st.integers(1, 10**9) | st.just(INT64_MAX) | st.integers(1, 5),
        st.integers(1, 10**6),
        st.integers(-(10**9), 10**9),
        st.sampled_from(["S1", "S2"]),
        st.sampled_from([0, 4]),
    ),
    min_size=1,
    max_size=25,
)


@given(plans, st.integers(1, 10**6), st.integers(1, 10**6))
@example([(1, BUY, 3, 7, 0, "S1", 0), (1, SELL, 10, 9, 0, "S1", 4), (1, BUY, 2, 5, 0, "S1", 0)], 1, 1)
@example([(1, BUY, 7, 10, 1, "S1", 0), (1, SELL, 3, 11, 1, "S2", 0), (1, SELL, 3, 1, -1, "S1", 4)], 5, 5)
def test_i7_books_and_equity_are_those_of_exact_fractions(
    plan: list[tuple[int, int, int, int, int, str, int]], mark_1: int, mark_2: int
) -> None:
    """With shorts, fills across 0, two strategies and two markets; sums are exact, nothing is kinder."""
    kit = Kit()
    places = kit.books.scale
    account = Account(F(1000), places, ("S1", "S2"))
    paid = fees = F(0)
    for market, side, size, price, fee, owner, finer in plan:
        listed = LISTED[market]
        exact_size = exact(size, listed.size_scale)
        exact_price = exact(price, listed.price_scale + finer)
        exact_fee = exact(fee, listed.money_scale + finer)
        fields: dict[str, Any] = {"fee": str(exact_fee), "finer": finer, "market": market}
        emitted = kit.trades(owner, side, str(exact_size), str(exact_price), **fields)
        book = account.book(owner, market)
        before = book.size
        for part in parts(book.size, side, exact_size):
            book.fill(side, part, exact_price, F(0), places)
        book.fees += exact_fee
        paid += side * exact_size * exact_price
        fees += exact_fee
        booked = [one for one in emitted if isinstance(one, FillBooked)]
        assert sum(exact(one.fee, listed.money_scale + finer) for one in booked) == exact_fee
        assert sum(one.size for one in booked) == size
        assert len(booked) == (2 if before and sign(before) != sign(book.size) and book.size else 1)
        assert kit.position(owner, market) == _as_dict(book)
        if not book.size:
            assert kit.position(owner, market)["cost"] == 0
    marks = {1: exact(mark_1, LISTED[1].price_scale), 2: exact(mark_2, LISTED[2].price_scale)}
    for market in marks:
        kit.trade(str(marks[market]), market)
    kit.send(SessionStopped(T, SESSION, "test"))
    equity = kit.equity()
    assert equity["equity"] == account.equity(marks)
    worth = sum(account.size(market) * mark for market, mark in marks.items())
    assert equity["equity"] == 1000 - paid - fees + worth, "rounding moves profit in time, never equity"


def _as_dict(book: Book) -> dict[str, Fraction]:
    return {
        "size": book.size,
        "cost": book.cost,
        "realized": book.realized,
        "fees": book.fees,
        "funding": book.funding,
    }


def test_a_fill_that_is_finer_than_the_ledger_makes_the_ledger_finer() -> None:
    kit = Kit(listed={1: InstrumentListed(T, 1, "sim", "AAA", 0, 0)})
    kit.trades("S1", BUY, "1", "1.00000000001", fee="0.00000000001", finer=11)
    assert kit.position("S1")["cost"] == F("1.00000000001")
    assert kit.equity()["fees"] == F("0.00000000001")


def test_halts_are_not_repeated_before_a_person_resumed() -> None:
    kit = Kit()
    kit.fill("", SELL, "1", "100", cause="liquidation")
    kit.fill("", SELL, "1", "100", cause="liquidation")
    assert len(kit.all(MarketHalted)) == 1
    kit.send(OperatorCommand(T, "resume"))
    kit.fill("", SELL, "1", "100", cause="liquidation")
    assert len(kit.all(MarketHalted)) == 2


# What the books follow, and what a session that resumes finds.


def test_without_a_strategy_that_acts_between_bars_trades_are_followed_while_an_order_is_live() -> None:
    kit = Kit(watches=False)
    assert not kit.books.listens(Trade)
    order = kit.order("S1", BUY, "1")
    assert kit.books.listens(Trade)
    kit.trade("100")
    kit.fill(order, BUY, "1", "100.01")
    assert kit.equity()["unrealized"] == F("-0.01"), "the trade that filled it"
    kit.end(order, state="Filled")
    assert not kit.books.listens(Trade)
    kit.send(bar(10_100))
    assert kit.equity()["unrealized"] == F("0.99")
    kit.send(SessionStopped(T, SESSION, "test"), PriceMarked(T, 1, 10_200))
    assert kit.equity()["unrealized"] == F("1.99")
    for other in (Kit(), Kit(real=True, watches=False), Kit(watches=False, account={"prices": {"EUR": "1"}})):
        assert other.books.listens(Trade)


def test_the_state_is_that_of_the_inputs_and_comes_back_from_a_snapshot() -> None:
    """What the books emit is dropped when a session follows its records; a second actor sees only inputs."""
    kit, other = Kit(real=True), Kit(real=True)
    for one in (kit, other):
        for state in (False, True):
            if state and one is other:
                blob = encode_state(one.books.state(), "books")
                one.books.restore(decode_state(blob, classes_of(one.books)))
            one.position_read("2", at_ns=T - 9)
            one.account_read("1000", at_ns=T - 9)
            for number in range(3):
                order = one.order("S1", BUY, "2")
                one.fill(order, BUY, "1.5", "100", fee="0.01", at_ns=T + number)
                one.end(order)
            one.trade("103")
            one.position_read("1", at_ns=T + 5 * MS)
            one.account_read("999", at_ns=T + 5 * MS)
            one.fill("", SELL, "0.5", "101", at_ns=T + 4 * MS, fee="0.001", fee_asset="XYZ")
            one.send(FundingPaid(T, T + 6 * MS, 1, 1, 8, -12345, 0))
            one.send(TransferSeen(T, T + 7 * MS, 8, 5, "", "deposit", "1"))
    assert encode_state(kit.books.state(), "books") == encode_state(other.books.state(), "books")
    assert kit.books.corrections[1]
    assert kit.log == other.log
