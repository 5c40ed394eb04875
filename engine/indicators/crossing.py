"""Detects when one line crosses another."""

from __future__ import annotations

import msgspec

__all__ = ["CrossOver"]


class CrossOver(msgspec.Struct):
    """Reports a cross once: 1 when the first line rises above the second, -1 when it falls below, else 0.

    Equal lines are not a cross. Neither is the first pair of lines that differ.
    """

    side: int = 0

    @property
    def warmup(self) -> int:
        """The number of pairs up to the first result."""
        return 1

    def update(self, one: float, other: float) -> int:
        """Add a value of each line. Return 1, -1 or 0."""
        side = (one > other) - (one < other)
        if not side or side == self.side:
            return 0
        crossed, self.side = self.side != 0, side
        return side if crossed else 0
