"""Delays market data by a configured latency of the feed (`[simulated] feed_ms`), before it is an input.

What happened at the venue at V is received at V + latency. The order of the data stays as it was recorded,
so no time goes back. What has no time of the venue (the state of a feed, marks) moves with the data before
it. The new times of receipt are recorded, so the run replays as it is. Called by `replay.backtesting`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec

from engine.config.latency import Latency
from engine.events import (
    BookRead,
    Candle,
    Event,
    FundingRead,
    LiquidationRead,
    Quote,
    Trade,
    engine_time,
)

__all__ = ["delayed"]

_Timed = Trade | Quote | BookRead | Candle | FundingRead | LiquidationRead
_TIMED: Final = (Trade, Quote, BookRead, Candle, FundingRead, LiquidationRead)


def delayed(batches: Iterator[list[Event]], latency: Latency, seed: int) -> Iterator[list[Event]]:
    """Yield the batches with the times at which they are received."""
    last_ns = 0
    moved_ns: int | None = None
    for batch in batches:
        found: list[Event] = []
        if moved_ns is None:
            # What comes before the first price, such as listings, moves with it.
            moved_ns = next((_moved_ns(one, latency, seed) for one in batch if isinstance(one, _TIMED)), None)
        for event in batch:
            if isinstance(event, _TIMED):
                moved_ns = _moved_ns(event, latency, seed)
            last_ns = max(last_ns, engine_time(event) + (moved_ns or 0))
            found.append(msgspec.structs.replace(event, recv_ns=last_ns))
        yield found


def _moved_ns(event: _Timed, latency: Latency, seed: int) -> int:
    """Return by how much later than recorded an event is received."""
    key = f"feed {type(event).__name__} {event.instrument} {event.venue_ns}"
    return event.venue_ns + latency.draw_ns(seed, key) - event.recv_ns
