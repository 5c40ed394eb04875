"""The store in Parquet files: the promises of every store, exact values, whole files, other tools."""

from __future__ import annotations

import json
import random
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import closing
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from engine.errors import ConfigError
from engine.events import InstrumentListed, Trade
from engine.events.codec import Record
from engine.stores.errors import RowFailed, StoreForeign, StoreOutOfStep, StoreUnavailable
from engine.stores.kinds import make_store
from engine.stores.parquet import store as module
from engine.stores.parquet.store import ParquetStore
from engine.stores.rows.tables import SCHEMA_VERSION, TABLES
from engine.stores.store import Store
from engine.stores.writer import StoreWriter
from tests.profiles import pick

from .record_streams import BTC, JOURNAL_ID, T, apply_all, digest_at
from .store_contract import Content, StoreContract, a_day, bar, content_of, killed_process

NEVER_CHANGED = tuple(table for table, shape in TABLES.items() if shape.pk == "seq")
MODULES = tuple(f"engine.stores.parquet.{name}" for name in ("store", "state", "parts"))
DECIMALS = 12  # the drawn amounts need more digits before the point than markets do


class TestParquet(StoreContract):
    """Every batch goes to files at once."""

    appends = NEVER_CHANGED
    flush_s = 0.0

    def make(self, place: Path) -> Store:
        return ParquetStore(place, decimals=DECIMALS, flush_s=self.flush_s, busy_s=0.05)

    def content(self, place: Path) -> Content:
        store = ParquetStore(place, decimals=DECIMALS)
        with store.transaction():
            pass
        store.close()
        return content_of(store)

    def killed(self, step: int, work: Callable[[], None], place: Path) -> bool:
        return killed_process(1 + (step - 1) * pick(37, deep=1), work, *MODULES)

    def age(self, place: Path) -> None:
        [part] = (place / "position_changes").rglob("*.parquet")
        pq.write_table(pq.read_table(part, partitioning=None).drop_columns(["fees"]), part)
        with closing(sqlite3.connect(place / ".state.db")) as conn:
            [[made_with]] = conn.execute("select made_with from meta")
            older = [SCHEMA_VERSION - 1, *json.loads(made_with)[1:]]
            conn.execute("update meta set made_with = ?", [json.dumps(older)])
            conn.commit()


class TestParquetThatWaits(TestParquet):
    """Rows wait in the state, and go to files when the store is closed."""

    flush_s = 3600.0


def opened(place: Path, **options) -> StoreWriter:
    options.setdefault("flush_s", 0.0)
    return StoreWriter(ParquetStore(place, **options), JOURNAL_ID)


def trades(first: int, count: int, day: int = 0) -> list[Record]:
    at = T + day * 86_400_000_000_000
    return [
        (seq, 0, Trade(at + seq, at + seq, 1, 4305997, seq, 1, seq)) for seq in range(first, first + count)
    ]


def apply(writer: StoreWriter, records: list[Record]) -> None:
    writer.apply(records, seq=records[-1][0], digest=digest_at(records[-1][0]))


def test_numbers_are_exact_and_times_have_nanoseconds(tmp_path: Path) -> None:
    """A price of 20 digits is one that no float holds."""
    listed = InstrumentListed(T, 1, "hyperliquid", "BTC", 10, 8)
    records: list[Record] = [
        (1, 0, listed),
        (2, 0, Trade(T + 123_456_789, T + 5, 1, 12_345_678_901_234_567_89, 1, -1, "a")),
    ]
    with opened(tmp_path) as writer:
        apply_all(writer, records)
    table = pq.read_table(tmp_path / "trades" / "day=2024-12-05" / "000001.parquet", partitioning=None)
    assert table.schema.field("price").type == pa.decimal128(38, 18)
    assert table.schema.field("at").type == pa.timestamp("ns", tz="UTC")
    assert table.column("at").cast(pa.int64()).to_pylist() == [T + 123_456_789]
    [row] = table.drop_columns(["at", "venue_time"]).to_pylist()
    assert row["price"] == Decimal("123456789.0123456789")
    assert row["size"] == Decimal("0.00000001")
    assert (row["at_ns"], row["venue_ns"], row["side"]) == (T + 123_456_789, T + 5, "sell")


def test_a_number_that_does_not_fit_is_an_error_that_names_the_key(tmp_path: Path) -> None:
    with (
        opened(tmp_path, decimals=4) as writer,
        pytest.raises(RowFailed, match=r"seq 1 .*more than 4 decimals; set `decimals = 5`"),
    ):
        apply_all(writer, [(1, 0, BTC)])
    large: list[Record] = [(2, 0, Trade(T, T, 1, 10**30, 100_000, 1, 1))]
    with opened(tmp_path / "small", decimals=5) as writer:
        apply_all(writer, [(1, 0, BTC)])
        apply(writer, large)
    with opened(tmp_path / "other", decimals=30) as writer:
        apply_all(writer, [(1, 0, BTC)])
        with pytest.raises(RowFailed, match=r"seq 2 .*more than 8 digits before the point"):
            apply(writer, large)


def test_small_batches_leave_no_small_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every file of a day but the last is full, whatever the sizes of the batches."""
    monkeypatch.setattr(module, "PART_ROWS", 100)
    chance, seq = random.Random(3), 1
    with opened(tmp_path) as writer:
        apply_all(writer, [(1, 0, BTC)])
        while seq < 3_000:
            count = chance.choice([1, 3, 20, 45, 60, 150])
            apply(writer, trades(seq + 1, count, day=seq // 1_500))
            seq += count
    seqs: list[int] = []
    for day in ("2024-12-05", "2024-12-06"):
        files = sorted((tmp_path / "trades" / f"day={day}").iterdir())
        counts = [pq.read_metadata(path).num_rows for path in files]
        assert min(counts[:-1]) >= 100
        for path in files:
            seqs += pq.ParquetFile(path).read(["seq"]).column("seq").to_pylist()
    assert seqs == list(range(2, seq + 1))


def test_a_correction_replaces_the_bar_in_the_file_that_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PART_ROWS", 10)
    with opened(tmp_path) as writer:
        apply_all(writer, [(1, 0, BTC)])
        for seq in range(2, 42):
            apply(writer, [bar(seq, seq, 100)])
        apply(writer, [bar(42, 5, 250, revision=1)])
        apply(writer, [bar(43, 5, 999)])  # an older revision is not the bar
    rows = [row for name, row in content_of(ParquetStore(tmp_path)) if name == "bars"]
    assert len(rows) == 40
    assert [(row["seq"], row["close"]) for row in rows if row["revision"]] == [(42, Decimal("2.50"))]
    assert len({row["start_ns"] for row in rows}) == 40


def test_a_reader_never_sees_half_a_file_nor_a_row_twice(tmp_path: Path) -> None:
    """Other programs read while rows are written: each row once, none missing among those before it."""
    stop, faults, reads = threading.Event(), [], [0]

    def read() -> None:
        while not stop.is_set():
            seqs = []
            for path in sorted(tmp_path.glob("trades/day=*/*.parquet")):
                seqs += pq.ParquetFile(path).read(["seq"]).column("seq").to_pylist()
            if seqs != list(range(2, len(seqs) + 2)):
                faults.append(seqs)
            reads[0] += bool(seqs)

    thread = threading.Thread(target=read)
    with opened(tmp_path) as writer:
        apply_all(writer, [(1, 0, BTC)])
        thread.start()
        for batch in range(40):
            apply(writer, trades(2 + batch * 50, 50))
    stop.set()
    thread.join()
    assert not faults
    assert reads[0] > 3


def test_rows_wait_for_a_file_and_survive_a_kill_while_they_do(tmp_path: Path) -> None:
    writer = opened(tmp_path, flush_s=3600)
    apply_all(writer, [(1, 0, BTC), *trades(2, 30)])
    assert not list(tmp_path.glob("trades/*/*.parquet"))
    place = shutil.copytree(tmp_path, tmp_path.with_name("killed"), ignore=shutil.ignore_patterns("*.lock"))
    writer.close()
    with opened(place, flush_s=3600) as again:
        assert again.seq == 31
        apply(again, trades(32, 1))
    for folder in (tmp_path, place):
        seqs = [row["seq"] for name, row in content_of(ParquetStore(folder)) if name == "trades"]
        assert seqs == list(range(2, 32 + (folder == place)))


def test_files_that_are_gone_or_not_whole_are_reported(tmp_path: Path) -> None:
    with opened(tmp_path) as writer:
        apply_all(writer, [(1, 0, BTC), *trades(2, 3)])
    path = tmp_path / "trades" / "day=2024-12-05" / "000001.parquet"
    data = path.read_bytes()
    path.write_bytes(data[:-9])
    with opened(tmp_path) as writer, pytest.raises(StoreUnavailable, match="not readable") as caught:
        apply(writer, trades(5, 1))
    assert caught.value.reason == "corrupt"
    path.unlink()
    with pytest.raises(StoreUnavailable, match="was deleted") as caught, opened(tmp_path):
        pass
    assert caught.value.reason == "deleted"
    writer = opened(tmp_path / "whole")
    apply_all(writer, [(1, 0, BTC)])
    shutil.rmtree(tmp_path / "whole")
    with pytest.raises(StoreUnavailable, match="was deleted") as caught:
        apply(writer, trades(2, 1))
    assert caught.value.reason == "deleted"


def test_other_tables_are_rebuilt_and_other_files_never_touched(tmp_path: Path) -> None:
    with opened(tmp_path, tables=["trades", "fills"]) as writer:
        apply_all(writer, a_day())
    assert {name for name, _ in content_of(ParquetStore(tmp_path))} == {"fills", "instruments", "orders"}
    for options in ({"tables": ["trades"]}, {"tables": ["trades", "fills"], "decimals": 9}):
        with pytest.raises(StoreOutOfStep, match="other tables or columns"), opened(tmp_path, **options):
            pass
    theirs = tmp_path / "theirs" / "trades" / "000001.parquet"
    theirs.parent.mkdir(parents=True)
    theirs.write_bytes(b"mine")
    for attempt in (
        lambda: opened(tmp_path / "theirs").read_cursor(),
        lambda: ParquetStore(tmp_path / "theirs").rebuild(lambda _: 0),
    ):
        with pytest.raises(StoreForeign, match="give another path"):
            attempt()
    assert theirs.read_bytes() == b"mine"


def test_a_rebuild_that_is_cut_off_is_done_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a crash while files are exchanged the store is not used, but rebuilt."""
    day = a_day()

    def fill(store: Store) -> int:
        apply_all(StoreWriter(store, JOURNAL_ID), day)
        return 22

    with opened(tmp_path) as writer:
        apply_all(writer, day)
    expected = content_of(ParquetStore(tmp_path))
    rename, left = Path.rename, [3]

    def cut(self: Path, target: Path) -> Path:
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", cut)
    with pytest.raises(KeyboardInterrupt):
        ParquetStore(tmp_path).rebuild(fill)
    monkeypatch.undo()
    assert ParquetStore(tmp_path).witness() is None
    with pytest.raises(StoreOutOfStep, match="not complete"), opened(tmp_path):
        pass
    assert ParquetStore(tmp_path).rebuild(fill) == 22
    assert content_of(ParquetStore(tmp_path)) == expected
    assert not list(tmp_path.glob(".rebuilding"))


def test_the_section_of_a_parquet_store(tmp_path: Path) -> None:
    store = make_store({"kind": "parquet", "path": str(tmp_path), "tables": ["position_changes"]}, tmp_path)
    assert store.tables == {"positions", "position_changes", "instruments"}
    for key, value, text in (
        ("tables", ["tradse"], "there is no table 'tradse'"),
        ("tables", ["cursor"], "there is no table 'cursor'"),
        ("decimals", 38, "must be 0 to 37"),
    ):
        with pytest.raises(ConfigError, match=text):
            make_store({"kind": "parquet", "path": "x", key: value}, tmp_path)


def test_without_pyarrow_the_error_names_the_extra(tmp_path: Path) -> None:
    code = """
        import sys; sys.modules["pyarrow"] = None
        from pathlib import Path
        from engine.stores.kinds import make_store
        make_store({"kind": "parquet", "path": "x"}, Path("."))
    """
    command = [sys.executable, "-c", "\n".join(line.strip() for line in code.splitlines())]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert "pip install 'retape[parquet]'" in done.stderr.splitlines()[-1]
