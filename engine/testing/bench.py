"""A test bench for one strategy: send it bars, trades and quotes, and check what it requests.

    bench = Bench(Crossover, fast=2, slow=3)
    for close in (100, 101, 103):
        bench.bar(close)
    assert bench.wants() > 0
    bench.fill()
    assert bench.strategy.position("BTC")

Owns one strategy, its time, and the answers that the test gives: an order is accepted, filled, refused or
canceled when the test says so. There are no other actors: no rule is checked, and no price fills anything.
After each event the state is stored in a snapshot and restored, as at midnight. Used by tests of strategies;
results depend only on the arguments.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final

from engine.actors import SetTimer, Turn
from engine.actors.base import Later, handlers_of
from engine.clock import SECOND_NS
from engine.errors import UsageError
from engine.events import (
    BarClosed,
    ContextRead,
    Event,
    InstrumentListed,
    LiquidationRead,
    Quote,
    SessionStopped,
    SignalRaised,
    TargetSet,
    TimerFired,
    Trade,
)
from engine.instruments import Instruments
from engine.snapshot import classes_of
from engine.states import StateCheck, stored_state
from engine.strategies.actor import StrategyActor
from engine.strategies.base import Strategy
from engine.strategies.literals import Side
from engine.strategies.params import convert_params
from engine.testing.answers import PRICE_SCALE, SIDES, SIZE_SCALE, Answers, Number, steps
from engine.values import parse_interval, wide

__all__ = ["BEGIN_NS", "Bench"]

BEGIN_NS: Final = 1_733_356_800 * SECOND_NS
"""2024-12-05T00:00:00Z: the time at which a bench begins by default."""

CONTEXT_SCALE: Final = 12
"""Decimal places of the values of a context."""


class Bench(Answers):
    """One strategy. `emitted`: the events it emitted, in order. `plots`: the numbers it plotted, by name."""

    def __init__(
        self,
        strategy: type[Strategy],
        *,
        markets: tuple[str, ...] = ("BTC",),
        begin_ns: int = BEGIN_NS,
        seed: int = 1,
        cash: Number = 10_000,
        **params: Any,
    ) -> None:
        """Create the strategy with these parameters. Raises ConfigError for a wrong name or value."""
        self.now_ns = begin_ns
        super().__init__(cash)
        self.emitted: list[Event] = []
        self.plots: dict[str, list[float]] = {}
        self._listed = Instruments(
            InstrumentListed(begin_ns, number, "bench", name, PRICE_SCALE, SIZE_SCALE)
            for number, name in enumerate(markets, 1)
        )
        self._numbers = {listed.name: number for number, listed in self._listed.items()}
        self._timers: dict[str, SetTimer] = {}
        self._make: Callable[[], StrategyActor] = lambda: StrategyActor(
            strategy, strategy.__name__, convert_params(strategy, params), seed=seed
        )
        self._name = strategy.__name__
        self._actor = self._begin(self._make())
        self._send(self._equity())

    @property
    def strategy(self) -> Strategy:
        """The strategy. After each event it is another object: the one that the snapshot restored."""
        return self._actor.strategy

    def bar(
        self,
        close: Number,
        *,
        market: str = "",
        interval: str = "1m",
        open: Number | None = None,  # noqa: A002  the name of the field of a bar
        high: Number | None = None,
        low: Number | None = None,
        volume: Number = 1,
        trades: int = 1,
    ) -> list[Event]:
        """Send a closed bar, one interval later. Omitted prices are the close. Return the emitted events."""
        span_ns = parse_interval(interval)
        start_ns = -(-self.now_ns // span_ns) * span_ns
        self._pass_time(start_ns + span_ns)
        self._prices[self._number(market)] = steps(close)
        bar = BarClosed(
            at_ns=self.now_ns,
            instrument=self._number(market),
            interval_ns=span_ns,
            start_ns=start_ns,
            open=steps(close if open is None else open),
            high=steps(close if high is None else high),
            low=steps(close if low is None else low),
            close=steps(close),
            volume=str(steps(volume)),
            trades=trades,
            closed_by="trade",
        )
        emitted = self._send(bar)
        if self._books.holdings:
            emitted += self._send(self._equity())
        return emitted

    def trade(
        self, price: Number, size: Number = 1, *, side: Side = "buy", market: str = "", after_ms: int = 1
    ) -> list[Event]:
        """Send a trade. Return the emitted events."""
        self._pass_time(self.now_ns + after_ms * 1_000_000)
        number = self._number(market)
        self._prices[number] = steps(price)
        return self._send(Trade(self.now_ns, self.now_ns, number, steps(price), steps(size), SIDES[side]))

    def quote(
        self,
        bid: Number,
        ask: Number,
        *,
        bid_size: Number = 1,
        ask_size: Number = 1,
        market: str = "",
        after_ms: int = 1,
    ) -> list[Event]:
        """Send a best bid and ask. Return the emitted events."""
        self._pass_time(self.now_ns + after_ms * 1_000_000)
        number = self._number(market)
        sizes = steps(bid_size), steps(ask_size)
        return self._send(Quote(self.now_ns, self.now_ns, number, steps(bid), sizes[0], steps(ask), sizes[1]))

    def context(
        self,
        *,
        mark: Number | None = None,
        oracle: Number | None = None,
        mid: Number | None = None,
        funding: Number | None = None,
        premium: Number | None = None,
        open_interest: Number | None = None,
        market: str = "",
        after_ms: int = 1,
    ) -> list[Event]:
        """Send a market's context. Return the emitted events."""
        self._pass_time(self.now_ns + after_ms * 1_000_000)
        values = (mark, oracle, mid, funding, premium, open_interest)
        fine = [
            None if value is None else wide(int(Decimal(str(value)).scaleb(CONTEXT_SCALE)))
            for value in values
        ]
        return self._send(ContextRead(self.now_ns, self._number(market), CONTEXT_SCALE, *fine))

    def liquidation(
        self, price: Number, size: Number = 1, *, side: Side = "sell", market: str = "", after_ms: int = 1
    ) -> list[Event]:
        """Send a liquidation: "sell" closes a long. Return the emitted events."""
        self._pass_time(self.now_ns + after_ms * 1_000_000)
        at_ns, number = self.now_ns, self._number(market)
        return self._send(LiquidationRead(at_ns, at_ns, number, SIDES[side], steps(price), steps(size)))

    def stop(self) -> list[Event]:
        """Stop the session. Return the emitted events, which are plots only."""
        return self._send(SessionStopped(self.now_ns, "bench", "end of test"))

    def wants(self, market: str = "") -> Decimal:
        """Return the last target of the strategy: 0 if it has set none."""
        number = self._number(market)
        sizes = [one.size for one in self.emitted if isinstance(one, TargetSet) and one.instrument == number]
        return Decimal(sizes[-1] if sizes else 0).scaleb(-SIZE_SCALE)

    def _pass_time(self, until_ns: int) -> None:
        """Fire the timers due until then, and advance the time."""
        while due := [timer for timer in self._timers.values() if timer.due_ns <= until_ns]:
            timer = min(due, key=lambda one: (one.due_ns, one.key))
            del self._timers[timer.key]
            self.now_ns = max(self.now_ns, timer.due_ns)
            self._send(TimerFired(self.now_ns, self._actor.name, timer.key))
        self.now_ns = max(self.now_ns, until_ns)

    def _send(self, event: Event) -> list[Event]:
        emitted: list[Any] = []
        for kind, handler in handlers_of(self._actor):
            if kind is type(event) and self._actor.listens(kind):
                handler(event, emitted.append)
        # Calls come after what the strategy records at once, as in a turn.
        calls = [item.event for item in emitted if isinstance(item, Later)]
        emitted = [item for item in emitted if not isinstance(item, Later)] + calls
        for item in emitted:
            if isinstance(item, SetTimer):
                self._timers[item.key] = item
            elif isinstance(item, SignalRaised):
                self.plots.setdefault(item.name, []).append(item.value)
        events = [item for item in emitted if isinstance(item, Event)]
        self.emitted += events
        self._actor = self._restored()
        for item in events:
            self._note(item)
        return events

    def _restored(self) -> StrategyActor:
        """Return the strategy restored from a snapshot. Raises UsageError for state that cannot be stored."""
        stored = _stored(self._actor)
        restored = self._begin(self._make())
        restored.restore(stored)
        return restored

    def _begin(self, actor: StrategyActor) -> StrategyActor:
        actor.bind(self._listed, Turn())
        _stored(actor)
        return actor

    def _number(self, market: str) -> int:
        name = market or next(iter(self._numbers))
        if name not in self._numbers:
            raise UsageError(f"the bench has no market {name!r}; add it with markets=(...)")
        return self._numbers[name]


def _stored(actor: StrategyActor) -> Any:
    """Return the state as a snapshot restores it. Raises UsageError if it cannot be stored."""
    classes = classes_of(actor)
    actor.refuse(StateCheck(classes).find_exactly(actor.attributes(), actor.name))
    return stored_state(actor.state(), actor.name, classes)
