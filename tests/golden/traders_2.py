"""The strategies of the golden days of the order manager. Not edited: what they decided is on record."""

from __future__ import annotations

from engine.indicators import Ema
from engine.strategies import Bar, Fill, OrderView, PerMarket, Strategy

__all__ = ["Fails", "Rival", "Verbs"]


class Verbs(Strategy):
    """Every verb in turn, by handles, with what is read in between."""

    interval: str = "5s"
    notional: float = 600.0

    def on_start(self) -> None:
        self.steps: dict[str, int] = {}
        self.entry: dict[str, str] = {}
        self.guard: dict[str, str] = {}
        self.refused: dict[str, int] = {}
        self.average = PerMarket(Ema, 5)

    def on_bar(self, bar: Bar) -> None:
        if bar.interval != self.interval or self.warming:
            return
        market, close = bar.market, bar.close
        step = self.steps[market] = self.steps.get(market, 0) + 1
        average = self.average[market].update(close)
        if average is not None:
            self.plot("average", average)
        position, size = self.position(market), self.notional / close
        match step % 18:
            case 1:
                self.target(market, notional=self.notional, reason="in")
            case 2:
                self.guard[market] = self.stop(market, "sell", size, close * 0.999)
                self.sell(market, size / 2, limit=close * 1.0005, reduce_only=True)
            case 3:
                self.modify(self.guard.get(market, ""), trigger=close * 0.9995)
            case 4:
                self.target(market, 0, reason="out")
            case 5:
                gains = [(close * 1.0005, size / 2), (close * 1.001, size / 4)]
                self.entry[market] = self.buy(market, size, stop_loss=close * 0.999, take_profit=gains)
            case 6:
                self.entry[market] = self.buy(market, size, limit=close * 0.9999, ttl_ms=12_000)
            case 7:
                self.modify(self.entry.get(market, ""), limit=close * 1.0001, size=size / 2)
            case 8:
                self.trail(market, size, close * 0.0005, reason="follow")
            case 9:
                self.target(market, None)
            case 10:
                self.buy(market, percent=1, trigger=close * 1.0003, group="breakout")
                self.sell(
                    market, percent=1, trigger=close * 0.9997, group="breakout", stop_loss=close * 1.002
                )
            case 12:
                self.target(market, -size if position.size >= 0 else size, reason="turn")
            case 13:
                self.stop(market, "buy" if position.size < 0 else "sell", size, close, kind="tp")
            case 14:
                (self.sell if self.random.random() < 0.5 else self.buy)(market, size * 3, tif="Ioc")
            case 15:
                self.buy(market, size, limit=close * 0.97, tif="Alo", group="pair")
                self.sell(market, size, limit=close * 1.03, tif="Alo", group="pair")
            case 16:
                self.cancel(self.entry.get(market, ""))
                for order in self.orders(market)[:1]:
                    self.cancel(order.handle)
            case 17:
                self.untrail(market, reason="round")
                self.cancel_all(market, reason="round")
            case 0:
                self.target(market, 0, reason="even")
        self.plot("held", position.size)

    def on_order(self, order: OrderView) -> None:
        if order.state == "Refused":
            self.refused[order.rule] = self.refused.get(order.rule, 0) + 1
            self.log(f"{order.purpose} {order.rule}")

    def on_fill(self, fill: Fill) -> None:
        self.plot("fee", fill.fee)
        self.plot("position", self.position(fill.market).size)


class Rival(Strategy):
    """Is short most of the time in the same markets, behind a stop: the account nets the two."""

    interval: str = "5s"
    notional: float = 450.0

    def on_start(self) -> None:
        self.steps: dict[str, int] = {}

    def on_bar(self, bar: Bar) -> None:
        if bar.interval != self.interval or self.warming:
            return
        market, close = bar.market, bar.close
        step = self.steps[market] = self.steps.get(market, 0) + 1
        if step % 7 == 1:
            self.target(market, -self.notional / close)
        elif step % 7 == 3:
            self.stop(market, "buy", self.notional / close, close * 1.0005)
        elif step % 7 == 0:
            self.target(market, 0)


class Fails(Strategy):
    """Holds a position behind a stop and fails on its tenth bar: the stop goes on."""

    interval: str = "5s"

    def on_start(self) -> None:
        self.count = 0
        self.handle = ""

    def on_bar(self, bar: Bar) -> None:
        if bar.interval != self.interval or self.warming:
            return
        self.count += 1
        if self.count == 3:
            self.handle = self.buy(bar.market, notional=300, stop_loss=bar.close * 0.9985)
        if self.count == 10:
            raise ValueError("the tenth bar")
