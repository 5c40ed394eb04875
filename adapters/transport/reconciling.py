"""The part of a gateway that keeps the account read: the loop of reconciliation, and the order of times.

Promises: the account is read whenever the stream comes up and every so often while it is; a reading that
fails is tried again at growing intervals; one that a loss has overtaken is dropped. Used by gateways.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Final, Protocol

import msgspec
import trio

from adapters.transport.gateway_health import GatewayHealth
from engine.backoff import backoff_ms
from engine.errors import VenueError
from engine.events import Event, GatewayDown
from engine.ports import Clock

__all__ = ["ReadsAccount", "Reconciling"]

_RETRY_MIN_MS: Final = 250
_RETRY_MAX_MS: Final = 8000
_RETRIES_QUIET: Final = 5
"""Readings that fail in a row before the gateway is reported down."""


class IsLive(Protocol):
    """The account's stream. `live`: it is up."""

    @property
    def live(self) -> bool: ...


class ReadsAccount(Protocol):
    """Reads the account over HTTP."""

    async def read(self) -> list[Event]:
        """Return the reports of a reconciliation, in order. Raises VenueError."""
        ...

    def sent(self) -> None:
        """Note that the last result of `read` was sent."""
        ...


class Reconciling:
    """The parts of a gateway that use its stream and its reader of the account."""

    name: str
    health: GatewayHealth
    _clock: Clock
    _stream: IsLive
    _reconciler: ReadsAccount
    _reconcile_s: float
    _wanted: trio.Event
    _last_ns: int

    @abstractmethod
    async def _emit(self, events: Sequence[Event]) -> None:
        """Send events to the engine."""

    async def _reconcile_again(self) -> None:
        """Read the account when the stream comes up, and every so often while it is."""
        while True:
            with trio.move_on_after(self._reconcile_s):
                await self._wanted.wait()
            self._wanted = trio.Event()
            await self._reconcile()

    async def _reconcile(self) -> None:
        """Read the account; repeat until it succeeds or the connection is lost."""
        tries = 0
        connection = self.health.connections
        while self._follows(connection):
            try:
                events = await self._reconciler.read()
            except VenueError as error:
                self.health.reads_failed += 1
                wait_ms = backoff_ms(tries, 1.0, min_ms=_RETRY_MIN_MS, max_ms=_RETRY_MAX_MS)
                tries += 1
                if tries == _RETRIES_QUIET:
                    reason = f"the account cannot be read: {error}"
                    await self._emit([GatewayDown(self._now_ns(), self.name, reason, wait_ms)])
                await trio.sleep(wait_ms / 1000)
                continue
            if self._follows(connection):
                await self._emit(events)
                self._reconciler.sent()
                self.health.reconciliations += 1
            return

    def _follows(self, connection: int) -> bool:
        """Return whether the stream has stayed up since a connection, so that its readings are valid."""
        return self._stream.live and self.health.connections == connection

    def _now_ns(self) -> int:
        return self._clock.now_ns()

    def _stamped(self, event: Event) -> Event:
        """Return an event whose time is not before that of the last one: an end may have waited."""
        recv_ns: int = event.recv_ns  # type: ignore[attr-defined]
        self._last_ns = max(self._last_ns, recv_ns)
        return event if recv_ns == self._last_ns else msgspec.structs.replace(event, recv_ns=self._last_ns)
