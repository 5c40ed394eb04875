"""Strategies for the tests of Binance: one acts bar by bar, one on liquidations."""

from __future__ import annotations

from engine.strategies import Bar, Flow, Liquidation, LiquidationLevels, Strategy

__all__ = ["Cascade", "Round"]


class Round(Strategy):
    """Bar 1: buys at once. Bar 2: rests a bid and sets a stop. Bar 3: cancels both. Bar 4: closes."""

    def on_start(self) -> None:
        self.step = 0

    def on_bar(self, bar: Bar) -> None:
        self.step += 1
        market, close = bar.market, bar.close
        if self.step == 1:
            self.buy(market, "0.01", limit=_text(close * 1.01))
        elif self.step == 2:
            self.buy(market, "0.01", limit=_text(close * 0.9))
            self.stop(market, "sell", "0.009", trigger=_text(close * 0.8))
        elif self.step == 3:
            self.cancel_all(market)
        elif self.step == 4:
            self.target(market, 0)


class Cascade(Strategy):
    """Buys what was closed by force, once it knows the open interest, and plots what it knows."""

    def on_liquidation(self, liquidation: Liquidation) -> None:
        context = self.context(liquidation.market)
        if context is not None and context.open_interest and context.funding is not None:
            self.plot("part", liquidation.size / context.open_interest)
            self.plot("funding", context.funding)
            self.target(liquidation.market, "0.01" if liquidation.side == "sell" else 0)

    def on_flow(self, flow: Flow) -> None:
        if isinstance(flow, LiquidationLevels):
            self.plot("longs", flow.longs)


def _text(price: float) -> str:
    return f"{price:.0f}"
