"""Strategies for the live tests.

`Busy` uses every kind of order, so that every fault can hit one. `Signaled` does what a test says.
"""

from __future__ import annotations

from engine.strategies import Bar, Fill, Strategy, Tick

__all__ = ["Both", "Busy", "Quiet", "Signaled"]

SIZES = {"BTC": "0.002", "BTCUSDT": "0.002", "ETH": "0.05", "PURR": "2000"}


class Busy(Strategy):
    """On each bar the next step of a cycle: rest, take, cross, flatten, cancel. Positions stay small."""

    def on_start(self) -> None:
        self.step = 0
        self.held: dict[str, int] = {}

    def on_fill(self, fill: Fill) -> None:
        side = 1 if fill.side == "buy" else -1
        self.held[fill.market] = self.held.get(fill.market, 0) + side

    def on_bar(self, bar: Bar) -> None:
        if bar.interval != "5s":
            return
        market, size, close = bar.market, SIZES[bar.market], bar.close
        self.step += 1
        action = self.step % 9
        near, far = close * 0.9998, close * 0.97
        if action in (1, 5):
            self.buy(market, size, limit=_text(near))
            self.sell(market, size, limit=_text(close * 1.0002))
        elif action == 2:
            self.buy(market, size, limit=_text(far), tif="Alo")
        elif action == 3:
            (self.sell if self.step % 2 else self.buy)(market, size)
        elif action == 4:
            self.buy(market, size, limit=_text(close * 1.001), tif="Ioc")
        elif action == 6:
            self.sell(market, size, limit=_text(close * 0.999), tif="Ioc")
        elif action == 7:
            self.target(market, 0, reason="even")
        elif action == 8:
            self.cancel_all(market, reason="round")


class Quiet(Strategy):
    """Places no orders."""


class Signaled(Strategy):
    """Runs calls on signals. `script`: lines "NUMBER: verb argument ... name=argument", all about BTC."""

    script: str = ""

    def on_start(self) -> None:
        self.calls: dict[int, list[str]] = {}
        self.handles: list[str] = []
        for line in self.script.split(";"):
            number, _, call = line.partition(":")
            if call:
                self.calls.setdefault(int(number), []).append(call.strip())

    def on_trade(self, trade: Tick) -> None:
        for call in self.calls.get(trade.event.size, ()):
            verb, *words = call.split()
            named = dict(word.split("=") for word in words if "=" in word)
            plain = [word for word in words if "=" not in word]
            if verb == "cancel":
                self.cancel(self.handles[int(plain[0])])
            elif verb == "raise":
                raise ValueError("as the script says")
            else:
                found = getattr(self, verb)("BTC", *plain, **named)
                if isinstance(found, str):
                    self.handles.append(found)


def _text(price: float) -> str:
    return f"{price:.8f}"


class Both(Strategy):
    """Turns its position in each market with each bar of it; the size is small."""

    def on_bar(self, bar: Bar) -> None:
        held = self.position(bar.market).size
        self.target(bar.market, "-0.01" if held > 0 else "0.01")
