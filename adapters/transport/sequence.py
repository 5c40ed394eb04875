"""Sequence rules of order books: whether a diff follows what a book holds.

A rule compares numbers only. Venues number their diffs in one of three ways; a rule returns for a diff that
it is old, the next one, or that something between is missing. Pure. Called by `synced.py`; an adapter names
the rule of its venue.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Final, NamedTuple, Protocol

from adapters.transport.levels import Level

__all__ = ["CHAINED", "CONTIGUOUS", "UNNUMBERED", "Diff", "Fit", "SequenceRule", "Snapshot"]


class Snapshot(NamedTuple):
    """A whole book after its update `last`. `venue_ns` is 0 if the venue gives no time.

    `whole`: no level is left out, or the venue keeps so many up to date. `check` is the venue's checksum.
    `recv_ns` is when a pulled snapshot was received, 0 if that does not matter.
    """

    last: int
    bids: Sequence[Level]
    asks: Sequence[Level]
    venue_ns: int = 0
    whole: bool = True
    check: object = None
    recv_ns: int = 0


class Diff(NamedTuple):
    """The levels that the updates from `first` to `last` changed. `before`: the `last` of the diff before it.

    A venue without numbers leaves them 0. `check` is the venue's checksum of the book after it.
    """

    first: int
    last: int
    bids: Sequence[Level]
    asks: Sequence[Level]
    venue_ns: int
    before: int | None = None
    check: object = None


class Fit(Enum):
    """How a diff fits a book."""

    OLD = "old"
    NEXT = "next"
    MISSING = "missing"


class SequenceRule(Protocol):
    """One venue's rule. `at` is the newest update that the book holds."""

    def joins(self, at: int, diff: Diff) -> Fit:
        """Return how the first diff after a snapshot fits it."""
        ...

    def follows(self, at: int, diff: Diff) -> Fit:
        """Return how a diff fits the diffs before it."""
        ...


class _Contiguous:
    """Updates count up by one, and diffs cover ranges of them without a hole (Binance spot: U, u)."""

    def joins(self, at: int, diff: Diff) -> Fit:
        if diff.last <= at:
            return Fit.OLD
        return Fit.NEXT if diff.first <= at + 1 else Fit.MISSING

    follows = joins


class _Chained:
    """Each diff names the last update of the diff before it; numbers between may not exist (Binance USD-M:
    pu; Lighter: begin_nonce)."""

    def joins(self, at: int, diff: Diff) -> Fit:
        if diff.before == at:
            return Fit.NEXT
        if diff.last < at:
            return Fit.OLD
        return Fit.NEXT if diff.first <= at else Fit.MISSING

    def follows(self, at: int, diff: Diff) -> Fit:
        if diff.before == at:
            return Fit.NEXT
        return Fit.OLD if diff.last <= at else Fit.MISSING


class _Unnumbered:
    """Diffs have no numbers of their own: a checksum, or a number per connection, shows what is missing."""

    def joins(self, at: int, diff: Diff) -> Fit:
        return Fit.NEXT

    follows = joins


CONTIGUOUS: Final[SequenceRule] = _Contiguous()
CHAINED: Final[SequenceRule] = _Chained()
UNNUMBERED: Final[SequenceRule] = _Unnumbered()
