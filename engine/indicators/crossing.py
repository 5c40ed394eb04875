"""When one line crosses another."""

from __future__ import annotations

import msgspec

__all__ = ["CrossOver"]


class CrossOver(msgspec.Struct):
    """Tells a cross once: 1 when the first line comes to be above the second, -1 when below, 0 otherwise.

    Equal lines are no cross and change nothing; the first side taken is none either.
    """

    side: int = 0

    @property
    def warmup(self) -> int:
        """How many pairs the first answer takes."""
        return 1

    def update(self, one: float, other: float) -> int:
        """Add a value of each line; return 1, -1 or 0."""
        side = (one > other) - (one < other)
        if not side or side == self.side:
            return 0
        crossed, self.side = self.side != 0, side
        return side if crossed else 0
