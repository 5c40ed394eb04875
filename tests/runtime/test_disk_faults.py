"""A session on a disk that fails or stalls: it sends no command, ends soon, and its journal replays."""

from __future__ import annotations

import errno
import math
import time
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.abc import Clock

from engine.clock import DAY_NS, AdoptedClock
from engine.errors import EngineError, JournalPoisoned
from engine.events import COMMANDS, OperatorCommand, SessionStopped, Trade
from engine.journal import list_days, recover
from engine.records import read_records
from engine.runtime.live import STOP_S
from tests.pacing import VirtualTime
from tests.runtime.kit import NOON, SECOND, assert_replays, config, events, of
from tests.runtime.rig import FaultyDisk, Rig, use_disk


async def trading(rig: Rig) -> None:
    for price in range(100, 400):
        await rig.send(price)
        await trio.sleep(0.002)
    await trio.sleep_forever()


async def until_poisoned(rig: Rig) -> JournalPoisoned:
    with trio.fail_after(120):
        try:
            await rig.run(trading)
        except BaseExceptionGroup as group:
            found, others = group.split(JournalPoisoned)
            assert others is None, others
            error: BaseException | None = found
            while isinstance(error, BaseExceptionGroup):
                error = error.exceptions[0]
        except JournalPoisoned as alone:
            error = alone
    assert isinstance(error, JournalPoisoned)
    return error


@pytest.mark.parametrize("times", [1, 10**9], ids=["once", "for good"])
@pytest.mark.parametrize("nth", [1, 2, 3, 7, 20])
async def test_j13_j14_a_failed_sync_ends_the_session_within_a_second_with_exit_code_4(
    paced_clock: Clock, tmp_path: Path, monkeypatch: Any, nth: int, times: int
) -> None:
    disk = FaultyDisk("fdatasync", nth, errno.EIO, times)
    use_disk(monkeypatch, disk)
    rig = Rig(tmp_path, config("Steady"))
    monkeypatch.setitem(STOP_S, "keep", math.inf)  # the end does not wait for cancels
    error = await until_poisoned(rig)
    assert disk.fired
    assert time.process_time() - disk.failed_at < 1
    assert error.exit_code == 4
    assert "Check the disk" in str(error)
    assert disk.calls == nth, "a failed sync was tried again"
    released, durable = rig.live.effects.released, rig.live.committer.durable_seq
    kept = [seq for seq in command_seqs(tmp_path) if seq <= durable]
    assert released == len(kept), "released and durable commands differ"
    if list_days(tmp_path):
        assert_replays(tmp_path)


def command_seqs(root: Path) -> list[int]:
    return [
        record[0]
        for day in list_days(root)
        for record in read_records(day.path)
        if record[2].__class__ in COMMANDS
    ]


@pytest.mark.parametrize(
    ("call", "nth"), [("write", 1), ("write", 2), ("write", 9), ("create", 1), ("mkdir", 1)]
)
async def test_j16_a_full_disk_ends_the_session_and_the_next_one_continues(
    paced_clock: Clock, tmp_path: Path, monkeypatch: Any, call: str, nth: int
) -> None:
    disk = FaultyDisk(call, nth, errno.ENOSPC)
    use_disk(monkeypatch, disk)
    rig = Rig(tmp_path, config("Steady"))
    error = await until_poisoned(rig)
    assert disk.fired == 1
    assert "No space left" in str(error)
    assert time.process_time() - disk.failed_at < 1
    durable = rig.live.committer.durable_seq

    async def short(again: Rig) -> None:
        await again.send(100)

    result = await Rig(tmp_path, config("Steady")).run(short)
    assert result.first_seq == durable + 1
    assert_replays(tmp_path)


async def test_j21_a_sync_of_a_second_delays_commands_and_loses_nothing(
    paced_clock: Clock, tmp_path: Path, monkeypatch: Any
) -> None:
    disk = FaultyDisk()
    use_disk(monkeypatch, disk)
    sent = 2000

    async def script(rig: Rig) -> None:
        await rig.send(100)
        await rig.durable()
        disk.slow_s = 1.0
        await rig.send(101)
        await trio.sleep(0.1)
        before = rig.live.effects.released
        began = trio.current_time()
        for price in range(sent - 2):
            await rig.send(price % 50 + 100)
        assert trio.current_time() - began < 0.9, "market data waited for the disk"
        assert rig.live.effects.released == before, "a command was released before its sync returned"
        disk.slow_s = 0.0

    result = await Rig(tmp_path, config("Steady")).run(script)
    assert result.commands > 0
    assert len(of(Trade, tmp_path)) == sent
    assert_replays(tmp_path)


async def test_j21_the_records_that_wait_for_a_stalled_disk_are_bounded(
    paced_clock: Clock, tmp_path: Path, monkeypatch: Any
) -> None:
    disk = FaultyDisk()
    use_disk(monkeypatch, disk)
    monkeypatch.setattr("engine.runtime.committer.PENDING_RECORDS_MAX", 1000)
    monkeypatch.setattr("engine.runtime.lag.INPUTS_MAX", 500)
    sent = 0

    async def script(rig: Rig) -> None:
        nonlocal sent
        rig.ingress.inputs_max = 500
        disk.slow_s = 0.5
        with trio.move_on_after(2):
            while sent < 100_000:
                await rig.send(*range(100, 150))
                sent += 50
        assert sent < 100_000, "the feed did not wait"
        disk.slow_s = 0.0

    result = await Rig(tmp_path, config("Steady")).run(script)
    assert result.ingress_high_water <= 500 + 2
    assert len(of(Trade, tmp_path)) >= sent
    assert_replays(tmp_path)


async def test_j21_a_stop_during_a_stalled_sync_journals_all_received_inputs(
    paced_clock: Clock, tmp_path: Path, monkeypatch: Any
) -> None:
    """The stop stops waiting for its cancels while the sequencer waits for the disk; no input is lost."""
    disk = FaultyDisk()
    use_disk(monkeypatch, disk)
    monkeypatch.setitem(STOP_S, "keep", 0.2)

    async def script(rig: Rig) -> None:
        await rig.send(100)
        await rig.durable()
        disk.slow_s = 1.0
        await rig.send(101)
        await trio.sleep(0.1)
        # The stop is between two trades of one batch, while a sync is running.
        rig.live.stop("script")
        rig.ingress.put(rig.trades(102, 103))
        await trio.sleep(0.1)
        rig.ingress.put(rig.trades(104))
        await trio.sleep(0.5)
        disk.slow_s = 0.0

    await Rig(tmp_path, config("Steady")).run(script)
    assert len(of(Trade, tmp_path)) == 5
    (command,) = of(OperatorCommand, tmp_path)
    assert isinstance(command, OperatorCommand)
    assert command.command == "stop"
    kinds = [type(event) for event in events(tmp_path)]
    assert kinds.index(OperatorCommand) < kinds.index(SessionStopped)
    assert_replays(tmp_path)


async def test_a_failed_roll_at_midnight_keeps_the_previous_day_whole(
    paced_clock: Clock, tmp_path: Path, monkeypatch: Any
) -> None:
    """J16 at midnight: the folder of the new day cannot be created."""
    eve = NOON - NOON % DAY_NS + DAY_NS - SECOND // 2
    disk = FaultyDisk("mkdir", 2, errno.ENOSPC)
    use_disk(monkeypatch, disk)

    async def script(rig: Rig) -> None:
        for price in range(100, 200):
            await rig.send(price)
            await trio.sleep(0.02)

    with trio.fail_after(120), pytest.raises((EngineError, BaseExceptionGroup)):
        await Rig(tmp_path, config("Steady"), AdoptedClock(eve, VirtualTime().monotonic_ns(), 1.0)).run(
            script
        )
    assert disk.fired == 1
    assert [day.path.name for day in list_days(tmp_path)] == ["2024-12-05"]
    assert_replays(tmp_path)
    end = recover(tmp_path).end_seq
    after = Rig(
        tmp_path, config("Steady"), AdoptedClock(eve + 10 * SECOND, VirtualTime().monotonic_ns(), 1.0)
    )
    monkeypatch.undo()
    assert (await after.run(script)).first_seq == end + 1
    assert [day.path.name for day in list_days(tmp_path)] == ["2024-12-05", "2024-12-06"]
    assert_replays(tmp_path)
