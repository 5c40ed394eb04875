"""Every bug planted in the journal is found by its crash states, so none of them passes trivially."""

from __future__ import annotations

import pytest

from tests.journal.crashes import Broken
from tests.planted.disk_bugs import BUGS, OMITTED, look_for_crashes, omitted


@pytest.mark.parametrize("name", BUGS)
def test_a_planted_bug_of_the_journal_is_found_by_its_crash_states(name: str) -> None:
    with BUGS[name](), pytest.raises(Broken):
        look_for_crashes()


@pytest.mark.parametrize(("call", "functions"), OMITTED)
def test_a_sync_that_is_left_out_is_found_by_the_crash_states(call: str, functions: str) -> None:
    """X02."""
    with omitted(call, functions), pytest.raises(Broken):
        look_for_crashes()
