"""A view of the sample day equals the actors that follow the same records."""

from __future__ import annotations

from collections.abc import Iterator

from engine.events.codec import Record
from engine.loading.strategies import make_builder
from engine.records import JournalHistory, open_day, records_of
from engine.sequencer import Sequencer
from engine.views.view import View
from tests.commands.kit import SAMPLE
from tests.replay.kit import Memory
from tests.views.following import JOURNAL, differences


def test_a_view_of_the_sample_day_equals_the_engine_all_along() -> None:
    view = View(JOURNAL)
    sequencer = Sequencer(make_builder(), Memory(), JournalHistory(SAMPLE.parent))
    compared = 0

    def followed() -> Iterator[Record]:
        nonlocal compared
        for number, frame in enumerate(open_day(SAMPLE)):
            records = list(records_of(frame))
            yield from records
            view.apply(records)
            if number % 20 == 0 and number:
                assert differences(view, sequencer) == [], frame.last_seq
                compared += 1

    sequencer.follow(followed())
    assert compared > 100
    assert view.status().fills_today > 10
