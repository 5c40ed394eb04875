"""The SQLite store when the database fails, has two writers, or an event cannot be made into a row."""

from __future__ import annotations

import contextlib
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from engine.events import (
    BarClosed,
    EquityMarked,
    InstrumentListed,
    OrderRejected,
    PriceMarked,
    SignalRaised,
    Trade,
)
from engine.stores.catchup import catch_up, rebuild
from engine.stores.errors import RowFailed, StoreOutOfStep, StoreUnavailable
from engine.stores.sqlite.reading import witness
from engine.stores.sqlite.store import SqliteStore
from engine.stores.store import Cursor

from .record_streams import (
    BTC,
    JOURNAL_ID,
    MINUTE_NS,
    ORDER,
    T,
    apply_all,
    booked,
    digest_at,
    dumped,
    frames_of,
    life_of_an_order,
    opened,
    reader_of,
    rows,
    run_apart,
)

OPENS = """
import sys
from pathlib import Path
from engine.stores.sqlite.store import SqliteStore

finders = list(sys.meta_path)
store = SqliteStore(Path(sys.argv[1]))
with store.transaction():
    pass
store.close()
assert "sqlite_utils" in sys.modules and "numpy" not in sys.modules
assert sys.meta_path == finders
import numpy
"""


def test_a_store_imports_no_numpy_and_a_strategy_can(tmp_path):
    pytest.importorskip("numpy")
    subprocess.run([sys.executable, "-c", OPENS, tmp_path / "rows.db"], check=True)


# A database that fails.


def test_a_locked_database_is_reported_and_the_batch_can_be_applied_later(tmp_path):
    """R11."""
    path = tmp_path / "rows.db"
    with opened(path) as writer:
        apply_all(writer, life_of_an_order()[:3])
        with contextlib.closing(sqlite3.connect(path)) as other:
            other.execute("begin immediate")
            for _ in range(2):
                with pytest.raises(StoreUnavailable) as caught:
                    apply_all(writer, life_of_an_order())
                assert caught.value.reason == "locked"
            other.rollback()
        assert apply_all(writer, life_of_an_order()) == 4
    with opened(tmp_path / "whole.db") as writer:
        apply_all(writer, life_of_an_order())
    assert dumped(path) == dumped(tmp_path / "whole.db")


def test_a_full_disk_is_reported_and_the_batch_can_be_applied_later(tmp_path):
    """R11."""
    path = tmp_path / "rows.db"
    stream = [(1, 0, BTC), *((seq, 0, SignalRaised(T, "ema", 1, "x" * 1000, 0.5)) for seq in range(2, 500))]
    with opened(path) as writer:
        pages = writer.store._db.conn.execute("pragma page_count").fetchone()[0]
        writer.store._db.conn.execute(f"pragma max_page_count = {pages + 5}")
        with pytest.raises(StoreUnavailable) as caught:
            apply_all(writer, stream)
        assert caught.value.reason == "full"
        assert witness(path) is None
        assert apply_all(writer, stream) == len(stream)


def test_a_database_deleted_while_running_is_reported_until_it_is_rebuilt(tmp_path):
    """R11."""
    path = tmp_path / "rows.db"
    frames = frames_of(life_of_an_order(), 1)
    with opened(path) as writer:
        catch_up(writer, frames[:5])
        path.unlink()
        for _ in range(2):
            with pytest.raises(StoreUnavailable) as caught:
                catch_up(writer, frames)
            assert caught.value.reason == "deleted"
            assert not path.exists()
        rebuild(SqliteStore(path), [Path("day")], read=reader_of({"day": frames[:6]}))
        assert catch_up(writer, frames[5:]) == 7
    with opened(tmp_path / "whole.db") as writer:
        catch_up(writer, frames)
    assert dumped(path) == dumped(tmp_path / "whole.db")


@pytest.mark.parametrize("damage", ["whole", "header", "middle"])
def test_a_corrupt_database_is_reported_and_rebuilt(tmp_path, damage):
    """R11."""
    path = tmp_path / "rows.db"
    frames = frames_of(life_of_an_order(), 1)
    with opened(path) as writer:
        catch_up(writer, frames[:5])
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(0 if damage != "middle" else 4096)
        file.write(b"\xaa" * (100 if damage == "header" else size - 4096))

    def go_on() -> None:
        for part in (frames[5:6], frames[6:]):
            with opened(path) as writer:
                catch_up(writer, part)

    with pytest.raises(StoreUnavailable) as caught:
        go_on()
    assert caught.value.reason == "corrupt"
    assert caught.value.exit_code == 1
    rebuild(SqliteStore(path), [Path("day")], read=reader_of({"day": frames}))
    with opened(tmp_path / "whole.db") as writer:
        catch_up(writer, frames)
    assert dumped(path) == dumped(tmp_path / "whole.db")


def test_a_missing_folder_is_reported(tmp_path):
    """R11."""
    with pytest.raises(StoreUnavailable) as caught:
        opened(tmp_path / "no" / "rows.db")
    assert caught.value.reason == "unreachable"


def test_a_table_dropped_by_another_program_is_reported(tmp_path):
    """R11."""
    path = tmp_path / "rows.db"
    with opened(path) as writer:
        rows(path, "drop table equity")
        with pytest.raises(StoreUnavailable) as caught:
            apply_all(writer, life_of_an_order())
        assert caught.value.reason == "corrupt"


def test_a_database_that_is_not_a_store_is_never_changed(tmp_path):
    path = tmp_path / "notes.db"
    rows(path, "create table notes (text)")
    before = path.read_bytes()
    with pytest.raises(StoreOutOfStep, match="other data"):
        opened(path)
    with pytest.raises(StoreOutOfStep, match="other data"):
        rebuild(SqliteStore(path), [Path("day")], read=reader_of({"day": frames_of(life_of_an_order(), 3)}))
    assert rows(path, "select name from sqlite_master") == [("notes",)]
    assert len(path.read_bytes()) == len(before)


# One writer.


def test_a_second_writer_is_refused(tmp_path):
    """R12: in this process or another, for writing or for a rebuild."""
    path = tmp_path / "rows.db"
    with opened(path):
        with pytest.raises(StoreUnavailable, match="already has a writer"):
            opened(path)
        with pytest.raises(StoreUnavailable, match="already has a writer"):
            rebuild(SqliteStore(path), [Path("day")], read=reader_of({"day": []}))
        code = """
            try:
                opened(Path(sys.argv[1]))
            except StoreUnavailable:
                os._exit(7)
        """
        assert run_apart(code, path) == 7
    opened(path).close()


def test_only_the_writer_ever_writes_or_checkpoints(tmp_path):
    """R12: what reads (witness, dump) leaves the -wal as it is, even as the last to close."""
    path = tmp_path / "rows.db"
    code = """
        writer = opened(Path(sys.argv[1]))
        apply_all(writer, life_of_an_order())
        os._exit(9)
    """
    assert run_apart(code, path) == 9
    wal = path.with_name("rows.db-wal")
    left = wal.read_bytes()
    assert left, "the process died with its rows in the -wal"
    assert witness(path) == Cursor(JOURNAL_ID, 7, digest_at(7))
    assert len(dumped(path)) > 5
    assert wal.read_bytes() == left
    with opened(path) as writer:
        assert writer.store._db.journal_mode == "wal"
        assert writer.seq == 7
    assert not wal.exists()


# One bad event.


POISON = {
    "a time beyond 64 bits": Trade(T, 2**64 - 1, 1, 1, 1, 1),
    "an invalid side": Trade(T, T, 1, 1, 1, 5),
    "text that is not a number": BarClosed(T, 1, MINUTE_NS, T, 1, 1, 1, 1, "many", 1, "trade"),
    "a number of 5,000 digits": BarClosed(T, 1, MINUTE_NS, T, 1, 1, 1, 1, "9" * 5000, 1, "trade"),
    "a lone surrogate": OrderRejected(T, T, ORDER, "\ud800"),
    "a fee that cannot be summed": booked(T, 1, 1, "9" * 500, 99),
}


@pytest.mark.parametrize("event", POISON.values(), ids=POISON)
def test_an_event_without_a_row_is_reported_and_stops_the_store(tmp_path, event):
    """R13, V05."""
    path = tmp_path / "rows.db"
    stream = life_of_an_order()
    with opened(path, with_trades=True) as writer:
        apply_all(writer, stream[:2])
        before = dumped(path)
        poisoned = [*stream[2:5], (6, 0, event), (7, 0, EquityMarked(T, 2, 1, 2, 3, 4))]
        for _ in range(2):
            with pytest.raises(RowFailed, match="seq 6") as caught:
                apply_all(writer, poisoned)
            assert (caught.value.seq, caught.value.event_type) == (6, type(event).__name__)
            assert "\n" not in str(caught.value)
            assert dumped(path) == before
        with pytest.raises(StoreOutOfStep):
            apply_all(writer, poisoned[4:])
        assert apply_all(writer, poisoned[:3]) == 3


def test_a_failed_batch_has_no_effect(tmp_path):
    """R13: a new grid in a batch that was undone is not the grid of what comes before it."""
    path = tmp_path / "rows.db"
    mark = (2, 1, PriceMarked(T, 1, 4305997))
    relisted = (3, 0, InstrumentListed(T, 1, "hyperliquid", "BTC", 4, 5))
    with opened(path) as writer:
        apply_all(writer, [(1, 0, BTC)])
        with pytest.raises(RowFailed):
            apply_all(writer, [mark, relisted, (4, 0, POISON["a fee that cannot be summed"])])
        apply_all(writer, [mark])
    assert rows(path, "select price from marks") == [(43059.97,)]
