"""A live session on a scripted feed: timers, midnight, failures, operators, stops. Each session replays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio
from trio.abc import Clock

from engine.errors import UsageError
from engine.events import (
    ActorFailed,
    ActorRestarted,
    BarClosed,
    CancelOrder,
    ClockAdvanced,
    DayOpened,
    EngineHalted,
    OperatorCommand,
    OrderFilled,
    OrderRefused,
    SessionStarted,
    SessionStopped,
    SubmitOrder,
    Trade,
    engine_time,
)
from engine.journal import FLAG_CLEAN_STOP, list_days, read_frames
from tests.runtime.kit import NOON, SECOND, TestClock, assert_replays, config, events, of
from tests.runtime.rig import Rig


async def test_bars_of_an_instrument_without_trades_close_by_the_clock(
    tmp_path: Path, paced_clock: Clock
) -> None:
    async def script(rig: Rig) -> None:
        await rig.record(100)
        await trio.sleep(200)

    await Rig(tmp_path, config("Steady"), TestClock()).run(script)
    bars: list[Any] = of(BarClosed, tmp_path)
    assert [bar.volume for bar in bars if bar.interval_ns == 60 * SECOND][:3] == [1000, 0, 0]
    assert of(ClockAdvanced, tmp_path)
    assert_replays(tmp_path)


async def test_a_day_that_begins_at_midnight_replays_alone(tmp_path: Path, paced_clock: Clock) -> None:
    eve = NOON - NOON % (86_400 * SECOND) + 86_400 * SECOND - 90 * SECOND

    async def script(rig: Rig) -> None:
        for price in (100, 101, 102):
            await rig.record(price)
            await trio.sleep(70)

    await Rig(tmp_path, config("Steady"), TestClock(eve)).run(script)
    assert [day.path.name for day in list_days(tmp_path)] == ["2024-12-05", "2024-12-06"]
    assert len(of(DayOpened, tmp_path)) == 1
    assert_replays(tmp_path)


async def test_a_stop_cancels_orders_through_the_journal_and_ends_it(
    tmp_path: Path, paced_clock: Clock
) -> None:
    """C06, O29: an order in flight at the stop is canceled or filled; no order stays live."""

    async def script(rig: Rig) -> None:
        await rig.record(100)

    result = await Rig(tmp_path, config("Steady"), TestClock()).run(script)
    assert result.live_orders == 0
    assert of(SubmitOrder, tmp_path)
    assert of(CancelOrder, tmp_path)
    kinds = [type(event) for event in events(tmp_path)]
    assert kinds.index(OperatorCommand) < kinds.index(EngineHalted) < kinds.index(SessionStopped)
    *_, last = read_frames(list_days(tmp_path)[-1].path)
    assert last.flags & FLAG_CLEAN_STOP
    assert_replays(tmp_path)


async def test_c07_a_strategy_that_raises_halts_the_engine_by_default(
    tmp_path: Path, paced_clock: Clock
) -> None:
    async def script(rig: Rig) -> None:
        for price in (100, 101, 666, 102, 103):
            await rig.record(price)
            await trio.sleep(1)

    await Rig(tmp_path, config("Fragile", "Steady"), TestClock()).run(script)
    (failed,) = of(ActorFailed, tmp_path)
    assert isinstance(failed, ActorFailed)
    assert failed.actor == "Fragile"
    assert "0x..." in failed.error
    refused: list[Any] = of(OrderRefused, tmp_path)
    assert {one.limit for one in refused} == {"halted"}
    assert_replays(tmp_path)


async def test_c07_a_quarantined_strategy_stops_alone_and_an_operator_restarts_it(
    tmp_path: Path, paced_clock: Clock
) -> None:
    seen: list[tuple[int, int]] = []

    async def script(rig: Rig) -> None:
        for price in (100, 101, 666, 102, 103):
            await rig.record(price)
            await trio.sleep(1)
        await rig.ingress.send([OperatorCommand(rig.clock.now_ns(), "restart", "Fragile")])
        await rig.durable()
        for price in (104, 105):
            await rig.record(price)
            await trio.sleep(1)
        fragile, steady = (rig.live.sequencer.actor(name).state() for name in ("Fragile", "Steady"))
        seen.append((fragile["seen"], steady["seen"]))

    await Rig(tmp_path, config("Fragile", "Steady", on_failure="quarantine"), TestClock()).run(script)
    assert len(of(ActorFailed, tmp_path)) == 1
    assert len(of(ActorRestarted, tmp_path)) == 1
    assert seen == [(6, 7)], "the restarted strategy has seen all trades except the one on which it failed"
    recorded = events(tmp_path)
    failed, restarted = (
        next(at for at, event in enumerate(recorded) if isinstance(event, kind))
        for kind in (ActorFailed, ActorRestarted)
    )
    meanwhile = [event for event in recorded[failed:restarted] if isinstance(event, SubmitOrder)]
    assert {order.strategy for order in meanwhile} == {"Steady"}
    fills: list[Any] = of(OrderFilled, tmp_path)
    assert fills
    assert_replays(tmp_path)


async def test_the_next_session_continues_with_the_state(tmp_path: Path, paced_clock: Clock) -> None:
    async def script(rig: Rig) -> None:
        for price in (100, 101, 102):
            await rig.record(price)
            await trio.sleep(1)

    first = Rig(tmp_path, config("Steady"), TestClock())
    await first.run(script)
    held = first.live.sequencer.actor("Steady").state()["seen"]
    second = Rig(tmp_path, config("Steady"), TestClock(NOON + 3600 * SECOND))
    await second.run(script)
    assert second.result.first_seq == first.result.last_seq + 1
    assert second.live.sequencer.actor("Steady").state()["seen"] == held + 3
    assert len(of(SessionStarted, tmp_path)) == 2
    assert_replays(tmp_path)


async def test_t01_a_clock_that_steps_back_does_not_change_the_order_of_records(
    tmp_path: Path, paced_clock: Clock
) -> None:
    async def script(rig: Rig) -> None:
        await rig.record(100)
        await trio.sleep(2)
        clock.shift_ns = -3600 * SECOND
        await rig.record(101)
        await trio.sleep(2)

    clock = TestClock()
    result = await Rig(tmp_path, config("Steady"), clock).run(script)
    assert result.clock_steps_back > 0
    assert_replays(tmp_path)


async def test_a_clock_far_behind_the_journal_is_refused_before_anything_is_written(
    tmp_path: Path, paced_clock: Clock
) -> None:
    async def script(rig: Rig) -> None:
        await rig.record(100)

    await Rig(tmp_path, config("Steady"), TestClock()).run(script)
    before = len(events(tmp_path))
    with pytest.raises(UsageError, match="another --journal"):
        await Rig(tmp_path, config("Steady"), TestClock(NOON - 86_400 * SECOND)).run(script)
    assert len(events(tmp_path)) == before


async def test_all_inputs_received_before_the_stop_are_journalled(tmp_path: Path, paced_clock: Clock) -> None:
    async def script(rig: Rig) -> None:
        now = rig.clock.now_ns()
        await rig.ingress.send([Trade(now, now, 1, 100, 1, 1, number) for number in range(20_000)])

    await Rig(tmp_path, config("Steady"), TestClock()).run(script)
    assert len(of(Trade, tmp_path)) == 20_000
    times = [engine_time(event) for event in events(tmp_path)]
    assert times[0] == min(times)
    assert_replays(tmp_path)
