"""Apache Kafka: one node in KRaft mode, from the jars of Maven Central, run with the Java that is there."""

from __future__ import annotations

import base64
import shutil
import subprocess
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from uuid import uuid4

from tests.stores.servers.certificates import certificate
from tests.stores.servers.running import MODULES, Missing, Server, free_port

__all__ = ["JARS", "PASSWORD", "POM", "USER", "Kafka"]

USER, PASSWORD = "ann", "h1dden-w0rd"
"""Who may log in to the listeners `login_port` and `tls_port`."""

POM = Path(__file__).parent / "kafka" / "pom.xml"
JARS = MODULES / "kafka"


class Kafka(Server):
    """One broker without topics.

    It has listeners for logins without and with TLS, and one at `proxied_port` whose clients are told to go
    to `proxy_port`, where a test may have a proxy.
    """

    name = "Kafka"

    def __init__(self) -> None:
        if shutil.which("java") is None:
            raise Missing("no Kafka: java is missing")
        if not any(JARS.glob("kafka_2.13-*.jar")):
            raise Missing("no Kafka: its jars are missing (mvn)")
        if find_spec("confluent_kafka") is None:
            raise Missing("no driver: the package confluent-kafka is missing")
        super().__init__()
        controller, self.login_port, self.tls_port = free_port(), free_port(), free_port()
        self.proxied_port, self.proxy_port = free_port(), free_port()
        self.ca = certificate(self.folder)
        ones = (
            "offsets.topic.replication.factor",
            "transaction.state.log.replication.factor",
            "transaction.state.log.min.isr",
            "share.coordinator.state.topic.replication.factor",
            "share.coordinator.state.topic.min.isr",
        )
        settings = {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.bootstrap.servers": f"127.0.0.1:{controller}",
            "listeners": (
                f"PLAINTEXT://127.0.0.1:{self.port},CONTROLLER://127.0.0.1:{controller},"
                f"LOGIN://127.0.0.1:{self.login_port},TLS://127.0.0.1:{self.tls_port},"
                f"PROXIED://127.0.0.1:{self.proxied_port}"
            ),
            "advertised.listeners": (
                f"PLAINTEXT://127.0.0.1:{self.port},LOGIN://127.0.0.1:{self.login_port},"
                f"TLS://127.0.0.1:{self.tls_port},PROXIED://127.0.0.1:{self.proxy_port}"
            ),
            "controller.listener.names": "CONTROLLER",
            "listener.security.protocol.map": (
                "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,PROXIED:PLAINTEXT,LOGIN:SASL_PLAINTEXT,TLS:SASL_SSL"
            ),
            **self._logins(),
            "log.dirs": f"{self.folder}/logs",
            "group.initial.rebalance.delay.ms": "0",
            **dict.fromkeys(ones, "1"),
        }
        self._properties = self.folder / "kraft.properties"
        self._properties.write_text("".join(f"{key}={value}\n" for key, value in settings.items()))
        tool = ("java", "-cp", f"{JARS}/*", "kafka.tools.StorageTool")
        new_id = base64.urlsafe_b64encode(uuid4().bytes).decode().rstrip("=").replace("-", "_")
        made = [*tool, "format", "-t", new_id, "-c", self._properties, "--standalone"]
        for mechanism in ("SCRAM-SHA-256", "SCRAM-SHA-512"):
            made += ["--add-scram", f"{mechanism}=[name={USER},password={PASSWORD}]"]
        subprocess.run(made, check=True, capture_output=True)

    def _logins(self) -> dict[str, str]:
        """Return the settings of the listeners with a login, without and with TLS."""
        plain = "org.apache.kafka.common.security.plain.PlainLoginModule"
        scram = "org.apache.kafka.common.security.scram.ScramLoginModule"
        found = {
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(self.folder / "both.pem"),
        }
        for listener in ("login", "tls"):
            name = f"listener.name.{listener}"
            found[f"{name}.sasl.enabled.mechanisms"] = "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512"
            found[f"{name}.plain.sasl.jaas.config"] = f'{plain} required user_{USER}="{PASSWORD}";'
            for mechanism in ("scram-sha-256", "scram-sha-512"):
                found[f"{name}.{mechanism}.sasl.jaas.config"] = f"{scram} required;"
        return found

    def url(self, topic: str = "journal", *, port: int | None = None) -> str:
        """Return the address of a topic."""
        return f"kafka://127.0.0.1:{port or self.port}/{topic}"

    def command(self) -> Sequence[str | Path]:
        """See `Server`."""
        return ["java", "-Xmx512m", "-cp", f"{JARS}/*", "kafka.Kafka", self._properties]

    def ask_version(self) -> str:
        """See `Server`."""
        from confluent_kafka.admin import AdminClient

        AdminClient({"bootstrap.servers": f"127.0.0.1:{self.port}", "log_level": 0}).list_topics(timeout=2)
        (jar,) = JARS.glob("kafka_2.13-*.jar")
        return jar.stem.removeprefix("kafka_2.13-")
