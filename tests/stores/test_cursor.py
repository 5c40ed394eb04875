"""The cursor and the rows: one transaction, the same rows however they came, no row twice."""

from __future__ import annotations

import contextlib
import sqlite3

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from engine.events import (
    EquityMarked,
)
from engine.stores.catchup import catch_up
from engine.stores.errors import StoreError, StoreOutOfStep, StoreUnavailable
from engine.stores.sqlite.reading import first_difference, witness
from engine.stores.sqlite.store import SqliteStore
from engine.stores.store import Cursor
from engine.stores.writer import StoreWriter

from .record_streams import (
    JOURNAL_ID,
    T,
    apply_all,
    digest_at,
    dumped,
    filled_before_and_after,
    frames_of,
    life_of_an_order,
    opened,
    record_streams,
    rows,
    run_apart,
)

# The same rows, however they came.


@given(records=record_streams(), cut=st.integers(1, 41))
@example(records=filled_before_and_after(), cut=3)
@example(records=filled_before_and_after(), cut=9)
def test_any_split_with_a_restart_between_gives_the_same_rows(tmp_path_factory, records, cut):
    """I14, R09: what a batch needs of the past is in the database."""
    folder = tmp_path_factory.mktemp("split")
    with opened(folder / "one.db", with_trades=True) as whole:
        apply_all(whole, records)
    at = min(cut, len(records) - 1)
    for part in (records[:at], records[at:]):
        with opened(folder / "two.db", with_trades=True) as writer:
            apply_all(writer, part)
    assert first_difference(folder / "one.db", folder / "two.db") is None
    assert dumped(folder / "one.db") == dumped(folder / "two.db")


def test_split_at_every_point_gives_the_same_rows(tmp_path):
    records = life_of_an_order()
    with opened(tmp_path / "one.db") as whole:
        apply_all(whole, records)
    for at in range(1, len(records)):
        path = tmp_path / f"{at}.db"
        for part in (records[:at], records[at:]):
            with opened(path) as writer:
                apply_all(writer, part)
        assert dumped(path) == dumped(tmp_path / "one.db")


@given(records=record_streams(), data=st.data())
def test_records_applied_again_change_nothing(tmp_path_factory, records, data):
    path = tmp_path_factory.mktemp("again") / "rows.db"
    with opened(path) as writer:
        apply_all(writer, records)
        before = dumped(path)
        end = data.draw(st.integers(1, len(records)))
        assert apply_all(writer, records[:end]) == 0
        assert dumped(path) == before
        late = (len(records) + 1, 0, EquityMarked(T, 2, 1, 2, 3, 4))
        assert apply_all(writer, [*records[end - 1 :], late]) == 1


# The cursor.


@pytest.mark.parametrize(
    "where", ["insert on orders", "insert on fills", "insert on equity", "update on cursor"]
)
def test_cursor_and_rows_are_one_transaction(tmp_path, where):
    """R09, X13: whatever stops a batch, a reader sees neither its rows nor its cursor."""
    path = tmp_path / "rows.db"
    with opened(path) as writer:
        apply_all(writer, life_of_an_order()[:3])
        before = dumped(path)
        rows(path, f"create trigger stop before {where} begin select raise(abort, 'stopped here'); end")
        with pytest.raises(StoreError, match="stopped here"):
            apply_all(writer, life_of_an_order())
        assert dumped(path) == before
        assert witness(path) == Cursor(JOURNAL_ID, 3, digest_at(3))
        assert writer.seq == 3
        rows(path, "drop trigger stop")
        assert apply_all(writer, life_of_an_order()) == 4
        assert witness(path) == Cursor(JOURNAL_ID, 7, digest_at(7))


def test_killed_between_rows_and_commit_leaves_the_batch_before(tmp_path):
    """R09: the process dies with the transaction open; the next one goes on from the cursor."""
    path = tmp_path / "rows.db"
    with opened(path) as writer:
        apply_all(writer, life_of_an_order()[:3])
    code = """
        writer = opened(Path(sys.argv[1]))
        writer.store._write_cursor = lambda cursor: os._exit(9)
        apply_all(writer, life_of_an_order())
    """
    assert run_apart(code, path) == 9
    assert witness(path) == Cursor(JOURNAL_ID, 3, digest_at(3))
    with opened(path) as writer:
        assert apply_all(writer, life_of_an_order()) == 4
    with opened(tmp_path / "whole.db") as writer:
        apply_all(writer, life_of_an_order())
    assert dumped(path) == dumped(tmp_path / "whole.db")


def test_the_witness_is_the_end_of_the_rows(tmp_path):
    path = tmp_path / "rows.db"
    assert witness(path) is None
    with opened(path) as writer:
        assert witness(path) is None
        apply_all(writer, life_of_an_order())
        assert witness(path) == Cursor(JOURNAL_ID, 7, digest_at(7))
        assert (writer.seq, writer.digest) == (7, digest_at(7))
    assert witness(path) == Cursor(JOURNAL_ID, 7, digest_at(7))
    path.write_bytes(b"nonsense" * 1000)
    with pytest.raises(StoreUnavailable):
        witness(path)


def test_rows_of_another_journal_are_refused(tmp_path):
    """R10."""
    path = tmp_path / "rows.db"
    with opened(path) as writer:
        apply_all(writer, life_of_an_order())
    with pytest.raises(StoreOutOfStep, match="engine project DAY"):
        StoreWriter(SqliteStore(path), bytes(16)).read_cursor()


def test_rows_of_another_shape_are_refused(tmp_path):
    """R10."""
    path = tmp_path / "rows.db"
    with opened(path) as writer:
        apply_all(writer, life_of_an_order())
    with pytest.raises(StoreOutOfStep, match="without trades"):
        opened(path, with_trades=True)
    rows(path, "pragma user_version = 99")
    with pytest.raises(StoreOutOfStep, match="version 99"):
        opened(path)


def test_missing_records_are_refused(tmp_path):
    """R10: behind. Rows with a hole in them could not be distinguished from complete ones."""
    path = tmp_path / "rows.db"
    stream = life_of_an_order()
    with opened(path) as writer:
        apply_all(writer, stream[:3])
        before = dumped(path)
        for part, seq in [(stream[4:], 7), ([*stream[3:5], stream[6]], 7), (stream[3:6], 7), ([], 9)]:
            with pytest.raises(StoreOutOfStep, match="missing"):
                writer.apply(part, seq=seq, digest=digest_at(seq))
            assert dumped(path) == before


def test_cursor_ahead_of_the_journal_or_of_another_state_of_it_is_refused(tmp_path):
    """R10: what J11 asks the journal, asked of the rows."""
    path = tmp_path / "rows.db"
    frames = frames_of(life_of_an_order(), 2)
    with opened(path) as writer:
        assert catch_up(writer, frames) == 7
        assert catch_up(writer, frames) == 7
        with pytest.raises(StoreOutOfStep, match="the journal ends at 4"):
            catch_up(writer, frames[:2])
        with pytest.raises(StoreOutOfStep, match="the journal ends at 0"):
            catch_up(writer, [])
        with pytest.raises(StoreOutOfStep, match="another state"):
            catch_up(writer, frames_of([(s, c + 1, e) for s, c, e in life_of_an_order()], 2))
        with pytest.raises(StoreOutOfStep, match="another state"):
            writer.apply(life_of_an_order(), seq=7, digest=bytes(32))
    with opened(tmp_path / "late.db") as writer:
        catch_up(writer, frames[:2])
        with pytest.raises(StoreOutOfStep, match="within a frame"):
            catch_up(writer, frames_of(life_of_an_order(), 3))
        with pytest.raises(StoreOutOfStep, match="missing"):
            catch_up(writer, frames[3:])
        assert catch_up(writer, frames) == 7
    assert dumped(path) == dumped(tmp_path / "late.db")


def test_a_cursor_altered_by_hand_is_noticed(tmp_path):
    """R10."""
    path = tmp_path / "rows.db"
    frames = frames_of(life_of_an_order(), 1)
    with opened(path) as writer:
        catch_up(writer, frames)
        rows_before = writer.seq
    with contextlib.closing(sqlite3.connect(path)) as conn, conn:
        conn.execute("update cursor set seq = seq - 2")
    with opened(path) as writer:
        assert writer.seq == rows_before - 2
        with pytest.raises(StoreOutOfStep):
            catch_up(writer, frames)
