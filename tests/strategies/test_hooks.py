"""The hooks other than those for bars, trades and quotes, and history, on which verbs do nothing."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import NumberError
from engine.events import (
    BarClosed,
    BookRead,
    CandleRead,
    ContextRead,
    FundingPaid,
    LiquidationRead,
    LogWritten,
    OrderChanged,
    OrderRefused,
    Quote,
    SessionStopped,
    SignalRaised,
    StopChanged,
    TargetSet,
    TimerFired,
    Trade,
)
from engine.strategies import Bar, Book, Context, Fill, Funding, Liquidation, OrderView, Strategy
from engine.strategies.actor import StrategyActor
from engine.strategies.crossover import Crossover
from engine.strategies.places import place_of
from engine.values import BUY, SELL
from tests.actors.harness import MINUTE, Harness, T
from tests.strategies.asking import booked, placed, started
from tests.strategies.fakes import Averages


class Watching(Strategy):
    """Keeps the arguments of its hooks."""

    def on_start(self) -> None:
        self.shown: list[Any] = []

    def on_bar(self, bar: Bar) -> None:
        self.shown.append(bar)
        if bar.market != "BBB":
            self.ask()

    def ask(self) -> None:
        self.target("AAA", "1")
        self.buy("AAA", "1")
        self.stop("AAA", "sell", "1", "5")
        self.trail("AAA", "1", "5")
        self.untrail("AAA")
        self.cancel("mine-1")
        self.cancel_all("AAA")
        self.modify("mine-1", size="1", limit="5")
        self.log("words")
        self.last("AAA")
        self.quote("AAA")
        self.plot("x", 1.0)
        self.after(5, "k")

    def ask_at_end(self) -> None:
        self.plot("x", 1.0, "AAA")
        self.log("words")
        self.target("AAA", "1")
        self.buy("AAA", "1")
        self.cancel_all("AAA")
        self.modify("mine-1", size="1", limit="5")
        self.after(5, "k")

    def on_stop(self) -> None:
        self.ended = True

    def on_book(self, book: Book) -> None:
        self.shown.append(book)

    def on_liquidation(self, liquidation: Liquidation) -> None:
        self.shown.append(liquidation)
        self.ask()

    def on_context(self, context: Context) -> None:
        self.shown.append(context)

    def on_order(self, order: OrderView) -> None:
        self.shown.append(order)

    def on_fill(self, fill: Fill) -> None:
        self.shown.append(fill)

    def on_funding(self, payment: Funding) -> None:
        self.shown.append(payment)


def watching(markets: tuple[str, ...] = (), mode: str = "backtest", *intervals: str) -> Harness:
    on = Harness(StrategyActor(Watching, "mine", {}, markets))
    on.send(started(mode, *intervals))
    return on


def shown(on: Harness) -> list[Any]:
    """Return the views that the strategy received since the last call."""
    seen: list[Any] = on.strategy.shown
    on.strategy.shown = []
    return seen


ORDER = placed(side=SELL, trigger="sl", trigger_price=9_500, reduce_only=True, role="close")


# Own orders.


def test_an_own_order_is_shown_at_each_change_with_its_id_and_limit() -> None:
    on = watching()
    on.send(ORDER, OrderChanged(T, "0x1", "mine", 1, "PendingNew", 0, 5000))
    on.send(OrderChanged(T, "0x1", "mine", 1, "PartiallyFilled", 1500, 3500))
    first, second = shown(on)
    assert (first.client_order_id, first.market, first.state) == ("0x1", "AAA", "PendingNew")
    assert (second.side, second.trigger, second.trigger_price, second.limit) == ("sell", "sl", 95.0, 100.0)
    assert (second.size, second.filled, second.remaining) == (5.0, 1.5, 3.5)
    assert (second.handle, second.purpose, second.ended) == ("mine-1", "own", False)
    assert second.event == OrderChanged(T, "0x1", "mine", 1, "PartiallyFilled", 1500, 3500)


def test_another_strategys_orders_are_not_shown() -> None:
    on = watching()
    other = msgspec.structs.replace(ORDER, strategy="other")
    on.send(other, OrderChanged(T, "0x1", "other", 1, "New", 0, 5000))
    on.send(booked(SELL, 5, 1, owner="other"), booked(SELL, 5, 1, owner="external", external=True))
    on.send(OrderRefused(T, 1, "other", 1, SELL, 5, "size", "words"))
    on.send(StopChanged(T, "other", 1, "other-1", SELL, 5, "sl", 9_000, "waiting"))
    assert shown(on) == []


def test_o03_a_fill_after_the_end_of_its_order_is_shown_with_the_new_state() -> None:
    on = watching()
    on.send(ORDER, OrderChanged(T, "0x1", "mine", 1, "Canceled", 0, 5000))
    on.send(booked(SELL, 5000, 10_000))
    on.send(OrderChanged(T, "0x1", "mine", 1, "Filled", 5000, 0))
    canceled, fill, filled = shown(on)
    assert (canceled.state, fill.size, filled.state) == ("Canceled", 5.0, "Filled")


def test_a_fill_has_its_fee_its_order_and_what_it_was_for() -> None:
    """Prices and fees of the simulated venue have more decimals than the grid."""
    on = watching()
    on.strategy.ask = lambda: on.strategy.buy("AAA", 2, reason="why")
    on.send(bar(1), placed(size=2000, limit=0))
    fill = booked(BUY, 1500, 100_501_234, fee=-12_345_678, finer=4, handle="mine-1")
    on.send(fill, booked(SELL, 500, 10_000, "close", client_order_id="", external=True, cause="adl"))
    _, own, other = shown(on)
    assert (own.market, own.side, own.price, own.size) == ("AAA", "buy", 100.501234, 1.5)
    assert (own.fee, own.fee_asset, own.liquidity, own.purpose) == (-0.012345678, "", "taker", "own")
    assert (own.handle, own.client_order_id, own.reason, own.event) == ("mine-1", "0x1", "why", fill)
    assert (own.external, own.closes, own.cause) == (False, False, "")
    assert (other.external, other.closes, other.cause) == (True, True, "adl")
    assert (other.handle, other.client_order_id, other.reason) == ("", "", "")


def test_a_refusal_is_shown_with_its_rule_and_its_numbers() -> None:
    on = watching()
    on.strategy.ask = lambda: on.strategy.buy("AAA", 2, limit=99)
    on.send(bar(1))
    refused = OrderRefused(T, 1, "mine", 1, BUY, 2000, "margin", "needs 5", role="open", handle="mine-1")
    on.send(refused, msgspec.structs.replace(refused, handle="", purpose="target"))
    _, own, target = shown(on)
    assert (own.state, own.rule, own.reason, own.ended) == ("Refused", "margin", "needs 5", True)
    assert (own.handle, own.side, own.size, own.limit, own.filled) == ("mine-1", "buy", 2.0, 99.0, 0.0)
    assert (own.client_order_id, own.event) == ("", refused)
    assert (target.handle, target.purpose, target.limit) == ("", "target", None)


def test_a_stop_is_shown_when_it_waits_fires_and_is_dropped() -> None:
    """How its exit ends is shown by that order, which has the same handle."""
    on = watching()
    waits = StopChanged(T, "mine", 1, "mine-1", SELL, 5000, "sl", 9_500, "waiting", 9_400)
    on.send(*(msgspec.structs.replace(waits, state=state) for state in ("waiting", "firing", "fired")))
    on.send(msgspec.structs.replace(waits, state="dropped", reason="the position is closed"))
    first, fires, last = shown(on)
    assert (fires.state, fires.ended) == ("Triggered", False)
    assert (first.state, first.handle, first.purpose, first.ended) == ("Waiting", "mine-1", "stop", False)
    assert (first.trigger, first.trigger_price, first.limit, first.size) == ("sl", 95.0, 94.0, 5.0)
    assert (first.client_order_id, first.event) == ("", waits)
    assert (last.state, last.reason, last.ended) == ("Canceled", "the position is closed", True)


# Plots and the stop.


def test_a_plot_has_the_market_of_the_event_unless_another_is_named() -> None:
    on = watching()
    on.strategy.ask = lambda: None
    plots: list[Any] = []

    def plot(bar: Bar) -> None:
        on.strategy.plot("x", 1)
        on.strategy.plot("x", 2, "AAA")

    on.strategy.on_bar = plot
    plots = on.send(bar(0, instrument=2))
    assert plots == [SignalRaised(T, "mine", 2, "x", 1.0), SignalRaised(T, "mine", 1, "x", 2.0)]


def test_a_plot_at_an_event_without_a_market_needs_one_named() -> None:
    on = watching()
    on.strategy.on_timer = lambda _: on.strategy.plot("x", 1)
    with pytest.raises(ValueError, match="TimerFired is of no market; name one"):
        on.actor._timer(TimerFired(T, "mine", "k"), [].append)  # type: ignore[attr-defined]


def test_at_the_stop_only_plots_and_logs_work() -> None:
    on = watching()
    on.send(placed())
    on.strategy.on_stop = on.strategy.ask_at_end
    assert on.send(SessionStopped(T, "a" * 16, "test")) == [
        SignalRaised(T, "mine", 1, "x", 1.0),
        LogWritten(T, "mine", "words"),
    ]
    assert on.timers == []
    assert on.strategy.wanted("AAA") is None, "a target is not remembered as set"
    assert [one.handle for one in on.strategy.orders("AAA")] == ["mine-1"], "nor is an order"
    assert on.strategy.warming is False


def test_an_invalid_argument_at_the_stop_raises() -> None:
    on = watching()
    on.strategy.on_stop = lambda: on.strategy.buy("AAA", -1.5)
    with pytest.raises(NumberError):
        on.send(SessionStopped(T, "a" * 16, "test"))


# The market and the account.


def test_books_and_contexts_show_decimal_numbers() -> None:
    on = watching()
    on.send(BookRead(T, T, 1, ((10_000, 1500, 2), (9_990, 1, 1)), ((10_010, 2000, 1),), True))
    on.send(ContextRead(T, 1, 8, 10_050_000_000, None, 10_000_000_000, -1250, "7", 0))
    book, context = shown(on)
    assert (book.market, book.fast, book.bids, book.asks) == (
        "AAA",
        True,
        [(100.0, 1.5), (99.9, 0.001)],
        [(100.1, 2.0)],
    )
    assert (context.market, context.mark, context.oracle, context.mid) == ("AAA", 100.5, None, 100.0)
    assert (context.funding, context.premium, context.open_interest) == (-0.0000125, 7e-08, 0.0)


def test_liquidations_show_decimal_numbers() -> None:
    on = watching()
    emitted = on.send(LiquidationRead(T, T, 1, SELL, 10_050, 1500, "a", True))
    (forced,) = shown(on)
    assert (forced.market, forced.side, forced.price, forced.size) == ("AAA", "sell", 100.5, 1.5)
    assert forced.sampled
    assert emitted, "verbs work"


def test_a_liquidation_of_before_the_session_is_history() -> None:
    on = watching()
    on.send(started(at=T))
    late = LiquidationRead(T + 5, T - 1, 1, BUY, 10_050, 1500)
    assert on.send(late) == [], "verbs do nothing"
    (forced,) = shown(on)
    assert forced.event == late
    assert on.send(msgspec.structs.replace(late, venue_ns=T))


def test_contexts_are_followed_once_they_are_asked_for_and_forgotten_with_the_session() -> None:
    on = watching()
    context = ContextRead(T, 1, 8, None, None, None, -1250, None, 700_000_000)
    before = set(on.actor.state()[""])
    on.send(context)
    assert set(on.actor.state()[""]) == before, "a strategy that asks for none keeps none"
    assert on.strategy.context("AAA").open_interest == 7.0, "the current event"
    on.send(bar(0))
    assert on.strategy.context("AAA") is None
    on.send(context, bar(1))
    assert on.strategy.context("AAA").funding == -0.0000125
    assert on.strategy.context("BBB") is None
    on.send(started(at=T + 5 * MINUTE))
    assert on.strategy.context("AAA") is None


def test_o04_funding_is_shown_once_with_its_sign() -> None:
    on = watching()
    paid = FundingPaid(T, T, 1, 5000, 6, -12_500_000, 125)
    on.send(paid, paid, msgspec.structs.replace(paid, venue_ns=T - 1))
    (payment,) = shown(on)
    assert (payment.market, payment.amount, payment.rate) == ("AAA", -12.5, 0.000125)


def test_other_markets_are_not_shown() -> None:
    on = watching(("BBB",))
    on.send(BookRead(T, T, 1, (), ()), ContextRead(T, 1, 0, *[None] * 6), FundingPaid(T, T, 1, 5, 0, 1, 1))
    on.send(candle(0), bar(0))
    assert shown(on) == []


def test_hooks_that_are_not_overridden_are_not_routed() -> None:
    averages = StrategyActor(Averages, "mine", {})
    kinds = (BookRead, Trade, Quote, LiquidationRead, FundingPaid, SessionStopped)
    assert [averages.listens(kind) for kind in (BarClosed, CandleRead, *kinds)] == [True] * 2 + [False] * 6
    kinds = (BarClosed, CandleRead, BookRead, LiquidationRead, FundingPaid, SessionStopped)
    assert all(watching().actor.listens(kind) for kind in kinds)


# History.


def candle(number: int, interval: int = MINUTE, purpose: str = "history", instrument: int = 1) -> CandleRead:
    start = T + number * interval
    return CandleRead(T, start + interval, instrument, interval, start, 1, 3, 1, 10_050, "1500", 7, purpose)


def bar(number: int, interval: int = MINUTE, instrument: int = 1) -> BarClosed:
    start = T + number * interval
    return BarClosed(T, instrument, interval, start, 1, 3, 1, 10_060, 5, 7, "trade")


def windows(on: Harness) -> list[tuple[bool, int]]:
    return [(one.warmup, (one.start_ns - T) // MINUTE) for one in shown(on)]


def test_history_is_shown_as_bars_on_which_every_verb_does_nothing() -> None:
    on = watching()
    on.send(placed())
    assert on.send(candle(0), candle(0, 5 * MINUTE)) == []
    assert on.timers == []
    one, longer = shown(on)
    assert (one.warmup, one.market, one.interval, one.close, one.volume) == (True, "AAA", "1m", 100.5, 1.5)
    assert (one.start_ns, one.trades, longer.interval) == (T, 7, "5m")
    assert one.event == BarClosed(T, 1, MINUTE, T, 1, 3, 1, 10_050, "1500", 7, "candle", source="venue")
    assert on.strategy.wanted("AAA") is None, "a target is not remembered as set"
    assert [one.handle for one in on.strategy.orders("AAA")] == ["mine-1"], "nor is an order"
    assert not on.actor.listens(Trade), "nothing is followed that was asked for on history"
    emitted = on.send(bar(1))
    assert TargetSet(T, "mine", 1, 1000) in emitted
    kinds = [type(one).__name__ for one in emitted]
    assert kinds == [
        "LogWritten",
        "SignalRaised",
        "TargetSet",
        "OrderRequested",
        "StopRequested",
        "TrailRequested",
        "TrailRequested",
        "CancelRequested",
        "CancelRequested",
        "CancelRequested",
        "ModifyRequested",
    ], "what is requested comes once nothing else of the moment is left"
    assert [timer.key for timer in on.timers] == ["k"]


def test_an_invalid_argument_on_history_raises() -> None:
    on = watching()
    on.strategy.ask = lambda: on.strategy.buy("AAA", -1.5)
    with pytest.raises(NumberError):
        on.send(candle(0))


def test_only_history_of_the_sessions_intervals_is_shown() -> None:
    on = watching((), "backtest", "1m")
    on.send(candle(0, 5 * MINUTE), *(candle(0, MINUTE, purpose) for purpose in ("repair", "check", "stream")))
    assert shown(on) == []


def test_a_quiet_window_of_a_warm_up_is_shown_in_its_place() -> None:
    on = watching()
    on.send(candle(0), candle(1, purpose="flat"), candle(2), candle(1, purpose="flat"), bar(3))
    assert windows(on) == [(True, 0), (True, 1), (True, 2), (False, 3)]


def test_a_backfill_session_shows_no_history() -> None:
    on = watching((), "backfill")
    on.send(candle(0))
    assert shown(on) == []
    on.send(started("live"), candle(0))
    assert windows(on) == [(True, 0)]


def test_a_window_is_shown_once_as_a_candle_or_as_a_bar() -> None:
    on = watching()
    on.send(candle(0), candle(1), candle(0), candle(1), bar(1), bar(2), candle(2), bar(2))
    assert windows(on) == [(True, 0), (True, 1), (False, 2)]


def test_history_does_not_replace_the_sessions_own_bar() -> None:
    """Candles that the venue sends may come before the grace period of a bar ends."""
    on = watching()
    on.send(bar(0), candle(1), bar(1))
    assert windows(on) == [(False, 0), (False, 1)]


def test_the_next_session_shows_missed_windows_once() -> None:
    on = watching()
    on.send(bar(0), bar(1), started(at=T + 5 * MINUTE), candle(0), candle(1), candle(2), candle(3), bar(4))
    assert windows(on) == [(False, 0), (False, 1), (True, 2), (True, 3), (False, 4)]


def test_a_clock_that_was_set_back_does_not_hide_bars() -> None:
    on = watching()
    on.send(bar(50), started(at=T + 5 * MINUTE), candle(3), bar(4))
    assert windows(on) == [(False, 50), (True, 3), (False, 4)]


readings = st.tuples(st.booleans(), st.integers(0, 6), st.sampled_from([1, 2]))


@given(st.lists(readings, max_size=30))
def test_windows_of_a_market_only_rise_and_history_ends_with_the_first_bar(plan: Any) -> None:
    on = watching()
    for live, number, instrument in plan:
        on.send(bar(number, instrument=instrument) if live else candle(number, instrument=instrument))
    for market in ("AAA", "BBB"):
        seen = [one for one in on.strategy.shown if one.market == market]
        starts = [one.start_ns for one in seen]
        assert starts == sorted(dict.fromkeys(starts))
        kinds = [one.warmup for one in seen]
        assert kinds == sorted(kinds, reverse=True)


def test_a_bar_of_another_market_does_not_change_the_state() -> None:
    on = watching(("AAA",))
    on.send(bar(0, instrument=2), candle(0, instrument=2))
    assert vars(on.actor)["seen"] == {}
    assert on.strategy.warming is False


# A later session.


def closed(number: int, *, incomplete: bool = False) -> BarClosed:
    because = "the feed was down" if incomplete else ""
    return msgspec.structs.replace(bar(number), incomplete=incomplete, because=because)


def test_bars_from_before_the_session_are_history_and_incomplete_ones_are_not_shown() -> None:
    """The engine was down: a strategy must not trade on bars that close at the start."""
    on = watching()
    assert on.send(closed(-3), closed(-2, incomplete=True)) == [], "verbs do nothing"
    assert windows(on) == [(True, -3)]
    on.send(candle(-2))
    assert windows(on) == [(True, -2)], "the venue's own candle is shown instead"
    assert on.send(closed(0, incomplete=True)) != []
    assert windows(on) == [(False, 0)]


def test_errors_name_the_line_and_the_nearest_market() -> None:
    on = watching()
    on.send(bar(0))
    with pytest.raises(KeyError, match="there is no market 'AAB'; did you mean AAA"):
        on.strategy.target("AAB", "1")
    for ask in (lambda one: one.plot("x", 1.0), lambda one: one.target("AAA", "1")):
        with pytest.raises(RuntimeError, match="not in on_start yet"):
            ask(StrategyActor(Watching, "fresh", {}).strategy)
    with pytest.raises(ZeroDivisionError) as caught:
        StrategyActor(Broken, "broken", {})
    line = Broken.on_start.__code__.co_firstlineno + 1
    assert place_of(caught.value, Broken) == f" ({__name__.replace('.', '/')}.py:{line})"
    assert place_of(caught.value, Crossover) == ""


class Broken(Strategy):
    """Raises in `on_start`."""

    def on_start(self) -> None:
        self.x = 1 / 0
