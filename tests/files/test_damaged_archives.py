"""Any damage to a packed file or a Parquet file is a refusal, or leaves the data as it is."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tempfile
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import UsageError

from .kit import Imports
from .layout_cases import START_MS, lines

TEXT = lines("time,price,size", *(f"{START_MS + at},1.5,{at + 1}" for at in range(40))).encode()


def archive(compression: int) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", compression) as packed:
        packed.writestr("T-2024-01.csv", TEXT)
        packed.writestr("T-2024-02.csv", TEXT)
    return sink.getvalue()


def parquet() -> bytes:
    sink = io.BytesIO()
    table = pa.table({"time": [START_MS, START_MS + 1], "price": [1.5, 2.5], "size": [1, 2]})
    pq.write_table(table, sink)
    return sink.getvalue()


FILES = {
    "stored.zip": archive(zipfile.ZIP_STORED),
    "deflated.zip": archive(zipfile.ZIP_DEFLATED),
    "t.csv.gz": gzip.compress(TEXT),
    "t.csv.xz": lzma.compress(TEXT),
    "t.csv.bz2": bz2.compress(TEXT),
    "t.csv.zst": zstandard.ZstdCompressor(write_checksum=True).compress(TEXT),
    "t.parquet": parquet(),
}


@given(
    st.sampled_from(sorted(FILES)),
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=4),
    st.floats(0, 1) | st.none(),
    st.binary(max_size=8),
)
def test_any_damage_is_refused_in_one_line(
    name: str, changes: list[tuple[float, int]], cut: float | None, more: bytes
) -> None:
    data = bytearray(FILES[name])
    for where, value in changes:
        data[int(where * (len(data) - 1))] = value
    if cut is not None:
        del data[int(cut * len(data)) :]
    data += more
    with tempfile.TemporaryDirectory() as folder:
        imports = Imports(Path(folder))
        path = imports.folder / name
        path.write_bytes(bytes(data))
        try:
            days = list(imports.load(path).days)
            refusal = ""
        except UsageError as error:
            days, refusal = imports.days(), str(error)
        assert "\n" not in refusal
        assert bool(days) == (not refusal) or days == []


def test_an_encrypted_archive_is_refused(imports: Imports) -> None:
    data = bytearray(FILES["stored.zip"])
    for mark, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        start = data.find(mark)
        while start >= 0:
            data[start + at] |= 1
            start = data.find(mark, start + 1)
    path = imports.folder / "secret.zip"
    path.write_bytes(bytes(data))
    with pytest.raises(UsageError, match=r"encrypted|password"):
        imports.load(path)
