"""Mirrors on NATS JetStream and Kafka: kills, cuts and restarts in any order; refused streams; the commands.

The pulled journal is the journal or a prefix of it, nothing that was acknowledged is lost, and none is twice.
"""

from __future__ import annotations

import asyncio
import json
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.commands.mirror import broker_at
from engine.mirror.errors import MirrorError, MirrorUnavailable
from engine.mirror.messages import EVENTS, FRAMES, HEADERS_MAX, PART_MIN
from engine.mirror.pulling import pull
from engine.mirror.pushing import Mirror
from tests.commands.kit import SAMPLE, engine
from tests.mirror.kit import Grown, contents, sample_frames
from tests.stores.servers.cutting import Relay
from tests.stores.servers.kafka import Kafka
from tests.stores.servers.nats import Nats
from tests.stores.servers.running import Server

KINDS = [pytest.param(name, marks=pytest.mark.server(name)) for name in ("nats", "kafka")]
FRAMES_OF_SAMPLE = sample_frames(200)
PATIENCE_S = 60


@pytest.fixture
def journal(tmp_path: Path) -> Grown:
    """A journal without frames yet."""
    return Grown(tmp_path / "j", FRAMES_OF_SAMPLE)


@pytest.fixture
def close_all() -> Iterator[Callable[[Any], Any]]:
    """Return a function that closes what it gets at the end."""
    made: list[Any] = []

    def keep(one: Any) -> Any:
        made.append(one)
        return one

    yield keep
    for one in made:
        one.close()


def eventually(work: Callable[[], Any]) -> Any:
    """Return the result of work that may fail for a while."""
    until = time.monotonic() + PATIENCE_S
    while True:
        try:
            return work()
        except MirrorError:
            if time.monotonic() > until:
                raise
            time.sleep(0.1)


def stored_ids(url: str, kind: str) -> list[str]:
    broker = broker_at(url)
    try:
        state = broker.look(kind)
        return [one.headers["Nats-Msg-Id"] for one in broker.read(kind, 1, state.last)]
    finally:
        broker.close()


@pytest.mark.parametrize("kind", KINDS)
def test_after_kills_cuts_and_restarts_the_pulled_journal_is_equal(
    own_server: Callable[[str], Server],
    journal: Grown,
    tmp_path: Path,
    close_all: Callable[[Any], Any],
    chance: random.Random,
    kind: str,
) -> None:
    """Ten faults at random while `engine mirror push --follow` runs beside a journal that grows."""
    server = own_server(kind)
    assert isinstance(server, Nats | Kafka)
    proxied = (server.proxied_port, server.proxy_port) if isinstance(server, Kafka) else (server.port,)
    relay = close_all(Relay(*proxied))
    url = server.url(port=relay.port)
    command = [sys.executable, "-m", "engine", "mirror", "push", str(journal.root)]
    command += ["--to", url, "--events", "--follow"]

    def start() -> subprocess.Popen[bytes]:
        return subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)

    pusher = start()
    acknowledged = 0
    try:
        faults = ["broker", "pusher", "cut", "swallow", "stop"] * 2
        chance.shuffle(faults)
        for fault in faults:
            journal.grow(len(FRAMES_OF_SAMPLE) // 10)
            time.sleep(chance.random())
            if fault == "pusher":
                pusher.kill()
                pusher.wait()
                pusher = start()
            elif fault == "cut":
                relay.cut()
            elif fault == "swallow":  # the answers are lost
                relay.swallows = True
                journal.grow(1)
                time.sleep(0.5)
                relay.swallows = False
                relay.cut()
            else:
                server.kill() if fault == "broker" else server.stop()
                relay.cut()
                server.start()
            done = eventually(lambda: read_back(server.url(), tmp_path / "p"))
            assert done >= acknowledged
            acknowledged = done
            whole = contents(journal.root)
            for name, data in contents(tmp_path / "p").items():
                assert whole[name].startswith(data)
        journal.grow(len(FRAMES_OF_SAMPLE))
        until = time.monotonic() + PATIENCE_S
        while contents(tmp_path / "p") != contents(journal.root):
            assert time.monotonic() < until
            assert pusher.poll() is None
            time.sleep(0.2)
            eventually(lambda: read_back(server.url(), tmp_path / "p"))
    finally:
        pusher.send_signal(signal.SIGTERM)
        pusher.wait()
    mirror = Mirror(close_all(broker_at(server.url())), journal.days, events=True)
    assert mirror.push() == FRAMES_OF_SAMPLE[-1].last_seq
    for subject in (FRAMES, EVENTS):
        ids = stored_ids(server.url(), subject)
        assert len(set(ids)) == len(ids) >= len(FRAMES_OF_SAMPLE)
    assert engine("journal", "verify", tmp_path / "p").code == 0


def read_back(url: str, root: Path) -> int:
    """Pull, and return the seq reached. MirrorError while the stream is empty."""
    broker = broker_at(url)
    try:
        return pull(broker, root).seq
    finally:
        broker.close()


@pytest.mark.parametrize("kind", KINDS)
def test_while_the_broker_is_down_the_journal_waits_and_then_everything_is_sent_once(
    own_server: Callable[[str], Server], journal: Grown, close_all: Callable[[Any], Any], kind: str
) -> None:
    server = own_server(kind)
    assert isinstance(server, Nats | Kafka)
    mirror = close_all(Mirror(broker_at(server.url()), journal.days))
    journal.grow(10)
    reached = mirror.push()
    server.kill()
    journal.grow(20)
    with pytest.raises(MirrorUnavailable):
        mirror.push()
    assert mirror.seq == reached
    server.start()
    assert eventually(mirror.push) == FRAMES_OF_SAMPLE[29].last_seq
    assert len(stored_ids(server.url(), FRAMES)) == 30


def change(url: str, work: Callable[[Any], Any]) -> None:
    """Let a person with the broker's own tools do something."""

    async def run() -> None:
        import nats

        conn = await nats.connect(url.rpartition("/")[0])
        await work(conn.jetstream())
        await conn.close()

    asyncio.run(run())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"max_age": 3600}, "max_age 3600 s"),
        ({"max_msgs": 5}, "max_msgs 5"),
        ({"max_bytes": 1_000_000}, "max_bytes 1000000"),
        ({"deny_delete": False}, "no deny_delete"),
        ({"storage": "memory"}, "storage memory"),
    ],
)
def test_a_stream_with_limits_is_refused_by_name(nats: Nats, options: dict[str, Any], words: str) -> None:
    name = "limited-" + "-".join(options)
    plain = {"storage": "file", "deny_delete": True, "deny_purge": True}
    change(
        nats.url(),
        lambda js: js.add_stream(name=name, subjects=[f"{name}.frames"], **{**plain, **options}),
    )
    done = engine("mirror", "push", SAMPLE, "--to", nats.url(name))
    assert done.code == 2
    assert f"the stream {name} has {words}" in done.err


def test_a_pull_of_a_stream_that_has_lost_its_head_says_where_it_begins(
    nats: Nats, journal: Grown, tmp_path: Path, close_all: Callable[[Any], Any]
) -> None:
    journal.grow(30)
    url = nats.url("headless")
    close_all(Mirror(broker_at(url), journal.days)).push()

    async def limit(js: Any) -> None:
        config = (await js.stream_info("headless")).config
        config.max_msgs, config.discard = 10, "old"
        await js.update_stream(config)

    change(nats.url(), limit)
    done = engine("mirror", "pull", url, "--journal", tmp_path / "p")
    assert done.code == 4
    assert f"it begins at seq {FRAMES_OF_SAMPLE[20].first_seq} " in done.err


@pytest.mark.server("nats")
def test_a_frame_above_the_limit_of_the_broker_goes_in_parts(
    own_server: Callable[[str], Server], journal: Grown, tmp_path: Path, close_all: Callable[[Any], Any]
) -> None:
    server = own_server("nats")
    assert isinstance(server, Nats)
    server.stop()
    server.payload_max = HEADERS_MAX + PART_MIN
    server.start()
    journal.grow(1_000)
    close_all(Mirror(broker_at(server.url()), journal.days)).push()
    assert len(stored_ids(server.url(), FRAMES)) > len(FRAMES_OF_SAMPLE)
    pull(close_all(broker_at(server.url())), tmp_path / "p")
    assert contents(tmp_path / "p") == contents(journal.root)
    server.stop()
    server.payload_max = HEADERS_MAX + PART_MIN - 1
    server.start()
    done = engine("mirror", "push", journal.root, "--to", server.url())
    assert done.code == 2
    assert (
        f"messages of {HEADERS_MAX + PART_MIN - 1} bytes; a mirror needs {HEADERS_MAX + PART_MIN} "
        in done.err
    )


@pytest.mark.parametrize("kind", KINDS)
def test_the_sample_day_goes_there_and_back_by_the_commands(
    request: pytest.FixtureRequest, tmp_path: Path, kind: str
) -> None:
    url = request.getfixturevalue(kind).url("sample")
    pushed = engine("mirror", "push", SAMPLE, "--to", url, "--events", "--json")
    assert json.loads(pushed.out) == {"stream": url, "seq": 90_318}
    pulled = json.loads(engine("mirror", "pull", url, "--journal", tmp_path / "p", "--json").out)
    verified = json.loads(engine("journal", "verify", SAMPLE, "--json").out)
    assert (pulled["digest"], pulled["first_seq"], pulled["seq"]) == (verified["digest"], 1, 90_318)
    assert engine("replay", tmp_path / "p" / SAMPLE.name).code == 0
    again = json.loads(engine("mirror", "pull", url, "--journal", tmp_path / "p", "--json").out)
    assert again["frames"] == 0
    broker = broker_at(url)
    try:
        state = broker.look(EVENTS)
        lines = [line for one in broker.read(EVENTS, 1, state.last) for line in one.data.splitlines()]
    finally:
        broker.close()
    shown = engine("inspect", SAMPLE, "--json", "--limit", 1_000_000).out.splitlines()
    assert [json.loads(line) for line in lines] == [json.loads(line) for line in shown]


def test_a_broker_that_is_not_there_is_reported_in_one_line_without_the_password(tmp_path: Path) -> None:
    pytest.importorskip("nats", reason="nats-py is not installed: make test-stores")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    done = engine("mirror", "push", SAMPLE, "--to", f"nats://me:secret-word@127.0.0.1:{port}/journal")
    assert done.code == 5
    assert "the broker is unavailable" in done.err
    assert "secret-word" not in done.err
    assert "Connect call failed" in done.err
    assert done.err.count("\n") == 1


def kafka_topic(server: Kafka, name: str, partitions: int = 1, **settings: str) -> None:
    """Make a topic as a person would, without limits but those given."""
    from confluent_kafka.admin import AdminClient, NewTopic

    wanted = {"retention.ms": "-1", "retention.bytes": "-1", "cleanup.policy": "delete"}
    config = {**wanted, **{key.replace("_", "."): value for key, value in settings.items()}}
    admin = AdminClient({"bootstrap.servers": f"127.0.0.1:{server.port}"})
    admin.create_topics([NewTopic(name, partitions, config=config)])[name].result(PATIENCE_S)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"retention_ms": "3600000"}, "retention.ms 3600000"),
        ({"retention_bytes": "1000000"}, "retention.bytes 1000000"),
        ({"cleanup_policy": "compact"}, "cleanup.policy compact"),
        ({"partitions": 3}, "3 partitions"),
    ],
)
def test_a_topic_with_limits_is_refused_by_name(kafka: Kafka, options: dict[str, Any], words: str) -> None:
    name = "limited-" + "-".join(options)
    kafka_topic(kafka, name, **options)
    done = engine("mirror", "push", SAMPLE, "--to", kafka.url(name))
    assert done.code == 2
    assert f"the topic {name} has {words}" in done.err


def test_a_pull_of_a_topic_that_has_lost_its_head_says_where_it_begins(
    kafka: Kafka, journal: Grown, tmp_path: Path, close_all: Callable[[Any], Any]
) -> None:
    from confluent_kafka import TopicPartition
    from confluent_kafka.admin import AdminClient

    journal.grow(30)
    url = kafka.url("headless")
    close_all(Mirror(broker_at(url), journal.days)).push()
    admin = AdminClient({"bootstrap.servers": f"127.0.0.1:{kafka.port}"})
    (deleted,) = admin.delete_records([TopicPartition("headless", 0, 20)]).values()
    deleted.result(PATIENCE_S)
    done = engine("mirror", "pull", url, "--journal", tmp_path / "p")
    assert done.code == 4
    assert f"it begins at seq {FRAMES_OF_SAMPLE[20].first_seq} " in done.err


def test_a_frame_above_the_limit_of_a_topic_goes_in_parts(
    kafka: Kafka, journal: Grown, tmp_path: Path, close_all: Callable[[Any], Any]
) -> None:
    kafka_topic(kafka, "small", max_message_bytes=str(HEADERS_MAX + PART_MIN))
    journal.grow(1_000)
    close_all(Mirror(broker_at(kafka.url("small")), journal.days)).push()
    assert len(stored_ids(kafka.url("small"), FRAMES)) > len(FRAMES_OF_SAMPLE)
    pull(close_all(broker_at(kafka.url("small"))), tmp_path / "p")
    assert contents(tmp_path / "p") == contents(journal.root)
    kafka_topic(kafka, "tiny", max_message_bytes=str(HEADERS_MAX + PART_MIN - 1))
    done = engine("mirror", "push", journal.root, "--to", kafka.url("tiny"))
    assert done.code == 2
    needed = HEADERS_MAX + PART_MIN
    assert f"messages of {needed - 1} bytes; a mirror needs {needed} " in done.err


@pytest.mark.parametrize("kind", KINDS)
def test_two_that_push_the_same_journal_store_every_frame_once(
    request: pytest.FixtureRequest, journal: Grown, close_all: Callable[[Any], Any], kind: str
) -> None:
    url = request.getfixturevalue(kind).url("two")
    mirrors = [close_all(Mirror(broker_at(url), journal.days)) for _ in range(2)]
    for _ in range(5):
        journal.grow(10)
        for mirror in mirrors:
            mirror.push()
    assert len(stored_ids(url, FRAMES)) == len(set(stored_ids(url, FRAMES))) == 50
    assert mirrors[0].seq == mirrors[1].seq == FRAMES_OF_SAMPLE[49].last_seq
