"""Strategies for the benchmarks."""

from __future__ import annotations

from engine.strategies import Strategy, Tick
from engine.strategies.crossover import Crossover

__all__ = ["EveryTrade", "OrderOften"]


class EveryTrade(Crossover):
    """The crossover strategy with an additional handler for every trade."""

    def on_start(self) -> None:
        """Initialize the state."""
        super().on_start()
        self.highest = 0.0

    def on_trade(self, trade: Tick) -> None:
        """Keep the highest price."""
        price = trade.price
        if price > self.highest:
            self.highest = price


class OrderOften(Strategy):
    """Changes its position on every third trade of BTC, so that many orders are caused by trades."""

    def on_start(self) -> None:
        """Initialize the state."""
        self.seen = 0

    def on_trade(self, trade: Tick) -> None:
        """Count trades of BTC and change the position on every third one."""
        self.seen += trade.market == "BTC"
        if trade.market == "BTC" and self.seen % 3 == 0:
            self.target("BTC", "0.001" if self.seen % 2 else "0.002")
