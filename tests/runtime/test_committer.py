"""The committer on a real journal: durable before release, one frame at a time, poisoned after an error."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
import trio

from engine.errors import JournalPoisoned
from engine.events import CancelOrder, ClockAdvanced, Event, TimerFired
from engine.events.codec import Derived
from engine.journal import Disk, JournalWriter, Tail, ensure_identity, list_days, read_frames
from engine.runtime.committer import Committed, Committer
from tests.runtime.kit import NOON


class CheckingEffects:
    """Effects that check the disk: a released command must be in a synced frame."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.released: list[int] = []

    def release(self, durable_seq: int, commands: Iterable[Derived]) -> None:
        (day,) = list_days(self.root)
        end = max(frame.last_seq for frame in read_frames(day.path))
        for seq, _, _ in commands:
            assert seq <= durable_seq <= end, "released before it was on disk"
            self.released.append(seq)


class FailingDisk(Disk):
    """Counts concurrent syncs, and fails `times` syncs from the `fails_from`-th on."""

    def __init__(self, fails_from: int = 1_000_000, times: int = 1) -> None:
        super().__init__()
        self.running = self.most = self.syncs = 0
        self.fails = range(fails_from, fails_from + times)

    def fdatasync(self, fd: int) -> None:
        self.syncs += 1
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            if self.syncs in self.fails:
                raise OSError(5, "Input/output error")
            super().fdatasync(fd)
        finally:
            self.running -= 1


@pytest.fixture
def tail(tmp_path: Path) -> Tail:
    return Tail(journal_id=ensure_identity(tmp_path, b"0" * 16))


def salts() -> bytes:
    return b"1" * 16


def turns(count: int) -> Iterator[tuple[int, list[Event], list[Derived]]]:
    """Turns of one input and one cancel each."""
    for number in range(count):
        seq = 2 * number + 1
        inputs: list[Event] = [ClockAdvanced(NOON + number)]
        yield seq, inputs, [(seq + 1, seq, CancelOrder(NOON + number, f"0x{number}", 1))]


async def test_i6_a_command_is_released_once_and_only_when_its_record_is_on_disk(
    tmp_path: Path, tail: Tail
) -> None:
    effects, frames = CheckingEffects(tmp_path), list[Committed]()
    disk = FailingDisk()
    with JournalWriter(tmp_path, tail, salts=salts, disk=disk) as writer:
        committer = Committer(writer, effects, frames.append)
        committer.open_day("2024-12-05")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(committer.run)
            for turn in turns(200):
                committer.append(*turn)
                if turn[0] % 7 == 0:
                    await trio.lowlevel.checkpoint()
            await committer.settled()
            nursery.cancel_scope.cancel()
    assert effects.released == [2 * number + 2 for number in range(200)]
    assert disk.most == 1, "a second frame was synced before the first one was"
    assert len(frames) < 200, "turns that wait for a sync share the next frame"
    assert [one.first_seq for one in frames][1:] == [one.last_seq + 1 for one in frames][:-1]


async def test_market_data_waits_for_more_records_and_an_order_ends_the_wait(
    tmp_path: Path, tail: Tail
) -> None:
    effects, frames = CheckingEffects(tmp_path), list[Committed]()
    with JournalWriter(tmp_path, tail, salts=salts) as writer:
        committer = Committer(writer, effects, frames.append, idle_ms=60_000)
        committer.open_day("2024-12-05")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(committer.run)
            committer.append(1, [ClockAdvanced(NOON)], [])
            await trio.sleep(0.05)
            assert not frames
            committer.append(2, [ClockAdvanced(NOON)], [(3, 2, CancelOrder(NOON, "0x1", 1))])
            with trio.fail_after(120):
                await committer.settled()
            nursery.cancel_scope.cancel()
    assert [one.first_seq for one in frames] == [1]
    assert effects.released == [3]


async def test_turns_without_inputs_and_new_days_start_their_own_frames(tmp_path: Path, tail: Tail) -> None:
    frames: list[Committed] = []
    with JournalWriter(tmp_path, tail, salts=salts) as writer:
        committer = Committer(writer, CheckingEffects(tmp_path), frames.append)
        committer.open_day("2024-12-05")
        committer.append(1, [ClockAdvanced(NOON)], [])
        committer.append(2, [], [(2, 1, TimerFired(NOON, "a", "b"))])
        committer.append(3, [ClockAdvanced(NOON)], [])
        committer.open_day("2024-12-06")
        committer.append(4, [ClockAdvanced(NOON + 86_400_000_000_000)], [])
        async with trio.open_nursery() as nursery:
            nursery.start_soon(committer.run)
            await committer.settled()
            nursery.cancel_scope.cancel()
    assert [(one.day, one.first_seq) for one in frames] == [
        ("2024-12-05", 1),
        ("2024-12-05", 2),
        ("2024-12-05", 3),
        ("2024-12-06", 4),
    ]


@pytest.mark.parametrize("times", [1, 1_000_000])
@pytest.mark.parametrize("fails_from", [1, 2, 5])
async def test_j13_j14_a_failed_sync_ends_the_session_and_releases_nothing_more(
    tmp_path: Path, tail: Tail, fails_from: int, times: int
) -> None:
    effects = CheckingEffects(tmp_path)
    disk = FailingDisk(fails_from, times)
    writer = JournalWriter(tmp_path, tail, salts=salts, disk=disk)
    committer = Committer(writer, effects, lambda _: None)
    committer.open_day("2024-12-05")
    with trio.fail_after(120), pytest.RaisesGroup(JournalPoisoned):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(committer.run)
            for turn in turns(50):
                committer.append(*turn)
                await trio.sleep(0.002)
            await trio.sleep_forever()
    released = len(effects.released)
    assert released < 50
    assert all(seq <= committer.durable_seq for seq in effects.released)
    for turn in turns(3):
        with pytest.raises(JournalPoisoned):
            writer.append(*[_draft(turn)], NOON)
    assert disk.syncs == fails_from, "a failed sync was tried again"


def _draft(turn: tuple[int, list[Event], list[Derived]]) -> object:
    from replay.backtesting import draft_of

    return draft_of(*turn)
