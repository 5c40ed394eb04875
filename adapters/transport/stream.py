"""Subscriptions over one connection at a time: subscribe, wait for confirmation, pass data on, reconnect.

Owns its connections. Promises: no data is passed on before every subscription is confirmed; earlier data is
held within a bound and passed on then; every loss is reported with its reason and the
wait before the next connection, which grows with each failure and is half random. Called by a venue's feed
for market data and by its gateway for an account; the venue's `StreamProtocol` interprets messages.

    connect -> subscribe -> all confirmed -> up -> frames -> loss -> down -> backoff -> connect

A message that cannot be decoded ends the connection like any loss. While that repeats the backoff grows, so
it never becomes a busy loop.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Any, Protocol

import trio

from adapters.transport.connection import Connection, Dial, Loss
from adapters.transport.context import StreamContext
from adapters.transport.governor import BudgetSpent, Priority
from adapters.transport.protocol import Confirmed, Refused, StreamProtocol, Subscription, Unread
from adapters.transport.text import clip
from engine.backoff import backoff_ms
from engine.errors import UsageError, VenueProtocolError
from engine.events import InstrumentListed
from engine.venue import Tap

__all__ = ["Stream", "StreamHost"]

_SEND_WITHIN_S = 120.0


class StreamHost(Protocol):
    """What a stream needs of its feed or gateway."""

    async def stream_up(self, stream: Stream, recv_ns: int) -> None:
        """Called when every subscription is confirmed."""
        ...

    async def stream_down(self, stream: Stream, loss: Loss, backoff_ms: int) -> None:
        """Called when the connection is lost; the next try follows after the backoff."""
        ...

    def receive(self, stream: Stream, frame: Any, recv_ns: int) -> None:
        """Handle one frame of data. Raises VenueProtocolError."""
        ...

    @property
    def behind(self) -> bool:
        """Whether `catch_up` must be awaited before the next message."""
        ...

    async def catch_up(self) -> None:
        """Send what was received, or wait while the engine is behind."""
        ...


class Stream:
    """Subscriptions at a websocket's `url`. `instruments` are those it carries, none for an account.

    `tap` receives every message unchanged, with its time of receipt, before it is decoded. Subscriptions are
    sent with `priority`, and each waits at most `send_within_s` for the venue's limits.
    """

    def __init__(
        self,
        context: StreamContext,
        host: StreamHost,
        protocol: StreamProtocol,
        subscriptions: Sequence[Subscription],
        url: str,
        dial: Dial,
        *,
        instruments: tuple[InstrumentListed, ...] = (),
        tap: Tap | None = None,
        priority: Priority = Priority.MARKET,
        send_within_s: float = _SEND_WITHIN_S,
    ) -> None:
        self._context = context
        self._clock = context.clock
        self._health = context.health
        self._limits = context.limits
        self._host = host
        self._protocol = protocol
        self._decode = protocol.decode
        self._controls = protocol.controls
        self.subscriptions = tuple(subscriptions)
        self.instruments = instruments
        self._url = url
        self._dial = dial
        self._tap = tap
        self._priority = priority
        self._send_within_s = send_within_s
        self.down_since: float | None = None  # trio's clock; None while it is up
        self.down_ns = 0  # the same in the engine's time, kept when it is up again
        self.backfills = 0  # requests for missed trades during this connection
        self.heard_ns = 0  # the engine's time of the newest message or answer to a ping
        self._attempts = 0  # connections tried since the feed was last up
        # Of one connection:
        self.connection: Connection | None = None
        self._unconfirmed: dict[Hashable, Subscription] = {}
        self._held: list[Any] = []
        self._held_bytes = 0
        self._live_at: float | None = None

    @property
    def live(self) -> bool:
        """Whether every subscription is confirmed now."""
        return self._live_at is not None

    async def run(self) -> None:
        """Keep the connection up until cancelled."""
        self._note_down()
        failures = 0
        while True:
            try:
                loss = await self._connect()
                if self._live_at is not None:
                    self._note_down()
                    if trio.current_time() - self._live_at >= self._limits.stable_s:
                        failures = 0
            finally:
                self._live_at = None
            wait_ms = self._backoff_ms(failures, loss)
            self._health.losses += 1
            self._health.last_loss = loss.reason
            self._health.frames_oversize += loss.oversize
            await self._host.stream_down(self, loss, wait_ms)
            failures += 1
            await trio.sleep(wait_ms / 1000)

    def take_attempts(self) -> int:
        """Return the number of connection attempts since the last call."""
        attempts, self._attempts = self._attempts, 0
        return attempts

    def lose(self, loss: Loss) -> None:
        """Close the connection. Only the first reason is kept."""
        assert self.connection is not None, "only a connection that was made can be lost"
        self.connection.lose(loss)

    def start_soon(self, task: Callable[..., Awaitable[None]], *args: Any) -> None:
        """Run a task that ends with the connection."""
        assert self.connection is not None, "called by a connection's own tasks only"
        self.connection.start_soon(task, *args)

    async def ping(self) -> None:
        """Ping the venue, if its limits allow it now."""
        assert self.connection is not None, "only an open connection is pinged"
        with contextlib.suppress(BudgetSpent):
            await self.connection.ping()

    def _note_pong(self) -> None:
        self.heard_ns = self._clock.now_ns()

    async def take(self, message: str | bytes) -> None:
        """Handle one message of the venue; waits while the host is behind."""
        recv_ns = self._clock.now_ns()  # before decoding
        self._health.frames += 1
        self._health.last_frame_ns = self.heard_ns = recv_ns
        if self._tap is not None:
            self._tap(recv_ns, message)
        try:
            frame = self._decode(message)
            if type(frame) in self._controls:
                await self._control(frame, recv_ns)
            elif self._live_at is not None:
                self._host.receive(self, frame, recv_ns)
            else:
                self._hold(frame, len(message))
        except VenueProtocolError as error:
            self._health.frames_refused += 1
            data = message.encode("utf-8", "replace") if isinstance(message, str) else message
            digest = hashlib.blake2b(data, digest_size=4).hexdigest()
            self.lose(Loss(f"a message of {len(data)} bytes (blake2b {digest}) cannot be used: {error}"))
        if self._host.behind:
            await self._host.catch_up()

    def _note_down(self) -> None:
        self.down_since = trio.current_time()
        self.down_ns = self._clock.now_ns()

    async def _connect(self) -> Loss:
        self._health.connections += 1
        self._attempts += 1
        self._unconfirmed = {one.key: one for one in self.subscriptions}
        self._held = []
        self._held_bytes = 0
        self._live_at = None
        self.backfills = 0
        context = self._context
        self.connection = Connection(
            self._url,
            self._dial,
            self._protocol,
            self._limits,
            self._subscribe,
            self.take,
            context.governor,
            self._priority,
            self._note_pong,
        )
        try:
            with context.governor.subscriptions(len(self.subscriptions)):
                return await self.connection.run()
        except UsageError as error:
            return Loss(str(error), longest_backoff=True)

    async def _subscribe(self) -> None:
        """Send every subscription; close the connection if they are not confirmed in time."""
        assert self.connection is not None, "called by the connection"
        try:
            for one in self.subscriptions:
                if one.text:
                    await self.connection.send(one.text, within_s=self._send_within_s)
        except BudgetSpent as error:
            self.lose(Loss(str(error)))
        await trio.sleep(self._limits.confirm_s)
        if self._live_at is None:
            self.lose(
                Loss(f"{self._first_unconfirmed()} was not confirmed within {self._limits.confirm_s:g} s")
            )

    async def _control(self, frame: Any, recv_ns: int) -> None:
        control = self._protocol.read_control(frame)
        if isinstance(control, Confirmed):
            await self._confirm(control.key, recv_ns)
        elif isinstance(control, Refused):
            self._health.venue_errors += 1
            if self._live_at is None:
                self.lose(Loss(f"a subscription is refused: {clip(control.text)}"))
        elif isinstance(control, Unread):
            self._health.dropped["channel"] += 1

    def _hold(self, frame: Any, size: int) -> None:
        """Hold data received before every subscription is confirmed."""
        self._held.append(frame)
        self._held_bytes += size
        if self._held_bytes > self._limits.held_bytes_max:
            self.lose(Loss(f"too much data before {self._first_unconfirmed()} was confirmed"))

    async def _confirm(self, key: Hashable, recv_ns: int) -> None:
        if self._unconfirmed.pop(key, None) is None:
            self._health.dropped["channel"] += 1
            return
        if self._unconfirmed:
            return
        self._live_at = trio.current_time()
        self.down_since = None
        await self._host.stream_up(self, recv_ns)
        held, self._held = self._held, []
        for frame in held:
            self._host.receive(self, frame, recv_ns)

    def _backoff_ms(self, failures: int, loss: Loss) -> int:
        limits = self._limits
        min_s = limits.backoff_s_max if loss.longest_backoff else limits.backoff_s_min
        return backoff_ms(
            failures, self._context.jitter(), min_ms=1000 * min_s, max_ms=1000 * limits.backoff_s_max
        )

    def _first_unconfirmed(self) -> str:
        return next(iter(self._unconfirmed.values())).label
