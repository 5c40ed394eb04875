"""`research.data`: the same rows whichever store they come from; what is not held is named."""

from __future__ import annotations

import contextlib
import sqlite3
from decimal import Decimal
from pathlib import Path
from types import NoneType
from typing import Any, get_args, get_type_hints

import pytest

from engine import research
from engine.errors import UsageError
from engine.research.records import RECORDS, Bar, Exact
from engine.stores.catchup import catch_up, rebuild
from engine.stores.errors import StoreOutOfStep
from engine.stores.parquet.store import ParquetStore
from engine.stores.rows.tables import TABLES
from engine.stores.rows.units import exact_text
from engine.stores.sqlite.store import SqliteStore
from engine.stores.writer import StoreWriter
from tests.commands.kit import SAMPLE
from tests.stores.full_day import everything, full_day, parts
from tests.stores.record_streams import JOURNAL_ID, frames_of
from tests.stores.test_rebuild import written_days


@pytest.fixture(scope="module")
def days(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return written_days(tmp_path_factory.mktemp("data") / "journal", full_day())


def test_every_store_gives_the_rows_of_the_journal(days: list[Path], tmp_path: Path) -> None:
    expected = research.data(days)
    assert all(everything(expected).values()), "every kind of row is there"
    rebuild(SqliteStore(tmp_path / "rows.db", with_trades=True), days)
    rebuild(ParquetStore(tmp_path / "rows"), days)
    waiting = ParquetStore(tmp_path / "waiting", flush_s=3600)
    with StoreWriter(waiting, JOURNAL_ID) as writer:
        catch_up(writer, frames_of(full_day(), 2), until_seq=41)
        catch_up(writer, frames_of(full_day(), 2))
        for source in (
            days[0].parent,
            tmp_path / "rows.db",
            {"kind": "sqlite", "path": str(tmp_path / "rows.db"), "trades": True},
            f"parquet://{tmp_path}/rows",
            f"parquet://{tmp_path}/waiting",
        ):
            with research.data(source) as data:
                assert everything(data) == everything(expected), data
                assert parts(data) == parts(expected), data
                assert data.seq == expected.seq == len(full_day())
    expected.close()


def test_rows_are_chosen_by_texts_and_times(days: list[Path]) -> None:
    with research.data(days) as data:
        every, chosen = everything(data), parts(data)
        assert [bar.interval for bar in chosen["minutes"]] == ["1m"] * len(chosen["minutes"])
        begin_ns = 1_733_356_920_000_000_000
        for name, column in (("trades", "venue_ns"), ("bars", "start_ns"), ("open_interest", "time_ns")):
            within = [
                row for row in every[name] if begin_ns <= getattr(row, column) <= begin_ns + 120_000_000_000
            ]
            assert chosen[f"{name} span"] == within
            assert 0 < len(within) < len(every[name])
            assert chosen[f"{name} nothing"] == []
        assert {row.instrument for row in chosen["trades BTC"]} == {"BTC"}
        assert [row.unit for row in every["funding"]] == ["fraction", "money"] * 6
        assert 0 < len(chosen["slow"]) < len(every["signals"])
        for name, rows in every.items():
            assert [row.seq for row in rows] == [row.seq for row in dict.fromkeys(rows)], name
        with pytest.raises(UsageError, match="begin: 'soon' is not an ISO"):
            data.bars(begin="soon")


def test_numbers_are_exact_and_become_columns(days: list[Path]) -> None:
    with research.data(days) as data:
        bar = data.bars("kPEPE")[0]
        assert (bar.open, bar.incomplete, bar.because) == ("1.234567", False, "")
        columns = {name: kind for name, kind, _ in data.bars()._columns()}
        assert (columns["start_utc"], columns["open"], columns["vwap"]) == ("time", "exact", "float")
        assert (columns["trades"], columns["incomplete"], columns["interval"]) == ("int", "bool", "text")
        assert repr(data) == f"<data of {days[0]}, {days[1]}>"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        *((1e-7, "0.0000001"), (100017.0, "100017"), (1e22, "10000000000000000000000")),
        *((Decimal("0E-18"), "0"), (Decimal("-1.250"), "-1.25"), ("100", "100"), ("-0.0", "0")),
        ("12345678901234567890.123456789012345678", "12345678901234567890.123456789012345678"),
    ],
)
def test_a_number_of_any_store_has_one_text(value: Any, text: str) -> None:
    assert exact_text(value) == text


def test_the_fields_are_columns_of_the_tables_with_their_kinds() -> None:
    for cls, table in RECORDS.items():
        shape, hints = TABLES[table], get_type_hints(cls, include_extras=True)
        for name, hint in hints.items():
            kind = next((one for one in get_args(hint) if one is not NoneType), hint)
            kind = hint if hint == Exact else kind
            of_column = shape.columns[name]
            exact = of_column is float and name not in shape.quotients
            assert kind == (Exact if exact else of_column), f"{cls.__name__}.{name}"


def test_what_is_not_held_is_named(days: list[Path], tmp_path: Path) -> None:
    rebuild(SqliteStore(tmp_path / "few.db"), days)
    few = research.data(tmp_path / "few.db")
    assert "trades" not in few.tables
    with pytest.raises(
        UsageError, match=r"few.db: has no rows of trades; it holds bars, orders, fills, trips"
    ):
        few.trades()
    rebuild(ParquetStore(tmp_path / "bars", tables=["ohlcv"]), days)
    with pytest.raises(UsageError, match=r"has no rows of trips; it holds bars$"):
        research.data(f"parquet://{tmp_path}/bars").trips()
    with contextlib.closing(sqlite3.connect(tmp_path / "few.db")) as conn:
        conn.execute("pragma user_version = 1")
    with pytest.raises(StoreOutOfStep, match="of version 1, not"):
        few.bars()
    with pytest.raises(UsageError, match="no such day"):
        research.data(tmp_path / "missing")
    with pytest.raises(UsageError, match="a store of kind 'csv' cannot be read here"):
        research.data({"kind": "csv", "path": str(tmp_path / "csv")}).bars()


def test_a_scratch_database_is_removed(
    days: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    data = research.data(days)
    assert len(data.trades()) == 12
    assert [path.name.startswith("retape-research-") for path in tmp_path.iterdir()] == [True]
    data.close()
    assert list(tmp_path.iterdir()) == []
    assert len(data.trades()) == 12
    del data
    assert list(tmp_path.iterdir()) == []


def test_the_recorded_day_is_read() -> None:
    with research.data(SAMPLE) as data:
        bars = data.bars("BTC", "1m")
        assert isinstance(bars[0], Bar)
        assert len(bars) == 75
        report = research.report(SAMPLE)
        assert [fill.price for fill in data.fills()] == [fill.price for fill in report.fills]
