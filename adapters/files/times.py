"""Cells of a data file as UTC nanoseconds: numbers in s, ms, us or ns, or ISO 8601 text.

Owns the decision which of these a file uses. It is taken once, at the first time of the file, by
its magnitude, and then fixed: a later time of another magnitude is refused, never guessed again. Decimals
are exact ("1577836800.123" is 1577836800123000000); no float appears here. Called by the importer.
"""

from __future__ import annotations

import re
from typing import Final

from engine.clock import DAY_NS, day_start_ns, iso_text, parse_iso
from engine.errors import NumberError, UsageError
from engine.values import INT64_MAX, parse_scaled

__all__ = ["ISO", "UNITS", "TimeReader", "is_iso"]

ISO: Final = "iso"

UNITS: Final = {"s": 9, "ms": 6, "us": 3, "ns": 0}
"""Units of a number, and the decimal places that make one of them nanoseconds."""

# A number of seconds since 1970 has 9 or 10 digits from 1973 to 2286; each unit has three more.
_LEAST: Final = {"s": 10**8, "ms": 10**11, "us": 10**14, "ns": 10**17}

_ISO_TEXT: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
    r"(?:[T ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,9})?)?(?:Z| ?UTC|[+-][0-9]{2}(?::?[0-9]{2})?)?)?",
    re.ASCII,
)
_WHOLE: Final = re.compile(r"([0-9]{1,40})(?:\.[0-9]+)?", re.ASCII)


def is_iso(cell: str) -> bool:
    """Return whether a cell looks like ISO 8601 text: 2024-12-05, 2024-12-05T00:00:00.123Z, and so on."""
    return _ISO_TEXT.fullmatch(cell) is not None


class TimeReader:
    """Reads the times of one file.

    `unit` is one of UNITS, ISO, or None: decided at the first cell. `day` (YYYY-MM-DD) is for files that
    count from midnight: then the times are that day's, in milliseconds unless `unit` says otherwise.
    """

    def __init__(self, unit: str | None = None, day: str | None = None) -> None:
        if unit is not None and unit != ISO and unit not in UNITS:
            raise UsageError(f"{unit!r} is not a unit of time; known: {' '.join(UNITS)} {ISO}")
        if day is not None and unit == ISO:
            raise UsageError("times counted from the midnight of a day are numbers, not ISO 8601 text")
        self._base_ns = 0 if day is None else day_start_ns(day)
        self._end_ns = INT64_MAX if day is None else self._base_ns + DAY_NS - 1
        self._guessed = unit is None and day is None
        self.unit = "ms" if unit is None and day is not None else unit
        self._scale = 0
        self._factor = 0
        if self.unit is not None:
            self._fix(self.unit)

    def read(self, cell: str) -> int:
        """Return UTC nanoseconds, 0 or more and within 64 bits. Raises NumberError saying what is wrong."""
        if self._factor and cell.isdigit() and cell.isascii() and len(cell) <= 19:
            ns = self._base_ns + int(cell) * self._factor
            if ns <= self._end_ns:
                return ns
        return self._read_slow(cell)

    def explain_step_back(self, cell: str, last_ns: int) -> str:
        """Return why `cell` cannot follow a row at `last_ns`: another magnitude, or a time that goes back."""
        guess = self._guess(cell) if self._guessed and self.unit != ISO else self.unit
        if guess != self.unit:
            return self._other_magnitude(cell)
        return (
            f"time {cell[:40]!r} goes back: the row before is at {iso_text(last_ns)}; "
            "sort the file by time and import it again"
        )

    def _fix(self, unit: str) -> None:
        self.unit = unit
        if unit != ISO:
            self._scale = UNITS[unit]
            self._factor = 10**self._scale

    def _read_slow(self, cell: str) -> int:
        if not cell:
            raise NumberError("time is empty")
        if self.unit is None:
            self._decide(cell)
        if self.unit == ISO:
            ns = self._read_iso(cell)
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
        unit = self._guess(cell)
        if unit is None:
            if _WHOLE.fullmatch(cell):
                raise NumberError(
                    f"time {cell[:40]!r} is too small for a time since 1970 in s, ms, us or ns; "
                    "name the unit, or for times since midnight name the day"
                )
            raise NumberError(f"time {cell[:40]!r} is neither a number nor ISO 8601 text")
        self._fix(unit)

    def _read_iso(self, cell: str) -> int:
        if not is_iso(cell):
            raise NumberError(f"time {cell[:40]!r} is not ISO 8601 text as the first time of the file is")
        try:
            return parse_iso(cell.removesuffix("UTC").rstrip(" "))
        except UsageError as error:
            raise NumberError(f"time {error}") from None

    @staticmethod
    def _guess(cell: str) -> str | None:
        """Return the unit a number is in, by its magnitude; None if it is too small or not a plain number."""
        match = _WHOLE.fullmatch(cell)
        whole = int(match[1]) if match else 0
        return next((unit for unit in ("ns", "us", "ms", "s") if whole >= _LEAST[unit]), None)

    def _other_magnitude(self, cell: str) -> str:
        guess = self._guess(cell) or "another unit"
        return (
            f"time {cell[:40]!r} looks like {guess}, but the first time of this file was in {self.unit}; "
            "one file has one unit"
        )
