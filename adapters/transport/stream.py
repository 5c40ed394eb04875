"""Subscriptions over one connection at a time: subscribe, wait for confirmation, pass data on, reconnect.

Owns its connections. Promises: no data is passed on before every subscription is confirmed, or set aside;
earlier data is held within a bound and passed on then; every loss is reported with its reason and the
wait before the next connection, which grows with each failure and is half random. Called by a venue's feed
for market data and by its gateway for an account; the venue's `StreamProtocol` interprets messages.

    connect -> subscribe -> all confirmed -> up -> frames -> loss -> down -> backoff -> connect

A stream of an account needs all its subscriptions: without one of them the connection is closed. A stream of
market data (`partial`) goes on without a subscription that is not confirmed, or that makes the venue close
the connection (`admission.py`).

A message that the protocol refuses ends the connection like any loss. So does a host that cannot use more
than half of the newest messages (`note_unusable`). While that repeats the backoff grows, so it never becomes
a busy loop.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Awaitable, Callable, Hashable, Iterable, Sequence
from typing import Any, Protocol

import trio

from adapters.transport.admission import Admission
from adapters.transport.connection import Connection, Dial, Loss
from adapters.transport.context import StreamContext
from adapters.transport.governor import BudgetSpent, Priority
from adapters.transport.protocol import (
    Answered,
    Confirmed,
    ConfirmedAll,
    Leaving,
    Refused,
    Reply,
    StreamProtocol,
    Subscription,
    Unread,
)
from adapters.transport.text import clip
from engine.backoff import backoff_ms
from engine.errors import UsageError, VenueProtocolError
from engine.events import InstrumentListed
from engine.venue import Tap

__all__ = ["PartialHost", "Stream", "StreamHost"]

_SEND_WITHIN_S = 120.0
_LOOK_S = 1.0


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


class PartialHost(Protocol):
    """What a stream calls that goes on without some of its subscriptions."""

    def subscribed(self, stream: Stream, subscription: Subscription, recv_ns: int) -> None:
        """Called when a subscription is confirmed while the stream is up."""
        ...

    def set_aside(self, stream: Stream, subscription: Subscription, reason: str) -> None:
        """Called when a subscription is set aside."""
        ...


class Stream:
    """Subscriptions at a websocket's `url`, or at one that is made for each connection.

    `instruments` are those it carries, none for an account.

    `tap` receives every message unchanged, with its time of receipt, before it is decoded. Subscriptions are
    sent with `priority`, and each waits at most `send_within_s` for the venue's limits. `partial`, if given,
    lets the stream go on without some of them. `venue_now_ns` is a lower bound of the venue's time, and
    `on_answer` is called after every answer to a ping. `merge` joins messages that the venue takes as one.

    `message` is the message that the host handles.
    """

    def __init__(
        self,
        context: StreamContext,
        host: StreamHost,
        protocol: StreamProtocol,
        subscriptions: Sequence[Subscription],
        url: str | Callable[[], str],
        dial: Dial,
        *,
        instruments: tuple[InstrumentListed, ...] = (),
        tap: Tap | None = None,
        priority: Priority = Priority.MARKET,
        send_within_s: float = _SEND_WITHIN_S,
        partial: PartialHost | None = None,
        venue_now_ns: Callable[[], int] | None = None,
        on_answer: Callable[[], None] = lambda: None,
        merge: Callable[[list[str]], list[str]] | None = None,
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
        self._venue_now_ns = venue_now_ns or context.clock.now_ns
        self._on_answer = on_answer
        self._merge = merge
        self._attempts = 0  # connections tried since the feed was last up
        self._partial = partial
        self._admission = Admission(self.subscriptions, self._limits)
        self._judged = (1 << self._limits.messages_judged) - 1
        # Of one connection:
        self.connection: Connection | None = None
        self.reached_ns = 0  # the venue's time that it has proved: of a message, or of an answered ping
        self.pinged_ns = 0  # the venue's time of the newest ping
        self.message: str | bytes = ""
        self._confirmed: dict[Hashable, Subscription] = {}
        self._unconfirmed: dict[Hashable, Subscription] = {}
        self._asked: list[Subscription] = []
        self._refusal = ""
        self._progress = trio.Event()
        self._held: list[tuple[Any, str | bytes]] = []
        self._held_bytes = 0
        self._live_at: float | None = None
        self._unusable = 0  # a bit for each of the newest messages, 1 if nothing of it could be used

    @property
    def live(self) -> bool:
        """Whether every subscription is confirmed now, except those set aside."""
        return self._live_at is not None

    @property
    def confirmed(self) -> tuple[Subscription, ...]:
        """The subscriptions that are confirmed now."""
        return tuple(self._confirmed.values())

    @property
    def aside(self) -> tuple[Subscription, ...]:
        """The subscriptions that are set aside."""
        return self._admission.aside

    def take_held(self) -> list[Any]:
        """Return the frames that were held when the connection was lost, and forget them."""
        held, self._held = self._held, []
        return [frame for frame, _ in held]

    async def run(self) -> None:
        """Keep the connection up until cancelled."""
        self._note_down()
        failures = 0
        while True:
            try:
                loss = await self._connect()
                failures = self._note_loss(loss, failures)
            finally:
                self._live_at = None
                self._confirmed = {}
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

    def note_unusable(self, reason: str) -> None:
        """Note that nothing of the message can be used; give the connection up if that is most of them."""
        self._unusable |= 1
        if 2 * self._unusable.bit_count() > self._limits.messages_judged:
            judged = self._limits.messages_judged
            self.lose(Loss(f"more than half of the newest {judged} messages cannot be used: {reason}"))

    def renew(self, subscriptions: Sequence[Subscription]) -> bool:
        """End subscriptions and request them again; return False if that is not possible."""
        if not self.live or not subscriptions or any(one.key not in self._confirmed for one in subscriptions):
            return False
        if not all(one.end for one in subscriptions):
            return False
        for one in subscriptions:
            self._unconfirmed[one.key] = self._confirmed.pop(one.key)
        self.start_soon(self._renew, subscriptions)
        return True

    async def ping(self) -> None:
        """Ping the venue, if its limits allow it now."""
        assert self.connection is not None, "only an open connection is pinged"
        with contextlib.suppress(BudgetSpent):
            await self.connection.ping(within_s=0.0)

    def _now_at_ping(self) -> int:
        self.pinged_ns = self._venue_now_ns()
        return self.pinged_ns

    def _note_pong(self, sent_ns: int) -> None:
        self.heard_ns = self._clock.now_ns()
        self.reached_ns = max(self.reached_ns, sent_ns)
        self._on_answer()

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
                frame = await self._control(frame, recv_ns)
            if frame is not None:
                self._unusable = (self._unusable << 1) & self._judged
                if self._live_at is not None:
                    self.message = message
                    self._host.receive(self, frame, recv_ns)
                else:
                    self._hold(frame, message)
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
        self._asked = self._admission.first()
        self._confirmed = {}
        self._unconfirmed = {one.key: one for one in self._asked}
        self._refusal = ""
        self._unusable = 0
        self._held = []
        self._held_bytes = 0
        self._live_at = None
        self.backfills = 0
        self.reached_ns = self.pinged_ns = 0
        context = self._context
        self.connection = Connection(
            self._url if isinstance(self._url, str) else self._url(),
            self._dial,
            self._protocol,
            self._limits,
            self._subscribe,
            self.take,
            context.governor,
            self._priority,
            self._note_pong,
            self._now_at_ping,
        )
        try:
            with context.governor.subscriptions(len(self.subscriptions)):
                return await self.connection.run()
        except UsageError as error:
            return Loss(str(error), longest_backoff=True)

    def _note_loss(self, loss: Loss, failures: int) -> int:
        """Note why the connection ended; return the number of failures that the backoff grows with."""
        up_s = None
        if self._live_at is not None:
            self._note_down()
            up_s = trio.current_time() - self._live_at
            if up_s >= self._limits.stable_s or (self._admission.trying and loss.ended):
                failures = 0
        if self._partial is not None and loss.ended:
            unconfirmed = [one for one in self._asked if one.key in self._unconfirmed]
            found = self._admission.note_loss(unconfirmed, up_s, trio.current_time())
            if found is not None:
                self._report_aside(found, "makes the venue close the connection")
        return failures

    async def _subscribe(self) -> None:
        """Request what is accepted, then what is suspected or was set aside, one group after the other."""
        confirm_s = self._limits.confirm_s
        await self._request(self._asked)
        if self._live_at is None:
            missing = self._unconfirmed_of(self._asked)
            if self._partial is None or len(missing) == len(self._asked):
                if self._partial is not None and self._admission.trying:
                    self._put_aside(missing)
                refused = f"; a subscription is refused: {self._refusal}" if self._refusal else ""
                self.lose(Loss(f"{missing[0].label} was not confirmed within {confirm_s:g} s{refused}"))
                return
            self._put_aside(missing)
            await self._go_up(self._clock.now_ns())
        while self._partial is not None:
            if self._admission.trying:
                await trio.sleep(self._limits.settle_s)
                self._admission.accept()
            await trio.sleep(max(self._admission.wait_s(trio.current_time()), _LOOK_S))
            group = self._admission.next_try(trio.current_time())
            self._unconfirmed |= {one.key: one for one in group}
            await self._request(group)
            self._put_aside(self._unconfirmed_of(group))

    async def _request(self, subscriptions: Sequence[Subscription]) -> None:
        """Send subscriptions, and wait until they are confirmed or `confirm_s` is over.

        A stream that goes on without some asks again for those that are not confirmed after half of it: the
        confirmation may have been damaged.
        """
        tries = 1 if self._partial is None else 2
        for _ in range(tries):
            if not await self._send_all(one.text for one in self._unconfirmed_of(subscriptions)):
                return
            with trio.move_on_after(self._limits.confirm_s / tries):
                while self._unconfirmed_of(subscriptions):
                    await self._progress.wait()

    async def _send_all(self, texts: Iterable[str]) -> bool:
        assert self.connection is not None, "called by the connection"
        messages = [text for text in texts if text]
        try:
            for text in messages if self._merge is None else self._merge(messages):
                await self.connection.send(text, within_s=self._send_within_s)
        except BudgetSpent as error:
            self.lose(Loss(str(error)))
            return False
        return True

    async def _reply(self, text: str) -> None:
        await self._send_all([text])

    async def _renew(self, subscriptions: Sequence[Subscription]) -> None:
        if await self._send_all(one.end for one in subscriptions):
            await self._request(subscriptions)
        for one in self._unconfirmed_of(subscriptions):
            self.lose(Loss(f"{one.label} was not confirmed again within {self._limits.confirm_s:g} s"))

    def _unconfirmed_of(self, subscriptions: Iterable[Subscription]) -> list[Subscription]:
        return [one for one in subscriptions if one.key in self._unconfirmed]

    def _put_aside(self, subscriptions: Sequence[Subscription], reason: str = "") -> None:
        reason = reason or f"was not confirmed within {self._limits.confirm_s:g} s"
        self._admission.set_aside(subscriptions, trio.current_time())
        for one in subscriptions:
            del self._unconfirmed[one.key]
            self._report_aside(one, reason)

    def _report_aside(self, subscription: Subscription, reason: str) -> None:
        assert self._partial is not None, "an account needs all its subscriptions"
        self._health.set_aside[subscription.label] = reason
        self._partial.set_aside(self, subscription, reason)

    async def _control(self, frame: Any, recv_ns: int) -> Any:
        """Handle a control frame; return the data that it carries, None without any."""
        control = self._protocol.read_control(frame)
        if isinstance(control, Confirmed):
            await self._confirm(control.key, recv_ns)
            return control.data
        if isinstance(control, ConfirmedAll):
            # A venue may list what is confirmed already, too.
            pending = {*self._unconfirmed, *(one.key for one in self.aside)}
            for key in control.keys:
                if key in pending:
                    await self._confirm(key, recv_ns)
        elif isinstance(control, Refused):
            self._health.venue_errors += 1
            await self._refuse(control, recv_ns)
        elif isinstance(control, Answered):
            assert self.connection is not None, "a connection reads its own messages"
            self.connection.note_answer()
        elif isinstance(control, Reply):
            self.start_soon(self._reply, control.text)
        elif isinstance(control, Leaving):
            self.lose(Loss(control.reason))
        elif isinstance(control, Unread):
            self._health.dropped["channel"] += 1
        return None

    async def _refuse(self, refused: Refused, recv_ns: int) -> None:
        """Set the subscription aside that the venue refuses; without its name, wait what is not confirmed."""
        self._refusal = clip(refused.text)
        if self._partial is None:
            if self._live_at is None:
                self.lose(Loss(f"a subscription is refused: {self._refusal}"))
            return
        subscription = self._unconfirmed.get(refused.key)
        if subscription is None:
            return
        if self._confirmed or len(self._unconfirmed) > 1:
            self._put_aside([subscription], f"is refused: {self._refusal}")
            await self._note_progress(recv_ns)
        elif self._live_at is None:
            self.lose(Loss(f"a subscription is refused: {self._refusal}"))

    def _hold(self, frame: Any, message: str | bytes) -> None:
        """Hold data received before every subscription is confirmed."""
        self._held.append((frame, message))
        self._held_bytes += len(message)
        if self._held_bytes > self._limits.held_bytes_max:
            self.lose(Loss(f"too much data before {self._first_unconfirmed()} was confirmed"))

    async def _confirm(self, key: Hashable, recv_ns: int) -> None:
        subscription = self._unconfirmed.pop(key, None)
        if subscription is None:
            late = [one for one in self.aside if one.key == key]
            if not late:
                self._health.dropped["channel"] += 1
                return
            subscription = late[0]
            self._admission.release(subscription)
        self._confirmed[key] = subscription
        self._health.set_aside.pop(subscription.label, None)
        if self._live_at is not None and self._partial is not None:
            self._partial.subscribed(self, subscription, recv_ns)
        await self._note_progress(recv_ns)

    async def _note_progress(self, recv_ns: int) -> None:
        self._progress.set()
        self._progress = trio.Event()
        if self._live_at is None and self._confirmed and not self._unconfirmed:
            await self._go_up(recv_ns)

    async def _go_up(self, recv_ns: int) -> None:
        self._live_at = trio.current_time()
        self.down_since = None
        await self._host.stream_up(self, recv_ns)
        held, self._held = self._held, []
        for frame, self.message in held:
            self._host.receive(self, frame, recv_ns)

    def _backoff_ms(self, failures: int, loss: Loss) -> int:
        limits = self._limits
        min_s = limits.backoff_s_max if loss.longest_backoff else limits.backoff_s_min
        return backoff_ms(
            failures, self._context.jitter(), min_ms=1000 * min_s, max_ms=1000 * limits.backoff_s_max
        )

    def _first_unconfirmed(self) -> str:
        return next(iter(self._unconfirmed.values())).label
