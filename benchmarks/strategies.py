"""Strategies that exist to be measured."""

from __future__ import annotations

from engine.strategies import Strategy, Tick
from engine.strategies.crossover import Crossover

__all__ = ["EveryTrade", "OrderOften"]


class EveryTrade(Crossover):
    """The crossover, and a handler that looks at the price of every print."""

    def on_start(self) -> None:
        """Begin without a price."""
        super().on_start()
        self.highest = 0.0

    def on_trade(self, trade: Tick) -> None:
        """Keep the highest price."""
        price = trade.price
        if price > self.highest:
            self.highest = price


class OrderOften(Strategy):
    """Changes its position on every third print of BTC: many orders, each asked for by a print."""

    def on_start(self) -> None:
        """Begin to count."""
        self.seen = 0

    def on_trade(self, trade: Tick) -> None:
        """Ask for an order now and then."""
        self.seen += trade.market == "BTC"
        if trade.market == "BTC" and self.seen % 3 == 0:
            self.target("BTC", "0.001" if self.seen % 2 else "0.002")
