"""A sum over the last seconds of real time: what venues' limits count. Used by the protocols."""

from __future__ import annotations

from collections import deque
from typing import Final

import trio

__all__ = ["Window"]

_TICKS_PER_S: Final = 10
"""Resolution of the sums: a minute has at most 600 entries, and amounts expire up to 0.1 s early."""


class Window:
    """A sum over the last `seconds` of real time."""

    def __init__(self, seconds: float = 60) -> None:
        self._seconds = seconds
        self._ticks: deque[tuple[int, int]] = deque()
        self._sum = 0

    def add(self, amount: int) -> None:
        """Add an amount now."""
        tick = int(trio.current_time() * _TICKS_PER_S)
        if self._ticks and self._ticks[-1][0] == tick:
            amount_before = self._ticks.pop()[1]
            self._ticks.append((tick, amount_before + amount))
        else:
            self._ticks.append((tick, amount))
        self._sum += amount

    def sum(self) -> int:
        """Return the sum of what was added within the last seconds."""
        since = int((trio.current_time() - self._seconds) * _TICKS_PER_S)
        while self._ticks and self._ticks[0][0] <= since:
            self._sum -= self._ticks.popleft()[1]
        return self._sum
