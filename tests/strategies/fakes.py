"""Strategies for tests: some use every verb, some fail at a known event, one is not deterministic."""

from __future__ import annotations

from typing import Any

from engine.clock import SECOND_NS
from engine.errors import UsageError
from engine.indicators import Ema, Sma
from engine.session import SessionBuilder
from engine.strategies import (
    Bar,
    Fill,
    Footprint,
    LargePrint,
    Liquidation,
    LiquidationLevels,
    OrderView,
    PerMarket,
    Strategy,
    Tick,
    Touch,
)
from engine.strategies.crossover import Crossover
from engine.strategies.flow_views import Flow

__all__ = [
    "CODE",
    "STRATEGIES",
    "Averages",
    "Busy",
    "Careful",
    "Counter",
    "Drifting",
    "Endless",
    "Forced",
    "Fragile",
    "Gambler",
    "Hasty",
    "Looking",
    "Nothings",
    "Spoiled",
    "SpoiledOnBars",
    "Twin",
    "Watcher",
    "builder",
    "load",
]

CODE = "0123456789abcdef"


class Busy(Strategy):
    """Uses every verb: market and limit orders, cancels, targets, timers, signals, state of many kinds."""

    every: int = 3
    size: str = "0.5"
    wait_ms: int = 700
    fail_at: int = 0

    def on_start(self) -> None:
        self.seen = 0
        self.average = PerMarket(Ema, 3)
        self.past: dict[int, list[float]] = {}
        self.filled = 0

    def on_trade(self, trade: Tick) -> None:
        self.seen += 1
        if self.fail_at and trade.event.trade_id == self.fail_at:
            self.past = {}
            raise ValueError(f"broke at {self.seen} in {object()}")
        value = self.average[trade.market].update(trade.price)
        if value is not None:
            self.plot("average", value)
        step = self.seen % (self.every * 6)
        if step == self.every:
            self.buy(trade.market, self.size, reason="market")
        elif step == 2 * self.every:
            self.sell(trade.market, self.size, limit=f"{trade.price * 1.001:.4f}")
        elif step == 3 * self.every:
            self.buy(trade.market, self.size, limit=f"{trade.price * 0.999:.4f}", tif="Ioc")
        elif step == 4 * self.every:
            self.cancel_all(trade.market)
        elif step == 5 * self.every:
            self.after(self.wait_ms, f"timer {trade.market}")

    def on_quote(self, quote: Touch) -> None:
        self.past.setdefault(self.seen % 3, []).append(quote.bid or -0.0)
        self.past[self.seen % 3] = self.past[self.seen % 3][-4:]

    def on_bar(self, bar: Bar) -> None:
        if bar.interval == "5s":
            self.target(bar.market, "1" if bar.close >= bar.open else 0, reason=f"bar of {bar.trades}")

    def on_timer(self, key: str) -> None:
        market = key.partition(" ")[2]
        self.plot("timer", float(self.seen), market)
        if self.seen % 2:
            self.after(self.wait_ms, key)

    def on_fill(self, fill: Fill) -> None:
        self.filled += 1
        self.plot(fill.side, fill.price)


class Fragile(Busy):
    """Busy under another name, so that it can run and fail beside it."""


class Careful(Strategy):
    """Uses orders of every type: brackets, stops, stop entries, post-only, groups, changes, trailing stops.

    Reads all that it can, and counts history.
    """

    size: str = "1"
    gap: int = 2
    every: int = 2

    def on_start(self) -> None:
        self.seen = 0
        self.warm = 0
        self.entry = ""
        self.refused = 0

    def on_trade(self, trade: Tick) -> None:
        self.seen += 1
        step, rest = divmod(self.seen % (self.every * 11), self.every)
        if rest:
            return
        below, above = (trade.price * (1 + way * self.gap / 2000) for way in (-1, 1))
        market = trade.market
        position, quote = self.position(market), self.quote(market)
        if step == 0:
            parts = [(above, float(self.size) / 2), (above * 1.001, float(self.size) / 4)]
            self.entry = self.buy(market, self.size, limit=below, stop_loss=below * 0.999, take_profit=parts)
        elif step == 1:
            self.stop(market, "sell", self.size, below, limit=below if self.seen % 3 else None)
        elif step == 2:
            self.sell(market, self.size, limit=above, tif="Alo", reduce_only=bool(self.seen % 2))
        elif step == 3:
            self.buy(market, self.size, stop_loss=below)
        elif step == 4:
            self.modify(self.entry, limit=above if self.seen % 3 else below)
            for order in [one for one in self.orders(market) if one.trigger][:2]:
                self.modify(order.handle, trigger=order.trigger_price, size=self.size)
        elif step == 5:
            self.stop(market, "sell", self.size, above, kind="tp")
        elif step == 6:
            self.sell(market, self.size, take_profit=below)
        elif step == 7:
            self.buy(market, self.size, trigger=above, ttl_ms=900)
            self.buy(market, notional=trade.price, limit=below, group="pair")
            self.sell(market, percent=1, limit=above, group="pair")
        elif step == 8:
            self.target(market, None if position else float(self.size) / 2)
        elif step == 9 and quote is not None:
            self.plot("held", position.size * (self.last(market) or 0.0))
            self.plot("spread", (quote.ask or 0.0) - (quote.bid or 0.0))
        else:
            self.cancel(self.entry)
            for order in self.orders(market)[:1]:
                self.cancel(order.handle)

    def on_order(self, order: OrderView) -> None:
        if order.state == "Refused":
            self.refused += 1
            self.log(f"{order.handle}: {order.rule}")

    def on_fill(self, fill: Fill) -> None:
        self.trail(fill.market, self.size, fill.price * self.gap / 1000, short=fill.side == "sell")
        self.plot("position", self.position(fill.market).size)

    def on_bar(self, bar: Bar) -> None:
        self.warm += bar.warmup
        self.plot("warm", float(self.warm))
        self.plot("mean", sum(self.bars(bar.market, bar.interval, 3).values()) / 3)


class Watcher(Strategy):
    """Plots the order flow that it receives."""

    def on_flow(self, flow: Flow) -> None:
        match flow:
            case Footprint():
                self.plot("Footprint", flow.delta)
            case LargePrint():
                self.plot("LargePrint", flow.size)


class Forced(Strategy):
    """Goes against liquidations, by as much as funding and open interest say."""

    def on_start(self) -> None:
        self.forced = {"buy": 0.0, "sell": 0.0}

    def on_liquidation(self, liquidation: Liquidation) -> None:
        self.forced[liquidation.side] += liquidation.size
        context = self.context("AAA")
        if context is not None and context.funding is not None:
            self.plot("funding", context.funding)
            size = round((context.open_interest or 0) * 10) / 10
            self.target(liquidation.market, size if liquidation.side == "sell" else -size)

    def on_flow(self, flow: Flow) -> None:
        if isinstance(flow, LiquidationLevels):
            self.plot("forced", flow.longs - flow.shorts)
            self.plot("levels", len(flow.levels))


class Averages(Strategy):
    """Plots averages of bars and does nothing else.

    If set, fails at the 1s bar of AAA that starts at second `fail_at` of a minute, or at bar `fail_at_count`.
    """

    fail_at: int = -1
    fail_at_count: int = 0

    def on_start(self) -> None:
        self.ema, self.sma = PerMarket(Ema, 2), PerMarket(Sma, 3)
        self.count = 0

    def on_bar(self, bar: Bar) -> None:
        self.count += 1
        second = bar.start_ns // SECOND_NS % 60
        if (bar.market, bar.interval, second) == ("AAA", "1s", self.fail_at):
            raise ValueError("broke")
        if self.count == self.fail_at_count:
            raise ValueError("broke by count")
        for name, average in (("ema", self.ema), ("sma", self.sma)):
            value = average[bar.market].update(bar.close)
            if value is not None:
                self.plot(name, value)


class Gambler(Strategy):
    """Sets random targets and plots the numbers it draws, and at the stop the number of bets."""

    share: float = 0.1

    def on_start(self) -> None:
        self.first = self.random.randint(1, 6)
        self.bets = 0

    def on_trade(self, trade: Tick) -> None:
        self.plot("drawn", self.random.random())
        if self.random.random() < self.share:
            self.bets += 1
            self.target(trade.market, self.random.choice(["1", "2", "0"]))

    def on_stop(self) -> None:
        self.plot("bets", self.bets, "AAA")
        self.target("AAA", "5")
        self.after(1000, "never")


class Nothings(Strategy):
    """Plots NaN and zero at each bar: values that `==` compares wrongly."""

    def on_bar(self, bar: Bar) -> None:
        self.plot("nan", float("nan"))
        self.plot("zero", 0.0)


class Endless(Strategy):
    """Plots more numbers in one turn than a turn may have events."""

    def on_trade(self, trade: Tick) -> None:
        for _ in range(110_000):
            self.plot("x", 1.0)


class Counter:
    """Global state, which outlives sessions."""

    calls = 0


class Drifting(Strategy):
    """Not deterministic: plots a number from outside its state."""

    def on_bar(self, bar: Bar) -> None:
        Counter.calls += 1
        self.plot("calls", float(Counter.calls))


class Looking(Strategy):
    """Keeps a function, which a snapshot cannot store."""

    def on_start(self) -> None:
        self.key = str.lower


class Spoiled(Strategy):
    """Comes to have a state that cannot be stored, in the way of its parameter, at trade `at`."""

    way: str = ""
    at: int = 30

    def on_start(self) -> None:
        self.seen = 0
        self.past: dict[str, list[Any]] = {}
        self.kept: Any = None

    def on_trade(self, trade: Tick) -> None:
        self.seen += 1
        if self.seen == self.at:
            if self.way == "attribute":
                self.kept = self.on_trade  # spoils kept
            elif self.way == "inside":
                self.past.setdefault("AAA", []).append(object())  # spoils past
            else:
                setattr(self, self.way, 5)


class SpoiledOnBars(Spoiled):
    """The same, and a hook for bars."""

    def on_bar(self, bar: Bar) -> None:
        self.plot("close", bar.close)


class Twin(Strategy):
    """Holds one list in two attributes, which a snapshot restores as two lists."""

    def on_start(self) -> None:
        self.one: list[float] = []
        self.other = self.one

    def on_bar(self, bar: Bar) -> None:
        self.one.append(bar.close)
        self.plot("seen", len(self.other))


class Hoarder(Strategy):
    """Keeps every trade in many small lists, and never forgets one."""

    each: int = 40

    def on_start(self) -> None:
        self.kept: list[list[int]] = []

    def on_trade(self, trade: Tick) -> None:
        self.kept += [[number] for number in range(self.each)]


class Seldom(Strategy):
    """Looks at every trade and acts on few: targets, stops, limits. Fails on one."""

    every: int = 20
    fail_at: int = 0

    def on_start(self) -> None:
        self.seen = 0
        self.prices: list[float] = []

    def on_trade(self, trade: Tick) -> None:
        self.seen += 1
        self.prices = [*self.prices[-3:], trade.price]
        if trade.event.trade_id == self.fail_at:
            raise ValueError(f"broke at {self.seen}")
        step, market = self.seen % (4 * self.every), trade.market
        if step == self.every:
            self.target(market, "2")
        elif step == 2 * self.every and self.position(market):
            self.stop(market, "sell", "1", trade.price * 0.999)
            self.trail(market, "1", trade.price * 0.0005)
        elif step == 3 * self.every:
            self.sell(market, "1", limit=trade.price * 1.0005)
        elif not step:
            self.plot("equity", float(self.equity))
            self.target(market, 0)


class Hasty(Strategy):
    """Sends cancels: of an opening that would fill, and of an exit whose size others take in two steps."""

    every: int = 2

    def on_start(self) -> None:
        self.seen = 0
        self.entry = ""

    def on_trade(self, trade: Tick) -> None:
        if trade.market != "AAA":
            return
        self.seen += 1
        step, rest = divmod(self.seen % (self.every * 20), self.every)
        if rest:
            return
        if step == 1:
            self.buy(trade.market, "2")
        elif step == 5:
            self.sell(trade.market, "2", limit=trade.price * 1.05)
        elif step in (8, 11):
            self.sell(trade.market, "1")
        elif step == 14:
            self.entry = self.buy(trade.market, "1", limit=trade.price * 1.01)
        elif step == 15:
            self.cancel(self.entry)


STRATEGIES: dict[str, type[Strategy]] = {
    f"fakes:{cls.__name__}": cls
    for cls in (
        Busy,
        Careful,
        Fragile,
        Averages,
        Gambler,
        Endless,
        Drifting,
        Looking,
        Nothings,
        Spoiled,
        SpoiledOnBars,
        Hoarder,
        Seldom,
        Hasty,
        Watcher,
        Forced,
        Crossover,
        Twin,
    )
}


def load(use: str) -> type[Strategy]:
    """See `engine.session.Load`."""
    if use not in STRATEGIES:
        raise UsageError(f"{use!r} is not a strategy of these tests")
    return STRATEGIES[use]


def builder(**changes: Any) -> SessionBuilder:
    """Return the builder of the sessions of these tests."""
    return SessionBuilder(load, changes.get("code", CODE), "0.0.test")
