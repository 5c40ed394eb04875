"""Shared by the parts of a stream or feed: clock, limits, counters, and `emit`.

Made by a feed or a gateway, passed to its streams, trackers, watches and polls.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from adapters.transport.governor import Governor
from adapters.transport.health import FeedHealth, FeedLimits
from engine.ports import Clock

__all__ = ["FeedContext", "StreamContext"]


@dataclass(frozen=True, slots=True)
class StreamContext:
    """The context of a stream. `jitter` returns 0 to 1."""

    clock: Clock
    jitter: Callable[[], float]
    limits: FeedLimits
    health: FeedHealth
    governor: Governor


@dataclass(frozen=True, slots=True)
class FeedContext(StreamContext):
    """The context of the parts of a feed.

    `emit` takes events for the engine, `catch_up` waits while it is behind.
    """

    name: str
    emit: Callable[..., None]
    catch_up: Callable[[], Awaitable[None]]

    def seconds_since(self, engine_ns: int) -> float:
        """Return the real seconds since the engine's clock read `engine_ns`."""
        return -self.clock.real_seconds_until(engine_ns)
