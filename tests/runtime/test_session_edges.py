"""Edges of a running session: projectors, feeds, ingress. A failing store does not stop trading."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import trio
from trio.abc import Clock

from engine.commands.stores import make_projector
from engine.errors import EngineError
from engine.events import EdgeChanged, Trade
from engine.journal import list_days
from engine.runtime.ingress import BATCH_MAX, Ingress
from engine.runtime.plan import MakeProjector
from engine.stores.catchup import rebuild
from engine.stores.csv_bars import CsvStore
from engine.stores.errors import StoreForeign
from engine.stores.lock import WriterLock
from engine.stores.sqlite.reading import first_difference
from engine.stores.sqlite.store import SqliteStore
from engine.stores.store import Store
from engine.stores.writer import StoreWriter
from tests.pacing import sleep_in_thread
from tests.runtime.kit import assert_replays, config, of
from tests.runtime.rig import Rig, Rows
from tests.stores.record_streams import BTC, digest_at


async def busy(rig: Rig, seconds: float = 1.0) -> None:
    until = trio.current_time() + seconds
    price = 100
    while trio.current_time() < until:
        price = 100 + price % 37
        await rig.send(price)
        await trio.sleep(0.005)


def sqlite_projector(root: Path, database: Path) -> dict[str, MakeProjector]:
    # A call that waits for a lock waits in real time, for which the paced clock stops.
    return {"projector": partial(make_projector, root, SqliteStore(database, busy_s=0.05))}


def states(root: Path, actor: str) -> list[str]:
    changes = [event for event in of(EdgeChanged, root) if isinstance(event, EdgeChanged)]
    return [change.state for change in changes if change.actor == actor]


async def test_q04_a_slow_store_gets_one_batch_at_a_time_and_every_record(
    paced_clock: Clock, tmp_path: Path
) -> None:
    rows = Rows(slow_s=0.2)

    async def script(rig: Rig) -> None:
        await busy(rig)
        assert rig.live.committer.durable_seq > rows.seq + 20, "trading waited for the store"
        while not rows.running:
            await rig.send(100)
            await trio.lowlevel.checkpoint()
        # The session stops while the store applies a batch. The store must get the rest as well.

    result = await Rig(tmp_path, config("Steady"), projectors={"projector": rows.projector}).run(script)
    assert rows.most == 1
    assert rows.gaps == []
    assert rows.seq == result.last_seq
    assert_replays(tmp_path)


async def test_r11_a_database_that_is_always_locked_does_not_stop_trading(
    paced_clock: Clock, tmp_path: Path
) -> None:
    rows = Rows()
    rows.locked = True
    rig = Rig(tmp_path, config("Steady"), projectors={"projector": rows.projector})
    result = await rig.run(busy)
    assert result.stopped_by == "script"
    assert result.commands > 3
    assert "restarting" in states(tmp_path, "projector")
    assert any("locked" in health.detail for health in rig.health)
    assert_replays(tmp_path)


async def test_r11_a_database_locked_at_the_stop_does_not_prevent_a_graceful_stop(
    paced_clock: Clock, tmp_path: Path
) -> None:
    rows = Rows()

    async def script(rig: Rig) -> None:
        await busy(rig, 0.6)
        rows.locked = True

    rig = Rig(tmp_path, config("Steady"), projectors={"projector": rows.projector})
    result = await rig.run(script)
    assert result.stopped_by == "script"
    assert 0 < rows.seq < result.last_seq
    assert rig.health[-1].state == "failed"
    assert_replays(tmp_path)


def lock(path: Path) -> None:
    conn = sqlite3.connect(path)
    conn.execute("BEGIN IMMEDIATE")
    sleep_in_thread(0.4)
    conn.rollback()
    conn.close()


def delete(path: Path) -> None:
    for name in path.parent.glob("rows.db*"):
        if not name.name.endswith(".lock"):
            name.unlink()


def overwrite(path: Path) -> None:
    path.write_bytes(b"not a database" * 1000)


@pytest.mark.parametrize("damage", [lock, delete, overwrite])
async def test_r11_a_damaged_database_is_complete_at_the_end(
    paced_clock: Clock, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    root, database = tmp_path / "journal", tmp_path / "rows.db"

    async def script(rig: Rig) -> None:
        await busy(rig, 0.7)
        before = rig.live.committer.durable_seq
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.to_thread.run_sync, damage, database)
            await busy(rig, 0.5)
        assert rig.live.committer.durable_seq > before + 20, "trading waited for the database"
        await busy(rig, 1.5)

    rig = Rig(root, config("Steady"), projectors=sqlite_projector(root, database))
    result = await rig.run(script)
    assert result.stopped_by == "script"
    fresh = tmp_path / "fresh.db"
    rebuild(SqliteStore(fresh), [day.path for day in list_days(root)])
    assert first_difference(database, fresh) is None
    assert_replays(root)


async def test_i14_rows_equal_a_rebuild_after_the_queue_overflowed(
    paced_clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.runtime.projector.WAITING_MAX", 5)
    root, database = tmp_path / "journal", tmp_path / "rows.db"
    await Rig(root, config("Steady"), projectors=sqlite_projector(root, database)).run(busy)
    fresh = tmp_path / "fresh.db"
    rebuild(SqliteStore(fresh), [day.path for day in list_days(root)])
    assert first_difference(database, fresh) is None
    assert_replays(root)


async def test_i11_other_tasks_run_during_a_burst_of_inputs(paced_clock: Clock, tmp_path: Path) -> None:
    """The sequencer takes one batch at a time; committer, feeds and signals run between batches."""
    burst = 10 * BATCH_MAX
    turns: list[int] = []

    async def script(rig: Rig) -> None:
        rig.ingress.put(rig.trades(*(100 + number % 50 for number in range(burst))))
        while rig.ingress._inputs:
            turns.append(1)
            await trio.lowlevel.checkpoint()

    result = await Rig(tmp_path, config()).run(script)
    assert len(of(Trade, tmp_path)) == burst
    assert result.ingress_high_water >= burst
    assert len(turns) >= 9
    assert_replays(tmp_path)


async def test_i11_the_events_of_a_batch_are_split_before_they_exceed_a_frame(
    paced_clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At full size: a burst of 4,096 trades, and a strategy that records 256 values or more for each."""
    monkeypatch.setattr("engine.journal.frame.COUNT_MAX", 5000)
    monkeypatch.setattr("engine.sequencer.FLUSH_EVENTS", 500)
    monkeypatch.setattr("engine.runtime.committer.FRAME_RECORDS_MAX", 2000)

    async def script(rig: Rig) -> None:
        rig.ingress.put(rig.trades(*(100 + number % 50 for number in range(BATCH_MAX))))
        await rig.durable()

    await Rig(tmp_path, config("Steady")).run(script)
    assert_replays(tmp_path)


async def test_c09_a_feed_that_fails_repeatedly_ends_the_session_and_the_journal_replays(
    paced_clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.runtime.supervisor.BACKOFF_MIN_MS", 10)

    async def script(rig: Rig) -> None:
        await rig.send(100)
        raise OSError("connection lost")

    with pytest.RaisesGroup(pytest.RaisesExc(EngineError, match="failed 5 times"), flatten_subgroups=True):
        await Rig(tmp_path, config("Steady")).run(script)
    assert_replays(tmp_path)


async def test_c07_a_feed_that_fails_once_is_restarted_and_each_state_is_an_input(
    paced_clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.runtime.supervisor.BACKOFF_MIN_MS", 10)
    runs: list[int] = []

    async def script(rig: Rig) -> None:
        runs.append(1)
        await rig.send(100)
        await rig.durable()
        if len(runs) == 1:
            raise OSError("connection lost")

    await Rig(tmp_path, config("Steady")).run(script)
    assert states(tmp_path, "feed") == ["running", "restarting", "running"]
    assert len(of(Trade, tmp_path)) == 2
    assert_replays(tmp_path)


async def test_i11_inputs_that_were_put_back_come_first() -> None:
    ingress = Ingress()
    trades = Rig(Path(), config()).trades(1, 2, 3, 4)
    ingress.put(trades[:3])
    taken = await ingress.receive()
    ingress.put(trades[3:])
    ingress.put_back(taken[1:])
    assert await ingress.receive() == trades[1:]


async def test_i11_an_empty_ingress_accepts_more_than_its_bound() -> None:
    ingress = Ingress(inputs_max=3)
    trades = Rig(Path(), config()).trades(*range(1, 6))
    assert ingress.offer(trades)
    assert not ingress.offer(trades)
    assert ingress.take() == trades
    assert ingress.take() == []


async def test_q04_a_failing_store_does_not_affect_the_other_stores(
    paced_clock: Clock,
    tmp_path: Path,
) -> None:
    root, database, folder = tmp_path / "journal", tmp_path / "rows.db", tmp_path / "bars"
    late = tmp_path / "late.db"
    taken = WriterLock(late)
    broken = Rows()
    broken.locked = True
    projectors = sqlite_projector(root, database) | {
        "late": partial(make_projector, root, SqliteStore(late)),
        "csv": partial(make_projector, root, CsvStore(folder)),
        "broken": broken.projector,
    }

    async def script(rig: Rig) -> None:
        await busy(rig, 0.5)
        taken.release()
        await busy(rig, 1.5)

    rig = Rig(root, config("Steady"), projectors=projectors)
    result = await rig.run(script)
    assert result.stopped_by == "script"
    assert "restarting" in states(root, "broken")
    assert states(root, "csv") == states(root, "projector") == ["running"]
    days = [day.path for day in list_days(root)]
    fresh, again = tmp_path / "fresh.db", tmp_path / "again"
    rebuild(SqliteStore(fresh), days)
    assert first_difference(database, fresh) is None
    assert first_difference(late, fresh) is None
    rebuild(CsvStore(again), days)
    assert {path.name: path.read_bytes() for path in folder.glob("*.csv")} == {
        path.name: path.read_bytes() for path in again.glob("*.csv")
    }
    assert_replays(root)


@pytest.mark.parametrize("make", [lambda path: SqliteStore(path / "rows.db"), CsvStore])
async def test_r10_rows_of_another_journal_that_become_free_during_a_session_stay_unchanged(
    paced_clock: Clock, tmp_path: Path, make: Callable[[Path], Store]
) -> None:
    root, place = tmp_path / "journal", tmp_path / "place"
    place.mkdir()
    other = StoreWriter(make(place), bytes(16))
    other.apply([(1, 0, BTC)], seq=1, digest=digest_at(1))
    before = other.store.witness()

    async def script(rig: Rig) -> None:
        await busy(rig, 0.5)
        other.close()
        await busy(rig, 1.5)

    rig = Rig(root, config("Steady"), projectors={"rows": partial(make_projector, root, make(place))})
    assert (await rig.run(script)).stopped_by == "script"
    assert any("another journal" in health.detail for health in rig.health)
    assert make(place).witness() == before
    with pytest.raises(StoreForeign):
        make_projector(root, make(place), bytes(range(16)), 0)
