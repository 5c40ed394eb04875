"""The money of one of several accounts.

A session with real orders at several venues has a `Purse` for each, in the currency of that account. The
attributes of `Books` with the same names are those of the only account of every other session.
"""

from __future__ import annotations

import msgspec

from engine.actors.base import State
from engine.actors.books.equity import Other

__all__ = ["Purse"]


class Purse(State):
    """Amounts are at the ledger's scale. `starting`: the account has not been read in this session.

    `start` is what equity began with, None before the first reading, `adjustments` what it was moved by that
    is no profit. `settled_ns` is the venue's time of the reading that equity follows, `effects` are the
    movements of cash with their times. `marked` are the equity and the unrealized profit last emitted.
    """

    start: int | None = None
    adjustments: int = 0
    settled_ns: int = 0
    starting: bool = True
    effects: list[tuple[int, int]] = msgspec.field(default_factory=list)
    others: dict[str, Other] = msgspec.field(default_factory=dict)
    marked: tuple[int, int] | None = None

    def refine(self, factor: int) -> None:
        """Move the money to a finer scale, exactly."""
        self.start = None if self.start is None else self.start * factor
        self.adjustments *= factor
        self.effects = [(venue_ns, amount * factor) for venue_ns, amount in self.effects]
        for other in self.others.values():
            other.refine(factor)
        if self.marked is not None:
            self.marked = self.marked[0] * factor, self.marked[1] * factor
