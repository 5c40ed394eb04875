"""What there is to take at the simulated venue: books, quotes, trades, and what was taken of them."""

from __future__ import annotations

import pytest

from engine.events import ClockJumped, Event, FeedDown, OrderFilled, Trade
from engine.values import BUY, SELL
from tests.actors.harness import Harness, T
from tests.actors.venue_kit import book, new_harness, order, placed, quote, summary, trade

ASKS = [(10000, 3), (10050, 4), (10150, 50)]
BIDS = [(9990, 3), (9940, 4)]


def buying(size: int, bound: int = 10100, **config: int) -> Harness:
    harness = new_harness(**config)
    placed(harness, order("a", BUY, size, bound=bound))
    return harness


def test_a_taker_walks_the_book_to_its_bound_and_the_rest_is_canceled() -> None:
    """The example of the rules: asks 3 at 100, 4 at 100.5, 50 at 101.5; buy 20 with a bound of 101."""
    harness = buying(20, slippage_bps=7)
    assert summary(harness.send(book(BIDS, ASKS))) == [
        ("fill", "a", "3@10000"),
        ("fill", "a", "4@10050"),
        ("OrderCanceled", "a", "Ioc found no more"),
    ], "slippage is not added where there is a book"


def test_with_a_quote_only_a_taker_gets_no_more_than_its_size_made_worse_by_slippage() -> None:
    harness = buying(20)
    assert summary(harness.send(quote(9990, 10000, ask_size=3))) == [
        ("fill", "a", "3@10000"),
        ("OrderCanceled", "a", "Ioc found no more"),
    ]
    (fill, _) = buying(20, slippage_bps=1).send(quote(9990, 10000, ask_size=3))
    assert fill.price == 100_010_000


def test_with_trades_only_a_taker_gets_its_whole_size_at_the_trade_made_worse() -> None:
    harness = buying(20, slippage_bps=1)
    (fill,) = harness.send(trade(10000, size=1))
    assert (fill.size, fill.price) == (20, 100_010_000)


def test_an_empty_side_has_nothing_to_take() -> None:
    harness = buying(20)
    assert summary(harness.send(quote(9990, 0))) == [("OrderCanceled", "a", "Ioc found no match")]


@pytest.mark.parametrize(
    ("shown", "left"),
    [
        (quote(9990, 10000, ask_size=5), 2),  # the same again
        (quote(9980, 10000, ask_size=5), 2),  # the other side has changed
        (quote(9990, 10000, ask_size=6), 6),
        (quote(9990, 10001, ask_size=5), 5),
    ],
)
def test_what_was_taken_stays_taken_until_that_side_changes(shown: object, left: int) -> None:
    harness = buying(3)
    harness.send(quote(9990, 10000, ask_size=5))
    placed(harness, order("b", BUY, 20))
    events = harness.send(shown)  # type: ignore[arg-type]
    assert [one.size for one in events if isinstance(one, OrderFilled)] == [left]


def test_what_was_taken_of_a_book_stays_taken_also_when_the_venue_did_not_listen_meanwhile() -> None:
    harness = buying(5)
    harness.send(book(BIDS, ASKS))
    placed(harness, order("b", BUY, 20, bound=10100, at=T + 10**9))
    assert summary(harness.send(book(BIDS, ASKS, at=T + 2 * 10**9)))[:1] == [("fill", "b", "2@10050")]


def test_a_trade_beyond_what_is_shown_makes_it_dearer() -> None:
    """What was shown is older than the trade that went beyond it."""
    harness = new_harness()
    harness.send(order("a", BUY, 10, bound=10100), quote(9990, 10000, ask_size=5))
    harness.advance(T)
    assert summary(harness.send(Trade(T + 2, T, 1, 10030, 1, 1)))[0] == ("fill", "a", "5@10030")


def test_where_the_data_has_sizes_a_trade_alone_fills_no_taker() -> None:
    """The first quote after the order's arrival does."""
    harness = new_harness()
    harness.send(quote(9990, 10000))
    placed(harness, order("a", BUY, 20, at=T + 10**9))
    assert harness.send(trade(10000, at=T + 2 * 10**9)) == []
    events = harness.send(quote(9990, 10000, ask_size=3, at=T + 3 * 10**9))
    assert summary(events)[0] == ("fill", "a", "3@10000")


@pytest.mark.parametrize("gone", [FeedDown(T, "sim", "test"), ClockJumped(T, T - 1, T, "paused")])
def test_after_the_feed_was_down_or_the_clock_jumped_what_was_shown_does_not_count(gone: Event) -> None:
    harness = new_harness()
    harness.send(order("a", BUY, 20), quote(9990, 10000), gone)
    harness.advance(T)
    assert harness.send(trade(10000)) == []


def test_a_newer_best_price_hides_the_levels_of_the_book_that_are_gone() -> None:
    harness = new_harness()
    harness.send(order("a", BUY, 20, bound=10200), book(BIDS, ASKS), quote(10000, 10050, ask_size=1))
    harness.advance(T)
    assert summary(harness.send(quote(10000, 10050, ask_size=1)))[:2] == [
        ("fill", "a", "1@10050"),
        ("fill", "a", "19@10150"),
    ]


def test_a_resting_order_fills_at_its_own_price_with_no_more_than_the_opposite_quote_that_reaches_it() -> (
    None
):
    harness = new_harness()
    placed(harness, order("a", BUY, 10, limit=9990), order("b", BUY, 10, limit=9980))
    assert harness.send(quote(9970, 10000)) == []
    assert harness.send(quote(9970, 9991)) == []
    events = harness.send(quote(9970, 9980, ask_size=12))
    assert summary(events) == [("fill", "a", "10@9990"), ("fill", "b", "2@9980")]
    assert {one.liquidity for one in events} == {"maker"}
    assert harness.send(quote(9970, 9980, ask_size=12)) == [], "what is shown has been taken"


def test_a_resting_order_fills_with_the_levels_of_a_book_that_reach_it() -> None:
    harness = new_harness()
    placed(harness, order("a", SELL, 10, limit=9945))
    harness.send(book([(9900, 9)], ASKS))
    assert summary(harness.send(book([(9990, 3), (9945, 4), (9940, 9)], ASKS))) == [
        ("fill", "a", "3@9945"),
        ("fill", "a", "4@9945"),
    ]


def test_the_rest_of_a_limit_order_rests_behind_what_it_took() -> None:
    harness = new_harness()
    placed(harness, order("a", BUY, 20, limit=10100))
    assert summary(harness.send(quote(9990, 10000, ask_size=3))) == [("fill", "a", "3@10000")]
    assert harness.send(quote(9990, 10000, ask_size=3)) == []
    events = harness.send(quote(9990, 10050, ask_size=5))
    assert [(summary([one]), one.liquidity) for one in events] == [([("fill", "a", "5@10100")], "maker")]
