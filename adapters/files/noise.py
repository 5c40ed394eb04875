"""Decimals of a column, and the noise that binary floating point leaves in them.

Owns the decision what is noise: `0.30000000000000004` and a volume of `0.6999999999998` were 0.3 and 0.7
before a program added them up. Promises: text that no float can have written (more than 17 digits) is never
rounded; a number is rounded without being asked only where what goes is under a thousandth of the column's
step and under a ten-millionth of the number; what was rounded is counted. All of it is exact arithmetic on
the digits. Called by the survey, which measures, and by the readers of numbers, which round.
"""

from __future__ import annotations

import re
from typing import Final

from engine.values import format_scaled, power_of_ten

__all__ = ["DECIMALS_PLAIN_MAX", "Column", "Rounding", "digits_of", "is_computed"]

DECIMALS_PLAIN_MAX: Final = 12
"""More decimals than these in the digits of a float are computed values, not a venue's."""

_NUMBER: Final = re.compile(r"([0-9]{1,40})(?:\.([0-9]{1,40}))?(?:[eE]([+-]?[0-9]{1,2}))?", re.ASCII)
_FLOAT_DIGITS_MAX: Final = 17  # enough to write any float of 64 bits
_DIGITS_LEAST: Final = 13
_LONG_DIGITS: Final = 16
_LONG_DECIMALS: Final = 9
_STEP_PART: Final = 1000
_VALUE_PART: Final = 10**7
_PLACES_MAX: Final = 18
_EXPONENT_MAX: Final = 30  # as `engine.values.parse_scaled`


def digits_of(cell: str) -> tuple[int, int] | None:
    """Return a plain number as (digits, decimals) with as few decimals as it needs; None if it is none."""
    match = _NUMBER.fullmatch(cell)
    if match is None or not -_EXPONENT_MAX <= int(match[3] or 0) <= _EXPONENT_MAX:
        return None
    fraction = (match[2] or "").rstrip("0")
    value, places = int(match[1] + fraction), len(fraction) - int(match[3] or 0)
    if places < 0:
        return value * power_of_ten(-places), 0
    while places and value and not value % 10:
        value, places = value // 10, places - 1
    return (value, places) if value else (0, 0)


def is_computed(value: int, places: int) -> bool:
    """Return whether the digits look as a float does after arithmetic: many, and few enough for a float."""
    count = len(str(value))
    if not _DIGITS_LEAST <= count <= _FLOAT_DIGITS_MAX:
        return False
    return places >= _LONG_DECIMALS or (places > 0 and count >= _LONG_DIGITS)


class Column:
    """Measures the decimals that a column of numbers needs.

    `plain` is what the ordinary cells need; computed cells count only if `settle` finds no step below which
    all of them have noise only.
    """

    def __init__(self) -> None:
        self.plain = 0
        self.computed = 0
        self.example = ""
        self._needs = 0
        self._misfits: set[int] = set()  # decimals at which a computed cell is not noise

    def add(self, cell: str) -> None:
        """Note a cell. One that is not a number is left to the reader, which refuses it."""
        fraction = cell.partition(".")[2]
        if len(fraction) <= self.plain and "e" not in cell and "E" not in cell:
            return
        found = digits_of(cell)
        if found is None:
            return
        value, places = found
        if places <= self.plain:
            return
        if not is_computed(value, places):
            if places <= _PLACES_MAX:  # the reader refuses more
                self.plain = places
            return
        self.computed += 1
        self.example = self.example or cell[:40]
        self._needs = max(self._needs, places)
        for decimals in range(min(places, DECIMALS_PLAIN_MAX + 1)):
            if decimals not in self._misfits and not _is_noise(value, places, decimals):
                self._misfits.add(decimals)

    def settle(self, most: int) -> tuple[int, bool]:
        """Return the decimals the column needs, at most `most`, and whether its noise is to be rounded.

        Decimals of -1: computed values without a step; whoever imports must say how many decimals count.
        """
        if self._needs <= self.plain:
            return min(self.plain, most), False
        for decimals in range(self.plain, min(self._needs, DECIMALS_PLAIN_MAX + 1)):
            if decimals not in self._misfits:
                return decimals, True
        if self._needs > DECIMALS_PLAIN_MAX:
            # Beside text that no float can have written, such as amounts in wei, all digits are meant.
            return (min(max(self._needs, self.plain), most) if self.plain > DECIMALS_PLAIN_MAX else -1), False
        return min(max(self._needs, self.plain), most), False


def _is_noise(value: int, places: int, decimals: int) -> bool:
    step = power_of_ten(places - decimals)
    rest = min(value % step, -value % step)
    return rest * _STEP_PART <= step and rest * _VALUE_PART <= value


class Rounding:
    """Rounds computed cells of one column to a scale, and counts what it did.

    `asked`: whoever imports gave the decimals, so all that a computed cell has beyond them goes.
    """

    def __init__(self, scale: int, *, asked: bool) -> None:
        self.count = 0
        self.example = ""
        self._scale = scale
        self._asked = asked

    def round(self, cell: str) -> str | None:
        """Return the cell at the scale, half up; None if it is not one to be rounded."""
        found = digits_of(cell)
        if found is None:
            return None
        value, places = found
        if places <= self._scale or not is_computed(value, places):
            return None
        if not self._asked and not _is_noise(value, places, self._scale):
            return None
        step = power_of_ten(places - self._scale)
        text = format_scaled((value + step // 2) // step, self._scale)
        self.count += 1
        self.example = self.example or f"{cell[:40]} to {text}"
        return text
