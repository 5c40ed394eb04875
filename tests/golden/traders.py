"""The strategies of the golden days. Not edited: what they decided is on record."""

from __future__ import annotations

from dataclasses import dataclass

from engine.indicators import Ema, Rsi
from engine.strategies import Bar, Fill, OrderView, PerMarket, Strategy

__all__ = ["Everything", "Memory", "Raises"]

SIZES = {"BTC": "0.004", "ETH": "0.1", "PURR": "2000"}


@dataclass
class Memory:
    """What the strategy remembers of a market."""

    bars: int = 0
    bought: int = 0
    sold: int = 0


class Everything(Strategy):
    """Every verb in turn: targets, limits, post-only, immediate orders, stops, trails, changes, cancels."""

    interval: str = "5s"

    def on_start(self) -> None:
        self.step = 0
        self.memory: dict[str, Memory] = {}
        self.fast = PerMarket(Ema, 5)
        self.rsi = PerMarket(Rsi, 14)
        self.resting: dict[str, str] = {}

    def on_timer(self, key: str) -> None:
        self.after(30_000, key)

    def on_order(self, order: OrderView) -> None:
        if order.state == "New" and order.limit is not None and not order.trigger:
            self.resting[order.market] = order.client_order_id

    def on_fill(self, fill: Fill) -> None:
        memory = self.memory.setdefault(fill.market, Memory())
        if fill.side == "buy":
            memory.bought += 1
        else:
            memory.sold += 1

    def on_bar(self, bar: Bar) -> None:
        average = self.fast[bar.market].update(bar.close)
        strength = self.rsi[bar.market].update(bar.close)
        if bar.interval != self.interval:
            return
        if average is not None and strength is not None:
            self.plot("fast", average)
            self.plot("rsi", strength)
        memory = self.memory.setdefault(bar.market, Memory())
        memory.bars += 1
        self.step += 1
        if self.step == 1:
            self.after(30_000, "pulse")
        market, close, size = bar.market, bar.close, SIZES[bar.market]
        what = self.step % 13
        if what == 1:
            self.buy(market, size, limit=_text(close * 0.9998))
            self.sell(market, size, limit=_text(close * 1.0002))
        elif what == 2:
            self.buy(market, size, limit=_text(close * 0.97), tif="Alo")
        elif what == 3:
            (self.sell if self.random.random() < 0.5 else self.buy)(market, size)
        elif what == 4:
            stop, gain = _text(close * 0.998), _text(close * 1.002)
            self.buy(market, size, limit=_text(close * 1.001), tif="Ioc", stop_loss=stop, take_profit=gain)
        elif what == 5:
            self.target(market, size, reason="in")
        elif what == 6:
            self.trail(market, size, _text(close * 0.001), reason="trail")
        elif what == 7 and market in self.resting:
            self.modify(self.resting[market], limit=_text(close * 0.9995))
        elif what == 8:
            self.stop(market, "sell", size, trigger=_text(close * 0.999))
        elif what == 9:
            self.sell(market, size, limit=_text(close * 0.999), tif="Ioc")
        elif what == 10:
            self.target(market, size, short=True, reason="short") if memory.sold else None
        elif what == 11:
            self.untrail(market, reason="round")
            self.cancel_all(market, reason="round")
        elif what == 12:
            self.target(market, 0, reason="even")


class Raises(Strategy):
    """Fails on its fourth bar; it alone stops."""

    def on_start(self) -> None:
        self.bars = 0

    def on_bar(self, bar: Bar) -> None:
        self.bars += 1
        if self.bars == 4:
            raise ValueError("the fourth bar")


def _text(price: float) -> str:
    return f"{price:.8f}"
