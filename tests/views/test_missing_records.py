"""A view goes on without records that it never got: every answer can still be given."""

from __future__ import annotations

from random import Random

import msgspec
import pytest

from engine.errors import UsageError
from engine.events import InstrumentListed
from engine.views.answers import ANSWERS
from engine.views.queries import REQUIRED, answer
from engine.views.stream import Changes
from engine.views.view import View
from tests.orders.sequences import plan, real_plan
from tests.orders.shrink import run_of
from tests.profiles import pick
from tests.views.following import JOURNAL

GIVEN = {"instrument": "AAA", "interval": "1m", "seq": "1"}


@pytest.mark.parametrize("share", [0.02, 0.5, 0.98])
def test_any_record_may_be_missing(share: float) -> None:
    for number in range(pick(1, deep=200)):
        draw = Random(number)
        for of in (plan(number), real_plan(number)):
            records = run_of(of).play().memory.all()
            _answer_everything([record for record in records if draw.random() < share])


def test_no_instrument_may_be_listed() -> None:
    for of in (plan(3), real_plan(3)):
        records = run_of(of).play().memory.all()
        _answer_everything([record for record in records if not isinstance(record[2], InstrumentListed)])


def _answer_everything(records: list[tuple[int, int, object]]) -> None:
    view = View(JOURNAL)
    changes = Changes(view)
    for at in range(0, len(records), 40):
        batch = records[at : at + 40]
        view.apply(batch)  # type: ignore[arg-type]
        changes.changes(batch)  # type: ignore[arg-type]
        changes.flush()
        for name in ANSWERS:
            query = {key: GIVEN[key] for key in REQUIRED.get(name, ())}
            try:
                msgspec.json.encode(answer(view, name, query))
            except UsageError:
                assert query  # the instrument is not listed
    view.copy().status()
