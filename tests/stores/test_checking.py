"""`engine project --check` on a store without transactions: what is equal, and how a difference is named."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from engine.events import FootprintClosed, Trade
from engine.events.codec import Record
from engine.stores.catchup import catch_up, rebuild
from engine.stores.checking import check
from engine.stores.errors import StoreUnavailable
from engine.stores.parquet import store as module
from engine.stores.parquet.store import ParquetStore
from engine.stores.writer import StoreWriter
from tests.commands.kit import as_json, engine

from .record_streams import JOURNAL_ID, MINUTE_NS, T, frames_of
from .store_contract import a_day, bar
from .test_rebuild import written_days


def records() -> list[Record]:
    """A day with changes of every kind, trades, and a footprint at prices of 4 and 5 digits."""
    made = a_day()
    for seq in range(23, 60):
        made.append((seq, 0, Trade(T + seq, T + seq, 1, 4_305_000 + seq, 10, 1, seq)))
    levels = tuple((price, 5, 3, 0) for price in (98_000_000, 99_000_000, 100_000_000, 101_000_000))
    made.append((60, 0, FootprintClosed(T, 1, MINUTE_NS, T, 1_000_000, levels, 8, 8)))
    made.append(bar(61, 1, 430_599_600, revision=2))
    made.append(bar(62, 3, 430_599_500))
    return made


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PART_ROWS", 10)


def test_a_store_is_equal_at_each_point_also_while_it_is_written(tmp_path: Path) -> None:
    """Rows in files, rows that wait, and both; the writer is open."""
    days, frames = written_days(tmp_path / "journal", records()), frames_of(records(), 2)
    for flush_s in (0.0, 3600.0):
        folder = tmp_path / f"rows{flush_s}"
        for end in (7, 15, 31):
            store = ParquetStore(folder, flush_s=flush_s)
            with StoreWriter(store, JOURNAL_ID) as writer:
                catch_up(writer, frames[:end])
                done = check(ParquetStore(folder), days)
                assert (done.seq, done.difference) == (frames[end - 1].last_seq, None)
        assert not list(folder.glob(".reading-*"))
    assert done.rows > 40


def test_rows_ahead_of_the_cursor_after_a_crash_are_no_difference(tmp_path: Path) -> None:
    """Files of later batches, also of replaced rows, with the cursor of an earlier one."""
    days, frames = written_days(tmp_path / "journal", records()), frames_of(records(), 2)
    folder = tmp_path / "rows"
    for end in (5, 29):
        with StoreWriter(ParquetStore(folder, flush_s=0.0), JOURNAL_ID) as writer:
            catch_up(writer, frames[:end])
        shutil.copy(folder / ".state.db", tmp_path / "earlier.db")
        with StoreWriter(ParquetStore(folder, flush_s=0.0), JOURNAL_ID) as writer:
            catch_up(writer, frames)
        (folder / ".state.db").unlink()
        shutil.copy(tmp_path / "earlier.db", folder / ".state.db")
        done = check(ParquetStore(folder), days)
        assert (done.seq, done.difference) == (frames[end - 1].last_seq, None)
        shutil.rmtree(folder)


def test_what_is_not_as_the_journal_says_is_named(tmp_path: Path) -> None:
    days, folder = written_days(tmp_path / "journal", records()), tmp_path / "rows"
    store = ParquetStore(folder)
    assert check(store, days).difference == "it has no rows of a journal"
    rebuild(store, days)
    path = folder / "trades" / "day=2024-12-05" / "000001.parquet"

    def another(rows: pa.Table) -> pa.Table:
        at = rows.schema.get_field_index("size")
        return rows.set_column(at, "size", rows.column("price"))

    changes: tuple[tuple[Callable[[pa.Table], pa.Table], str], ...] = (
        (another, "a row of trades differs from the journal's: ('seq',) (23,)"),
        (lambda rows: pa.concat_tables([rows.slice(0, 1), rows.slice(0, 36)]), "a row too many, (23,)"),
        (lambda rows: pa.concat_tables([rows.slice(1), rows.slice(36)]), "trades lacks the row (23,)"),
    )
    whole = pq.ParquetFile(path).read()
    assert whole.column("seq").to_pylist() == list(range(23, 60))
    for change, words in changes:
        pq.write_table(change(whole), path)
        assert words in str(check(store, days).difference)
    pq.write_table(whole.slice(1), path)
    with pytest.raises(StoreUnavailable, match="has 36 rows, not 37"):
        check(store, days)
    pq.write_table(whole, path)
    assert check(store, days).difference is None


def test_the_commands_take_the_folder_as_an_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written_days(tmp_path / "journal", records())
    address = f"parquet://{tmp_path / 'rows'}"
    assert as_json(engine("project", tmp_path / "journal", "--to", address, "--json"))["seq"] == 62
    done = engine("project", tmp_path / "journal", "--to", address, "--check")
    assert (done.code, "equal to a rebuild, row for row" in done.out) == (0, True), done
    config = tmp_path / "engine.toml"
    section = f'[[stores]]\nkind = "parquet"\nname = "few"\npath = "{tmp_path / "few"}"\ntables = ["bars"]\n'
    config.write_text(section)
    for options, words in ((("--check",), "no rows"), ((), "up to seq 62"), (("--check",), "equal")):
        done = engine("project", tmp_path / "journal", "--to", "few", "--config", config, *options)
        assert words in done.out, done
    monkeypatch.setitem(sys.modules, "duckdb", None)
    done = engine("query", "select 1", "--store", address)
    assert (done.code, done.err) == (2, "engine: SQL on Parquet needs DuckDB: pip install 'retape[duckdb]'\n")
    config.write_text(f'[[stores]]\nkind = "csv"\npath = "{tmp_path / "bars"}"\n')
    done = engine("query", "select 1", "--store", "csv", "--config", config)
    assert (done.code, "of kind 'csv' answers no SQL; ask SQLite" in done.err) == (
        2,
        True,
    )
    done = engine("project", tmp_path / "journal", "--to", "ftp://x")
    assert done.code == 2
    assert "parquet://" in done.err
