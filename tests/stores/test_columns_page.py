"""The queries on docs/stores-columns.md: those for Parquet run in DuckDB, where it is installed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from engine.stores.parquet.store import ParquetStore
from engine.stores.writer import StoreWriter

from .record_streams import JOURNAL_ID, digest_at
from .store_contract import a_day

PAGE = Path(__file__).resolve().parents[2] / "docs" / "stores-columns.md"


def queries(section: str) -> list[str]:
    """Return the queries of a section of the page."""
    text = PAGE.read_text().partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    return re.findall(r"```sql\n(.*?)```", text, re.DOTALL)


def test_the_queries_of_the_page_run_on_parquet_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    duckdb = pytest.importorskip("duckdb", reason="the queries need the package duckdb")
    with StoreWriter(ParquetStore(tmp_path / "rows"), JOURNAL_ID) as writer:
        writer.apply(a_day(), seq=22, digest=digest_at(22))
    monkeypatch.chdir(tmp_path)
    hours, positions = (duckdb.sql(sql).fetchall() for sql in queries("Parquet"))
    assert len(hours) == 1
    assert len(positions) == 1
