"""A process that reads the days of a sweep once, and forks a child for each trial.

A child begins with what this process has: the engine's modules and the bytes of the days, which it shares
as long as it only reads. It imports the strategies itself and ends after one trial, so no module, no trap of
the guard and no memory of one trial is there in the next. This process imports no strategy and starts no
thread; a fork of a process with threads, as the workers of clusters have, would not be safe.

`engine.search.workers` starts it with the number of a Unix socket. Each byte that arrives there brings a
socket with one request, JSON until its end, which is answered on the same socket:

    the first           the days; the answer is empty when they are read, or an error
    each more           a job, answered by its child

It ends when the first socket is closed, with all of its children, so that a parent that is killed leaves
nothing; and after ten minutes without a job, since a worker of a cluster stays up.
"""

from __future__ import annotations

import gc
import os
import signal
import socket
import sys
from contextlib import suppress
from typing import Final

import msgspec

from engine.errors import EngineError
from engine.events.codec import schema_fingerprint
from engine.loading.strategies import make_builder
from engine.search.held import HeldDays
from engine.search.jobs import Answer, DayRef, Job
from engine.search.running import results_code, run_trial

__all__ = ["main", "received"]

_IDLE_S: Final = 600.0


def main(fd: int) -> None:
    """Serve until the socket is closed."""
    with socket.socket(fileno=fd) as control:
        held = HeldDays()
        if not _read_days(control, held):
            return
        # The fingerprints of the code that was just imported. The children share them, and what the collector
        # of garbage leaves alone.
        results_code()
        make_builder()
        schema_fingerprint()
        gc.collect()
        gc.freeze()
        children: set[int] = set()
        while (reply_fd := _next(control, children)) is not None:
            child = os.fork()
            if not child:
                _run(control, reply_fd, held)
            os.close(reply_fd)
            children.add(child)
    for child in _running(children):
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)


def received(connection: socket.socket) -> bytes:
    """Return all that arrives until the other end has sent everything."""
    parts = []
    while part := connection.recv(1 << 20):
        parts.append(part)
    return b"".join(parts)


def _read_days(control: socket.socket, held: HeldDays) -> bool:
    """Read the days of the first request. Return whether they could be read."""
    reply_fd = _next(control, set())
    if reply_fd is None:
        return False
    answer = Answer()
    with socket.socket(fileno=reply_fd) as reply:
        try:
            held.read(msgspec.json.decode(received(reply), type=tuple[DayRef, ...]))
        except EngineError as error:
            answer = Answer(error=str(error), code=error.exit_code)
        reply.sendall(msgspec.json.encode(answer))
    return not answer.error


def _next(control: socket.socket, children: set[int]) -> int | None:
    """Return the socket of the next request; None at the end, or after a long time without any.

    Removes from `children` those that have ended.
    """
    control.settimeout(_IDLE_S)
    while True:
        try:
            message, sockets, _, _ = socket.recv_fds(control, 1, 1)
        except TimeoutError:
            if _running(children):
                continue
            return None
        _running(children)
        return sockets[0] if message else None


def _running(children: set[int]) -> set[int]:
    """Remove the children that have ended and return the others."""
    for child in sorted(children):
        if os.waitpid(child, os.WNOHANG)[0]:
            children.discard(child)
    return children


def _run(control: socket.socket, reply_fd: int, held: HeldDays) -> None:
    """Run a trial in the child and end it."""
    code = 1
    try:
        control.close()
        with socket.socket(fileno=reply_fd) as reply:
            answer = run_trial(msgspec.json.decode(received(reply), type=Job), held)
            changed = held.changed()
            if changed:
                answer = Answer(error=f"{changed}: was changed while it was read", code=4)
            reply.sendall(msgspec.json.encode(answer))
        code = 0
    except BrokenPipeError:
        pass  # who asked has gone
    finally:
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    main(int(sys.argv[1]))
