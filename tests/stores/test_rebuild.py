"""Rebuilding rows: equal to the live ones, and put in place whole."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import pytest

from engine.events import (
    BarClosed,
    SignalRaised,
)
from engine.journal import Draft, JournalWriter, Tail, ensure_identity, seal_day
from engine.stores.catchup import catch_up, rebuild
from engine.stores.errors import RowFailed, StoreOutOfStep, StoreUnavailable
from engine.stores.sqlite.reading import first_difference, witness
from engine.stores.sqlite.store import SqliteStore

from .record_streams import (
    BTC,
    JOURNAL_ID,
    MINUTE_NS,
    T,
    apply_all,
    dumped,
    frames_of,
    life_of_an_order,
    opened,
    reader_of,
    rows,
)

# Rebuilds.


def written_days(root: Path, records) -> list[Path]:
    """The records as a journal of two days on disk, the first one sealed."""
    ensure_identity(root, JOURNAL_ID)
    frames = frames_of(records, 2)
    salts = iter(bytes([number]) * 16 for number in range(1, 99))
    with JournalWriter(root, Tail(journal_id=JOURNAL_ID), salts=lambda: next(salts)) as writer:
        for number, frame in enumerate(frames):
            day_later = 86_400_000_000_000 if number >= len(frames) // 2 else 0
            draft = Draft(frame.first_seq, frame.count, frame.inputs, frame.derived)
            assert writer.append(draft, T + number + day_later) == frame.digest
    days = [root / "2024-12-05", root / "2024-12-06"]
    seal_day(days[0])
    return days


def test_rebuild_from_a_journal_on_disk_equals_the_live_rows(tmp_path):
    """I14, against the real reader."""
    days = written_days(tmp_path / "journal", life_of_an_order())
    live, again = tmp_path / "live.db", tmp_path / "again.db"
    with opened(live, with_trades=True) as writer:
        catch_up(writer, frames_of(life_of_an_order(), 2))
    reached: list[int] = []
    assert rebuild(SqliteStore(again, with_trades=True), days, progress=reached.append) == 7
    assert reached[-1] == 7
    assert first_difference(live, again) is None
    assert not list(tmp_path.glob("*rebuilding*"))


def test_first_difference_names_table_and_column(tmp_path):
    one, other = tmp_path / "one.db", tmp_path / "other.db"
    for path in (one, other):
        with opened(path) as writer:
            apply_all(writer, life_of_an_order())
    assert first_difference(one, other) is None
    rows(other, "update fills set price = 1 where seq = 6")
    assert "fills" in str(first_difference(one, other))
    rows(other, "delete from fills where seq = 6")
    assert "only one" in str(first_difference(one, other))


def test_days_of_two_journals_are_not_mixed(tmp_path):
    path = tmp_path / "rows.db"
    frames = frames_of(life_of_an_order(), 2)

    def read(day: Path):
        return reader_of({day.name: frames}, day.name.ljust(16).encode())(day)

    with pytest.raises(StoreOutOfStep, match="another journal"):
        rebuild(SqliteStore(path), [Path("one"), Path("two")], read=read)
    assert not path.exists()


def test_a_journal_with_nothing_in_it_gives_empty_tables(tmp_path):
    path = tmp_path / "rows.db"
    assert rebuild(SqliteStore(path), [Path("day")], read=reader_of({"day": []})) == 0
    assert witness(path) is None
    assert dumped(path) == []


def counts(conn: sqlite3.Connection) -> tuple[int, int]:
    """Two numbers that agree in the old rows and in the new ones, but not in a mix of both."""
    return conn.execute("select (select count(*) from signals), (select seq from cursor) - 1").fetchone()


def test_readers_of_a_rebuild_see_old_rows_or_new_ones_and_never_a_mix(tmp_path):
    """R14: a reader in a transaction, one between two, and one that opens at each step."""
    path = tmp_path / "rows.db"

    def stream(count: int) -> list:
        signals = ((seq, 0, SignalRaised(T, "ema", 1, "x" * 300, 0.5)) for seq in range(2, count + 2))
        return [(1, 0, BTC), *signals]

    with opened(path) as writer:
        catch_up(writer, frames_of(stream(100), 10))
    with (
        contextlib.closing(sqlite3.connect(path)) as within,
        contextlib.closing(sqlite3.connect(path)) as between,
    ):
        within.execute("begin")
        assert counts(within) == counts(between) == (100, 100)
        seen = []

        def look(_seq: int) -> None:
            with contextlib.closing(sqlite3.connect(path)) as fresh:
                seen.append(counts(fresh))

        read = reader_of({"day": frames_of(stream(90_000), 10_000)})
        rebuild(SqliteStore(path), [Path("day")], read=read, progress=look)
        look(0)
        assert set(seen[:-1]) == {(100, 100)}
        assert len(seen) > 3
        assert seen[-1] == counts(between) == (90_000, 90_000)
        assert counts(within) == (100, 100)
        within.rollback()
        assert counts(within) == (90_000, 90_000)
    with opened(path) as writer:
        assert writer.seq == 90_001


def test_a_rebuild_that_fails_leaves_the_old_rows(tmp_path):
    """R14."""
    path = tmp_path / "rows.db"
    with opened(path) as writer:
        catch_up(writer, frames_of(life_of_an_order(), 2))
    before = dumped(path)
    bad = [*life_of_an_order(), (8, 0, BarClosed(T, 1, MINUTE_NS, T, 1, 1, 1, 1, "many", 1, "trade"))]
    with pytest.raises(RowFailed):
        rebuild(SqliteStore(path), [Path("day")], read=reader_of({"day": frames_of(bad, 2)}))
    assert dumped(path) == before
    assert [entry.name for entry in tmp_path.iterdir() if "rebuilding" in entry.name] == []
    opened(path).close()


def test_a_rebuild_waits_for_a_locked_database_only_so_long(tmp_path, monkeypatch):
    """R11, R14."""
    monkeypatch.setattr("engine.stores.sqlite.copying.BUSY_SECONDS", 0.1)
    path = tmp_path / "rows.db"
    with opened(path) as writer:
        apply_all(writer, life_of_an_order())
    before = dumped(path)
    with contextlib.closing(sqlite3.connect(path)) as other:
        other.execute("begin immediate")
        with pytest.raises(StoreUnavailable) as caught:
            rebuild(
                SqliteStore(path), [Path("day")], read=reader_of({"day": frames_of(life_of_an_order(), 2)})
            )
        assert caught.value.reason == "locked"
    assert dumped(path) == before
