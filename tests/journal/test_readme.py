"""The page on the format agrees with real bytes: its dump, its table, its records and its code."""

from __future__ import annotations

import importlib
import json
import re
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import pytest
import zstandard

from engine.events.codec import decode_derived, decode_inputs
from engine.journal import read_frames, seal_day

from .disks import MemoryDisk
from .kit import FIRST, FOLDER, content, drafts, journal, read

PAGE = (Path(__file__).parents[2] / "journal" / "README.md").read_text("utf-8")


def block(kind: str) -> str:
    (found,) = re.findall(rf"```{kind}\n(.*?)```", PAGE, re.DOTALL)
    return str(found)


def dump() -> bytes:
    data = bytearray()
    for line in block("hexdump").splitlines():
        offset, _, rest = line.partition("  ")
        assert int(offset, 16) == len(data)
        row = bytes.fromhex(rest.partition("|")[0])
        if row:
            shown = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in row)
            assert rest.partition("|")[2] == shown + "|"
        data += row
    return bytes(data)


@pytest.fixture
def code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    (tmp_path / "code_of_the_page.py").write_text(block("python"))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "code_of_the_page", raising=False)
    return importlib.import_module("code_of_the_page")


def test_the_dump_is_a_segment_with_the_records_on_the_page() -> None:
    disk = MemoryDisk()
    disk.put(FIRST, dump())
    (frame,) = read_frames(FOLDER, disk=disk)
    assert (frame.first_seq, frame.count, frame.flags) == (1, 3, 1)
    inputs = iter(msgspec.msgpack.decode(frame.inputs))
    derived = {seq: [seq, cause, event] for seq, cause, event in msgspec.msgpack.decode(frame.derived)}
    records = [derived.get(seq) or [seq, 0, next(inputs)] for seq in (1, 2, 3)]
    assert records == [json.loads(line) for line in block("json").splitlines()]


def test_the_events_in_the_dump_are_events_of_this_version() -> None:
    """The first fields of these events never change, so the page stays right."""
    disk = MemoryDisk()
    disk.put(FIRST, dump())
    (frame,) = read_frames(FOLDER, disk=disk)
    assert [type(event).__name__ for event in decode_inputs(frame.inputs)] == ["Trade", "Trade"]
    assert [type(event).__name__ for _, _, event in decode_derived(frame.derived)] == ["PriceMarked"]


def test_each_line_of_the_table_is_in_the_dump() -> None:
    data = dump()
    lines = re.findall(r"^\| `([0-9a-f]{4})` \| `([0-9a-f ]+)` \| (.+) \|$", PAGE, re.MULTILINE)
    assert len(lines) == 21
    for offset, text, meaning in lines:
        found = bytes.fromhex(text)
        assert data[int(offset, 16) :].startswith(found), (offset, meaning)
        number = re.search(r"(?:version|length|day|seq|time|count|flags) (\d+)$", meaning)
        if number:
            assert int.from_bytes(found, "little") == int(number[1]), meaning


def test_the_code_on_the_page_reads_a_journal_of_the_engine(code: ModuleType) -> None:
    frames = drafts(30, size=200)
    disk = journal(frames, segment_bytes_max=2000)
    images = [disk.get(FOLDER / name) for name in sorted(disk.listdir(FOLDER))]
    digests = [frame.digest for frame in read(disk)]
    found: list[tuple[Any, ...]] = []
    for image in images:
        before: Iterator[tuple[Any, ...]] = code.frames(image, found[-1][-1] if found else bytes(32))
        found += before
    assert [frame[:-1] for frame in found] == content(frames)
    assert [frame[-1] for frame in found] == digests
    seal_day(FOLDER, newest=True, chunk_bytes=500, disk=disk)
    unpack = zstandard.ZstdDecompressor().decompress
    sealed = [disk.get(FOLDER / name) for name in sorted(disk.listdir(FOLDER))]
    assert [code.unsealed(image, unpack) for image in sealed] == images


def test_the_code_on_the_page_notices_damage(code: ModuleType) -> None:
    data = bytearray(dump())
    for at in range(len(data)):
        data[at] ^= 1
        with pytest.raises((AssertionError, struct.error)):
            list(code.frames(bytes(data), bytes(32)))
        data[at] ^= 1
