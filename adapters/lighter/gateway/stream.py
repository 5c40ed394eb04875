"""The account's private channels: one connection at a time, its subscriptions, its token.

Owns the connection. Promises: it counts as up once both channels, orders and trades, are confirmed; what they
show before is read over HTTP instead; the connection is renewed before its token ends; every loss is reported
with its reason and the wait before the next try, which grows with each failure and is half random. Nothing is
repeated by the venue after a reconnect, so the host reads the account again each time. Called by the gateway.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

import msgspec
import trio

from adapters.lighter.gateway.account_wire import MESSAGE_BYTES_MAX, AccountFrame, decode_account_message
from adapters.lighter.gateway.keys import Signer
from adapters.transport.connection import Connection, Dial, Loss
from adapters.transport.context import StreamContext
from adapters.transport.governor import BudgetSpent, Priority
from adapters.transport.text import clip
from engine.backoff import backoff_ms
from engine.errors import VenueError

__all__ = ["CHANNELS", "AccountHost", "AccountStream"]

CHANNELS: Final = ("account_all_orders", "account_all_trades")
TOKEN_LEFT_S: Final = 300
"""A connection is renewed so long before its token ends."""

_PONG: Final = '{"type":"pong"}'
_encode = msgspec.json.Encoder().encode


class AccountHost(Protocol):
    """What the stream needs of its gateway."""

    async def stream_up(self) -> None:
        """Called when both channels are confirmed."""
        ...

    async def stream_down(self, loss: Loss, backoff_ms: int) -> None:
        """Called when the connection is lost; the next try follows after the backoff."""
        ...

    async def receive(self, frame: AccountFrame) -> None:
        """Handle one message. Raises VenueError."""
        ...


class _Protocol:
    """What a `Connection` needs to know. See `adapters.transport.protocol.StreamProtocol`."""

    ping: Final = '{"type":"ping"}'
    message_bytes_max: Final = MESSAGE_BYTES_MAX
    controls: Final[frozenset[type]] = frozenset()

    def decode(self, message: str | bytes) -> AccountFrame:
        """Return a message as a frame."""
        return decode_account_message(message)

    def read_control(self, frame: object) -> None:
        """Nothing is a control frame."""


class AccountStream:
    """See the module. `dial` returns how an address is dialed, `venue_ms` the venue's time by our clock."""

    def __init__(
        self,
        context: StreamContext,
        host: AccountHost,
        signer: Signer,
        address: str,
        dial: Callable[[str], Dial],
        venue_ms: Callable[[], int],
    ) -> None:
        self._context = context
        self._host = host
        self._signer = signer
        self._address = address
        self._dial = dial
        self._venue_ms = venue_ms
        self._connection: Connection | None = None
        self._wanted: set[str] = set()  # channels that are not confirmed yet
        self._confirmed = trio.Event()
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
        self._wanted = {f"subscribed/{one}" for one in CHANNELS}
        self._confirmed = trio.Event()
        self._connection = Connection(
            self._address,
            self._dial(self._address),
            _Protocol(),
            self._context.limits,
            self._subscribe,
            self._take,
            self._context.governor,
            Priority.ACCOUNT,
        )
        return await self._connection.run()

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
        """Handle one message. One that cannot be used ends the connection: what it said is read then."""
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
                    self.live = True
                    self._confirmed.set()
                    await self._host.stream_up()
        except VenueError as error:
            self.lose(f"a message cannot be used: {error}")
