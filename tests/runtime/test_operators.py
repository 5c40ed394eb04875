"""Failed strategies and operators' commands in a running session. It replays in every order of events."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio
from trio.abc import Clock

from engine.clock import DAY_NS, AdoptedClock
from engine.config import StrategyConfig
from engine.events import (
    ActorFailed,
    ActorRestarted,
    DayOpened,
    EngineHalted,
    Event,
    OperatorCommand,
    OrderCanceled,
    OrderRefused,
    SubmitOrder,
    Trade,
)
from engine.journal import list_days
from engine.strategies import Strategy, Tick
from tests.pacing import VirtualTime
from tests.runtime.kit import NOON, SECOND, assert_replays, config, of
from tests.runtime.rig import Rig

EVE = NOON - NOON % DAY_NS + DAY_NS
FAST = {"idle_ms": 1}


class Hoarder(Strategy):
    """Keeps a complex number, which a snapshot cannot store."""

    def on_trade(self, trade: Tick) -> None:
        self.kept = complex(1)


def command(rig: Rig, word: str, target: str = "") -> OperatorCommand:
    return OperatorCommand(rig.clock.now_ns(), word, target)


def clock(start_ns: int) -> AdoptedClock:
    return AdoptedClock(start_ns, VirtualTime().monotonic_ns(), 1.0)


async def test_c07_a_restart_between_trades_of_a_batch_reads_all_records_before_it(
    paced_clock: Clock, tmp_path: Path
) -> None:
    seen: list[tuple[int, int]] = []

    async def script(rig: Rig) -> None:
        batch: list[Event] = [
            *rig.trades(100, 101, 666, 102),
            command(rig, "restart", "Fragile"),
            *rig.trades(103, 666, 104),
            command(rig, "restart", "Fragile"),
            *rig.trades(105),
        ]
        rig.ingress.put(batch)
        await trio.sleep(0.3)
        seen.extend(
            (rig.live.sequencer.actor(name).state()["seen"], name == "Steady")
            for name in ("Fragile", "Steady")
        )

    await Rig(tmp_path, config("Fragile", "Steady", on_failure="quarantine"), **FAST).run(script)
    assert len(of(ActorFailed, tmp_path)) >= 2
    restarted: list[Any] = of(ActorRestarted, tmp_path)
    assert len(restarted) == 2
    assert seen[1] == (8, True)
    assert_replays(tmp_path)


@pytest.mark.parametrize("policy", ["quarantine", "halt"])
async def test_c07_a_restart_in_the_last_batch_before_the_end_replays(
    paced_clock: Clock, tmp_path: Path, policy: str
) -> None:
    async def script(rig: Rig) -> None:
        await rig.send(100, 101, 666, 102)
        cancel = rig.live._settle_orders

        async def cancel_and_restart() -> None:
            await cancel()
            rig.ingress.put([*rig.trades(103), command(rig, "restart", "Fragile"), *rig.trades(104)])

        rig.live._settle_orders = cancel_and_restart  # type: ignore[method-assign]

    await Rig(tmp_path, config("Fragile", "Steady", on_failure=policy), **FAST).run(script)
    assert len(of(Trade, tmp_path)) == 6
    assert len(of(ActorRestarted, tmp_path)) == 1
    assert_replays(tmp_path)


async def test_c07_a_strategy_that_failed_yesterday_is_restarted_today(
    paced_clock: Clock, tmp_path: Path
) -> None:
    """Each day replays alone: the snapshot holds the failure, and the restart reads the day's records."""

    async def script(rig: Rig) -> None:
        await rig.send(100, 101, 666, 102)
        await trio.sleep(rig.clock.real_seconds_until(EVE + SECOND // 10))
        await rig.send(103)
        rig.ingress.put([command(rig, "restart", "Fragile")])
        await rig.send(104, 105)
        await trio.sleep(0.2)

    settings = config("Fragile", "Steady", on_failure="quarantine")
    await Rig(tmp_path, settings, clock(EVE - SECOND // 2), **FAST).run(script)
    assert [day.path.name for day in list_days(tmp_path)] == ["2024-12-05", "2024-12-06"]
    assert len(of(DayOpened, tmp_path)) == 1
    assert len(of(ActorRestarted, tmp_path)) == 1
    assert_replays(tmp_path)


async def test_c07_a_restart_in_the_second_session_replays(paced_clock: Clock, tmp_path: Path) -> None:
    settings = config("Fragile", "Steady", on_failure="quarantine")

    async def first(rig: Rig) -> None:
        await rig.send(100, 101, 666, 102)

    async def second(rig: Rig) -> None:
        await rig.send(100, 666, 101)
        rig.ingress.put([command(rig, "restart", "Fragile"), command(rig, "restart", "unknown")])
        await rig.send(104, 105)
        await trio.sleep(0.2)

    await Rig(tmp_path, settings, **FAST).run(first)
    result = await Rig(tmp_path, settings, **FAST).run(second)
    assert result.first_seq > 1
    assert len(of(ActorFailed, tmp_path)) == 2
    assert len(of(ActorRestarted, tmp_path)) == 1
    assert_replays(tmp_path)


async def test_the_halt_policy_cancels_all_open_orders_and_a_restart_does_not_lift_the_halt(
    paced_clock: Clock,
    tmp_path: Path,
) -> None:
    async def script(rig: Rig) -> None:
        await rig.send(100)  # both send an order; the venue answers after its latency
        await rig.send(666)
        await trio.sleep(0.5)
        rig.ingress.put([command(rig, "restart", "Fragile")])
        await rig.send(101, 102)
        await trio.sleep(0.3)
        assert rig.live._is_settled()

    result = await Rig(tmp_path, config("Fragile", "Steady"), **FAST).run(script)
    assert result.live_orders == 0
    halted: list[Any] = of(EngineHalted, tmp_path)
    assert halted[0].reason.startswith("Fragile failed")
    canceled: list[Any] = of(OrderCanceled, tmp_path)
    sent: list[Any] = of(SubmitOrder, tmp_path)
    assert {one.client_order_id for one in canceled} == {
        one.client_order_id for one in sent if one.at_ns <= halted[0].at_ns
    }
    refused: list[Any] = of(OrderRefused, tmp_path)
    assert refused
    assert {one.limit for one in refused} == {"halted"}
    assert_replays(tmp_path)


async def test_l07_a_halt_lasts_over_sessions_until_a_person_resumes(
    paced_clock: Clock, tmp_path: Path
) -> None:
    async def failing(rig: Rig) -> None:
        await rig.send(100, 666)
        await trio.sleep(0.2)

    async def still_halted(rig: Rig) -> None:
        await rig.send(100, 101)
        await trio.sleep(0.2)

    async def resumed(rig: Rig) -> None:
        await rig.send(100, 101, 102)
        await trio.sleep(0.2)

    orders = []
    for script in (failing, still_halted, resumed):
        await Rig(tmp_path, config("Fragile"), **FAST, resume=script is resumed).run(script)
        orders.append(len(of(SubmitOrder, tmp_path)))
    assert orders[0] == 1
    assert orders[1] == 1, "sent an order while halted"
    assert orders[2] > 1
    assert_replays(tmp_path)


async def test_an_operators_halt_and_resume_are_inputs(paced_clock: Clock, tmp_path: Path) -> None:
    async def script(rig: Rig) -> None:
        await rig.send(100)
        rig.ingress.put([command(rig, "halt")])
        await rig.send(101, 102)
        rig.ingress.put([command(rig, "resume")])
        await rig.send(103, 104)
        await trio.sleep(0.3)

    await Rig(tmp_path, config("Steady"), **FAST).run(script)
    refused: list[Any] = of(OrderRefused, tmp_path)
    assert refused
    assert {one.reason for one in refused} == {"operator: halt"}
    commands: list[Any] = of(OperatorCommand, tmp_path)
    assert [one.command for one in commands] == ["halt", "resume", "stop"]
    assert all(event.at_ns <= commands[2].recv_ns for event in of(SubmitOrder, tmp_path))  # type: ignore[attr-defined]
    assert_replays(tmp_path)


async def test_a_strategy_whose_state_cannot_be_stored_stops_alone_at_midnight(
    paced_clock: Clock,
    tmp_path: Path,
) -> None:
    """The day opens and the other strategies go on; the snapshot of one strategy may fail."""

    async def script(rig: Rig) -> None:
        while rig.clock.now_ns() < EVE + SECOND // 4:
            await rig.send(100, 101)
            await trio.sleep(0.05)

    hoarder = StrategyConfig(use=f"{__name__}:Hoarder", on_failure="quarantine")
    settings = config("Fragile", on_failure="quarantine")
    settings = msgspec.structs.replace(settings, strategies=(*settings.strategies, hoarder))
    await Rig(tmp_path, settings, clock(EVE - SECOND // 2), **FAST).run(script)
    assert [day.path.name for day in list_days(tmp_path)] == ["2024-12-05", "2024-12-06"]
    (failed,) = of(ActorFailed, tmp_path)
    assert isinstance(failed, ActorFailed)
    assert failed.actor == "Hoarder"
    assert_replays(tmp_path)
    await Rig(tmp_path, config("Fragile"), clock(EVE + SECOND), **FAST).run(script)
    assert_replays(tmp_path)
