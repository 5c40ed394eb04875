"""Exits on paper: the same rules as with real orders, on a market that a test moves."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from pathlib import Path

import pytest
from trio.abc import Clock

from engine.events import ExitDelayed, OrderRefused, SubmitOrder
from engine.runtime.live import Live
from tests.live.kit import of
from tests.live.stage import books, fills, staged

CALLS = {"Long": "1: target 1; 2: stop sell 1 97; 3: trail 1 2"}


async def test_a_gap_beyond_the_bound_of_a_stop_is_sold_by_the_next_try(
    paced_clock: Clock, tmp_path: Path
) -> None:
    async with staged() as stage:

        async def script(live: Live) -> None:
            for number in (1, 2):
                await stage.signal(number)
                await stage.price(100)
            for _ in range(3):
                await stage.price(85)
                await stage.wait(1)

        result = await stage.trade(tmp_path, CALLS, script, paper=True)
    assert books(tmp_path) == {}
    assert fills(tmp_path)[-1] == ("Long", Decimal(-1), Decimal("84.9915"))
    assert [one.terms.bound for one in of(SubmitOrder, tmp_path)][1:3] == [8730, 7650]
    assert of(ExitDelayed, tmp_path)
    assert result.owed == []


@pytest.mark.parametrize(
    ("protection", "words"), [(2, "its stop has fired and works"), (3, "trailing stop at 98, 0 tries")]
)
async def test_an_exit_that_meets_no_market_event_is_told_and_owed_at_the_end(
    paced_clock: Clock, tmp_path: Path, protection: int, words: str
) -> None:
    """The market stands still: the simulated venue fills nothing without an event."""
    async with staged() as stage:

        async def script(live: Live) -> None:
            for number in (1, protection):
                await stage.signal(number)
                await stage.price(100)
            await stage.price(96)
            await stage.wait(15)

        result = await stage.trade(tmp_path, CALLS, script, paper=True)
    assert books(tmp_path) == {"Long": Decimal(1)}
    (owed,) = result.owed
    assert owed.startswith(f"1 BTC of Long: {words}")
    if protection == 3:
        assert of(ExitDelayed, tmp_path)[-1].reason == "its order is still working"


async def test_a_trail_stays_at_the_simulated_venue_over_a_restart(
    paced_clock: Clock, tmp_path: Path
) -> None:
    async with staged() as stage:

        async def script(live: Live) -> None:
            for number in (1, 3):
                await stage.signal(number)
                await stage.price(100)

        async def fall(live: Live) -> None:
            for price in (99, 97, 97):
                await stage.price(price)

        result = await stage.trade(tmp_path, CALLS, script, paper=True)
        (left,) = result.positions
        assert left.protected_by[0].startswith("a trailing stop of 1 at 98 on paper")
        again = await stage.trade(tmp_path, CALLS, fall, paper=True)
    assert again.positions == []
    assert books(tmp_path) == {}


@pytest.mark.parametrize("paper", [True, False])
async def test_refusals_of_a_session_are_counted_by_their_limits(
    paper: bool, paced_clock: Clock, tmp_path: Path
) -> None:
    calls = {"Long": "1: stop sell 1 97; 2: target 1; 3: stop sell 1 103; 4: stop sell 1 104"}
    async with staged() as stage:

        async def script(live: Live) -> None:
            for number in (1, 1, 2, 3, 4, 4):
                await stage.signal(number)
                await stage.price(100)
                await stage.wait(1)

        result = await stage.trade(tmp_path, calls, script, paper=paper)
    found = Counter(one.limit for one in of(OrderRefused, tmp_path))
    assert result.refused == found == {"nothing_to_close": 2, "trigger_side": 3}
