"""The way from exact integers to the numbers of a row: instruments' units, exact sums, names of intervals.

Owns the arithmetic of rows. Numbers become floats here and in `rows.py` alone, each by one division of exact
integers, which rounds once; sums are kept as decimal text and never rounded.
"""

from __future__ import annotations

from decimal import Context, Decimal, Inexact, InvalidOperation
from typing import Final, NamedTuple

from engine.clock import iso_text
from engine.values import INTERVALS, format_interval

__all__ = ["Listing", "added", "interval_name", "record"]

_EXACT: Final = Context(prec=400, traps=[Inexact, InvalidOperation])  # never rounds: raises instead
_NO_NUMBER: Final = float("nan")  # any integer over it is null in the database
_NAMED_INTERVALS: Final = frozenset(seconds * 1_000_000_000 for seconds in INTERVALS.values())


class Listing(NamedTuple):
    """What rows need of an instrument. The units divide integers into numbers; nan when not listed."""

    named: tuple[str, int, str | None]  # the columns instrument, instrument_id, venue
    price_unit: float
    size_unit: float
    scales: tuple[int, int] | None  # of prices and of sizes; None when not listed

    @classmethod
    def of(cls, number: int, name: str, venue: str, price_scale: int, size_scale: int) -> Listing:
        """Return the listing of an instrument with these scales."""
        return cls((name, number, venue), 10**price_scale, 10**size_scale, (price_scale, size_scale))

    @classmethod
    def unknown(cls, number: int) -> Listing:
        """Return what stands for an instrument that was never listed: a number for a name, no units."""
        return cls((f"#{number}", number, None), _NO_NUMBER, _NO_NUMBER, None)


def record(seq: int, cause: int, at_ns: int) -> tuple[int, int, str, int]:
    """Return the columns every record has: seq, cause, at, at_ns."""
    return seq, cause, iso_text(at_ns), at_ns


def interval_name(interval_ns: int) -> str:
    """Return the name of an interval; one that has none is told in nanoseconds, so that none are mixed."""
    return format_interval(interval_ns) if interval_ns in _NAMED_INTERVALS else f"{interval_ns}ns"


def added(text: str, value: int, scale: int) -> Decimal:
    """Return decimal text plus an integer at a scale, exactly."""
    return _EXACT.add(Decimal(text), _EXACT.scaleb(Decimal(value), -scale))
