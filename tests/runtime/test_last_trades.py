"""A session continues after the last recorded trade of each instrument, whichever day has it."""

from __future__ import annotations

from pathlib import Path

import trio
from trio.abc import Clock

from engine.clock import DAY_NS
from engine.journal import list_days
from tests.runtime.kit import LISTED, NOON, SECOND, TestClock, config
from tests.runtime.rig import Rig

BEFORE_MIDNIGHT = NOON // DAY_NS * DAY_NS + DAY_NS - 5 * SECOND


async def test_a_day_without_a_trade_yet_does_not_hide_the_last_one(
    paced_clock: Clock, tmp_path: Path
) -> None:
    async def until_the_next_day(rig: Rig) -> None:
        await rig.send(100)
        await trio.sleep(0.5)
        await rig.send(101, 102)  # both have the time of the last trade
        await trio.sleep(10)

    async def nothing(rig: Rig) -> None:
        pass

    await Rig(tmp_path, config("Steady"), TestClock(BEFORE_MIDNIGHT)).run(until_the_next_day)
    assert len(list_days(tmp_path)) == 2
    again = Rig(tmp_path, config("Steady"), TestClock(BEFORE_MIDNIGHT + 30 * SECOND))
    await again.run(nothing)
    (venue_ns, ids) = again.last[LISTED.instrument + 1]
    assert venue_ns < BEFORE_MIDNIGHT + 5 * SECOND
    assert ids == [2, 3]
