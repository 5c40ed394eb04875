"""After a jump strategies get the venue's candles of the windows that they missed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
import trio
from trio.abc import Clock

from engine.config import DataConfig
from engine.errors import VenueError
from engine.events import CandleRead, ClockJumped, Event, InstrumentListed
from engine.runtime.refill import REFILL_S
from tests.runtime.kit import NOON, SECOND, TestClock, assert_replays, config, of
from tests.runtime.rig import Rig

MINUTE = 60 * SECOND


class History:
    """A venue's history: remembers what was asked for, and fails if `fails`."""

    def __init__(self, clock: TestClock, fails: bool = False) -> None:
        self.asked: list[dict[str, int]] = []
        self.clock = clock
        self.fails = fails

    async def __call__(
        self, instruments: Sequence[InstrumentListed], windows: Mapping[str, int]
    ) -> list[Event]:
        self.asked.append(dict(windows))
        if self.fails and len(self.asked) > 1:
            raise VenueError("no answer")
        over_ns = self.clock.now_ns() // MINUTE * MINUTE
        starts = [over_ns - number * MINUTE for number in range(windows["1m"], 0, -1)]
        return [CandleRead(0, at + MINUTE, 1, MINUTE, at, 1, 3, 1, 2, "5", 7, "history") for at in starts]


async def run(tmp_path: Path, history: History, rig_clock: TestClock, seconds: int) -> Rig:
    settings = msgspec.structs.replace(config("Steady"), data=DataConfig(warmup_bars=20))

    async def script(rig: Rig) -> None:
        await rig.record(100, 101)
        rig_clock.shift_ns += seconds * SECOND
        await rig.record(102)
        await trio.sleep(REFILL_S + 1)
        await rig.record(103)

    rig = Rig(tmp_path, settings, rig_clock, warm_up=history)
    await rig.run(script)
    assert_replays(tmp_path)
    return rig


async def test_the_windows_that_ended_in_a_jump_are_read(paced_clock: Clock, tmp_path: Path) -> None:
    clock = TestClock(NOON)
    history = History(clock)
    await run(tmp_path, history, clock, 7 * 60)
    assert history.asked == [{"1m": 20, "5m": 20}, {"1m": 8, "5m": 2}]
    (jumped,) = of(ClockJumped, tmp_path)
    assert isinstance(jumped, ClockJumped)
    read = [one for one in of(CandleRead, tmp_path) if one.recv_ns >= jumped.to_ns]
    assert len(read) == 8


async def test_a_long_jump_asks_for_no_more_than_a_start(paced_clock: Clock, tmp_path: Path) -> None:
    clock = TestClock(NOON)
    history = History(clock)
    await run(tmp_path, history, clock, 6 * 3600)
    assert history.asked[1:] == [{"1m": 20, "5m": 20}]


async def test_a_jump_inside_a_window_asks_for_nothing(paced_clock: Clock, tmp_path: Path) -> None:
    clock = TestClock(NOON)
    history = History(clock)
    await run(tmp_path, history, clock, 20)
    assert len(history.asked) == 1


async def test_a_failed_reading_is_reported_and_the_session_goes_on(
    paced_clock: Clock, tmp_path: Path
) -> None:
    clock = TestClock(NOON)
    rig = await run(tmp_path, History(clock, fails=True), clock, 600)
    assert [(one.name, one.state, one.detail) for one in rig.health if one.name == "history"] == [
        ("history", "failed", "no answer")
    ]
