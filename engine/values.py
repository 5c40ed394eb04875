"""Exact numbers: conversion between text and integers, and rounding to the venue's grid.

Owns the strict number parser, the rounding function and the constants for sides. Promises: money and
quantities are never floats, and rounding to the grid never adds risk. Used by every package above.

A *scale* is a count of decimal places: 43059.97 at scale 2 is the integer 4305997. The scale of money is
price scale + size scale, so price * size is money without rounding.
"""

from __future__ import annotations

import math
import re
from decimal import Decimal
from typing import Annotated, Final, Literal

from engine.errors import NumberError, UsageError

__all__ = [
    "BUY",
    "INT64_MAX",
    "INTERVALS",
    "NO_SIDE",
    "SELL",
    "Amount",
    "InstrumentId",
    "Money",
    "Price",
    "Side",
    "Size",
    "Value",
    "Volume",
    "format_interval",
    "format_scaled",
    "format_span",
    "grid_step",
    "interval_name",
    "parse_interval",
    "parse_scaled",
    "parse_span",
    "power_of_ten",
    "rescale",
    "side_name",
    "to_grid",
    "wide",
]

INT64_MAX: Final = 2**63 - 1

BUY: Final = 1
SELL: Final = -1
NO_SIDE: Final = 0

_SIDE_NAMES: Final[dict[int, Literal["buy", "sell", ""]]] = {BUY: "buy", SELL: "sell", NO_SIDE: ""}

Amount = int | str
"""An exact integer; decimal text once it does not fit 64 bits (see `wide`)."""

InstrumentId = Annotated[int, "instrument"]
"""A small positive number given to an instrument by its `InstrumentListed` event, unique in a journal."""

Side = Annotated[int, "side"]
"""BUY (1), SELL (-1), or NO_SIDE (0) where the source does not say."""

Price = Annotated[int, "price"]
"""An exact integer at the instrument's price scale; 0 where the event says "none"."""

Size = Annotated[int, "size"]
"""An exact integer at the instrument's size scale."""

Volume = Annotated[Amount, "size"]
"""A sum of sizes; may outgrow 64 bits."""

Money = Annotated[Amount, "money"]
"""An exact amount of the quote currency at price scale + size scale; may outgrow 64 bits."""

Value = Annotated[int, "money"]
"""The same in a state, where integers have no bound."""

_NUMBER: Final = re.compile(r"(-?)([0-9]{1,40})(?:\.([0-9]{1,40}))?(?:[eE]([+-]?[0-9]{1,2}))?", re.ASCII)
_TEXT_LENGTH_MAX: Final = 96
_SHORT: Final = 40
_EXPONENT_MAX: Final = 30
_BITS_MAX: Final = 256

INTERVALS: Final = {
    "1s": 1,
    "5s": 5,
    "10s": 10,
    "15s": 15,
    "30s": 30,
    "1m": 60,
    "3m": 180,
    "5m": 300,
    "15m": 900,
    "30m": 1800,
    "1h": 3600,
    "2h": 7200,
    "4h": 14400,
    "8h": 28800,
    "12h": 43200,
    "1d": 86400,
    "3d": 3 * 86400,
    "1w": 7 * 86400,
    "1M": 30 * 86400,
}
"""Bar intervals by name, in seconds. That of a month is nominal; see `engine.clock.window_end`."""

_SPAN: Final = re.compile(r"([0-9]{1,6})([smhd])", re.ASCII)
_SPAN_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}

_INTERVAL_NAMES: Final = {seconds * 1_000_000_000: name for name, seconds in INTERVALS.items()}


_POWERS: Final[tuple[int, ...]] = tuple(10**exponent for exponent in range(128))


def power_of_ten(exponent: int) -> int:
    """Return 10 to the power of `exponent` (0 to 127), typed as int."""
    return _POWERS[exponent]


def parse_scaled(text: str, scale: int, *, signed: bool = False) -> int:
    """Return the plain decimal number in `text` as an exact integer at `scale`.

    Accepts ASCII digits, one point with digits on both sides, and an exponent of at most 30 either way.
    Raises NumberError for anything else ("NaN", "1_000", " 1", "+1", "0x1", other scripts' digits), for
    a minus sign that is not allowed, for digits finer than the scale, and for a value beyond 64 bits.
    """
    whole, point, fraction = text.partition(".")
    # Nearly all numbers of venues are such: no sign, no exponent, no digit too fine, far below the bound.
    if len(text) <= _SHORT and text.isascii() and whole.isdigit() and (fraction.isdigit() or not point):
        shift = scale - len(fraction)
        if 0 <= shift <= _SHORT:
            value = int(whole + fraction) * _POWERS[shift]
            if value <= INT64_MAX:
                return value
    match = _NUMBER.fullmatch(text) if len(text) <= _TEXT_LENGTH_MAX else None
    if match is None:
        raise NumberError(f"{text[:40]!r} is not a plain decimal number")
    minus, whole, fraction, exponent = match.groups()
    if minus and not signed:
        raise NumberError(f"{text[:40]!r} is negative, which is not allowed here")
    fraction = fraction or ""
    digits = int(whole + fraction)
    shift = scale - len(fraction)
    if exponent:
        power = int(exponent)
        if abs(power) > _EXPONENT_MAX:
            raise NumberError(f"{text[:40]!r} has an exponent out of range")
        shift += power
    if shift >= 0:
        value = digits * power_of_ten(shift)
    else:
        value, rest = divmod(digits, power_of_ten(-shift))
        if rest:
            raise NumberError(f"{text[:40]!r} has more than {scale} decimals")
    if value > INT64_MAX:
        raise NumberError(f"{text[:40]!r} does not fit 64 bits at {scale} decimals")
    return -value if minus else value


def format_scaled(value: Amount, scale: int) -> str:
    """Return the exact decimal text of `value` at `scale`: no exponent, no trailing zeros, no "-0"."""
    number = int(value)
    sign = "-" if number < 0 else ""
    digits = str(abs(number)).rjust(scale + 1, "0")
    if not scale:
        return sign + digits
    whole, fraction = digits[:-scale], digits[-scale:].rstrip("0")
    return f"{sign}{whole}.{fraction}" if fraction else sign + whole


def wide(value: int) -> Amount:
    """Return `value` as an event field stores it: an int, or decimal text beyond 64 bits."""
    return value if -INT64_MAX <= value <= INT64_MAX else str(value)


def rescale(value: Amount, scale: int, to: int) -> int:
    """Return `value` moved from `scale` to the finer or equal scale `to`, exactly."""
    assert to >= scale, "rescaling to a coarser scale would round"
    return int(value) * power_of_ten(to - scale)


def to_grid(
    value: str | int | Decimal, *, scale: int, step: int = 1, figures: int = 0, up: bool = False
) -> int:
    """Round a price or a size to the venue's grid. The only function that does.

    Rounds towards zero, or away from it when `up`. To add no risk, callers round sizes and buy
    prices down, and sell prices up. `step` is the grid's step at `scale`. `figures`, when not 0,
    allows at most that many significant figures, integers always (Hyperliquid's price rule).
    Raises NumberError for a float, a bool, a negative or a non-finite value, and for one beyond 64 bits. May
    return 0.
    """
    if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
        raise NumberError(
            f"{value!r} is a {type(value).__name__}; give prices and sizes as text, int or Decimal"
        )
    if isinstance(value, str):
        match = _NUMBER.fullmatch(value) if len(value) <= _TEXT_LENGTH_MAX else None
        if match is None or abs(int(match[4] or 0)) > _EXPONENT_MAX:
            raise NumberError(f"{value[:40]!r} is not a plain decimal number")
        value = Decimal(value)
    if isinstance(value, Decimal):
        if not value.is_finite():
            raise NumberError(f"{value} is not a finite number")
        if value < 0:
            raise NumberError(f"{value} is negative, which is not allowed here")
        if value.adjusted() > _TEXT_LENGTH_MAX or len(value.as_tuple().digits) > _TEXT_LENGTH_MAX:
            raise NumberError("the number has too many digits")
        if value.adjusted() < -_TEXT_LENGTH_MAX:
            numerator, denominator = (0 if value == 0 else 1), power_of_ten(_TEXT_LENGTH_MAX)
        else:
            numerator, denominator = value.as_integer_ratio()
    else:
        if value.bit_length() > _BITS_MAX:
            raise NumberError("the number has too many digits")
        numerator, denominator = value, 1
    if numerator < 0:
        raise NumberError(f"{value} is negative, which is not allowed here")
    numerator *= power_of_ten(scale)
    quantum = grid_step(numerator // denominator, scale=scale, step=step, figures=figures)
    whole, rest = divmod(numerator, denominator * quantum)
    if rest and up:
        whole += 1
    result = whole * quantum
    if result > INT64_MAX:
        raise NumberError(f"{value} does not fit 64 bits at {scale} decimals")
    return result


def grid_step(value: int, *, scale: int, step: int = 1, figures: int = 0) -> int:
    """Return the grid's step at an integer `value` of `scale`: a multiple of `step` that `figures` allow."""
    if not figures:
        return step
    return math.lcm(step, power_of_ten(min(scale, max(0, len(str(value)) - figures))))


def side_name(side: int) -> Literal["buy", "sell", ""]:
    """Return "buy", "sell" or "" for a side."""
    return _SIDE_NAMES[side]


def parse_interval(name: str) -> int:
    """Return the length of a bar interval such as "5m", in nanoseconds. Raises UsageError."""
    try:
        return INTERVALS[name] * 1_000_000_000
    except KeyError:
        raise UsageError(f"{name!r} is not a bar interval; known: {' '.join(INTERVALS)}") from None


def parse_span(text: str) -> int:
    """Return a span of time such as "90s", "15m", "2h" or "1d", in nanoseconds. Raises NumberError."""
    match = _SPAN.fullmatch(text)
    if match is None:
        raise NumberError(f"{text[:40]!r} is not a span of time; write it as 90s, 15m, 2h or 1d")
    return int(match[1]) * _SPAN_SECONDS[match[2]] * 1_000_000_000


def format_span(span_ns: int) -> str:
    """Return a span of time as `parse_span` reads it, in its largest whole unit: "2d", "90s"."""
    seconds = span_ns // 1_000_000_000
    unit = max(
        (one for one in _SPAN_SECONDS if not seconds % _SPAN_SECONDS[one]), key=_SPAN_SECONDS.__getitem__
    )
    return f"{seconds // _SPAN_SECONDS[unit]}{unit}"


def format_interval(interval_ns: int) -> str:
    """Return the name of an interval in nanoseconds, or "<n>s" if it has no name."""
    return _INTERVAL_NAMES.get(interval_ns) or f"{interval_ns // 1_000_000_000}s"


def interval_name(interval_ns: int) -> str:
    """Return the unique name of an interval; one without a name is given in nanoseconds."""
    return _INTERVAL_NAMES.get(interval_ns) or f"{interval_ns}ns"
