"""A real engine in a process of its own, on the sandbox, with its dashboard."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType

__all__ = ["RunningEngine"]

STOP_S = 60


class RunningEngine:
    """`engine live --dashboard`. `address` is the page's, `link` has the token for one login."""

    def __init__(self, journal: Path, *options: str) -> None:
        command = [sys.executable, "-m", "engine", "live", "--dashboard", ":0", "--json", "--quiet"]
        command += ["--for", "15m", "--journal", str(journal), *options]
        self._log = journal.with_name(f"{journal.name}.log").open("a")
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=self._log, text=True)
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self.stop()
            raise AssertionError(Path(self._log.name).read_text())
        self.link: str = json.loads(line)["dashboard"]
        self.address = self.link.partition("?")[0]

    def __enter__(self) -> RunningEngine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def freeze(self) -> None:
        """Stop the process as a debugger does: its connections stay open and silent."""
        os.kill(self._process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        os.kill(self._process.pid, signal.SIGCONT)

    def stop(self) -> None:
        """Stop it gracefully, as Ctrl-C does."""
        if self._process.poll() is None:
            self.thaw()
            self._process.terminate()
            try:
                self._process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._log.close()
