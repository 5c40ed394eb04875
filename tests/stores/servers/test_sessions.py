"""Live sessions with a store on a server that is down, comes back, hangs or is killed: trading goes on."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.events import EdgeChanged, Trade
from engine.mirror.messages import EVENTS, FRAMES
from engine.records import read_records
from engine.stores.errors import StoreUnavailable
from engine.stores.writer import StoreWriter
from tests.commands.kit import (
    FAST,
    as_json,
    assert_replays,
    days,
    engine,
    environment,
    recorded,
    start,
    until,
    wait_for,
)
from tests.mirror.kit import contents
from tests.stores.record_streams import BTC, JOURNAL_ID, digest_at
from tests.stores.servers.cutting import Relay, relay_to
from tests.stores.servers.kafka import Kafka
from tests.stores.servers.running import Server
from tests.stores.servers.test_mirrors import read_back, stored_ids

LOGIN = {"user": "postgres", "password": "h1dden-w0rd"}
KINDS = ("postgres", "questdb", "redis", "nats", "kafka")
BROKERS = ("nats", "kafka")
FAULTS = ("server", "stop", "engine", "cut", "both")
"""The server is killed or stopped, the engine is killed, the connection is cut within a message, or both are
killed."""


@pytest.mark.parametrize("kind", [pytest.param(kind, marks=pytest.mark.server(kind)) for kind in KINDS])
def test_after_ten_faults_at_random_rows_and_mirrors_equal_the_journal(
    own_server: Callable[[str], Server], chance: random.Random, tmp_path: Path, kind: str
) -> None:
    """A live session trades on while its store or its mirror is down, from before its start.

    Some faults come while it still recovers from the one before. A server of Java takes long to start: it is
    not stopped before the session. At the end everything is there once.
    """
    server = own_server(kind)
    faults = [*FAULTS, *chance.choices(FAULTS, k=5)]
    chance.shuffle(faults)
    run = Session(server, kind, tmp_path)
    if kind not in ("questdb", "kafka"):
        server.stop()
    with relay_to(*run.relayed) as relay:
        run.start(relay)
        try:
            wait_for(run.process, run.root, Trade, 20)
            if kind not in ("questdb", "kafka"):
                server.start()
            for fault in faults:
                if chance.random() < 0.5:
                    run.until_it_is_in_step()
                if fault in ("server", "both"):
                    server.kill()
                if fault == "stop":
                    server.stop()
                if fault in ("engine", "both"):
                    run.kill()
                    run.start(relay)
                if fault == "cut":
                    cuts, relay.left = relay.cuts, chance.randrange(3_000)
                    until(lambda cuts=cuts: relay.cuts > cuts)
                    relay.left = None
                wait_for(run.process, run.root, Trade, recorded(run.root, Trade) + chance.randrange(1, 20))
                if fault in ("server", "both", "stop"):
                    server.start()
            run.until_it_is_in_step()
        finally:
            run.stop()
    assert run.process.returncode == 0, run.outputs
    assert f"store {run.name}" in run.outputs[-2]
    assert_replays(run.root)
    shown = engine("inspect", days(run.root)[-1], "--type", EdgeChanged.__name__, "--json").out
    assert "restarting" in shown
    run.outputs.append(shown)
    (assert_mirrored if kind in BROKERS else assert_stored)(run, tmp_path)
    assert "h1dden" not in "".join(run.outputs)


class Session:
    """A live session with a store or a mirror on a server behind a relay."""

    process: subprocess.Popen[str]

    def __init__(self, server: Server, kind: str, folder: Path) -> None:
        self.server, self.kind = server, kind
        self.root, self._config = folder / "journal", folder / "engine.toml"
        self.name = "mirror" if kind in BROKERS else "rows"
        self.url = server.url(**LOGIN) if kind == "postgres" else server.url()
        self.relayed = (server.port,)
        if isinstance(server, Kafka):
            self.relayed = (server.proxied_port, server.proxy_port)
        self.outputs: list[str] = []

    def start(self, relay: Relay) -> None:
        """Start the engine."""
        url = self.url.replace(f":{self.server.port}", f":{relay.port}")
        section = f'[[stores]]\nkind = "{self.kind}"\nname = "{self.name}"\n'
        if self.name == "mirror":
            section = "[mirror]\nevents = true\n"
        self._config.write_text(f'{FAST}\n{section}url = "{url}"\n')
        arguments = ("live", "--journal", self.root, "--config", self._config, "--no-db")
        self.process = start(*arguments, env=environment())

    def kill(self) -> None:
        """Kill the engine."""
        self.process.kill()
        self.outputs += self.process.communicate(timeout=120)

    def stop(self) -> None:
        """Stop the engine."""
        self.process.send_signal(signal.SIGTERM)
        self.outputs += self.process.communicate(timeout=120)

    def until_it_is_in_step(self) -> None:
        """Wait until the session says that what it had recorded before is written."""
        reached = last_seq(self.root)
        until(lambda: self._written() >= reached)

    def _written(self) -> int:
        """Return a seq up to which all is written."""
        assert self.process.poll() is None, self.outputs
        reached = last_seq(self.root)
        done = engine("status", "--journal", self.root, "--json")
        if done.code:
            return 0  # it is starting
        line = json.loads(done.out)["health"]["lines"][f"store {self.name}"]
        behind = 0 if line == "up to date" else int(line.removesuffix(" records behind").replace(",", ""))
        return reached - behind


def assert_stored(run: Session, _: Path) -> None:
    """The rows equal the journal, each once."""
    done = engine("project", run.root, "--to", run.url, "--check", "--json")
    assert as_json(done) == {"equal": True, "seq": last_seq(run.root), "difference": None}
    run.outputs.append(done.out + done.err)


def assert_mirrored(run: Session, folder: Path) -> None:
    """The pulled journal equals the journal, also as JSON, and no message is there twice."""
    assert engine("mirror", "push", run.root, "--to", run.url, "--events").code == 0
    read_back(run.url, folder / "p")
    assert contents(folder / "p") == contents(run.root)
    for subject in (FRAMES, EVENTS):
        ids = stored_ids(run.url, subject)
        assert len(set(ids)) == len(ids)


def last_seq(root: Path) -> int:
    return max(seq for day in days(root) for seq, _, _ in read_records(day))


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
