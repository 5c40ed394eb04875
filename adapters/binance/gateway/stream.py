"""The account's stream of user data: one connection at a time, its key or subscription, its renewal.

Owns the connection. Promises: spot subscribes by signature, futures by a listen key that is renewed every
half hour; a key or subscription that the venue ends, or that cannot be renewed, ends the connection, since
nothing would come any more; every loss is reported with its reason and the wait before the next try, which
grows with each failure and is half random. Nothing is replayed by the venue after a reconnect, so the host
reads the account again each time. Called by the gateway.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

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
from adapters.transport.connection import Dial, Loss
from adapters.transport.context import StreamContext
from adapters.transport.governor import BudgetSpent
from adapters.transport.text import clip
from adapters.transport.user_stream import UserHost, UserProtocol
from adapters.transport.user_stream import UserStream as Base
from engine.errors import VenueError, VenueProtocolError

__all__ = ["UserStream"]

RENEW_NS: Final = 30 * 60 * 1_000_000_000
"""A listen key is valid for an hour; it is renewed after half of that, by the venue's time."""

RENEW_AGAIN_S: Final = 30.0
RENEW_TRIES: Final = 20
_SUBSCRIBE: Final = "userDataStream.subscribe.signature"
_encode = msgspec.json.Encoder().encode


class UserStream(Base[UserEvent]):
    """See the module."""

    def __init__(
        self,
        context: StreamContext,
        host: UserHost[UserEvent],
        dialect: Dialect,
        rest: Rest,
        signer: Signer,
        address: str,
        dial: Callable[[str], Dial],
        venue_ms: Callable[[], int],
    ) -> None:
        protocol = UserProtocol("", MESSAGE_BYTES_MAX, decode_user_message)
        super().__init__(context, host, protocol, dial, venue_ms)
        self._dialect = dialect
        self._rest = rest
        self._signer = signer
        self._address = address
        self._confirmed = trio.Event()
        self._requests = 0

    async def _connect(self) -> Loss:
        try:
            url = await self._url()
        except VenueError as error:
            return Loss(f"no listen key: {error}")
        self._confirmed = trio.Event()
        return await self._run(url, self._subscribe if self._dialect.spot else self._renew)

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

    async def _take(self, message: str | bytes) -> None:
        """See `UserStream`."""
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
