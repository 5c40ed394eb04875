"""What every part of one feed works with: name, clock, limits, counts, decoder, and the way to the engine.

Owns nothing of its own. Made by `feed.py`, handed to its lines, tapes, watches, repairs and polls.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from adapters.hyperliquid.decode import Decoder
from adapters.hyperliquid.wire import WireBook, WireCandle, WireContext, WireTrade
from adapters.transport.governor import Governor, Priority
from adapters.transport.health import FeedHealth, FeedLimits
from engine.ports import Clock

__all__ = ["Desk", "MarketInfo", "Recent"]

Recent = Callable[[str], Awaitable[list[WireTrade]]]
"""Returns the newest prints of a coin, newest first; raises VenueError: `HyperliquidInfo.recent_trades`."""


class MarketInfo(Protocol):
    """What is asked of the venue over HTTP: `HyperliquidInfo`. Everything raises VenueError."""

    async def recent_trades(self, coin: str, priority: Priority = ...) -> list[WireTrade]:
        """Return the newest prints, newest first."""
        ...

    async def book(self, coin: str, priority: Priority = ...) -> WireBook:
        """Return the book."""
        ...

    async def contexts(self, dex: str = ...) -> list[WireContext]:
        """Return the contexts of a dex's perps."""
        ...

    async def all_mids(self, dex: str = ...) -> dict[str, str]:
        """Return the mids of a dex."""
        ...

    async def candles(
        self, coin: str, interval: str, start_ms: int, end_ms: int, priority: Priority = ...
    ) -> list[WireCandle]:
        """Return candles that open from `start_ms` to `end_ms`, oldest first."""
        ...


@dataclass(frozen=True, slots=True)
class Desk:
    """`emit` takes events for the engine, `room` waits while it is behind; `jitter` returns 0 to 1."""

    name: str
    clock: Clock
    jitter: Callable[[], float]
    limits: FeedLimits
    health: FeedHealth
    governor: Governor
    decoder: Decoder
    emit: Callable[..., None]
    room: Callable[[], Awaitable[None]]

    def seconds_since(self, engine_ns: int) -> float:
        """Return how many real seconds ago the engine's clock read `engine_ns`."""
        return -self.clock.real_seconds_until(engine_ns)
