"""Passes durable commands to the gateway, if there is one, and measures the latency of each."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from engine.events import engine_time
from engine.events.codec import Derived
from engine.ports import Clock, Effects

__all__ = ["MeasuredEffects"]

SAMPLES_MAX: Final = 10_000
"""Upper bound on latencies kept; the oldest are dropped first."""


class MeasuredEffects:
    """Passes durable commands to `gateway`. Keeps the latency of each, from receipt to release.

    Without a gateway commands are dropped: a paper session has no signer and no connection for orders.
    """

    def __init__(self, clock: Clock, speed: float = 1.0) -> None:
        self._clock = clock
        self._speed = speed
        self.gateway: Effects | None = None
        self.released = 0
        self.latencies_ns: list[int] = []

    def release(self, durable_seq: int, commands: Iterable[Derived]) -> None:
        """See `engine.ports.Effects`. Records the time since the input that led to each command."""
        now_ns = self._clock.now_ns()
        released = list(commands)
        for seq, _, command in released:
            assert seq <= durable_seq, "a command was released before it was durable"
            self.released += 1
            self.latencies_ns.append(int((now_ns - engine_time(command)) / self._speed))
        del self.latencies_ns[:-SAMPLES_MAX]
        if self.gateway is not None:
            self.gateway.release(durable_seq, released)

    def percentile_ms(self, percent: int) -> float | None:
        """Return a percentile of the kept latencies in real milliseconds, None without any."""
        if not self.latencies_ns:
            return None
        ranked = sorted(self.latencies_ns)
        return ranked[min(len(ranked) - 1, len(ranked) * percent // 100)] / 1e6
