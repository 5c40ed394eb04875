"""Runs a sandbox as a process. Called by `engine sandbox`.

Prints one line with its address as soon as it accepts connections. SIGINT and SIGTERM stop it immediately and
without further output, except that with faults configured it prints one line of JSON to standard error: how
often each fault fired. With `until_eof` it also stops when its standard input ends, so that it does not
outlive a parent process that was killed.
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
from engine.errors import error_in

__all__ = ["run_sandbox"]

_STDIN: Final = 0
_DRAIN_S: Final = 0.02


def run_sandbox(options: SandboxOptions, *, as_json: bool = False, until_eof: bool = False) -> None:
    """Serve until SIGINT, SIGTERM or, with `until_eof`, the end of standard input. Raises EngineError."""
    sandbox = Sandbox(options)
    try:
        trio.run(_run, sandbox, options, as_json, until_eof)
    except BaseExceptionGroup as group:
        error = error_in(group)
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
        # The receiver raises unread signals again when it closes. Discard those that arrived during the
        # shutdown, such as a second Ctrl-C.
        with trio.move_on_after(_DRAIN_S):
            async for _ in signals:
                pass


async def _stop_at_eof(scope: trio.CancelScope) -> None:
    while True:
        # A regular file or a closed descriptor cannot be waited for; reading it does not block.
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
    tape = f"recorded day {options.day}" if options.day else f"synthetic market (seed {options.seed})"
    pace = f"{options.speed:g} times real time"
    return f"sandbox exchange at {address.base_url}: {tape} at {pace}; press Ctrl-C to stop"
