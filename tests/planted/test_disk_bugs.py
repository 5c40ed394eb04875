"""Every bug planted in the journal is found by its crash states, so none of them passes trivially."""

from __future__ import annotations

import pytest

from tests.journal import test_flips
from tests.journal.crashes import Broken
from tests.journal.kit import journal
from tests.journal.test_flips import FRAMES
from tests.planted.disk_bugs import BUGS, OMITTED, lengths_uncovered, look_for_crashes, omitted


@pytest.mark.parametrize("name", BUGS)
def test_a_planted_bug_of_the_journal_is_found_by_its_crash_states(name: str) -> None:
    with BUGS[name](), pytest.raises(Broken):
        look_for_crashes()


@pytest.mark.parametrize(("call", "functions"), OMITTED)
def test_a_sync_that_is_left_out_is_found_by_the_crash_states(call: str, functions: str) -> None:
    """X02."""
    with omitted(call, functions), pytest.raises(Broken):
        look_for_crashes()


def test_lengths_that_no_checksum_covers_are_found_by_the_flipped_bits() -> None:
    """X05."""
    with lengths_uncovered():
        image = journal(FRAMES)
        with pytest.raises((AssertionError, pytest.fail.Exception)):
            test_flips.test_a_flipped_length_is_not_taken_for_a_frame_cut_short(image)
    test_flips.test_a_flipped_length_is_not_taken_for_a_frame_cut_short(journal(FRAMES))
