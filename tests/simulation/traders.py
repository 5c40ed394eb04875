"""The strategies of a simulation: between them they use every kind of order. Positions stay small."""

from __future__ import annotations

from engine.strategies import Bar, Strategy, Tick

__all__ = ["Mixed", "MixedOnTrades", "Targets", "TargetsOnTrades"]

SIZES = {"BTC": "0.002", "ETH": "0.05"}
HALVES = {"BTC": "0.001", "ETH": "0.02"}


def _base(market: str) -> str:
    return market.rpartition(":")[2].removesuffix("USDT")


class Targets(Strategy):
    """A new target on some bars, with a trailing stop on half of it."""

    def on_bar(self, bar: Bar) -> None:
        if bar.interval == "1m":
            self.act(bar.market, bar.close)

    def act(self, market: str, close: float) -> None:
        """Decide something."""
        draw = self.random.randint(0, 5)
        if draw < 3:
            size = SIZES[_base(market)]
            self.target(market, (0, size, "-" + size)[draw])
        elif draw == 3:
            self.trail(market, HALVES[_base(market)], close * 0.002)


class Mixed(Strategy):
    """Limits that rest, cross or post, market orders, stops, brackets, groups, changes, cancels."""

    def on_start(self) -> None:
        self.resting: dict[str, str] = {}

    def on_bar(self, bar: Bar) -> None:
        if bar.interval == "1m":
            self.act(bar.market, bar.close)

    def act(self, market: str, close: float) -> None:
        """Decide something."""
        size, half = SIZES[_base(market)], HALVES[_base(market)]
        draw = self.random.randint(0, 10)
        if draw == 0:
            self.resting[market] = self.buy(market, size, limit=_text(close * 0.9995), ttl_ms=600_000)
        elif draw == 1:
            self.resting[market] = self.sell(market, size, limit=_text(close * 1.0005))
        elif draw == 2:
            self.buy(market, size, stop_loss=_text(close * 0.998), take_profit=[(_text(close * 1.002), half)])
        elif draw == 3:
            self.sell(market, size, stop_loss=_text(close * 1.002))
        elif draw == 4:
            self.buy(market, half, limit=_text(close * 1.001), tif="Ioc")
        elif draw == 5:
            self.sell(market, half, limit=_text(close * 1.01), tif="Alo", group="g")
        elif draw == 6:
            self.stop(market, "sell", size, _text(close * 0.997))
        elif draw == 7 and self.resting.get(market):
            self.modify(self.resting[market], limit=_text(close * 0.999))
        elif draw == 8 and self.resting.get(market):
            self.cancel(self.resting[market])
        elif draw == 9:
            self.cancel_all(market)
        else:
            position = self.position(market)
            if position.size:
                (self.sell if position.size > 0 else self.buy)(market, size, reduce_only=True)


class TargetsOnTrades(Targets):
    """The same on some trades."""

    def on_trade(self, trade: Tick) -> None:
        if not self.random.randint(0, 5):
            self.act(trade.market, trade.price)


class MixedOnTrades(Mixed):
    """The same on some trades."""

    def on_trade(self, trade: Tick) -> None:
        if not self.random.randint(0, 5):
            self.act(trade.market, trade.price)


def _text(price: float) -> str:
    return f"{price:.8f}"
