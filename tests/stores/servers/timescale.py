"""TimescaleDB on PostgreSQL, as a WebAssembly build that Node runs (a test dependency only).

What it cannot do: `COPY FROM STDIN` ends it, it takes one connection at a time, and it has no background
workers, so policies run only by `call run_job(...)`.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.stores.servers.running import MODULES, Missing, Server

__all__ = ["MODULES_OF_NODE", "SOURCE", "Timescale"]

SOURCE = Path(__file__).parent / "timescale"
MODULES_OF_NODE = MODULES / "timescale"


class Timescale(Server):
    """One server, with the database `postgres`, the user `postgres`, and any password."""

    name = "TimescaleDB"

    def __init__(self) -> None:
        if shutil.which("node") is None:
            raise Missing("no TimescaleDB: node is missing")
        if not (MODULES_OF_NODE / "node_modules").is_dir():
            raise Missing("no TimescaleDB: its npm packages are missing")
        super().__init__()

    def url(self) -> str:
        """Return the address of the database."""
        return f"postgresql://postgres:x@127.0.0.1:{self.port}/postgres?sslmode=disable"

    def command(self) -> Sequence[str | Path]:
        """See `Server`."""
        return ["node", SOURCE / "server.mjs", self.folder / "data", str(self.port)]

    def environment(self) -> Mapping[str, str]:
        """See `Server`."""
        return {**os.environ, "RETAPE_MODULES": str(MODULES_OF_NODE)}

    def ask_version(self) -> str:
        """See `Server`."""
        import psycopg

        sql = (
            "select extversion, current_setting('server_version') from pg_extension"
            " where extname = 'timescaledb'"
        )
        with psycopg.connect(self.url(), connect_timeout=5) as conn:
            found = conn.execute(sql).fetchone()
        assert found is not None
        return f"{found[0]} on PostgreSQL {found[1]}"
