"""`engine project --to` and `--check`, and `engine query`, on QuestDB and Redis."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx

from engine.events import InstrumentListed, SignalRaised, Trade
from engine.events.codec import Record
from engine.stores.catchup import catch_up, rebuild
from engine.stores.checking import check
from engine.stores.questdb.store import QuestdbStore
from engine.stores.redis.store import RedisStore
from engine.stores.writer import StoreWriter
from tests.commands.kit import SAMPLE, as_json, engine, until
from tests.stores.record_streams import JOURNAL_ID, T, frames_of
from tests.stores.servers.running import Server
from tests.stores.test_checking import records
from tests.stores.test_columns_page import queries
from tests.stores.test_rebuild import written_days


def ask(server: Server, sql: str) -> Any:
    answer = httpx.get(f"{server.url()}/exec", params={"query": sql}, timeout=20)
    assert answer.status_code == 200, answer.text
    return answer.json().get("dataset", [])


def settled(server: Server) -> None:
    """Wait until the server has applied every change."""
    sql = "select count() from wal_tables() where writerTxn < sequencerTxn"
    until(lambda: ask(server, sql) == [[0]])


def written_to(store: Any, seq: int) -> None:
    with StoreWriter(store, JOURNAL_ID) as writer:
        catch_up(writer, frames_of(records(), 2), until_seq=seq)


def test_a_day_in_questdb_is_compared_with_the_journal(questdb: Server) -> None:
    assert engine("project", SAMPLE, "--to", questdb.url()).code == 0
    done = engine("project", SAMPLE, "--to", questdb.url(), "--check")
    assert (done.code, "equal to a rebuild, row for row" in done.out) == (0, True), done.out

    assert engine("query", "select * from ohlcv_1m limit -5", "--store", questdb.url()).out.count("\n") == 6
    hours, ticks, positions = (
        engine("query", "--store", questdb.url(), "--", sql) for sql in queries("QuestDB")
    )
    assert (hours.code, ticks.code, positions.code) == (0, 0, 0), hours.err + ticks.err + positions.err
    assert [len(done.out.splitlines()) > 1 for done in (hours, ticks)] == [True, True]
    assert positions.out.split()[:4] == ["strategy", "instrument", "size", "avg_price"]


def test_what_differs_in_questdb_is_named(questdb: Server, tmp_path: Path) -> None:
    """Values, rows and digests that are not the journal's; rows ahead of the cursor are no difference."""
    days = written_days(tmp_path, records())
    store = QuestdbStore(questdb.url(), prefix="few_", tables=["bars", "footprints", "trades"], intervals=())
    written_to(store, 30)
    earlier = store.witness()
    assert earlier is not None
    assert check(store, days).difference is None
    written_to(store, 62)
    assert check(store, days).difference is None
    with store.transaction():
        store._write_cursor(store._opened(), earlier)
    store.close()
    compared = check(store, days)
    assert (compared.seq, compared.difference) == (30, None)
    for change, words in (
        ("update few_bars set trades = trades + 1 where seq = 62", "bars differs"),
        ("insert into few_trades(venue_time, seq) values('2024-12-05T01:00:00.000000Z', 3)", "row too many"),
        ("alter table few_footprint_levels drop partition list '2024-12-05'", "lacks the row"),
        (f"update few_retape_cursor set digest = '{'00' * 32}'", "another state"),
    ):
        rebuild(store, days)
        assert check(store, days).difference is None
        ask(questdb, change)
        settled(questdb)
        assert words in str(check(store, days).difference), change


def test_texts_that_questdb_cannot_hold_are_no_difference(questdb: Server, tmp_path: Path) -> None:
    """Characters that no line can have, in names of instruments, of signals and in ids of trades."""
    texts = (
        "a\nb",
        "zero\0byte",
        "return\r",
        "a b,c=d",
        'say "x"',
        "back\\slash",
        "ünï",
        "x" * 3_000,
        " ",
        "'; --",
    )
    made: list[Record] = []
    for number, text in enumerate(texts, 1):
        made.append((len(made) + 1, 0, InstrumentListed(T, number, "hyper\nliquid", text, 2, 5)))
        made.append((len(made) + 1, 0, Trade(T, T, number, 10**17, 10**16, 1, text)))
        made.append((len(made) + 1, len(made), SignalRaised(T, text, number, text, 1e308)))
    days = written_days(tmp_path, made)
    store = QuestdbStore(questdb.url(), prefix="odd_", tables=["trades", "signals"], intervals=())
    rebuild(store, days)
    assert check(store, days).difference is None


def test_a_query_on_questdb_answers_and_changes_nothing(questdb: Server) -> None:
    ask(questdb, "create table asked (a int)")
    ask(questdb, "insert into asked values (7)")
    done = engine("query", "select * from asked;", "--store", questdb.url(), "--json")
    assert as_json(done) == {"a": 7}
    for sql in (
        "drop table asked",
        "truncate table asked",
        "insert into asked values (8)",
        "update asked set a = 1",
        "alter table asked add column b int",
        "create table other (a int)",
        "asked) limit 0 --",
        "asked) limit 0; drop table asked --",
    ):
        done = engine("query", sql, "--store", questdb.url())
        assert (done.code, done.out) == (2, ""), sql
    done = engine("query", "select a + 1 as b from asked -- one more", "--store", questdb.url())
    assert done.out.split() == ["b", "8"]


def test_a_day_in_redis_is_compared_with_the_journal(redis: Server) -> None:
    """Newest rows and streams, with what is not the journal's, and rows ahead of the cursor."""
    assert engine("project", SAMPLE, "--to", redis.url()).code == 0
    done = engine("project", SAMPLE, "--to", redis.url(), "--check")
    assert (done.code, "equal to a rebuild, row for row" in done.out) == (0, True), done.out
    done = engine("query", "select 1", "--store", redis.url())
    assert (done.code, "answers no SQL; read its rows with engine.research" in done.err) == (2, True)


def test_what_differs_in_redis_is_named(redis: Server, tmp_path: Path) -> None:
    """Of newest rows and streams; rows ahead of the cursor and expired keys are no difference."""
    import redis as driver

    days = written_days(tmp_path, records())
    client = driver.Redis.from_url(redis.url(), decode_responses=True)
    store = RedisStore(redis.url(), prefix="few", length=3)
    written_to(store, 18)
    earlier = client.hgetall("few:cursor")
    assert check(store, days).difference is None
    written_to(store, 62)
    assert check(store, days).difference is None
    client.delete("few:cursor")
    client.hset("few:cursor", mapping=earlier)
    compared = check(store, days)
    assert (compared.seq, compared.difference) == (18, None)
    name = "hyperliquid:BTC"
    bars = f"few:bars:{name}:1m"
    for change, words in (
        (lambda: client.hset(f"few:price:{name}", "price", "1") + 1, "a row of trades differs"),
        (lambda: client.hdel(f"few:bar:{name}:1m", "close"), "a row of bars differs"),
        (lambda: client.delete(f"few:position:ema:{name}"), "positions lacks the row"),
        (lambda: client.xdel(bars, client.xrevrange(bars, count=1)[0][0]), "bars lacks the row"),
        (lambda: client.hset("few:cursor", "digest", "00" * 32) + 1, "another state"),
    ):
        rebuild(store, days)
        assert client.xlen(bars) == 3
        assert check(store, days).difference is None
        assert change(), words
        assert words in str(check(store, days).difference)
    rebuild(store, days)
    client.delete(f"few:price:{name}", bars)  # what their expiry does
    idle = RedisStore(redis.url(), prefix="few", length=3, expire_s=60)
    assert check(idle, days).difference is None
    assert check(store, days).difference is not None
