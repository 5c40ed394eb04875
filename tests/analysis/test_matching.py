"""Orders of two runs are matched by the stated rule, each once, and what differs is named."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.analysis.matching import (
    DECISION,
    FILL_PRICE,
    FILL_SIZE,
    LATENCY,
    WINDOW_NS,
    OrderRow,
    Orders,
    paired,
)
from engine.events import FillBooked, InstrumentListed, SubmitOrder
from engine.events.terms import OrderTerms

MS = 1_000_000
ROW = OrderRow(10, 1000 * MS, "s", "ABC", "buy", "5", "market", "up", "5", 100.0, 1100 * MS, 12, 1, "0.1")


def row(**changes: Any) -> OrderRow:
    return msgspec.structs.replace(ROW, **changes)


@pytest.mark.parametrize(
    ("changes", "differs"),
    [
        ({}, ()),
        ({"seq": 99, "fill_seq": 100, "fees": "7"}, ()),
        ({"at_ns": 1001 * MS, "filled_ns": 1101 * MS}, (DECISION,)),
        ({"terms": "limit 5 Gtc"}, (DECISION,)),
        ({"reason": "down"}, (DECISION,)),
        ({"filled": "3"}, (FILL_SIZE,)),
        ({"price": 101.0}, (FILL_PRICE,)),
        ({"filled_ns": 1200 * MS}, (LATENCY,)),
        ({"filled": "0", "price": None, "filled_ns": 0, "fill_seq": 0}, (FILL_SIZE,)),
    ],
)
def test_what_differs_is_named(changes: dict[str, Any], differs: tuple[str, ...]) -> None:
    pairs = paired([ROW], [row(**changes)])
    assert [pair.differs for pair in pairs] == [differs]


def test_a_worse_price_is_positive_on_both_sides() -> None:
    (bought,) = paired([row(price=101.0)], [ROW])
    (sold,) = paired([row(price=99.0, side="sell")], [row(side="sell")])
    assert bought.price_percent == pytest.approx(1.0)
    assert sold.price_percent == pytest.approx(1.0)
    (late,) = paired([row(filled_ns=1350 * MS)], [ROW])
    assert late.latency_ms == 250.0


def test_the_strategy_counts_before_the_size_and_the_size_before_the_time() -> None:
    near, sized, own = (
        row(seq=1, strategy="x", size="9"),
        row(seq=2, strategy="x", at_ns=1500 * MS),
        row(seq=3, size="9", at_ns=3000 * MS),
    )

    def partner(*others: OrderRow) -> int:
        return next(pair.backtest.seq for pair in paired([ROW], others) if pair.live and pair.backtest)

    assert partner(near, sized, own) == 3
    assert partner(near, sized) == 2
    assert partner(near) == 1


def test_many_orders_at_one_time_all_have_their_counterpart() -> None:
    """A grid of one strategy, and one order each of many: more than are near by their places."""
    grid = [row(seq=at, terms=f"limit {at} Gtc") for at in range(40)]
    many = [row(seq=100 + at, strategy=f"s-{at:03d}") for at in range(40)]
    later = [row(seq=200 + at, at_ns=ROW.at_ns + MS, terms=f"limit {at} Gtc", size="9") for at in range(40)]
    pairs = paired(grid + many, many[::-1] + grid[::-1])
    assert [pair.differs for pair in pairs] == [()] * 80
    moved = paired(grid, later)
    assert {pair.live.terms == pair.backtest.terms for pair in moved if pair.live and pair.backtest} == {True}
    assert len(moved) == 40


def test_an_order_that_is_missing_moves_no_other() -> None:
    grid = [row(seq=at, terms=f"limit {100 - at} Gtc") for at in range(12)]
    alone = [pair for pair in paired(grid, grid[1:]) if pair.differs]
    assert [(pair.live, pair.backtest) for pair in alone] == [(grid[0], None)]


def test_a_busy_minute_hides_no_counterpart() -> None:
    busy = [row(seq=at, at_ns=(2000 + at) * MS) for at in range(50)]
    first, last = row(seq=900, at_ns=1990 * MS, size="7"), row(seq=901, at_ns=2060 * MS, size="7")
    pairs = paired([first, *busy], [*busy, last])
    assert [(pair.live, pair.backtest) for pair in pairs if pair.differs] == [(first, last)]


def test_another_side_instrument_or_minute_is_no_partner() -> None:
    others = row(side="sell"), row(instrument="XYZ"), row(at_ns=ROW.at_ns + WINDOW_NS + 1)
    for other in others:
        pairs = paired([ROW], [other])
        assert {(pair.live is None, pair.backtest is None) for pair in pairs} == {
            (True, False),
            (False, True),
        }
        assert all(pair.differs == (DECISION,) for pair in pairs)
    assert len(paired([ROW], [row(at_ns=ROW.at_ns + WINDOW_NS)])) == 1


rows = st.lists(
    st.builds(
        lambda at, side, size, strategy: row(
            at_ns=at * 10**10, side=side, size=size, strategy=strategy, filled_ns=at * 10**10
        ),
        st.integers(0, 30), st.sampled_from(["buy", "sell"]), st.sampled_from("12"), st.sampled_from("ab"),
    ),
    max_size=12,
)  # fmt: skip


@given(rows, rows)
def test_each_order_is_in_exactly_one_pair(live: list[OrderRow], backtest: list[OrderRow]) -> None:
    for seq, one in enumerate(live + backtest, 1):
        one.seq = seq
    pairs = paired(live, backtest)
    for rows_, name in ((live, "live"), (backtest, "backtest")):
        found = [getattr(pair, name) for pair in pairs]
        assert sorted(one.seq for one in found if one) == [one.seq for one in rows_]
    for pair in pairs:
        if pair.live and pair.backtest:
            assert abs(pair.live.at_ns - pair.backtest.at_ns) <= WINDOW_NS
            assert pair.live.side == pair.backtest.side
    assert [pair.at_ns for pair in pairs] == sorted(pair.at_ns for pair in pairs)
    assert all(not pair.differs for pair in paired(live, live))
    assert len(paired(live, live)) == len(live)


def test_the_fills_of_an_order_count_as_one_at_their_average() -> None:
    orders = Orders()
    orders.append(1, [InstrumentListed(0, 1, "sim", "ABC", 2, 1)], [])
    terms = OrderTerms(1, 50, 10050, "Gtc", trigger="sl", trigger_price=9900)

    def fill(at_ns: int, price: int, size: int, order: str, cause: str = "") -> FillBooked:
        return FillBooked(
            at_ns, "s", 1, 1, price, size, 100, 0, order, 1, "taker", "open", "own", cause=cause
        )

    events = [
        SubmitOrder(5, "id", "s", 1, terms, reason="up"),
        fill(6, 10000, 20, "id"),
        fill(8, 10300, 10, "id"),
        fill(9, 9000, 5, "", "liquidation"),
    ]
    orders.append(2, [], [(seq, 1, event) for seq, event in enumerate(events, 2)])
    own, other = orders.rows
    assert own == OrderRow(
        2, 5, "s", "ABC", "buy", "5", "limit stop 100.5 Gtc at 99", "up", "3", 101.0, 6, 3, 2, "0.2"
    )
    assert (other.terms, other.filled, other.price, other.seq) == ("liquidation", "0.5", 90.0, 5)
