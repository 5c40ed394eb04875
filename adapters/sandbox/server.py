"""The sandbox exchange server: the Hyperliquid protocol on one loopback port, fed by a tape.

The local exchange (`adapters/exchange/server.py`) with Hyperliquid's protocol (`protocol.py`). Started by the
embedded sandbox of a session and by tests.
"""

from __future__ import annotations

import trio

from adapters.exchange.options import PORT_DEFAULT, SandboxAddress, SandboxOptions
from adapters.exchange.server import LocalExchange
from adapters.exchange.tape import Tape
from adapters.sandbox.protocol import HyperliquidProtocol

__all__ = ["PORT_DEFAULT", "Sandbox", "SandboxAddress", "SandboxOptions", "serve"]


async def serve(
    options: SandboxOptions, *, task_status: trio.TaskStatus[SandboxAddress] = trio.TASK_STATUS_IGNORED
) -> None:
    """Serve until cancelled. Passes the address to `task_status`. Raises UsageError, SafetyRefusal."""
    await Sandbox(options).serve(task_status=task_status)


class Sandbox(LocalExchange):
    """One sandbox exchange."""

    def __init__(self, options: SandboxOptions, tape: Tape | None = None) -> None:
        super().__init__(options, HyperliquidProtocol, tape)
        protocol = self.protocol
        assert isinstance(protocol, HyperliquidProtocol)
        self.exchange, self.limits = protocol.exchange, protocol.limits
        self._market = protocol.state
        self._hub, self._info, self._requests = protocol.hub, protocol.info, protocol.requests

    @property
    def subscriptions(self) -> int:
        """The number of subscriptions on all connections."""
        return self._hub.subscriptions
