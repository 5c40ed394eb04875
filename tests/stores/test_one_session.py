"""A recorded session with liquidations, open interest and funding: its rows in stores without a server."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engine.events import ContextRead, FundingRead, LiquidationLevelsClosed, LiquidationRead, OpenInterestRead
from engine.journal import list_days
from engine.stores.catchup import rebuild
from engine.stores.parquet.store import ParquetStore
from engine.stores.sqlite.store import SqliteStore
from tests.commands.kit import engine
from tests.flow.test_liquidations import session
from tests.replay.kit import NOON, batches, run, write_journal

from .store_contract import content_of

MINUTE = 60 * 10**9
PLAN = [(4000 * (number % 9), 5, 1 + number % 2, 950 + number, 1 + number % 7, False) for number in range(40)]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Counter[str]]:
    """The day, and how many rows each table must have, counted from the session's events."""
    inputs = session(PLAN, NOON)
    at_ns = inputs[-1].recv_ns  # type: ignore[attr-defined]
    rates: list[Any] = [FundingRead(at_ns, NOON + hour * 60 * MINUTE, 1, 8, hour, 0) for hour in range(3)]
    past: list[Any] = [OpenInterestRead(at_ns, NOON - at * 5 * MINUTE, 2, 3, 70 + at) for at in range(5)]
    inputs[-1:-1] = [*rates, *past]
    root = tmp_path_factory.mktemp("session") / "j"
    write_journal(root, batches(inputs, range(0, len(inputs), 9)))
    memory = run(inputs)
    closed = memory.events(LiquidationLevelsClosed)
    counts = Counter(
        liquidations=len(memory.events(LiquidationRead)),
        liquidation_windows=len(closed),
        liquidation_levels=sum(len(one.levels) for one in closed),
        open_interest=len({(one.instrument, one.recv_ns // MINUTE) for one in memory.events(ContextRead)}),
        open_interest_history=len(past),
        funding_rates=len(rates),
    )
    assert min(counts.values()) > 2
    (day,) = list_days(root)
    return day.path, counts


STORES: dict[str, Callable[[Path], Any]] = {
    "sqlite": lambda place: SqliteStore(place / "rows.db"),
    "parquet": ParquetStore,
}


@pytest.mark.parametrize("kind", STORES)
def test_each_store_has_the_rows_of_the_session(
    kind: str, recorded: tuple[Path, Counter[str]], tmp_path: Path
) -> None:
    day, counts = recorded
    store = STORES[kind](tmp_path)
    rebuild(store, [day])
    found = Counter(table for table, _ in content_of(store))
    assert {table: found[table] for table in counts} == counts


def test_sql_finds_them(recorded: tuple[Path, Counter[str]], tmp_path: Path) -> None:
    day, counts = recorded
    database = tmp_path / "rows.db"
    rebuild(SqliteStore(database), [day])
    for table, count in counts.items():
        done = engine("query", f"select count(*) as n from {table}", "--db", database, "--json")
        assert done.code == 0, done.err
        assert json.loads(done.out.splitlines()[0]) in ([{"n": count}], {"n": count})
    same = "select round(sum(longs), 6) as longs, round(sum(shorts), 6) as shorts from "
    newest = "where interval = '1m' and revision = 0"
    shown = {
        engine("query", f"{same} {table} {newest}", "--db", database, "--json").out
        for table in ("liquidation_windows", "liquidation_levels")
    }
    assert len(shown) == 1
