"""`engine query` on Parquet, in DuckDB: it needs no server, but an extra that `make test-stores` installs."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from engine.stores.catchup import catch_up, rebuild
from engine.stores.parquet import store as module
from engine.stores.parquet.store import ParquetStore
from engine.stores.sqlite.store import SqliteStore
from engine.stores.writer import StoreWriter
from tests.commands.kit import engine
from tests.stores.full_day import full_day
from tests.stores.record_streams import JOURNAL_ID, frames_of
from tests.stores.test_columns_page import queries
from tests.stores.test_rebuild import written_days

pytest.importorskip("duckdb", reason="queries on Parquet need the package duckdb")

QUESTIONS = [
    "select count(*), max(seq) from trades",
    'select "time", symbol, "interval", cast(close as double), revision from ohlcv order by seq',
    "select client_order_id, state, cast(filled as double), avg_price from orders order by seq",
    "select strategy, cast(size as double) from open_positions",
    "select cast(equity as double), cast(pnl as double) from daily_pnl",
    "select strategy, cast(net as double) from round_trips",
    "select instrument, seq from instruments order by instrument_id",
    "select session, stop_reason from sessions",
]
"""Their answers are the same in SQLite, but for the texts of times."""


def answers(store: object) -> list[list[tuple[object, ...]]]:
    return [
        [
            tuple(value for value in row if not hasattr(value, "year") and "T00:" not in str(value))
            for row in found
        ]
        for found in (list(store.query(sql)[1]) for sql in QUESTIONS)
    ]


def test_a_query_sees_each_row_once_in_files_or_before_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files of few rows; rows that wait, and replace others; rows that a crash left behind the state."""
    monkeypatch.setattr(module, "PART_ROWS", 10)
    days = written_days(tmp_path / "journal", full_day())
    rebuild(SqliteStore(tmp_path / "rows.db", with_trades=True), days)
    expected = answers(SqliteStore(tmp_path / "rows.db"))
    assert all(expected)
    folder = tmp_path / "rows"
    with StoreWriter(ParquetStore(folder, flush_s=3600), JOURNAL_ID) as writer:
        catch_up(writer, frames_of(full_day(), 2), until_seq=20)
    with StoreWriter(ParquetStore(folder, flush_s=3600), JOURNAL_ID) as writer:
        catch_up(writer, frames_of(full_day(), 2))
        assert answers(ParquetStore(folder)) == expected
    assert answers(ParquetStore(folder)) == expected
    assert not list(folder.glob(".reading-*"))
    crashed = ParquetStore(tmp_path / "crashed", flush_s=0)
    with StoreWriter(crashed, JOURNAL_ID) as writer:
        catch_up(writer, frames_of(full_day(), 2), until_seq=60)
    with monkeypatch.context() as patched, contextlib.suppress(ZeroDivisionError):
        patched.setattr(module.State, "commit", lambda _: 1 // 0)
        with StoreWriter(ParquetStore(tmp_path / "crashed", flush_s=0), JOURNAL_ID) as writer:
            catch_up(writer, frames_of(full_day(), 2))
    [(trades,)] = ParquetStore(tmp_path / "crashed").query("select max(seq) from trades")[1]
    assert trades <= 60


def test_a_query_changes_nothing_and_reads_only_the_store(tmp_path: Path) -> None:
    rebuild(ParquetStore(tmp_path / "rows"), written_days(tmp_path / "journal", full_day()))
    (tmp_path / "secret.csv").write_text("a\n1\n")
    out = tmp_path / "out.csv"
    for sql, words in (
        (f"copy trades to '{out}'", "only queries are run here"),
        ("select 1; drop view trades", "give one query, not 2"),
        (" ", "give one query, not 0"),
        (f"select * from read_csv('{tmp_path}/secret.csv')", "disabled by configuration"),
        (f"select * from '{tmp_path}/secret.csv'", "disabled by configuration"),
        ("attach 'other.db'", "only queries are run here"),
        ("selct 1", "syntax error"),
        ("select * from nothing", "nothing does not exist"),
    ):
        done = engine("query", "--store", f"parquet://{tmp_path}/rows", "--", sql)
        assert (done.code, words in done.err) == (2, True), done.err
        assert len(done.err.splitlines()) == 1
    assert not out.exists()
    done = engine(
        "query", "select price from trades order by seq limit 1", "--store", f"parquet://{tmp_path}/rows"
    )
    assert done.out.split() == ["price", "430.5"]
    assert (
        "there is no store in this folder"
        in engine("query", "select 1", "--store", f"parquet://{tmp_path}").err
    )


def test_the_queries_of_the_page_run_also_as_engine_query(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import duckdb

    rebuild(ParquetStore(tmp_path / "rows"), written_days(tmp_path / "journal", full_day()))
    monkeypatch.chdir(tmp_path)
    hours, positions = queries("Parquet")
    assert len(duckdb.sql(hours).fetchall()) == 1
    assert len(duckdb.sql(positions).fetchall()) == 1
