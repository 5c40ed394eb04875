"""The test bench for strategies: it sends the given events and keeps the emitted events."""

from __future__ import annotations

from decimal import Decimal

import pytest

from engine.errors import ConfigError, UsageError
from engine.events import OrderRequested, SignalRaised, TargetSet
from engine.strategies import Bar, Strategy, Tick, Touch
from engine.strategies.crossover import Crossover
from engine.testing import BEGIN_NS, Bench
from tests.strategies.fakes import Gambler, Looking

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
