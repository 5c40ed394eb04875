"""The account's stream of user data: one connection at a time, its key or subscription, its renewal.

Owns the connection. Promises: spot subscribes by signature, futures by a listen key that is renewed every
half hour; a key or subscription that the venue ends, or that cannot be renewed, ends the connection, since
nothing would come any more; every loss is reported with its reason and the wait before the next try, which
grows with each failure and is half random. Nothing is replayed by the venue after a reconnect, so the host
reads the account again each time. Called by the gateway.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, Protocol

import msgspec
import trio

from adapters.binance.gateway.account_wire import (
    MESSAGE_BYTES_MAX,
    Ended,
    ListenKey,
    UserEvent,
    WsAnswer,
    decode_user_message,
)
from adapters.binance.gateway.dialects import Dialect
from adapters.binance.gateway.keys import Signer
from adapters.binance.gateway.rest import Rest
from adapters.transport.connection import Connection, Dial, Loss
from adapters.transport.context import StreamContext
from adapters.transport.governor import BudgetSpent, Priority
from adapters.transport.text import clip
from engine.backoff import backoff_ms
from engine.errors import VenueError, VenueProtocolError

__all__ = ["UserHost", "UserStream"]

RENEW_NS: Final = 30 * 60 * 1_000_000_000
"""A listen key is valid for an hour; it is renewed after half of that, by the venue's time."""

RENEW_AGAIN_S: Final = 30.0
RENEW_TRIES: Final = 20
_SUBSCRIBE: Final = "userDataStream.subscribe.signature"
_encode = msgspec.json.Encoder().encode


class UserHost(Protocol):
    """What the stream needs of its gateway."""

    async def stream_up(self) -> None:
        """Called when events come."""
        ...

    async def stream_down(self, loss: Loss, backoff_ms: int) -> None:
        """Called when the connection is lost; the next try follows after the backoff."""
        ...

    async def receive(self, event: UserEvent) -> None:
        """Handle one event. Raises VenueError."""
        ...


class _Protocol:
    """What a `Connection` needs to know. See `adapters.transport.protocol.StreamProtocol`."""

    ping: Final = ""
    message_bytes_max: Final = MESSAGE_BYTES_MAX
    controls: Final[frozenset[type]] = frozenset()

    def decode(self, message: str | bytes) -> UserEvent:
        """Return a message as an event."""
        return decode_user_message(message)

    def read_control(self, frame: object) -> None:
        """Nothing is a control frame."""


class UserStream:
    """See the module. `dial` returns how an address is dialed."""

    def __init__(
        self,
        context: StreamContext,
        host: UserHost,
        dialect: Dialect,
        rest: Rest,
        signer: Signer,
        address: str,
        dial: Callable[[str], Dial],
        venue_ms: Callable[[], int],
    ) -> None:
        self._context = context
        self._host = host
        self._dialect = dialect
        self._rest = rest
        self._signer = signer
        self._address = address
        self._dial = dial
        self._venue_ms = venue_ms
        self._connection: Connection | None = None
        self._confirmed = trio.Event()
        self._requests = 0
        self.live = False

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

    async def _connect(self) -> Loss:
        try:
            url = await self._url()
        except VenueError as error:
            return Loss(f"no listen key: {error}")
        self._confirmed = trio.Event()
        on_open: Callable[[], Awaitable[None]] = self._subscribe if self._dialect.spot else self._renew
        self._connection = Connection(
            url,
            self._dial(url),
            _Protocol(),
            self._context.limits,
            on_open,
            self._take,
            self._context.governor,
            Priority.ACCOUNT,
        )
        return await self._connection.run()

    async def _url(self) -> str:
        if self._dialect.spot:
            return self._address
        path = self._dialect.path("listenKey")
        key = await self._rest.read(path, {}, ListenKey, method="POST")
        return f"{self._address}?listenKey={key.listen_key}"

    async def _subscribe(self) -> None:
        """Subscribe by signature, and wait for the confirmation."""
        assert self._connection is not None, "called by the connection"
        self._requests += 1
        params = self._signer.params({"timestamp": self._venue_ms()})
        text = _encode({"id": self._requests, "method": _SUBSCRIBE, "params": params}).decode()
        try:
            await self._connection.send(text, within_s=self._context.limits.confirm_s)
        except BudgetSpent as error:
            self._connection.lose(Loss(str(error)))
            return
        with trio.move_on_after(self._context.limits.confirm_s):
            await self._confirmed.wait()
            return
        self._connection.lose(Loss("the user data was not confirmed in time"))

    async def _renew(self) -> None:
        """Report the stream as up, and renew its key for as long as it lives."""
        await self._up()
        clock, path = self._context.clock, self._dialect.path("listenKey")
        while True:
            await trio.sleep(max(0.0, clock.real_seconds_until(clock.now_ns() + RENEW_NS)))
            for tries in range(RENEW_TRIES):
                try:
                    await self._rest.read(path, {}, dict, method="PUT")
                    break
                except VenueProtocolError as error:
                    self.lose(f"the listen key cannot be renewed: {error}")
                    return
                except VenueError as error:
                    if tries == RENEW_TRIES - 1:
                        self.lose(f"the listen key cannot be renewed: {error}")
                        return
                await trio.sleep(RENEW_AGAIN_S)

    async def _up(self) -> None:
        self.live = True
        await self._host.stream_up()

    async def _take(self, message: str | bytes) -> None:
        """Handle one message. One that cannot be used ends the connection: what it said is read then."""
        try:
            event = decode_user_message(message)
            if isinstance(event, Ended):
                self.lose(f"the venue ended the user data: {clip(event.what)}")
            elif not isinstance(event, WsAnswer):
                await self._host.receive(event)
            elif event.status != 200:
                self.lose(f"the user data is refused: {clip(str(event.error))}")
            elif self._dialect.spot and not self._confirmed.is_set():
                self._confirmed.set()
                await self._up()
        except VenueError as error:
            self.lose(f"a message cannot be used: {error}")
