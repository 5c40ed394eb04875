"""Live sessions with a store in PostgreSQL that is down, comes back, hangs or is killed: trading goes on."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.events import EdgeChanged, Trade
from engine.stores.errors import StoreUnavailable
from engine.stores.writer import StoreWriter
from tests.commands.kit import assert_replays, days, engine, environment, recorded, start, until, wait_for
from tests.stores.record_streams import BTC, JOURNAL_ID, digest_at
from tests.stores.servers.running import Server


@pytest.mark.server("postgres")
def test_a_session_trades_while_its_store_is_down_and_its_rows_follow(
    own_server: Callable[[str], Server], tmp_path: Path
) -> None:
    """The server is stopped before the start, comes up, is killed, and comes up again."""
    server = own_server("postgres")
    server.stop()
    root, config = tmp_path / "journal", tmp_path / "engine.toml"
    url = server.url(user="postgres", password="h1dden-w0rd")
    config.write_text(f'[[stores]]\nkind = "postgres"\nname = "rows"\nurl = "{url}"\n')
    process = start("live", "--journal", root, "--config", config, env=environment())
    try:
        wait_for(process, root, Trade, 50)
        server.start()
        from engine.stores.postgres.store import PostgresSettings, PostgresStore

        store = PostgresStore(PostgresSettings(url))
        until(lambda: seq_of(store) > 0)
        server.kill()
        seen = recorded(root, Trade)
        wait_for(process, root, Trade, seen + 100)
        server.start()
        reached = seq_of(store)
        until(lambda: seq_of(store) > reached)
    finally:
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert "store rows" in out
    assert "h1dden" not in out + err
    assert_replays(root)
    done = engine("project", root, "--to", url, "--check")
    assert done.code == 0, done.out
    shown = engine("inspect", days(root)[0], "--type", EdgeChanged.__name__, "--json").out
    assert "restarting" in shown
    assert "h1dden" not in shown


def seq_of(store: object) -> int:
    try:
        cursor = store.witness()
    except StoreUnavailable:
        return 0
    return cursor.seq if cursor is not None else 0


def test_a_server_that_hangs_is_given_up_after_a_while(
    postgres: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes bytes and does not answer, as a stopped machine or a network that swallows everything."""
    from engine.stores.postgres.connecting import Connection
    from engine.stores.postgres.store import PostgresSettings, PostgresStore

    store = PostgresStore(PostgresSettings(postgres.url(), schema="hanging"))
    writer = StoreWriter(store, JOURNAL_ID)
    writer.apply([(1, 0, BTC)], seq=1, digest=digest_at(1))
    ((pid,),) = store._ready().execute("select pg_backend_pid()").fetchall()
    monkeypatch.setattr(Connection, "patience_s", 0.5)
    os.kill(pid, signal.SIGSTOP)
    try:
        with pytest.raises(StoreUnavailable, match="no answer") as caught:
            writer.apply([(2, 0, BTC)], seq=2, digest=digest_at(2))
        assert caught.value.reason == "unreachable"
    finally:
        os.kill(pid, signal.SIGCONT)
    monkeypatch.undo()
    writer.apply([(2, 0, BTC)], seq=2, digest=digest_at(2))
    assert store.witness() is not None
    assert store.witness().seq == 2
    writer.close()
