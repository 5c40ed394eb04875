"""The clock and the arithmetic of UTC days and ISO text (T05, T09)."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from engine.clock import (
    DAY_NS,
    SECOND_NS,
    AdoptedClock,
    SystemClock,
    SystemIds,
    day_of,
    day_start_ns,
    iso_text,
    parse_iso,
    window_end,
    window_start,
)
from engine.errors import UsageError
from engine.journal import day_name, day_of_ns
from engine.values import INTERVALS, parse_interval

ROOT = Path(__file__).resolve().parents[1]
times = st.integers(0, 4_000_000_000 * SECOND_NS)


@given(times)
@example(0)
@example(day_start_ns("2024-02-29"))
@example(day_start_ns("2024-12-31") + DAY_NS - 1)
@example(day_start_ns("2016-12-31") + DAY_NS)
@example(day_start_ns("2024-03-31") + 3600 * SECOND_NS)
def test_t05_a_time_is_within_its_day(ns: int) -> None:
    start = day_start_ns(day_of(ns))
    assert start <= ns < start + DAY_NS
    assert start % DAY_NS == 0
    assert day_of(ns) == day_name(day_of_ns(ns))


@given(times)
@example(1)
def test_iso_text_reads_back_as_the_same_nanosecond(ns: int) -> None:
    text = iso_text(ns)
    assert parse_iso(text) == ns
    assert parse_iso(text.removesuffix("Z") + "+00:00") == ns
    assert parse_iso(text.removesuffix("Z")) == ns


@given(st.integers(0, 4_000_000_000), st.integers(-14 * 60, 14 * 60))
def test_a_zone_is_taken_into_account(seconds: int, minutes: int) -> None:
    moment = datetime.fromtimestamp(seconds, UTC)
    sign, size = ("-" if minutes < 0 else "+"), abs(minutes)
    local = datetime.fromtimestamp(seconds + minutes * 60, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    assert parse_iso(f"{local}{sign}{size // 60:02d}:{size % 60:02d}") == int(moment.timestamp()) * SECOND_NS


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("2024-12-05", day_start_ns("2024-12-05")),
        ("2024-12-05T00:00:00.5", day_start_ns("2024-12-05") + SECOND_NS // 2),
        ("2024-12-05 00:00:01.000000001Z", day_start_ns("2024-12-05") + SECOND_NS + 1),
        ("2024-12-05T02:00:00.000000009+02:00", day_start_ns("2024-12-05") + 9),
    ],
)
def test_common_forms_of_iso_text_are_read(text: str, ns: int) -> None:
    assert parse_iso(text) == ns


@pytest.mark.parametrize(
    "text",
    ["", "x", "2024-13-01", "2024-12-05T25:00", "2024-12-05T00:00:00.", "2024-12-05T00:00:00.1234567890"],
)
def test_text_that_is_not_an_iso_time_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="not an ISO 8601 time"):
        parse_iso(text)


@pytest.mark.parametrize("day", ["2024-2-30", "2024-12-32", "20241205", "", "today", "2024-12-05T00:00"])
def test_text_that_is_not_a_day_is_refused(day: str) -> None:
    with pytest.raises(UsageError, match="write it as 2024-12-05"):
        day_start_ns(day)


def test_t05_days_do_not_depend_on_the_machines_zone() -> None:
    program = (
        "from engine.clock import *; ns = 1711846800 * SECOND_NS;"
        "print(day_of(ns), day_start_ns('2024-03-31'), iso_text(ns), parse_iso('2024-03-31T02:30:00'))"
    )
    printed = {
        subprocess.run(
            [sys.executable, "-c", program],
            capture_output=True,
            text=True,
            check=True,
            cwd=ROOT,
            env={**os.environ, "TZ": zone},
        ).stdout
        for zone in ("UTC", "America/New_York", "Asia/Kolkata")
    }
    assert len(printed) == 1


def test_the_system_clock_reads_utc_and_does_not_go_back() -> None:
    clock = SystemClock()
    first = clock.monotonic_ns()
    assert abs(clock.now_ns() / SECOND_NS - datetime.now(UTC).timestamp()) < 5
    assert clock.monotonic_ns() >= first


def test_both_clocks_say_how_long_to_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine's time stands still, so that the answers are exact."""
    stopped = SimpleNamespace(time_ns=lambda: 10**18, monotonic_ns=lambda: 10**12)
    monkeypatch.setattr("engine.clock.time", stopped)
    system = SystemClock()
    assert system.real_seconds_until(system.now_ns() + 10 * SECOND_NS) == 10.0
    adopted = AdoptedClock(1_000 * SECOND_NS, system.monotonic_ns(), 50.0)
    assert adopted.real_seconds_until(adopted.now_ns() + 100 * SECOND_NS) == 2.0


def test_an_adopted_clock_runs_with_its_venue() -> None:
    system = SystemClock()
    began = system.monotonic_ns()
    clock = AdoptedClock(1_000 * SECOND_NS, began, 50.0)
    passed = clock.now_ns() - 1_000 * SECOND_NS
    assert 0 <= passed <= (system.monotonic_ns() - began) * 50


def test_random_bytes_have_the_requested_length_and_differ() -> None:
    ids = SystemIds()
    assert len(ids.random_bytes(16)) == 16
    assert ids.random_bytes(16) != ids.random_bytes(16)


@given(st.integers(0, 4_000_000_000 * SECOND_NS), st.sampled_from(sorted(INTERVALS)))
def test_t05_every_time_is_in_one_window_and_windows_are_contiguous(time_ns: int, name: str) -> None:
    interval_ns = parse_interval(name)
    start_ns = window_start(interval_ns, time_ns)
    end_ns = window_end(interval_ns, start_ns)
    assert start_ns <= time_ns < end_ns
    assert window_start(interval_ns, end_ns) == end_ns
    assert window_start(interval_ns, end_ns - 1) == start_ns


@pytest.mark.parametrize(
    ("name", "time", "start", "end"),
    [
        ("1w", "2024-12-05T12:00:00Z", "2024-12-02", "2024-12-09"),
        ("1w", "2024-12-02T00:00:00Z", "2024-12-02", "2024-12-09"),
        ("1M", "2024-02-29T23:59:59Z", "2024-02-01", "2024-03-01"),
        ("1M", "2023-12-31T00:00:00Z", "2023-12-01", "2024-01-01"),
        ("1d", "2024-12-05T12:00:00Z", "2024-12-05", "2024-12-06"),
    ],
)
def test_t05_weeks_begin_on_monday_and_months_are_the_calendars(
    name: str, time: str, start: str, end: str
) -> None:
    interval_ns = parse_interval(name)
    start_ns = window_start(interval_ns, parse_iso(time))
    assert start_ns == day_start_ns(start)
    assert window_end(interval_ns, start_ns) == day_start_ns(end)
