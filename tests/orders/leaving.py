"""Strategies for tests of lost requests."""

from __future__ import annotations

from engine.strategies import Bar, Strategy

__all__ = ["Changing", "Leaving"]


class Leaving(Strategy):
    """Buys in the first bar and closes in the second. State: the number of bars."""

    def on_start(self) -> None:
        self.bars = 0

    def on_bar(self, bar: Bar) -> None:
        self.bars += 1
        if self.bars <= 2:
            self.target(bar.market, "0.01" if self.bars == 1 else 0)


class Changing(Strategy):
    """Bids far from the market in the first bar, and for more in the second. State: the bars, the bid."""

    def on_start(self) -> None:
        self.bars = 0
        self.bid = ""

    def on_bar(self, bar: Bar) -> None:
        self.bars += 1
        if self.bars == 1:
            self.bid = self.buy(bar.market, "0.01", limit=bar.close * 0.9)
        elif self.bars == 2:
            self.modify(self.bid, size="0.03")
