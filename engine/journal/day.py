"""Days: as the number in a header, as the name of a folder, and in nanoseconds.

A day is a UTC day of engine time, written as the number yyyymmdd (20241205) and as the folder
`2024-12-05`. Nothing here reads a clock.
"""

from __future__ import annotations

import re
from datetime import date

__all__ = ["DAY_NS", "day_name", "day_of_ns", "day_start_ns", "parse_day"]

DAY_NS = 86_400 * 1_000_000_000
_EPOCH = date(1970, 1, 1).toordinal()
_NAME = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})")


def day_of_ns(ns: int) -> int:
    """Return the UTC day (yyyymmdd) of a time in nanoseconds since 1970."""
    day = date.fromordinal(_EPOCH + ns // DAY_NS)
    return day.year * 10_000 + day.month * 100 + day.day


def day_start_ns(day: int) -> int:
    """Return the first nanosecond of a day. Raises ValueError for an invalid day."""
    return (_date(day).toordinal() - _EPOCH) * DAY_NS


def day_name(day: int) -> str:
    """Return the folder name of a day: `2024-12-05` for 20241205. Raises ValueError for an invalid day."""
    return _date(day).isoformat()


def parse_day(name: str) -> int | None:
    """Return the day of a folder name, or None if the name is not a day."""
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    day = int(match[1]) * 10_000 + int(match[2]) * 100 + int(match[3])
    try:
        _date(day)
    except ValueError:
        return None
    return day


def _date(day: int) -> date:
    return date(day // 10_000, day // 100 % 100, day % 100)
