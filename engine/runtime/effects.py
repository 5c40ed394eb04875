"""Who performs commands once they are durable. In paper mode: nobody; the way there is measured."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from engine.events import engine_time
from engine.events.codec import Derived
from engine.ports import Clock

__all__ = ["PaperEffects"]

SAMPLES_MAX: Final = 10_000
"""Latencies kept; the oldest go first."""


class PaperEffects:
    """Releases commands to nobody: no signer, no socket. Keeps how long each took from receipt to release."""

    def __init__(self, clock: Clock, speed: float = 1.0) -> None:
        self._clock = clock
        self._speed = speed
        self.released = 0
        self.latencies_ns: list[int] = []

    def release(self, durable_seq: int, commands: Iterable[Derived]) -> None:
        """See `engine.ports.Effects`. Notes the time from the input that led to each command until now."""
        now_ns = self._clock.now_ns()
        for seq, _, command in commands:
            assert seq <= durable_seq, "a command was released before it was durable"
            self.released += 1
            self.latencies_ns.append(int((now_ns - engine_time(command)) / self._speed))
        del self.latencies_ns[:-SAMPLES_MAX]

    def percentile_ms(self, percent: int) -> float | None:
        """Return a percentile of the kept latencies in real milliseconds, None without any."""
        if not self.latencies_ns:
            return None
        ranked = sorted(self.latencies_ns)
        return ranked[min(len(ranked) - 1, len(ranked) * percent // 100)] / 1e6
