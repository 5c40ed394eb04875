"""CSV files after a loss of power: their lines are synced before the cursor moves, and nothing else is."""

from __future__ import annotations

import random
from pathlib import Path

from engine.events.codec import Record
from engine.stores.catchup import catch_up
from tests.profiles import pick

from .record_streams import frames_of
from .test_csv_bars import bar, listing, opened

SECTOR = 512
CURSOR = ".cursor.json"
Files = dict[str, bytes]


def records() -> list[Record]:
    """Return bars of two instruments, the second from the middle on, and corrections."""
    made: list[Record] = [(1, 0, listing()), (2, 0, listing(2, "ETH"))]
    for minute in range(60):
        made.append((len(made) + 1, 1, bar(minute, 100 + minute)))
        if minute >= 30:
            made.append((len(made) + 1, 1, bar(minute, 200 + minute, instrument=2)))
        if minute % 7 == 6:
            made.append((len(made) + 1, 1, bar(minute - 1, 300, revision=1)))
    return made


def content(folder: Path) -> Files:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix in (".csv", ".json")}


def after_power_cut(before: Files, after: Files, cursors: list[bytes], chance: random.Random) -> Files:
    """Return files as a boot may find them, while a batch was written or just after it.

    Bytes of `before` are synced, those that `after` adds may be there or not, sector by sector. A name may be
    missing, since the folder is never synced. The cursor is any that there was, or torn, or not there.
    """
    found: Files = {}
    for name, data in after.items():
        if name == CURSOR or chance.random() < 0.1:
            continue
        synced = len(before.get(name, b""))
        left = bytearray(data[: synced + chance.randrange(len(data) - synced + 1)])
        for start in range(synced - synced % SECTOR, len(left), SECTOR):
            if chance.random() < 0.4:
                begin, end = max(start, synced), min(start + SECTOR, len(left))
                left[begin:end] = bytes(end - begin)
        if left or chance.random() < 0.5:
            found[name] = bytes(left)
    cursor = chance.choice([*cursors, cursors[-1], b"", b"{", None])
    if cursor is not None:
        found[CURSOR] = cursor[: chance.choice([len(cursor), len(cursor), len(cursor) // 2])]
    return found


def test_s09_after_a_loss_of_power_every_bar_is_there_once(tmp_path: Path) -> None:
    """S09: the next start writes the files as if nothing had happened."""
    frames = frames_of(records(), 14)
    steps: list[Files] = [{}]
    for number in range(1, len(frames) + 1):
        writer = opened(tmp_path / "whole")
        catch_up(writer, frames[:number])
        writer.close()
        steps.append(content(tmp_path / "whole"))
    whole = {name: data for name, data in steps[-1].items() if name != CURSOR}
    assert len(whole) == 3
    chance, lost = random.Random(9), 0
    for number in range(pick(150, deep=1_000)):
        at = chance.randrange(1, len(steps))
        # Before the cursor of this batch is written its lines may be unsynced; after that they are synced.
        moved = chance.random() < 0.5
        cursors = [step[CURSOR] for step in steps[1 : at + moved]] or [b""]
        left = after_power_cut(steps[at] if moved else steps[at - 1], steps[at], cursors, chance)
        lost += sum(len(data) for data in left.values()) < sum(len(data) for data in steps[at].values())
        folder = tmp_path / str(number)
        folder.mkdir()
        for name, data in left.items():
            (folder / name).write_bytes(data)
        writer = opened(folder)
        catch_up(writer, frames)
        writer.close()
        found = {name: data for name, data in content(folder).items() if name != CURSOR}
        assert found == whole, (number, at, moved)
    assert lost > 50
