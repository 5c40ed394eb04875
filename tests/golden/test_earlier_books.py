"""A session does not continue a journal whose books an earlier version kept: the positions would be lost."""

from __future__ import annotations

import pytest

from engine.opening import has_earlier_books
from engine.records import read_records
from tests.golden.test_golden import EARLIER, HERE


@pytest.mark.parametrize("day", EARLIER)
def test_a_day_of_the_earlier_books_is_recognised(day: str) -> None:
    assert any(has_earlier_books(event) for _, _, event in read_records(HERE / day))
