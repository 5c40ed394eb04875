"""A journal that someone changed: refused with file and offset, or reported by the replay."""

from __future__ import annotations

import json
import random
import shutil
import struct
import zlib
from pathlib import Path
from typing import Any

import msgspec
import pytest

from engine.events import BarClosed, OrderFilled, Trade
from engine.events.codec import decode_derived, decode_inputs, encode_derived, encode_inputs
from engine.journal import Draft, JournalWriter, Tail, ensure_identity, read_frames
from tests.commands.kit import engine


@pytest.mark.parametrize("sealed", [False, True])
def test_j02_s17_a_flipped_byte_anywhere_is_exit_4_with_file_and_offset(
    traded: Path, tmp_path: Path, sealed: bool
) -> None:
    root = tmp_path / "j"
    shutil.copytree(traded.parent, root)
    if sealed:
        engine("journal", "seal", root, "--newest")
    (segment,) = (root / traded.name).iterdir()
    good = segment.read_bytes()
    chance = random.Random(4)
    # Only the last frame of an open segment may be a torn tail.
    end = len(good) if sealed else _last_frame(root / traded.name, good)
    for offset in [*range(0, 40, 3), *(chance.randrange(end) for _ in range(40)), end - 1]:
        bad = bytearray(good)
        bad[offset] ^= 1 << chance.randrange(8)
        segment.write_bytes(bad)
        for command in (["replay"], ["journal", "verify"], ["inspect", "--limit", "1000000"]):
            done = engine(*command, root / traded.name)
            assert done.code == 4, (offset, command, done)
            assert segment.name in done.err
            assert "offset" in done.err
            assert len(done.err.strip().splitlines()) == 1
    segment.write_bytes(good)
    assert engine("replay", root / traded.name).code == 0


def _last_frame(day: Path, data: bytes) -> int:
    frames = list(read_frames(day))
    return data.rindex(frames[-1].inputs[:64]) - 64


@pytest.mark.parametrize("cut", [1, 7, 300])
def test_j01_a_torn_tail_is_reported_and_the_records_before_it_are_verified(
    traded: Path, tmp_path: Path, cut: int
) -> None:
    day = tmp_path / "j" / traded.name
    shutil.copytree(traded.parent, tmp_path / "j")
    (segment,) = day.iterdir()
    segment.write_bytes(segment.read_bytes()[:-cut])
    report = json.loads(engine("replay", day, "--json").out)
    assert report["identical"] is True
    assert report["torn_bytes"] > 0
    assert "torn" in engine("journal", "verify", day).out


@pytest.mark.parametrize("version", [0, 2, 99, 65_535])
def test_j25_a_journal_of_another_version_is_refused_by_every_command(
    traded: Path, tmp_path: Path, version: int
) -> None:
    day = tmp_path / "j" / traded.name
    shutil.copytree(traded.parent, tmp_path / "j")
    (segment,) = day.iterdir()
    data = bytearray(segment.read_bytes())
    struct.pack_into("<H", data, 8, version)
    struct.pack_into("<I", data, 124, zlib.crc32(data[:124]))
    segment.write_bytes(data)
    before = segment.read_bytes()
    for command in (
        ["replay", day],
        ["inspect", day],
        ["why", day, 3],
        ["backtest", day],
        ["project", day, "--db", tmp_path / "p.db"],
        ["journal", "verify", day],
        ["journal", "seal", day, "--newest"],
    ):
        done = engine(*command)
        assert done.code == 4, (command, done)
        assert "version" in done.err
    assert segment.read_bytes() == before
    assert not (tmp_path / "p.db").exists()


def rewritten(day: Path, root: Path, edit: Any) -> Path:
    """Write a day again with edited events and correct CRCs and digests, as a forger would."""
    root.mkdir()
    tail = Tail(journal_id=ensure_identity(root, b"f" * 16))
    with JournalWriter(root, tail, salts=lambda: b"s" * 16, sync=False) as writer:
        for frame in read_frames(day):
            inputs, derived = decode_inputs(frame.inputs), decode_derived(frame.derived)
            edit(inputs, derived)
            made = Draft(
                frame.first_seq, frame.count, encode_inputs(inputs), encode_derived(derived), frame.flags
            )
            writer.append(made, 1_642_204_800_000_000_000)
    return root / day.name


def higher_trade(inputs: list[Any], derived: list[Any]) -> None:
    for index, event in enumerate(inputs):
        if isinstance(event, Trade) and index % 50 == 49:
            inputs[index] = msgspec.structs.replace(event, price=event.price + 100_000)


def better_fill(inputs: list[Any], derived: list[Any]) -> None:
    for index, (seq, cause, event) in enumerate(derived):
        if isinstance(event, OrderFilled):
            derived[index] = (seq, cause, msgspec.structs.replace(event, price=event.price - 1))


def other_cause(inputs: list[Any], derived: list[Any]) -> None:
    for index, (seq, cause, event) in enumerate(derived):
        if isinstance(event, BarClosed) and seq > 100:
            derived[index] = (seq, cause - 1, event)


@pytest.mark.parametrize("edit", [higher_trade, better_fill, other_cause])
def test_s17_an_edited_event_with_recomputed_digests_is_exit_3_with_its_seq(
    traded: Path, tmp_path: Path, edit: Any
) -> None:
    day = rewritten(traded, tmp_path / "forged", edit)
    assert engine("journal", "verify", day).code == 0, "all digests are correct"
    done = engine("replay", day, "--json")
    assert done.code == 3
    report = json.loads(done.out)
    assert report["identical"] is False
    found = report["divergence"]
    assert found["seq"] > 0
    assert found["expected"] != found["actual"]
    assert found["expected"]["seq"] == found["seq"]
    assert found["chain"][-1]["seq"] == found["seq"]
    text = engine("replay", day)
    assert text.code == 3
    assert f"seq {found['seq']}" in text.out


def test_r02_a_day_rewritten_without_an_edit_is_identical(traded: Path, tmp_path: Path) -> None:
    day = rewritten(traded, tmp_path / "copy", lambda *_: None)
    assert engine("replay", day).code == 0
