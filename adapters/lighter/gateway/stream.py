"""The account's private channels: one connection at a time, its subscriptions, its token.

Owns the connection. Promises: it counts as up once both channels, orders and trades, are confirmed; what they
show before is read over HTTP instead; the connection is renewed before its token ends; every loss is reported
with its reason and the wait before the next try, which grows with each failure and is half random. Nothing is
repeated by the venue after a reconnect, so the host reads the account again each time. Called by the gateway.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec
import trio

from adapters.lighter.gateway.account_wire import MESSAGE_BYTES_MAX, AccountFrame, decode_account_message
from adapters.lighter.gateway.keys import Signer
from adapters.transport.connection import Dial, Loss
from adapters.transport.context import StreamContext
from adapters.transport.governor import BudgetSpent
from adapters.transport.text import clip
from adapters.transport.user_stream import UserHost, UserProtocol, UserStream
from engine.errors import VenueError

__all__ = ["CHANNELS", "AccountStream"]

CHANNELS: Final = ("account_all_orders", "account_all_trades")
TOKEN_LEFT_S: Final = 300
"""A connection is renewed so long before its token ends."""

_PING: Final = '{"type":"ping"}'
_PONG: Final = '{"type":"pong"}'
_encode = msgspec.json.Encoder().encode


class AccountStream(UserStream[AccountFrame]):
    """See the module."""

    def __init__(
        self,
        context: StreamContext,
        host: UserHost[AccountFrame],
        signer: Signer,
        address: str,
        dial: Callable[[str], Dial],
        venue_ms: Callable[[], int],
    ) -> None:
        super().__init__(
            context, host, UserProtocol(_PING, MESSAGE_BYTES_MAX, decode_account_message), dial, venue_ms
        )
        self._signer = signer
        self._address = address
        self._wanted: set[str] = set()  # channels that are not confirmed yet
        self._confirmed = trio.Event()

    async def _connect(self) -> Loss:
        self._wanted = {f"subscribed/{one}" for one in CHANNELS}
        self._confirmed = trio.Event()
        return await self._run(self._address, self._subscribe)

    async def _subscribe(self) -> None:
        """Subscribe to both channels, and renew the connection before the token ends."""
        assert self._connection is not None, "called by the connection"
        within_s = self._context.limits.confirm_s
        token = self._signer.token(self._venue_ms() // 1000)
        try:
            for one in CHANNELS:
                request = {"type": "subscribe", "channel": f"{one}/{self._signer.account}", "auth": token}
                await self._connection.send(_encode(request).decode(), within_s=within_s)
        except BudgetSpent as error:
            self._connection.lose(Loss(str(error)))
            return
        with trio.move_on_after(within_s):
            await self._confirmed.wait()
            end_ns = (self._signer.until_s - TOKEN_LEFT_S) * 1_000_000_000
            ahead_ns = self._venue_ms() * 1_000_000 - self._context.clock.now_ns()
        if not self._confirmed.is_set():
            self._connection.lose(Loss("the account's channels were not confirmed in time"))
            return
        await trio.sleep(max(0.0, self._context.clock.real_seconds_until(end_ns - ahead_ns)))
        self._connection.lose(Loss("its token ends: the connection is renewed"))

    async def _take(self, message: str | bytes) -> None:
        """See `UserStream`."""
        assert self._connection is not None, "called by the connection"
        try:
            frame = decode_account_message(message)
            if frame.error is not None:
                self.lose(f"the account's channels are refused: {clip(str(frame.error))}")
            elif frame.type == "ping":
                await self._connection.send(_PONG)
            elif frame.type == "shutdown":
                self.lose("the venue shuts the connection down")
            elif self.live:
                await self._host.receive(frame)
            elif frame.type in self._wanted:
                self._wanted.discard(frame.type)
                if not self._wanted:
                    self._confirmed.set()
                    await self._up()
        except VenueError as error:
            self.lose(f"a message cannot be used: {error}")
