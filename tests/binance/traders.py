"""A strategy for the tests of Binance: takes, rests, protects and closes, bar by bar."""

from __future__ import annotations

from engine.strategies import Bar, Strategy

__all__ = ["Round"]


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


def _text(price: float) -> str:
    return f"{price:.0f}"
