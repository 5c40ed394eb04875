"""Mirrors that log in: a day goes there and back, and no message shows a password, a token or a key."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engine.errors import ConfigError
from engine.mirror.kafka import KafkaBroker
from engine.mirror.nats import NatsBroker
from tests.commands.kit import SAMPLE, Done, engine
from tests.stores.servers.certificates import certificate
from tests.stores.servers.kafka import PASSWORD, USER, Kafka
from tests.stores.servers.nats import Nats
from tests.stores.servers.running import Server

TOKEN = "t0ken-of-ours"
WRONG = "wr0ng-w0rd"
SECRETS = (PASSWORD, TOKEN, WRONG)


@pytest.fixture(autouse=True)
def nothing_left_open() -> Iterator[None]:
    """Find the connection of a refused login that was not closed: to collect it is a warning, so an error."""
    yield
    gc.collect()


def mirrored(url: str, restored: Path) -> None:
    """Assert that a day goes there and back."""
    shown = url.replace(f":{PASSWORD}@", "@").replace(f"{TOKEN}@", "***@").partition("?")[0]
    pushed = quiet(engine("mirror", "push", SAMPLE, "--to", url))
    assert (pushed.code, shown in pushed.out) == (0, True), pushed
    pulled = quiet(engine("mirror", "pull", url, "--journal", restored))
    assert pulled.code == 0, pulled.err
    for segment in SAMPLE.glob("*.seg"):
        assert (restored / SAMPLE.name / segment.name).exists()


def refused(url: str, words: str) -> None:
    done = quiet(engine("mirror", "push", SAMPLE, "--to", url))
    assert (done.code, words in done.err, done.err.count("\n")) == (5, True, 1), done.err


def quiet(done: Done) -> Done:
    assert not any(secret in done.out + done.err for secret in SECRETS)
    return done


def test_a_mirror_on_kafka_logs_in_with_and_without_tls(kafka: Kafka, tmp_path: Path) -> None:
    login = f"{USER}:{PASSWORD}@127.0.0.1"
    tls = f"{login}:{kafka.tls_port}/tls?ca={kafka.ca}&mechanism="
    for number, url in enumerate(
        (
            f"kafka://{login}:{kafka.login_port}/scram",
            f"kafka+ssl://{tls}SCRAM-SHA-256",
            f"kafka+ssl://{tls}PLAIN",
        )
    ):
        mirrored(url, tmp_path / str(number))
    refused(f"kafka://{USER}:{WRONG}@127.0.0.1:{kafka.login_port}/scram", "refuses the connection")
    refused(f"kafka+ssl://{login}:{kafka.tls_port}/tls", "certificate verify failed")


@pytest.mark.server("nats")
def test_a_mirror_on_nats_logs_in_by_password_token_and_certificate(
    own_server: Callable[[str], Server], tmp_path: Path
) -> None:
    server = own_server("nats")
    assert isinstance(server, Nats)
    ca, key = certificate(server.folder), server.folder / "key.pem"
    files = f"cert_file: '{ca}', key_file: '{key}'"
    for number, (logins, scheme, login, rest) in enumerate(
        (
            (f"authorization {{ user: {USER}, password: {PASSWORD} }}", "nats", f"{USER}:{PASSWORD}@", ""),
            (f"authorization {{ token: {TOKEN} }}", "nats", f"{TOKEN}@", ""),
            (
                f"authorization {{ token: {TOKEN} }}\ntls {{ {files}, ca_file: '{ca}', verify: true }}",
                *("tls", f"{TOKEN}@", f"?ca={ca}&cert={ca}&key={key}"),
            ),
        )
    ):
        server.stop()
        server.logins = logins
        server.start()
        mirrored(f"{scheme}://{login}127.0.0.1:{server.port}/journal{rest}", tmp_path / str(number))
        refused(f"{scheme}://{WRONG}@127.0.0.1:{server.port}/journal{rest}", "Authorization Violation")
    refused(f"tls://{TOKEN}@127.0.0.1:{server.port}/journal", "certificate verify failed")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("kafka://ann@127.0.0.1/t", "the user has no password"),
        ("kafka://ann:h1dden-w0rd@db.example/t?mechanism=PLAIN", "PLAIN sends the password as it is"),
        ("kafka+ssl://ann:h1dden-w0rd@db.example/t?mechanism=GSSAPI", "must be one of SCRAM-SHA-512"),
        (
            "kafka://ann:h1dden-w0rd@db.example/t?mechanisn=PLAIN",
            "no parameter 'mechanisn'; did you mean mech",
        ),
        ("kafka://ann:h1dden-w0rd@db.example/t?ca=x", "with TLS only"),
        ("kafka+ssl://db.example/t?ca=missing.pem", "ca: there is no file missing.pem"),
        ("tls://db.example/t?cert=pyproject.toml", "cert and key are needed together"),
        ("tls://db.example/t?ca=pyproject.toml", "the certificates cannot be read"),
    ],
)
def test_a_login_that_cannot_be_is_refused_without_its_secret(url: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        (KafkaBroker if url.startswith("kafka") else NatsBroker)(url)
    assert "h1dden" not in str(caught.value)


def test_a_token_is_not_shown() -> None:
    assert NatsBroker("nats://t0ken-of-ours@127.0.0.1/journal").place == "nats://***@127.0.0.1/journal"
    broker = NatsBroker("nats://t0ken-of-ours@127.0.0.1/journal")
    assert "t0ken" not in str(broker._unavailable(ValueError("t0ken-of-ours is wrong")))
