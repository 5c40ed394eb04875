"""A strategy that runs the function of a test on each trade, and the events that answer it."""

from __future__ import annotations

from typing import Any

from engine.config import BarsConfig, Config
from engine.events import (
    EquityMarked,
    FillBooked,
    OrderTerms,
    PositionChanged,
    SessionStarted,
    SubmitOrder,
    TargetSet,
    Trade,
)
from engine.strategies import Bar, Fill, OrderView, Strategy, Tick, Touch
from engine.strategies.actor import StrategyActor
from engine.values import BUY
from tests.actors.harness import Harness, T

__all__ = ["Asking", "asked", "booked", "equity", "harness", "placed", "position", "read", "started"]


class Asking(Strategy):
    """Calls `todo`, set by the test, on each trade. Keeps the last view that it received, and all orders."""

    def on_start(self) -> None:
        self.orders_seen: list[OrderView] = []

    def on_trade(self, trade: Tick) -> None:
        self.todo(trade)

    def on_quote(self, quote: Touch) -> None:
        self.shown = quote

    def on_bar(self, bar: Bar) -> None:
        self.shown = bar

    def on_fill(self, fill: Fill) -> None:
        self.shown = fill
        self.then = self.position(fill.market)

    def on_order(self, order: OrderView) -> None:
        self.orders_seen.append(order)

    def on_timer(self, key: str) -> None:
        self.shown = key


def harness(markets: tuple[str, ...] = (), cls: type[Strategy] = Asking) -> Harness:
    return Harness(StrategyActor(cls, "mine", {}, markets))


def asked(on: Harness, todo: Any) -> list[Any]:
    """Call `todo` inside a hook; return the emitted events. Targets reach the order manager."""
    on.strategy.todo = lambda _: todo(on.strategy)
    emitted = on.send(Trade(T, T, 1, 10_050, 1500, BUY))
    on.send(*(event for event in emitted if isinstance(event, TargetSet)))
    return emitted


def read(on: Harness, what: Any) -> Any:
    """Return what `what` returns inside a hook of the strategy."""
    found: list[Any] = []
    asked(on, lambda s: found.append(what(s)))
    return found[0]


def placed(
    name: str = "0x1",
    handle: str = "mine-1",
    side: int = BUY,
    size: int = 5000,
    limit: int = 10_000,
    **terms: Any,
) -> SubmitOrder:
    """Return the command of an order, as execution emits it."""
    strategy, instrument = terms.pop("strategy", "mine"), terms.pop("instrument", 1)
    terms = {"role": "open", "handle": handle, **terms}
    return SubmitOrder(T, name, strategy, instrument, OrderTerms(side, size, limit, **terms))


def booked(side: int, size: int, price: int, role: str = "open", **fields: Any) -> FillBooked:
    """Return a booked fill in AAA."""
    values = {"owner": "mine", "instrument": 1, "fee": 0, "finer": 0, "client_order_id": "0x1", "trade_id": 1}
    values |= {"liquidity": "taker", "purpose": "own", **fields}
    return FillBooked(T, side=side, price=price, size=size, role=role, **values)


def position(size: int, cost: int, **fields: Any) -> PositionChanged:
    return PositionChanged(T, fields.pop("strategy", "mine"), 1, size, cost, 0, 0, **fields)


def equity(value: int, unrealized: int = 0, scale: int = 5) -> EquityMarked:
    return EquityMarked(T, scale, 0, unrealized, 0, value)


def started(mode: str = "paper", *intervals: str, at: int = T) -> SessionStarted:
    """Return the event that opens a session."""
    config = Config(bars=BarsConfig(intervals=intervals or ("1m", "5m")))
    return SessionStarted(at, "a" * 16, mode, "0", "", "", (), config.canonical())
