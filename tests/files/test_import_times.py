"""Times of a file: one unit for the whole file, exact."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.files.times import UNITS, TimeReader
from engine.clock import day_start_ns, iso_text
from engine.errors import NumberError, UsageError
from engine.values import INT64_MAX, format_scaled

SECOND = 1_000_000_000
PLAUSIBLE = st.integers(631_152_000 * SECOND, 1_893_456_000 * SECOND)  # 1990 to 2030: no digits of a date


@given(PLAUSIBLE, st.sampled_from(list(UNITS)))
def test_the_unit_follows_from_the_magnitude_and_decimals_are_exact(ns: int, unit: str) -> None:
    reader = TimeReader()
    assert reader.read(format_scaled(ns, UNITS[unit])) == ns
    assert reader.unit == unit


@given(PLAUSIBLE, PLAUSIBLE, st.sampled_from(list(UNITS)), st.sampled_from(list(UNITS)))
def test_another_magnitude_is_refused_or_reported_as_a_step_back(
    first: int, later: int, unit: str, other: str
) -> None:
    reader = TimeReader()
    first_ns = reader.read(format_scaled(first, UNITS[unit]))
    cell = format_scaled(later, UNITS[other])
    if unit == other:
        assert reader.read(cell) == later
    elif list(UNITS).index(other) > list(UNITS).index(unit) or "." in cell:
        with pytest.raises(NumberError, match="first time of this file was in"):
            reader.read(cell)
    else:
        assert reader.read(cell) < first_ns  # the importer refuses what goes back
        assert "first time of this file was in" in reader.explain_step_back(cell, first_ns)


@given(st.integers(0, INT64_MAX))
def test_iso_text_is_exact(ns: int) -> None:
    assert TimeReader().read(iso_text(ns)) == ns
    assert TimeReader().read(iso_text(ns).replace("T", " ").removesuffix("Z")) == ns
    assert TimeReader().read(iso_text(ns).removesuffix("Z") + "+00:00") == ns


@pytest.mark.parametrize(
    ("cell", "ns"),
    [
        ("1577836800.123", 1_577_836_800_123_000_000),
        ("1577836800123", 1_577_836_800_123_000_000),
        ("1577836800123.5", 1_577_836_800_123_500_000),
        ("2020-01-01", 1_577_836_800 * SECOND),
        ("2020-01-01 00:00", 1_577_836_800 * SECOND),
        ("2020-01-01T01:00:00+01:00", 1_577_836_800 * SECOND),
        ("2020-01-01 00:00:00 UTC", 1_577_836_800 * SECOND),
        ("2020-01-01 00:00:00.000001", 1_577_836_800 * SECOND + 1000),
        ("2020-01-01 12-AM", 1_577_836_800 * SECOND),
        ("2020-01-01 01-PM", 1_577_836_800 * SECOND + 13 * 3600 * SECOND),
        ("20200101", 1_577_836_800 * SECOND),
        ("202001010102", 1_577_836_800 * SECOND + 62 * 60 * SECOND),
        ("202401020304", 1_704_164_640 * SECOND),
        ("20200101000003", 1_577_836_803 * SECOND),
        ("20200101000003045", 1_577_836_803 * SECOND + 45_000_000),
    ],
)
def test_known_times(cell: str, ns: int) -> None:
    assert TimeReader().read(cell) == ns


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        ("", "empty"),
        ("abc", "neither a number nor ISO"),
        ("0", "no time of the years 1973 to 2100"),
        ("51175358", "no time of the years 1973 to 2100 .*is this the column of the times"),
        ("4359999999", "no time of the years 1973 to 2100"),  # as seconds a day in 2108: an id
        ("202413020304", "goes|no time|neither"),
        ("1577836800.1234567891", "more than 9 decimals"),
        ("-1577836800", "neither"),
        ("1e12", "neither"),
        ("99999999999999999999", "no time of the years"),
        ("2020-02-30", "ISO 8601"),
        ("2020-01-01T00:00:00,5", "neither"),
        ("1969-12-31T23:59:59Z", "before 1970"),
        ("NaN", "neither"),
    ],
)
def test_an_invalid_time_is_refused(cell: str, reason: str) -> None:
    with pytest.raises(NumberError, match=reason):
        TimeReader().read(cell)


def test_text_and_numbers_are_not_mixed() -> None:
    numbers, text = TimeReader(), TimeReader()
    numbers.read("1577836800123")
    text.read("2020-01-01")
    with pytest.raises(NumberError, match="is text, but the times of this file are in ms"):
        numbers.read("2020-01-01")
    with pytest.raises(NumberError, match="not ISO 8601 text"):
        text.read("1577836800123")


def test_times_since_midnight_belong_to_the_day_given() -> None:
    start = day_start_ns("2016-10-07")
    assert TimeReader(day="2016-10-07").read("4000") == start + 4 * SECOND
    assert TimeReader("s", day="2016-10-07").read("4000.5") == start + 4000 * SECOND + 500_000_000
    with pytest.raises(NumberError, match="after the end of the day"):
        TimeReader(day="2016-10-07").read("86400000")


def test_an_invalid_unit_or_day_is_refused() -> None:
    for unit, day in (("minutes", None), ("iso", "2016-10-07"), (None, "7 Oct 2016")):
        with pytest.raises(UsageError):
            TimeReader(unit, day)
