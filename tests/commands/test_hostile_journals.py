"""Journals that somebody has made: every command refuses them with exit 4, the file and the offset."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from engine.events import InstrumentListed, Trade
from engine.events.codec import decode_derived, decode_inputs, encode_derived, encode_inputs
from engine.journal import Draft, JournalWriter, Tail, ensure_identity, read_frames

from .kit import PATIENCE_S, engine, spawn

Edit = Callable[[int, bytes, bytes], tuple[int, bytes, bytes]]
"""Changes the count, inputs blob and derived blob of the first frame with trades."""


def made(day: Path, root: Path, edit: Edit) -> Path:
    """Write a day again, with one frame changed and all CRCs and digests right."""
    root.mkdir()
    tail = Tail(journal_id=ensure_identity(root, b"f" * 16))
    edited = False
    with JournalWriter(root, tail, salts=lambda: b"s" * 16, sync=False) as writer:
        for frame in read_frames(day):
            count, inputs, derived = frame.count, frame.inputs, frame.derived
            if not edited and any(isinstance(one, Trade) for one in decode_inputs(inputs)):
                count, inputs, derived = edit(count, inputs, derived)
                edited = True
            flags = frame.flags
            writer.append(Draft(writer.seq + 1, count, inputs, derived, flags), 1_642_204_800_000_000_000)
            if edited:
                break
    assert edited
    return root / day.name


def changed(kind: type, **fields: Any) -> Edit:
    """Return an edit that changes fields of every input of a type."""

    def edit(count: int, inputs: bytes, derived: bytes) -> tuple[int, bytes, bytes]:
        events = [
            msgspec.structs.replace(one, **fields) if isinstance(one, kind) else one
            for one in decode_inputs(inputs)
        ]
        return count, encode_inputs(events), derived

    return edit


def deeper(count: int, inputs: bytes, derived: bytes) -> tuple[int, bytes, bytes]:
    """Replace the inputs by an array in an array in an array ..."""
    return count, b"\x91" * 100_000 + b"\x90", derived


def five_more(count: int, inputs: bytes, derived: bytes) -> tuple[int, bytes, bytes]:
    """Count records that the frame does not hold."""
    return count + 5, inputs, derived


def one_less(count: int, inputs: bytes, derived: bytes) -> tuple[int, bytes, bytes]:
    return count - 1, inputs, derived


def another_seq(count: int, inputs: bytes, derived: bytes) -> tuple[int, bytes, bytes]:
    """Give a derived record a seq of another frame."""
    records = decode_derived(derived)
    seq, cause, event = records[-1]
    return count, inputs, encode_derived([*records[:-1], (seq + 1_000_000, cause, event)])


def effect_before_cause(count: int, inputs: bytes, derived: bytes) -> tuple[int, bytes, bytes]:
    records = decode_derived(derived)
    seq, _, event = records[-1]
    return count, inputs, encode_derived([*records[:-1], (seq, seq + 1, event)])


EDITS: list[Edit] = [
    *(five_more, one_less, another_seq, effect_before_cause, deeper),
    changed(Trade, recv_ns=-1),
    changed(Trade, recv_ns=2**63 - 1),
    changed(Trade, recv_ns=-(2**63)),
]


@pytest.mark.parametrize("edit", EDITS)
def test_a_frame_that_no_engine_writes_is_exit_4_with_file_and_offset(
    traded: Path, tmp_path: Path, edit: Edit
) -> None:
    day = made(traded, tmp_path / "forged", edit)
    for command in (["journal", "verify", day], ["replay", day]):
        done = engine(*command)
        assert done.code == 4, (command, done)
        assert f"{day.name}/{1:020d}.seg" in done.err, (command, done.err)
        assert " offset " in done.err
        assert done.err.count("\n") <= 2, done.err


@pytest.mark.parametrize("scale", [-1, 19, 10**9])
def test_a_scale_that_no_instrument_has_is_exit_4(traded: Path, tmp_path: Path, scale: int) -> None:
    root = tmp_path / "forged"
    root.mkdir()
    listed = InstrumentListed(1_642_204_800_000_000_000, 1, "x", "AAA", scale, 0)
    trade = Trade(1_642_204_800_000_000_001, 1_642_204_800_000_000_001, 1, 1, 1, 1)
    tail = Tail(journal_id=ensure_identity(root, b"f" * 16))
    with JournalWriter(root, tail, salts=lambda: b"s" * 16, sync=False) as writer:
        writer.append(Draft(1, 2, encode_inputs([listed, trade])), 1_642_204_800_000_000_000)
    done = engine("journal", "verify", root)
    assert done.code == 4
    assert f"scales {scale} and 0" in done.err


def pipe(path: Path) -> None:
    os.mkfifo(path)


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def folder(path: Path) -> None:
    path.mkdir()


def dangling(path: Path) -> None:
    path.symlink_to("/nowhere/segment")


def elsewhere(path: Path) -> None:
    path.symlink_to("/etc/passwd")


def itself(path: Path) -> None:
    path.symlink_to(path.name)


def socket_file(path: Path) -> None:
    with contextlib.chdir(path.parent), socket.socket(socket.AF_UNIX) as made:
        made.bind(path.name)


THINGS = [pipe, device, folder, dangling, elsewhere, itself, socket_file]


@pytest.fixture
def alarm() -> Iterator[None]:
    """End the test run if a command hangs: no timeout of a test reaches a blocked call."""
    signal.alarm(PATIENCE_S)
    yield
    signal.alarm(0)


@pytest.mark.usefixtures("alarm")
@pytest.mark.parametrize("sealed", [False, True])
@pytest.mark.parametrize("thing", THINGS)
def test_what_is_not_a_file_in_place_of_a_segment_is_exit_4_at_once(
    traded: Path, tmp_path: Path, thing: Callable[[Path], None], sealed: bool
) -> None:
    """For every command that reads a day."""
    root = tmp_path / "journal"
    shutil.copytree(traded.parent, root)
    day = root / traded.name
    if sealed:
        assert engine("journal", "seal", day, "--newest").code == 0
    (segment,) = day.glob("*.seg*")
    segment.unlink()
    thing(segment)
    commands = [
        *(["journal", "verify", root], ["journal", "verify", day], ["journal", "seal", day]),
        *(["journal", "seal", day, "--newest"], ["replay", day], ["inspect", day], ["inspect", day, "--raw"]),
        *(["why", day, 1], ["backtest", root], ["bars", root], ["project", root, "--db", tmp_path / "db"]),
    ]
    for command in commands:
        done = engine(*command)
        assert done.code == 4, (command, done)
        assert segment.name in done.err
        assert done.err.count("\n") <= 2, done.err


@pytest.mark.parametrize("name", ["journal.id", "LOCK", "EPOCH"])
@pytest.mark.parametrize("thing", [pipe, device, folder])
def test_what_is_not_a_file_in_place_of_a_journals_own_files_is_refused_at_once(
    traded: Path, tmp_path: Path, name: str, thing: Callable[[Path], None]
) -> None:
    root = tmp_path / "journal"
    shutil.copytree(traded.parent, root)
    (root / name).unlink(missing_ok=True)
    thing(root / name)
    done = spawn("live", "--venue", "sandbox", "--for", "1", "--journal", root, "--no-db")
    assert done.code == 4, done
    assert name in done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize("left", [None, b"", bytes(60), bytes(128), b"retape\r\n\x01\x00\x80"])
def test_a_day_whose_writer_died_before_its_first_record_is_no_day(
    traded: Path, tmp_path: Path, left: bytes | None
) -> None:
    """A folder without segments, or with one that has no header yet: for every command."""
    root = tmp_path / "journal"
    shutil.copytree(traded.parent, root)
    (root / "2022-01-16").mkdir()
    (root / "2022-01-17" / "damaged").mkdir(parents=True)
    if left is not None:
        (root / "2022-01-16" / f"{1_000_000:020d}.seg").write_bytes(left)
    before = engine("journal", "verify", traded)
    assert engine("journal", "verify", root).out.replace(str(root), str(traded.parent)) == before.out
    assert engine("project", root, "--db", tmp_path / "rows.db").code == 0
    assert engine("backtest", root).code == 0
    assert engine("bars", root).code == 0
    day = root / "2022-01-16"
    for command in (["replay", day], ["bars", day], ["inspect", day], ["why", day, 1], ["backtest", day]):
        done = engine(*command)
        assert (done.code, "holds no records" in done.err) == (2, True), (command, done)
