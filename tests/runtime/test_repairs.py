"""What recovery moved out of a journal is recorded by a session, also if the first one dies before it can."""

from __future__ import annotations

from pathlib import Path

import pytest
from trio.abc import Clock

from engine.clock import AdoptedClock
from engine.events import SessionStarted, TailRepaired
from engine.journal import DAY_NS, list_days, recover
from engine.journal.segment import SegmentHeader, pack_segment_header, segment_name
from tests.pacing import VirtualTime
from tests.runtime.kit import NOON, assert_replays, config, events, of
from tests.runtime.rig import Rig

NEXT = "2024-12-06"


async def a_trade(rig: Rig) -> None:
    await rig.send(100)


async def session(root: Path, day: int = 0) -> Rig:
    clock = AdoptedClock(NOON + day * DAY_NS, VirtualTime().monotonic_ns(), 1.0)
    rig = Rig(root, config("Steady"), clock)
    await rig.run(a_trade)
    return rig


def move(source: Path, target: Path) -> None:
    source.rename(target)


def repaired(root: Path) -> list[TailRepaired]:
    return [event for event in of(TailRepaired, root) if isinstance(event, TailRepaired)]


@pytest.mark.parametrize("dies", [False, True], ids=["", "the first start dies"])
@pytest.mark.parametrize("left", [b"", bytes(60), bytes(128), b"retape\r\n\x01\x00\x80"])
async def test_j08_a_first_segment_without_a_header_is_removed_and_the_repair_is_recorded_once(
    paced_clock: Clock, tmp_path: Path, left: bytes, dies: bool
) -> None:
    first = (await session(tmp_path)).result
    unfinished = tmp_path / NEXT / f"{first.last_seq + 1:020d}.seg"
    unfinished.parent.mkdir()
    unfinished.write_bytes(left)
    if dies:
        recover(tmp_path)
        assert not unfinished.exists()
    for day in (1, 1, 2):
        await session(tmp_path, day)
    (record,) = repaired(tmp_path)
    assert record.file == f"{NEXT}/{unfinished.name}"
    assert (record.offset, record.length) == (0, len(left))
    assert (tmp_path / record.saved_as).read_bytes() == left
    assert [day.path.name for day in list_days(tmp_path)] == ["2024-12-05", NEXT, "2024-12-07"]
    assert_replays(tmp_path)


@pytest.mark.parametrize("torn", [b"", b"\xabFRM torn", bytes(700)], ids=["", "torn", "zeros"])
async def test_j08_a_day_that_has_a_header_and_no_frame_has_not_begun(
    paced_clock: Clock, tmp_path: Path, torn: bytes
) -> None:
    """A session that follows such a day would begin with no state, at seq 1."""
    first = (await session(tmp_path)).result
    end = recover(tmp_path).tail
    header = SegmentHeader(20241206, end.journal_id, end.seq + 1, end.digest, b"s" * 16, NOON + DAY_NS, 0)
    begun = tmp_path / NEXT / segment_name(end.seq + 1)
    begun.parent.mkdir()
    begun.write_bytes(pack_segment_header(header) + torn)
    result = (await session(tmp_path, 1)).result
    assert result.first_seq == first.last_seq + 1
    (record,) = repaired(tmp_path)
    assert (record.file, record.offset, record.length) == (f"{NEXT}/{begun.name}", 0, 128 + len(torn))
    assert [day.path.name for day in list_days(tmp_path)] == ["2024-12-05", NEXT]
    assert_replays(tmp_path)


@pytest.mark.parametrize("deaths", [0, 1, 3])
async def test_j01_a_torn_tail_is_recorded_though_starts_die_before_they_record_it(
    paced_clock: Clock, tmp_path: Path, deaths: int
) -> None:
    await session(tmp_path)
    (segment,) = (tmp_path / "2024-12-05").glob("*.seg")
    with segment.open("ab") as file:
        file.write(b"\xabFRM torn")
    for _ in range(deaths):
        recover(tmp_path)
    result = (await session(tmp_path)).result
    assert [line.split()[0] for line in result.repairs] == ["tail_cut"]
    (record,) = repaired(tmp_path)
    assert (tmp_path / record.saved_as).read_bytes() == b"\xabFRM torn"
    assert (await session(tmp_path)).result.repairs == []
    assert len(repaired(tmp_path)) == 1
    assert_replays(tmp_path)


async def test_a_repair_that_an_earlier_version_recorded_with_its_whole_path_is_not_recorded_again(
    paced_clock: Clock, tmp_path: Path
) -> None:
    await session(tmp_path)
    (segment,) = (tmp_path / "2024-12-05").glob("*.seg")
    with segment.open("ab") as file:
        file.write(b"torn")
    saved = recover(tmp_path).repairs[0].saved
    assert saved is not None

    async def as_before(rig: Rig) -> None:
        rig.ingress.put([TailRepaired(rig.clock.now_ns(), str(segment), 1, 4, saved)])

    piece, aside = Path(saved), tmp_path / "aside"
    move(piece, aside)  # so that this session does not record it itself
    clock = AdoptedClock(NOON, VirtualTime().monotonic_ns(), 1.0)
    await Rig(tmp_path, config("Steady"), clock).run(as_before)
    move(aside, piece)
    assert (await session(tmp_path)).result.repairs == []
    assert len(repaired(tmp_path)) == 1


async def test_the_epoch_rises_with_every_session(paced_clock: Clock, tmp_path: Path) -> None:
    """Also when the file that holds it is lost, or an older one was put back."""
    for day in (0, 0, 1):
        await session(tmp_path, day)
    (tmp_path / "EPOCH").unlink()
    await session(tmp_path, 1)
    (tmp_path / "EPOCH").write_text(f"2 {'0' * 32}\n")
    await session(tmp_path, 2)
    epochs = [event.epoch for event in events(tmp_path) if isinstance(event, SessionStarted)]
    assert epochs == [1, 2, 3, 4, 5]
    assert_replays(tmp_path)
