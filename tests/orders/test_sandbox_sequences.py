"""Random sessions with real orders of the sandbox: 100 in `make test`, 2,000 in `make test-deep`.

A session plays several plans, each up to a rest at which everything is compared with the venue. The gateway
and the sandbox are real, time is virtual. Lost answers, cuts, refusals, server errors, late and doubled
frames, restarts of the venue, kills of the engine, trades of others, transfers and liquidations happen in
between.
"""

from __future__ import annotations

import pytest

from tests.orders.sandbox import broken_by
from tests.orders.sequences import sandbox_plan
from tests.orders.shrink import break_of, explained
from tests.profiles import pick

SERIES = 5
"""Plans that one session plays."""

CHUNKS = 10
PLANS = pick(100, deep=2000)


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_every_random_session_on_the_sandbox_ends_as_the_venue_says(chunk: int) -> None:
    for first in range(chunk * SERIES, PLANS, CHUNKS * SERIES):
        plans = [sandbox_plan(number) for number in range(first, first + SERIES)]
        found, _ = broken_by(plans)
        if found is not None:
            alone = next((explained(one) for one in plans if break_of(one) is not None), found[1])
            pytest.fail(f"plans {first} to {first + SERIES - 1}: {alone}", pytrace=False)
