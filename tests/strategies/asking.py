"""A strategy that runs the function of a test on each trade."""

from __future__ import annotations

from typing import Any

from engine.events import Trade
from engine.strategies import Bar, Fill, Strategy, Tick, Touch
from engine.strategies.actor import StrategyActor
from engine.values import BUY
from tests.actors.harness import Harness, T

__all__ = ["Asking", "asked", "harness"]


class Asking(Strategy):
    """Calls `todo`, set by the test, on each trade. Keeps the last view that it received."""

    def on_trade(self, trade: Tick) -> None:
        self.todo(trade)

    def on_quote(self, quote: Touch) -> None:
        self.shown = quote

    def on_bar(self, bar: Bar) -> None:
        self.shown = bar

    def on_fill(self, fill: Fill) -> None:
        self.shown = fill

    def on_timer(self, key: str) -> None:
        self.shown = key


def harness(markets: tuple[str, ...] = (), cls: type[Strategy] = Asking) -> Harness:
    return Harness(StrategyActor(cls, "mine", {}, markets))


def asked(on: Harness, todo: Any) -> list[Any]:
    """Call `todo` inside a hook of the strategy; return the emitted events."""
    on.strategy.todo = lambda _: todo(on.strategy)
    return on.send(Trade(T, T, 1, 10_050, 1500, BUY))
