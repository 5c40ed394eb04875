"""A whole session on a real disk whose calls are recorded, and a loss of power at any of them.

Nothing that was sent or acknowledged is missing, and the journal is traded on, verifies and replays.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import msgspec
import pytest
from trio.abc import Clock

from engine.clock import AdoptedClock
from engine.events import Event
from engine.events.codec import Derived
from engine.journal import DAY_NS, Disk, list_days, recover, verify_journal
from engine.records import read_records
from engine.runtime.committer import Committer
from engine.runtime.effects import MeasuredEffects
from tests.journal.strict import Recorder, State, digest_of, on_disk
from tests.pacing import VirtualTime
from tests.profiles import pick
from tests.runtime.kit import NOON, SECOND, assert_replays, config
from tests.runtime.rig import Rig


class Crash(msgspec.Struct):
    """A state that a loss of power can leave, and what the engine had done by then."""

    state: State
    acknowledged: int
    sent: int


class Crashes:
    """Collects crash states of sessions in `root`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.sent = 0
        self.rig: Rig | None = None
        self.found: dict[tuple[bytes, int], Crash] = {}
        self.disk = Recorder(Disk(), 3, pick(2, deep=24), self.add)

    def add(self, state: State) -> None:
        live = getattr(self.rig, "live", None)
        committer = getattr(live, "committer", None)
        durable = committer.durable_seq if committer is not None else 0
        ours = {name: data for name, data in state.items() if name.startswith(f"{self.root}/")}
        ours[str(self.root)] = None
        self.found.setdefault((digest_of(ours), max(durable, self.sent)), Crash(ours, durable, self.sent))

    def sends(self, commands: Iterable[Derived]) -> None:
        self.sent = max([self.sent, *(seq for seq, _, _ in commands)])

    async def run(self, clock: AdoptedClock, trades: int) -> None:
        original = MeasuredEffects.release

        def release(effects: MeasuredEffects, durable_seq: int, commands: Iterable[Derived]) -> None:
            released = list(commands)
            self.sends(released)
            original(effects, durable_seq, released)

        async def script(rig: Rig) -> None:
            for price in range(trades):
                await rig.send(100 + price % 7)
                await rig.durable()

        self.rig = Rig(self.root, config("Steady"), clock, disk=self.disk)
        with patch.object(MeasuredEffects, "release", release):
            await self.rig.run(script)
        self.disk.look()

    def check(self) -> None:
        """Check every state: I1, I6."""
        for crash in self.found.values():
            disk = on_disk(crash.state)
            if not disk.exists(self.root / "journal.id"):
                assert (crash.acknowledged, crash.sent) == (0, 0), "the journal is gone"
                continue
            end = recover(self.root, disk=disk).end_seq
            assert end >= crash.acknowledged, "an acknowledged record is missing"
            assert end >= crash.sent, "an order was sent whose record is missing"


def clock(days: int = 0) -> AdoptedClock:
    eve = NOON - NOON % DAY_NS + DAY_NS - SECOND // 4
    return AdoptedClock(eve + days * DAY_NS, VirtualTime().monotonic_ns(), 1.0)


async def sessions(root: Path, trades: int) -> Crashes:
    """Run a session over midnight, and another one in the same journal."""
    crashes = Crashes(root)
    await crashes.run(clock(), trades)
    await crashes.run(clock(1), trades // 2)
    assert crashes.sent, "no order was sent"
    assert len(list_days(root)) >= 2
    return crashes


async def test_i6_nothing_is_sent_or_acknowledged_that_a_loss_of_power_can_take_away(
    paced_clock: Clock, tmp_path: Path
) -> None:
    """I6, I1: real system calls of two sessions; some of the states are traded on, verified and replayed."""
    crashes = await sessions(tmp_path / "journal", pick(12, deep=240))
    crashes.check()
    assert len(crashes.found) >= pick(100, deep=1000)
    states = [one for one in crashes.found.values() if one.acknowledged]
    for number, crash in enumerate(random.Random(5).sample(states, pick(4, deep=40))):
        root = tmp_path / f"after-{number}"
        for name, data in sorted(crash.state.items()):
            path = root / Path(name).relative_to(crashes.root)
            if data is None:
                path.mkdir(parents=True, exist_ok=True)
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)

        async def script(rig: Rig) -> None:
            await rig.send(100)

        await Rig(root, config("Steady"), clock(2)).run(script)
        assert verify_journal(root).torn is None
        assert_replays(root)
        kept = [record for day in list_days(root) for record in read_records(day.path)]
        before = [record for day in list_days(crashes.root) for record in read_records(day.path)]
        assert kept[: crash.acknowledged] == before[: crash.acknowledged]


async def test_x08_an_order_that_leaves_before_its_record_is_synced_is_found(
    paced_clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """X08: the committer releases commands when it is given them."""
    append = Committer.append

    def sends_first(committer: Any, first_seq: int, inputs: list[Event], derived: list[Derived]) -> None:
        commands = [record for record in derived if type(record[2]).__name__ == "SubmitOrder"]
        if commands:
            committer._effects.release(commands[-1][0], commands)
        append(committer, first_seq, inputs, derived)

    monkeypatch.setattr(Committer, "append", sends_first)
    crashes = await sessions(tmp_path / "journal", 12)
    with pytest.raises(AssertionError, match="an order was sent"):
        crashes.check()
