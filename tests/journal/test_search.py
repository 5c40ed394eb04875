"""Finding the frames that hold given bytes: exactly those, also across chunks, segments and seals."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import JournalDamaged
from engine.journal import Draft, JournalWriter, Tail, ensure_identity, find_frames, read_frames, seal_day
from engine.journal import search as search_module
from tests.profiles import examples

from .kit import JOURNAL_ID, NOON, Salts

DAY = "2024-12-05"


def written(root: Path, blobs: list[bytes], segment_bytes: int = 2**20) -> Path:
    root.mkdir(exist_ok=True)
    tail = Tail(journal_id=ensure_identity(root, JOURNAL_ID))
    with JournalWriter(root, tail, salts=Salts(), sync=False, segment_bytes_max=segment_bytes) as writer:
        for number, blob in enumerate(blobs, start=1):
            writer.append(Draft(number, 1, blob, b"", 0), NOON)
    return root / DAY


@examples(1)
@given(
    found=st.lists(st.booleans(), min_size=1, max_size=12),
    chunk=st.integers(8, 200),
    sealed=st.booleans(),
)
def test_the_frames_that_hold_a_needle_are_found(
    tmp_path_factory: pytest.TempPathFactory, found: list[bool], chunk: int, sealed: bool
) -> None:
    blobs = [b"x" * 60 + (b"needle" if hit else b"needl") + b"y" * 60 for hit in found]
    folder = written(tmp_path_factory.mktemp("day"), blobs, 500)
    if sealed:
        seal_day(folder, newest=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search_module, "_CHUNK", chunk)
        frames = list(find_frames(folder, (b"other", b"needle")))
    assert [frame.first_seq for frame in frames] == [at for at, hit in enumerate(found, start=1) if hit]
    assert frames == [frame for frame in read_frames(folder) if b"needle" in frame.inputs]


def test_a_torn_tail_is_no_error_and_a_damaged_seal_is(tmp_path: Path) -> None:
    folder = written(tmp_path / "torn", [b"needle", b"needle"])
    (segment,) = folder.glob("*.seg")
    segment.write_bytes(segment.read_bytes()[:-3])
    assert [frame.first_seq for frame in find_frames(folder, (b"needle",))] == [1]
    folder = written(tmp_path / "sealed", [b"needle"])
    seal_day(folder, newest=True)
    (segment,) = folder.glob("*.zst")
    data = bytearray(segment.read_bytes())
    data[len(data) // 2] ^= 1
    segment.write_bytes(data)
    with pytest.raises(JournalDamaged):
        list(find_frames(folder, (b"needle",)))
