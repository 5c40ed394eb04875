"""The example strategy: holds a position while the fast average of closes is above the slow one."""

from __future__ import annotations

from engine.indicators import Ema
from engine.strategies import Bar, PerMarket, Strategy


class Crossover(Strategy):
    """EMA crossover on the closes of one interval: long above, flat below, once both are warm."""

    fast: int = 10
    slow: int = 20
    interval: str = "1m"
    notional: str = "5000"

    def on_start(self) -> None:
        self.quick, self.calm = PerMarket(Ema, self.fast), PerMarket(Ema, self.slow)

    def on_bar(self, bar: Bar) -> None:
        if bar.interval == self.interval:
            quick, calm = self.quick[bar.market].update(bar.close), self.calm[bar.market].update(bar.close)
            if quick is not None and calm is not None and quick <= calm:
                self.target(bar.market, 0, reason="fast EMA below slow")
            elif quick is not None and calm is not None and not self.wanted(bar.market):
                self.target(bar.market, notional=self.notional, reason="fast EMA above slow")
