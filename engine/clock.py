"""The only module that reads the time and draws random bytes.

Everything else receives a `Clock` or an `Ids` (see `ports.py`); `tests/test_house.py` bans the standard
library's clocks and random generators on floors 0 to 3, except here. Also holds the arithmetic of UTC
days and of the windows of bars.
"""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final, NamedTuple

from engine.errors import UsageError

__all__ = [
    "DAY_NS",
    "MONTH_NS",
    "SECOND_NS",
    "WEEK_NS",
    "AdoptedClock",
    "ClockReadings",
    "SystemClock",
    "SystemIds",
    "day_of",
    "day_start_ns",
    "iso_text",
    "parse_iso",
    "window_end",
    "window_start",
]

SECOND_NS: Final = 1_000_000_000
DAY_NS: Final = 86_400 * SECOND_NS

WEEK_NS: Final = 7 * DAY_NS
MONTH_NS: Final = 30 * DAY_NS
"""Names the interval "1M". A month has its calendar length; see `window_end`."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MONDAY_NS: Final = 4 * DAY_NS
"""The first Monday: the epoch was a Thursday."""

_BOOT: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""Runs while the machine is suspended. macOS has no clock of that name; its CLOCK_MONOTONIC does that."""

STEP_NS = SECOND_NS // 2
"""A wall clock that goes back by more than this was set by hand, not adjusted by NTP."""


class ClockReadings(NamedTuple):
    """What a clock and the clocks behind it read at one moment, in nanoseconds.

    `engine_ns` is the engine's time. Of the others only differences mean anything: `wall_ns` is the machine's
    wall clock, if the engine's time depends on it; `monotonic_ns` stands still while the machine is
    suspended, `boot_ns` does not; `busy_ns` is the CPU time of this thread.
    """

    engine_ns: int
    wall_ns: int
    monotonic_ns: int
    boot_ns: int
    busy_ns: int = 0


class SystemClock:
    """The machine's clock, which never goes back.

    Steps forward, and small adjustments either way, are followed. When the clock is set back, time
    continues from the last value, so that timers do not wait twice.
    """

    def __init__(self) -> None:
        self._ahead_ns = time.time_ns() - time.monotonic_ns()
        self._last_ns = 0

    def now_ns(self) -> int:
        """Return UTC nanoseconds."""
        wall_ns, monotonic_ns = time.time_ns(), time.monotonic_ns()
        ahead_ns = wall_ns - monotonic_ns
        if ahead_ns > self._ahead_ns - STEP_NS:
            self._ahead_ns = ahead_ns
        self._last_ns = max(self._last_ns, monotonic_ns + self._ahead_ns)
        return self._last_ns

    def monotonic_ns(self) -> int:
        """Return monotonic nanoseconds."""
        return time.monotonic_ns()

    def real_seconds_until(self, engine_ns: int) -> float:
        """Return real seconds from now until the clock reads `engine_ns`."""
        return (engine_ns - self.now_ns()) / SECOND_NS

    def readings(self) -> ClockReadings:
        """Return what all clocks read now."""
        boot_ns, monotonic_ns, wall_ns = _passed_ns(), time.monotonic_ns(), time.time_ns()
        return ClockReadings(self.now_ns(), wall_ns, monotonic_ns, boot_ns, time.thread_time_ns())


class AdoptedClock:
    """Follows a venue's clock: `venue_ns` at monotonic `at_ns`, then `speed` times real time."""

    def __init__(self, venue_ns: int, at_ns: int, speed: float) -> None:
        self._venue_ns = venue_ns
        self._at_ns = at_ns
        self._speed = speed

    def now_ns(self) -> int:
        """Return the venue's time in UTC nanoseconds."""
        return self._venue_ns + int((time.monotonic_ns() - self._at_ns) * self._speed)

    def monotonic_ns(self) -> int:
        """Return real monotonic nanoseconds; latencies are not accelerated."""
        return time.monotonic_ns()

    def real_seconds_until(self, engine_ns: int) -> float:
        """Return real seconds from now until the clock reads `engine_ns`."""
        return (engine_ns - self.now_ns()) / SECOND_NS / self._speed

    def readings(self) -> ClockReadings:
        """Return what all clocks read now. The machine's wall clock does not matter here."""
        boot_ns, monotonic_ns = _passed_ns(), time.monotonic_ns()
        return ClockReadings(self.now_ns(), boot_ns, monotonic_ns, boot_ns, time.thread_time_ns())


class SystemIds:
    """The machine's source of random bytes."""

    def random_bytes(self, count: int) -> bytes:
        """Return `count` random bytes."""
        return os.urandom(count)


def _passed_ns() -> int:
    """Return nanoseconds since the machine started, suspended or not."""
    return time.clock_gettime_ns(_BOOT)


def day_of(ns: int) -> str:
    """Return the UTC day of a time in nanoseconds, as YYYY-MM-DD."""
    return (_EPOCH + timedelta(days=ns // DAY_NS)).strftime("%Y-%m-%d")


def day_start_ns(day: str) -> int:
    """Return the first nanosecond of a UTC day given as YYYY-MM-DD. Raises UsageError."""
    try:
        start = datetime.strptime(day, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        raise UsageError(f"{day!r} is not a day; write it as 2024-12-05") from None
    return (start - _EPOCH).days * DAY_NS


def window_start(interval_ns: int, time_ns: int) -> int:
    """Return the start of the window that contains a time, in UTC nanoseconds.

    Windows are counted from the epoch; a week begins on Monday and a month is the calendar's, as on Binance
    (its REST reference, klines).
    """
    if interval_ns == MONTH_NS:
        return _first_of_month(time_ns // DAY_NS)
    offset_ns = _MONDAY_NS if interval_ns == WEEK_NS else 0
    return time_ns - (time_ns - offset_ns) % interval_ns


def window_end(interval_ns: int, start_ns: int) -> int:
    """Return when the window that began at `start_ns` ends."""
    if interval_ns == MONTH_NS:
        return _first_of_month(start_ns // DAY_NS + 31)  # a month has 28 to 31 days
    return start_ns + interval_ns


def _first_of_month(day: int) -> int:
    """Return the start of the month of a day. `day` is counted from the epoch."""
    return ((_EPOCH + timedelta(days=day)).replace(day=1) - _EPOCH).days * DAY_NS


def iso_text(ns: int) -> str:
    """Return a time in nanoseconds as ISO 8601 text in UTC: 2024-12-05T00:00:00.000000000Z."""
    seconds, rest = divmod(ns, SECOND_NS)
    return f"{_second_text(seconds)}.{rest:09d}Z"


@lru_cache(maxsize=256)
def _second_text(seconds: int) -> str:
    """Return the text of a second; records are in order of time, so few seconds are made often."""
    return (_EPOCH + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S")


def parse_iso(text: str) -> int:
    """Return UTC nanoseconds of ISO 8601 text; text without a zone is UTC. Raises UsageError."""
    if "," in text:
        raise UsageError(f"{text[:40]!r} is not an ISO 8601 time with a point before its fraction")
    body, nanos = text, 0
    point = text.find(".")
    if point >= 0:
        end = point + 1
        while end < len(text) and text[end].isascii() and text[end].isdigit():
            end += 1
        digits = text[point + 1 : end]
        if not 1 <= len(digits) <= 9:
            raise UsageError(f"{text[:40]!r} is not an ISO 8601 time")
        nanos = int(digits.ljust(9, "0"))
        body = text[:point] + text[end:]
    try:
        moment = datetime.fromisoformat(body)
    except ValueError:
        raise UsageError(f"{text[:40]!r} is not an ISO 8601 time") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    delta = moment - _EPOCH
    return (delta.days * 86_400 + delta.seconds) * SECOND_NS + nanos
