"""Starts the command `engine` by a fork of a process that has imported it.

Owns that process, one for each process of pytest. `Forked` is a `subprocess.Popen` whose process is a real
one, with its own arguments, environment, folder, signals and output; only the half a second in which an
interpreter starts and imports the engine was spent before. What depends on the start of an interpreter
(variables PYTHON..., shadowed modules, signals during the imports) is tested with a new one.
Used by `kit.start` and `kit.spawn`.
"""

from __future__ import annotations

import atexit
import functools
import json
import os
import select
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[2]
_REQUEST_BYTES_MAX: Final = 1 << 20
_FDS: Final = 4
"""Descriptors of a request: input, output, errors, and the pipe on which the exit code is returned."""


class Forked(subprocess.Popen[str]):
    """A process that runs `engine ARGS`, given as `[sys.executable, "-m", "engine", *ARGS]`."""

    _status: int

    def _execute_child(self, args: Any, *more: Any) -> None:
        """Request a fork instead of starting an interpreter. The arguments are those of CPython."""
        cwd, env, p2cread, p2cwrite, c2pread, c2pwrite, errread, errwrite = (*more[4:6], *more[9:15])
        status, status_write = os.pipe()
        request = {
            "arguments": [str(one) for one in args[3:]],
            "folder": str(cwd or Path.cwd()),
            "environment": dict(os.environ if env is None else env),
        }
        streams = [
            inherited if given == -1 else given
            for given, inherited in zip((p2cread, c2pwrite, errwrite), range(3), strict=True)
        ]
        self.pid = _server().fork(request, [*streams, status_write])
        self._child_created = True
        self._status = status
        os.close(status_write)
        for own, given in ((p2cwrite, p2cread), (c2pread, c2pwrite), (errread, errwrite)):
            if own != -1:
                os.close(given)  # the child's end of a pipe of ours
        self._closed_child_pipe_fds = True

    def _internal_poll(self, _deadstate: Any = None, **_: Any) -> int | None:
        if self.returncode is None:
            self._handle_exitstatus(self._try_wait(os.WNOHANG)[1])
        return self.returncode

    def _try_wait(self, wait_flags: int) -> tuple[int, int | None]:
        if wait_flags == os.WNOHANG and not select.select([self._status], [], [], 0)[0]:
            return 0, None
        text = os.read(self._status, 16)
        os.close(self._status)
        return self.pid, int(text)

    def _handle_exitstatus(self, sts: int | None, *_: Any, **__: Any) -> None:
        if sts is not None:
            self.returncode = os.waitstatus_to_exitcode(sts)


class _Server:
    """The process that forks. It ends when its socket is closed."""

    def __init__(self) -> None:
        self._socket, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, __file__, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                stdin=subprocess.DEVNULL,
            )
        atexit.register(self._end)

    def fork(self, request: dict[str, Any], fds: list[int]) -> int:
        """Fork a process; return its id."""
        body = json.dumps(request).encode()
        assert len(body) < _REQUEST_BYTES_MAX
        socket.send_fds(self._socket, [len(body).to_bytes(4, "little")], fds)
        self._socket.sendall(body)
        return int.from_bytes(self._socket.recv(4), "little")

    def _end(self) -> None:
        self._socket.close()
        self._process.wait()


@functools.cache
def _server() -> _Server:
    return _Server()


def _serve(requests: socket.socket) -> dict[str, Any]:
    """Fork for each request. Returns the request in each child, and ends the parent with the socket."""
    children: dict[int, tuple[int, int]] = {}
    while True:
        ready, _, _ = select.select([requests, *children], [], [])
        for one in ready:
            if one is not requests:
                pid, status = children.pop(one)
                os.write(status, str(os.waitpid(pid, 0)[1]).encode())
                os.close(status)
                os.close(one)
                continue
            head, fds, _, _ = socket.recv_fds(requests, 4, _FDS)
            if not head:
                os._exit(0)
            body = requests.recv(int.from_bytes(head, "little"), socket.MSG_WAITALL)
            pid = os.fork()
            if not pid:
                for number, fd in enumerate(fds[:3]):
                    os.dup2(fd, number)
                os.closerange(
                    3, max([*fds, *children, *(fd for _, fd in children.values()), requests.fileno()]) + 1
                )
                request: dict[str, Any] = json.loads(body)
                return request
            requests.sendall(pid.to_bytes(4, "little"))
            for fd in fds[:3]:
                os.close(fd)
            children[os.pidfd_open(pid)] = pid, fds[3]


def _main() -> None:
    sys.path[0] = str(ROOT)
    import gc
    import importlib
    import pkgutil
    import runpy

    import engine.cli
    import engine.commands

    for module in pkgutil.iter_modules(engine.commands.__path__, "engine.commands."):
        importlib.import_module(module.name)
    for name in ("adapters.hyperliquid.venue", "adapters.sandbox.venue", "sqlite_utils"):
        importlib.import_module(name)
    gc.collect()
    gc.freeze()
    request = _serve(socket.socket(fileno=int(sys.argv[1])))
    gc.unfreeze()
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.path[0] = request["folder"]
    sys.argv = ["engine", *request["arguments"]]
    for name, mode, errors in (
        ("stdin", "r", None),
        ("stdout", "w", None),
        ("stderr", "w", "backslashreplace"),
    ):
        number = getattr(sys, name).fileno()
        stream = open(number, mode, encoding="utf-8", errors=errors, closefd=False)  # noqa: SIM115
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
    sys.stderr.reconfigure(line_buffering=True)
    runpy.run_module("engine", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    _main()
