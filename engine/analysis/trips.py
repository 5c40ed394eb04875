"""Round trips: the exact sums of a book from the fill that opens it to the fill that closes it.

Owns what a round trip is: a book of one strategy in one instrument goes from flat to flat; what is added and
taken in between belongs to it. Sums are exact decimals in units of the instrument, so a finer listing changes
nothing. Called by the rows of the stores and by the collector of reports, which so cannot differ.
"""

from __future__ import annotations

from decimal import Context, Decimal, Inexact, InvalidOperation
from fractions import Fraction
from typing import Final

import msgspec

from engine.events import FillBooked
from engine.events.terms import OPEN
from engine.values import format_scaled, power_of_ten

__all__ = ["Trip", "added", "difference", "product", "text_of", "total", "trip_after"]

_EXACT: Final = Context(prec=400, traps=[Inexact, InvalidOperation])  # never rounds: raises instead
_ZERO: Final = Decimal(0)


def added(value: Decimal, amount: int, scale: int) -> Decimal:
    """Return a decimal plus an integer at a scale, exactly."""
    return _EXACT.add(value, _EXACT.scaleb(Decimal(amount), -scale))


def total(one: Decimal, other: Decimal) -> Decimal:
    """Return the exact sum: a plain `+` of decimals rounds to 28 digits."""
    return _EXACT.add(one, other)


def product(one: Decimal, other: Decimal) -> Decimal:
    """Return the exact product."""
    return _EXACT.multiply(one, other)


def difference(one: Decimal, other: Decimal) -> Decimal:
    """Return the exact difference."""
    return _EXACT.subtract(one, other)


def text_of(amount: Decimal) -> str:
    """Return the exact plain text of a decimal: no exponent, no trailing zeros, no "-0"."""
    sign, digits, exponent = amount.as_tuple()
    assert isinstance(exponent, int)
    number = int("".join(map(str, digits)) or "0") * power_of_ten(max(0, exponent))
    return format_scaled(-number if sign else number, max(0, -exponent))


class Trip(msgspec.Struct, frozen=True):
    """A round trip, ended once `held` is 0. `side` is that of the fill that opened it.

    `opened` is what was opened in all, `entry_value` and `exit_value` are sums of price * size, `fees` those
    in the quote currency. `seq` is the record of the newest fill in it.
    """

    side: int
    entered_ns: int
    entry_seq: int
    held: Decimal = _ZERO
    opened: Decimal = _ZERO
    entry_value: Decimal = _ZERO
    exit_value: Decimal = _ZERO
    fees: Decimal = _ZERO
    seq: int = 0

    @property
    def entry_price(self) -> float | None:
        """The average price of what was opened."""
        return float(Fraction(self.entry_value) / Fraction(self.opened)) if self.opened else None

    @property
    def exit_price(self) -> float | None:
        """The average price of what was closed, once all is."""
        return float(Fraction(self.exit_value) / Fraction(self.opened)) if self.opened else None

    def profit(self, value: Decimal = _ZERO) -> Decimal:
        """Return the profit before fees if what is held is worth `value`; 0 once nothing is held."""
        paid = _EXACT.subtract(_EXACT.add(self.exit_value, value), self.entry_value)
        return paid if self.side > 0 else _EXACT.minus(paid)

    @property
    def net(self) -> Decimal:
        """The profit after fees of a trip that has ended."""
        return _EXACT.subtract(self.profit(), self.fees)

    def result_at(self, price: int, price_scale: int) -> Decimal:
        """Return the profit before fees, closed and open, at a price."""
        return self.profit(_EXACT.multiply(self.held, _EXACT.scaleb(Decimal(price), -price_scale)))


def trip_after(trip: Trip | None, fill: FillBooked, seq: int, scales: tuple[int, int]) -> Trip:
    """Return the trip of a book after a fill. A fill of a flat book begins another trip.

    `scales` are those of the instrument, of prices and of sizes. A fill that the trip has already changes
    nothing: records may be applied again after a crash.
    """
    if trip is None or (not trip.held and trip.seq < seq):
        trip = Trip(fill.side, fill.at_ns, seq)
    if trip.seq >= seq:
        return trip
    opens, value = fill.role == OPEN, fill.price * fill.size
    money_scale = sum(scales) + fill.finer
    return Trip(
        trip.side,
        trip.entered_ns,
        trip.entry_seq,
        added(trip.held, fill.size if opens else -fill.size, scales[1]),
        added(trip.opened, fill.size, scales[1]) if opens else trip.opened,
        added(trip.entry_value, value, money_scale) if opens else trip.entry_value,
        trip.exit_value if opens else added(trip.exit_value, value, money_scale),
        added(trip.fees, 0 if fill.fee_asset else int(fill.fee), money_scale),
        seq,
    )
