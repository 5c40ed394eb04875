"""The test bench for strategies: it sends the given events and keeps the emitted events."""

from __future__ import annotations

from decimal import Decimal

import pytest

from engine.errors import ConfigError, UsageError
from engine.events import OrderRequested, SignalRaised, TargetSet
from engine.strategies import Bar, Fill, Liquidation, OrderView, Strategy, Tick, Touch
from engine.strategies.crossover import Crossover
from engine.testing import BEGIN_NS, Bench
from tests.strategies.fakes import Forced, Gambler, Looking

MINUTE_NS = 60_000_000_000


class Watching(Strategy):
    """Keeps every event it receives as text, and sets a timer at each trade."""

    wait_ms: int = 500

    def on_start(self) -> None:
        self.shown: list[str] = []

    def on_bar(self, bar: Bar) -> None:
        prices = f"{bar.open} {bar.high} {bar.low} {bar.close}"
        self.shown.append(f"{bar.market} {bar.interval} {prices} {bar.volume} {bar.trades}")

    def on_trade(self, trade: Tick) -> None:
        self.shown.append(f"{trade.market} {trade.price} {trade.size} {trade.side}")
        self.after(self.wait_ms, "k")

    def on_quote(self, quote: Touch) -> None:
        self.shown.append(f"{quote.market} {quote.bid} {quote.ask}")
        self.buy(quote.market, "0.5")

    def on_timer(self, key: str) -> None:
        self.shown.append(f"{key} {(self.now_ns - BEGIN_NS) // 1_000_000}")


class Cascade(Strategy):
    """Buys what is closed by force while longs pay; the test bench is enough to test that."""

    def on_start(self) -> None:
        self.known: list[tuple[float | None, float | None]] = []

    def on_liquidation(self, liquidation: Liquidation) -> None:
        context = self.context(liquidation.market)
        self.known.append((context.funding, context.open_interest) if context else (None, None))
        assert liquidation.event.sampled is liquidation.sampled
        if context is not None and context.funding is not None and liquidation.side == "sell":
            self.buy(liquidation.market, liquidation.size, limit=liquidation.price)


def test_liquidations_are_shown_and_contexts_read() -> None:
    bench = Bench(Cascade, markets=("BTC", "ETH"))
    assert bench.context(funding=0.5, open_interest=7) == [], "not followed yet"
    assert bench.liquidation(100, 2) == []
    assert bench.liquidation(100, 2) == []
    bench.context(funding=0.0000125, open_interest="1234.5")
    (request,) = bench.liquidation(100.5, "0.25")
    assert isinstance(request, OrderRequested)
    assert (request.terms.size, request.terms.limit) == (250_000, 100_500_000)
    assert bench.liquidation(100.5, "0.25", side="buy") == []
    assert bench.liquidation(100.5, "0.25", market="ETH") == []
    none, known = (None, None), (0.0000125, 1234.5)
    assert vars(bench.strategy)["known"] == [none, none, known, known, none]


def test_a_hook_reads_the_context_of_its_market_from_any_event() -> None:
    bench = Bench(Forced, markets=("AAA",))
    bench.liquidation(100)
    bench.context(funding="-0.001", open_interest=3)
    bench.liquidation(100)
    assert bench.plots == {"funding": [-0.001]}
    assert bench.wants("AAA") == 3
    bench.liquidation(100, side="buy")
    assert bench.wants("AAA") == -3


def test_bars_follow_each_other_and_targets_are_in_base_units() -> None:
    bench = Bench(Crossover, fast=2, slow=4, notional="1000")
    for close in (100, 100, 100, 100, 101):
        bench.bar(close)
    assert bench.wants() == Decimal(1000) / 101 // Decimal("0.000001") * Decimal("0.000001")
    assert bench.now_ns == BEGIN_NS + 5 * MINUTE_NS
    (target,) = bench.bar(90)
    assert isinstance(target, TargetSet)
    assert bench.wants() == 0
    assert [one.size > 0 for one in bench.emitted if isinstance(one, TargetSet)] == [False, True, False]


def test_events_have_the_given_values_in_each_market() -> None:
    bench = Bench(Watching, markets=("BTC", "ETH"))
    bench.bar(1.5, open=1, high="2.25", low=Decimal("0.5"), volume=3, trades=7, interval="5m", market="ETH")
    bench.trade(100.25, "0.5", side="sell")
    (request,) = bench.quote(99, 101, market="ETH")
    assert isinstance(request, OrderRequested)
    assert bench.strategy.shown == [  # type: ignore[attr-defined]
        "ETH 5m 1.0 2.25 0.5 1.5 3.0 7",
        "BTC 100.25 0.5 sell",
        "ETH 99.0 101.0",
    ]


def test_timers_fire_in_order_before_later_events() -> None:
    bench = Bench(Watching, wait_ms=500)
    bench.trade(1)
    bench.trade(1, after_ms=400)
    bench.trade(1, after_ms=1000)
    assert bench.strategy.shown[2:] == ["k 901", "BTC 1.0 1.0 buy"]  # type: ignore[attr-defined]


class Impatient(Strategy):
    """Sets two timers, the later one first; then keeps what cannot be stored."""

    def on_trade(self, trade: Tick) -> None:
        self.after(20, "a")
        self.after(10, "b")

    def on_timer(self, key: str) -> None:
        self.plot(key, 1, "BTC")

    def on_quote(self, quote: Touch) -> None:
        self.kept = complex(1)


def test_the_timer_due_first_fires_first() -> None:
    bench = Bench(Impatient)
    bench.trade(1)
    bench.bar(1)
    assert list(bench.plots) == ["b", "a"]


def test_state_that_a_snapshot_cannot_store_is_an_error_at_the_event_that_made_it() -> None:
    bench = Bench(Impatient)
    with pytest.raises(UsageError, match="kept is a complex"):
        bench.quote(1, 2)


def test_plots_are_kept_by_name_also_at_the_stop() -> None:
    bench = Bench(Gambler, markets=("AAA",), seed=3)
    again = Bench(Gambler, markets=("AAA",), seed=3)
    for one in (bench, again):
        for _ in range(20):
            one.trade(100)
        assert [type(event) for event in one.stop()] == [SignalRaised]
    assert len(bench.plots["drawn"]) == 20
    assert bench.plots == again.plots
    assert bench.wants() == again.wants()


def test_an_unknown_parameter_or_market_is_refused() -> None:
    with pytest.raises(ConfigError, match="did you mean slow"):
        Bench(Crossover, slo=3)
    with pytest.raises(UsageError, match="no market 'ETH'"):
        Bench(Crossover).bar(1, market="ETH")


def test_state_that_a_snapshot_cannot_store_is_an_error_at_the_start() -> None:
    with pytest.raises(UsageError, match=r"Looking\.key is a method_descriptor.*fakes\.py:\d+\)$"):
        Bench(Looking)


# Answers.


class Trading(Strategy):
    """Does what the price of a trade says, and keeps what its hooks receive."""

    def on_start(self) -> None:
        self.kept: list[str] = []
        self.handle = ""

    def on_trade(self, trade: Tick) -> None:
        match trade.price:
            case 1:
                self.handle = self.buy("BTC", 2, limit=90, stop_loss=80, take_profit=[(110, 1), (120, 1)])
            case 2:
                self.target("BTC", 3, reason="why")
            case 3:
                self.handle = self.stop("BTC", "sell", 3, 95)
            case 4:
                self.handle = self.sell("BTC", 5)

    def on_order(self, order: OrderView) -> None:
        self.kept.append(f"{order.handle} {order.state} {order.rule}".strip())

    def on_fill(self, fill: Fill) -> None:
        position = self.position(fill.market)
        self.kept.append(f"{fill.purpose} {fill.side} {fill.size} at {fill.price}: {position.size}")
        if fill.external:
            self.kept.append("external")


def trading() -> tuple[Bench, Trading]:
    """Return a bench, and its strategy at this moment."""
    bench = Bench(Trading, cash=1000)
    assert isinstance(bench.strategy, Trading)
    return bench, bench.strategy


def kept(bench: Bench) -> list[str]:
    """Return what the strategy has kept since the last call."""
    strategy = bench.strategy
    assert isinstance(strategy, Trading)
    words, strategy.kept = strategy.kept, []
    return words


def test_a_target_is_filled_in_parts_and_the_money_follows() -> None:
    bench, strategy = trading()
    assert (strategy.equity, strategy.cash, strategy.wanted("BTC")) == (1000.0, 1000.0, None)
    bench.trade(2)
    bench.fill(size=1, price=100, fee="0.5")
    assert kept(bench) == ["target buy 1.0 at 100.0: 1.0", "PartiallyFilled"]
    bench.fill(price=103)
    assert kept(bench) == ["target buy 2.0 at 103.0: 3.0", "Filled"]
    bench.bar(105)
    strategy = bench.strategy
    position = strategy.position("BTC")
    assert (position.size, position.entry, position.unrealized) == (3.0, 102.0, 9.0)
    assert (strategy.equity, strategy.cash) == (1008.5, 999.5)
    assert (strategy.wanted("BTC"), strategy.holds("BTC"), strategy.orders("BTC")) == (3.0, True, [])
    with pytest.raises(UsageError, match="nothing was requested"):
        bench.fill()


def test_a_bracket_begins_with_the_first_fill_and_its_stops_are_filled_by_their_handles() -> None:
    bench, _ = trading()
    bench.trade(1)
    handle = bench.strategy.handle  # type: ignore[attr-defined]
    bench.accept(handle)
    assert kept(bench) == [f"{handle} New"]
    bench.fill(handle, 2)
    assert kept(bench) == [
        "own buy 2.0 at 90.0: 2.0",
        *(f"{handle}/{name} Waiting" for name in ("sl", "tp1", "tp2")),
        f"{handle} Filled",
    ]
    bench.fill(f"{handle}/tp1")
    name = f"{handle}/tp1"
    assert kept(bench) == [f"{name} Triggered", "take sell 1.0 at 110.0: 1.0", f"{name} Filled"]
    bench.cancel(f"{handle}/tp2")
    assert kept(bench) == [f"{handle}/tp2 Canceled"]
    assert [one.handle for one in bench.strategy.orders("BTC")] == [f"{handle}/sl"]
    bench.fill(f"{handle}/sl", 1, 79)
    assert bench.strategy.position("BTC").size == 0
    assert bench.strategy.equity == 1000 + 20 - 11


def test_a_stop_withdraws_the_target_and_the_next_call_counts() -> None:
    bench, _ = trading()
    bench.trade(2)
    bench.fill(price=100)
    bench.trade(3)
    bench.accept()
    bench.fill()
    assert (bench.strategy.wanted("BTC"), bench.strategy.holds("BTC")) == (0.0, False)
    (target,) = bench.trade(2)
    assert isinstance(target, TargetSet)


def test_an_order_that_turns_the_position_is_two_fills_and_a_fill_from_outside_says_so() -> None:
    bench, _ = trading()
    bench.trade(2)
    bench.fill(price=100)
    bench.trade(4)
    kept(bench)
    bench.fill(price=101)
    assert kept(bench)[:2] == ["own sell 3.0 at 101.0: 0.0", "own sell 2.0 at 101.0: -2.0"]
    bench.external("buy", 2, 99)
    assert kept(bench) == ["own buy 2.0 at 99.0: 0.0", "external"]
    assert bench.strategy.equity == 1000 + 3 + 4


def test_requests_are_refused_rejected_and_canceled() -> None:
    bench, _ = trading()
    answers = [(bench.refuse, ("", "margin"), "Refused margin"), (bench.reject, (), "Rejected")]
    answers += [(bench.cancel, (), "Canceled")]
    for answer, arguments, words in answers:
        bench.trade(4)
        handle = bench.strategy.handle  # type: ignore[attr-defined]
        answer(*arguments)
        assert kept(bench)[-1] == f"{handle} {words}"
        assert bench.strategy.orders("BTC") == []
    with pytest.raises(UsageError, match="no order 'x'"):
        bench.fill("x")
    bench.trade(4)
    with pytest.raises(UsageError, match="left to fill, not 6"):
        bench.fill(size=6)
