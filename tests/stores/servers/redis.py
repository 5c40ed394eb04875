"""Redis: the system's, else the packages of Debian, unpacked beside the environment."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

from tests.stores.servers.running import MODULES, Missing, Server

__all__ = ["PACKAGES", "UNPACKED", "Redis", "find_program"]

UNPACKED = MODULES / "redis"
PACKAGES = (
    *("redis-server", "redis-tools", "libatomic1", "libhiredis0.14", "libjemalloc2"),
    *("liblua5.1-0", "liblzf1", "lua-bitop", "lua-cjson"),
)
"""The packages of Debian that are unpacked where there is no Redis: nothing of the system changes."""


def find_program() -> Path | None:
    """Return the path of redis-server, or None."""
    found = shutil.which("redis-server")
    unpacked = UNPACKED / "usr" / "bin" / "redis-check-rdb"  # the same program; its name decides
    return Path(found) if found else unpacked if unpacked.exists() else None


class Redis(Server):
    """One server that appends every write to a file."""

    name = "Redis"

    def __init__(self) -> None:
        program = find_program()
        if program is None:
            raise Missing("no Redis: the program redis-server is missing")
        if find_spec("redis") is None:
            raise Missing("no driver: the package redis is missing")
        super().__init__()
        self.appends = True
        self._program = self.folder / "redis-server"
        self._program.symlink_to(program)

    def url(self, *, password: str = "") -> str:
        """Return the address of the database."""
        return f"redis://{f':{password}@' if password else ''}127.0.0.1:{self.port}/0"

    def command(self) -> Sequence[str | Path]:
        """See `Server`."""
        appends = "yes" if self.appends else "no"
        return [
            *(self._program, "--bind", "127.0.0.1", "--port", str(self.port), "--dir", self.folder),
            *("--appendonly", appends, "--save", "", "--daemonize", "no"),
        ]

    def environment(self) -> Mapping[str, str]:
        """See `Server`."""
        libraries = sorted({str(path.parent) for path in UNPACKED.glob("**/*.so*")})
        return {**os.environ, "LD_LIBRARY_PATH": ":".join(libraries)} if libraries else os.environ

    def ask_version(self) -> str:
        """See `Server`."""
        import redis

        with redis.Redis(port=self.port, socket_timeout=2) as client:
            return str(client.info("server")["redis_version"])
