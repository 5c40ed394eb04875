"""A bench for a strategy's tests: show it bars, prints and quotes, read what it asks for.

    bench = Bench(Crossover, fast=2, slow=3)
    for close in (100, 101, 103):
        bench.bar(close)
    assert bench.wants() > 0

Owns one strategy and the time it lives in; no other actor answers, so nothing is approved or filled. After
each event the state goes through a snapshot and back, as it would at midnight. Called by authors' tests;
everything in it is a function of what it is given.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final

from engine.actors import SetTimer, Turn
from engine.actors.base import handlers_of
from engine.clock import SECOND_NS
from engine.errors import UsageError
from engine.events import (
    BarClosed,
    Event,
    InstrumentListed,
    Quote,
    SessionStopped,
    SignalRaised,
    TargetSet,
    TimerFired,
    Trade,
)
from engine.snapshot import classes_of
from engine.states import stored_state
from engine.strategies.base import Strategy
from engine.strategies.literals import Side
from engine.strategies.params import convert_params
from engine.values import BUY, SELL, parse_interval, to_grid

__all__ = ["BEGIN_NS", "Bench"]

Number = str | int | float | Decimal
"""How prices and sizes are given here: a test may write 100.5."""

BEGIN_NS: Final = 1_733_356_800 * SECOND_NS
"""2024-12-05T00:00:00Z: when a bench begins, unless another time is given."""

PRICE_SCALE: Final = 6
SIZE_SCALE: Final = 6


class Bench:
    """One strategy. `asked` is every event it asked for, in order, `plots` the numbers it plotted by name."""

    def __init__(
        self,
        strategy: type[Strategy],
        *,
        markets: tuple[str, ...] = ("BTC",),
        begin_ns: int = BEGIN_NS,
        seed: int = 1,
        **params: Any,
    ) -> None:
        """Make the strategy with these parameters. Raises ConfigError for what it has not."""
        self.now_ns = begin_ns
        self.asked: list[Event] = []
        self.plots: dict[str, list[float]] = {}
        self._listed = {
            number: InstrumentListed(begin_ns, number, "bench", name, PRICE_SCALE, SIZE_SCALE)
            for number, name in enumerate(markets, 1)
        }
        self._numbers = {listed.name: number for number, listed in self._listed.items()}
        self._timers: dict[str, SetTimer] = {}
        self._make: Callable[[], Strategy] = lambda: strategy.make(
            strategy.__name__, convert_params(strategy, params), seed=seed
        )
        self.strategy = self._begin(self._make())

    def bar(
        self,
        close: Number,
        *,
        market: str = "",
        interval: str = "1m",
        open: Number | None = None,  # noqa: A002  that is what it is called on a bar
        high: Number | None = None,
        low: Number | None = None,
        volume: Number = 1,
        trades: int = 1,
    ) -> list[Event]:
        """Show a closed bar, one interval later; return what was asked for. What is left out is the close."""
        span_ns = parse_interval(interval)
        start_ns = -(-self.now_ns // span_ns) * span_ns
        self._pass_time(start_ns + span_ns)
        bar = BarClosed(
            at_ns=self.now_ns,
            instrument=self._number(market),
            interval_ns=span_ns,
            start_ns=start_ns,
            open=_steps(close if open is None else open),
            high=_steps(close if high is None else high),
            low=_steps(close if low is None else low),
            close=_steps(close),
            volume=str(_steps(volume)),
            trades=trades,
            closed_by="trade",
        )
        return self._show(bar)

    def trade(
        self, price: Number, size: Number = 1, *, side: Side = "buy", market: str = "", after_ms: int = 1
    ) -> list[Event]:
        """Show a print; return what was asked for."""
        self._pass_time(self.now_ns + after_ms * 1_000_000)
        aggressor = {"buy": BUY, "sell": SELL}[side]
        number = self._number(market)
        return self._show(Trade(self.now_ns, self.now_ns, number, _steps(price), _steps(size), aggressor))

    def quote(self, bid: Number, ask: Number, *, market: str = "", after_ms: int = 1) -> list[Event]:
        """Show a touch of one unit on each side; return what was asked for."""
        self._pass_time(self.now_ns + after_ms * 1_000_000)
        unit = _steps(1)
        number = self._number(market)
        return self._show(Quote(self.now_ns, self.now_ns, number, _steps(bid), unit, _steps(ask), unit))

    def stop(self) -> list[Event]:
        """End the session in order; return what was asked for, which is plots only."""
        return self._show(SessionStopped(self.now_ns, "bench", "end of test"))

    def wants(self, market: str = "") -> Decimal:
        """Return the position the strategy last asked to hold: 0 if it never did."""
        number = self._number(market)
        sizes = [one.size for one in self.asked if isinstance(one, TargetSet) and one.instrument == number]
        return Decimal(sizes[-1] if sizes else 0).scaleb(-SIZE_SCALE)

    def _pass_time(self, until_ns: int) -> None:
        """Fire the timers due until then, and be there."""
        while due := [timer for timer in self._timers.values() if timer.due_ns <= until_ns]:
            timer = min(due, key=lambda one: (one.due_ns, one.key))
            del self._timers[timer.key]
            self.now_ns = max(self.now_ns, timer.due_ns)
            self._show(TimerFired(self.now_ns, self.strategy.name, timer.key))
        self.now_ns = max(self.now_ns, until_ns)

    def _show(self, event: Event) -> list[Event]:
        asked: list[Any] = []
        for kind, handler in handlers_of(self.strategy):
            if kind is type(event) and self.strategy.listens(kind):
                handler(event, asked.append)
        for item in asked:
            if isinstance(item, SetTimer):
                self._timers[item.key] = item
            elif isinstance(item, SignalRaised):
                self.plots.setdefault(item.name, []).append(item.value)
        told = [item for item in asked if isinstance(item, Event)]
        self.asked += told
        self.strategy = self._through_a_snapshot()
        return told

    def _through_a_snapshot(self) -> Strategy:
        """Return the strategy as it would be after midnight. Raises UsageError for what cannot be kept."""
        name = self.strategy.name
        stored = stored_state(self.strategy.state(), name, classes_of(self.strategy))
        fresh = self._begin(self._make())
        fresh.restore(stored)
        return fresh

    def _begin(self, strategy: Strategy) -> Strategy:
        strategy.bind(self._listed, Turn())
        stored_state(strategy.state(), strategy.name, classes_of(strategy))
        return strategy

    def _number(self, market: str) -> int:
        name = market or next(iter(self._numbers))
        if name not in self._numbers:
            raise UsageError(f"there is no market {name!r} on this bench; give it with markets=(...)")
        return self._numbers[name]


def _steps(value: Number) -> int:
    """Return a price or size on the bench's grid. Raises NumberError for what is no number."""
    return to_grid(str(value) if isinstance(value, float) else value, scale=PRICE_SCALE)
