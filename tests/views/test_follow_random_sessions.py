"""A view equals the engine after every input of random sessions, on paper and with real orders.

The engine's own states (books, order manager, execution) are the independent account: no actor reads a view.
"""

from __future__ import annotations

import pytest

from engine.events import DayOpened
from engine.views.view import View
from tests.orders.sequences import plan, real_plan
from tests.profiles import pick
from tests.views.following import JOURNAL, Followed, FollowedReal, followed
from tests.views.seeding import alike

CHUNKS = 4


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_a_view_of_every_random_paper_session_equals_the_engine(chunk: int) -> None:
    for number in range(chunk, pick(40, deep=4_000), CHUNKS):
        session = followed(plan(number))
        assert not session.broken, (number, session.broken[:3])
        _check_second_day(session)


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_a_view_of_every_random_session_with_real_orders_equals_the_engine(chunk: int) -> None:
    for number in range(chunk, pick(24, deep=2_000), CHUNKS):
        session = followed(real_plan(number))
        assert not session.broken, (number, session.broken[:3])
        _check_second_day(session)


def test_some_random_sessions_cross_midnight() -> None:
    crossed = [number for number in range(40) if plan(number).settings.begin == "eve"]
    assert len(crossed) >= 5


def _check_second_day(session: Followed | FollowedReal) -> None:
    """A view that begins with the second day's opening ends as the one that ran through the first day."""
    records = session.memory.all()
    opened = [index for index, record in enumerate(records) if isinstance(record[2], DayOpened)]
    if opened:
        late = View(JOURNAL)
        late.apply(records[opened[-1] :])
        assert alike(session.view, late) == []
