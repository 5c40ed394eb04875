"""Random sessions on paper whose clock jumps, either way, and whose process stands still: each day replays.

The sessions of a seed are the same in every run; a failing seed is given again as the parameter.
"""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest
import trio
import trio.lowlevel
from trio.abc import Clock

from engine.actors.skipping import SKIPPED_MAX
from engine.events import (
    BarClosed,
    ClockJumped,
    DayOpened,
    FeedDown,
    FeedGap,
    FeedHeard,
    FeedUp,
    OrderApproved,
    SubmitOrder,
    TimerFired,
    Trade,
)
from tests.profiles import pick
from tests.runtime.kit import SECOND, TestClock, assert_replays, events
from tests.runtime.rig import Rig
from tests.runtime.test_clocks_and_stops import EVE
from tests.runtime.test_jumps import RESTLESS


@pytest.mark.parametrize("seed", range(pick(4, deep=60)))
async def test_whatever_the_clock_does_nothing_is_made_up_and_every_day_replays(
    paced_clock: Clock, tmp_path: Path, seed: int
) -> None:
    chance = Random(seed)
    clock = TestClock(EVE - chance.choice([5, 100, 5000]) * SECOND)
    proves = chance.random() < 0.5
    steps = 40

    async def script(rig: Rig) -> None:
        await rig.ingress.send([FeedUp(clock.now_ns(), "test", 1, heard_ms=1000, proves=proves)])
        for _ in range(steps):
            now_ns = clock.now_ns()
            match chance.choice(["trade"] * 5 + ["wait"] * 3 + ["pause", "ahead", "back", "heard", "loss"]):
                case "trade":
                    await rig.send(*(100 + chance.randrange(9) for _ in range(chance.randrange(1, 4))))
                case "wait":
                    await trio.sleep(chance.uniform(0, 1.5))
                case "pause":
                    paced_clock.jump(chance.choice([1.0, 2.5, 20.0, 300.0, 7200.0]))
                    await trio.lowlevel.checkpoint()
                case "ahead":
                    clock.shift_ns += round(chance.choice([1, 3, 50, 3600, 172_800]) * SECOND)
                    await trio.sleep(1.1)
                case "back":
                    clock.shift_ns -= round(chance.choice([1, 3, 3600]) * SECOND)
                    await trio.sleep(1.1)
                case "heard":
                    await rig.ingress.send([FeedHeard(now_ns, "test", now_ns, now_ns if proves else 0)])
                case "loss":
                    await rig.ingress.send(
                        [
                            FeedDown(now_ns, "test", "lost"),
                            FeedUp(now_ns, "test", 1, heard_ms=1000, proves=proves),
                            FeedGap(now_ns, "test", 1, now_ns - SECOND, now_ns, chance.random() < 0.5),
                        ]
                    )
        await rig.durable()

    await Rig(tmp_path, RESTLESS, clock).run(script)
    recorded = events(tmp_path)
    jumps = [one for one in recorded if isinstance(one, ClockJumped)]
    ahead = [one for one in jumps if one.ahead]
    proofs = [one.proved_ns for one in recorded if isinstance(one, FeedHeard)]
    trades = [one for one in recorded if isinstance(one, Trade)]
    for bar in (one for one in recorded if isinstance(one, BarClosed) and not one.incomplete):
        end_ns = bar.start_ns + bar.interval_ns
        own = [one for one in trades if bar.start_ns <= one.venue_ns < end_ns]
        silent = [one for one in ahead if bar.start_ns < one.to_ns and one.from_ns < end_ns]
        later = any(one.venue_ns >= end_ns for one in trades)
        settled = any(isinstance(one, FeedGap) and one.closed for one in recorded)
        assert not silent or settled or (proves and (later or max(proofs, default=0) >= end_ns)), bar
        assert bar.trades <= len(own)
    count = len(jumps) + steps
    assert len([one for one in recorded if isinstance(one, BarClosed)]) <= 30 * steps + count * SKIPPED_MAX
    assert len([one for one in recorded if isinstance(one, TimerFired)]) <= 60 * steps + count * SKIPPED_MAX
    assert len([one for one in recorded if isinstance(one, SubmitOrder)]) <= 10 * steps
    assert len([one for one in recorded if isinstance(one, DayOpened)]) <= 1 + len(ahead)
    unproved = False
    for one in recorded:
        if isinstance(one, ClockJumped):
            unproved |= one.ahead
        elif isinstance(one, FeedHeard | FeedUp):
            unproved = False
        opens = isinstance(one, OrderApproved) and not one.terms.reduce_only
        assert not (opens and unproved), "nothing opens after a jump before the feed has caught up"
    assert_replays(tmp_path)
