"""QuestDB: one jar of Maven Central, run with the Java that is there."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import httpx

from tests.stores.servers.running import MODULES, Missing, Server, free_port

__all__ = ["JARS", "POM", "Questdb"]

POM = Path(__file__).parent / "pom.xml"
JARS = MODULES / "questdb"


class Questdb(Server):
    """One server with an empty database."""

    name = "QuestDB"

    def __init__(self) -> None:
        if shutil.which("java") is None:
            raise Missing("no QuestDB: java is missing")
        jars = sorted(JARS.glob("questdb-*.jar"))
        if not jars:
            raise Missing("no QuestDB: its jar is missing (mvn)")
        super().__init__()
        self._jar = jars[-1]
        settings = {
            "http.bind.to": f"127.0.0.1:{self.port}",
            "http.min.net.bind.to": f"127.0.0.1:{free_port()}",
            "pg.net.bind.to": f"127.0.0.1:{free_port()}",
            "line.tcp.enabled": "false",
            "telemetry.enabled": "false",
            "shared.worker.count": "2",
            "dev.mode.enabled": "true",  # allows to suspend a table
            # By default the server reserves 16 MB for each column of each of the hundreds of small tables.
            "cairo.writer.data.append.page.size": "64K",
            "cairo.system.writer.data.append.page.size": "64K",
            "cairo.writer.data.index.key.append.page.size": "64K",
            "cairo.writer.data.index.value.append.page.size": "64K",
            "cairo.wal.writer.data.append.page.size": "64K",
            "cairo.o3.column.memory.size": "64K",
        }
        conf = self.folder / "root" / "conf"
        conf.mkdir(parents=True)
        (conf / "server.conf").write_text("".join(f"{key}={value}\n" for key, value in settings.items()))

    def url(self) -> str:
        """Return the address of the server."""
        return f"http://127.0.0.1:{self.port}"

    def command(self) -> Sequence[str | Path]:
        """See `Server`."""
        module = ("-m", "io.questdb/io.questdb.ServerMain")
        return ["java", "-Xmx512m", "-p", self._jar, *module, "-d", self.folder / "root"]

    def ask_version(self) -> str:
        """See `Server`."""
        httpx.get(f"{self.url()}/exec", params={"query": "select 1"}, timeout=2).raise_for_status()
        return self._jar.stem.removeprefix("questdb-")
