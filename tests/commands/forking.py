"""Starts the command `engine` by a fork of a process that has imported it.

Owns that process, one for each process of pytest. `Forked` is a `subprocess.Popen` whose process is a real
one, with its own arguments, environment, folder, signals and output; only the half a second in which an
interpreter starts and imports the engine was spent before. The embedded sandbox of a forked session is forked
by the same process (`open_process`). What depends on the start of an interpreter
(variables PYTHON..., shadowed modules, signals during the imports) is tested with a new one.
Used by `kit.start`, `kit.spawn` and `kit.engine`, and by scripts of a shell through `forked.py`.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import json
import os
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

import trio

ROOT: Final = Path(__file__).resolve().parents[2]
_REQUEST_BYTES_MAX: Final = 1 << 20
_FDS: Final = 4
"""Descriptors of a request: input, output, errors, and the pipe on which the exit code is returned."""

_REQUESTS: Final = 3
"""The descriptor in a forked process on which it makes requests."""

_FIRST_USE: Final = (
    "adapters.hyperliquid.client",
    "adapters.hyperliquid.venue",
    "adapters.sandbox.venue",
    "encodings.idna",
    "engine.strategies.crossover",
    "httpcore",
    "sqlite_utils",
)
"""Modules that a session imports when it needs them."""

_Popen = subprocess.Popen
_open_process = trio.lowlevel.open_process


class Forked(subprocess.Popen[Any]):
    """A process that runs `engine ARGS`, given as `[sys.executable, "-m", "engine", *ARGS]` or with -P."""

    _status: int

    def _execute_child(self, args: Any, *more: Any) -> None:
        """Request a fork instead of starting an interpreter. The arguments are those of CPython."""
        cwd, env, p2cread, p2cwrite, c2pread, c2pwrite, errread, errwrite = (*more[4:6], *more[9:15])
        status, status_write = os.pipe()
        module = args.index("-m")
        request = {
            "arguments": [str(one) for one in args[module + 2 :]],
            "path": [] if "-P" in args[:module] else [str(cwd or Path.cwd())],
            "session": more[20],
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


def shell_command() -> list[str]:
    """Return the command that stands for `engine` in a script of a shell."""
    return [sys.executable, "-I", "-S", str(Path(__file__).with_name("forked.py")), _server().address]


async def open_process(command: Any, **options: Any) -> trio.Process:
    """Start a process of the engine as `trio.lowlevel.open_process` does, by a fork."""
    with patch.object(subprocess, "Popen", Forked):
        return await _open_process(command, **options)


class _Server:
    """The process that forks. It ends when its socket is closed."""

    address: str
    """Where it listens for `forked.py`: a path in a folder of this user's."""

    def __init__(self, connection: socket.socket | None = None) -> None:
        if connection is not None:
            self._socket = connection
            return
        self._socket, theirs = socket.socketpair()
        self.address = str(Path(tempfile.mkdtemp()) / "fork.sock")
        with theirs, socket.socket(socket.AF_UNIX) as listener:
            listener.bind(self.address)
            listener.listen()
            fds = [theirs.fileno(), listener.fileno()]
            self._process = _Popen(
                [sys.executable, __file__, *map(str, fds)],
                pass_fds=fds,
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
        shutil.rmtree(Path(self.address).parent)


@functools.cache
def _server() -> _Server:
    return _Server()


def _serve(first: socket.socket, listener: socket.socket) -> dict[str, Any]:
    """Fork for each request. Returns the request in each child, and ends the parent with the first socket.

    A child has a socket for requests of its own; who connects to the listener has one too.
    """
    sockets: dict[int, socket.socket] = {one.fileno(): one for one in (first, listener)}
    children: dict[int, tuple[int, int]] = {}
    while True:
        ready, _, _ = select.select([*sockets, *children], [], [])
        for one in ready:
            if one in children:
                pid, status = children.pop(one)
                with contextlib.suppress(BrokenPipeError):  # who started it was killed
                    os.write(status, str(os.waitpid(pid, 0)[1]).encode())
                os.close(status)
                os.close(one)
                continue
            requests = sockets[one]
            if requests is listener:
                requests, _ = listener.accept()
                sockets[requests.fileno()] = requests
                continue
            head, fds, _, _ = socket.recv_fds(requests, 4, _FDS)
            if not head:
                if requests is first:
                    os._exit(0)
                sockets.pop(one).close()
                continue
            body = requests.recv(int.from_bytes(head, "little"), socket.MSG_WAITALL)
            ours, theirs = socket.socketpair()
            pid = os.fork()
            if not pid:
                for number, fd in enumerate(fds[:3]):
                    os.dup2(fd, number)
                os.dup2(theirs.detach(), _REQUESTS, inheritable=False)
                for other in (ours, *sockets.values()):
                    other.detach()
                os.closerange(_REQUESTS + 1, os.sysconf("SC_OPEN_MAX"))
                request: dict[str, Any] = json.loads(body)
                return request
            requests.sendall(pid.to_bytes(4, "little"))
            for fd in fds[:3]:
                os.close(fd)
            theirs.close()
            sockets[ours.fileno()] = ours
            children[os.pidfd_open(pid)] = pid, fds[3]


def _leave(code: Any) -> None:
    """End as the interpreter does, but free nothing: that takes ten times as long as a short command."""
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:
        sys.exit(code)  # the interpreter reports it
    if not isinstance(code, int):
        sys.exit(code)
    os._exit(code)


def _main() -> None:
    sys.path[0] = str(ROOT)
    import gc
    import importlib
    import pkgutil
    import runpy

    import engine.cli
    import engine.commands
    from adapters.transport.http import HttpClient
    from engine.api.openapi import description

    for module in pkgutil.iter_modules(engine.commands.__path__, "engine.commands."):
        importlib.import_module(module.name)
    for name in _FIRST_USE:
        importlib.import_module(name)
    # What these two read is kept.
    description()
    HttpClient(timeout_s=1)
    # Pages that no collection of garbage writes to stay shared with the children.
    gc.collect()
    gc.freeze()
    request = _serve(*(socket.socket(fileno=int(number)) for number in sys.argv[1:3]))
    if request["session"]:
        os.setsid()
    server = _Server(socket.socket(fileno=_REQUESTS))
    globals()["_server"] = lambda: server
    trio.lowlevel.open_process = open_process
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.path[:1] = request["path"]
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
    code: Any = 0
    try:
        runpy.run_module("engine", run_name="__main__", alter_sys=True)
    except SystemExit as exited:
        code = exited.code or 0
    _leave(code)


if __name__ == "__main__":
    _main()
