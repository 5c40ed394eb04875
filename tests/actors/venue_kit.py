"""A harness with a simulated venue; orders and market data for it; summaries of what it emits."""

from __future__ import annotations

from typing import Any

from engine.actors import SimulatedVenue
from engine.config import PaperConfig
from engine.events import (
    Candle,
    Event,
    ModifyOrder,
    ModifyRejected,
    OrderCanceled,
    OrderFilled,
    OrderModified,
    OrderRejected,
    Quote,
    SubmitOrder,
    Trade,
)
from engine.values import BUY, SELL
from tests.actors.harness import MINUTE, Harness, T

__all__ = [
    "HOUR",
    "MS",
    "attached",
    "candle",
    "holding",
    "modify",
    "new_harness",
    "order",
    "placed",
    "quote",
    "summary",
    "trade",
]

MS = 1_000_000
HOUR = 3600 * 10**9
PLAIN: dict[str, Any] = {"latency_ms": 0, "slippage_bps": 0, "taker_fee": "0", "maker_fee": "0"}


def new_harness(**config: Any) -> Harness:
    return Harness(SimulatedVenue(PaperConfig(**{**PLAIN, **config})))


def order(name: str, side: int, size: int = 10, limit: int = 0, tif: str = "Gtc", **more: Any) -> SubmitOrder:
    fields = {"reduce_only": False, **more}
    return SubmitOrder(T, name, "s", 1, side, size, limit, tif, **fields)


def attached(name: str, trigger: str, price: int, parent: str = "p", side: int = SELL) -> SubmitOrder:
    return order(name, side, reduce_only=True, trigger=trigger, trigger_price=price, parent=parent)


def modify(name: str, size: int, limit: int, at: int = T, tif: str = "Gtc") -> ModifyOrder:
    return ModifyOrder(at, name, 1, BUY, size, limit, tif, False)


def trade(price: int, size: int = 1000, at: int = T + 1) -> Trade:
    return Trade(at, at - 7, 1, price, size, 1)


def quote(bid: int, ask: int) -> Quote:
    return Quote(T + 1, T - 6, 1, bid, 5 if bid else 0, ask, 5 if ask else 0)


def candle(opening: int, high: int, low: int, close: int) -> Candle:
    return Candle(T + MINUTE, T + MINUTE, 1, MINUTE, T, opening, high, low, close, 1)


def placed(harness: Harness, *orders: Event) -> list[Any]:
    """Send orders, let them arrive, and return the events emitted."""
    harness.send(*orders)
    return harness.advance(T + HOUR)


def holding(size: int, **config: Any) -> Harness:
    """Return a harness whose account holds this much of AAA."""
    harness = new_harness(**config)
    placed(harness, order("first", BUY if size > 0 else SELL, abs(size)))
    harness.send(trade(100))
    return harness


def summary(events: list[Any]) -> list[tuple[str, ...]]:
    """Return each event as its kind, its order, and the size or the reason."""
    short: list[tuple[str, ...]] = []
    for one in events:
        if isinstance(one, OrderFilled):
            short.append(("fill", one.client_order_id, f"{one.size}@{one.price}"))
        elif isinstance(one, OrderModified):
            short.append(("change", one.client_order_id, f"{one.size}@{one.limit_price}"))
        elif isinstance(one, OrderCanceled | OrderRejected | ModifyRejected):
            short.append((type(one).__name__, one.client_order_id, one.reason))
        else:
            short.append((type(one).__name__, one.client_order_id))
    return short
