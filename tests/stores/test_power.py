"""The database after a loss of power: every state of its files is caught up, or refused and rebuilt.

The system calls of a process that fills a store are recorded (strace), over several sessions with a close, a
checkpoint and a kill. From them states are constructed as a strict file system may leave them at any call:

- bytes of a file are durable when the file was synced after they were written. Without that each sector of
  512 bytes may be there or not, or torn, and the size may have grown without it;
- a name that was made or removed is durable when its folder was synced after it;
- the `-shm` file, which is shared memory, may be absent, empty, zeros or garbage.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
import sys
from pathlib import Path
from random import Random
from typing import NamedTuple

import pytest

from engine.events import EquityMarked
from engine.journal import Frame
from engine.stores.catchup import catch_up, rebuild
from engine.stores.errors import StoreError
from engine.stores.sqlite.store import SqliteStore
from tests.profiles import pick

from .record_streams import (
    T,
    dumped,
    frames_of,
    life_of_an_order,
    opened,
    reader_of,
)

ROOT = Path(__file__).resolve().parents[2]
STRACE = ["strace", "-f", "-y", "-qq", "-xx", "-s", "1000000", "-e", "signal=none", "-e"]
CALLS = (
    "trace=openat,pwrite64,pwritev,write,ftruncate,fsync,fdatasync,unlink,unlinkat,rename,renameat,renameat2"
)
NAME = "rows.db"
SECTOR = 512

SESSIONS = """
import os, sqlite3, sys
from pathlib import Path
from tests.stores.test_power import FRAMES, NAME
from tests.stores.record_streams import opened
from engine.stores.catchup import catch_up

path = Path(sys.argv[1]) / NAME
for begin, end, closes in ((1, 3, True), (4, 6, False), (7, len(FRAMES), True)):
    session = os.fork()
    if not session:
        writer = opened(path, with_trades=True)
        for number in range(begin, end + 1):
            catch_up(writer, FRAMES[:number])
            if number == begin and not closes:
                sqlite3.connect(path).execute("PRAGMA wal_checkpoint(PASSIVE)")
        if closes:
            writer.close()
        os._exit(0)
    assert os.waitpid(session, 0)[1] == 0
"""
"""Three sessions; the second is killed, after a checkpoint and more rows."""


def _frames() -> list[Frame]:
    records = life_of_an_order()
    for number in range(records[-1][0] + 1, 60):
        records.append((number, 6, EquityMarked(T + number, 2, 0, number, 20, 1_000_000 + number)))
    return frames_of(records, 6)


FRAMES = _frames()


class Call(NamedTuple):
    """A system call on a file of the store, or on its folder (name "")."""

    kind: str
    name: str
    data: bytes = b""
    at: int = 0


def works() -> bool:
    if shutil.which("strace") is None:
        return False
    return subprocess.run([*STRACE, "trace=none", "true"], capture_output=True, check=False).returncode == 0


def _plain(text: str) -> str:
    return re.sub(r"\\x([0-9a-f]{2})", lambda found: chr(int(found[1], 16)), text)


def parsed(line: str, folder: str) -> Call | None:
    """Return the call of a line of strace that changes a file in the folder, None for another one."""
    found = re.match(r"(?:\d+ +)?(\w+)\((.*)\) += (-?\d+)", line)
    if found is None or int(found[3]) < 0:
        return None
    kind, arguments = found[1], found[2]
    paths = [_plain(one) for one in re.findall(r'[<"]((?:\\x[0-9a-f]{2})*)[>"]', arguments)]
    inside = [one for one in paths if one == folder or one.startswith(folder + "/")]
    if not inside:
        return None
    name = inside[0][len(folder) + 1 :]
    if name.endswith(("-shm", ".lock")):
        return None
    if kind == "openat":
        return Call("create", name) if "O_CREAT" in arguments else None
    if kind in ("fsync", "fdatasync"):
        return Call("sync", name)
    if kind == "ftruncate":
        return Call("truncate", name, at=int(arguments.rsplit(", ", 1)[1]))
    if kind == "pwrite64":
        return Call("write", name, _plain(paths[1]).encode("latin-1"), int(arguments.rsplit(", ", 1)[1]))
    assert kind == "unlink", line[:200]
    return Call("unlink", name)


@pytest.fixture(scope="module")
def calls(tmp_path_factory: pytest.TempPathFactory) -> list[Call]:
    folder = tmp_path_factory.mktemp("power") / "store"
    folder.mkdir()
    trace = folder.parent / "calls"
    command = [*STRACE, CALLS, "-o", str(trace), sys.executable, "-c", SESSIONS, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    with trace.open(encoding="ascii") as lines:
        found = [call for line in lines if (call := parsed(line, str(folder))) is not None]
    kinds = {(call.kind, call.name.removeprefix(NAME)) for call in found}
    assert {("write", ""), ("sync", ""), ("write", "-wal"), ("sync", "-wal"), ("unlink", "-wal")} <= kinds
    return found


def left_by(calls: list[Call], chance: Random) -> dict[str, bytes]:
    """Return the files of one state, at any call."""
    end = chance.randrange(len(calls) + 1)
    kept = chance.choice((0.0, 0.1, 0.5, 0.9, 1.0))
    last_sync = {call.name: at for at, call in enumerate(calls[:end]) if call.kind == "sync"}
    files: dict[str, bytearray] = {}  # what programs see by name; the same object under a durable name
    durable: dict[str, bytearray] = {}
    for at, call in enumerate(calls[:end]):
        if call.kind in ("create", "unlink"):
            if call.kind == "create" and call.name in files:
                continue
            there = at < last_sync.get("", -1) or chance.random() < kept
            if call.kind == "create":
                files[call.name] = bytearray()
                if there:
                    durable[call.name] = files[call.name]
            else:
                del files[call.name]
                if there:
                    durable.pop(call.name, None)
        elif call.kind in ("write", "truncate"):
            # A later file of the same name has syncs of its own, so they count only until it is unlinked.
            gone = next((n for n in range(at, end) if calls[n][:2] == ("unlink", call.name)), end)
            synced = any(calls[n][:2] == ("sync", call.name) for n in range(at, gone))
            _change(files[call.name], call, chance, kept=1.0 if synced else kept)
    return {name: bytes(data) for name, data in durable.items()}


def _change(data: bytearray, call: Call, chance: Random, *, kept: float) -> None:
    if call.kind == "truncate":
        if chance.random() < kept or kept == 1.0:
            del data[call.at :]
            data.extend(bytes(call.at - len(data)))
        return
    end = call.at + len(call.data)
    if chance.random() < max(kept, 0.5):
        data.extend(bytes(max(0, end - len(data))))
    start = call.at
    while start < end:
        stop = min(end, start - start % SECTOR + SECTOR)
        part = call.data[start - call.at : stop - call.at]
        if kept < 1.0 and chance.random() < 0.05:
            part = part[: chance.randrange(len(part) + 1)]
        if kept == 1.0 or chance.random() < kept:
            data.extend(bytes(max(0, start + len(part) - len(data))))
            data[start : start + len(part)] = part
        start = stop


@pytest.mark.skipif(not works(), reason="strace is not installed, or tracing is not allowed here")
def test_c05_after_a_loss_of_power_the_rows_are_caught_up_or_refused_and_rebuilt(
    calls: list[Call], tmp_path: Path
) -> None:
    """C05: whichever bytes and names are there, the rows and the cursor are one, or the store says so."""
    with contextlib.closing(opened(tmp_path / "whole.db", with_trades=True)) as writer:
        catch_up(writer, FRAMES)
    whole = dumped(tmp_path / "whole.db")
    chance = Random(11)
    caught_up = behind = 0
    refusals: list[str] = []
    for number in range(pick(40, deep=1000)):
        folder = tmp_path / str(number)
        folder.mkdir()
        path = folder / NAME
        for name, data in left_by(calls, chance).items():
            (folder / name).write_bytes(data)
        memory = chance.choice((None, b"", bytes(32_768), chance.randbytes(32_768)))
        if memory is not None and path.exists():
            (folder / f"{NAME}-shm").write_bytes(memory)
        try:
            with contextlib.closing(opened(path, with_trades=True)) as writer:
                behind += writer.read_cursor() < FRAMES[-1].first_seq
                catch_up(writer, FRAMES)
            caught_up += 1
        except StoreError as error:
            refusals.append(str(error))
            store = SqliteStore(path, with_trades=True)
            assert rebuild(store, [Path("day")], read=reader_of({"day": FRAMES})) == FRAMES[-1].last_seq
        assert dumped(path) == whole, number
        shutil.rmtree(folder)
    assert all("\n" not in text and "engine project" in text for text in refusals), refusals
    assert caught_up > len(refusals)
    assert behind > caught_up // 3
