"""A whole session on a disk that fails or stalls: nothing leaves, the end is quick, the journal replays."""

from __future__ import annotations

import errno
import math
import time
from pathlib import Path
from typing import Any

import pytest
import trio

from engine.clock import DAY_NS, AdoptedClock
from engine.errors import EngineError, JournalPoisoned
from engine.events import COMMANDS, OperatorCommand, SessionStopped, Trade
from engine.journal import list_days, recover
from engine.records import read_records
from tests.runtime.kit import NOON, SECOND, assert_replays, config, events, of
from tests.runtime.rig import Rig, SickDisk, use_disk


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
    tmp_path: Path, monkeypatch: Any, nth: int, times: int
) -> None:
    disk = SickDisk("fdatasync", nth, errno.EIO, times)
    use_disk(monkeypatch, disk)
    rig = Rig(tmp_path, config("Steady"))
    monkeypatch.setattr("engine.runtime.live.STOP_S", math.inf)  # it does not wait for anything
    error = await until_poisoned(rig)
    assert disk.fired
    assert time.process_time() - disk.failed_at < 1
    assert error.exit_code == 4
    assert "Check the disk" in str(error)
    assert disk.calls == nth, "a failed sync was tried again"
    released, durable = rig.live.effects.released, rig.live.committer.durable_seq
    kept = [record for record in of_commands(tmp_path) if record <= durable]
    assert released == len(kept), "released what is not acknowledged, or the other way round"
    if list_days(tmp_path):
        assert_replays(tmp_path)


def of_commands(root: Path) -> list[int]:
    return [
        record[0]
        for day in list_days(root)
        for record in read_records(day.path)
        if record[2].__class__ in COMMANDS
    ]


@pytest.mark.parametrize(
    ("call", "nth"), [("write", 1), ("write", 2), ("write", 9), ("create", 1), ("mkdir", 1)]
)
async def test_j16_no_space_ends_the_session_and_the_next_one_goes_on(
    tmp_path: Path, monkeypatch: Any, call: str, nth: int
) -> None:
    disk = SickDisk(call, nth, errno.ENOSPC)
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


async def test_j21_a_sync_of_a_second_holds_commands_back_and_loses_nothing(
    tmp_path: Path, monkeypatch: Any
) -> None:
    disk = SickDisk()
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
        assert trio.current_time() - began < 0.9, "the market waits for the disk"
        assert rig.live.effects.released == before, "a command left before its sync returned"
        disk.slow_s = 0.0

    result = await Rig(tmp_path, config("Steady")).run(script)
    assert result.commands > 0
    assert len(of(Trade, tmp_path)) == sent
    assert_replays(tmp_path)


async def test_j21_what_waits_for_a_stalled_disk_is_bounded(tmp_path: Path, monkeypatch: Any) -> None:
    disk = SickDisk()
    use_disk(monkeypatch, disk)
    monkeypatch.setattr("engine.runtime.committer.PENDING_RECORDS_MAX", 1000)
    sent = 0

    async def script(rig: Rig) -> None:
        nonlocal sent
        rig.ingress._max = 500
        disk.slow_s = 0.5
        with trio.move_on_after(2):
            while sent < 100_000:
                await rig.send(*range(100, 150))
                sent += 50
        assert sent < 100_000, "nothing held the feed back"
        disk.slow_s = 0.0

    result = await Rig(tmp_path, config("Steady")).run(script)
    assert result.ingress_high_water <= 500 + 2
    assert len(of(Trade, tmp_path)) >= sent
    assert_replays(tmp_path)


async def test_j21_a_stop_that_the_disk_outlasts_still_journals_what_was_received(
    tmp_path: Path, monkeypatch: Any
) -> None:
    """The stop gives up waiting for its cancels while the sequencer waits for the disk; no input is lost."""
    disk = SickDisk()
    use_disk(monkeypatch, disk)
    monkeypatch.setattr("engine.runtime.live.STOP_S", 0.2)

    async def script(rig: Rig) -> None:
        await rig.send(100)
        await rig.durable()
        disk.slow_s = 1.0
        await rig.send(101)
        await trio.sleep(0.1)
        # Received together: the stop lies between two prints, and the sync is under way.
        rig.live.stop("script")
        rig.ingress.put(rig.prints(102, 103))
        await trio.sleep(0.1)
        rig.ingress.put(rig.prints(104))
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


async def test_a_failed_roll_at_midnight_leaves_the_day_before_whole(
    tmp_path: Path, monkeypatch: Any
) -> None:
    """J16 at the worst moment: the folder of the new day cannot be made."""
    eve = NOON - NOON % DAY_NS + DAY_NS - SECOND // 2
    disk = SickDisk("mkdir", 2, errno.ENOSPC)
    use_disk(monkeypatch, disk)

    async def script(rig: Rig) -> None:
        for price in range(100, 200):
            await rig.send(price)
            await trio.sleep(0.02)

    with trio.fail_after(120), pytest.raises((EngineError, BaseExceptionGroup)):
        await Rig(tmp_path, config("Steady"), AdoptedClock(eve, time.monotonic_ns(), 1.0)).run(script)
    assert disk.fired == 1
    assert [day.path.name for day in list_days(tmp_path)] == ["2024-12-05"]
    assert_replays(tmp_path)
    end = recover(tmp_path).end_seq
    after = Rig(tmp_path, config("Steady"), AdoptedClock(eve + 10 * SECOND, time.monotonic_ns(), 1.0))
    monkeypatch.undo()
    assert (await after.run(script)).first_seq == end + 1
    assert [day.path.name for day in list_days(tmp_path)] == ["2024-12-05", "2024-12-06"]
    assert_replays(tmp_path)
