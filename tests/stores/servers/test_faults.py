"""The store in PostgreSQL with kills, cuts and restarts in any order, and the commands that people use then.

Rows equal the journal, none twice, none missing. The commands are `engine project --to`, `--check` and
`engine query`.
"""

from __future__ import annotations

import random
import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from engine.events import Trade
from engine.records import open_day, records_of
from engine.stores.catchup import catch_up, rebuild
from engine.stores.checking import check
from engine.stores.errors import StoreError
from engine.stores.writer import StoreWriter
from tests.commands.kit import SAMPLE, as_json, engine
from tests.stores.servers.running import Server
from tests.stores.store_contract import killed_process

OPEN = "select count(*) as n from positions where size != 0"
PAGE = Path(__file__).resolve().parents[3] / "docs" / "stores.md"


@pytest.mark.usefixtures("one_at_a_time")
@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=pytest.mark.server(kind)) for kind in ("postgres", "timescale")]
)
def test_after_kills_cuts_and_restarts_the_rows_equal_the_journal(
    own_server: Callable[[str], Server], monkeypatch: pytest.MonkeyPatch, chance: random.Random, kind: str
) -> None:
    """Ten faults at random: the engine or the server is killed, the connection is cut, or none.

    TimescaleDB takes one connection here, so that nobody can cut it, and is slow: it gets a part of the day.
    """
    import psycopg

    from engine.stores.postgres.store import PostgresSettings, PostgresStore

    monkeypatch.setattr("engine.stores.catchup.BATCH_RECORDS", 1_000)
    server = own_server(kind)
    settings = PostgresSettings(server.url())
    day = open_day(SAMPLE)
    frames = list(day)
    journal_id = day.journal_id
    assert journal_id is not None
    kinds = ("engine", "server", "stop", "none", "cut")[: 5 if kind == "postgres" else 4]
    faults = [*kinds, *chance.choices(kinds, k=10 - len(kinds))]
    chance.shuffle(faults)

    def work(until: int, fault: Callable[[], None] | None = None) -> None:
        def progress(_: int) -> None:
            if fault is not None:
                fault()

        writer = StoreWriter(PostgresStore(settings), journal_id)
        try:
            catch_up(writer, frames, until_seq=until, progress=progress)
        finally:
            writer.close()

    def cut() -> None:
        with psycopg.connect(server.url(), autocommit=True) as conn:
            conn.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity"
                " where application_name like 'retape%' and pid != pg_backend_pid()"
            )

    if kind == "timescale":
        frames = [frame for frame in frames if frame.last_seq <= 5_000]
    last = frames[-1].last_seq
    trades = sum(isinstance(event, Trade) for frame in frames for _, _, event in records_of(frame))
    for turn, fault in enumerate(faults, 1):
        until = last * turn // 10
        try:
            if fault == "engine":
                killed_process(
                    chance.randrange(1, 150), lambda until=until: work(until), "engine.stores.postgres.store"
                )
            else:
                work(until, {"server": server.kill, "cut": cut, "stop": server.stop}.get(fault))
        except StoreError:
            assert fault != "none"
        if fault in ("server", "stop"):
            server.start()
    work(last)
    done = engine("project", SAMPLE, "--to", server.url(), "--check")
    assert (done.code, "equal to a rebuild, row for row" in done.out) == (0, True), done.out
    counted = engine("query", "select count(*) as n from trades", "--store", server.url(), "--json")
    assert as_json(counted) == {"n": trades}


def test_what_is_not_as_the_journal_says_is_found(postgres: Server) -> None:
    """A value, a row too many, a row too few, another digest; and a rebuild mends it."""
    import psycopg

    from engine.stores.postgres.store import PostgresSettings, PostgresStore

    settings = PostgresSettings(postgres.url(), schema="checked", tables=("bars", "fills", "equity"))
    store = PostgresStore(settings)
    rebuild(store, [SAMPLE])
    assert check(store, [SAMPLE]).difference is None
    price = "update fills set price = price {} 0.00001"
    last = "(select max(seq) from bars)"
    digest = "update cursor set digest = reverse(digest)"
    with psycopg.connect(postgres.url(), autocommit=True) as conn:
        conn.execute("set search_path to checked")
        for change, back, words in (
            (price.format("+"), price.format("-"), "fills differs"),
            (
                "insert into equity (seq) values (9999999)",
                "delete from equity where seq = 9999999",
                "too many",
            ),
            (digest, digest, "another state"),
            (f"delete from bars where seq = {last}", "", "bars lacks the row"),
        ):
            conn.execute(change)
            assert words in str(check(store, [SAMPLE]).difference), change
            if back:
                conn.execute(back)
    rebuild(store, [SAMPLE])
    assert check(store, [SAMPLE]).difference is None


def test_a_query_answers_and_changes_nothing_and_no_answer_shows_the_password(postgres: Server) -> None:
    import psycopg

    with psycopg.connect(postgres.url(), autocommit=True) as conn:
        conn.execute("create role ann login superuser password 'h1dden-w0rd'")
    url = postgres.url(user="ann", password="h1dden-w0rd")
    outputs = [engine("project", SAMPLE, "--to", url)]
    outputs.append(engine("query", "select count(*) as n from fills", "--store", url, "--json"))
    assert as_json(outputs[-1]) == {"n": 70}
    outputs.append(engine("query", "delete from fills", "--store", url))
    assert outputs[-1].code == 2
    outputs.append(engine("query", "select nonsense", "--store", url))
    assert outputs[-1].code == 2
    outputs.append(engine("project", SAMPLE, "--to", url.replace("127.0.0.1:", "127.0.0.1:1")))
    assert outputs[-1].code in (1, 2)
    outputs.append(engine("query", "select count(*) from fills", "--store", url))
    assert "70" in outputs[-1].out
    assert not any("h1dden" in done.out + done.err for done in outputs)


def test_what_the_server_refuses_is_said_with_what_to_do(postgres: Server) -> None:
    """A user that is not there, one that may only read, a database that is not there, and a standby."""
    import psycopg

    with psycopg.connect(postgres.url(), autocommit=True) as conn:
        conn.execute("create role only_reads login password 'h1dden-w0rd'")
        conn.execute("create role of_a_standby login superuser password 'h1dden-w0rd'")
        conn.execute("alter role of_a_standby set default_transaction_read_only = on")
    secret = "h1dden-w0rd"
    for url, words in (
        (postgres.url(user="nobody_here", password=secret), "refuses the login .* correct the user"),
        (postgres.url().rpartition("/")[0] + "/not_there", "is not there .* create it"),
        (postgres.url(user="only_reads", password=secret), "refuses a statement .* grant create on schema"),
        (postgres.url(user="of_a_standby", password=secret), "takes no rows .* the address of the primary"),
    ):
        done = engine("project", SAMPLE, "--to", url)
        assert done.code == 1, done
        assert re.search(words, done.err), done.err
        assert done.err.count("\n") == 1
        assert secret not in done.err


def test_tables_of_an_earlier_version_are_made_again_and_those_of_others_are_left_alone(
    postgres: Server,
) -> None:
    import psycopg

    from engine.stores.errors import StoreForeign, StoreOutdated, StoreOutOfStep
    from engine.stores.postgres.store import PostgresSettings, PostgresStore

    settings = PostgresSettings(postgres.url(), schema="older", readers=("older_readers",))
    day = open_day(SAMPLE)
    frames = list(day)[:20]
    assert day.journal_id is not None
    with StoreWriter(PostgresStore(settings), day.journal_id) as writer:
        catch_up(writer, frames)
    with psycopg.connect(postgres.url(), autocommit=True) as conn:
        conn.execute("drop view older.ohlcv; alter table older.bars drop column closed_by")
        conn.execute("update older.cursor set version = 1")
        with pytest.raises(StoreOutdated, match="version 1"):
            StoreWriter(PostgresStore(settings), day.journal_id).read_cursor()
        store = PostgresStore(settings)
        store.rebuild(lambda empty: catch_up(StoreWriter(empty, day.journal_id or b""), frames))
        assert conn.execute("select count(closed_by) from older.bars").fetchone() is not None
        with StoreWriter(PostgresStore(settings), day.journal_id) as writer:
            assert writer.seq == frames[-1].last_seq
        readable = conn.execute(
            "select has_table_privilege('older_readers', 'older.trades', 'select')"
        ).fetchone()
        assert readable == (True,)
        conn.execute("update older.cursor set version = 99")
        with pytest.raises(StoreOutOfStep, match="version 99"):
            StoreWriter(PostgresStore(settings), day.journal_id).read_cursor()
        conn.execute("create schema theirs; create table theirs.trades (id int)")
    with pytest.raises(StoreForeign, match="trades"):
        StoreWriter(PostgresStore(PostgresSettings(postgres.url(), schema="theirs")), bytes(16)).read_cursor()


def test_rows_are_those_of_sqlite_and_questions_are_answered(postgres: Server, tmp_path: Path) -> None:
    """The counts of all tables, by two stores that share nothing behind the port."""
    engine("project", SAMPLE, "--db", tmp_path / "rows.db", "--trades")
    blocks = [block.split("```")[0] for block in PAGE.read_text().split("```sql\n")[1:]]
    questions = [question for block in blocks for question in block.split(";") if question.strip()]
    done = engine("query", "select count(*) from fills", "--db", tmp_path / "rows.db")
    assert "70" in done.out
    assert engine("project", SAMPLE, "--to", postgres.url()).code == 0
    with closing(sqlite3.connect(tmp_path / "rows.db")) as conn:
        for table in ("trades", "bars", "orders", "fills", "positions", "equity", "round_trips", "ohlcv"):
            sql = f"select count(*) as n from {table}"
            (expected,) = conn.execute(sql).fetchone()
            assert as_json(engine("query", sql, "--store", postgres.url(), "--json")) == {"n": expected}, (
                table
            )
    counts = []
    for question in questions:
        minutes = question.replace("'1h'", "'1m'")  # the sample day has no bars of an hour
        done = engine("query", "--store", postgres.url(), "--", minutes)
        assert done.code == 0, done.err
        counts.append(len(done.out.splitlines()) - 1)
    assert counts[0] == 75
    assert counts[1] > 1
    assert counts[2:] == [as_json(engine("query", OPEN, "--store", postgres.url(), "--json"))["n"]]
