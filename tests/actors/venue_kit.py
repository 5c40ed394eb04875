"""A harness with a simulated venue; orders and market data for it; summaries of what it emits.

Prices in orders and market data are steps of the grid (AAA: 0.01); in summaries they are those of fills, with
four more decimals, as text.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from engine.actors import SimulatedVenue
from engine.config import AccountConfig, PaperConfig
from engine.events import (
    BookRead,
    Candle,
    ContextRead,
    Event,
    InstrumentListed,
    MarketRules,
    ModifyOrder,
    ModifyRejected,
    OrderAccepted,
    OrderCanceled,
    OrderFilled,
    OrderModified,
    OrderRejected,
    OrderTerms,
    PathReached,
    Quote,
    SubmitOrder,
    Trade,
)
from engine.instruments import Instruments
from engine.values import BUY, SELL, format_scaled
from tests.actors.harness import LISTED, MINUTE, Harness, T

__all__ = [
    "HOUR",
    "MS",
    "attached",
    "book",
    "candle",
    "context",
    "holding",
    "listed",
    "market_of",
    "modify",
    "new_harness",
    "order",
    "placed",
    "quote",
    "reports",
    "summary",
    "trade",
]

MS = 1_000_000
HOUR = 3600 * 10**9
PLAIN: dict[str, Any] = {"latency_ms": 0, "slippage_bps": 0, "taker_fee": "0", "maker_fee": "0"}


def listed(number: int = 1, price_scale: int = 2, size_scale: int = 3, **rules: Any) -> InstrumentListed:
    """Return an instrument with these rules."""
    return InstrumentListed(T, number, "sim", "AAA", price_scale, size_scale, rules=MarketRules(**rules))


def new_harness(
    instruments: Mapping[int, InstrumentListed] = LISTED,
    *,
    account: AccountConfig | None = None,
    **paper: Any,
) -> Harness:
    config = account or AccountConfig(cash="9000000000000")
    return Harness(SimulatedVenue(PaperConfig(**{**PLAIN, **paper}), config), instruments)


def order(name: str, side: int, size: int = 10, limit: int = 0, tif: str = "Gtc", **more: Any) -> SubmitOrder:
    """Return an order; `owner`, `at` and `instrument` besides its terms. One at market is Ioc."""
    owner, at, instrument = more.pop("owner", "s"), more.pop("at", T), more.pop("instrument", 1)
    waits = more.get("trigger", "")
    terms = OrderTerms(side, size, limit, tif if limit else "Ioc" if not waits else tif, **more)
    return SubmitOrder(at, name, owner, instrument, terms)


def attached(name: str, trigger: str, price: int, parent: str = "p", side: int = SELL) -> SubmitOrder:
    return order(
        name, side, reduce_only=True, role="close", trigger=trigger, trigger_price=price, parent=parent
    )


def modify(name: str, size: int, limit: int, at: int = T, tif: str = "Gtc") -> ModifyOrder:
    return ModifyOrder(at, name, 1, BUY, size, limit, tif, False)


def trade(price: int, size: int = 1000, at: int = T + 1) -> Trade:
    return Trade(at, at - 7, 1, price, size, 1)


def quote(bid: int, ask: int, bid_size: int = 1000, ask_size: int = 1000, at: int = T + 1) -> Quote:
    return Quote(at, at - 7, 1, bid, bid_size if bid else 0, ask, ask_size if ask else 0)


def book(bids: list[tuple[int, int]], asks: list[tuple[int, int]], at: int = T + 1) -> BookRead:
    sides = (tuple((price, size, 1) for price, size in side) for side in (bids, asks))
    return BookRead(at, at - 7, 1, *sides)


def candle(
    opening: int, high: int, low: int, close: int, volume: int = 0, start: int = T, instrument: int = 1
) -> Candle:
    end = start + MINUTE
    return Candle(end, end, instrument, MINUTE, start, opening, high, low, close, volume)


def context(mark: int = 0, at: int = T + 1, **more: Any) -> ContextRead:
    """Return a context with a mark at the scale of AAA's prices."""
    values: dict[str, Any] = dict.fromkeys(
        ("mark", "oracle", "mid", "funding", "premium", "open_interest"), None
    )
    return ContextRead(at, 1, **{"scale": 2, **values, "mark": mark or None, **more})


def placed(harness: Harness, *orders: Event) -> list[Any]:
    """Send orders, let them arrive, and return the events emitted."""
    harness.send(*orders)
    return harness.advance(max(T, *(one.at_ns for one in orders)) + HOUR // 2)  # type: ignore[attr-defined]


def holding(size: int, price: int = 100, **config: Any) -> Harness:
    """Return a harness whose account holds this much of AAA, bought by "s"."""
    harness = new_harness(**config)
    placed(harness, order("first", BUY if size > 0 else SELL, abs(size)))
    harness.send(trade(price))
    return harness


def reports(events: list[Any]) -> list[Any]:
    """Return events without the prices that books are led to along a candle."""
    return [one for one in events if not isinstance(one, PathReached)]


def market_of(harness: Harness, instrument: int = 1, **changes: Any) -> None:
    """Change an instrument of a harness that has not begun."""
    actor = harness.actor
    changed = {**actor.instruments, instrument: replace(actor.instruments[instrument], **changes)}
    actor.bind(Instruments(changed.values()), actor.turn)


def summary(events: list[Any]) -> list[tuple[str, ...]]:
    """Return each report as its kind, its order, and the size at a price or the reason.

    That a trigger was reached is left out: a fill or an end follows.
    """
    short: list[tuple[str, ...]] = []
    for one in reports(events):
        if isinstance(one, OrderAccepted) and one.triggered:
            continue
        if isinstance(one, OrderFilled):
            price = format_scaled(one.price, one.finer)
            short.append(("fill", one.client_order_id, f"{one.size}@{price}"))
        elif isinstance(one, OrderModified):
            short.append(("change", one.client_order_id, f"{one.size}@{one.limit_price}"))
        elif isinstance(one, OrderCanceled | OrderRejected | ModifyRejected):
            short.append((type(one).__name__, one.client_order_id, one.reason))
        else:
            short.append((type(one).__name__, getattr(one, "client_order_id", "")))
    return short
