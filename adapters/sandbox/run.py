"""Runs a sandbox as a process of its own: what the command line calls.

Promises: one line tells where it listens, once it does; SIGINT and SIGTERM stop it at once and quietly, but
for a line of JSON on standard error that counts the faults that fired, when some were asked for; with
`until_eof` it also ends when its standard input does, so that a parent that was killed leaves nothing behind.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from typing import Final

import msgspec
import trio

from adapters.sandbox.server import Sandbox, SandboxAddress, SandboxOptions
from engine.errors import EngineError

__all__ = ["run_sandbox"]

_STDIN: Final = 0
_DRAIN_S: Final = 0.02


def run_sandbox(options: SandboxOptions, *, as_json: bool = False, until_eof: bool = False) -> None:
    """Serve until a signal, or the end of standard input, says stop. Raises EngineError."""
    sandbox = Sandbox(options)
    try:
        trio.run(_run, sandbox, options, as_json, until_eof)
    except BaseExceptionGroup as group:
        error = _only_error(group)
        if error is None:
            raise
        raise error from None
    finally:
        if options.faults:
            fired = msgspec.json.encode({"faults": sandbox.faults.fired}, order="sorted").decode()
            print(fired, file=sys.stderr)


async def _run(sandbox: Sandbox, options: SandboxOptions, as_json: bool, until_eof: bool) -> None:
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with trio.open_nursery() as nursery:
            if until_eof:
                nursery.start_soon(_stop_at_eof, nursery.cancel_scope)
            address: SandboxAddress = await nursery.start(sandbox.serve)
            print(_announcement(address, options, as_json), flush=True)
            async for _ in signals:
                nursery.cancel_scope.cancel()
        # A signal that came while all was ending anyway (standard input ended too, or a second Ctrl-C)
        # would be raised again when the receiver closes; it has had its way already.
        with trio.move_on_after(_DRAIN_S):
            async for _ in signals:
                pass


async def _stop_at_eof(scope: trio.CancelScope) -> None:
    while True:
        # A plain file or a closed descriptor cannot be waited for, and need not be.
        with contextlib.suppress(OSError):
            await trio.lowlevel.wait_readable(_STDIN)
        try:
            data = os.read(_STDIN, 65_536)
        except OSError:
            data = b""
        if not data:
            scope.cancel()
            return
        await trio.lowlevel.checkpoint()


def _announcement(address: SandboxAddress, options: SandboxOptions, as_json: bool) -> str:
    if as_json:
        return msgspec.json.encode(address).decode()
    tape = f"the day {options.day}" if options.day else f"the built-in market (seed {options.seed})"
    pace = f"{options.speed:g} times real time"
    return f"sandbox exchange at {address.base_url}: {tape} at {pace}; Ctrl-C stops it"


def _only_error(group: BaseExceptionGroup[BaseException]) -> EngineError | None:
    """Return the one error of this project that a group wraps, if that is all it wraps."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error if isinstance(error, EngineError) else None
