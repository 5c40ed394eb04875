"""Numbers of an account as exact integers: prices, sizes, money.

Promises: a number is exact at the scale of its instrument, or VenueProtocolError; money is rounded to its
scale in the direction that the caller names. Called by the gateways of venues.
"""

from __future__ import annotations

import re
from decimal import ROUND_FLOOR, Context, Decimal
from typing import Final

from adapters.transport.text import clip
from engine.errors import NumberError, VenueProtocolError
from engine.values import parse_scaled, wide

__all__ = ["MONEY_SCALE", "amount", "decimal_of", "money", "scaled", "whole"]

MONEY_SCALE: Final = 8
"""Decimal places of account values and payments."""

_DECIMAL: Final = re.compile(r"-?[0-9]{1,40}(\.[0-9]{1,40})?")
_WIDE: Final = Context(prec=120)


def decimal_of(text: str) -> Decimal:
    """Return a plain decimal number. Raises VenueProtocolError."""
    if not _DECIMAL.fullmatch(text):
        raise VenueProtocolError(f"{clip(text)} is not a plain decimal number")
    return Decimal(text)


def amount(text: str, scale: int, name: str, *, signed: bool = False) -> int:
    """Return a price or size at its scale. Raises VenueProtocolError."""
    try:
        return parse_scaled(text, scale, signed=signed)
    except NumberError as error:
        raise VenueProtocolError(f"{clip(name)}: {error}") from error


def whole(text: str, scale: int, name: str) -> int:
    """Return a price or size that is not zero. Raises VenueProtocolError."""
    value = amount(text, scale, name)
    if not value:
        raise VenueProtocolError(f"{clip(name)}: {clip(text)} is zero, which no execution has")
    return value


def money(value: Decimal) -> int | str:
    """Return money at MONEY_SCALE."""
    return wide(scaled(value, MONEY_SCALE, ROUND_FLOOR))


def scaled(value: Decimal, scale: int, rounding: str) -> int:
    """Return a decimal at a scale, rounded as `decimal` names it."""
    return int(value.scaleb(scale, _WIDE).to_integral_value(rounding, _WIDE))
