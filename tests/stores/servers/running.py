"""Real servers on loopback: each in a process of its own, on a free port, in a folder of the tests' own.

A server is started by the fixture of its name (`conftest.py`) and ended by its process id. What it needs is
installed by `install.py`; where something is missing, `Missing` says what, and the tests are skipped.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

__all__ = ["MODULES", "Missing", "Server", "connections_to", "free_port"]

ROOT: Final = Path(__file__).resolve().parents[3]
MODULES: Final = ROOT / ".venv" / "servers"
"""The folder for what is neither a Python package nor a package of the system. `make clean` removes it."""

START_S: Final = 180.0
STOP_S: Final = 20.0


class Missing(Exception):
    """A server cannot be started here; the message says which tool or package is missing."""


class Server(ABC):
    """One server. Created without starting it; `Missing` where it cannot be started.

    A subclass says how it is started and when it answers. Everything it writes is in `folder`, which survives
    a restart and is removed by `remove`.
    """

    name: str
    """The name of the server for people."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="retape-server-"))
        self.port = free_port()
        self.version = ""
        self._process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def command(self) -> Sequence[str | Path]:
        """Return the command that runs the server in the foreground."""

    @abstractmethod
    def ask_version(self) -> str:
        """Return the version of the server that runs. Raises anything while it does not answer yet."""

    def environment(self) -> Mapping[str, str]:
        """Return the environment of the process."""
        return os.environ

    def user(self) -> str | None:
        """Return the system user that runs the process; None for the one that runs the tests."""
        return None

    @property
    def log(self) -> Path:
        """The file that the server's output goes to."""
        return self.folder / "server.log"

    def start(self) -> None:
        """Start the process, and wait until the server answers."""
        until = time.monotonic() + START_S
        self._spawn()
        while True:
            try:
                self.version = self.ask_version()
                return
            except Exception as error:
                if time.monotonic() > until:
                    why = self.died() or f"{self.name} does not answer\n{self._tail()}"
                    self.kill()
                    raise RuntimeError(why) from error
            assert self._process is not None
            if self._process.poll() is not None:  # after a kill the last process may still hold something
                self._spawn()
            time.sleep(0.05)

    def stop(self) -> None:
        """End the server as its operator would."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End the server as a crash would."""
        self._end(signal.SIGKILL)

    def remove(self) -> None:
        """End the server, and remove its folder."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def wait_for_clients(self) -> None:
        """Wait until the server has read all that clients sent which have ended; none may be connected."""
        until = time.monotonic() + STOP_S
        while connections_to(self.port):
            assert time.monotonic() < until, f"{self.name} still has connections"
            time.sleep(0.005)

    def died(self) -> str:
        """Return how the process ended by itself, with the end of its output; empty while it runs."""
        if self._process is None or (code := self._process.poll()) is None:
            return ""
        free = shutil.disk_usage(self.folder).free >> 20
        return f"{self.name} has ended by itself with status {code}; {free} MB are free\n{self._tail()}"

    def _spawn(self) -> None:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [os.fspath(part) for part in self.command()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                env=dict(self.environment()),
                user=self.user(),
                start_new_session=True,
            )

    def _end(self, number: int) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(number)
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(STOP_S)

    def _tail(self) -> str:
        return self.log.read_text(errors="replace")[-2000:] if self.log.exists() else ""


def connections_to(port: int) -> int:
    """Return how many connections a server on this port has not closed yet."""
    count = 0
    for table in (Path("/proc/net/tcp"), Path("/proc/net/tcp6")):
        for row in table.read_text().splitlines()[1:] if table.exists() else ():
            _, local, _, state = row.split()[:4]
            count += int(local.rpartition(":")[2], 16) == port and state in ("01", "08")
    return count


def free_port() -> int:
    """Return a port of loopback that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
