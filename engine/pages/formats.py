"""Numbers, times and lengths as people read them. The exact values are in the JSON.

Promises: thousands separated, a real minus sign, money at two decimals unless it is small, times in UTC.
"""

from __future__ import annotations

from typing import Final

from engine.clock import DAY_NS, iso_text

__all__ = ["DASH", "day_text", "length_text", "number", "price_text", "sign_of", "time_text", "with_unit"]

DASH: Final = "\u2013"
"""Stands where there is no number."""

_UNITS: Final = {"percent": " %", "days": " d"}
_SECOND_NS: Final = 1_000_000_000


def number(value: float | int | str | None, *, digits: int = 2, sign: bool = False) -> str:
    """Return a number for people. `digits` are decimals; a number below 0.1 has so many digits instead."""
    if value is None:
        return DASH
    amount = float(value)
    if isinstance(value, int):
        text = f"{value:,}"
    elif not amount or abs(amount) >= 0.1 or not digits:
        text = f"{amount:,.{digits}f}"
    else:
        text = f"{amount:.{digits}g}"
    if float(text.replace(",", "")) == 0:
        text = text.lstrip("-")
    elif sign and amount > 0:
        text = f"+{text}"
    return text.replace("-", "\u2212", 1) if text.startswith("-") else text


def price_text(value: float | None) -> str:
    """Return an average price with its significant digits, at most nine."""
    if value is None:
        return DASH
    return f"{float(f'{value:.9g}'):,.10f}".rstrip("0").rstrip(".")


def with_unit(value: float | int | str | None, unit: str, *, sign: bool = False) -> str:
    """Return a number with the unit of a formula: "money", "percent", "days", "count" or ""."""
    if value is None:
        return DASH
    if unit == "count":
        return number(int(float(value)))
    return number(value if not isinstance(value, int) else float(value), sign=sign) + _UNITS.get(unit, "")


def sign_of(value: float | int | str | None) -> str:
    """Return "up", "down" or "": the tone in which a page shows a gain or a loss."""
    amount = 0.0 if value is None else float(value)
    return "up" if amount > 0 else "down" if amount < 0 else ""


def time_text(ns: int | None, *, seconds: bool = True) -> str:
    """Return a time UTC, such as 2024-12-05 09:30:00."""
    return DASH if ns is None else iso_text(ns)[: 19 if seconds else 16].replace("T", " ")


def day_text(ns: int | None) -> str:
    """Return the date of a time UTC."""
    return DASH if ns is None else iso_text(ns)[:10]


def length_text(ns: int) -> str:
    """Return a length of time in its two largest units, such as 3 d 4 h."""
    parts: list[str] = []
    rest = max(0, ns) // _SECOND_NS
    for name, seconds in (("d", DAY_NS // _SECOND_NS), ("h", 3600), ("min", 60), ("s", 1)):
        count, rest = divmod(rest, seconds)
        if count or (parts and len(parts) < 2):
            parts.append(f"{count} {name}")
        if len(parts) == 2:
            break
    return " ".join(parts) or f"{max(0, ns) // 1_000_000} ms"
