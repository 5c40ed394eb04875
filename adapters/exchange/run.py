"""Runs one or several local exchanges as a process. Called by `engine sandbox`.

Prints one line with the addresses as soon as all accept connections. Several exchanges share one clock, so
that one session can use them together. SIGINT and SIGTERM stop them immediately and without further output,
except that with faults configured it prints one line of JSON to standard error: how often each fault fired.
With `until_eof` it also stops when its standard input ends, so that it does not outlive a parent process that
was killed.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections import Counter
from collections.abc import Mapping
from typing import Final, Protocol

import msgspec
import trio

from adapters.exchange.options import SandboxAddress, SandboxOptions
from adapters.exchange.server import LocalExchange, Start
from engine.clock import SECOND_NS, SystemClock
from engine.errors import error_in

__all__ = ["run_exchanges", "shared_start"]

_STDIN: Final = 0
_DRAIN_S: Final = 0.02


def shared_start(exchanges: Mapping[str, LocalExchange], options: SandboxOptions) -> Start | None:
    """Return the start that several exchanges share; None for one, which has its own.

    With the clock of the tapes it is the start of the last of them, so that each has begun.
    """
    if len(exchanges) == 1:
        return None
    system = SystemClock()
    if options.clock == "now":
        return Start(system.now_ns() // 1_000_000 * 1_000_000, system.monotonic_ns())
    history_ns = int(options.history_s * SECOND_NS)
    return Start(max(one.tape.start_ns for one in exchanges.values()) + history_ns, system.monotonic_ns())


def run_exchanges(
    exchanges: Mapping[str, LocalExchange],
    options: SandboxOptions,
    *,
    as_json: bool = False,
    until_eof: bool = False,
) -> None:
    """Serve until SIGINT, SIGTERM or, with `until_eof`, the end of standard input.

    `exchanges` are those of the venues by name, made with `options` but for their ports. Raises EngineError.
    """
    try:
        trio.run(_run, exchanges, options, as_json, until_eof)
    except BaseExceptionGroup as group:
        error = error_in(group)
        if error is None:
            raise
        raise error from None
    finally:
        if options.faults:
            fired: Counter[str] = Counter()
            for one in exchanges.values():
                fired.update(one.faults.fired)
            print(msgspec.json.encode({"faults": fired}, order="sorted").decode(), file=sys.stderr)


async def _run(
    exchanges: Mapping[str, LocalExchange], options: SandboxOptions, as_json: bool, until_eof: bool
) -> None:
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with trio.open_nursery() as nursery:
            if until_eof:
                nursery.start_soon(_stop_at_eof, nursery.cancel_scope)
            start = shared_start(exchanges, options)
            addresses: dict[str, SandboxAddress] = {}
            for name, exchange in exchanges.items():
                serve = _starting(exchange, start)
                addresses[name] = await nursery.start(serve)
            print(_announcement(addresses, options, as_json), flush=True)
            async for _ in signals:
                nursery.cancel_scope.cancel()
        # The receiver raises unread signals again when it closes. Discard those that arrived during the
        # shutdown, such as a second Ctrl-C.
        with trio.move_on_after(_DRAIN_S):
            async for _ in signals:
                pass


def _starting(exchange: LocalExchange, start: Start | None) -> _Serve:
    """Return what serves an exchange from a shared start."""

    async def serve(*, task_status: trio.TaskStatus[SandboxAddress] = trio.TASK_STATUS_IGNORED) -> None:
        await exchange.serve(start=start, task_status=task_status)

    return serve


class _Serve(Protocol):
    """Serves until it is cancelled."""

    async def __call__(
        self, *, task_status: trio.TaskStatus[SandboxAddress] = trio.TASK_STATUS_IGNORED
    ) -> None: ...


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


def _announcement(addresses: Mapping[str, SandboxAddress], options: SandboxOptions, as_json: bool) -> str:
    one = next(iter(addresses.values()))
    if as_json:
        return msgspec.json.encode(one if len(addresses) == 1 else {"venues": addresses}).decode()
    tape = f"tape {options.day}" if options.day else f"synthetic market (seed {options.seed})"
    pace = f"{options.speed:g} times real time"
    if len(addresses) == 1:
        return f"sandbox exchange at {one.base_url}: {tape} at {pace}; press Ctrl-C to stop"
    named = ", ".join(f"{name} at {address.base_url}" for name, address in addresses.items())
    return f"sandbox exchanges: {named}: {tape} at {pace}; press Ctrl-C to stop"
