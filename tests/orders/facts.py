"""The facts of a session that its model works with: markets, orders, what strategies read and called.

Owns no rule. `Broken` is what a check raises; its words name the rule.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from tests.orders.ledger import ZERO

__all__ = ["CLOSE", "OPEN", "Broken", "Listed", "Order", "Read"]

CLOSE, OPEN = "close", "open"


class Broken(AssertionError):
    """A record breaks a rule. `rule` is the rule in words, `seq` that of the record."""

    def __init__(self, seq: int, rule: str, words: str) -> None:
        super().__init__(f"seq {seq}: {rule}: {words}")
        self.seq = seq
        self.rule = rule


@dataclass(frozen=True)
class Listed:
    """A market's grid, as fractions."""

    name: str
    price_scale: int
    size_scale: int
    size_step: Fraction
    kind: str

    def price(self, value: Any, finer: int = 0) -> Fraction:
        return exactly(int(value), self.price_scale + finer)

    def size(self, value: Any) -> Fraction:
        return exactly(int(value), self.size_scale)

    def money(self, value: Any, finer: int = 0) -> Fraction:
        return exactly(int(value), self.price_scale + self.size_scale + finer)


@functools.lru_cache(4096)
def exactly(value: int, scale: int) -> Fraction:
    """Return a scaled integer as a fraction: a session asks for the same few again and again."""
    return Fraction(value, 10**scale)


@dataclass
class Order:
    """One submitted order. `size` is the whole one, after changes too."""

    name: str
    owner: str
    market: int
    seq: int
    at_ns: int
    side: int
    size: Fraction
    limit: Fraction
    bound: Fraction
    tif: str
    role: str
    purpose: str
    trigger: str
    trigger_price: Fraction
    reduce_only: bool
    handle: str
    parent: str = ""
    group: str = ""
    expires_ns: int = 0
    filled: Fraction = ZERO
    filled_seq: int = 0  # of its first fill
    ended: bool = False
    accepted: bool = False
    asked: bool = False  # a cancel is on its way
    rest: Fraction | None = None  # what it did not fill, by the report of its end
    absent: bool = False  # the venue does not know it, after its expiry
    refused: bool = False  # the venue refused a cancel: it may have ended
    dropped: bool = False  # the strategy, a call of `target` or a pause wants it canceled
    coming: Fraction | None = None  # the open size of a change on its way
    number: int = 0  # the newest at the venue: a change gives it a higher one
    by_number: dict[int, Fraction] = field(default_factory=dict)  # what filled under each

    @property
    def open(self) -> Fraction:
        return ZERO if self.ended else max(self.size - self.filled, ZERO)

    @property
    def live(self) -> bool:
        return not self.ended

    @property
    def waiting(self) -> bool:
        """Whether it waits for its trigger, as far as is known."""
        return bool(self.trigger) and not self.filled

    @property
    def rests(self) -> bool:
        return bool(self.limit) and self.tif != "Ioc" and not self.trigger

    def counted(self) -> Fraction:
        """Return the size that counts against the position: 0 while it waits or is being canceled."""
        if self.ended or self.asked or self.waiting:
            return ZERO
        return min(self.open, self.coming) if self.coming is not None else self.open


@dataclass(frozen=True)
class Read:
    """A hook of a strategy was called, or its script called a verb (`what` is "call")."""

    owner: str
    what: str
    action: tuple[Any, ...] = ()
    held: tuple[tuple[int, Fraction, Fraction | None, frozenset[str]], ...] = ()
    """What the hook read of each market: its position, its target, the ids of its live orders."""
