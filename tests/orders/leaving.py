"""A strategy for tests of exits: it buys in the first bar and closes in the second."""

from __future__ import annotations

from engine.strategies import Bar, Strategy

__all__ = ["Leaving"]


class Leaving(Strategy):
    """State: the number of bars."""

    def on_start(self) -> None:
        self.bars = 0

    def on_bar(self, bar: Bar) -> None:
        self.bars += 1
        if self.bars <= 2:
            self.target(bar.market, "0.01" if self.bars == 1 else 0)
