"""What a loss of power can leave of a journal: states are constructed from recorded calls, each is opened."""

from __future__ import annotations

import pytest

from engine.errors import JournalError
from engine.journal import Draft, Staging, Witness, list_days, read_frames, recover
from tests.profiles import pick

from .crashes import Crashes, count, killed, sealing, sessions, sync_failed
from .disks import MemoryDisk
from .kit import DAY, FIRST, ROOT, content, day_start_ns, drafts, journal, offsets
from .strict import SECTOR, Recorder, State, digest_of, on_disk
from .test_staging import Bytes


def test_c05_every_crash_state_of_a_journal_keeps_what_was_acknowledged_and_opens() -> None:
    """C05, J12, J15, X01, X02, X03, X06: new journals, rolls, days, restarts, failed syncs, kills, seals."""
    crashes = Crashes(each=pick(5, deep=50))
    changes, syncs = count()
    for size in (40, 300, 900, 1700, 2600)[: pick(2, deep=5)]:
        crashes.explore(sessions, size=size)
        crashes.explore(sealing, size=size)
        for number in range(syncs):
            crashes.explore(sync_failed(number), size=size)
        for number in range(0, changes, pick(2, deep=1)):
            crashes.explore(killed(number), size=size)
    assert crashes.damaged > len(crashes.seen) / 8, "damage was not tried often enough"
    assert len(crashes.seen) >= pick(600, deep=10_000)


def test_c04_a_recovery_that_is_crashed_three_deep_ends_as_one_that_is_not() -> None:
    """C04: a crash of a session, of the start after it, and of the start after that."""
    crashes = Crashes(each=pick(0, deep=4), depth=3)
    crashes.explore(sessions)
    assert len(crashes.seen) >= pick(300, deep=1_500)


def test_j06_a_sector_that_an_acknowledged_frame_shares_is_missed_only_without_a_witness() -> None:
    """J06: a disk may destroy a sector that it writes again. The cursor of a store shows what is missing."""
    frames = drafts(6, size=700)
    disk = journal(frames)
    image, starts = disk.get(FIRST), offsets(disk)
    acknowledged = list(read_frames(FIRST, disk=disk))[-2]
    shared = starts[-2] - starts[-2] % SECTOR
    assert starts[-3] < shared < starts[-2], "the last two frames share no sector"
    torn = image[:shared] + bytes(SECTOR)
    disk.put(FIRST, torn)
    with pytest.raises(JournalError, match="a store has seq"):
        recover(ROOT, witness=Witness(acknowledged.last_seq, acknowledged.digest, "a store"), disk=disk)
    assert disk.get(FIRST) == torn
    recovered = recover(ROOT, disk=disk)
    assert recovered.end_seq == acknowledged.first_seq - 1
    assert recovered.repairs, "what was cut is recorded"


def build(disk: Recorder | MemoryDisk, days: dict[int, list[Draft]], replace: set[int]) -> None:
    """Build days in staging and put them in place."""
    with Staging(ROOT, random=Bytes(), disk=disk) as staging:
        for day, frames in days.items():
            builder = staging.begin(day)
            for frame in frames:
                builder.append(frame, day_start_ns(day))
            staging.complete(replace=day in replace)
        staging.publish()


@pytest.mark.parametrize("count", [3, 11], ids=["few days", "many days"])
def test_a_crash_of_an_import_leaves_each_day_whole_or_as_it_was_and_can_be_completed(count: int) -> None:
    """Before the end of `publish` a day may be old or new, after it all are new."""
    first = MemoryDisk()
    first.put_folder(ROOT)
    old, new = drafts(3, size=60), drafts(8, size=90)
    build(first, {DAY: old}, set())
    days = {DAY + number: new for number in range(count)}
    published = False
    states: dict[tuple[bytes, bool], State] = {}
    recorder = Recorder(
        first, 7, pick(3, deep=40), lambda state: states.setdefault((digest_of(state), published), state)
    )
    build(recorder, days, {DAY})
    published = True
    recorder.look()
    whole = 0
    for (_, done), state in states.items():
        disk = on_disk(state)
        there = {day.day: content(list(read_frames(day.path, disk=disk))) for day in list_days(ROOT, disk)}
        assert there[DAY] in (content(old), content(new))
        assert all(found == content(new) for day, found in there.items() if day != DAY)
        assert not done or list(there.values()) == [content(new)] * count
        whole += len(there) == count
        build(disk, days, set(there))
        assert all(list(read_frames(day.path, disk=disk)) for day in list_days(ROOT, disk))
        assert len(list_days(ROOT, disk)) == count
    assert whole
    assert len(states) >= pick(30, deep=100)
