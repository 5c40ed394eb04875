"""The example strategy: hold a position while the fast average of closes is above the slow one."""

from __future__ import annotations

from engine.indicators import Ema
from engine.strategies import Bar, PerMarket, Strategy


class Crossover(Strategy):
    """EMA 10/20 crossover on the closes of one interval: long above, flat below (or short, if allowed)."""

    def __init__(self, fast: int = 10, slow: int = 20, interval: str = "1m", notional: str = "5000") -> None:
        self.fast, self.slow = PerMarket(Ema, fast), PerMarket(Ema, slow)
        self.interval, self.notional = interval, notional

    def on_bar(self, bar: Bar) -> None:
        """Compare the averages after each close; the slow one decides when both are warm."""
        if bar.interval != self.interval:
            return
        fast, slow = self.fast[bar.market].update(bar.close), self.slow[bar.market].update(bar.close)
        if fast is None or slow is None:
            return
        if fast <= slow:
            self.target(bar.market, 0, reason="fast EMA below slow")
        elif not self.holds(bar.market):
            self.target(bar.market, self.size_for(bar, self.notional), reason="fast EMA above slow")
