"""Random numbers that replay: the generator behind `self.random`.

Owns its arithmetic. Its state is one integer, stored in snapshots like the rest of a strategy's state, so a
replayed day draws the same numbers. Created by `Strategy.random` on first use.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final, TypeVar

from engine.actors.base import State

__all__ = ["Random", "seeded"]

T = TypeVar("T")

_BITS: Final = (1 << 64) - 1


class Random(State):
    """SplitMix64: 64 bits a draw; every seed is good.

    Source: Steele, Lea, Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014. The methods are
    named as in Python's `random`. All use exact arithmetic, so results are the same on every machine.
    """

    state: int

    def bits(self) -> int:
        """Return 64 random bits."""
        self.state = (self.state + 0x9E3779B97F4A7C15) & _BITS
        mixed = self.state
        mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & _BITS
        mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & _BITS
        return mixed ^ (mixed >> 31)

    def random(self) -> float:
        """Return a number from 0 up to, but not including, 1."""
        return (self.bits() >> 11) * 2.0**-53

    def uniform(self, low: float, high: float) -> float:
        """Return a number between `low` and `high`."""
        return low + (high - low) * self.random()

    def randint(self, low: int, high: int) -> int:
        """Return an integer from `low` to `high`, both included.

        Raises ValueError for an empty range, and for one of more than 64 bits.
        """
        count = high - low + 1
        if not 1 <= count <= _BITS:
            raise ValueError(f"cannot draw a whole number from {low} to {high}")
        # Values above a multiple of `count` are drawn again, so that every number is equally likely.
        limit = (_BITS + 1) // count * count
        drawn = self.bits()
        while drawn >= limit:
            drawn = self.bits()
        return low + drawn % count

    def choice(self, values: Sequence[T]) -> T:
        """Return one of `values`. Raises IndexError if it is empty."""
        if not values:
            raise IndexError("there is nothing to choose from")
        return values[self.randint(0, len(values) - 1)]

    def shuffle(self, values: list[T]) -> None:
        """Put a list in a random order, in place."""
        for index in range(len(values) - 1, 0, -1):
            other = self.randint(0, index)
            values[index], values[other] = values[other], values[index]


def seeded(seed: int, name: str) -> Random:
    """Return the generator of a strategy, seeded by the configuration's seed and the strategy's name."""
    digest = hashlib.blake2b(f"{seed} {name}".encode("utf-8", "backslashreplace"), digest_size=8).digest()
    return Random(int.from_bytes(digest, "big"))
