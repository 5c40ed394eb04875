"""Apache Kafka: one node in KRaft mode, from the jars of Maven Central, run with the Java that is there."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from tests.stores.servers.running import MODULES, Missing, Server, free_port

__all__ = ["JARS", "POM", "Kafka"]

POM = Path(__file__).parent / "kafka" / "pom.xml"
JARS = MODULES / "kafka"


class Kafka(Server):
    """One broker without topics."""

    name = "Kafka"

    def __init__(self) -> None:
        if shutil.which("java") is None:
            raise Missing("no Kafka: java is missing")
        if not any(JARS.glob("kafka_2.13-*.jar")):
            raise Missing("no Kafka: its jars are missing (mvn)")
        if find_spec("confluent_kafka") is None:
            raise Missing("no driver: the package confluent-kafka is missing")
        super().__init__()
        controller = free_port()
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
            "listeners": f"PLAINTEXT://127.0.0.1:{self.port},CONTROLLER://127.0.0.1:{controller}",
            "controller.listener.names": "CONTROLLER",
            "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
            "log.dirs": f"{self.folder}/logs",
            "group.initial.rebalance.delay.ms": "0",
            **dict.fromkeys(ones, "1"),
        }
        self._properties = self.folder / "kraft.properties"
        self._settings = "".join(f"{key}={value}\n" for key, value in settings.items())
        self.advertise(self.port)
        tool = ("java", "-cp", f"{JARS}/*", "kafka.tools.StorageTool")
        new_id = subprocess.run(
            [*tool, "random-uuid"], check=True, capture_output=True, text=True
        ).stdout.strip()
        made = [*tool, "format", "-t", new_id, "-c", self._properties, "--standalone"]
        subprocess.run(made, check=True, capture_output=True)

    def advertise(self, port: int) -> None:
        """From the next start on, let clients connect to this port, which is a proxy's."""
        listener = f"advertised.listeners=PLAINTEXT://127.0.0.1:{port}\n"
        self._properties.write_text(self._settings + listener)

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
