"""What a strategy reads: position, target, orders, money, prices, windows of bars. All of it replays."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from math import isnan
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.events import (
    ActivityBarClosed,
    ActorRestarted,
    BarClosed,
    CandleRead,
    ContextRead,
    OrderChanged,
    OrderRefused,
    OrderRequested,
    OrderTerms,
    PositionChanged,
    Quote,
    StopChanged,
    TargetChanged,
    TargetSet,
    Trade,
)
from engine.snapshot import classes_of
from engine.states import decode_state, encode_state
from engine.strategies import Bar, Strategy
from engine.strategies.actor import StrategyActor
from engine.values import BUY, SELL
from tests.actors.harness import LISTED, MINUTE, Harness, T
from tests.orders.ledger import Book, parts
from tests.strategies.asking import asked, booked, equity, harness, placed, position, read

PLACES = max(8, *(one.money_scale + 4 for one in LISTED.values()))


def bar(close: int, number: int = 0, span: int = MINUTE, instrument: int = 1) -> BarClosed:
    start = T + number * span
    return BarClosed(start + span, instrument, span, start, close, close, close, close, "1500", 7, "trade")


def aim(wanted: int | None, state: str, **fields: Any) -> TargetChanged:
    return TargetChanged(T, fields.pop("strategy", "mine"), 1, wanted, 0, 0, state, **fields)


# Positions.


def test_a_position_is_what_fills_led_to_and_is_true_unless_flat() -> None:
    on = harness()
    assert not read(on, lambda s: s.position("AAA"))
    on.send(booked(BUY, 1000, 10_000), booked(BUY, 500, 10_300))
    held = read(on, lambda s: s.position("AAA"))
    assert (bool(held), held.market, held.size, held.exact) == (True, "AAA", 1.5, Decimal("1.500"))
    assert (held.entry, held.price, held.unrealized) == (101.0, 100.5, -0.75)
    on.send(booked(SELL, 1500, 10_300, "close"))
    held = read(on, lambda s: s.position("AAA"))
    assert (bool(held), held.size, held.entry, held.unrealized) == (False, 0.0, None, 0.0)


def test_the_position_is_true_when_on_fill_runs() -> None:
    """The books report a fill, then the position; a hook must not read what was before."""
    on = harness()
    on.send(booked(SELL, 2000, 10_000))
    assert (on.strategy.then.size, on.strategy.then.entry) == (-2.0, 100.0)
    on.send(booked(BUY, 2000, 10_000, "close"), booked(BUY, 1000, 9_900))
    assert (on.strategy.then.size, on.strategy.then.entry) == (1.0, 99.0)


def test_other_owners_fills_do_not_move_the_position() -> None:
    on = harness()
    on.send(booked(BUY, 1000, 10_000, owner="other"), booked(BUY, 1000, 10_000, owner="external"))
    on.send(position(7000, 5, strategy="other"))
    assert not read(on, lambda s: s.holds("AAA"))


def test_holds_says_what_is_held_and_not_what_is_wanted() -> None:
    on = harness()
    asked(on, lambda s: s.target("AAA", 1))
    assert (read(on, lambda s: s.holds("AAA")), read(on, lambda s: s.wanted("AAA"))) == (False, 1.0)
    on.send(booked(BUY, 1000, 10_000))
    assert read(on, lambda s: s.holds("AAA")) is True


fills = st.lists(
    st.tuples(
        st.sampled_from([BUY, SELL]), st.integers(1, 3000), st.integers(1, 10**9), st.sampled_from([0, 4])
    ),
    max_size=20,
)


@given(fills, st.integers(1, 20_000))
def test_size_and_cost_are_those_of_the_books(plan: Any, mark: int) -> None:
    """Exactly: they are rounded as the books round, so that `PositionChanged` never moves them."""
    on, book = harness(), Book()
    on.send(ContextRead(T, 1, 2, mark, None, None, None, None, None))
    for side, size, price, finer in plan:
        held, cost = Fraction(size, 1000), Fraction(price, 10 ** (2 + finer))
        for part in parts(book.size, side, held):
            role = "close" if book.size * side < 0 else "open"
            book.fill(side, part, cost, Fraction(0), PLACES)
            on.send(booked(side, int(part * 1000), price, role, finer=finer))
            assert on.strategy.then.exact == Decimal(int(book.size * 1000)).scaleb(-3)
            assert on.strategy.then.entry == (float(book.cost / book.size) if book.size else None)
    found = vars(on.actor)["own"].held(1)
    assert Fraction(found.cost, 10**found.scale) == book.cost
    shown = read(on, lambda s: s.position("AAA"))
    exact = book.size * Fraction(mark, 100) - book.cost
    assert shown.unrealized == float(exact)


def test_the_books_position_is_taken_over() -> None:
    """A strategy that begins with a new state, or whose book was adjusted, is given its position so."""
    on = harness()
    on.send(position(-2000, -201_000_000, finer=1))
    held = read(on, lambda s: s.position("AAA"))
    assert (held.size, held.entry) == (-2.0, 100.5)
    on.send(booked(BUY, 1000, 10_000, "close"))
    assert on.strategy.then.entry == 100.5


def test_a_position_is_valued_at_the_mark_else_at_the_newest_price() -> None:
    on = harness()
    on.send(booked(BUY, 1000, 10_000))
    assert read(on, lambda s: s.position("AAA").price) == 100.5, "the trade that calls"
    on.send(ContextRead(T, 1, 4, 1_010_000, None, None, None, None, None))
    shown = read(on, lambda s: s.position("AAA"))
    assert (shown.price, shown.unrealized) == (101.0, 1.0)


# Targets.


def test_a_call_that_changes_nothing_is_not_recorded() -> None:
    on = harness()
    call = [TargetSet(T, "mine", 1, 1000)]
    assert asked(on, lambda s: s.target("AAA", 1)) == call
    for state in ("working", "waiting", "reached"):
        on.send(aim(1000, state))
        assert asked(on, lambda s: s.target("AAA", 1)) == []
    assert asked(on, lambda s: s.target("AAA", 2)) == [TargetSet(T, "mine", 1, 2000)]


@pytest.mark.parametrize(("state", "wanted"), [("none", None), ("withdrawn", 1000), ("withdrawn", 0)])
def test_a_call_counts_after_its_target_was_withdrawn(state: str, wanted: int | None) -> None:
    """After a stop the engine buys nothing by itself, and the next call buys again."""
    on = harness()
    asked(on, lambda s: s.target("AAA", 1))
    on.send(aim(wanted, state))
    assert read(on, lambda s: s.wanted("AAA")) == (None if wanted is None else wanted / 1000)
    assert asked(on, lambda s: s.target("AAA", 1)) == [TargetSet(T, "mine", 1, 1000)]
    assert asked(on, lambda s: s.target("AAA", 1)) == [], "on the next bar"


def test_a_call_is_compared_with_what_the_target_has_become() -> None:
    """An own order on top of a target raises it, and a call takes it back."""
    on = harness()
    asked(on, lambda s: s.target("AAA", 1))
    on.send(aim(3000, "reached"))
    assert asked(on, lambda s: s.target("AAA", 3)) == []
    assert asked(on, lambda s: s.target("AAA", 1)) == [TargetSet(T, "mine", 1, 1000)]


def test_none_withdraws_a_target_once() -> None:
    on = harness()
    assert asked(on, lambda s: s.target("AAA", None)) == []
    asked(on, lambda s: s.target("AAA", 1))
    withdrawn = [TargetSet(T, "mine", 1, 0, "r", withdrawn=True)]
    assert asked(on, lambda s: s.target("AAA", None, reason="r")) == withdrawn
    assert read(on, lambda s: s.wanted("AAA")) is None
    assert asked(on, lambda s: s.target("AAA", None)) == []
    assert asked(on, lambda s: s.target("AAA", 0)) == [TargetSet(T, "mine", 1, 0)]


def test_an_unchanged_target_is_recorded_once_if_it_cancels_orders() -> None:
    """A call cancels own orders that would open, also those that wait in the engine."""
    on = harness()
    asked(on, lambda s: s.target("AAA", 1))
    on.send(aim(1000, "reached"), placed("0x1", "mine-1"), placed("0x2", "", purpose="target"))
    on.send(placed("0x3", "mine-3", SELL, role="close"), placed("0x4", "mine-4", instrument=2))
    call = [TargetSet(T, "mine", 1, 1000)]
    assert asked(on, lambda s: s.target("AAA", 1)) == call
    assert asked(on, lambda s: s.target("AAA", 1)) == [], "the cancel is on its way"
    on.send(OrderChanged(T, "0x1", "mine", 1, "New", 0, 5))
    assert asked(on, lambda s: s.target("AAA", 1)) == call, "the venue refused the cancel"
    on.send(OrderChanged(T, "0x1", "mine", 1, "Canceled", 0, 5))
    assert asked(on, lambda s: s.target("AAA", 1)) == []
    on.send(booked(BUY, 1000, 10_000))
    asked(on, lambda s: s.sell("AAA", 3))
    on.send(on.log[-1])
    assert asked(on, lambda s: s.target("AAA", 1)) == call
    on.send(OrderRefused(T, 1, "mine", 1, SELL, 2000, "turn", "", role="open", handle="mine-1"))
    assert asked(on, lambda s: s.target("AAA", 1)) == []


# Orders.


def seen(on: Harness, market: str = "AAA") -> list[tuple[str, str, str]]:
    return [(one.handle, one.state, one.purpose) for one in read(on, lambda s: s.orders(market))]


def test_orders_lists_requests_orders_and_stops_until_their_end() -> None:
    on = harness()
    asked(on, lambda s: s.buy("AAA", 5, limit=99, reason="why"))
    assert seen(on) == [("mine-1", "PendingNew", "own")]
    on.send(placed(limit=9_900), OrderChanged(T, "0x1", "mine", 1, "PartiallyFilled", 1500, 3500))
    on.send(placed("0x2", "", SELL, 700, 0, purpose="target", role="close"))
    on.send(placed("0x3", "other-1", strategy="other"))
    (order, target) = read(on, lambda s: s.orders("AAA"))
    assert (order.client_order_id, order.limit, order.size, order.filled, order.remaining) == (
        "0x1", 99.0, 5.0, 1.5, 3.5,
    )  # fmt: skip
    assert (order.side, order.reason, order.event) == ("buy", "why", None)
    assert (target.handle, target.purpose, target.side, target.size) == ("", "target", "sell", 0.7)
    on.send(*(OrderChanged(T, name, "mine", 1, "Filled", 5000, 0) for name in ("0x1", "0x2")))
    assert seen(on) == []


def test_a_stop_is_one_order_wherever_it_is_kept() -> None:
    on = harness()
    asked(on, lambda s: s.stop("AAA", "sell", 5, 95, reason="why"))
    assert seen(on) == [("mine-1", "PendingNew", "stop")]
    stop = StopChanged(T, "mine", 1, "mine-1", SELL, 5000, "sl", 9_500, "waiting")
    on.send(stop)
    at_venue = placed(
        "0x1", "mine-1", SELL, 5000, 0, role="close", purpose="stop", trigger="sl", trigger_price=9_500
    )
    on.send(at_venue, OrderChanged(T, "0x1", "mine", 1, "New", 0, 5000))
    (shown,) = read(on, lambda s: s.orders("AAA"))
    assert (shown.handle, shown.state, shown.trigger, shown.trigger_price) == (
        "mine-1",
        "Waiting",
        "sl",
        95.0,
    )
    assert (shown.reason, shown.limit, shown.size) == ("why", None, 5.0)
    on.send(OrderChanged(T, "0x1", "mine", 1, "Canceled", 0, 5000))
    assert len(seen(on)) == 1, "the engine keeps it now"
    on.send(StopChanged(T, "mine", 1, "mine-1", SELL, 5000, "sl", 9_500, "firing"))
    on.send(placed("0x2", "mine-1", SELL, 5000, 0, role="close", purpose="stop"))
    assert seen(on) == [("mine-1", "PendingNew", "stop")], "its exit"
    on.send(OrderChanged(T, "0x2", "mine", 1, "Canceled", 0, 5000))
    assert seen(on) == [("mine-1", "Triggered", "stop")], "the exit is owed still"
    assert len(asked(on, lambda s: s.cancel("mine-1"))) == 1
    on.send(StopChanged(T, "mine", 1, "mine-1", SELL, 5000, "sl", 9_500, "fired"))
    assert seen(on) == asked(on, lambda s: s.cancel("mine-1")) == []


def test_a_stop_that_was_refused_or_dropped_is_gone() -> None:
    on = harness()
    asked(on, lambda s: s.stop("AAA", "sell", 5, 95))
    on.send(
        OrderRefused(T, 1, "mine", 1, SELL, 5000, "nothing_to_close", "", handle="mine-1", purpose="stop")
    )
    assert seen(on) == []
    on.send(StopChanged(T, "mine", 1, "mine-2/sl", SELL, 5000, "sl", 9_500, "waiting"))
    assert seen(on) == [("mine-2/sl", "Waiting", "stop")], "a stop of a bracket"
    on.send(StopChanged(T, "mine", 1, "mine-2/sl", SELL, 5000, "sl", 9_500, "dropped"))
    assert seen(on) == []


def test_after_a_restart_by_an_operator_nothing_is_known_that_was_not_recorded() -> None:
    """While it is rebuilt, a strategy may request what it did not request then; that is dropped."""
    on = harness()
    on.send(OrderRequested(T, "mine", 1, OrderTerms(BUY, 5, handle="mine-1")))
    # What is emitted while a strategy is rebuilt reaches nobody, so it is not recorded.
    on.strategy.todo = lambda _: (on.strategy.buy("AAA", 1), on.strategy.target("AAA", 7))
    for handler in on.routes[Trade]:
        handler(Trade(T, T, 1, 10_050, 1500, BUY), lambda _: None)
    on.send(aim(None, "none", strategy="other"), ActorRestarted(T, "other", 5))
    assert len(seen(on)) == 2
    on.send(ActorRestarted(T, "mine", 5))
    assert [handle for handle, _, _ in seen(on)] == ["mine-1"]
    assert asked(on, lambda s: s.target("AAA", 7)) == [TargetSet(T, "mine", 1, 7000)]


# Money.


def test_equity_and_cash_are_the_accounts_newest() -> None:
    on = harness()
    assert isnan(read(on, lambda s: s.equity))
    assert isnan(read(on, lambda s: s.cash))
    on.send(equity(100_050, 50, scale=2))
    assert (read(on, lambda s: s.equity), read(on, lambda s: s.cash)) == (1000.5, 1000.0)


# Prices.


def test_last_is_the_newest_of_trade_and_bar() -> None:
    on = harness(cls=Reading)
    assert on.actor.listens(Trade) is False
    assert at_bar(on, bar(10_000), lambda s: s.last("AAA")) == 100.0
    assert on.actor.listens(Trade), "trades are followed from now on"
    on.send(Trade(T, T + 2 * MINUTE, 1, 10_100, 1, BUY))
    assert at_bar(on, bar(10_050, 1), lambda s: s.last("AAA")) == 101.0, "the trade is newer than the bar"
    assert at_bar(on, bar(10_050, 2), lambda s: s.last("AAA")) == 100.5
    assert at_bar(on, bar(10_050, 3), lambda s: s.last("BBB")) is None


def test_quote_has_the_sizes_of_the_newest_quote() -> None:
    on = harness(cls=Reading)
    assert on.actor.listens(Quote) is False
    assert at_bar(on, bar(10_000), lambda s: s.quote("AAA")) is None
    assert on.actor.listens(Quote)
    on.send(Quote(T, T, 1, 9_900, 1500, 10_100, 2000), Quote(T, T, 2, 1, 1, 2, 2))
    shown = at_bar(on, bar(10_000, 1), lambda s: s.quote("AAA"))
    assert (shown.bid, shown.bid_size, shown.ask, shown.ask_size) == (99.0, 1.5, 101.0, 2.0)


def test_a_quote_is_readable_inside_on_quote() -> None:
    on = harness()
    on.strategy.on_quote = lambda _: on.strategy.plot("ask", on.strategy.quote("AAA").ask)
    (plot,) = on.send(Quote(T, T, 1, 9_900, 1500, 10_100, 2000))
    assert plot.value == 101.0


# Windows.


class Reading(Strategy):
    """Calls `todo`, set by the test, on each bar, and keeps what it returns."""

    def on_bar(self, bar: Bar) -> None:
        self.found = self.todo(self) if hasattr(self, "todo") else None


def at_bar(on: Harness, event: Any, what: Any) -> Any:
    """Return what `what` returns in `on_bar` for this bar."""
    on.strategy.todo = what
    on.send(event)
    found = on.strategy.found
    del on.strategy.todo, on.strategy.found
    return found


def closes(on: Harness, event: Any, n: int, interval: str = "1m", market: str = "AAA") -> list[float]:
    found: list[float] = at_bar(on, event, lambda s: s.bars(market, interval, n)).values()
    return found


def test_a_window_has_the_newest_bars_the_current_one_included() -> None:
    on = harness(cls=Reading)
    on.send(bar(10_000))
    assert closes(on, bar(10_100, 1), 2) == [101.0], "kept from the first call on"
    on.send(bar(77, 1, instrument=2), bar(77, 0, 5 * MINUTE))
    assert closes(on, bar(10_200, 2), 2) == [101.0, 102.0]
    assert closes(on, bar(10_300, 3), 2) == [102.0, 103.0]
    assert closes(on, bar(10_400, 4), 1) == [104.0]
    assert closes(on, bar(10_500, 5), 4) == [104.0, 105.0], "a larger window keeps what there is"
    assert closes(on, bar(10_600, 6), 4) == [104.0, 105.0, 106.0]
    assert closes(on, bar(10_700, 7), 1, "5m") == []
    assert closes(on, bar(80, 7, instrument=2), 3, "1m", "BBB") == [0.008]


def test_a_window_has_history_activity_bars_and_whole_bars() -> None:
    on = harness(cls=Reading)
    on.actor.warm_spans_ns = [MINUTE]  # type: ignore[attr-defined]
    old = CandleRead(T, T, 1, MINUTE, T - MINUTE, 1, 3, 1, 9_900, "1500", 7, "history")
    assert closes(on, old, 3) == [99.0]
    shown = at_bar(on, bar(10_000), lambda s: s.bars("AAA", "1m", 3))
    assert [(one.close, one.volume, one.market) for one in shown] == [(99.0, 1.5, "AAA"), (100.0, 1.5, "AAA")]
    assert shown.values("high") == [0.03, 100.0]
    kind = ActivityBarClosed(T, 1, "tick:5", 0, T, T, 1, 1, 1, 500, 5, 5)
    assert closes(on, kind, 3, "tick:5") == [5.0]


def test_a_window_is_also_an_array() -> None:
    np = pytest.importorskip("numpy")
    on = harness(cls=Reading)
    shown = at_bar(on, bar(10_000), lambda s: s.bars("AAA", "1m", 3))
    assert shown.numpy("close").dtype == np.float64
    assert shown.numpy().tolist() == [100.0]


@pytest.mark.parametrize("n", [0, -1, 10_001])
def test_a_window_is_bounded(n: int) -> None:
    on = harness(cls=Reading)
    on.strategy.todo = lambda s: s.bars("AAA", "1m", n)
    with pytest.raises(ValueError, match="1 to 10000 bars"):
        on.send(bar(1))


# Snapshots.


def test_r07_all_that_is_read_survives_a_snapshot() -> None:
    on, again = harness(), harness()
    asked(on, lambda s: (s.buy("AAA", 1, reason="why"), s.target("AAA", 1), s.last("AAA"), s.quote("AAA")))
    asked(on, lambda s: s.bars("AAA", "1m", 5))
    on.send(bar(10_000), bar(10_100, 1), Quote(T, T, 1, 1, 1, 2, 1), equity(5), aim(3000, "waiting"))
    on.send(placed("0x5", "mine-5"), booked(BUY, 1000, 10_000), placed("0x6", "mine-6"))
    on.send(OrderChanged(T, "0x6", "mine", 1, "Filled", 5, 0))
    on.send(StopChanged(T, "mine", 1, "mine-7", SELL, 5, "tp", 11_000, "waiting"))
    on.send(ContextRead(T, 1, 2, 10_070, None, None, None, None, None))
    del on.strategy.todo
    blob = encode_state(on.actor.state(), "mine")
    again.actor.restore(decode_state(blob, classes_of(again.actor)))
    assert encode_state(again.actor.state(), "mine") == blob

    def everything(s: Any) -> Any:
        return (
            s.position("AAA"), s.orders("AAA"), s.wanted("AAA"), s.equity, s.last("AAA"), s.quote("AAA"),
            s.bars("AAA", "1m", 5), s.buy("AAA", 1),
        )  # fmt: skip

    shown = read(on, everything)
    assert shown == read(again, everything)
    assert (len(shown[1]), len(shown[6]), shown[7]) == (3, 2, "mine-2")
    assert all(actor.actor.listens(kind) for actor in (on, again) for kind in (Trade, Quote))


def test_reading_is_not_possible_in_on_start() -> None:
    actor = StrategyActor(Reading, "fresh", {})
    for ask in (lambda s: s.position("AAA"), lambda s: s.bars("AAA", "1m", 5), lambda s: s.orders("AAA")):
        with pytest.raises(RuntimeError, match="not in on_start yet"):
            ask(actor.strategy)
    with pytest.raises(KeyError, match="did you mean AAA"):
        read(harness(), lambda s: s.position("AAB"))


def test_a_position_event_of_another_market_is_kept_apart() -> None:
    on = harness()
    on.send(PositionChanged(T, "mine", 2, 5, 500, 0, 0))
    assert (read(on, lambda s: s.holds("AAA")), read(on, lambda s: s.position("BBB").size)) == (False, 5.0)
