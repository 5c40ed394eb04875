"""Random sessions with real orders on Lighter: 15 in `make test`, 1,000 in `make test-deep`.

Lost answers, cuts, refusals, server errors, late, doubled and damaged frames, restarts of the venue, kills of
the engine, orders and trades of others, and transfers happen in between.
"""

from __future__ import annotations

import pytest

from tests.lighter.gateway.sessions import broken_by
from tests.orders.sequences import sandbox_plan
from tests.profiles import pick

SERIES = 5
"""Plans that one session plays."""

FIRST = 100
PLANS = pick(15, deep=1000)


@pytest.mark.parametrize("chunk", range(3))
def test_every_random_session_on_lighter_ends_as_the_venue_says(chunk: int) -> None:
    for first in range(FIRST + chunk * SERIES, FIRST + PLANS, 3 * SERIES):
        found, _ = broken_by([sandbox_plan(number) for number in range(first, first + SERIES)])
        if found is not None:
            pytest.fail(f"plans {first} to {first + SERIES - 1}: {found[1]}", pytrace=False)
