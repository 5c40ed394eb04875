"""Where an executor runs a job: `run_job` hands it to a fork server of this process and waits for the answer.

An executor may call it in any thread or process, here or on another host. All threads of a process share one
fork server for the same days and code. The engine must be installed there, and the days and strategies be at
the same paths. Nothing of a trial stays in the process that calls.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import msgspec

from engine.errors import EngineError
from engine.search.forkserver import received
from engine.search.jobs import Answer, DayRef, Job, error_of

__all__ = ["close_servers", "run_job"]

_ATTEMPTS: Final = 3
"""How often a job is started whose process is killed."""


class _Server:
    """A fork server that has read some days, and the socket to it. `asking` counts its running jobs.

    `killed`: it takes no more jobs. Its children go on to their ends.
    """

    def __init__(self, days: tuple[DayRef, ...], code: str) -> None:
        self.days = days
        self.code = code
        self.asking = 0
        self.killed = False
        self._socket, theirs = socket.socketpair()
        with theirs:
            # -P: a module of the user's folder must not replace one of the engine.
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "engine.search.forkserver", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )

    def ask(self, request: bytes) -> bytes:
        """Return the answer to a request, b"" if its process or the server was killed."""
        ours, theirs = socket.socketpair()
        with ours:
            try:
                with theirs:
                    socket.send_fds(self._socket, [b"."], [theirs.fileno()])
                ours.sendall(request)
                ours.shutdown(socket.SHUT_WR)
                return received(ours)
            except OSError:
                self.killed = True
                return b""

    def read_days(self) -> Answer:
        """Have the days read; return an answer with an error if they cannot be."""
        data = self.ask(msgspec.json.encode(self.days))
        if not data:
            return Answer(error="the process that reads the days has ended (out of memory?)")
        return msgspec.json.decode(data, type=Answer)

    def close(self) -> None:
        self._socket.close()
        self._process.wait()


_lock = threading.Lock()
_servers: list[_Server] = []


def run_job(text: str) -> str:
    """Run a job given as JSON and return its `Answer` as JSON."""
    job = msgspec.json.decode(text, type=Job)
    for _ in range(_ATTEMPTS):
        try:
            with _server_of(job) as server:
                data = server.ask(text.encode())
        except EngineError as error:
            data = msgspec.json.encode(Answer(error=str(error), code=error.exit_code))
        if data:
            return data.decode()
    reason = (
        f"trial {job.number}: its process was killed {_ATTEMPTS} times (out of memory?); "
        "run fewer jobs at once"
    )
    return msgspec.json.encode(Answer(error=reason)).decode()


def close_servers() -> None:
    """End the fork servers of this process, and their children."""
    with _lock:
        while _servers:
            _servers.pop().close()


@contextmanager
def _server_of(job: Job) -> Iterator[_Server]:
    """Yield the fork server of the job's days and code. Ends those of others, unless they run jobs."""
    with _lock:
        found = next((one for one in _servers if (one.days, one.code) == (job.days, job.code)), None)
        if found is None:
            for one in [one for one in _servers if not one.asking]:
                _servers.remove(one)
                one.close()
            found = _Server(job.days, job.code)
            answer = found.read_days()
            if answer.error:
                found.close()
                raise error_of(answer)
            _servers.append(found)
        found.asking += 1
    try:
        yield found
    finally:
        with _lock:
            found.asking -= 1
            if found.killed and found in _servers:
                _servers.remove(found)
                found.close()
