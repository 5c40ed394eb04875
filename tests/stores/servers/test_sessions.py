"""Live sessions with a store on a server that is down, comes back, hangs or is killed: trading goes on."""

from __future__ import annotations

import os
import random
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.events import EdgeChanged, Trade
from engine.records import read_records
from engine.stores.errors import StoreUnavailable
from engine.stores.kinds import store_at
from engine.stores.writer import StoreWriter
from tests.commands.kit import assert_replays, days, engine, environment, recorded, start, until, wait_for
from tests.stores.record_streams import BTC, JOURNAL_ID, digest_at
from tests.stores.servers.cutting import relay_to
from tests.stores.servers.running import Server


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=pytest.mark.server(kind)) for kind in ("postgres", "questdb", "redis")]
)
def test_a_session_trades_while_its_store_is_down_and_its_rows_follow(
    own_server: Callable[[str], Server], tmp_path: Path, kind: str
) -> None:
    """The server is stopped before the start and comes up. Then it is killed, the engine is killed, the
    connection is cut and both are killed, in any order. The rows equal the journal, each once.

    A server of Java takes long to start: it is started once and killed once.
    """
    server = own_server(kind)
    faults = ["server", "engine", "cut", "both"] if kind != "questdb" else ["engine", "cut", "both"]
    random.Random(f"{kind} 64").shuffle(faults)
    if kind != "questdb":
        server.stop()
    root, config = tmp_path / "journal", tmp_path / "engine.toml"
    login = {"user": "postgres", "password": SECRET} if kind == "postgres" else {}
    outputs: list[str] = []

    def live() -> subprocess.Popen[str]:
        return start("live", "--journal", root, "--config", config, env=environment())

    with relay_to(server.port) as relay:
        url = server.url(**login).replace(f":{server.port}", f":{relay.port}")
        config.write_text(f'[[stores]]\nkind = "{kind}"\nname = "rows"\nurl = "{url}"\n')
        store = store_at(url, tmp_path)
        process = live()
        try:
            wait_for(process, root, Trade, 50)
            if kind != "questdb":
                server.start()
            until(lambda: seq_of(store) > 0)
            for fault in faults:
                if fault in ("server", "both"):
                    server.kill()
                if fault in ("engine", "both"):
                    process.kill()
                    outputs += process.communicate(timeout=120)
                    process = live()
                if fault == "cut":
                    cuts, relay.left = relay.cuts, 1_000
                    until(lambda cuts=cuts: relay.cuts > cuts)
                    relay.left = None
                wait_for(process, root, Trade, recorded(root, Trade) + 20)
                if fault in ("server", "both"):
                    server.start()
                reached = last_seq(root)
                until(lambda reached=reached: seq_of(store) >= reached)
        finally:
            process.send_signal(signal.SIGTERM)
            outputs += process.communicate(timeout=120)
    assert process.returncode == 0, outputs
    assert "store rows" in outputs[-2]
    assert_replays(root)
    address = server.url(**login)
    done = engine("project", root, "--to", address, "--check")
    assert (done.code, "equal to a rebuild, row for row" in done.out) == (0, True), done.out + done.err
    assert seq_of(store_at(address, tmp_path)) == last_seq(root)
    shown = engine("inspect", days(root)[-1], "--type", EdgeChanged.__name__, "--json").out
    assert "restarting" in shown
    assert "h1dden" not in "".join([*outputs, done.out, shown])


SECRET = "h1dden-w0rd"


def last_seq(root: Path) -> int:
    return max(seq for day in days(root) for seq, _, _ in read_records(day))


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
