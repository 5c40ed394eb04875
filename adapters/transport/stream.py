"""One connection of a feed, again and again: subscribe, be confirmed, hand on what comes, be lost, wait.

Owns the life of one share of the subscriptions. Promises: nothing is handed on before all of it is
confirmed, what came before is held within a bound and handed on then; every loss has its reason and its
wait, which grows with each failure and is half chance. Called by `feed.py`, which says what the messages
mean.

    dial -> subscribe -> all confirmed -> up -> frames -> loss -> down -> backoff -> dial

A frame that cannot be decoded ends the connection like any loss; the backoff grows while that repeats, so a
poisonous frame is met once per backoff, never in a busy loop.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol

import trio

from adapters.hyperliquid.channels import Wanted
from adapters.hyperliquid.wire import Ack, AckFrame, ErrorFrame, Frame, OtherFrame, PongFrame, decode_message
from adapters.transport.connection import Connection, Dial, Loss
from adapters.transport.context import Desk
from adapters.transport.governor import BudgetSpent
from adapters.transport.text import clip
from engine.errors import UsageError, VenueProtocolError
from engine.events import InstrumentListed

__all__ = ["Host", "Line", "Tap"]

_CONTROL: Final = frozenset({AckFrame, ErrorFrame, OtherFrame, PongFrame})
"""What is not market data."""

Tap = Callable[[int, str | bytes], None]
"""Takes every message as it came, with its time of receipt, before it is decoded."""


class Host(Protocol):
    """The feed, as its lines see it."""

    def line_up(self, line: Line, recv_ns: int) -> None:
        """All of a line's subscriptions are confirmed."""
        ...

    def line_down(self, line: Line, loss: Loss, backoff_ms: int) -> None:
        """A line is lost; it dials again after the backoff."""
        ...

    def tell(self, line: Line, frame: Frame, recv_ns: int) -> None:
        """A message of market data. Raises VenueProtocolError."""
        ...

    @property
    def crowded(self) -> bool:
        """Whether the engine is behind."""
        ...

    async def room(self) -> None:
        """Wait while the engine is behind."""
        ...


class Line:
    """The subscriptions of some `instruments` over one connection at a time. `url` is the websocket's."""

    def __init__(
        self,
        desk: Desk,
        host: Host,
        instruments: tuple[InstrumentListed, ...],
        wanted: tuple[Wanted, ...],
        url: str,
        dial: Dial,
        tap: Tap | None,
    ) -> None:
        self._desk = desk
        self._clock = desk.clock
        self._health = desk.health
        self._limits = desk.limits
        self._host = host
        self.instruments = instruments
        self.wanted = wanted
        self._url = url
        self._dial = dial
        self._tap = tap
        self.down_since: float | None = None  # trio's clock; None while it is up
        self.down_ns = 0  # the same in the engine's time, kept when it is up again
        self.backfills = 0  # questions for missed prints of this connection
        self._attempts = 0  # connections tried since the feed was last up
        # Of one connection:
        self._connection: Connection | None = None
        self._unconfirmed: dict[Wanted, None] = {}
        self._held: list[Frame] = []
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
            loss = await self._connect()
            if self._live_at is not None:
                self._note_down()
                if trio.current_time() - self._live_at >= self._limits.stable_s:
                    failures = 0
            self._live_at = None
            backoff_ms = self._backoff_ms(failures, loss)
            self._health.losses += 1
            self._health.last_loss = loss.reason
            self._health.frames_oversize += loss.oversize
            self._host.line_down(self, loss, backoff_ms)
            failures += 1
            await trio.sleep(backoff_ms / 1000)

    def take_attempts(self) -> int:
        """Return how many connections were tried since this was last asked."""
        attempts, self._attempts = self._attempts, 0
        return attempts

    def lose(self, loss: Loss) -> None:
        """Give the connection up; the first reason counts."""
        assert self._connection is not None, "only a connection that was made can be lost"
        self._connection.lose(loss)

    def start_soon(self, task: Callable[..., Awaitable[None]], *args: Any) -> None:
        """Run a task that ends with the connection."""
        assert self._connection is not None, "called by a connection's own tasks only"
        self._connection.start_soon(task, *args)

    async def take(self, message: str | bytes) -> None:
        """Take one message of the venue; waits while the engine is behind."""
        recv_ns = self._clock.now_ns()  # before decoding
        self._health.frames += 1
        self._health.last_frame_ns = recv_ns
        if self._tap is not None:
            self._tap(recv_ns, message)
        try:
            self._act_on(decode_message(message), recv_ns, len(message))
        except VenueProtocolError as error:
            self._health.frames_refused += 1
            data = message.encode("utf-8", "replace") if isinstance(message, str) else message
            digest = hashlib.blake2b(data, digest_size=4).hexdigest()
            self.lose(Loss(f"a message of {len(data)} bytes (blake2b {digest}) cannot be used: {error}"))
        if self._host.crowded:
            await self._host.room()

    def _note_down(self) -> None:
        self.down_since = trio.current_time()
        self.down_ns = self._clock.now_ns()

    async def _connect(self) -> Loss:
        self._health.connections += 1
        self._attempts += 1
        self._unconfirmed = dict.fromkeys(self.wanted)
        self._held = []
        self._held_bytes = 0
        self._live_at = None
        self.backfills = 0
        self._connection = Connection(
            self._url, self._dial, self._limits, self._subscribe, self.take, self._desk.governor
        )
        try:
            with self._desk.governor.subscriptions(len(self.wanted)):
                return await self._connection.run()
        except UsageError as error:
            return Loss(str(error), patient=True)

    async def _subscribe(self) -> None:
        """Ask for everything, and give up on a venue that does not confirm it in time."""
        assert self._connection is not None, "called by the connection"
        try:
            for wanted in self.wanted:
                await self._connection.send(wanted.text())
        except BudgetSpent as error:
            self.lose(Loss(str(error)))
        await trio.sleep(self._limits.confirm_s)
        if self._live_at is None:
            self.lose(
                Loss(f"{self._first_unconfirmed()} was not confirmed within {self._limits.confirm_s:g} s")
            )

    def _act_on(self, frame: Frame, recv_ns: int, size: int) -> None:
        if type(frame) not in _CONTROL:
            if self._live_at is not None:
                self._host.tell(self, frame, recv_ns)
            else:
                self._hold(frame, size)
        elif isinstance(frame, AckFrame):
            self._confirm(frame.data, recv_ns)
        elif isinstance(frame, ErrorFrame):
            self._complaint(frame.data)
        elif isinstance(frame, OtherFrame):
            self._health.dropped["channel"] += 1

    def _hold(self, frame: Frame, size: int) -> None:
        """Keep what came before the line is confirmed: it is told then, and not believed before."""
        self._held.append(frame)
        self._held_bytes += size
        if self._held_bytes > self._limits.held_bytes_max:
            self.lose(Loss(f"too much data before {self._first_unconfirmed()} was confirmed"))

    def _confirm(self, ack: Ack, recv_ns: int) -> None:
        """Match an acknowledgement by what was asked for, since the venue adds members of its own."""
        asked = Wanted.echoed(ack.subscription)
        if ack.method != "subscribe" or asked not in self._unconfirmed:
            self._health.dropped["channel"] += 1
            return
        del self._unconfirmed[asked]
        if self._unconfirmed:
            return
        self._live_at = trio.current_time()
        self.down_since = None
        self._host.line_up(self, recv_ns)
        held, self._held = self._held, []
        for frame in held:
            self._host.tell(self, frame, recv_ns)

    def _complaint(self, text: str) -> None:
        """The venue refuses something. Before the line is up that can only be a subscription."""
        self._health.venue_errors += 1
        if self._live_at is None:
            self.lose(Loss(f"a subscription is refused: {clip(text)}"))

    def _backoff_ms(self, failures: int, loss: Loss) -> int:
        """Return the wait: half of a bound that doubles with each failure, and chance for the other half."""
        limits = self._limits
        bound: float = min(limits.backoff_s_max, limits.backoff_s_min * 2.0 ** (min(failures, 20) + 1))
        if loss.patient:
            bound = limits.backoff_s_max
        chance = min(1.0, max(0.0, self._desk.jitter()))
        return round(1000 * bound * (1 + chance) / 2)

    def _first_unconfirmed(self) -> str:
        return str(next(iter(self._unconfirmed)))
