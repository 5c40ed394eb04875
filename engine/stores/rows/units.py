"""Converts exact integers to the numbers of rows: units of instruments.

Owns the arithmetic of rows. A store chooses how it holds an exact number (`as_float`, `as_text`, or its own
function); a float results from one division of exact integers, which rounds once.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Final, NamedTuple

from engine.clock import iso_text
from engine.stores.store import Number, Row
from engine.values import format_scaled, power_of_ten

__all__ = ["Listing", "as_float", "as_text", "exact_text", "no_formula", "number_of", "record"]

_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
_NUMBER: Final = re.compile(r"-?[0-9]+(\.[0-9]+)?")


def as_float(value: int, scale: int) -> float:
    """Return the float nearest to an exact integer at a scale."""
    return value / power_of_ten(scale)


def as_text(value: int, scale: int) -> str:
    """Return an exact integer at a scale as decimal text."""
    return format_scaled(value, scale)


def exact_text(value: str | float | Decimal) -> str:
    """Return a number of any store as decimal text without an exponent or trailing zeros."""
    text = str(value)  # of a float the shortest that reads back as this float
    if "e" in text or "E" in text:
        text = format(Decimal(text), "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def number_of(value: Decimal, number: Number) -> object:
    """Return an exact decimal as a store holds it."""
    sign, digits, exponent = value.as_tuple()
    assert isinstance(exponent, int), "a finite number"
    whole = int("".join(map(str, digits))) * power_of_ten(max(0, exponent))
    return number(-whole if sign else whole, max(0, -exponent))


def no_formula(text: str) -> str:
    """Return a text that a spreadsheet shows and does not run. Venues name things as they like."""
    return f"'{text}" if text.startswith(_FORMULA) and not _NUMBER.fullmatch(text) else text


class Listing(NamedTuple):
    """Name and scales of an instrument, for rows. `scales` is None for one that was never listed."""

    named: tuple[str, int, str | None]  # the columns instrument, instrument_id, venue
    scales: tuple[int, int] | None  # of prices and of sizes; None when not listed
    number: Number

    @classmethod
    def of_row(cls, row: Row, number: Number) -> Listing:
        """Return the listing of a row of the table `instruments`."""
        named = (row["instrument"], row["instrument_id"], row["venue"])
        return cls(named, (row["price_scale"], row["size_scale"]), number)

    @classmethod
    def unknown(cls, instrument: int, number: Number) -> Listing:
        """Return the listing of an instrument that was never listed: its number as its name, no scales."""
        return cls((f"#{instrument}", instrument, None), None, number)

    def price(self, value: int, finer: int = 0) -> object:
        """Return a price in quote currency; it has `finer` more decimals than the instrument's."""
        return None if self.scales is None else self.number(value, self.scales[0] + finer)

    def size(self, value: int) -> object:
        """Return a size in base units."""
        return None if self.scales is None else self.number(value, self.scales[1])

    def money(self, value: int, finer: int = 0) -> object:
        """Return an amount of quote currency, prices times sizes; it has `finer` more decimals than these."""
        return None if self.scales is None else self.number(value, sum(self.scales) + finer)

    @property
    def price_unit(self) -> int | None:
        """Divisor of a price's integer; None when not listed."""
        return None if self.scales is None else power_of_ten(self.scales[0])


def record(seq: int, cause: int, at_ns: int) -> tuple[int, int, str, int]:
    """Return the columns every record has: seq, cause, at, at_ns."""
    return seq, cause, iso_text(at_ns), at_ns
