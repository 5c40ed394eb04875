"""`engine.research.data` on servers: the rows of the journal, whichever store they come from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from engine import research
from engine.errors import UsageError
from engine.research.data import Data
from engine.stores.catchup import rebuild
from engine.stores.kinds import make_store
from tests.commands.kit import engine
from tests.stores.full_day import everything, full_day, parts
from tests.stores.servers.running import Server
from tests.stores.test_rebuild import written_days


@pytest.fixture(scope="module")
def days(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return written_days(tmp_path_factory.mktemp("data") / "journal", full_day())


@pytest.fixture(scope="module")
def journal(days: list[Path]) -> Iterator[Data]:
    with research.data(days) as data:
        yield data


def filled(section: dict[str, object], days: list[Path]) -> Data:
    rebuild(make_store(section, Path()), days)
    return research.data(section)


@pytest.mark.usefixtures("one_at_a_time")
@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=pytest.mark.server(kind)) for kind in ("postgres", "timescale")]
)
def test_postgresql_and_timescaledb_give_the_rows_of_the_journal(
    request: pytest.FixtureRequest, days: list[Path], journal: Data, kind: str
) -> None:
    url = request.getfixturevalue(kind).url()
    data = filled({"kind": "postgres", "url": url, "schema": "reading"}, days)
    assert everything(data) == everything(journal)
    assert parts(data) == parts(journal)
    assert data.seq == journal.seq


def test_questdb_gives_the_rows_that_it_holds(questdb: Server, days: list[Path], journal: Data) -> None:
    data = filled({"kind": "questdb", "url": questdb.url(), "prefix": "reading_", "intervals": []}, days)
    held = ["bars", "trades", "equity", "signals", "funding", "open_interest", "liquidations"]
    assert data.tables == held
    expected = everything(journal)
    assert everything(data) == {name: expected[name] for name in held}
    chosen = parts(journal)
    assert parts(data) == {
        name: rows for name, rows in chosen.items() if name.partition(" ")[0] not in LEFT_OUT
    }
    with pytest.raises(UsageError, match="has no rows of fills; it holds bars, trades"):
        data.fills()


LEFT_OUT = ("orders", "fills", "trips")


def test_redis_gives_the_newest_rows_and_its_streams(redis: Server, days: list[Path], journal: Data) -> None:
    data = filled({"kind": "redis", "url": redis.url(), "prefix": "reading"}, days)
    assert data.tables == ["bars", "trades", "equity", "signals", "open_interest"]
    assert list(data.bars()) == list(journal.bars())
    assert list(data.signals(name="fast")) == list(journal.signals(name="fast"))
    assert [trade.instrument for trade in data.trades()] == ["BTC", "kPEPE"]
    assert set(data.trades()) < set(journal.trades())
    assert list(data.equity()) == list(journal.equity())[-1:]
    done = engine("query", "select 1", "--store", redis.url())
    assert done.code == 2
    assert "read its rows with engine.research" in done.err


def test_a_page_of_questdb_is_one_of_the_chosen_rows(
    questdb: Server, days: list[Path], journal: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.stores.questdb.reading.PAGE", 3)
    data = filled({"kind": "questdb", "url": questdb.url(), "prefix": "pages_", "intervals": []}, days)
    assert list(data.trades()) == list(journal.trades())
    assert list(data.trades("BTC", begin="2024-12-05T00:02")) == list(
        journal.trades("BTC", begin="2024-12-05T00:02")
    )
