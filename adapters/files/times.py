"""Cells of a data file as UTC nanoseconds: numbers in s, ms, us or ns, ISO 8601 text, or digits of a date.

Owns the decision which of these a file uses. It is taken once, at the first time of the file, by its
magnitude, and then fixed: a later time of another magnitude is refused, never guessed again. Only a layout
that is known to change its unit (`MIXED`) is read by the magnitude of each cell. A number whose time would
lie before 1973 or after 2100 is not a time. Decimals are exact ("1577836800.123" is 1577836800123000000); no
float appears here. Called by the survey and the reading of rows.

Digits of a date are 20240102, 2024010203, 202401020304, 20240102030405 or 20240102030405123. As a count of
seconds the second would lie in 2034, as one of ms the third in 1976; no venue has data of these years.
"""

from __future__ import annotations

import re
from typing import Final

from engine.clock import DAY_NS, day_start_ns, iso_text, parse_iso
from engine.errors import NumberError, UsageError
from engine.values import INT64_MAX, parse_scaled

__all__ = ["DIGITS", "ISO", "MIXED", "UNITS", "TimeReader", "is_iso"]

ISO: Final = "iso"
DIGITS: Final = "digits"
MIXED: Final = "mixed"
"""Numbers, each in the unit that its own magnitude shows."""

UNITS: Final = {"s": 9, "ms": 6, "us": 3, "ns": 0}
"""Units of a number, and the decimal places that make one of them nanoseconds."""

# A number of seconds since 1970 has 9 or 10 digits from 1973 to 2286; each unit has three more.
_LEAST: Final = {"s": 10**8, "ms": 10**11, "us": 10**14, "ns": 10**17}
_BEYOND_S: Final = 4_102_444_800  # 2100
_DATE_LENGTHS: Final = (8, 10, 12, 14, 17)
_DATE_LIKE: Final = (197301010000, 209912312359)  # as ms these lie in 1976

_ISO_TEXT: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
    r"(?:[T ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,9})?)?(?:Z| ?UTC|[+-][0-9]{2}(?::?[0-9]{2})?)?)?",
    re.ASCII,
)
# 2020-01-01 12-PM, as cryptodatadownload wrote hours.
_HALF_DAY: Final = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2}) (0[1-9]|1[0-2])-(AM|PM)", re.ASCII)
_WHOLE: Final = re.compile(r"([0-9]{1,40})(?:\.[0-9]+)?", re.ASCII)


def is_iso(cell: str) -> bool:
    """Return whether a cell looks like ISO 8601 text: 2024-12-05, 2024-12-05T00:00:00.123Z, and so on."""
    return _ISO_TEXT.fullmatch(cell) is not None or _HALF_DAY.fullmatch(cell) is not None


def _date_of(cell: str) -> str | None:
    """Return the ISO 8601 text of a date written in digits, of the years 1973 to 2099; None if it is none."""
    if len(cell) not in _DATE_LENGTHS or not (cell.isascii() and cell.isdigit()):
        return None
    if not "1973" <= cell[:4] <= "2099":
        return None
    hour, minute, second = (cell[at : at + 2].ljust(2, "0") for at in (8, 10, 12))
    text = f"{cell[:4]}-{cell[4:6]}-{cell[6:8]}T{hour}:{minute}:{second}"
    try:
        parse_iso(text)
    except UsageError:
        return None
    return f"{text}.{cell[14:]}" if cell[14:] else text


class TimeReader:
    """Reads the times of one file.

    `unit` is one of UNITS, ISO, DIGITS, MIXED, or None: decided at the first cell. `day` (YYYY-MM-DD) is of
    files that count from midnight: then the times are of that day, in ms unless `unit` says otherwise.
    """

    def __init__(self, unit: str | None = None, day: str | None = None) -> None:
        if unit is not None and unit not in (ISO, DIGITS, MIXED) and unit not in UNITS:
            raise UsageError(f"{unit!r} is not a unit of time; known: {' '.join(UNITS)} {ISO}")
        if day is not None and unit is not None and unit not in UNITS:
            raise UsageError("times counted from the midnight of a day are numbers, not ISO 8601 text")
        self._base_ns = 0 if day is None else day_start_ns(day)
        self._end_ns = INT64_MAX if day is None else self._base_ns + DAY_NS - 1
        self._guessed = unit is None and day is None
        self.unit = "ms" if unit is None and day is not None else unit
        self._scale = 0
        self._factor = 0
        self._mixed: dict[int, int] = {}  # nanoseconds of one, by the number of digits
        if self.unit == MIXED:
            self._mixed = {10 + extra: 10 ** (9 - extra) for extra in (0, 3, 6, 9)}
        elif self.unit is not None:
            self._fix(self.unit)

    def read(self, cell: str) -> int:
        """Return UTC nanoseconds, 0 or more and within 64 bits. Raises NumberError saying what is wrong."""
        if self._factor and cell.isdigit() and cell.isascii() and len(cell) <= 19:
            ns = self._base_ns + int(cell) * self._factor
            if ns <= self._end_ns:
                return ns
        elif self._mixed and cell.isdigit() and cell.isascii():
            factor = self._mixed.get(len(cell), 0)
            if factor and (ns := int(cell) * factor) < _BEYOND_S * 10**9:
                return ns
        return self._read_slow(cell)

    def explain_step_back(self, cell: str, last_ns: int) -> str:
        """Return why `cell` cannot follow a row at `last_ns`: another magnitude, or a time that goes back."""
        guess = self._guess(cell) if self._guessed and self.unit in UNITS else self.unit
        if guess != self.unit:
            return self._other_magnitude(cell)
        return (
            f"time {cell[:40]!r} goes back: the row before is at {iso_text(last_ns)}; the rows are neither "
            "oldest first nor newest first; sort the file by time and import it again"
        )

    def goes_on(self, cell: str) -> bool:
        """Return whether a time is written as the first one was."""
        return not self._guessed or self.unit not in UNITS or self._guess(cell) == self.unit

    def _fix(self, unit: str) -> None:
        self.unit = unit
        if unit in UNITS:
            self._scale = UNITS[unit]
            self._factor = 10**self._scale

    def _read_slow(self, cell: str) -> int:
        if not cell:
            raise NumberError("time is empty")
        if self.unit is None:
            self._decide(cell)
        if self.unit == ISO:
            ns = self._read_iso(cell)
        elif self.unit == DIGITS:
            ns = self._read_digits(cell)
        elif self.unit == MIXED:
            ns = self._read_mixed(cell)
        elif is_iso(cell):
            raise NumberError(f"time {cell[:40]!r} is text, but the times of this file are in {self.unit}")
        else:
            if self._guessed and self._guess(cell) not in (self.unit, None):
                raise NumberError(self._other_magnitude(cell))
            try:
                ns = self._base_ns + parse_scaled(cell, self._scale)
            except NumberError as error:
                raise NumberError(f"time {error}, reading it in {self.unit}") from None
        if not 0 <= ns <= self._end_ns:
            where = "before 1970 or after 2262" if self._end_ns == INT64_MAX else "after the end of the day"
            raise NumberError(f"time {cell[:40]!r} lies {where}")
        return ns

    def _decide(self, cell: str) -> None:
        if is_iso(cell):
            self._fix(ISO)
            return
        if _date_of(cell) is not None:
            self._fix(DIGITS)
            return
        unit = self._guess(cell)
        if unit is None:
            if _WHOLE.fullmatch(cell):
                raise NumberError(
                    f"time {cell[:40]!r} is no time of the years 1973 to 2100 in s, ms, us or ns; is this "
                    "the column of the times? For times since midnight name the day (--day)"
                )
            raise NumberError(f"time {cell[:40]!r} is neither a number nor ISO 8601 text")
        self._fix(unit)

    def _read_iso(self, cell: str) -> int:
        if not is_iso(cell):
            raise NumberError(f"time {cell[:40]!r} is not ISO 8601 text as the first time of the file is")
        half = _HALF_DAY.fullmatch(cell)
        if half is not None:
            hour = int(half[2]) % 12 + (12 if half[3] == "PM" else 0)
            cell = f"{half[1]}T{hour:02}:00:00"
        try:
            return parse_iso(cell.removesuffix("UTC").rstrip(" "))
        except UsageError as error:
            raise NumberError(f"time {error}") from None

    @staticmethod
    def _read_digits(cell: str) -> int:
        text = _date_of(cell)
        if text is None:
            raise NumberError(f"time {cell[:40]!r} is no date in digits as the first time of the file is")
        return parse_iso(text)

    def _read_mixed(self, cell: str) -> int:
        unit = self._guess(cell)
        if unit is None:
            raise NumberError(f"time {cell[:40]!r} is no time of the years 1973 to 2100")
        try:
            return parse_scaled(cell, UNITS[unit])
        except NumberError as error:
            raise NumberError(f"time {error}, reading it in {unit}") from None

    @staticmethod
    def _guess(cell: str) -> str | None:
        """Return the unit a number is in, by its magnitude; None if it is no time or not a plain number."""
        match = _WHOLE.fullmatch(cell)
        whole = int(match[1]) if match else 0
        if _DATE_LIKE[0] <= whole <= _DATE_LIKE[1]:
            return None
        for unit, places in UNITS.items():
            if _LEAST[unit] <= whole < _BEYOND_S * 10 ** (9 - places):
                return unit
        return None

    def _other_magnitude(self, cell: str) -> str:
        guess = self._guess(cell) or "another unit"
        return (
            f"time {cell[:40]!r} looks like {guess}, but the first time of this file was in {self.unit}; "
            "one file has one unit"
        )
