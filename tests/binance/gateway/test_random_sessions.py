"""Random sessions with real orders on Binance: 25 on futures and 15 on spot in `make test`, 1,000 each in
`make test-deep`.

Lost answers, cuts, refusals, server errors, late, doubled and damaged frames, restarts of the venue, kills of
the engine, orders and trades of others, and transfers happen in between.
"""

from __future__ import annotations

import pytest

from tests.binance.gateway.sessions import BinanceRun, broken_by
from tests.orders.sequences import Plan, sandbox_plan
from tests.profiles import pick

SERIES = 5
"""Plans that one session plays."""

FIRST = 100
PLANS = pick(25, deep=1000)
SPOT_PLANS = pick(15, deep=1000)


@pytest.mark.parametrize("chunk", range(5))
def test_every_random_session_on_binance_ends_as_the_venue_says(chunk: int) -> None:
    for first in range(FIRST + chunk * SERIES, FIRST + PLANS, 5 * SERIES):
        found, _ = broken_by([sandbox_plan(number) for number in range(first, first + SERIES)])
        if found is not None:
            pytest.fail(f"plans {first} to {first + SERIES - 1}: {found[1]}", pytrace=False)


@pytest.mark.parametrize("chunk", range(3))
def test_every_random_session_on_spot_ends_as_the_venue_says(chunk: int) -> None:
    """A buy pays its fee in what it buys, and a sell ends at what is held: nothing is short."""
    for first in range(FIRST + chunk * SERIES, FIRST + SPOT_PLANS, 3 * SERIES):
        plans = [sandbox_plan(number) for number in range(first, first + SERIES)]
        found, _ = broken_by(plans, spot=True)
        if found is not None:
            pytest.fail(f"plans {first} to {first + SERIES - 1}: {found[1]}", pytrace=False)


def test_a_stop_whose_entry_is_withdrawn_does_not_protect_a_later_position() -> None:
    """A target waits for the balance, a stop waits with it, and the strategy fails: both end."""
    found, _ = broken_by([sandbox_plan(number) for number in (915, 916)], spot=True)
    assert found is None, found


def test_a_session_that_a_signal_stops_is_no_difference_to_the_venue(monkeypatch: pytest.MonkeyPatch) -> None:
    """A session stops in order on SIGTERM, and what others trade after that is not in its books."""
    rest = BinanceRun.rest

    async def stopped(run: BinanceRun, plan: Plan) -> None:
        run.live.stop("SIGTERM")
        await rest(run, plan)

    monkeypatch.setattr(BinanceRun, "rest", stopped)
    found, _ = broken_by([sandbox_plan(872)], spot=True)
    assert found is not None
    assert found[1] == "AssertionError: the session was stopped by SIGTERM"
