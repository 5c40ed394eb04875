"""An account's stream: one connection at a time, kept up, and every loss reported.

What is the same for every venue. Promises: every loss is reported with its reason and the wait before the
next try, which grows with each failure and is half random. A venue's stream derives from it: how it connects,
what confirms that events come, and what a message is. Called by the gateway of a venue.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from typing import Any, Generic, Protocol, TypeVar

import trio

from adapters.transport.connection import Connection, Dial, Loss
from adapters.transport.context import StreamContext
from adapters.transport.governor import Priority
from engine.backoff import backoff_ms

__all__ = ["UserHost", "UserProtocol", "UserStream"]

_Event = TypeVar("_Event", contravariant=True)


class UserHost(Protocol[_Event]):
    """What the stream needs of its gateway."""

    async def stream_up(self) -> None:
        """Called when events come."""
        ...

    async def stream_down(self, loss: Loss, backoff_ms: int) -> None:
        """Called when the connection is lost; the next try follows after the backoff."""
        ...

    async def receive(self, event: _Event) -> None:
        """Handle one event. Raises VenueError."""
        ...


class UserProtocol:
    """What a `Connection` needs to know, without control frames. See `adapters.transport.protocol`.

    `ping` is the venue's ping message, "" for a ping frame.
    """

    controls: frozenset[type] = frozenset()

    def __init__(self, ping: str, message_bytes_max: int, decode: Callable[[str | bytes], Any]) -> None:
        self.ping = ping
        self.message_bytes_max = message_bytes_max
        self.decode = decode

    def read_control(self, frame: object) -> None:
        """Nothing is a control frame."""


class UserStream(ABC, Generic[_Event]):
    """See the module. `live`: events come.

    `dial` returns how an address is dialed, `venue_ms` the venue's time by our clock.
    """

    def __init__(
        self,
        context: StreamContext,
        host: UserHost[_Event],
        protocol: UserProtocol,
        dial: Callable[[str], Dial],
        venue_ms: Callable[[], int],
    ) -> None:
        self._context = context
        self._host = host
        self._protocol = protocol
        self._dial = dial
        self._venue_ms = venue_ms
        self._connection: Connection | None = None
        self.live = False

    # ---- implemented by a venue

    @abstractmethod
    async def _connect(self) -> Loss:
        """Connect, and read until the connection is lost; return why."""

    @abstractmethod
    async def _take(self, message: str | bytes) -> None:
        """Handle one message. One that cannot be used ends the connection: what it said is read then."""

    # ---- the same for all

    async def run(self) -> None:
        """Keep the connection up until cancelled."""
        failures = 0
        limits = self._context.limits
        while True:
            was_up = False
            try:
                loss = await self._connect()
                was_up = self.live
            finally:
                self.live = False
            failures = 0 if was_up else failures
            wait_ms = backoff_ms(
                failures,
                self._context.jitter(),
                min_ms=1000 * (limits.backoff_s_max if loss.longest_backoff else limits.backoff_s_min),
                max_ms=1000 * limits.backoff_s_max,
            )
            await self._host.stream_down(loss, wait_ms)
            failures += 1
            await trio.sleep(wait_ms / 1000)

    def lose(self, reason: str) -> None:
        """Give the connection up."""
        if self._connection is not None:
            self._connection.lose(Loss(reason))

    async def _run(self, url: str, on_open: Callable[[], Awaitable[None]]) -> Loss:
        """Run a connection to an address; `on_open` runs beside the reading once it is open."""
        self._connection = Connection(
            url,
            self._dial(url),
            self._protocol,
            self._context.limits,
            on_open,
            self._take,
            self._context.governor,
            Priority.ACCOUNT,
        )
        return await self._connection.run()

    async def _up(self) -> None:
        """Report that events come."""
        self.live = True
        await self._host.stream_up()
