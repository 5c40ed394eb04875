"""What a feed is made of: the same for every venue. Made by a venue's client, taken by its feed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from adapters.transport.connection import Dial
from adapters.transport.governor import Governor
from adapters.transport.health import FeedLimits
from adapters.transport.proof import VenueClock
from adapters.transport.trades import LastTrade
from engine.config import DataConfig
from engine.events import Event, InstrumentListed
from engine.ports import Clock
from engine.venue import Tap

__all__ = ["FeedSetup"]


@dataclass(frozen=True, slots=True)
class FeedSetup:
    """What a feed is made of.

    `send` takes a batch of events and may wait (backpressure). `offer`, if given, takes a batch without
    waiting or returns False; it avoids a task switch when the queue is empty. `jitter` returns 0 to 1.

    `since_ns` is when the session started, in the venue's time: a trade from before is never emitted, since a
    bar must not be built from part of its trades. By instrument number, `last_seen` gives the last trade in
    the journal: for these the limit is that trade. `data` says what is read beside trades and quotes, and how
    it is watched; `intervals` are the session's bars.

    `governor` counts this address's limits, shared with the venue's HTTP client and gateway. `dials` opens
    the byte stream to an address. `venue_clock` is the venue's time, by default the engine's. `tap` receives
    every message unchanged.
    """

    base_url: str
    instruments: Sequence[InstrumentListed]
    clock: Clock
    jitter: Callable[[], float]
    send: Callable[[list[Event]], Awaitable[None]]
    offer: Callable[[list[Event]], bool] | None
    since_ns: int
    last_seen: Mapping[int, LastTrade]
    data: DataConfig
    intervals: Sequence[str]
    governor: Governor
    limits: FeedLimits
    dials: Callable[[str], Dial]
    venue_clock: VenueClock | None = None
    tap: Tap | None = None
